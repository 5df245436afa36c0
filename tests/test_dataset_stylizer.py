import dataclasses
import logging
import os
import pathlib
import pickle

import numpy as np
import pytest
import tensorflow as tf

from magstyle.data import images, shards
from magstyle.errors import InputError
from magstyle.stylizer import Stylizer

dataset_stylizer = pytest.importorskip("magstyle.dataset_stylizer")


@pytest.fixture(autouse=True)
def beam_log():
    before = logging.getLogger("apache_beam").level
    yield
    logging.getLogger("apache_beam").setLevel(before)


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        images.write_image(tmp_path / "photos" / f"{i % 2}" / f"{i}.png", rng.random((20 + i, 30 - i, 3)))
    return str(tmp_path / "photos")


@pytest.fixture
def stylizer(small_model):
    return Stylizer(small_model)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_random_styles_depend_on_seed_and_name_alone(stylizer, photos, tmp_path):
    dataset = shards.from_files([photos], "/out", num_shards=0)
    backwards = shards.from_files([photos], "/out", num_shards=12)
    backwards = dataclasses.replace(backwards, shards=backwards.shards[::-1])
    painter = dataset_stylizer.Painter(stylizer, seed=1)
    dataset_stylizer.run(dataset, painter, tmp_path / "a", "png")
    dataset_stylizer.run(backwards, painter, tmp_path / "b", "png")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    dataset_stylizer.run(dataset, dataset_stylizer.Painter(stylizer, seed=2), tmp_path / "c", "png")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")
    used = set()
    for name in range(12):
        photo = f"{photos}/{name % 2}/{name}.png"
        picture = images.read_image(tmp_path / "a" / f"{name % 2}" / f"{name}.png")
        errors = [
            np.abs(stylizer.stylize(images.read_image(photo), stylizer.style_weights(style)) - picture).max()
            for style in range(3)
        ]
        assert min(errors) < 1.01 / 255
        used.add(np.argmin(errors))
    assert used == {0, 1, 2}


def test_a_painter_travels_with_its_model(stylizer, photos):
    painter = dataset_stylizer.Painter(stylizer, image_size=12)
    # As on another machine, where nobody holds the model.
    copy = pickle.loads(pickle.dumps(painter))
    copy._handle = type(copy._handle)()
    copy.setup()
    assert copy._stylizer is not stylizer
    photo = next(shards.from_files([photos], "/out").shards[0].photos())
    picture = copy.paint(photo)
    assert min(picture.shape[:2]) == 12
    np.testing.assert_array_equal(picture, painter.paint(photo))


@pytest.mark.parametrize("output_format", ["tfrecord", "jpg"])
def test_two_workers_make_the_same_as_one(stylizer, photos, tmp_path, output_format):
    dataset = shards.from_files([photos], "/out", 3)
    painter = dataset_stylizer.Painter(stylizer)
    counts = dataset_stylizer.run(dataset, painter, tmp_path / "one", output_format)
    options = "--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_threading"
    assert dataset_stylizer.run(dataset, painter, tmp_path / "two", output_format, options) == counts
    assert counts == {"written": 12, "skipped": 0, "failed": 0}
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("output_format", ["tfrecord", "png"])
def test_failures_are_kept_when_a_run_goes_on(stylizer, photos, tmp_path, output_format):
    pathlib.Path(photos, "0", "bad.jpg").write_text("no image")
    pathlib.Path(photos, "1", "bad.jpg").write_text("no image")
    dataset = shards.from_files([photos], "/out", 3 if output_format == "tfrecord" else 0)
    painter = dataset_stylizer.Painter(stylizer)
    folder = tmp_path / "out"
    assert dataset_stylizer.run(dataset, painter, folder, output_format)["failed"] == 2
    before = contents(folder)
    assert before["failures.txt"].decode().splitlines() == [
        f"{i}/bad.jpg\tcannot read {i}/bad.jpg: it is no JPEG, PNG, WebP, GIF, TIFF or BMP image" for i in range(2)
    ]
    lost = next(path for path in sorted(folder.rglob("*[0-9g]")) if path.name[0] != "." and path.is_file())
    lost.unlink()
    (folder / "failures.txt").unlink()
    counts = dataset_stylizer.run(dataset, painter, folder, output_format)
    assert counts["failed"] == 2
    assert counts["skipped"] == (2 if output_format == "tfrecord" else 11)
    assert contents(folder) == before


