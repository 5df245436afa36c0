"""The one exception meant for people, and functions that raise it for a wrong choice or a lack of memory."""

import contextlib
from collections.abc import Iterable, Iterator


class InputError(ValueError):
    """An argument, file or array cannot be used as it was given.

    The message is one sentence that names the culprit and says what to do; programs print it instead of a traceback.

    Args:
        message: the sentence. It calls arguments by their Python names, such as `image_size`.
        arguments: these names. A program's flags have the same names, and it prints them as flags: `--image_size`.
    """

    def __init__(self, message: str, *arguments: str):
        super().__init__(message)
        self.arguments = arguments


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raises an InputError unless an argument is one of the choices."""
    choices = list(choices)
    if value not in choices:
        raise InputError(f"{name}={value} must be one of {', '.join(map(str, choices))}", name)


@contextlib.contextmanager
def memory_for_features(of: str, height: int, width: int) -> Iterator[None]:
    """Turns a lack of memory into an InputError while the features of a picture are computed in the block.

    Args:
        of: a name for the picture, such as "a painting".
        height, width: its size, in pixels.
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
    """Whether an error of TensorFlow, JAX or NumPy says that they ran out of memory."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"
        or ("RESOURCE_EXHAUSTED" in str(error))
    )
