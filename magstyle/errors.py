"""The one exception that is meant for people."""


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


def is_out_of_memory(error: Exception) -> bool:
    """Whether Keras's backend, TensorFlow or JAX, or NumPy could not have the memory that it asked for."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"
        or ("RESOURCE_EXHAUSTED" in str(error))
    )