def test_pictures_of_different_making_do_not_mix(stylizer, photos, tmp_path):
    folder = tmp_path / "out"
    dataset = shards.from_files([photos], "/out", 3)
    dataset_stylizer.run(dataset, dataset_stylizer.Painter(stylizer), folder, "tfrecord")
    before = contents(folder)
    other = dataset_stylizer.Painter(stylizer, stylizer.style_weights(1), image_size=20)
    with pytest.raises(InputError, match="begun with other --style and --image_size; choose another --output_dir"):
        dataset_stylizer.run(dataset, other, folder, "tfrecord")
    fewer = shards.from_files([f"{photos}/0"], "/out", 3)
    with pytest.raises(InputError, match="begun with other --content_files"):
        dataset_stylizer.run(fewer, dataset_stylizer.Painter(stylizer), folder, "tfrecord")
    assert contents(folder) == before


def test_leftovers_of_killed_runs_go(stylizer, photos, tmp_path):
    folder = tmp_path / "out"
    (folder / "0").mkdir(parents=True)
    (folder / "0" / f".{os.getpid()}-0.png").write_text("half a pic")
    (folder / "0" / ".999999999-2.png").write_text("half a pic")
    dataset_stylizer.run(shards.from_files([photos], "/out", 0), dataset_stylizer.Painter(stylizer), folder, "png")
    assert all(".png" not in name or "-" not in name for name in contents(folder))


def test_a_picture_that_its_format_cannot_hold_is_a_failure(stylizer, tmp_path):
    images.write_image(tmp_path / "photos" / "long.png", np.zeros((1, 700, 3)))
    painter = dataset_stylizer.Painter(stylizer, image_size=24)
    counts = dataset_stylizer.run(
        shards.from_files([f"{tmp_path}/photos"], "/out", 0), painter, tmp_path / "out", "webp"
    )
    assert counts == {"written": 0, "skipped": 0, "failed": 1}
    assert "longer than 16383 pixels" in (tmp_path / "out" / "failures.txt").read_text()


def test_records_are_those_of_imagenet(stylizer, photos, tmp_path):
    dataset = shards.from_files([photos], "/out", 1)
    dataset_stylizer.run(dataset, dataset_stylizer.Painter(stylizer, stylizer.style_weights(0)), tmp_path, "tfrecord")
    record = next(tf.data.TFRecordDataset(str(tmp_path / "train-00000-of-00001")).as_numpy_iterator())
    features = tf.train.Example.FromString(record).features.feature
    expected = {
        "image/filename": "0/0.png",
        "image/class/text": "0",
        "image/format": "JPEG",
        "image/colorspace": "RGB",
        "image/height": 20,
        "image/width": 30,
        "image/channels": 3,
    }
    assert {key: features[key] for key in expected} == {key: shards.feature(value) for key, value in expected.items()}
    photo = images.read_image(f"{photos}/0/0.png")
    picture = tf.io.decode_jpeg(features["image/encoded"].bytes_list.value[0]).numpy() / 255
    assert np.abs(picture - stylizer.stylize(photo, stylizer.style_weights(0))).mean() < 0.02


OPTIONS = {
    "--direct_num_workers=x": "argument --direct_num_workers: invalid int value: 'x'",
    "--runner=Foo": "Unexpected pipeline runner: Foo",
    "--runner=no.Foo": "No module named 'no'",
    "--direct_num_wrkers=2": "Beam has no option direct_num_wrkers",
    "'": "No closing quotation",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_options_that_beam_does_not_have_are_refused(stylizer, photos, tmp_path, options):
    with pytest.raises(InputError) as refusal:
        dataset_stylizer.run(
            shards.from_files([photos], "/out"), dataset_stylizer.Painter(stylizer), tmp_path / "out", "png", options
        )
    assert f"--beam_options={options}: {OPTIONS[options]}" in str(refusal.value)
    assert not (tmp_path / "out").exists()
