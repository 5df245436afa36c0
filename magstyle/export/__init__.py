"""Exports: files that run without Keras and without this project.

The way in is `tflite` for LiteRT files, `saved_model` for TensorFlow Serving, and `page` for the web page; `jobs` holds
their options. `tflite_precision` and `tflite_metadata` are parts of a LiteRT file, `page_folder` and `litert_js` of a
page.
"""

import pathlib

from magstyle import project


def example_photo() -> pathlib.Path:
    """The photo that comes with this project."""
    return project.file("examples", "coffee.jpg")
