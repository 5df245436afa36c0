"""Ways out of Keras: files that run where neither it nor this project is installed."""

import pathlib

from magstyle import project

# Of the numbers of a LiteRT file.
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")


def example_photo() -> pathlib.Path:
    """The photo that comes with this project."""
    return project.file("examples", "coffee.jpg")
