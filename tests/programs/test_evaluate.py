import re
import shutil
import signal
import sys

import numpy as np
import pytest
import tensorflow as tf

from magstyle import losses
from magstyle.checkpoints import model_files
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images, pipeline, styles
from magstyle.data import photos as photo_sources
from magstyle.models.vgg import CONVOLUTIONS_PER_BLOCK
from magstyle.programs.evaluate import print_losses
from magstyle.training.transfer import with_styles
from tests import clips
from tests.events import curves, images_in
from tests.processes import start, wait_for
from tests.samples import STYLES, narrow_vgg


@pytest.fixture
def model(tmp_path, small_model):
    """A model of two styles, in a training folder."""
    folder = tmp_path / "train"
    folder.mkdir()
    model_files.save_model(with_styles(small_model, STYLES), folder / "model-000007.keras")
    return folder


@pytest.fixture
def flags(training_flags, model, tmp_path):
    data = [flag for flag in training_flags if "summaries" not in flag]
    return [*data, f"--train_dir={model}", f"--eval_dir={tmp_path / 'eval'}", "--num_evals=2"]


def test_the_table_shows_the_losses_of_every_style(run, flags, model, tmp_path, photos, style_dataset, vgg_file):
    result = run("evaluate", *flags, "--style_coefficients=[1, 4]")
    assert result.returncode == 0, result.stderr
    header, *rows = [line.split() for line in result.stdout.splitlines()]
    table = {row[0]: dict(zip(header[1:], map(float, row[1:]), strict=True)) for row in rows}
    assert list(table) == [*STYLES, "mean"]

    network = load_vgg(str(vgg_file))
    transformer, paintings = model_files.load_model(model), styles.read(style_dataset)
    for k, name in enumerate(STYLES):
        found = {"content_loss/vgg_16/conv3": [], "style_loss/vgg_16/conv2": []}
        for batch in pipeline.batches(photo_sources.from_files([str(photos)]), 32, 2, 2).take(2):
            painted = network(transformer([batch["image"], tf.one_hot([k, k], 2)]))
            target = network(batch["image"])
            gram = {"vgg_16/conv2": paintings[k].gram_matrices["vgg_16/conv2"][None]}
            found["content_loss/vgg_16/conv3"] += [
                *np.array(losses.content_loss(painted, target, {"vgg_16/conv3": 1})["content_loss/vgg_16/conv3"])
            ]
            found["style_loss/vgg_16/conv2"] += [
                *np.array(losses.style_loss(painted, gram, {"vgg_16/conv2": 1})["style_loss/vgg_16/conv2"])
            ]
        for loss, values in found.items():
            assert table[name][loss] == pytest.approx(np.mean(values), rel=2e-3)  # Printed with four digits.
    for loss, value in table["mean"].items():
        assert value == pytest.approx((table["scream"][loss] + table["wave"][loss]) / 2, rel=2e-3)

    points = curves(tmp_path / "eval")
    assert points["total_loss"] == {7: pytest.approx(table["mean"]["total_loss"], rel=1e-3)}
    assert points["total_style_loss/wave"] == {7: pytest.approx(table["wave"]["total_style_loss"], rel=1e-3)}


def test_losses_are_relative_to_the_photo_and_to_another_photo(run, flags, model, photos, style_dataset, vgg_file):
    # Whatever the model was trained with: these weights name one end point of four.
    weights = "{'vgg_16/conv2': 1e-4}"
    result = run("evaluate", *flags, f"--style_weights={weights}", "--content_weights={'vgg_16/conv2': 1}")
    assert result.returncode == 0, result.stderr
    header, *rows = [line.split() for line in result.stdout.splitlines()]
    found = {row[0]: dict(zip(header[1:], map(float, row[1:]), strict=True)) for row in rows}

    network = load_vgg(str(vgg_file))
    transformer, paintings = model_files.load_model(model), styles.read(style_dataset)
    batches = pipeline.batches(photo_sources.from_files([str(photos)]), 32, 4, 1).take(1)
    [crops] = [batch["image"].numpy() for batch in batches]
    plain = network(crops)
    conv3 = plain["vgg_16/conv3"].numpy()
    other = np.mean(np.square(conv3[1:] - conv3[:-1]))
    for k, name in enumerate(STYLES):
        painted = network(transformer([tf.constant(crops), tf.one_hot([k] * 4, 2)]))
        ratios = []
        for end_point in [f"vgg_16/conv{i}" for i in (1, 2, 3, 4)]:
            target = paintings[k].gram_matrices[end_point]
            loss, at_start = (np.mean(np.square(losses.gram_matrix(f[end_point]) - target)) for f in (painted, plain))
            ratios.append(loss / at_start)
        assert found[name]["relative_style_loss"] == pytest.approx(np.mean(ratios), rel=2e-3)
        content_loss = np.mean(np.square(painted["vgg_16/conv3"] - conv3))
        assert found[name]["relative_content_loss"] == pytest.approx(content_loss / other, rel=2e-3)


def test_pairs_are_compared_with_what_optimisation_reaches(run, flags, tmp_path):
    result = run("evaluate", *flags, "--nolearning_curves", "--optimize_pairs=3")
    assert result.returncode == 0, result.stderr
    header, *rows, summary = [line.split() for line in result.stdout.splitlines()]
    assert header == ["style", "total_loss", "after_lbfgs", "ratio"]
    assert [row[0] for row in rows] == [*STYLES, STYLES[0]]
    table = np.array([row[1:] for row in rows], float)
    assert np.all(table[:, 1] < table[:, 0] / 2)  # The network is untrained.
    np.testing.assert_allclose(table[:, 0] / table[:, 1], table[:, 2], rtol=1e-2)
    np.testing.assert_allclose(
        [float(summary[2].strip(",")), float(summary[4])], [table[:, 2].mean(), table[:, 2].max()], rtol=1e-2
    )
    assert curves(tmp_path / "eval")["ratio_to_lbfgs"] == {7: pytest.approx(table[:, 2].mean(), rel=1e-2)}


