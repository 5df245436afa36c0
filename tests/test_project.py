"""Where the folders beside the package are, and what an installation lacks."""

import importlib
import sys

import pytest

from magstyle import project
from magstyle.errors import InputError


def test_files_are_found_in_a_checkout_and_in_an_installed_package(tmp_path, monkeypatch):
    monkeypatch.setattr(project, "__file__", str(tmp_path / "magstyle" / "project.py"))
    for folder in ("configs", "magstyle/configs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "johnson.cfg").touch()
        assert project.file("configs", "johnson.cfg") == tmp_path / folder / "johnson.cfg"


def test_only_what_is_missing_is_to_be_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    sentence = "^L-BFGS needs scipy, which is not installed; pip install scipy brings it$"
    with pytest.raises(InputError, match=sentence), project.needing_tensorflow("L-BFGS"):
        import scipy  # noqa: F401


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("av", "PyAV is missing; pip install av opencv-python-headless brings it"),
        ("cv2", "OpenCV is missing; pip install av opencv-python-headless brings it"),
        ("apache_beam", "Apache Beam is missing; pip install apache-beam brings it"),
        ("onnx", "ONNX is missing; pip install onnx brings it"),
    ],
)
def test_the_packages_of_an_optional_module_are_named(monkeypatch, module, sentence):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f"^{sentence}$"), project.needing(module):
        importlib.import_module(module)
    with pytest.raises(ModuleNotFoundError, match="'nothing_of_ours'"), project.needing(module):
        import nothing_of_ours  # noqa: F401


def test_the_lack_of_anything_else_is_an_error_of_its_own():
    with pytest.raises(ModuleNotFoundError, match="'nothing_of_ours'"), project.needing_tensorflow("this"):
        import nothing_of_ours  # noqa: F401
