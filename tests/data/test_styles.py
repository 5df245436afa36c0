import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from magstyle import names
from magstyle.data import images, styles
from magstyle.errors import InputError
from tests.samples import golden_painting, picture

GOLDEN = pathlib.Path(__file__).parents[1] / "reference" / "style_images.tfrecord"  # Two of its five blocks.


@pytest.fixture
def style():
    """A painting with Gram matrices."""
    rng = np.random.default_rng(0)
    grams = {f"vgg_16/conv{block}": rng.random((4, 4), np.float32) for block in (1, 2)}
    jpeg = images.encode(images.to_float(picture(0, (60, 40))), ".jpg")
    return styles.Style("Wave à l'huile", jpeg, grams, "0123")


@pytest.fixture
def dataset(tmp_path, style):
    return styles.write([style], tmp_path / "styles.tfrecord")


def test_what_is_written_is_read(dataset, style):
    [found] = styles.read(dataset)
    assert (found.name, found.jpeg, found.vgg) == (style.name, style.jpeg, style.vgg)
    assert found.gram_matrices.keys() == style.gram_matrices.keys()
    for name, gram in style.gram_matrices.items():
        np.testing.assert_array_equal(found.gram_matrices[name], gram)


def test_a_dataset_of_magenta_is_read():
    [style] = styles.read(GOLDEN)
    assert style.name == "0"
    assert style.image.shape == (96, 120, 3)
    assert style.image.dtype == np.float32
    assert np.abs(style.image - golden_painting() / 255).mean() < 0.05  # JPEG with halved chroma, of a noisy painting.
    assert {name: gram.shape for name, gram in style.gram_matrices.items()} == {
        f"vgg_16/{kind}{block}": (64 * block, 64 * block) for kind in ("conv", "pool") for block in (1, 2)
    }


def test_what_is_no_style_dataset_is_one_sentence(tmp_path, dataset):
    whole = dataset.read_bytes()
    foreign = tf.train.Example()
    foreign.features.feature["image/encoded"].bytes_list.value.append(b"jpeg")
    no_image = tf.train.Example()
    no_image.features.feature["label"].int64_list.value.append(0)
    no_square = tf.train.Example()
    no_square.features.feature["vgg_16/conv1"].float_list.value.extend([1, 2, 3])
    no_square.features.feature["label"].int64_list.value.append(0)
    no_square.features.feature["image_raw"].bytes_list.value.append(b"jpeg")
    broken_image = tf.train.Example.FromString(no_image.SerializeToString())
    broken_image.features.feature["image_raw"].bytes_list.value.append(b"no jpeg")
    for name, content in {
        "empty": b"",
        "text": b"Dear diary,\n" * 20,
        "cut": whole[:-20],
        "damaged": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
    }.items():
        (tmp_path / name).write_bytes(content)
    for name, record in {
        "foreign": foreign.SerializeToString(),
        "no_square": no_square.SerializeToString(),
        "no_image": no_image.SerializeToString(),
        "broken_image": broken_image.SerializeToString(),
        "no_example": b"this is no Example",
    }.items():
        with tf.io.TFRecordWriter(str(tmp_path / name)) as writer:
            writer.write(record)
    (tmp_path / "folder").mkdir()
    wrong = ["empty", "text", "cut", "damaged", "foreign", "no_square", "no_image", "broken_image", "no_example"]
    for name in [*wrong, "folder"]:
        with pytest.raises(InputError, match=f"cannot read {tmp_path / name}") as error:
            styles.read(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"there is no style dataset at .*missing"):
        styles.read(tmp_path / "missing")


def test_a_bug_of_ours_is_not_taken_for_a_damaged_dataset(dataset, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(names, "printable", fail)
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        styles.read(dataset)


@pytest.mark.parametrize("length", [2**20, 2**40, 2**62])
def test_a_record_that_claims_to_be_longer_than_its_file_does_not_end_the_process(tmp_path, length):
    header = length.to_bytes(8, "little")
    # The checksum of the length itself is right, so TensorFlow believes it.
    (tmp_path / "long").write_bytes(header + masked_crc32c(header).to_bytes(4, "little") + bytes(100))
    with pytest.raises(InputError, match=r"cannot read .*long: it is not a valid style dataset"):
        styles.read(tmp_path / "long")


def masked_crc32c(content):
    """The checksum of TFRecord files."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is not a regular file"):
        styles.read(tmp_path / "pipe")


@pytest.mark.parametrize("labels", [[1], [0, 2], [-1, 0], [0, 0], [0, 1, 1]])
def test_labels_that_do_not_count_up_are_one_sentence(tmp_path, dataset, labels):
    # Such as [0, 0] of two datasets put together with `cat`.
    [record] = tf.data.TFRecordDataset(str(dataset)).as_numpy_iterator()
    with tf.io.TFRecordWriter(str(tmp_path / "wrong")) as writer:
        for label in labels:
            example = tf.train.Example.FromString(record)
            example.features.feature["label"].int64_list.value[0] = label
            writer.write(example.SerializeToString())
    with pytest.raises(InputError, match="its labels are"):
        styles.read(tmp_path / "wrong")


def test_styles_come_in_the_order_of_their_labels(tmp_path, dataset):
    [record] = tf.data.TFRecordDataset(str(dataset)).as_numpy_iterator()
    with tf.io.TFRecordWriter(str(tmp_path / "shuffled")) as writer:
        for label in (2, 0, 1):
            example = tf.train.Example.FromString(record)
            example.features.feature["label"].int64_list.value[0] = label
            example.features.feature["name"].bytes_list.value[0] = b"abc"[label : label + 1]
            writer.write(example.SerializeToString())
    assert [style.name for style in styles.read(tmp_path / "shuffled")] == ["a", "b", "c"]
