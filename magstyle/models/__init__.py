"""The networks: the style transformer and the VGG loss network. Keras alone, on any backend."""

from magstyle.errors import InputError


def random_seed(source: str) -> int:
    """The seed of the network that is called `random:SEED`.

    Raises:
        InputError: where it is no whole number.
    """
    try:
        return int(source.removeprefix("random:"))
    except ValueError as error:
        raise InputError(f"{source} must be random: and a whole number, such as random:0") from error