def test_grids_show_every_style_on_photos_noise_and_paintings(run, flags, tmp_path):
    result = run("evaluate", *flags, "--style_grid", "--style_crossover", "--nolearning_curves")
    grid, crossover = tmp_path / "eval" / "style_grid-000007.png", tmp_path / "eval" / "style_crossover-000007.png"
    assert result.stdout.split() == [str(grid), str(crossover)], result.stderr
    # A row of names, one of paintings, and those of four photos and noise, or of the two paintings.
    grid, crossover = images.read_image(grid), images.read_image(crossover)
    assert grid.shape == (24 + 6 * 32, 3 * 32, 3)
    assert crossover.shape == (24 + 3 * 32, 3 * 32, 3)
    names = grid[:24]
    assert np.all(names[:, :32] == 1)
    assert np.any(names[:, 32:64] < 0.5) and np.any(names[:, 64:] < 0.5)
    np.testing.assert_array_equal(crossover[24:56, 32:64], crossover[56:88, :32])  # A painting, in its two places.
    assert {name.split("/")[0] for name, _ in images_in(tmp_path / "eval")} == {"style_grid", "style_crossover"}


def test_a_running_training_is_followed(flags, model, tmp_path):
    aside = tmp_path / "aside.keras"
    (model / "model-000007.keras").rename(aside)
    process = start("evaluate", *flags, "--eval_interval_secs=0.1")
    evaluated = tmp_path / "eval"
    wait_for(evaluated.exists, process)
    for step in (3, 4):
        shutil.copy(aside, model / "copy")
        (model / "copy").rename(model / f"model-{step:06d}.keras")
        wait_for(lambda step=step: step in curves(evaluated).get("total_loss", {}), process)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert "Traceback" not in process.stderr
    assert len(re.findall("^style ", process.stdout, re.MULTILINE)) == 2


def test_bad_flags_are_refused_in_a_sentence(refused, flags, training_flags, tmp_path, small_model):
    assert "there is no checkpoint in" in refused("evaluate", *flags, f"--train_dir={tmp_path}")
    model_files.save_model(with_styles(small_model, ["rain", "wave", "snow"]), tmp_path / "other.keras")
    assert "has 3 styles, and " in refused("evaluate", *flags, f"--checkpoint={tmp_path / 'other.keras'}")
    np.savez(tmp_path / "two.npz", **narrow_vgg(16, CONVOLUTIONS_PER_BLOCK[16][:2]))
    weights = ["--content_weights={'vgg_16/conv2': 1}", "--style_weights={'vgg_16/conv1': 1}"]
    assert "two.npz has no end point 'vgg_16/conv3'" in refused(
        "evaluate", *flags, *weights, f"--vgg_checkpoint={tmp_path}/two.npz"
    )
    assert not list(tmp_path.glob("eval/*"))


def test_a_second_table_shows_how_steadily_a_clip_is_painted(run, refused, flags, tmp_path):
    clips.write_clip(tmp_path / "a.mp4", 4, sound=None)
    result = run("evaluate", *flags, "--nolearning_curves", f"--video={tmp_path}/a.mp4", "--num_evals=3")
    assert result.returncode == 0, result.stderr
    header, *rows = [line.split() for line in result.stdout.splitlines()]
    table = {row[0]: dict(zip(header[1:], map(float, row[1:]), strict=True)) for row in rows}
    assert list(table) == [*STYLES, "mean"]
    for found in table.values():
        assert 0 < found["warping_error/clip"] < found["warping_error/steady"] < found["warping_error/one_by_one"]
        assert found["relative_style_loss/one_by_one"] > 0 and found["relative_style_loss/steady"] > 0
    points = curves(tmp_path / "eval")
    for name, value in table["mean"].items():
        assert points[name] == {7: pytest.approx(value, rel=1e-3)}
        assert points[f"{name}/wave"] == {7: pytest.approx(table["wave"][name], rel=1e-3)}


def test_tables_are_no_wider_than_the_terminal(capsys, monkeypatch):
    losses = {f"{kind}_loss/conv{layer}": np.array([layer, 2.5]) for kind in ("content", "style") for layer in range(4)}
    print_losses(losses, STYLES)
    header, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["style", *losses]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    print_losses(losses, STYLES)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    headers = [line.split()[1:] for line in lines if line.startswith("style ")]
    assert [name for names in headers for name in names] == list(losses) and len(lines) == len(headers) * (
        2 + len(STYLES)
    )
    monkeypatch.setenv("COLUMNS", "1")
    print_losses(losses, STYLES)
    assert capsys.readouterr().out.count("style ") == len(losses)


def test_a_clip_that_cannot_be_used_is_refused_before_any_work(refused, flags, tmp_path):
    clips.write_clip(tmp_path / "one.mp4", 1, sound=None)
    assert "one.mp4 has only one" in refused("evaluate", *flags, f"--video={tmp_path}/one.mp4")
    short = refused("evaluate", *flags, f"--video={tmp_path}/one.mp4", "--num_evals=1")
    assert "--video needs two frames; give --num_evals=2 or more" in short
    assert not (tmp_path / "eval").exists()
