import io
import os
import sys
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from magstyle.data import content, images
from magstyle.errors import InputError

STEP = 16  # The red of photo k is k * STEP everywhere: a batch tells which photos it is made of.


def encode(picture, **options):
    encoded = io.BytesIO()
    picture.save(encoded, **{"format": "PNG", **options})
    return encoded.getvalue()


def colour(k, size=(24, 20), **options):
    red, blue = Image.new("L", size, k * STEP), Image.new("L", size, 200)
    return encode(Image.merge("RGB", [red, Image.linear_gradient("L").resize(size), blue]), **options)


def gradient(width=60, height=40):
    """A photo that tells where a crop was taken: red to the right, green downwards."""
    red, green = np.meshgrid(np.arange(width) * 4, np.arange(height) * 4)
    return Image.fromarray(np.stack([red, green, np.full_like(red, 64)], axis=-1).astype(np.uint8))


def write_files(folder, photos):
    """Writes photos to 000.png, 001.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, encoded in enumerate(photos):
        (folder / f"{i:03}.png").write_bytes(encoded)
    return str(folder)


def write_shards(folder, photos):
    """Writes photos as ImageNet's TFRecord shards are, in turn to two of them."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = [folder / f"train-0000{i}-of-00002" for i in range(2)]
    for i, shard in enumerate(shards):
        with tf.io.TFRecordWriter(str(shard)) as writer:
            for encoded in photos[i::2]:
                example = tf.train.Example()
                example.features.feature["image/encoded"].bytes_list.value.append(encoded)
                example.features.feature["image/class/label"].int64_list.value.append(1)
                writer.write(example.SerializeToString())
    return shards


class Colours(tfds.core.GeneratorBasedBuilder):
    """A dataset of TFDS that needs no network: the photos that a test puts here, as PNG."""

    VERSION = tfds.core.Version("1.0.0")
    photos = ()

    def _info(self):
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(), "label": tf.int64})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples(self.photos[:1]), "train": self._generate_examples(self.photos)}

    def _generate_examples(self, photos):
        for i, encoded in enumerate(photos):
            yield i, {"image": encoded, "label": i}


