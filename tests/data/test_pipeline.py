import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from magstyle.data import images, pipeline
from magstyle.data.photos import from_files, from_imagenet, from_tfds
from magstyle.errors import InputError
from tests.sources import STEP, Colours, colour, encode, gradient, write_files, write_shards


@pytest.fixture
def files_of(tmp_path):
    """Makes a source of encoded photos, of files."""
    return lambda photos: from_files([write_files(tmp_path / "photos", photos)])


@pytest.fixture(params=["files", "imagenet", "tfds"])
def source_of(request, tmp_path, monkeypatch):
    """Makes a source of encoded photos, of each kind in turn."""

    def make(photos):
        if request.param == "files":
            return from_files([write_files(tmp_path / "photos", photos)])
        if request.param == "imagenet":
            write_shards(tmp_path / "shards", photos)
            return from_imagenet(str(tmp_path / "shards"))
        monkeypatch.setattr(Colours, "photos", photos)
        return from_tfds("colours", str(tmp_path / "tfds"))

    return make


def take(source, count, image_size=16, batch_size=2, num_styles=5, **options):
    return list(pipeline.batches(source, image_size, batch_size, num_styles, **options).take(count).as_numpy_iterator())


def photos_of(batches):
    """Which photos (see `STEP`) the batches are made of."""
    return [round(float(red) * 255 / STEP) for batch in batches for red in batch["image"][:, 8, 8, 0]]


