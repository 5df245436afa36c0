"""The one exception that is meant for people, and checks of arguments that raise it."""

import contextlib
from collections.abc import Iterable, Iterator


class InputError(ValueError):
    """An argument, file or array that cannot be used as it was given.

    Its message is one sentence that names the culprit and says what to do; programs print it instead of a traceback.

    Args:
        message: the sentence. It calls arguments by their Python names: `image_size`.
        arguments: those names. A program, whose flags are called as the arguments are, prints them as flags:
            `--image_size`.
    """

    def __init__(self, message: str, *arguments: str):
        super().__init__(message)
        self.arguments = arguments


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raises an InputError for an argument that is none of the choices."""
    choices = list(choices)
    if value not in choices:
        raise InputError(f"{name}={value} must be one of {', '.join(choices)}", name)


def check_positive(**arguments: float | None) -> None:
    """Raises an InputError for the first argument that is neither None nor a finite number above 0."""
    for name, value in arguments.items():
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{name}={value} must be above 0", name)


def check_not_negative(**arguments: float) -> None:
    """Raises an InputError for the first argument that is no finite number of 0 or more."""
    for name, value in arguments.items():
        if not 0 <= value < float("inf"):
            raise InputError(f"{name}={value} must be 0 or more", name)


@contextlib.contextmanager
def memory_for_features(of: str, height: int, width: int) -> Iterator[None]:
    """A guard around the features of a picture: a lack of memory becomes an InputError.

    Args:
        of: what the picture is, such as "a painting".
        height, width: of it, in pixels.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"no memory for the features of {of} of {width} x {height} pixels; lower image_size", "image_size"
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether Keras's backend, TensorFlow or JAX, or NumPy could not have the memory that it asked for."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"
        or ("RESOURCE_EXHAUSTED" in str(error))
    )
