"""Exports: files that run without Keras and without this project."""

import pathlib

from magstyle import project

# How a LiteRT file stores its numbers.
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")


def example_photo() -> pathlib.Path:
    """The photo that comes with this project."""
    return project.file("examples", "coffee.jpg")
