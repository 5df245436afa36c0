"""The networks: the style transformer, the style predictor and the VGG loss network. Keras alone, on any backend.

The way in is `transformer`, the style transformer, and `vgg`, the loss network; `predictor` tells the style of a
painting. `architecture` is the table from which every form of the transformer is built, and `layers` holds the layers
that Keras lacks.
"""

import difflib
from collections.abc import Iterable, Sequence

from magstyle.errors import InputError


def random_seed(source: str) -> int:
    """The seed of the network called `random:SEED`.

    Raises:
        InputError: for a seed that is not a whole number from 0.
    """
    seed = source.removeprefix("random:")
    if not seed.isdecimal():
        raise InputError(f"{source} must be random: and a whole number, such as random:0")
    return int(seed)


def find_end_points(names: Sequence[str], available: Iterable[str]) -> list[str]:
    """The full names of end points, which may be given by their last part: `conv4_2` for `vgg_19/conv4/conv4_2`.

    Args:
        names: names of the wanted end points.
        available: full names of all end points.

    Raises:
        InputError: for an end point that does not exist; the error lists similar names.
    """
    available = list(available)
    by_last_part = {name.split("/")[-1]: name for name in available}
    full = {**by_last_part, **{name: name for name in available}}
    for name in names:
        if name not in full:
            nearest = difflib.get_close_matches(name, full, n=4, cutoff=0.5) or list(by_last_part)
            raise InputError(f"there is no end point {name!r}; the nearest are {', '.join(nearest)}")
    return [full[name] for name in names]
