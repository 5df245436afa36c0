import io
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from magstyle.data import images
from magstyle.painting.stylizer import Stylizer
from tests import processes

pytest.importorskip("apache_beam")
PROGRAM = str(pathlib.Path(__file__).parents[2] / "bin" / "stylize_dataset.py")


@pytest.fixture
def start(small_checkpoint):
    """Starts the program."""
    return lambda *flags: processes.start("stylize_dataset", f"--checkpoint={small_checkpoint}", *flags)


@pytest.fixture
def stylize_dataset(run, small_checkpoint):
    """Runs the program; gives its returncode, stdout and stderr."""
    return lambda *flags: run("stylize_dataset", f"--checkpoint={small_checkpoint}", *flags)


@pytest.fixture
def photos(tmp_path):
    """Two classes, one of them nested, of photos of different sizes; one of the files is damaged."""
    rng = np.random.default_rng(0)
    for i, name in enumerate(("tench/1.jpg", "tench/2.png", "cock/deep/1.jpg")):
        images.write_image(tmp_path / "photos" / name, rng.random((32 + i, 40 - i, 3)))
    (tmp_path / "photos" / "tench" / "bad.jpg").write_bytes(b"\xff\xd8 no more")
    return tmp_path / "photos"


def contents(folder, pattern="*"):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob(pattern) if path.is_file()}


def visible(folder):
    """Without files that are being written, which can vanish before they are read."""
    return contents(folder, "[!.]*")


def feature(value):
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def write_records(path, records):
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            features = {key: feature(value) for key, value in record.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def read_records(path):
    """The features of every record of a TFRecord file, as plain values."""
    records = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        records.append({key: (f.bytes_list.value or f.int64_list.value)[0] for key, f in features.items()})
    return records


def assert_shows(encoded, checkpoint, photo, style, tolerance):
    stylizer = Stylizer(checkpoint)
    picture = stylizer.stylize(images.read_image(photo), stylizer.style_weights(style))
    with Image.open(io.BytesIO(encoded)) as image:
        assert np.abs(np.asarray(image) / 255 - picture).mean() < tolerance


def test_a_folder_becomes_a_folder_and_a_second_start_makes_what_is_missing(
    stylize_dataset, small_checkpoint, photos, tmp_path
):
    out = tmp_path / "out"
    flags = [f"--content_files={photos}", f"--output_dir={out}", "--style=wave", "--output_format=png"]
    result = stylize_dataset(*flags)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(out), str(out / "failures.txt")]
    assert "4/4" in result.stderr
    assert result.stderr.splitlines()[-1] == "pictures written: 3, failed: 1; pictures that were there: 0"
    before = visible(out)
    assert set(before) == {"tench/1.png", "tench/2.png", "cock/deep/1.png", "failures.txt", "styles.csv"}
    assert before["styles.csv"] == b"picture,style\ncock/deep/1.png,wave\ntench/1.png,wave\ntench/2.png,wave\n"
    for photo in ("tench/1.jpg", "tench/2.png", "cock/deep/1.jpg"):
        assert_shows(before[f"{photo[:-4]}.png"], small_checkpoint, photos / photo, "wave", 0.5 / 255)
    assert before["failures.txt"].startswith(b"tench/bad.jpg\tcannot read tench/bad.jpg: ")
    kept = os.stat(out / "tench" / "1.png").st_mtime_ns
    (out / "tench" / "2.png").unlink()
    result = stylize_dataset(*flags)
    assert result.stderr.splitlines()[-1] == "pictures written: 1, failed: 1; pictures that were there: 2"
    assert visible(out) == before
    assert os.stat(out / "tench" / "1.png").st_mtime_ns == kept


