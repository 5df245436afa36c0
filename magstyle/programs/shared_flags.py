"""Flags that several programs have, defined in one place, each group for the program that calls it."""

import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from magstyle import limits, project, sizes
from magstyle.errors import InputError
from magstyle.painting import engines
from magstyle.programs import command_line, option_flags

if TYPE_CHECKING:
    from magstyle.checkpoints.networks import Network

FLAGS = flags.FLAGS
# Flags defined below belong to the program that calls.
flags.disclaim_key_flags()

MODEL = "The model: a bundled one, a .keras file, a training folder, a Magenta checkpoint or .pb."


def mark_as_paths(*names: str) -> None:
    """Makes flags refuse the empty text; see `option_flags.mark_as_path`."""
    for name in names:
        option_flags.mark_as_path(name)


def define_which_styles(several: str) -> None:
    """Defines --which_styles, the styles to paint in.

    Args:
        several: the purpose of several styles, such as "for a picture each", and what else there is.
    """
    flags.DEFINE_string(
        "which_styles",
        "[0]",
        "Styles by number, name or part of a name: one, a mixture such as '{scream: 0.6, 7: 0.4}', several such as "
        f"'scream, 7' {several}.",
    )


def define_masks() -> None:
    """Defines --mask, regions in styles of their own."""
    flags.DEFINE_multi_string(
        "mask",
        [],
        "FILE:STYLE, an image that is white where this style is to be; several masks may follow. The rest takes "
        "--which_styles, or stays as it is with --which_styles=photo.",
    )
    mark_as_paths("mask")


def define_style_files() -> None:
    """Defines --style_files, the paintings to learn from."""
    flags.DEFINE_multi_string(
        "style_files", None, "Painting, glob or folder; more may follow without the flag.", required=True
    )
    mark_as_paths("style_files")


def define_checkpoint() -> None:
    """Defines --checkpoint, the model."""
    flags.DEFINE_string("checkpoint", "painters", MODEL)
    mark_as_paths("checkpoint")


def define_num_styles_and_alpha() -> None:
    """Defines --num_styles and --alpha, which Magenta's programs required."""
    text = "not needed; if given, the model must have this number of styles."
    option_flags.define_option("num_styles", limits.Count | None, None, text)
    define_alpha()


def define_alpha() -> None:
    """Defines --alpha alone."""
    text = "not needed; if given, the model must have this width."
    option_flags.define_option("alpha", limits.Alpha | None, None, text)


def open_network(any_painting: bool = True) -> "Network":
    """The model to paint with, as plain arrays, which takes neither Keras nor TensorFlow.

    It is that of --checkpoint or, in programs with --style_image, the one that knows these paintings.

    Args:
        any_painting: whether a model that has no styles but a predictor of them will do.
    """
    from magstyle.checkpoints import model_files
    from magstyle.painting.brush import model_of

    model = model_of(FLAGS.checkpoint, FLAGS.style_image) if "style_image" in FLAGS else FLAGS.checkpoint
    return model_files.read_network(model, FLAGS.num_styles, FLAGS.alpha, any_painting=any_painting)


def import_engine(engine: str = "auto") -> None:
    """Imports the library that a Stylizer of this engine is going to compute with."""
    on_tensorflow = os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"
    if engine == "keras" and on_tensorflow:
        with project.needing_tensorflow("engine=keras", "engine"):
            command_line.import_tensorflow()
    elif engine == "auto" and on_tensorflow and engines.may_have_a_gpu():
        with contextlib.suppress(ModuleNotFoundError):  # Then the CPU paints, without it.
            command_line.import_tensorflow()
    if engines.choose(engine) == "litert":
        command_line.import_litert()


def photos(arguments: list[str], *others: str) -> dict[str, object]:
    """The source of the photos, as keyword arguments of the library's functions.

    Args:
        arguments: the arguments that follow the flags: more files, if the flag that is given takes several.
        others: flags that can be given instead of content_files.

    Raises:
        InputError: unless there is exactly one source.
    """
    sources = ["content_files", *others]
    given = [name for name in sources if FLAGS[name].value]
    if len(given) != 1:
        listed = ", ".join(f"--{name}" for name in sources[:-1])
        raise InputError(f"give the photos by one of {listed} and --{sources[-1]}")
    value = FLAGS[given[0]].value
    if isinstance(value, list):
        value = [*value, *arguments]
    else:
        command_line.refuse(arguments)
    return {given[0]: value, "tfds_data_dir": FLAGS.tfds_data_dir}


class SizeParser(flags.ArgumentParser):
    """Parses one side, 384, or a size, 640x480, which becomes (480, 640)."""

    syntactic_help = "a side in pixels, or WIDTHxHEIGHT"

    def parse(self, argument: str | int) -> int | tuple[int, int]:
        match = re.fullmatch(r"(\d+)|([1-9]\d*)x([1-9]\d*)", str(argument))
        if not match:
            raise ValueError(f"must be {self.syntactic_help}")
        side, width, height = match.groups()
        return int(side) if side else (int(height), int(width))

    def flag_type(self) -> str:
        return "size"


def size_of(flag: str) -> int | tuple[int, int]:
    """The value of a flag as a size that the network takes; says so where it had to be rounded. 0 stays 0."""
    given: Any = FLAGS[flag].value
    if isinstance(given, tuple):
        height, width = size = sizes.padded(given[0]), sizes.padded(given[1])
        _tell_rounding(flag, f"{given[1]}x{given[0]}", f"{width}x{height}, multiples")
        return size
    side = given and sizes.padded(given)
    _tell_rounding(flag, f"{given}", f"{side}, a multiple")
    return side


def _tell_rounding(flag: str, typed: str, used: str) -> None:
    if typed != used.split(",")[0]:
        print(f"--{flag}={typed} is rounded to {used} of {sizes.MULTIPLE}", file=sys.stderr)
