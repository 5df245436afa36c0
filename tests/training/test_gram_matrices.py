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
from magstyle.training import gram_matrices
from magstyle.training.gram_matrices import create_style_dataset
from tests.samples import golden_painting

GOLDEN = pathlib.Path(__file__).parents[1] / "reference" / "style_images.tfrecord"  # Two of its five blocks.
BLOCKS = [f"vgg_16/{kind}{block}" for block in range(1, 6) for kind in ("conv", "pool")]


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
def small_file(small_weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg.npz"
    np.savez(path, **small_weights)
    return path


@pytest.fixture(scope="module")
def small_vgg(small_weights):
    return vgg.build(small_weights)


@pytest.fixture
def painting(tmp_path):
    gradient().save(tmp_path / "wave.png")
    return str(tmp_path / "wave.png")


@pytest.fixture
def dataset(tmp_path, painting, small_file):
    create_style_dataset(painting, tmp_path / "styles.tfrecord", vgg_checkpoint=small_file)
    return tmp_path / "styles.tfrecord"


def records(path):
    return [
        tf.train.Example.FromString(record).features.feature
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]


def assert_close(grams, expected):
    for name, gram in expected.items():
        np.testing.assert_allclose(grams[name], gram, rtol=0, atol=1e-4 * np.abs(gram).max(), err_msg=name)


def test_the_gram_matrices_are_those_of_magenta(full_vgg):
    grams = gram_matrices.of_image(golden_painting() / np.float32(255), full_vgg, BLOCKS)
    assert_close(grams, styles.read(GOLDEN)[0].gram_matrices)


def test_the_gram_matrices_of_all_end_points_are_those_of_magenta(shared, tmp_path):
    Image.fromarray(golden_painting()).save(tmp_path / "noise.png")
    create_style_dataset(tmp_path / "noise.png", tmp_path / "styles.tfrecord", vgg_checkpoint="random:0")
    [golden] = styles.read(shared("reference/style_images.tfrecord"))
    assert sorted(golden.gram_matrices) == sorted(BLOCKS)
    assert_close(styles.read(tmp_path / "styles.tfrecord")[0].gram_matrices, golden.gram_matrices)


# Datasets


def test_a_style_is_stored_with_its_features(dataset, small_vgg):
    [features] = records(dataset)
    assert sorted(features) == sorted(["image_raw", "label", "name", "vgg", *BLOCKS])
    assert list(features["label"].int64_list.value) == [0]
    assert features["name"].bytes_list.value[0] == b"wave"
    jpeg = Image.open(io.BytesIO(features["image_raw"].bytes_list.value[0]))
    assert jpeg.format == "JPEG"
    np.testing.assert_allclose(np.asarray(jpeg, int), np.asarray(gradient(), int), atol=8)
    grams = gram_matrices.of_image(np.asarray(gradient()) / np.float32(255), small_vgg, BLOCKS)
    for name in BLOCKS:
        np.testing.assert_allclose(features[name].float_list.value, grams[name].ravel(), rtol=1e-5)
    [style] = styles.read(dataset)
    assert style.vgg == vgg.fingerprint(small_vgg)
    assert style.gram_matrices["vgg_16/conv3"].shape == (16, 16)


def test_names_and_labels_follow_the_files(tmp_path):
    paths = [tmp_path / name for name in ("starry night.png", "a.b.jpg", "Ünicode.webp")]
    for k, path in enumerate(paths):
        Image.new("RGB", (24, 20), (100 * k, 0, 0)).save(path)
    output = tmp_path / "new" / "styles.tfrecord"
    assert create_style_dataset(paths, output, compute_gram_matrices=False) == output
    found = styles.read(output)
    assert [style.name for style in found] == ["starry night", "a.b", "Ünicode"]
    np.testing.assert_allclose([style.image[0, 0, 0] * 255 for style in found], [0, 100, 200], atol=4)
    labels = [features["label"].int64_list.value[0] for features in records(output)]
    assert labels == [0, 1, 2]


def test_image_size_scales_the_shorter_side(tmp_path, painting, small_vgg, small_file):
    create_style_dataset([painting], tmp_path / "styles.tfrecord", vgg_checkpoint=small_file, image_size=20)
    [style] = styles.read(tmp_path / "styles.tfrecord")
    assert style.image.shape == (20, 30, 3)
    assert_close(style.gram_matrices, gram_matrices.of_image(images.read_image(painting, 20), small_vgg, BLOCKS))


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
def test_any_image_can_be_a_style(tmp_path, small_file, name, picture, colour):
    if picture is None:
        (tmp_path / name).write_bytes(sixteen_bit_png())
    else:
        picture.save(tmp_path / name)
    create_style_dataset(tmp_path / name, tmp_path / "styles.tfrecord", vgg_checkpoint=small_file)
    [style] = styles.read(tmp_path / "styles.tfrecord")
    np.testing.assert_allclose(style.image, np.broadcast_to(colour, (20, 24, 3)), atol=0.03)
    assert sorted(style.gram_matrices) == sorted(BLOCKS)


def test_a_photo_taken_sideways_is_stored_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif, quality=98)
    create_style_dataset(tmp_path / "a.jpg", tmp_path / "styles.tfrecord", compute_gram_matrices=False)
    [style] = styles.read(tmp_path / "styles.tfrecord")
    np.testing.assert_allclose(style.image, np.asarray(gradient()) / 255, atol=0.08)


