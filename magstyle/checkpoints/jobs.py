"""A model to make of paintings, as one value: the program makes its flags from it."""

import dataclasses

from magstyle import options
from magstyle.checkpoints.networks import Checkpoint
from magstyle.data import photos


@dataclasses.dataclass(frozen=True, eq=False)  # A model has no truth value.
class AddStylesJob:
    """A model to make of paintings, at once.

    Args:
        style_files: paintings: image files, globs, and folders with everything below them; one or several. Their names
            become those of the styles.
        output_model: the model to write, a .keras file.
        checkpoint: a model with a style predictor, which tells the paintings' styles.
    """

    style_files: photos.Patterns
    output_model: options.OutputPath
    _: dataclasses.KW_ONLY
    checkpoint: Checkpoint = "anything"

    def __post_init__(self) -> None:
        options.check(self)
