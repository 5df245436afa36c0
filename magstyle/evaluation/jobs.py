"""The options of an evaluation, as values that import nothing heavy."""

import dataclasses

from magstyle.limits import Count
from magstyle.training.jobs import Checkpoint, FilePath, StylesObjective


@dataclasses.dataclass(frozen=True)
class EvaluationJob(StylesObjective):
    """Measures a model on photos, in every style.

    Args:
        checkpoint: the model, anything that `magstyle.load_model` opens.
        style_dataset_file: the paintings of all styles of the model, or of some: those of the same names. A model with
            other names must have the same number of styles, in the same order.
        num_evals: batches of photos to measure on, each in every style.
    """

    checkpoint: Checkpoint
    style_dataset_file: FilePath
    _: dataclasses.KW_ONLY
    num_evals: Count = 32