class Numbers(tfds.core.GeneratorBasedBuilder):
    """A dataset without images."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"number": tf.int64}))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"number": 1}


class Embeddings(Numbers):
    """A dataset whose feature `image` is no picture."""

    def _info(self):
        features = tfds.features.FeaturesDict({"image": tfds.features.Tensor(shape=(3,), dtype=tf.float32)})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _generate_examples(self):
        yield 0, {"image": np.zeros(3, np.float32)}


@pytest.fixture
def files_of(tmp_path):
    """Makes a source of encoded photos, of files."""
    return lambda photos: content.from_files([write_files(tmp_path / "photos", photos)])


@pytest.fixture(params=["files", "imagenet", "tfds"])
def source_of(request, tmp_path, monkeypatch):
    """Makes a source of encoded photos, of each kind in turn."""

    def make(photos):
        if request.param == "files":
            return content.from_files([write_files(tmp_path / "photos", photos)])
        if request.param == "imagenet":
            write_shards(tmp_path / "shards", photos)
            return content.from_imagenet(str(tmp_path / "shards"))
        monkeypatch.setattr(Colours, "photos", photos)
        return content.from_tfds("colours", str(tmp_path / "tfds"))

    return make


def take(source, count, image_size=16, batch_size=2, num_styles=5, **options):
    return list(content.batches(source, image_size, batch_size, num_styles, **options).take(count).as_numpy_iterator())


def photos_of(batches):
    """Which photos (see `STEP`) the batches are made of."""
    return [round(float(red) * 255 / STEP) for batch in batches for red in batch["image"][:, 8, 8, 0]]


def assert_equal_batches(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


# Files


def test_a_folder_gives_every_image_at_any_depth(tmp_path):
    formats = {"0.png": "PNG", "sub/1.JPG": "JPEG", "sub/2.webp": "WEBP", "a/b/c/3.gif": "GIF", "a/b/4.tiff": "TIFF"}
    for k, (name, kind) in enumerate(formats.items()):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(colour(k, format=kind))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "a" / ".hidden.png").write_bytes(colour(9))
    for folder in (str(tmp_path), f"{tmp_path}/"):
        source = content.from_files([folder])
        assert sorted(photos_of(take(source, 1, batch_size=5))) == [0, 1, 2, 3, 4]
        assert source.skipped == {}


def test_files_are_found_by_name_and_glob_and_each_counts_once(tmp_path):
    write_files(tmp_path, [colour(0), colour(1)])
    write_files(tmp_path / "a" / "b[1]", [colour(2), colour(3)])

    def found(*patterns):
        source = content.from_files([str(tmp_path / pattern) for pattern in patterns])
        names = [name.decode() for name, _ in source.examples(tf.constant([0, 0])).as_numpy_iterator()]
        return sorted(name.removeprefix(f"{tmp_path}/") for name in names)

    deep = ["a/b[1]/000.png", "a/b[1]/001.png"]
    everything = ["000.png", "001.png", *deep]
    assert found("000.png") == ["000.png"]
    assert found("*.png") == ["000.png", "001.png"]
    assert found("a/b[1]") == deep
    assert found("a/b[1]/000.png") == deep[:1]
    assert found("**/*.png") == everything
    assert found("**") == everything
    assert found("00*.png", "a", "000.png") == everything


@pytest.mark.parametrize("pattern", ["missing", "missing.jpg", "*.gif", "**/*.gif", "empty", "texts", "hidden"])
def test_a_pattern_without_images_is_one_sentence(tmp_path, pattern):
    for folder in ("empty", "texts", "hidden"):
        (tmp_path / folder).mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no image")
    (tmp_path / "hidden" / ".photo.png").write_bytes(colour(0))
    write_files(tmp_path / "photos", [colour(0)])
    with pytest.raises(InputError) as error:
        content.from_files([str(tmp_path / "photos"), str(tmp_path / pattern)])
    assert str(error.value) == f"no image at {tmp_path / pattern}"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_unicode_does_not_stop_the_others(tmp_path):
    write_files(tmp_path, [colour(0), colour(1)])
    (tmp_path / "001.png").rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    for pattern in (tmp_path, tmp_path / "*.png"):
        assert 0 in photos_of(take(content.from_files([str(pattern)]), 1))


# ImageNet


def test_imagenet_shards_give_all_their_images(tmp_path):
    write_shards(tmp_path, [colour(k, format="JPEG", quality=95) for k in range(7)])
    (tmp_path / "validation-00000-of-00001").write_bytes(b"")
    source = content.from_imagenet(str(tmp_path))
    assert sorted(photos_of(take(source, 1, batch_size=7))) == list(range(7))
    assert source.skipped == {}
    names = sorted(name.decode() for name, _ in source.examples(tf.constant([0, 0])).as_numpy_iterator())
    assert names[0] == f"{tmp_path}/train-00000-of-00002:0"
    assert names[-1] == f"{tmp_path}/train-00001-of-00002:2"


def test_a_folder_of_shards_may_have_any_name(tmp_path):
    write_shards(tmp_path / "ILSVRC [2012]", [colour(0), colour(1)])
    assert sorted(photos_of(take(content.from_imagenet(str(tmp_path / "ILSVRC [2012]")), 1))) == [0, 1]


@pytest.mark.parametrize("damage", ["cut short", "flipped bit", "no records"])
def test_a_damaged_shard_gives_the_images_before_the_damage_and_is_named(tmp_path, damage):
    _, second = write_shards(tmp_path, [colour(k) for k in range(6)])  # Photos 1, 3 and 5 are in the second.
    data = second.read_bytes()
    data = {
        "cut short": data[:-40],
        "flipped bit": data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
        "no records": b"Dear diary,\n" * 20,
    }[damage]
    second.write_bytes(data)
    expected = [0, 2, 4] if damage == "no records" else [0, 1, 2, 3, 4]
    source = content.from_imagenet(str(tmp_path))
    batches = take(source, 2, batch_size=len(expected))
    assert [sorted(photos_of([batch])) for batch in batches] == [expected] * 2
    assert list(source.skipped) == [str(second)]
    assert "damaged" in source.skipped[str(second)]


def test_records_without_an_image_are_skipped_and_named(tmp_path):
    first, _ = write_shards(tmp_path, [colour(0), colour(1), colour(2)])
    with tf.io.TFRecordWriter(str(first)) as writer:
        writer.write(b"this is no Example")
        writer.write(tf.train.Example().SerializeToString())
    source = content.from_imagenet(str(tmp_path))
    assert photos_of(take(source, 2)) == [1, 1, 1, 1]
    assert sorted(source.skipped) == [f"{first}:0", f"{first}:1"]
    assert not any("No such file" in reason for reason in source.skipped.values())


def test_a_folder_without_shards_is_one_sentence(tmp_path):
    (tmp_path / "photo.png").write_bytes(colour(0))
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=f"there are no shards .* in {folder}$"):
            content.from_imagenet(str(folder))


# TensorFlow Datasets


def add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def write_imagenet_tars(folder, photos):
    """Writes the two files that people get from image-net.org: training photos by synset, and validation photos."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as train:
        for i, synset in enumerate(("n01440764", "n01443537")):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for j, encoded in enumerate(photos[i::2]):
                    add(archive, f"{synset}_{j}.JPEG", encoded)
            add(train, f"{synset}.tar", inner.getvalue())
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as validation:
        add(validation, "ILSVRC2012_val_00000001.JPEG", colour(9, format="JPEG"))


