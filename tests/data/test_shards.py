import os

import numpy as np
import pytest
import tensorflow as tf

from magstyle.data import images, shards
from magstyle.errors import InputError


@pytest.fixture
def photos(tmp_path):
    for name in ("tench/1.jpg", "tench/2.jpg", "cock/deep/1.png"):
        images.write_image(tmp_path / "photos" / name, np.zeros((8, 9, 3)))
    return tmp_path / "photos"


def write_records(path, records):
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for features in records:
            features = {key: shards.feature(value) for key, value in features.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return path


def named(dataset):
    return {photo.name: photo for shard in dataset.shards for photo in shard.photos()}


def test_files_are_named_below_the_folder_that_they_have_in_common(photos):
    everything = {"cock/deep/1.png", "tench/1.jpg", "tench/2.jpg"}
    assert set(named(shards.from_files([f"{photos}/"], "/out"))) == everything
    assert set(named(shards.from_files([f"{photos}/tench", f"{photos}/cock"], "/out"))) == everything
    assert set(named(shards.from_files([f"{photos}/*/*.jpg"], "/out"))) == {"tench/1.jpg", "tench/2.jpg"}
    assert set(named(shards.from_files([f"{photos}/tench/1.jpg"], "/out"))) == {"1.jpg"}


def test_a_photo_brings_its_name_and_class(photos):
    photo = named(shards.from_files([str(photos)], "/out"))["cock/deep/1.png"]
    assert photo.stem == "cock/deep/1"
    assert photo.features["image/class/text"] == shards.feature("cock/deep")
    assert photo.features["image/filename"] == shards.feature("cock/deep/1.png")
    assert photo.read() == (photos / "cock" / "deep" / "1.png").read_bytes()


def test_files_are_dealt_out_to_shards(photos):
    dataset = shards.from_files([str(photos)], "/out", num_shards=2)
    assert [shard.name for shard in dataset.shards] == ["train-00000-of-00002", "train-00001-of-00002"]
    assert [[photo.name for photo in shard.photos()] for shard in dataset.shards] == [
        ["cock/deep/1.png", "tench/2.jpg"],
        ["tench/1.jpg"],
    ]
    assert dataset.size == 3
    assert dataset.digest != shards.from_files([f"{photos}/tench"], "/out", num_shards=2).digest
    with pytest.raises(InputError, match="3 photos cannot fill 4 shards"):
        shards.from_files([str(photos)], "/out", num_shards=4)


def test_the_output_is_no_input(photos):
    before = named(shards.from_files([str(photos)], str(photos / "out")))
    images.write_image(photos / "out" / "tench" / "1.png", np.zeros((8, 8, 3)))
    assert named(shards.from_files([str(photos)], str(photos / "out"))).keys() == before.keys()
    for folder in (photos, photos.parent):
        with pytest.raises(InputError, match="is where the photos are"):
            shards.from_files([str(photos)], str(folder))


def test_two_photos_of_one_picture_are_refused(photos):
    images.write_image(photos / "tench" / "1.png", np.zeros((8, 8, 3)))
    with pytest.raises(InputError, match=r"tench/1.jpg and .*tench/1.png would both become the same picture"):
        shards.from_files([str(photos)], "/out", num_shards=0)
    assert len(named(shards.from_files([str(photos)], "/out"))) == 4


def test_no_image_at_a_pattern(photos):
    with pytest.raises(InputError, match=r"no image at .*missing"):
        shards.from_files([str(photos), f"{photos}/missing*"], "/out")


def test_records_bring_all_their_features_and_go_to_the_folder_of_their_class(tmp_path):
    records = [
        {"image/encoded": b"a", "image/class/synset": "n01", "image/class/label": 3, "score": [0.5, 1.5]},
        {"image/encoded": b"b", "image/class/label": 3},
        {"image/encoded": b"c", "image/class/text": "../birds/cock"},
        {"image/encoded": b"d"},
    ]
    write_records(tmp_path / "in" / "a.tfrecord", records)
    dataset = shards.from_tfrecords([f"{tmp_path}/in/*"], "/out")
    photos = list(dataset.shards[0].photos())
    assert [photo.read() for photo in photos] == [b"a", b"b", b"c", b"d"]
    assert [photo.stem for photo in photos] == [
        "n01/a.tfrecord-00000",
        "3/a.tfrecord-00001",
        "birds/cock/a.tfrecord-00002",
        "a.tfrecord-00003",
    ]
    assert photos[0].features["score"] == shards.feature(np.array([0.5, 1.5]))
    assert "image/encoded" not in photos[0].features
    assert sum(photo.size for photo in photos) == dataset.size == os.path.getsize(tmp_path / "in" / "a.tfrecord")


def test_a_damaged_shard_gives_what_is_before_the_damage(tmp_path):
    path = write_records(tmp_path / "in" / "a", [{"image/encoded": b"a"}, {"other": 1}, {"image/encoded": b"c"}])
    path.write_bytes(path.read_bytes()[:-5])
    first, other, last = shards.from_tfrecords([str(path)], "/out").shards[0].photos()
    assert first.read() == b"a"
    with pytest.raises(InputError, match=r"record 1 of .*a: it is no Example with image/encoded"):
        other.read()
    with pytest.raises(InputError, match=r"a from record 2 on: .* cut short"):
        last.read()


def test_what_is_no_tfrecord_file_of_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("Dear diary,\n" * 50)
    with pytest.raises(InputError, match=r"notes.txt from record 0 on: it is no TFRecord file"):
        shards.from_tfrecords([str(tmp_path / "notes.txt")], "/out")
    path = write_records(tmp_path / "in" / "a", [{"image": b"a"}])
    with pytest.raises(InputError, match=r"record 0 of .*a: it is no Example with image/encoded"):
        shards.from_tfrecords([str(path)], "/out")
    with pytest.raises(InputError, match=r"no TFRecord file at .*missing"):
        shards.from_tfrecords([f"{tmp_path}/missing*"], "/out")
    with pytest.raises(InputError, match="is where the photos are"):
        shards.from_tfrecords([str(path)], str(tmp_path / "in"))


def test_a_few_bytes_of_text_are_no_tfrecord_file(tmp_path):
    (tmp_path / "notes").write_text("hello")
    with pytest.raises(InputError, match="notes: it is no TFRecord file"):
        shards.from_tfrecords([str(tmp_path / "notes")], str(tmp_path / "out"))
