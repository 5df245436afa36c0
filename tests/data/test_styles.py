import dataclasses
import io
import pathlib
import struct
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from magstyle.data import images, styles
from magstyle.errors import InputError
from magstyle.models import vgg

GOLDEN = pathlib.Path(__file__).parents[1] / "reference" / "style_images.tfrecord"  # Two of its five blocks.
BLOCKS = [f"vgg_16/{kind}{block}" for block in range(1, 6) for kind in ("conv", "pool")]


def golden_painting():
    """The painting that was given to Magenta's program; it computed the Gram matrices of these very pixels."""
    rng = np.random.default_rng(41)
    colours = (rng.random((14, 17, 3)) * 255).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(colours).resize((120, 96), Image.Resampling.BICUBIC))
    return np.clip(smooth + 12.75 * rng.standard_normal(smooth.shape), 0, 255).astype(np.uint8)


def gradient(height=40, width=60):
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([red, green, np.full_like(red, 64)], axis=-1).astype(np.uint8))


def narrow(weights):
    """A sixteenth of the filters."""
    return {
        name: w[:, :, : w.shape[2] // 16 or 3, : w.shape[3] // 16] if w.ndim == 4 else w[: len(w) // 16]
        for name, w in weights.items()
    }


@pytest.fixture(scope="module")
def full_vgg():
    return vgg.build(vgg.random_weights(0))


@pytest.fixture(scope="module")
def small_weights():
    return narrow(vgg.random_weights(0))


@pytest.fixture(scope="module")
def small_vgg(small_weights):
    return vgg.build(small_weights)


@pytest.fixture
def painting(tmp_path):
    gradient().save(tmp_path / "wave.png")
    return str(tmp_path / "wave.png")


@pytest.fixture
def dataset(tmp_path, painting, small_vgg):
    styles.write([painting], tmp_path / "styles.tfrecord", small_vgg)
    return tmp_path / "styles.tfrecord"


def records(path):
    return [
        tf.train.Example.FromString(record).features.feature
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]


def assert_close(grams, expected):
    for name, gram in expected.items():
        np.testing.assert_allclose(grams[name], gram, rtol=0, atol=1e-4 * np.abs(gram).max(), err_msg=name)


# Magenta's datasets


def test_a_dataset_of_magenta_is_read():
    [style] = styles.read(GOLDEN)
    assert style.name == "0"
    assert style.image.shape == (96, 120, 3)
    assert style.image.dtype == np.float32
    assert np.abs(style.image - golden_painting() / 255).mean() < 0.05  # JPEG with halved chroma, of a noisy painting.
    assert {name: gram.shape for name, gram in style.gram_matrices.items()} == {
        f"vgg_16/{kind}{block}": (64 * block, 64 * block) for kind in ("conv", "pool") for block in (1, 2)
    }


def test_the_gram_matrices_are_those_of_magenta(full_vgg):
    grams = styles.gram_matrices(full_vgg, golden_painting() / np.float32(255), BLOCKS)
    assert_close(grams, styles.read(GOLDEN)[0].gram_matrices)


def test_the_gram_matrices_of_all_end_points_are_those_of_magenta(full_vgg, shared, tmp_path):
    Image.fromarray(golden_painting()).save(tmp_path / "noise.png")
    styles.write([str(tmp_path / "noise.png")], tmp_path / "styles.tfrecord", full_vgg)
    [golden] = styles.read(shared("reference/style_images.tfrecord"))
    assert sorted(golden.gram_matrices) == sorted(BLOCKS)
    assert_close(styles.read(tmp_path / "styles.tfrecord")[0].gram_matrices, golden.gram_matrices)


# Writing


def test_a_style_is_stored_with_its_features(dataset, small_vgg):
    [features] = records(dataset)
    assert sorted(features) == sorted(["image_raw", "label", "name", "vgg", *BLOCKS])
    assert list(features["label"].int64_list.value) == [0]
    assert features["name"].bytes_list.value[0] == b"wave"
    jpeg = Image.open(io.BytesIO(features["image_raw"].bytes_list.value[0]))
    assert jpeg.format == "JPEG"
    np.testing.assert_allclose(np.asarray(jpeg, int), np.asarray(gradient(), int), atol=8)
    grams = styles.gram_matrices(small_vgg, np.asarray(gradient()) / np.float32(255), BLOCKS)
    for name in BLOCKS:
        np.testing.assert_allclose(features[name].float_list.value, grams[name].ravel(), rtol=1e-5)
    [style] = styles.read(dataset)
    assert style.vgg == styles.fingerprint(small_vgg)
    assert style.gram_matrices["vgg_16/conv3"].shape == (16, 16)


def test_names_and_labels_follow_the_files(tmp_path):
    paths = [tmp_path / name for name in ("starry night.png", "a.b.jpg", "Ünicode.webp")]
    for k, path in enumerate(paths):
        Image.new("RGB", (24, 20), (100 * k, 0, 0)).save(path)
    names = styles.write(list(map(str, paths)), tmp_path / "new" / "styles.tfrecord", None)
    assert names == ["starry night", "a.b", "Ünicode"]
    found = styles.read(tmp_path / "new" / "styles.tfrecord")
    assert [style.name for style in found] == names
    np.testing.assert_allclose([style.image[0, 0, 0] * 255 for style in found], [0, 100, 200], atol=4)
    labels = [features["label"].int64_list.value[0] for features in records(tmp_path / "new" / "styles.tfrecord")]
    assert labels == [0, 1, 2]


def test_image_size_scales_the_shorter_side(tmp_path, painting, small_vgg):
    styles.write([painting], tmp_path / "styles.tfrecord", small_vgg, image_size=20)
    [style] = styles.read(tmp_path / "styles.tfrecord")
    assert style.image.shape == (20, 30, 3)
    assert_close(style.gram_matrices, styles.gram_matrices(small_vgg, images.read_image(painting, 20), BLOCKS))


def sixteen_bit_png():
    """A PNG of 24 x 20 pixels of three 16-bit channels, which Pillow reads but does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + struct.pack(">3H", 65535, 32768, 0) * 24) * 20
    header = struct.pack(">IIBBBBB", 24, 20, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "picture", "colour"),
    [
        ("alpha.png", Image.new("RGBA", (24, 20), (0, 0, 0, 128)), (0.5, 0.5, 0.5)),
        ("deep.png", None, (1, 0.5, 0)),
        ("grey.png", Image.new("L", (24, 20), 128), (0.5, 0.5, 0.5)),
        ("cmyk.jpg", Image.new("CMYK", (24, 20), (0, 255, 255, 0)), (1, 0, 0)),
        ("paint.webp", Image.new("RGB", (24, 20), (255, 128, 0)), (1, 0.5, 0)),
        ("paint.gif", Image.new("1", (24, 20), 1), (1, 1, 1)),
        ("paint.tiff", Image.new("RGB", (24, 20), (255, 128, 0)), (1, 0.5, 0)),
    ],
)
def test_any_image_can_be_a_style(tmp_path, small_vgg, name, picture, colour):
    if picture is None:
        (tmp_path / name).write_bytes(sixteen_bit_png())
    else:
        picture.save(tmp_path / name)
    styles.write([str(tmp_path / name)], tmp_path / "styles.tfrecord", small_vgg)
    [style] = styles.read(tmp_path / "styles.tfrecord")
    np.testing.assert_allclose(style.image, np.broadcast_to(colour, (20, 24, 3)), atol=0.03)
    assert sorted(style.gram_matrices) == sorted(BLOCKS)


def test_a_photo_taken_sideways_is_stored_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif, quality=98)
    styles.write([str(tmp_path / "a.jpg")], tmp_path / "styles.tfrecord", None)
    [style] = styles.read(tmp_path / "styles.tfrecord")
    np.testing.assert_allclose(style.image, np.asarray(gradient()) / 255, atol=0.08)


def test_a_vgg_19_that_ends_early_gives_the_end_points_that_it_has(tmp_path, painting):
    weights = {name: w for name, w in narrow(vgg.random_weights(0, depth=19)).items() if "conv5" not in name}
    styles.write([painting], tmp_path / "styles.tfrecord", vgg.build(weights))
    [style] = styles.read(tmp_path / "styles.tfrecord")
    assert sorted(style.gram_matrices) == [
        f"vgg_19/{kind}{block}" for kind in ("conv", "pool") for block in range(1, 5)
    ]


def test_paintings_that_cannot_be_used_are_one_sentence_and_leave_no_file(tmp_path, painting):
    png = pathlib.Path(painting).read_bytes()
    output = tmp_path / "new" / "styles.tfrecord"
    for name, content in (("cut.png", png[: len(png) // 2]), ("empty.jpg", b""), ("text.jpg", b"Dear diary,\n" * 20)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"cannot read .*{name}"):
            styles.write([painting, str(tmp_path / name)], output, None)
    (tmp_path / "wave.jpg").write_bytes(png)
    with pytest.raises(InputError, match="two paintings are called wave"):
        styles.write([painting, str(tmp_path / "wave.jpg")], output, None)
    assert not output.parent.exists() or list(output.parent.iterdir()) == []


def test_what_was_there_survives_a_painting_that_cannot_be_used(tmp_path, painting):
    (tmp_path / "styles.tfrecord").write_text("old")
    (tmp_path / "text.jpg").write_text("Dear diary")
    with pytest.raises(InputError):
        styles.write([painting, str(tmp_path / "text.jpg")], tmp_path / "styles.tfrecord", None)
    assert (tmp_path / "styles.tfrecord").read_text() == "old"


# Reading


def test_what_is_no_style_dataset_is_one_sentence(tmp_path, dataset):
    whole = dataset.read_bytes()
    foreign = tf.train.Example()
    foreign.features.feature["image/encoded"].bytes_list.value.append(b"jpeg")
    no_image = tf.train.Example()
    no_image.features.feature["label"].int64_list.value.append(0)
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
        "no_image": no_image.SerializeToString(),
        "broken_image": broken_image.SerializeToString(),
        "no_example": b"this is no Example",
    }.items():
        with tf.io.TFRecordWriter(str(tmp_path / name)) as writer:
            writer.write(record)
    (tmp_path / "folder").mkdir()
    names = ["empty", "text", "cut", "damaged", "foreign", "no_image", "broken_image", "no_example", "folder"]
    for name in names:
        with pytest.raises(InputError, match=f"cannot read {tmp_path / name}") as error:
            styles.read(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"there is no style dataset at .*missing"):
        styles.read(tmp_path / "missing")


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


# Targets

WANTED = ["vgg_16/conv1", "vgg_16/conv3"]


@pytest.fixture
def marked(dataset):
    """A style whose recorded Gram matrices can be told from those that are computed again."""
    [style] = styles.read(dataset)
    return dataclasses.replace(style, gram_matrices={name: gram + 7 for name, gram in style.gram_matrices.items()})


def recorded(style):
    return {name: style.gram_matrices[name][None] for name in WANTED}


def computed(style, network, end_points=WANTED):
    return {name: gram[None] for name, gram in styles.gram_matrices(network, style.image, end_points).items()}


def test_gram_matrices_of_the_same_vgg_are_taken_as_recorded(marked, small_vgg):
    as_in_training = keras.Model(small_vgg.input, {name: small_vgg.output[name] for name in WANTED})
    for network in (small_vgg, as_in_training):
        targets = styles.targets([marked], network, WANTED)
        assert targets.keys() == set(WANTED)
        assert_close(targets, recorded(marked))


def test_magenta_did_not_say_which_vgg_but_its_gram_matrices_are_taken_if_they_fit(marked, small_vgg, full_vgg):
    magentas = dataclasses.replace(marked, vgg="")
    assert_close(styles.targets([magentas], small_vgg, WANTED), recorded(magentas))
    assert_close(styles.targets([magentas], full_vgg, WANTED), computed(magentas, full_vgg))


@pytest.mark.parametrize("change", ["seed", "a deeper layer", "pooling"])
def test_gram_matrices_of_another_vgg_are_computed_again(marked, small_weights, change):
    weights, pooling = dict(small_weights), "avg"
    if change == "seed":
        weights = narrow(vgg.random_weights(1))
    elif change == "pooling":
        pooling = "max"
    else:
        weights["vgg_16/conv3/conv3_1/weights"] = -weights["vgg_16/conv3/conv3_1/weights"]
    other = vgg.build(weights, pooling=pooling)
    deep = WANTED[1:]  # The first block may be the same.
    expected = computed(marked, other, deep)
    assert_close(styles.targets([marked], other, deep), expected)


def test_gram_matrices_that_are_missing_are_computed(marked, small_vgg):
    without = dataclasses.replace(marked, gram_matrices={}, vgg="")
    partly = dataclasses.replace(marked, gram_matrices={WANTED[0]: marked.gram_matrices[WANTED[0]]})
    for style in (without, partly):
        assert_close(styles.targets([style], small_vgg, WANTED), computed(marked, small_vgg))


def test_each_style_has_its_own_targets(marked, small_vgg):
    without = dataclasses.replace(marked, gram_matrices={}, vgg="")
    targets = styles.targets([marked, without], small_vgg, WANTED)
    assert targets["vgg_16/conv3"].shape == (2, 16, 16)
    assert_close({name: gram[:1] for name, gram in targets.items()}, recorded(marked))
    assert_close({name: gram[1:] for name, gram in targets.items()}, computed(without, small_vgg))


def test_every_end_point_of_vgg_can_be_a_target(marked, small_vgg):
    # Gatys's style is of conv1_1, conv2_1, ..., of which Magenta records nothing.
    targets = styles.targets([marked], small_vgg, ["vgg_16/conv2/conv2_1", "vgg_16/conv1"])
    assert targets["vgg_16/conv1"].shape == (1, 4, 4)
    features = keras.ops.convert_to_numpy(small_vgg(marked.image[None])["vgg_16/conv2/conv2_1"])[0]
    gram = np.einsum("hwc,hwd->cd", features, features) / features[..., 0].size
    assert_close(targets, {"vgg_16/conv2/conv2_1": gram[None]})
