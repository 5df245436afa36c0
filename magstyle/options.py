"""Options as typed values: the fields of a frozen dataclass say what options there are, what they mean and can be.

Checks, signatures, docstrings and the flags of programs follow from the fields, so that an option is written once.
"""

import dataclasses
import difflib
import functools
import inspect
import os
import re
import typing
from collections.abc import Callable
from typing import Annotated, Literal, ParamSpec, TypeVar

import numpy as np

from magstyle import files, limits
from magstyle.errors import InputError, check_choice


class _Written:
    """Marks a path to write to, which is checked before any work."""


OutputPath = Annotated[str | os.PathLike, _Written()]

P = ParamSpec("P")
Job = TypeVar("Job")
Result = TypeVar("Result")


def takes(job: Callable[P, Job]) -> Callable[[Callable[[Job], Result]], Callable[P, Result]]:
    """Lets callers of a function of one job pass the job's fields instead.

    Signature and docstring, and what type checkers see, show the fields one by one.

    Args:
        job: the class of the job, a dataclass with a docstring.
    """

    def decorate(function: Callable[[Job], Result]) -> Callable[P, Result]:
        signature = inspect.signature(job).replace(return_annotation=inspect.signature(function).return_annotation)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Result:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:  # The dataclass would name its __init__.
                unknown = [name for name in kwargs if name not in signature.parameters]
                near = difflib.get_close_matches(unknown[0], signature.parameters, 1) if unknown else []
                meant = f"; did you mean {near[0]}?" if near else ""
                raise TypeError(f"{function.__name__}() {error}{meant}") from None
            return function(job(*args, **kwargs))

        del call.__wrapped__  # Its signature is another.
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
        call.__annotations__["return"] = signature.return_annotation
        call.__doc__ = _with_arguments(inspect.getdoc(function) or "", meanings(job))
        return call

    return decorate


def check(options: object) -> None:
    """Raises an InputError for a field of a dataclass with a value that its type forbids, as `check_value` does.

    It does so, too, for an empty sequence where that is not the default, such as no layer to climb.
    """
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        check_value(field.name, value, field.type)
        # A text is a sequence, too, where several are expected.
        is_sequence = isinstance(value, list | tuple) or (isinstance(value, str) and isinstance(field.default, tuple))
        if is_sequence and not value and field.default != ():
            raise InputError(f"{field.name} must not be empty", field.name)


def check_value(name: str, value: object, annotation: object) -> None:
    """Raises an InputError for a value that its type forbids.

    That is a number beyond its limits, an unknown choice, a truth value that is none of the two, or a path at which
    nothing can be written.

    Args:
        name: the argument's name.
        value: its value.
        annotation: its type; one that says nothing of numbers, choices or truth values allows everything.
    """
    if value is None and type(None) in _parts(annotation):
        return
    allowed = choices(annotation)
    if allowed:
        check_choice(name, value, allowed)
    elif kinds(annotation) == {bool} and not isinstance(value, bool | np.bool_):
        raise InputError(f"{name}={value} must be True or False", name)
    within = limits_of(annotation)
    if within:
        limits.check_number(name, value, within)
    if annotation == OutputPath:
        files.check_name(files.expanded(value))  # type: ignore[arg-type]  # Anything else is refused there.


def limits_of(annotation: object) -> limits.Limits | None:
    """The limits in an annotation such as `Strength` or `ImageSize | None`, if there are any."""
    for part in _parts(annotation):
        for found in getattr(part, "__metadata__", ()):
            if isinstance(found, limits.Limits):
                return found
    return None


def choices(annotation: object) -> list[object]:
    """What there is to choose from in an annotation such as `Literal["avg", "max"]`; a bool beside it is two more."""
    parts = _parts(annotation)
    found = [value for part in parts if typing.get_origin(part) is Literal for value in typing.get_args(part)]
    return [*found, *((True, False) if found and bool in parts else ())]


def kinds(annotation: object) -> set[object]:
    """The plain types in an annotation, such as {int} of `ImageSize | None`."""
    plain: set[object] = set()
    for part in _parts(annotation):
        plain |= kinds(typing.get_args(part)[0]) if typing.get_origin(part) is Annotated else {part}
    return plain - {type(None)}


def meanings(job: Callable) -> dict[str, str]:
    """The meaning of each field of a job, as its docstring and those of its bases say under "Args:"."""
    found: dict[str, str] = {}
    for base in reversed(inspect.getmro(job)):  # type: ignore[arg-type]
        section = re.search(r"^Args:\n((?: .*\n|\n)*)", inspect.cleandoc(base.__doc__ or "") + "\n", re.MULTILINE)
        listed = section[1] if section else ""
        for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", listed, re.MULTILINE):
            found.update(dict.fromkeys(names.split(", "), " ".join(text.split())))
    parameters = inspect.signature(job).parameters
    return {name: found[name] for name in parameters if name in found}


def _parts(annotation: object) -> list[object]:
    """The members of a union; anything else is itself."""
    # Both kinds of unions, `int | None` and `Optional[Annotated[...]]`, have members; an Annotated type has one, too.
    if typing.get_origin(annotation) in (Literal, Annotated):
        return [annotation]
    members = typing.get_args(annotation)
    is_union = "Union" in getattr(typing.get_origin(annotation), "__name__", str(typing.get_origin(annotation)))
    return [part for member in members for part in _parts(member)] if is_union else [annotation]


def _with_arguments(doc: str, arguments: dict[str, str]) -> str:
    """A docstring with a section "Args:" before what is returned and raised."""
    listed = "".join(f"    {name}: {text}\n" for name, text in arguments.items())
    before, section, after = re.split(r"^((?:Returns|Raises|References?):|\Z)", doc, maxsplit=1, flags=re.MULTILINE)
    return f"{before.rstrip()}\n\nArgs:\n{listed}\n{section}{after}".rstrip()