def assert_equal_batches(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_a_crop_is_that_of_magenta(reference, tmp_path):
    golden = reference("image_pipeline")
    jpeg, image_size = golden["jpeg"].tobytes(), int(golden["image_size"])
    crop = images.training_crop(jpeg, "photo", image_size) / np.float32(255)
    assert crop.shape == golden["training_crop"].shape
    assert np.abs(crop - golden["training_crop"]).mean() <= 0.02
    source = from_files([write_files(tmp_path, [jpeg])])
    [batch] = take(source, 1, image_size=image_size, batch_size=1)
    np.testing.assert_allclose(batch["image"][0], crop, atol=1e-6)


def test_a_batch_holds_pictures_styles_and_its_position(files_of):
    dataset = pipeline.batches(files_of([colour(k) for k in range(3)]), 16, 2, 5)
    assert dataset.element_spec == {
        "image": tf.TensorSpec((2, 16, 16, 3), tf.float32),
        "label": tf.TensorSpec((2,), tf.int32),
        "position": tf.TensorSpec((2, 2), tf.int32),
    }
    batches = list(dataset.take(3).as_numpy_iterator())
    for batch in batches:
        assert batch["image"].min() >= 0
        np.testing.assert_allclose(batch["image"][..., 2], 200 / 255, atol=0.01)
        assert np.isin(batch["label"], range(5)).all()
    assert [batch["position"].tolist() for batch in batches] == [[[0, 2]] * 2, [[1, 1]] * 2, [[1, 3]] * 2]


def test_every_photo_comes_once_per_epoch_in_another_order(source_of):
    photos = photos_of(take(source_of([colour(k) for k in range(9)]), 9, batch_size=3))
    epochs = [photos[i : i + 9] for i in (0, 9, 18)]
    assert all(sorted(epoch) == list(range(9)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_the_seed_decides_on_everything(files_of):
    source = files_of([colour(k) for k in range(9)])
    first = take(source, 6, batch_size=3, seed=1, augment=True)
    assert_equal_batches(take(source, 6, batch_size=3, seed=1, augment=True), first)
    other = take(source, 6, batch_size=3, seed=2, augment=True)
    assert photos_of(other) != photos_of(first)
    assert [list(batch["label"]) for batch in other] != [list(batch["label"]) for batch in first]


def test_a_global_seed_changes_nothing(files_of):
    source = files_of([colour(k) for k in range(9)])
    before = take(source, 6, augment=True)
    try:
        keras.utils.set_random_seed(0)
        assert_equal_batches(take(source, 6, augment=True), before)
    finally:
        tf.random.set_seed(None)


def test_a_training_goes_on_with_the_photo_that_it_would_have_seen_next(source_of):
    photos = [colour(k) if k % 3 else b"broken" for k in range(10)]  # Six of ten are good, three batches.
    photos[4] = encode(gradient())
    source = source_of(photos)
    expected = take(source, 5, augment=True)
    for i in (0, 2):
        found = take(source, 4 - i, position=expected[i]["position"][-1], augment=True)
        assert_equal_batches(found, expected[i + 1 :])


@pytest.mark.parametrize("broken", [0, 2])
def test_a_training_goes_on_after_the_last_photo_of_an_epoch(files_of, broken):
    photos = [colour(k) for k in range(4)] + broken * [b"broken"]
    expected = take(files_of(photos), 5)
    for i in (1, 3):
        assert_equal_batches(take(files_of(photos), 4 - i, position=expected[i]["position"][-1]), expected[i + 1 :])
    whole_epoch = (0, len(photos))
    assert_equal_batches(take(files_of(photos), 3, position=whole_epoch), expected[2:])


def test_machines_share_out_the_photos(files_of):
    source = files_of([colour(k) for k in range(8)])
    shares = [photos_of(take(source, 4, shard=(2, i))) for i in range(2)]
    for epoch in (slice(0, 4), slice(4, 8)):
        assert sorted(shares[0][epoch] + shares[1][epoch]) == list(range(8))


def test_machines_that_are_more_than_the_photos_still_get_some(files_of):
    source = files_of([colour(3)])
    for i in range(2):
        assert photos_of(take(source, 2, shard=(2, i))) == [3] * 4


@pytest.mark.parametrize("i", [0, 1])
def test_a_machine_goes_on_with_its_own_share(files_of, i):
    source = files_of([colour(k) for k in range(8)])
    expected = take(source, 5, shard=(2, i))
    for after in (0, 1):  # In the middle, and after the last photo of an epoch.
        found = take(source, 4 - after, shard=(2, i), position=expected[after]["position"][-1])
        assert photos_of(found) == photos_of(expected[after + 1 :])


def test_machines_that_go_on_from_the_position_of_the_first_share_out_what_is_left(files_of):
    # Checkpoints are the chief's, and so is the position in them.
    source = files_of([colour(k) for k in range(8)])
    before = [take(source, 1, shard=(2, i)) for i in range(2)]
    position = before[0][-1]["position"][-1]
    after = [take(source, 1, shard=(2, i), position=position) for i in range(2)]
    assert sorted(photos_of([batch for share in before + after for batch in share])) == list(range(8))


def test_all_styles_come_about_equally_often(tmp_path):
    source = from_files([write_files(tmp_path, [colour(k) for k in range(10)])])
    labels = np.concatenate([batch["label"] for batch in take(source, 10, batch_size=30, num_styles=3)])
    assert np.bincount(labels).min() > 70
    assert set(np.concatenate([batch["label"] for batch in take(source, 10, num_styles=1)])) == {0}


def test_augmentation_cuts_squares_of_all_sizes_anywhere_and_mirrors_some(tmp_path):
    source = from_files([write_files(tmp_path, [encode(gradient(60, 40))])])
    crops = np.concatenate([b["image"] for b in take(source, 10, batch_size=10, augment=True)])[:, 2:-2, 2:-2] * 255 / 4
    left, right = crops[:, :, 0, 0].mean(1), crops[:, :, -1, 0].mean(1)  # In pixels of the photo.
    top, bottom = crops[:, 0, :, 1].mean(1), crops[:, -1, :, 1].mean(1)
    np.testing.assert_allclose(crops[..., 2], 16, atol=0.5)
    np.testing.assert_allclose(np.abs(right - left), bottom - top, atol=1)
    sides = (bottom - top) * 16 / 11
    assert 7 <= sides.min() <= 9
    assert sides.max() <= 41
    assert sides.std() > 4
    assert 25 < np.sum(left > right) < 75
    middles = (left + right) / 2
    assert middles.min() < 20
    assert middles.max() > 40
    centres = (top + bottom) / 2
    assert centres.max() - centres.min() > 12


def test_without_augmentation_a_photo_always_gives_its_centre(tmp_path):
    source = from_files([write_files(tmp_path, [encode(gradient(60, 40))])])
    crops = np.concatenate([batch["image"] for batch in take(source, 3)])
    np.testing.assert_array_equal(crops, crops[:1].repeat(len(crops), 0))
    np.testing.assert_allclose(crops[0, 7:9, 7:9, :2].mean((0, 1)) * 255 / 4, (29.5, 19.5), atol=2)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize(
    ("orientation", "stored"), [(2, "FLIP_LEFT_RIGHT"), (3, "ROTATE_180"), (6, "ROTATE_90"), (7, "TRANSVERSE")]
)
def test_a_photo_taken_sideways_is_turned(orientation, stored, augment):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"format": "JPEG", "quality": 98, "subsampling": 0}
    sideways = encode(gradient().transpose(Image.Transpose[stored]), exif=exif, **options)
    crops = [
        images.training_crop(photo, "photo", 16, np.random.default_rng(1) if augment else None).astype(int)
        for photo in (sideways, encode(gradient(), **options))
    ]
    np.testing.assert_allclose(*crops, atol=6)


def test_a_photo_of_one_colour_is_skipped_and_named(tmp_path):
    Image.new("RGB", (40, 40), "white").save(tmp_path / "white.png")
    (tmp_path / "photo.png").write_bytes(colour(3))
    source = from_files([str(tmp_path)])
    for augment in (False, True):
        assert set(photos_of(take(source, 4, augment=augment))) == {3}
    [(name, reason)] = source.skipped.items()
    assert reason == f"cannot use {name}: it has only one colour"


def test_a_crop_of_almost_one_colour_gives_way_to_the_centre():
    # A spot in the middle of white that is not quite even, as products are photographed.
    pixels = np.random.default_rng(0).integers(254, 256, (160, 160, 3)).astype(np.uint8)
    pixels[76:84, 76:84] = (200, 0, 0)
    photo = encode(Image.fromarray(pixels))
    centre = images.training_crop(photo, "photo", 32)
    crops = [images.training_crop(photo, "photo", 32, np.random.default_rng(seed)) for seed in range(20)]
    assert all(crop.std() > 5 for crop in crops)
    assert 0 < sum(np.array_equal(crop, centre) for crop in crops) < 20


def test_any_kind_of_photo_is_one_of_rgb(tmp_path):
    grey = np.full((20, 24), 0x8080, np.uint16)
    bright = {"I;16": 0x8282, "RGBA": (130, 130, 130, 255), "P": 255, "CMYK": (0, 0, 0, 90), "L": 130}
    for name, picture in {
        "grey.png": Image.fromarray(grey),
        "alpha.png": Image.new("RGBA", (24, 20), (128, 128, 128, 255)),
        "palette.gif": Image.new("P", (24, 20), 128),
        "cmyk.jpg": Image.new("CMYK", (24, 20), (0, 0, 0, 127)),
        "panorama.png": Image.new("L", (400, 16), 128),
    }.items():
        if picture.mode == "P":
            picture.putpalette([128] * 765 + [130] * 3)
        # Not of one colour, which nothing can be learned from.
        picture.putpixel((picture.width // 2, picture.height // 2), bright[picture.mode])
        picture.save(tmp_path / name)
    source = from_files([str(tmp_path)])
    for augment in (False, True):
        [batch] = take(source, 1, batch_size=5, augment=augment)
        np.testing.assert_allclose(batch["image"], 0.5, atol=0.05)
    assert source.skipped == {}


def test_photos_that_cannot_be_used_are_skipped_and_named(source_of):
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    jpeg = encode(Image.fromarray(noise), format="JPEG")
    broken = [
        b"",
        b"Dear diary,\n" * 20,
        b"\x89PNG\r\n\x1a\n",
        encode(Image.fromarray(noise))[:1000],
        jpeg[: len(jpeg) // 2],
        colour(1, size=(300, 3)),
    ]
    source = source_of([colour(0), *broken, colour(7)])
    assert sorted(photos_of(take(source, 4))) == [0] * 4 + [7] * 4
    assert len(source.skipped) == len(broken)
    for name, reason in source.skipped.items():
        assert name in reason
        assert "No such file" not in reason
    assert sum("are too few" in reason for reason in source.skipped.values()) == 1
    assert sum("damaged or cut short" in reason for reason in source.skipped.values()) >= 2


def test_a_truncated_photo_is_skipped_when_it_is_decoded_small_too(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
    jpeg = encode(Image.fromarray(noise), format="JPEG")
    source = from_files([write_files(tmp_path, [colour(0), jpeg[: len(jpeg) * 9 // 10]])])
    assert photos_of(take(source, 2)) == [0] * 4
    assert list(source.skipped) == [str(tmp_path / "001.png")]


def test_a_photo_that_disappears_is_skipped_and_named(tmp_path):
    write_files(tmp_path, [colour(0), colour(1)])
    source = from_files([str(tmp_path)])
    (tmp_path / "001.png").unlink()
    (tmp_path / "001.png").mkdir()
    assert photos_of(take(source, 2)) == [0] * 4
    assert list(source.skipped) == [str(tmp_path / "001.png")]


@pytest.mark.parametrize("photos", [[b""], [b"broken", colour(0, size=(3, 3))]])
def test_a_source_without_one_usable_photo_is_one_sentence(source_of, photos):
    source = source_of(photos)
    with pytest.raises(InputError, match="there is no image to train on in ") as error:
        take(source, 1)
    assert source.name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source_of", ["files", "imagenet"], indirect=True)
@pytest.mark.parametrize("shard", [(1, 0), (2, 1)])
def test_where_all_photos_vanish_the_pipeline_ends_and_says_so(source_of, tmp_path, shard):
    source = source_of([colour(k) for k in range(4)])
    batches = iter(pipeline.batches(source, 16, 2, 5, shard=shard))
    next(batches)
    for folder in tmp_path.iterdir():
        shutil.rmtree(folder)
    assert len(list(batches)) < 100  # What was read before.
    sentence = str(pipeline.nothing_left(source))
    assert re.fullmatch(f"there is no image left that can be used in {source.name}: cannot read .*", sentence)


@pytest.mark.parametrize("machine", [0, 1])
def test_one_photo_that_is_left_is_enough(files_of, machine):
    source = files_of([colour(7), *[b"broken"] * 5])
    assert photos_of(take(source, 20, shard=(2, machine), position=(0, 5))) == [7] * 40


def test_empty_shards_are_one_sentence(tmp_path):
    write_shards(tmp_path, [])
    with pytest.raises(InputError, match=f"no image to train on in {tmp_path}: it is empty"):
        take(from_imagenet(str(tmp_path)), 1)


def test_fewer_photos_than_a_batch_still_fill_it(files_of):
    batches = take(files_of([colour(0), colour(1)]), 3, batch_size=5)
    photos = photos_of(batches)
    assert len(photos) == 15
    assert photos.count(0) in (7, 8)


def test_a_bug_of_ours_ends_the_pipeline_and_skips_no_photo(files_of, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a bug of ours")

    source = files_of([colour(k) for k in range(3)])
    monkeypatch.setattr(images, "_random_box", fail)
    with pytest.raises(tf.errors.OpError, match="ZeroDivisionError: a bug of ours"):
        take(source, 1, augment=True)
    assert source.skipped == {}
