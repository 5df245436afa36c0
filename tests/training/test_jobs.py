"""The options of training, as Python and type checkers see them."""

import dataclasses
import inspect
import subprocess
import sys

import pytest

import magstyle
from magstyle import options
from magstyle.evaluation.jobs import EvaluationJob
from magstyle.training.jobs import DistillationJob, FinetuningJob, PredictorTrainingJob, StyleDatasetJob, TrainingJob
from tests.places import ENV, ROOT

JOBS = [
    (magstyle.train, TrainingJob, ["style_dataset_file", "train_dir"]),
    (magstyle.finetune, FinetuningJob, ["style_dataset_file", "train_dir"]),
    (magstyle.train_predictor, PredictorTrainingJob, ["style_files", "train_dir"]),
    (magstyle.distil, DistillationJob, ["train_dir"]),
    (magstyle.evaluate, EvaluationJob, ["checkpoint", "style_dataset_file"]),
    (magstyle.create_style_dataset, StyleDatasetJob, ["style_files", "output_file"]),
]


@pytest.mark.parametrize(("function", "job", "positional"), JOBS)
def test_a_function_shows_every_option_with_its_default_and_its_meaning(function, job, positional):
    parameters = inspect.signature(function).parameters
    assert list(parameters) == [*positional, *(name for name in parameters if name not in positional)]
    for field in dataclasses.fields(job):
        parameter = parameters[field.name]
        assert parameter.annotation == field.type
        given = field.name in positional
        assert parameter.kind == (parameter.POSITIONAL_OR_KEYWORD if given else parameter.KEYWORD_ONLY)
        assert parameter.default == (parameter.empty if given else field.default)
    meanings = options.meanings(job)
    assert set(meanings) == set(parameters)
    for name, meaning in meanings.items():
        assert f"    {name}: {meaning}\n" in function.__doc__


def test_options_are_known_without_tensorflow_and_keras():
    code = (
        "import sys; from magstyle.training import jobs; from magstyle.evaluation import jobs; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=ENV, cwd=ROOT)


def test_fine_tuning_takes_its_time_from_the_number_of_paintings():
    def schedule(job, **given):
        return tuple(job("styles.tfrecord", "train", **given).schedule(3))

    assert schedule(FinetuningJob) == (0.05, 300, 225)
    assert schedule(FinetuningJob, train_steps=80) == (0.05, 80, 60)
    assert schedule(FinetuningJob, decay_steps=0) == (0.05, 300, 0)
    assert schedule(TrainingJob) == (1e-3, 40000, 0)


def test_the_learning_rate_of_a_distillation_falls_from_the_first_step():
    assert tuple(DistillationJob("train", train_steps=80).schedule(3)) == (2e-3, 80, 80)
    assert tuple(DistillationJob("train", train_steps=80, decay_steps=20).schedule(3)) == (2e-3, 80, 20)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"image_size": 33}, "image_size=33 must be a multiple of 4"),
        ({"image_size": 12}, "image_size=12 must be a whole number from 16 to 65500"),
        ({"image_size": 28, "mesh_weight": 1}, "image_size=28 must be at least 32 unless mesh_weight is 0"),
        ({"distribution": "everywhere"}, "distribution=everywhere must be one of none, mirrored, multi_worker"),
        ({"alpha": 0.0}, "alpha=0.0 must be a number from 0.03125 to 32"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_any_work(given, sentence):
    with pytest.raises(magstyle.InputError) as caught:
        TrainingJob("styles.tfrecord", "train", **given)
    assert str(caught.value) == sentence
