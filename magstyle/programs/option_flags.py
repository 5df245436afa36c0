"""Flags made from the fields of a job, so that their names, defaults, help and limits are written once."""

import inspect
import os
import typing
from collections.abc import Container, Sequence
from typing import Any

from absl import flags

from magstyle import limits, options

# Flags defined below belong to the program that calls.
flags.disclaim_key_flags()


class NumberFlag(flags.Flag):
    """A flag whose annotation gives its limits; `command_line.parse` checks them, for an error in the library's words.

    An optional number with a default can also be `none`, which is Python's None.

    Args:
        name, default: those of the flag.
        text: its help.
        annotation: a type of `magstyle.limits`, or a union of one with None.
    """

    def __init__(self, name: str, default: float | None, text: str, annotation: object):
        # The keyword makes absl give a parser of its own to this flag.
        number = flags.FloatParser if float in options.kinds(annotation) else flags.IntegerParser
        parser: flags.ArgumentParser = number(lower_bound=None)
        within = options.limits_of(annotation)
        if within:
            parser.syntactic_help = limits.in_words(within)
        if default is not None and type(None) in typing.get_args(annotation):
            parser = _OptionalParser(parser)
        super().__init__(parser, flags.ArgumentSerializer(), name, default, text)
        self.annotation = annotation


class _OptionalParser(flags.ArgumentParser):
    """Parses a number, or the word `none`."""

    def __init__(self, number: flags.ArgumentParser):
        self.number = number
        self.syntactic_help = f"{number.syntactic_help}, or none"

    def parse(self, argument: str | float) -> float | None:
        return None if str(argument).lower() == "none" else self.number.parse(str(argument))

    def flag_type(self) -> str:
        return self.number.flag_type()


class _BooleanOrWordParser(flags.ArgumentParser):
    """Parses a flag that can be --FLAG, --noFLAG, and --FLAG=WORD, where WORD is one of a few."""

    def __init__(self, words: tuple[str, ...]):
        self.words = words

    def parse(self, argument: str | int) -> bool | str:
        if argument in self.words:
            return str(argument)
        try:
            return flags.BooleanParser().parse(argument)
        except ValueError as error:
            raise ValueError(f"must be true, false or {', '.join(self.words)}") from error

    def flag_type(self) -> str:
        return "bool"


def define_options(job: type, skip: Container[str] = ()) -> None:
    """Defines a flag for every field of a job, with the field's name, default and meaning.

    Args:
        job: a dataclass whose docstring explains its fields under "Args:".
        skip: fields that have no flag, or one that the program defines itself.
    """
    meanings = options.meanings(job)
    for name, field in inspect.signature(job).parameters.items():
        if name in skip:
            continue
        required = field.default is inspect.Parameter.empty
        define_option(name, field.annotation, None if required else field.default, meanings[name])
        if required:
            flags.mark_flag_as_required(name)


def define_option(name: str, annotation: object, default: Any, meaning: str) -> None:
    """Defines one flag.

    Args:
        name: the name of the flag.
        annotation: its type, from which follows the kind of flag: boolean, number, choice, path or other text.
        default: its default.
        meaning: its help; the first letter becomes a capital.
    """
    kinds, text = options.kinds(annotation), meaning[:1].upper() + meaning[1:]
    words = tuple(str(choice) for choice in options.choices(annotation) if not isinstance(choice, bool))
    if bool in kinds and words:
        parser = _BooleanOrWordParser(words)
        flags.DEFINE_flag(flags.Flag(parser, flags.ArgumentSerializer(), name, default, text, boolean=True))
    elif words:
        flags.DEFINE_enum(name, default, words, text)
    elif kinds == {bool}:
        flags.DEFINE_bool(name, default, text)
    elif kinds <= {int, float}:
        flags.DEFINE_flag(NumberFlag(name, default, text, annotation))
    elif os.PathLike in kinds and any(typing.get_origin(kind) is Sequence for kind in kinds):
        flags.DEFINE_multi_string(name, default, text)
        mark_as_path(name)
    elif kinds == {Sequence[str]}:
        flags.DEFINE_list(name, list(default), text)
    else:
        flags.DEFINE_string(name, default, text)
        if os.PathLike in kinds:
            mark_as_path(name)


def mark_as_path(name: str) -> None:
    """Makes a flag refuse the empty text, as in `--output_dir=`, which would otherwise mean the current folder."""
    flags.register_validator(
        name,
        lambda value: not (value == "" or (isinstance(value, list) and "" in value)),
        message="must be the path of a file or a folder, not empty",
    )
