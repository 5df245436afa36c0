import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from magstyle.data import styles

GOLDEN = pathlib.Path(__file__).parents[1] / "reference" / "style_images.tfrecord"
CHANNELS = (64, 128, 256, 512, 512)


def golden_painting():
    """The painting that was given to Magenta's program for the reference."""
    rng = np.random.default_rng(41)
    colours = (rng.random((14, 17, 3)) * 255).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(colours).resize((120, 96), Image.Resampling.BICUBIC))
    noisy = smooth + 12.75 * rng.standard_normal(smooth.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


@pytest.fixture
def paintings(tmp_path):
    """A folder of paintings, whatever people have."""
    folder = tmp_path / "paintings"
    folder.mkdir()
    golden_painting().save(folder / "noise.png")
    Image.new("RGBA", (60, 40), (0, 0, 0, 128)).save(folder / "alpha.png")
    Image.new("CMYK", (60, 40), (0, 255, 255, 0)).save(folder / "cmyk.jpg")
    Image.new("RGB", (60, 40), "red").save(folder / "web.webp")
    return folder


@pytest.fixture
def refused(run):
    """Runs the program, which must answer with one sentence and exit code 1; returns the sentence."""

    def call(*args, **kwargs):
        result = run("create_style_dataset", *args, **kwargs)
        assert result.returncode == 1, result.stderr
        lines = [line for line in result.stderr.splitlines() if line.strip() and "painting/s" not in line]
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("create_style_dataset.py: ")
        assert result.stdout == ""
        return lines[0]

    return call


def test_paintings_become_what_magenta_writes(run, paintings, tmp_path):
    output = tmp_path / "new" / "styles.tfrecord"
    files = [f"--style_files={paintings / 'noise.png'}", f"--output_file={output}", str(paintings / "a*.png")]
    result = run("create_style_dataset", *files, "--vgg_checkpoint=random:0")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{output}\n"
    assert os.listdir(output.parent) == ["styles.tfrecord"]

    [golden] = styles.read(GOLDEN)
    noise, alpha = styles.read(output)
    assert (noise.name, alpha.name) == ("noise", "alpha")
    for name, gram in golden.gram_matrices.items():
        np.testing.assert_allclose(noise.gram_matrices[name], gram, rtol=0, atol=1e-4 * gram.max())
    # As image_utils.style_image_inputs of Magenta reads them.
    as_magenta_does = {"image_raw": tf.io.FixedLenFeature((), tf.string), "label": tf.io.FixedLenFeature((), tf.int64)}
    for block, channels in enumerate(CHANNELS, start=1):
        for kind in ("conv", "pool"):
            shape = (channels, channels)
            as_magenta_does[f"vgg_16/{kind}{block}"] = tf.io.FixedLenFeature(shape, tf.float32)
    for label, record in enumerate(tf.data.TFRecordDataset(str(output))):
        features = tf.io.parse_single_example(record, as_magenta_does)
        assert features["label"] == label
        assert tf.io.decode_jpeg(features["image_raw"]).shape == [(96, 120, 3), (40, 60, 3)][label]


def test_a_folder_can_be_scaled_and_stored_without_gram_matrices(run, paintings, tmp_path):
    output = tmp_path / "styles.tfrecord"
    flags = [f"--style_files={paintings}", f"--output_file={output}", "--image_size=20"]
    result = run("create_style_dataset", *flags, "--compute_gram_matrices=False")
    assert result.returncode == 0, result.stderr
    found = styles.read(output)
    assert [style.name for style in found] == ["alpha", "cmyk", "noise", "web"]
    assert [style.image.shape for style in found] == [(20, 30, 3), (20, 30, 3), (20, 25, 3), (20, 30, 3)]
    assert all(style.gram_matrices == {} for style in found)


def test_a_damaged_painting_is_one_sentence_and_leaves_no_file(refused, paintings, tmp_path):
    output = tmp_path / "new" / "styles.tfrecord"
    png = (paintings / "noise.png").read_bytes()
    (paintings / "zebra.png").write_bytes(png[: len(png) // 2])  # Its header is good, so it is found out late.
    flags = [f"--style_files={paintings}", f"--output_file={output}", "--compute_gram_matrices=False"]
    assert "zebra.png" in refused(*flags)
    assert os.listdir(output.parent) == []


def test_an_existing_file_is_not_overwritten(refused, paintings, tmp_path):
    output = tmp_path / "styles.tfrecord"
    output.write_text("precious")
    assert f"{output} exists already" in refused(f"--style_files={paintings}", f"--output_file={output}")
    assert output.read_text() == "precious"


def test_the_same_again_is_there_already_and_anything_else_is_refused(run, refused, paintings, vgg_file, tmp_path):
    output = tmp_path / "styles.tfrecord"
    flags = [f"--style_files={paintings}", f"--output_file={output}", f"--vgg_checkpoint={vgg_file}"]
    assert run("create_style_dataset", *flags).returncode == 0
    before = output.read_bytes(), output.stat().st_mtime_ns
    again = run("create_style_dataset", *flags)
    assert (again.returncode, again.stdout) == (0, f"{output}\n")
    assert f"{output} is there already, made from the same paintings in the same way" in again.stderr
    others = ["--image_size=20", "--compute_gram_matrices=False", "--vgg_checkpoint=random:0"]
    for other in others:
        assert f"{output} exists already" in refused(*flags, other)
    (paintings / "web.webp").unlink()
    assert f"{output} exists already" in refused(*flags)
    assert (output.read_bytes(), output.stat().st_mtime_ns) == before


def test_a_full_disk_is_one_sentence_and_leaves_no_file(refused, paintings, tmp_path):
    output = tmp_path / "new" / "styles.tfrecord"
    flags = [f"--style_files={paintings}", f"--output_file={output}", "--compute_gram_matrices=False"]
    assert f"cannot write {output}" in refused(*flags, largest_file=8192)
    assert os.listdir(output.parent) == []
