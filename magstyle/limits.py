"""Types for the numbers that people give, each with its limits."""

import numbers
from typing import Annotated, NamedTuple

from magstyle import sizes
from magstyle.errors import InputError

# A safe bound for float32: sums of larger numbers overflow.
LARGEST_FLOAT = 1e38
# The largest int32, for steps.
_INT32 = 2**31 - 1
# No JPEG file has a longer side, in pixels.
_LONGEST_SIDE = 65500


class Limits(NamedTuple):
    """The least and the most that a number can be; whole numbers have whole limits, and may have to be multiples."""

    least: float
    most: float
    multiple: int | None = None


# 1/32 leaves one filter; 32 makes residual blocks of 4096.
Alpha = Annotated[float, Limits(1 / 32, 32.0)]
# 1/16 leaves one filter in the first layer of the narrow network that `distil` trains.
NarrowAlpha = Annotated[float, Limits(1 / 16, 32.0)]
# Directions in a space of styles, one of which is its middle.
Directions = Annotated[int, Limits(2, 4096)]
BatchSize = Annotated[int, Limits(1, 65536)]
Count = Annotated[int, Limits(1, _INT32)]
CountFromZero = Annotated[int, Limits(0, _INT32)]
Weight = Annotated[float, Limits(0.0, LARGEST_FLOAT)]
PositiveWeight = Annotated[float, Limits(1e-6, LARGEST_FLOAT)]
LearningRate = Annotated[float, Limits(0.0, LARGEST_FLOAT)]
Seed = Annotated[int, Limits(0, 2**32 - 1)]
Seconds = Annotated[float, Limits(0.0, 1e9)]
# Options of clips.
Start = Annotated[float, Limits(0.0, 1e6)]
Duration = Annotated[float, Limits(1e-3, 1e6)]
FrameRate = Annotated[float, Limits(1e-3, 1000.0)]
# Sides of images, in pixels.
ImageSize = Annotated[int, Limits(1, _LONGEST_SIDE)]
TileSize = Annotated[int, Limits(16, _LONGEST_SIDE)]
# Sides of images that VGG sees: crops that the network takes, too, and paintings.
CropSize = Annotated[int, Limits(sizes.SMALLEST_FOR_VGG, _LONGEST_SIDE, sizes.MULTIPLE)]
PaintingSize = Annotated[int, Limits(sizes.SMALLEST_FOR_VGG, _LONGEST_SIDE)]
# A side of the network's images; 0 leaves it open.
NetworkSide = Annotated[int, Limits(0, _LONGEST_SIDE)]
# Versions of ONNX's operators: before 11, Pad took no widths as an input; 22 is of 2024.
Opset = Annotated[int, Limits(11, 22)]
# Options of painting.
Strength = Annotated[float, Limits(0.0, 1.5)]
StrokeSize = Annotated[float, Limits(0.25, 8.0)]
# Options of optimising pixels.
Octaves = Annotated[int, Limits(1, 100)]
OctaveScale = Annotated[float, Limits(1.05, 100.0)]
StyleScale = Annotated[float, Limits(0.01, 100.0)]
Zoom = Annotated[float, Limits(1.0, 100.0)]

# The weight of a style in a mixture: far beyond any that makes a picture, and far below what overflows in a network.
STYLE_WEIGHT = Limits(-1e5, 1e5)
# Numbers of any other kind fit into 64 bits.
ANY_WHOLE_NUMBER, ANY_NUMBER = Limits(-(2**63), 2**63 - 1), Limits(-1e308, 1e308)


def check_number(name: str, value: object, limits: Limits) -> None:
    """Raises an InputError unless a value is a number within limits; NaN never is.

    Args:
        name: the argument's name.
        value: its value.
        limits: if they are whole, the number must be whole, too.
    """
    least, most, multiple = limits
    kind = numbers.Integral if isinstance(most, int) else numbers.Real
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    if not (is_number and least <= value <= most):  # type: ignore[operator]  # NaN is neither.
        raise InputError(f"{name}={value} must be {in_words(limits)}", name)
    if multiple and value % multiple:  # type: ignore[operator]  # It is a number.
        raise InputError(f"{name}={value} must be a multiple of {multiple}", name)


def in_words(limits: Limits) -> str:
    """Limits as people read them, such as "a whole number from 1 to 65536"."""
    called = "a whole number" if isinstance(limits.most, int) else "a number"
    return f"{called} from {_text(limits.least)} to {_text(limits.most)}"


def _text(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"
