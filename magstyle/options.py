"""Options as typed values: the fields of a frozen dataclass say what options there are, what they mean and can be.

Checks, signatures, docstrings and the flags of programs follow from the fields, so that an option is written once.
"""

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable
from typing import Annotated, Literal, ParamSpec, TypeVar

from magstyle import limits
from magstyle.errors import check_choice

P = ParamSpec("P")
Options = TypeVar("Options")
Result = TypeVar("Result")


def takes(options: Callable[P, Options]) -> Callable[[Callable[[Options], Result]], Callable[P, Result]]:
    """Decorates a function of one argument, whose callers then give what that is made of instead.

    Signature and docstring, and what type checkers see, show the options one by one.

    Args:
        options: the class of the argument, a dataclass with a docstring.
    """

    def decorate(function: Callable[[Options], Result]) -> Callable[P, Result]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Result:
            return function(options(*args, **kwargs))

        returned = inspect.signature(function).return_annotation
        call.__signature__ = inspect.signature(options).replace(return_annotation=returned)  # type: ignore[attr-defined]
        call.__doc__ = _with_arguments(inspect.getdoc(function) or "", meanings(options))
        del call.__wrapped__  # Its signature is another.
        return call

    return decorate


def check(options: object) -> None:
    """Raises an InputError for a field of a dataclass that its annotation does not allow: a number or a choice."""
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        check_value(field.name, getattr(options, field.name), field.type)


def check_value(name: str, value: object, annotation: object) -> None:
    """Raises an InputError for a value that an annotation does not allow: a number beyond its limits, or no choice."""
    if value is None:
        return
    allowed = choices(annotation)
    if allowed:
        check_choice(name, value, allowed)
    within = limits_of(annotation)
    if within:
        limits.check_number(name, value, within)


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
    plain = {
        getattr(part, "__origin__", part) if typing.get_origin(part) is Annotated else part
        for part in _parts(annotation)
    }
    return plain - {type(None)}


def meanings(options: Callable) -> dict[str, str]:
    """What each option of a class means, as its docstring and those of its bases say under "Args:"."""
    found: dict[str, str] = {}
    for base in reversed(inspect.getmro(options)):  # type: ignore[arg-type]
        section = re.search(r"^Args:\n((?: .*\n|\n)*)", inspect.cleandoc(base.__doc__ or "") + "\n", re.MULTILINE)
        listed = section[1] if section else ""
        for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", listed, re.MULTILINE):
            found.update(dict.fromkeys(names.split(", "), " ".join(text.split())))
    parameters = inspect.signature(options).parameters
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