def test_a_folder_becomes_shards_and_a_folder_again(stylize_dataset, small_checkpoint, photos, tmp_path):
    result = stylize_dataset(
        f"--output_dir={tmp_path / 'shards'}",
        "--num_shards=2",
        "--style={'wave': 0.7, 0: 0.3}",
        "--content_files",
        photos / "tench",
        photos / "cock",
    )
    paths = [tmp_path / "shards" / f"train-0000{i}-of-00002" for i in range(2)]
    assert result.stdout.split() == [*map(str, paths), str(tmp_path / "shards" / "failures.txt")], result.stderr
    records = {record["image/filename"].decode(): record for path in paths for record in read_records(path)}
    assert set(records) == {"tench/1.jpg", "tench/2.png", "cock/deep/1.jpg"}
    for name, record in records.items():
        assert record["image/class/text"].decode() == os.path.dirname(name)
        assert_shows(record["image/encoded"], small_checkpoint, photos / name, {1: 0.7, 0: 0.3}, 0.02)
    result = stylize_dataset(
        f"--tfrecord_files={tmp_path / 'shards'}/train-*",
        f"--output_dir={tmp_path / 'out'}",
        "--output_format=webp",
        "--image_size=16",
        "--beam_options=--direct_num_workers=2 --direct_running_mode=multi_threading",
    )
    assert result.stdout.split() == [str(tmp_path / "out")], result.stderr
    # The bar, and nothing of Beam, TFDS or TensorFlow.
    bar, summary = result.stderr.splitlines()[-2:]
    assert all("B/s" in line for line in [bar, *result.stderr.split("\r")[1:-1]])
    assert summary == "pictures written: 3, failed: 0; pictures that were there: 0"
    assert sorted(visible(tmp_path / "out")) == [
        "cock/deep/train-00000-of-00002-00000.webp",
        "styles.csv",
        "tench/train-00000-of-00002-00001.webp",
        "tench/train-00001-of-00002-00000.webp",
    ]
    assert images.read_image(tmp_path / "out/tench/train-00001-of-00002-00000.webp").shape == (16, 20, 3)


def test_records_keep_their_labels(stylize_dataset, small_checkpoint, photos, tmp_path):
    photo = photos / "tench" / "1.jpg"
    good = {"image/encoded": photo.read_bytes(), "image/class/label": 7, "image/height": 1, "note": b"dear"}
    write_records(tmp_path / "in" / "train-00000-of-00002", [good, {**good, "image/encoded": b"bad"}])
    write_records(tmp_path / "in" / "train-00001-of-00002", [])
    result = stylize_dataset(
        f"--tfrecord_files={tmp_path / 'in'}/*",
        f"--output_dir={tmp_path / 'out'}",
        "--style=2",
    )
    assert result.returncode == 0, result.stderr
    (record,) = read_records(tmp_path / "out" / "train-00000-of-00002")
    assert (record["image/class/label"], record["note"], record["image/height"]) == (7, b"dear", 32)
    assert_shows(record["image/encoded"], small_checkpoint, photo, 2, 0.02)
    assert read_records(tmp_path / "out" / "train-00001-of-00002") == []
    assert (tmp_path / "out" / "failures.txt").read_text().startswith("train-00000-of-00002:1\tcannot read ")


def test_a_dataset_of_tfds_keeps_shards_labels_and_names(stylize_dataset, tmp_path):
    folder = tmp_path / "tfds" / "tiny_birds" / "1.0.0"
    folder.mkdir(parents=True)
    features = {
        "image": tfds.features.Image(),
        "label": tfds.features.ClassLabel(names=["tench", "cock"]),
        "file_name": tfds.features.Text(),
        "objects": tfds.features.Sequence({"bbox": tfds.features.BBoxFeature()}),
    }
    identity = tfds.core.DatasetIdentity("tiny_birds", tfds.core.Version("1.0.0"), data_dir=str(folder), module_name="")
    info = tfds.core.DatasetInfo(builder=identity, features=tfds.features.FeaturesDict(features))
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=2)
    writer.initialize_splits(["test", "train"])
    box = {"bbox": tfds.features.BBox(0.0, 0.0, 1.0, 1.0)}
    for split, count in {"test": 1, "train": 3}.items():
        photos = np.random.default_rng(0).integers(0, 255, (count, 32, 40, 3), np.uint8)
        examples = [
            {"image": photo, "label": i % 2, "file_name": f"n{i}.JPEG", "objects": [box]}
            for i, photo in enumerate(photos)
        ]
        writer.add_examples({split: examples})
    writer.close_all()
    result = stylize_dataset(
        "--tfds_name=tiny_birds",
        f"--tfds_data_dir={tmp_path / 'tfds'}",
        f"--output_dir={tmp_path / 'out'}",
    )
    paths = [tmp_path / "out" / f"train-0000{i}-of-00002" for i in range(2)]
    assert result.stdout.split() == [str(path) for path in paths], result.stderr
    assert "pictures written: 3, failed: 0" in result.stderr
    assert "tfds" not in result.stderr
    records = [record for path in paths for record in read_records(path)]
    assert [(record["label"], record["file_name"]) for record in records] == [
        (0, b"n0.JPEG"),
        (1, b"n1.JPEG"),
        (0, b"n2.JPEG"),
    ]
    # As ImageNet's shards number their classes, which leave 0 to the background.
    assert [record["image/class/label"] for record in records] == [1, 2, 1]
    assert all(images.read_image(io.BytesIO(record["image/encoded"])).shape == (32, 40, 3) for record in records)