def test_a_vgg_19_that_ends_early_gives_the_end_points_that_it_has(tmp_path, painting):
    weights = {name: w for name, w in narrow(vgg.random_weights(0, depth=19)).items() if "conv5" not in name}
    np.savez(tmp_path / "vgg.npz", **weights)
    create_style_dataset(painting, tmp_path / "styles.tfrecord", vgg_checkpoint=tmp_path / "vgg.npz")
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
            create_style_dataset([painting, tmp_path / name], output, compute_gram_matrices=False)
    Image.new("RGB", (20, 15)).save(tmp_path / "tiny.png")
    with pytest.raises(InputError, match=r"cannot use .*tiny.png of 20 x 15 pixels: no side .* fewer than 16$"):
        create_style_dataset(tmp_path / "tiny.png", output, compute_gram_matrices=False)
    (tmp_path / "wave.jpg").write_bytes(png)
    with pytest.raises(InputError, match=r"two paintings are named wave, one of them .*; rename one"):
        create_style_dataset([painting, tmp_path / "wave.jpg"], output, compute_gram_matrices=False)
    assert not output.parent.exists() or list(output.parent.iterdir()) == []


def test_what_was_there_survives_a_painting_that_cannot_be_used(tmp_path, painting):
    (tmp_path / "styles.tfrecord").write_text("old")
    (tmp_path / "text.jpg").write_text("Dear diary")
    with pytest.raises(InputError):
        create_style_dataset(
            [painting, tmp_path / "text.jpg"], tmp_path / "styles.tfrecord", compute_gram_matrices=False
        )
    assert (tmp_path / "styles.tfrecord").read_text() == "old"


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
    return {name: gram[None] for name, gram in gram_matrices.of_image(style.image, network, end_points).items()}


def test_gram_matrices_of_the_same_vgg_are_taken_as_recorded(marked, small_vgg):
    as_in_training = keras.Model(small_vgg.input, {name: small_vgg.output[name] for name in WANTED})
    for network in (small_vgg, as_in_training):
        targets = gram_matrices.of_styles([marked], network, WANTED)
        assert targets.keys() == set(WANTED)
        assert_close(targets, recorded(marked))


def test_magenta_did_not_say_which_vgg_but_its_gram_matrices_are_taken_if_they_fit(marked, small_vgg, full_vgg):
    magentas = dataclasses.replace(marked, vgg="")
    assert_close(gram_matrices.of_styles([magentas], small_vgg, WANTED), recorded(magentas))
    assert_close(gram_matrices.of_styles([magentas], full_vgg, WANTED), computed(magentas, full_vgg))


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
    assert_close(gram_matrices.of_styles([marked], other, deep), expected)


def test_gram_matrices_that_are_missing_are_computed(marked, small_vgg):
    without = dataclasses.replace(marked, gram_matrices={}, vgg="")
    partly = dataclasses.replace(marked, gram_matrices={WANTED[0]: marked.gram_matrices[WANTED[0]]})
    for style in (without, partly):
        assert_close(gram_matrices.of_styles([style], small_vgg, WANTED), computed(marked, small_vgg))


def test_each_style_has_its_own_targets(marked, small_vgg):
    without = dataclasses.replace(marked, gram_matrices={}, vgg="")
    targets = gram_matrices.of_styles([marked, without], small_vgg, WANTED)
    assert targets["vgg_16/conv3"].shape == (2, 16, 16)
    assert_close({name: gram[:1] for name, gram in targets.items()}, recorded(marked))
    assert_close({name: gram[1:] for name, gram in targets.items()}, computed(without, small_vgg))


def test_every_end_point_of_vgg_can_be_a_target(marked, small_vgg):
    # Gatys's style is of conv1_1, conv2_1, ..., of which Magenta records nothing.
    targets = gram_matrices.of_styles([marked], small_vgg, ["vgg_16/conv2/conv2_1", "vgg_16/conv1"])
    assert targets["vgg_16/conv1"].shape == (1, 4, 4)
    features = keras.ops.convert_to_numpy(small_vgg(marked.image[None])["vgg_16/conv2/conv2_1"])[0]
    gram = np.einsum("hwc,hwd->cd", features, features) / features[..., 0].size
    assert_close(targets, {"vgg_16/conv2/conv2_1": gram[None]})
