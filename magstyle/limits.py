"""What numbers can be: a type for each kind of number that people give, which says from where to where it goes."""

import numbers
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from magstyle import sizes
from magstyle.errors import InputError

# As TensorFlow and Keras count steps, and compute losses and rates.
_INT32, _FLOAT32 = 2**31 - 1, 1e38
# In pixels: no JPEG file has a longer side.
_LONGEST_SIDE = 65500


class Limits(NamedTuple):
    """The least and the most that a number can be; whole numbers have whole limits, and may have to be multiples."""

    least: float
    most: float
    multiple: int | None = None


# From one filter to residual blocks of 4096.
Alpha = Annotated[float, Limits(1 / 32, 32.0)]
BatchSize = Annotated[int, Limits(1, 65536)]
Count = Annotated[int, Limits(1, _INT32)]
CountOrNone = Annotated[int, Limits(0, _INT32)]
Weight = Annotated[float, Limits(0.0, _FLOAT32)]
PositiveWeight = Annotated[float, Limits(1e-6, _FLOAT32)]
LearningRate = Annotated[float, Limits(0.0, _FLOAT32)]
Seed = Annotated[int, Limits(0, 2**32 - 1)]
Seconds = Annotated[float, Limits(0.0, 1e9)]
# Of a clip.
Start = Annotated[float, Limits(0.0, 1e6)]
Duration = Annotated[float, Limits(1e-3, 1e6)]
FrameRate = Annotated[float, Limits(1e-3, 1000.0)]
# Sides of images, in pixels.
ImageSize = Annotated[int, Limits(1, _LONGEST_SIDE)]
TileSize = Annotated[int, Limits(16, _LONGEST_SIDE)]
# Sides of images that VGG sees: crops that the network takes, too, and paintings.
CropSize = Annotated[int, Limits(sizes.SMALLEST_FOR_VGG, _LONGEST_SIDE, sizes.MULTIPLE)]
PaintingSize = Annotated[int, Limits(sizes.SMALLEST_FOR_VGG, _LONGEST_SIDE)]
# How pictures are painted.
Strength = Annotated[float, Limits(0.0, 1.5)]
StrokeSize = Annotated[float, Limits(0.25, 8.0)]
# How pixels are optimised.
Octaves = Annotated[int, Limits(1, 100)]
OctaveScale = Annotated[float, Limits(1.05, 100.0)]
StyleScale = Annotated[float, Limits(0.01, 100.0)]
Zoom = Annotated[float, Limits(1.0, 100.0)]


def check_number(name: str, value: object, limits: Limits) -> None:
    """Raises an InputError for a value that is no number within limits: too small, too large, NaN, or of another type.

    Args:
        name: of the argument.
        value: of it.
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


_SIDES = ("image_size", "preview_size")
# From the first to the second.
_LIMITS = {
    # From one filter to residual blocks of 4096.
    "alpha": (1 / 32, 32.0),
    "batch_size": (1, 65536),
    "checkerboard_weight": (0.0, _FLOAT32),
    "clip_gradient_norm": (0.0, _FLOAT32),
    "content_weight": (0.0, _FLOAT32),
    "decay_steps": (0, _INT32),
    "duration": (1e-3, 1e6),
    "eval_interval_secs": (0.0, 1e9),
    "fps": (1e-3, 1000.0),
    "frames": (1, _INT32),
    "image_size": (1, _LONGEST_SIDE),
    "learning_rate": (0.0, _FLOAT32),
    "mesh_weight": (0.0, _FLOAT32),
    "num_evals": (1, _INT32),
    "num_shards": (1, _INT32),
    "num_styles": (1, _INT32),
    "octave_scale": (1.05, 100.0),
    "octaves": (1, 100),
    "optimize_pairs": (0, _INT32),
    "preview_size": (1, _LONGEST_SIDE),
    "save_interval_secs": (0.0, 1e9),
    "save_summaries_secs": (0.0, 1e9),
    "seed": (0, 2**32 - 1),
    "snapshot_steps": (1, _INT32),
    "start": (0.0, 1e6),
    "steps": (1, _INT32),
    "strength": (0.0, 1.5),
    "stroke_size": (0.25, 8.0),
    "style_learning_rate_scale": (0.0, _FLOAT32),
    "style_ramp_steps": (0, _INT32),
    "style_scale": (0.01, 100.0),
    "style_weight": (1e-6, _FLOAT32),
    "tile_size": (16, _LONGEST_SIDE),
    "total_variation_weight": (0.0, _FLOAT32),
    "train_steps": (1, _INT32),
    "zoom": (1.0, 100.0),
}
# Of numbers that have no limits of their own.
_OTHERS = {int: (-(2**63), 2**63 - 1), float: (-1e308, 1e308)}


def check(arguments: Mapping[str, object], smallest_side: int = 1) -> None:
    """Raises an InputError for a number that no argument of its name can be: too small, too large, or NaN.

    Args:
        arguments: values by name. None, and what is no number and has no limits, is left to others.
        smallest_side: of images, in pixels.
    """
    for argument, value in arguments.items():
        least, most = _LIMITS.get(argument) or _OTHERS.get(type(value), (None, None))
        if value is None or least is None:
            continue
        if argument in _SIDES:
            least = smallest_side
        kind, name = (numbers.Integral, "a whole number") if isinstance(most, int) else (numbers.Real, "a number")
        if not isinstance(value, kind) or isinstance(value, bool) or not least <= value <= most:  # NaN is neither.
            raise InputError(f"{argument}={value} must be {name} from {_text(least)} to {_text(most)}", argument)


def _text(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"
