"""How the project is installed: the folders beside the package, and the packages that a light installation lacks."""

import contextlib
import importlib.util
import pathlib
from collections.abc import Iterator

from magstyle.errors import InputError

# TensorFlow's module and those that are only used with it; pip knows them by the same names. requirements.txt lists the
# other dependencies.
WITH_TENSORFLOW = ("tensorflow", "keras", "tensorflow_datasets", "importlib_resources", "tensorboard", "scipy")
# Optional modules: the name of the library, and the packages that bring it and the others of its extra in setup.py.
_OPTIONAL = {
    "av": ("PyAV", "av opencv-python-headless"),
    "cv2": ("OpenCV", "av opencv-python-headless"),
    "apache_beam": ("Apache Beam", "apache-beam"),
    "onnx": ("ONNX", "onnx"),
    "pillow_heif": ("pillow-heif", "pillow-heif"),
}


def file(folder: str, name: str) -> pathlib.Path:
    """The path of a file in a folder beside the package, whether or not the file exists.

    Args:
        folder: "examples" or "configs".
        name: the file's name.
    """
    package = pathlib.Path(__file__).parent
    # An installed package holds these folders, a checkout has them beside the package.
    installed, checkout = (around / folder / name for around in (package, package.parent))
    return installed if installed.exists() else checkout


def has(module: str) -> bool:
    """Whether a module is installed; it is not imported."""
    return importlib.util.find_spec(module) is not None


@contextlib.contextmanager
def needing_tensorflow(what: str, *arguments: str) -> Iterator[None]:
    """A guard around imports: if TensorFlow or a package used with it is not installed, one sentence says so.

    Any other error passes as it is, such as that of a TensorFlow that is installed but broken.

    Args:
        what: a name for what needs the imports, such as "engine=keras"; the sentence begins with it.
        arguments: the names of the arguments in `what`, as for InputError.

    Raises:
        InputError: with the command that installs everything that is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = [name for name in WITH_TENSORFLOW if importlib.util.find_spec(name) is None]
        if error.name not in missing:
            raise
        title = "TensorFlow" if "tensorflow" in missing else error.name
        raise InputError(
            f"{what} needs {title}, which is not installed; pip install {' '.join(missing)} brings it", *arguments
        ) from error


@contextlib.contextmanager
def needing(module: str) -> Iterator[None]:
    """A guard around the import of an optional module; other errors pass, as with `needing_tensorflow`.

    Args:
        module: "av", "cv2", "apache_beam", "onnx" or "pillow_heif".

    Raises:
        InputError: if it is not installed, with the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        title, packages = _OPTIONAL[module]
        raise InputError(f"{title} is missing; pip install {packages} brings it") from error