def test_the_tars_of_imagenet_are_prepared_by_tfds(tmp_path):
    photos = [colour(k, format="JPEG", quality=95) for k in range(5)]
    write_imagenet_tars(tmp_path / "downloads" / "manual", [*photos, photos[0][:300]])
    for source in (content.from_tfds("imagenet2012", str(tmp_path)) for _ in range(2)):
        assert sorted(photos_of(take(source, 1, batch_size=5))) == [0, 1, 2, 3, 4]
        assert list(source.skipped) == ["n01443537_2.JPEG"]


def test_imagenet_without_its_tars_or_with_damaged_ones_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="imagenet2012"):
        content.from_tfds("imagenet2012", str(tmp_path / "none"))
    write_imagenet_tars(tmp_path / "downloads" / "manual", [colour(0)])
    (tmp_path / "downloads" / "manual" / "ILSVRC2012_img_train.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(InputError, match="imagenet2012"):
        content.from_tfds("imagenet2012", str(tmp_path))


def test_any_dataset_of_tfds_with_images_will_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Colours, "photos", [colour(0), colour(1), b"", colour(3)])
    source = content.from_tfds("colours", str(tmp_path))
    assert sorted(photos_of(take(source, 1, batch_size=3))) == [0, 1, 3]
    [(name, reason)] = source.skipped.items()
    assert name.startswith("colours/train:")
    assert "No such file" not in reason


def test_preparing_a_dataset_of_tfds_leaves_stdout_to_the_paths_that_a_program_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Colours, "photos", [colour(0)])
    content.from_tfds("colours", str(tmp_path))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["numbers", "embeddings", "no_such_dataset", "not a name!", "colours/config:9.9.9"])
def test_a_dataset_of_tfds_that_is_unknown_or_without_images_is_one_sentence(tmp_path, name):
    with pytest.raises(InputError, match=name.split("/")[0]):
        content.batches(content.from_tfds(name, str(tmp_path)), 16, 2, 1)


# Batches


def test_a_crop_is_that_of_magenta(reference, tmp_path):
    golden = reference("image_pipeline")
    jpeg, image_size = golden["jpeg"].tobytes(), int(golden["image_size"])
    crop = images.training_crop(jpeg, "photo", image_size) / np.float32(255)
    assert crop.shape == golden["training_crop"].shape
    assert np.abs(crop - golden["training_crop"]).mean() <= 0.02
    source = content.from_files([write_files(tmp_path, [jpeg])])
    [batch] = take(source, 1, image_size=image_size, batch_size=1)
    np.testing.assert_allclose(batch["image"][0], crop, atol=1e-6)


def test_a_batch_holds_pictures_styles_and_its_position(files_of):
    dataset = content.batches(files_of([colour(k) for k in range(3)]), 16, 2, 5)
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
    source = content.from_files([write_files(tmp_path, [colour(k) for k in range(10)])])
    labels = np.concatenate([batch["label"] for batch in take(source, 10, batch_size=30, num_styles=3)])
    assert np.bincount(labels).min() > 70
    assert set(np.concatenate([batch["label"] for batch in take(source, 10, num_styles=1)])) == {0}


def test_augmentation_cuts_squares_of_all_sizes_anywhere_and_mirrors_some(tmp_path):
    source = content.from_files([write_files(tmp_path, [encode(gradient(60, 40))])])
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
    source = content.from_files([write_files(tmp_path, [encode(gradient(60, 40))])])
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
    source = content.from_files([str(tmp_path)])
    for augment in (False, True):
        assert set(photos_of(take(source, 4, augment=augment))) == {3}
    [(name, reason)] = source.skipped.items()
    assert reason == f"cannot use {name}: there is but one colour in it"


def test_a_crop_of_one_colour_gives_way_to_the_centre():
    # White, but for a spot in the middle, as products are photographed.
    photo = Image.new("RGB", (160, 160), "white")
    photo.paste((200, 0, 0), (76, 76, 84, 84))
    photo = encode(photo)
    centre = images.training_crop(photo, "photo", 32)
    crops = [images.training_crop(photo, "photo", 32, np.random.default_rng(seed)) for seed in range(20)]
    assert all((crop != crop[0, 0]).any() for crop in crops)
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
    source = content.from_files([str(tmp_path)])
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
    source = content.from_files([write_files(tmp_path, [colour(0), jpeg[: len(jpeg) * 9 // 10]])])
    assert photos_of(take(source, 2)) == [0] * 4
    assert list(source.skipped) == [str(tmp_path / "001.png")]


def test_a_photo_that_disappears_is_skipped_and_named(tmp_path):
    write_files(tmp_path, [colour(0), colour(1)])
    source = content.from_files([str(tmp_path)])
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


def test_empty_shards_are_one_sentence(tmp_path):
    write_shards(tmp_path, [])
    with pytest.raises(InputError, match=f"no image to train on in {tmp_path}: it is empty"):
        take(content.from_imagenet(str(tmp_path)), 1)


def test_fewer_photos_than_a_batch_still_fill_it(files_of):
    batches = take(files_of([colour(0), colour(1)]), 3, batch_size=5)
    photos = photos_of(batches)
    assert len(photos) == 15
    assert photos.count(0) in (7, 8)
