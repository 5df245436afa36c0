"""The one exception that is meant for people, and what raises it for a choice that is none and a lack of memory."""

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


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raises an InputError for an argument that is none of the choices."""
    choices = list(choices)
    if value not in choices:
        raise InputError(f"{name}={value} must be one of {', '.join(map(str, choices))}", name)


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
