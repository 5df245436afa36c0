"""The one exception that is meant for the person at the keyboard."""


class InputError(ValueError):
    """A flag, file or array that cannot be used as it was given.

    Its message is one sentence that names the culprit and says what to do; programs print it instead of a traceback.
    """