def stop_half_way(start, flags, out, number):
    """Sends a signal once the second of many outputs is there; returns the files by then, and how the run ended."""
    process = start(*flags)
    processes.wait_for(lambda: out.exists() and len(visible(out)) >= 2, process)
    process.send_signal(number)
    process.wait()
    return visible(out), process


def test_a_run_that_was_killed_goes_on_to_the_same_end(start, stylize_dataset, photos, tmp_path):
    for i in range(120):
        os.link(photos / "tench" / f"{i % 2 + 1}.{'png' if i % 2 else 'jpg'}", photos / f"{i:03d}.jpg")
    flags = [f"--content_files={photos}", "--num_shards=8"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert stylize_dataset(*flags, f"--output_dir={whole}").returncode == 0
    flags += [f"--output_dir={broken}"]
    for number, code in {signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGKILL: -signal.SIGKILL}.items():
        half, result = stop_half_way(start, flags, broken, number)
        assert result.returncode == code
        assert "Traceback" not in result.stderr
        assert 2 <= len(half) < 8
        assert half.items() <= visible(whole).items()
        for name in sorted(half)[1:]:
            (broken / name).unlink()
    result = stylize_dataset(*flags)
    assert result.stderr.splitlines()[-1].endswith("failed: 1; shards that were there: 1")
    # All of it: nothing half written is left over.
    assert contents(broken) == contents(whole)


WRONG = {
    "--seed=0": "give the photos by one of --content_files, --tfrecord_files and --tfds_name",
    "--content_files={photos} --tfds_name=mnist": "give the photos by one of --content_files, --tfrecord_files and",
    "--content_files={photos} --num_shards=2 --output_format=png": "--num_shards is for TFRecord shards of --content",
    "--content_files={photos}/*.gif": "no image at {photos}/*.gif",
    "--tfrecord_files={photos}/tench/1.jpg": "1.jpg from record 0 on: it is not a TFRecord file",
    "--tfds_name=no_such --tfds_data_dir={photos}": "there is no dataset no_such of TFDS, in ",
    "--content_files={photos} --style=monet": "no style 'monet'; its styles are 0 to 2, or scream, wave, starry_night",
    "--content_files={photos} --style=[0]": "--style=[0] must be a style or a mixture",
    "--content_files={photos} --output_dir={photos}/tench/1.jpg/out": "cannot make the folder",
    "--content_files={photos} --beam_options=--runner=Foo": "--beam_options=--runner=Foo: Unexpected pipeline runner",
}


def test_a_wrong_flag_is_one_sentence(stylize_dataset, photos, tmp_path):
    for flags, sentence in WRONG.items():
        flags = flags.format(photos=photos).split()
        result = stylize_dataset(*flags, *([] if "--output_dir" in flags[-1] else [f"--output_dir={tmp_path / 'out'}"]))
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1, result.stderr
        assert result.stderr.startswith("stylize_dataset.py: ")
        assert sentence.format(photos=photos) in result.stderr
        assert not (tmp_path / "out").exists()


def test_without_beam_the_program_says_how_to_get_it(small_checkpoint, photos, tmp_path):
    hide = "import sys, runpy; sys.modules['apache_beam'] = None; sys.argv = sys.argv[1:]; "
    flags = [f"--checkpoint={small_checkpoint}", f"--content_files={photos}", f"--output_dir={tmp_path / 'out'}"]
    command = [sys.executable, "-c", f"{hide}runpy.run_path(sys.argv[0], run_name='__main__')", PROGRAM, *flags]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert (
        result.stderr.splitlines()[-1]
        == "stylize_dataset.py: Apache Beam is missing; pip install apache-beam brings it"
    )
    assert "Traceback" not in result.stderr
