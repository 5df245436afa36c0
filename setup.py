"""Installs magstyle and its programs, under the names that Magenta's image_stylization gave them."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.*)"', (ROOT / "magstyle/__init__.py").read_text(encoding="utf-8"))[1]
PROGRAMS = {
    "image_stylization_transform": "stylize",
    "image_stylization_convert_checkpoint": "convert_checkpoint",
    "image_stylization_export_saved_model": "export_saved_model",
    "image_stylization_convert_tflite": "convert_tflite",
    "image_stylization_build_page": "build_page",
    "image_stylization_create_dataset": "create_style_dataset",
    "image_stylization_train": "train",
    "image_stylization_finetune": "finetune",
    "image_stylization_evaluate": "evaluate",
    "image_stylization_stylize_dataset": "stylize_dataset",
    "image_stylization_stylize_video": "stylize_video",
    "image_stylization_neural_style": "neural_style",
    "image_stylization_reconstruct": "reconstruct",
    "image_stylization_deep_dream": "deep_dream",
    "image_stylization_figure": "figure",
}
# Clips: FFmpeg in Python, and the optical flow that keeps their pictures steady.
VIDEO = ["av>=14", "opencv-python-headless"]

setuptools.setup(
    name="magstyle",
    version=VERSION,
    description="Fast, multi-style image stylisation in Keras 3",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*setuptools.find_packages(include=["magstyle", "magstyle.*"]), "magstyle.examples", "magstyle.configs"],
    package_dir={"magstyle.examples": "examples", "magstyle.configs": "configs"},
    package_data={
        "magstyle": ["py.typed", "pretrained/*", "export/page/*"],
        "magstyle.examples": ["*.jpg"],
        "magstyle.configs": ["*.cfg"],
    },
    install_requires=[
        "tensorflow>=2.17",
        "keras>=3.12",
        "tensorflow-datasets",
        # TFDS 4.9.10 imports it to prepare a dataset, and forgot to say so.
        "importlib_resources",
        "absl-py",
        "pillow>=10.1",
        "numpy",
        # The weights in .keras files; Keras brings it.
        "h5py",
        # What tf.summary writes with; TensorFlow no longer brings it.
        "tensorboard",
        # Both come with tensorflow-datasets. The progress bar of Keras writes to stdout, where our paths go.
        "tqdm",
        # L-BFGS.
        "scipy",
        # Paints on CPUs, and checks every LiteRT file; TensorFlow's is announced to go. From this version on, it can be
        # told how XNNPACK is to use memory.
        "ai-edge-litert>=2.1.6",
        # What LiteRT files are made of; TensorFlow brings it.
        "flatbuffers",
        # The free memory on every system: a photo that does not fit is refused before any work.
        "psutil",
    ],
    extras_require={
        # Selenium drives the web page in Chromium; pdoc, because a test builds the reference too.
        "test": ["pytest", "pytest-xdist", "hypothesis", "ruff", "selenium", "pdoc", *VIDEO],
        # The reference from docstrings, and a kernel that runs the notebook.
        "docs": ["pdoc", "nbformat", "nbclient", "ipykernel"],
        "jax": ["jax"],
        # For stylising whole datasets on many machines.
        "beam": ["apache-beam"],
        "video": VIDEO,
    },
    entry_points={"console_scripts": [f"{name} = magstyle.programs.{module}:run" for name, module in PROGRAMS.items()]},
)
