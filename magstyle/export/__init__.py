"""Exports: files that run without Keras and without this project.

The way in is `tflite` for LiteRT files, `onnx_files` for ONNX files, `saved_model` for TensorFlow Serving, and `page`
for the web page; `jobs` holds their options. `tflite_precision` and `tflite_metadata` are parts of a LiteRT file,
`onnx_network` of an ONNX file, `page_folder` and `litert_js` of a page.
"""

import pathlib

from magstyle import files, project

LICENCE_TEXT = """\
This graph was written by magstyle, which is licensed under the Apache License, Version 2.0:
https://www.apache.org/licenses/LICENSE-2.0

So are the weights of the models that come with magstyle. Those of any other model are under the terms of whoever
trained it, and of the painters of its styles where their copyright has not ended.
"""


def example_photo() -> pathlib.Path:
    """The photo that comes with this project."""
    return project.file("examples", "coffee.jpg")


def predictor_file(output: pathlib.Path) -> pathlib.Path:
    """Where the style predictor of a model for any painting goes, beside the file of its network.

    Raises:
        InputError: if something is there already.
    """
    path = output.with_name(f"{output.stem}_predictor{output.suffix}")
    files.check_new(path, "output_model")
    return path
