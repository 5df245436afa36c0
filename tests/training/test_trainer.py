"""Training from Python, without a program."""

import io
import re
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf

import magstyle
from magstyle.painting import memory
from magstyle.training import devices, trainer
from magstyle.training.callbacks import Progress
from tests.events import curves, images_in
from tests.samples import STYLES


@pytest.fixture
def small(photos, vgg_file):
    """Arguments of a training that takes seconds."""
    return {
        "content_files": photos,
        "vgg_checkpoint": vgg_file,
        "batch_size": 2,
        "image_size": 32,
        "train_steps": 1,
        "save_summaries_secs": 1e6,
    }


@pytest.mark.parametrize(
    ("function", "start"), [(magstyle.train, "initial_checkpoint"), (magstyle.finetune, "checkpoint")]
)
def test_a_folder_of_magentas_is_refused_with_the_way_to_start_from_it(
    small_model, style_dataset, small, tmp_path, function, start
):
    folder = tmp_path / "magenta"
    magstyle.save_model(small_model, folder / "model.ckpt-40000")
    before = sorted(folder.iterdir())
    with pytest.raises(magstyle.InputError) as caught:
        function(style_dataset, folder, **small)
    checkpoint = f"{folder}/model.ckpt-40000"
    assert str(caught.value) == (
        f"{folder} holds a training by Magenta; choose another train_dir, and {start}={checkpoint} to start from it"
    )
    assert caught.value.arguments == ("train_dir", start)
    assert sorted(folder.iterdir()) == before
    assert function(style_dataset, tmp_path / "train", **{start: checkpoint}, **small).exists()


def test_a_model_is_trained_from_an_initial_checkpoint_with_all_its_weights(
    small_model, style_dataset, small, tmp_path
):
    path = magstyle.train(style_dataset, tmp_path / "train", initial_checkpoint=small_model, learning_rate=0.0, **small)
    assert path == tmp_path / "train" / "model-000001.keras"
    start = magstyle.load_model(path)
    assert list(start.style_names) == STYLES  # Which small_model has, and another one.
    for scope in small_model.scopes:
        old, new = small_model.parameters(scope), start.parameters(scope)
        np.testing.assert_array_equal(new["kernel"], old["kernel"])
        for name in ("gamma", "beta"):
            np.testing.assert_allclose(new[name], old[name].numpy()[:2], rtol=1e-6)

    path = magstyle.train(style_dataset, tmp_path / "moved", initial_checkpoint=small_model, **small)
    moved = magstyle.load_model(path)
    for scope in small_model.scopes:
        assert np.any(moved.parameters(scope)["kernel"].numpy() != small_model.parameters(scope)["kernel"].numpy())


def test_styles_that_an_initial_checkpoint_does_not_have_start_from_the_mean_of_its_own(
    small_model, style_dataset, small, tmp_path
):
    other = named(small_model, "rain", "wave", "snow")
    path = magstyle.train(style_dataset, tmp_path, initial_checkpoint=other, learning_rate=0.0, **small)
    start = magstyle.load_model(path)
    for scope in other.scopes:
        for name in ("gamma", "beta"):
            old = other.parameters(scope)[name].numpy()
            np.testing.assert_allclose(start.parameters(scope)[name], [old.mean(axis=0), old[1]], rtol=1e-5, atol=1e-7)


def test_another_width_than_that_of_the_initial_checkpoint_is_refused(small_model, style_dataset, small, tmp_path):
    with pytest.raises(magstyle.InputError, match=r"not alpha=0\.5"):
        magstyle.train(style_dataset, tmp_path / "train", initial_checkpoint=small_model, alpha=0.5, **small)
    assert not (tmp_path / "train").exists()


def test_ctrl_c_leaves_a_checkpoint_from_which_the_same_call_goes_on(
    small_model, style_dataset, small, tmp_path, monkeypatch
):
    class InterruptedAtStep2(Progress):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    small = {**small, "train_steps": 4, "save_interval_secs": 1e6}
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(trainer, "Progress", InterruptedAtStep2)
        magstyle.train(style_dataset, tmp_path, initial_checkpoint=small_model, **small)
    assert [path.name for path in tmp_path.glob("model-*.keras")] == ["model-000002.keras"]
    assert magstyle.train(style_dataset, tmp_path, initial_checkpoint=small_model, **small).name == "model-000004.keras"


