"""Ways out of Keras: files that run where neither it nor this project is installed."""

import pathlib

# Of the numbers of a LiteRT file.
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")


def example_photo() -> pathlib.Path:
    """The photo that comes with this project."""
    package = pathlib.Path(__file__).parents[1]
    # In an installed package, and in a checkout, where examples/ is beside it.
    installed, checkout = (folder / "examples" / "coffee.jpg" for folder in (package, package.parent))
    return installed if installed.exists() else checkout
