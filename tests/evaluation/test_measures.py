"""Evaluation from Python; its numbers are tested with the program, in tests/programs/test_evaluate.py."""

import numpy as np
import pytest
import tensorflow as tf

import magstyle
from magstyle.data import pipeline
from magstyle.evaluation.measures import Evaluation
from magstyle.training.jobs import StylesObjective
from magstyle.training.transfer import with_styles
from tests.samples import STYLES


@pytest.fixture
def small(photos, vgg_file, style_dataset):
    return {
        "style_dataset_file": style_dataset,
        "content_files": photos,
        "vgg_checkpoint": vgg_file,
        "batch_size": 2,
        "image_size": 32,
        "num_evals": 2,
    }


def test_a_model_is_measured_in_every_style(small_model, small):
    found = magstyle.evaluate(with_styles(small_model, STYLES, match_names=True), **small)
    names = {
        "total_loss",
        "style_loss/vgg_16/conv4",
        "relative_style_loss",
        "relative_content_loss",
        "palette",
        "pattern",
    }
    assert names <= set(found)
    for name, values in found.items():
        assert values.shape == (2,) and np.all(values > 0), name
    assert found["total_loss"][0] != found["total_loss"][1]


def test_a_model_that_keeps_the_photo_is_near_to_it_and_far_from_the_painting(small_model, small, monkeypatch):
    model = with_styles(small_model, STYLES)
    painted = magstyle.evaluate(model, **small)
    monkeypatch.setattr(type(model), "call", lambda self, inputs, training=None: inputs[0])
    kept = magstyle.evaluate(with_styles(small_model, STYLES), **small)
    for name in ("relative_style_loss", "palette", "pattern"):
        np.testing.assert_allclose(kept[name], 1, rtol=1e-4)
    np.testing.assert_allclose(kept["relative_content_loss"], 0, atol=1e-6)
    assert np.all(painted["relative_content_loss"] > 0.1)


def test_no_means_are_given_of_fewer_photos_where_all_vanish(small_model, small, monkeypatch):
    endless = pipeline.batches
    monkeypatch.setattr(pipeline, "batches", lambda *args: endless(*args).take(1))
    with pytest.raises(magstyle.InputError, match="there is no image left that can be used in"):
        magstyle.evaluate(with_styles(small_model, STYLES), **small)


def test_of_a_model_with_more_styles_those_are_measured_that_there_are_paintings_of(small_model, small):
    names = ["rain", "wave", "scream"]
    found = magstyle.evaluate(with_styles(small_model, names, match_names=True), **small)
    expected = magstyle.evaluate(with_styles(small_model, STYLES, match_names=True), **small)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)


def test_a_model_keeps_its_weights_when_another_one_is_measured(small_model, small):
    num_evals, evaluation = small["num_evals"], evaluation_of(small)
    first = with_styles(small_model, STYLES, match_names=True)
    before = [weights.copy() for weights in first.get_weights()]
    expected = evaluation.measure(first, num_evals)
    second = with_styles(small_model, STYLES)
    second.set_weights([weights + 0.1 for weights in before])
    evaluation.measure(second, num_evals)
    for old, new in zip(before, first.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    again = evaluation.measure(first, num_evals)
    np.testing.assert_allclose(again["total_loss"], expected["total_loss"], rtol=1e-5)


def test_every_picture_is_painted_once(small_model, small, monkeypatch):
    painted = []
    original = type(small_model).call

    def call(self, inputs, **options):
        painted.append(inputs[0].shape)
        return original(self, inputs, **options)

    evaluation, model = evaluation_of(small), with_styles(small_model, STYLES)
    evaluation.measure(model, 1)
    tf.config.run_functions_eagerly(True)
    try:
        monkeypatch.setattr(type(small_model), "call", call)
        evaluation.measure(model, 2)
    finally:
        tf.config.run_functions_eagerly(False)
    assert painted == [(2, 32, 32, 3)] * 2 * len(STYLES)


def test_too_few_frames_are_refused_by_name(small):
    with pytest.raises(magstyle.InputError, match=r"^num_frames=0 must be a whole number from 1 to \d+$"):
        evaluation_of(small).read_clip("never.mp4", num_frames=0)


def evaluation_of(small):
    objective = {name: value for name, value in small.items() if name not in ("style_dataset_file", "num_evals")}
    return Evaluation(small["style_dataset_file"], StylesObjective(**objective))


def test_a_model_of_other_styles_is_refused(small_model, small):
    with pytest.raises(magstyle.InputError, match=r"has 3 styles, and .* has 2 paintings of other names"):
        magstyle.evaluate(with_styles(small_model, ["rain", "wave", "snow"]), **small)