def test_the_model_of_a_finished_training_is_there_even_if_it_was_not_written_at_its_end(
    small_model, style_dataset, small, tmp_path
):
    path = magstyle.train(style_dataset, tmp_path, initial_checkpoint=small_model, **small)
    path.unlink()
    assert magstyle.train(style_dataset, tmp_path, initial_checkpoint=small_model, **small) == path
    assert list(magstyle.load_model(path).style_names) == STYLES


def test_the_first_and_the_last_step_are_written_for_tensorboard(small_model, style_dataset, small, tmp_path):
    small = {**small, "train_steps": 4, "learning_rate": 0.5e-3, "decay_steps": 2}
    magstyle.train(style_dataset, tmp_path, initial_checkpoint=small_model, **small)
    found = curves(tmp_path)
    assert list(found["total_loss"]) == [0, 3]
    assert found["learning_rate"] == pytest.approx({0: 0.5e-3, 3: 0.25e-3})
    assert images_in(tmp_path) == {(name, step) for name in ("photo", "style", "result") for step in (0, 3)}
    magstyle.train(style_dataset, tmp_path, initial_checkpoint=small_model, **{**small, "train_steps": 5})
    assert list(curves(tmp_path)["total_loss"]) == [0, 3, 4]


def test_a_terminal_shows_what_is_done_before_the_first_step(small_model, style_dataset, small, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    magstyle.train(style_dataset, tmp_path, initial_checkpoint=small_model, **small)
    assert re.search(
        "opening the loss network.*compiling the first step.*1/1 .*total=", sys.stderr.getvalue(), re.DOTALL
    )


@pytest.mark.parametrize(
    ("arguments", "sentence", "named"),
    [
        ({"image_size": 33}, "image_size=33 must be a multiple of 4", ("image_size",)),
        ({"num_styles": 3}, r"has 2 styles, not num_styles=3", ("num_styles",)),
        ({"style_weights": {"vgg_16/conv1": -1}}, "must be weights by end point", ("style_weights",)),
        ({"style_coefficients": {"rain": 1}}, "the styles are scream, wave", ("style_coefficients",)),
        ({"distribution": "everywhere"}, "must be one of none, mirrored, multi_worker", ("distribution",)),
        ({"content_files": None}, "give the photos by one of content_files, imagenet_data_dir and tfds_name", None),
    ],
)
def test_what_cannot_be_used_is_one_sentence_that_names_the_argument(
    style_dataset, small, tmp_path, arguments, sentence, named
):
    with pytest.raises(magstyle.InputError, match=sentence) as caught:
        magstyle.train(style_dataset, tmp_path / "train", alpha=0.1, **{**small, **arguments})
    assert named is None or caught.value.arguments == named
    assert not (tmp_path / "train").exists()


def test_photos_that_cannot_be_used_leave_no_folder(style_dataset, small, tmp_path):
    (tmp_path / "photo.jpg").write_text("a photo")
    with pytest.raises(magstyle.InputError, match=r"there is no image to train on in .*photo\.jpg"):
        magstyle.train(
            style_dataset, tmp_path / "train", alpha=0.1, **{**small, "content_files": tmp_path / "photo.jpg"}
        )
    assert not (tmp_path / "train").exists()


def test_an_argument_that_does_not_exist_is_a_type_error(style_dataset, small, tmp_path):
    with pytest.raises(TypeError, match="steps"):
        magstyle.finetune(style_dataset, tmp_path, steps=3, **small)


def test_fine_tuning_leaves_the_convolutions_of_any_model_as_they_are(small_checkpoint, style_dataset, small, tmp_path):
    options = {**small, "checkpoint": small_checkpoint, "keep_styles": False}
    tuned = magstyle.load_model(magstyle.finetune(style_dataset, tmp_path, **options))
    old = magstyle.load_model(small_checkpoint)
    assert list(tuned.style_names) == STYLES
    for scope in old.scopes:
        np.testing.assert_array_equal(old.parameters(scope)["kernel"], tuned.parameters(scope)["kernel"])


def test_new_styles_follow_those_that_a_model_has_which_stay_as_they_are(
    small_model, style_dataset, small, tmp_path, capfd
):
    model = named(small_model, "rain", "wave", "snow")
    options = {**small, "checkpoint": model, "learning_rate": 0.1, "mixed_precision": False}
    for steps in (2, 4):  # The second call goes on where the first one ended.
        path = magstyle.finetune(style_dataset, tmp_path, **{**options, "train_steps": steps})
    assert capfd.readouterr().err.startswith(
        "2 steps for scream, wave, with batch_size=2, image_size=32 and learning_rate=0.1; keeps 2 other styles\n"
    )
    tuned = magstyle.load_model(path)
    assert tuned.style_names == ("rain", "wave", "snow", "scream")
    for scope in tuned.scopes:
        old, new = small_model.parameters(scope), tuned.parameters(scope)
        np.testing.assert_array_equal(new["kernel"], old["kernel"])
        old, new = old["gamma"].numpy(), new["gamma"].numpy()
        np.testing.assert_array_equal(new[[0, 2]], old[[0, 2]])
        # It has the name of one of the paintings and goes on from where it was: Adam's steps are no longer than that.
        assert 0 < np.abs(new[1] - old[1]).max() < 0.5
        assert np.all(new[3] != new[1])


def test_tensorboard_shows_the_styles_that_are_learned(small_model, style_dataset, small, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(tf.summary, "image", lambda name, image, **_: shown.append(np.array(image)))
    model = named(small_model, "rain", "wave", "snow")
    options = {"checkpoint": model, "learning_rate": 0.0, "mixed_precision": False, **small}
    tuned = magstyle.load_model(magstyle.finetune(style_dataset, tmp_path, **options))
    photo, _, picture = shown
    expected = tuned([photo, np.eye(4, dtype=np.float32)[[tuned.style_names.index("scream")]]])
    np.testing.assert_allclose(picture, expected, atol=1e-6)


def test_a_step_that_does_not_fit_into_memory_is_refused_before_it_is_made(style_dataset, small, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_tensorflow_convolves_on_a_cpu", lambda: True)
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(magstyle.InputError, match=r"a step with batch_size=2 and image_size=32 takes about .* fits"):
        magstyle.train(style_dataset, tmp_path, alpha=0.1, **small)
    assert not list(tmp_path.glob("model-*"))


def test_a_lack_of_memory_is_blamed_on_the_width_only_of_a_new_network(
    small_model, style_dataset, small, tmp_path, monkeypatch
):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(trainer.Training, "fit", fail)
    sentence = "^a step does not fit into memory; lower batch_size"
    with pytest.raises(magstyle.InputError, match=rf"{sentence}, image_size or alpha$") as caught:
        magstyle.train(style_dataset, tmp_path / "new", alpha=0.1, **small)
    assert caught.value.arguments == ("batch_size", "image_size", "alpha")
    for function, start in ((magstyle.train, "initial_checkpoint"), (magstyle.finetune, "checkpoint")):
        with pytest.raises(magstyle.InputError, match=rf"{sentence} or image_size$"):
            function(style_dataset, tmp_path / start, **{start: small_model}, **small)


def test_numbers_that_stand_for_names_make_no_two_styles_the_same(small_model, photos, small, tmp_path):
    (tmp_path / "paintings").mkdir()
    shutil.copy(photos / "1.jpg", tmp_path / "paintings" / "1.jpg")
    options = {**small, "checkpoint": named(small_model, "0", "1", "2")}
    styles = magstyle.create_style_dataset(
        tmp_path / "paintings", tmp_path / "styles.tfrecord", vgg_checkpoint=small["vgg_checkpoint"]
    )
    with pytest.raises(magstyle.InputError, match="both have a style of the number 1 and without a name; ") as caught:
        magstyle.finetune(styles, tmp_path / "train", **options)
    assert caught.value.arguments == ("checkpoint", "keep_styles")
    path = magstyle.finetune(styles, tmp_path / "train", keep_styles=False, **options)
    assert magstyle.load_model(path).style_names == ("1",)


def named(model, *names):
    """The same model, its styles under other names."""
    other = magstyle.StyleTransformer.from_config({**model.get_config(), "style_names": names})
    other.set_weights(model.get_weights())
    return other


def test_bfloat16_is_for_processors_that_have_it(style_dataset, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu avx2 avx512f\n")
    magstyle.train(style_dataset, tmp_path / "without", alpha=0.1, **small)
    assert "bfloat16" not in capsys.readouterr().err
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu avx512f avx512_bf16 clzero\n")
    magstyle.train(style_dataset, tmp_path / "with", alpha=0.1, **small)
    assert "in bfloat16" in capsys.readouterr().err
    assert magstyle.StyleTransformer(2, alpha=0.1).compute_dtype == "float32"


def test_a_precision_is_auto_or_yes_or_no(style_dataset, small, tmp_path):
    with pytest.raises(magstyle.InputError, match="mixed_precision=fast must be one of auto, True, False") as caught:
        magstyle.train(style_dataset, tmp_path, mixed_precision="fast", **small)
    assert caught.value.arguments == ("mixed_precision",)
