import io
import os
import pickle
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from magstyle import files, project
from magstyle.data import images, photos, shards
from magstyle.errors import InputError
from tests.sources import STEP, Colours, colour, write_files, write_shards

NAMED = {"cock/deep/1.png", "tench/1.jpg", "tench/2.jpg"}


@pytest.fixture
def folder(tmp_path):
    for name in NAMED:
        images.write_image(tmp_path / "photos" / name, np.zeros((8, 9, 3)))
    return tmp_path / "photos"


@pytest.fixture
def touch(tmp_path):
    """Makes empty files."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")

    return make


def below(root, paths):
    return [path.removeprefix(f"{root}/") for path in paths]


def named(source):
    return {photo.name: photo for shard in source.shards for photo in shard.photos()}


def passed(source, seed=(0, 0)):
    """One pass over a source: the photos (see `STEP`) by name, in order."""
    found = {}
    for name, encoded in source.examples(tf.constant(seed)).as_numpy_iterator():
        name = os.fsdecode(name)
        with Image.open(io.BytesIO(files.read_bytes(name) if source.files else encoded)) as image:
            found[name] = round(image.getpixel((8, 8))[0] / STEP)
    return found


def write_records(path, records):
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for features in records:
            features = {key: shards.feature(value) for key, value in features.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return path


# Names, globs and folders


def test_a_folder_stands_for_every_visible_image_below(tmp_path, touch):
    visible = ["a/b.c/d/3.gif", "a/b.c/4.tiff", "a/1.JPG", "0.png", "sub/2.webp"]
    touch(*visible, "notes.txt", ".hidden.png", "a/.hidden.png", "a/.thumbnails/1.png", ".git/b/1.png")
    for pattern in (str(tmp_path), f"{tmp_path}/", tmp_path, [tmp_path]):
        assert below(tmp_path, photos.find(pattern)) == sorted(visible)


def test_a_folder_that_is_hidden_itself_can_be_named(tmp_path, touch):
    touch(".cache/a/1.png")
    assert below(tmp_path, photos.find(tmp_path / ".cache")) == [".cache/a/1.png"]


def test_files_come_in_the_order_of_the_patterns_and_each_once(tmp_path, touch):
    touch("000.png", "001.png", "a/b[1]/000.png", "a/b[1]/001.png")

    def find(*patterns):
        return below(tmp_path, photos.find([tmp_path / pattern for pattern in patterns]))

    deep = ["a/b[1]/000.png", "a/b[1]/001.png"]
    everything = ["000.png", "001.png", *deep]
    assert find("000.png") == ["000.png"]
    assert find("*.png") == ["000.png", "001.png"]
    assert find("a/b[1]") == deep
    assert find("a/b[1]/000.png") == deep[:1]
    assert find("*") == find("**/*.png") == find("**") == everything
    assert find("a", "001.png", "0*.png", "") == [*deep, "001.png", "000.png"]


def test_a_named_file_is_taken_whatever_its_name(tmp_path, touch):
    touch("photo", ".hidden.png")
    names = [str(tmp_path / "photo"), str(tmp_path / ".hidden.png")]
    assert photos.find(names) == names


def test_a_home_folder_is_expanded(tmp_path, touch, monkeypatch):
    touch("photos/1.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert photos.find("~/photos") == [str(tmp_path / "photos" / "1.png")]


@pytest.mark.parametrize("pattern", ["missing", "missing.jpg", "*.gif", "**/*.gif", "empty", "texts", "hidden"])
def test_a_pattern_without_images_is_one_sentence(tmp_path, touch, pattern):
    (tmp_path / "empty").mkdir()
    touch("texts/notes.txt", "hidden/.photo.png", "photos/1.png")
    for search in (photos.find, photos.from_files):
        with pytest.raises(InputError) as error:
            search([str(tmp_path / "photos"), str(tmp_path / pattern)])
        assert str(error.value) == f"no image at {tmp_path / pattern}"


def test_places_tell_photos_of_one_name_apart(tmp_path, touch, monkeypatch):
    touch("photos/a/x.jpg", "photos/b/x.jpg")
    expected = {"photos/a/x.jpg": "a/x.jpg", "photos/b/x.jpg": "b/x.jpg"}
    monkeypatch.chdir(tmp_path)
    for pattern in ("photos", "photos/*", "photos/*/x.jpg", "photos/**/*.jpg"):
        assert photos.places(pattern) == expected
    assert photos.places("pho*") == {path: path for path in expected}
    assert photos.places(".") == {f"./{path}": path for path in expected}
    assert photos.places("photos/b/x.jpg") == {"photos/b/x.jpg": "x.jpg"}
    assert photos.places(["photos/b", "photos"]) == {"photos/b/x.jpg": "x.jpg", "photos/a/x.jpg": "a/x.jpg"}


def test_what_lies_in_the_output_is_found_only_by_its_name(tmp_path, touch, monkeypatch):
    touch("photos/1.jpg", "photos/out/a/2.jpg", "photos/outside/3.jpg")
    monkeypatch.chdir(tmp_path)
    for outside in ("photos/out", "photos/out/", tmp_path / "photos" / "out", "photos/../photos/out"):
        for pattern in ("photos", "photos/**", tmp_path / "photos"):
            assert list(photos.places(pattern, outside).values()) == ["1.jpg", "outside/3.jpg"]
    assert photos.find("photos/out/a/2.jpg", "photos/out") == ["photos/out/a/2.jpg"]
    with pytest.raises(InputError, match=r"no image at photos/\*/a$"):
        photos.find("photos/*/a", "photos/out")


def test_output_beside_or_around_the_photos_hides_none(tmp_path, touch, monkeypatch):
    touch("photos/1.jpg")
    monkeypatch.chdir(tmp_path)
    for outside in ("photos", ".", tmp_path.parent, "out"):
        assert photos.find(["photos/*.jpg"], outside) == photos.find("photos", outside) == ["photos/1.jpg"]


def test_finding_local_files_needs_no_tensorflow(folder):
    program = f"import sys; from magstyle.data import photos; print(len(photos.find({str(folder)!r}, '/out')))"
    program += "; assert not {'tensorflow', 'keras'} & sys.modules.keys()"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "3\n"


def test_buckets_are_searched_too():
    # TensorFlow's file system in memory, which is as far from a local one as a bucket is.
    for name in ("a/1.png", "b/c/2.jpg", "b/c/.hidden/3.jpg", "b/notes.txt", "b/out/4.jpg"):
        tf.io.gfile.makedirs(os.path.dirname(f"ram://photos/{name}"))
        tf.io.gfile.GFile(f"ram://photos/{name}", "w").write(name)
    everything = {"ram://photos/a/1.png": "a/1.png", "ram://photos/b/c/2.jpg": "b/c/2.jpg"}
    everything["ram://photos/b/out/4.jpg"] = "b/out/4.jpg"
    assert photos.places("ram://photos", "out") == everything
    assert photos.places("ram://photos/a/*.png") == {"ram://photos/a/1.png": "1.png"}
    assert files.read_bytes("ram://photos/b/c/2.jpg") == b"b/c/2.jpg"
    for search in (photos.find, files.read_bytes):
        with pytest.raises(InputError, match="ram://photos/missing"):
            search("ram://photos/missing")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_unicode_does_not_stop_the_others(tmp_path):
    write_files(tmp_path, [colour(0), colour(1)])
    strange = tmp_path / os.fsdecode(b"caf\xe9.png")
    (tmp_path / "001.png").rename(strange)
    for pattern in (tmp_path, tmp_path / "*.png"):
        source = photos.from_files(pattern)
        assert passed(source) == {str(tmp_path / "000.png"): 0, str(strange): 1}
        assert set(named(source)) == {"000.png", strange.name}


# One source of several


def test_a_source_is_opened_by_the_one_argument_that_is_given(folder, tmp_path, monkeypatch):
    write_shards(tmp_path / "shards", [colour(0), colour(1)])
    monkeypatch.setattr(Colours, "photos", [colour(2)])
    others = {"content_files": None, "tfrecord_files": [], "imagenet_data_dir": "", "tfds_name": None}

    def size(**given):
        return len(named(photos.open_source(**{**others, **given})))

    assert size(content_files=folder) == size(content_files=[str(folder)]) == 3
    assert size(tfrecord_files=f"{tmp_path}/shards/*00-of*") == 1
    assert size(imagenet_data_dir=tmp_path / "shards") == 2
    assert size(tfds_name="colours", tfds_data_dir=tmp_path / "tfds") == 1


def test_no_source_or_two_are_refused_by_the_names_that_a_caller_has(folder):
    with pytest.raises(InputError) as error:
        photos.open_source(content_files=None, tfds_name=None)
    assert str(error.value) == "give the photos by one of content_files and tfds_name"
    assert error.value.arguments == ("content_files", "tfds_name")
    with pytest.raises(InputError, match=r"by one of content_files, imagenet_data_dir and tfds_name$"):
        photos.open_source(content_files=folder, imagenet_data_dir=folder, tfds_name=None, tfds_data_dir=folder)


def test_records_in_a_named_pipe_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train-00000-of-00001")
    with pytest.raises(InputError, match="it is not a regular file"):
        photos.from_tfrecords(tmp_path / "train-00000-of-00001")
    with pytest.raises(InputError, match="it is not a regular file"):
        photos.from_imagenet(tmp_path)


# Files


def test_files_are_named_below_the_folder_that_they_have_in_common(folder):
    assert set(named(photos.from_files(f"{folder}/"))) == NAMED
    assert set(named(photos.from_files([f"{folder}/tench", f"{folder}/cock"]))) == NAMED
    assert set(named(photos.from_files([f"{folder}/*/*.jpg"]))) == {"tench/1.jpg", "tench/2.jpg"}
    assert set(named(photos.from_files(f"{folder}/tench/1.jpg"))) == {"1.jpg"}


def test_a_photo_brings_its_name_and_class(folder):
    photo = named(photos.from_files(folder))["cock/deep/1.png"]
    assert photo.stem == "cock/deep/1"
    assert photo.origin == f"{folder}/cock/deep/1.png"
    assert photo.features["image/class/text"] == shards.feature("cock/deep")
    assert photo.features["image/class/label"] == shards.feature(1)
    assert photo.features["image/filename"] == shards.feature("cock/deep/1.png")
    assert photo.read() == (folder / "cock" / "deep" / "1.png").read_bytes()


def test_classes_are_numbered_from_1_in_their_order_whatever_the_shards(folder):
    for name in ("1.jpg", "cock/2.jpg"):
        (folder / name).write_bytes(b"")
    for num_shards in (1, 3):
        found = [photo for shard in photos.from_files(folder).deal(num_shards).shards for photo in shard.photos()]
        labels = {photo.name: list(photo.features["image/class/label"].int64_list.value) for photo in found[1:]}
        assert "image/class/label" not in found[0].features
        assert labels == {"cock/2.jpg": [1], "cock/deep/1.png": [2], "tench/1.jpg": [3], "tench/2.jpg": [3]}


def test_files_are_dealt_out_to_shards(folder):
    source = photos.from_files(folder)
    assert [shard.name for shard in source.shards] == ["train-00000-of-00001"]
    dealt = source.deal(2)
    assert [shard.name for shard in dealt.shards] == ["train-00000-of-00002", "train-00001-of-00002"]
    assert [[photo.name for photo in shard.photos()] for shard in dealt.shards] == [
        ["cock/deep/1.png", "tench/2.jpg"],
        ["tench/1.jpg"],
    ]
    assert (source.size, source.unit) == (dealt.size, dealt.unit) == (3, "picture")
    with pytest.raises(InputError, match="3 photos cannot fill 4 shards; choose a smaller num_shards"):
        source.deal(4)


def test_shards_can_be_read_from_another_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    source = photos.from_files(["photos", f"{folder}/tench"])
    monkeypatch.chdir(folder)
    assert {photo.read() for photo in named(source).values()}
    assert set(named(source)) == NAMED
    assert pickle.loads(pickle.dumps(source.shards)) == source.shards


def test_the_order_of_files_is_that_of_the_seed_alone(tmp_path):
    names = [f"{tmp_path}/{k:03}.png" for k in range(10)]
    write_files(tmp_path, [colour(k) for k in range(10)])
    expected = [names[k] for k in (9, 3, 5, 1, 0, 7, 8, 4, 2, 6)]
    for patterns in (tmp_path, names[::-1]):
        assert list(passed(photos.from_files(patterns), (3, 1))) == expected
    assert list(passed(photos.from_files(tmp_path), (3, 2))) != expected


@pytest.mark.parametrize("kind", ["files", "tfrecords", "imagenet", "tfds"])
def test_every_photo_comes_once_in_each_order(tmp_path, monkeypatch, kind):
    encoded = [colour(k) for k in range(9)]
    if kind == "files":
        source = photos.from_files(write_files(tmp_path, encoded))
    elif kind == "tfds":
        monkeypatch.setattr(Colours, "photos", encoded)
        source = photos.from_tfds("colours", tmp_path)
    else:
        write_shards(tmp_path, encoded)
        source = photos.from_imagenet(tmp_path) if kind == "imagenet" else photos.from_tfrecords(f"{tmp_path}/train*")
    orders = [list(passed(source, seed).values()) for seed in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert all(sorted(order) == list(range(9)) for order in orders)
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3
    assert source.skipped == {}


# TFRecords


def test_records_bring_all_their_features_and_go_to_the_folder_of_their_class(tmp_path):
    records = [
        {"image/encoded": b"a", "image/class/synset": "n01", "image/class/label": 3, "score": [0.5, 1.5]},
        {"image/encoded": b"b", "image/class/label": 3},
        {"image/encoded": b"c", "image/class/text": "../birds/cock"},
        {"image/encoded": b"d"},
    ]
    path = write_records(tmp_path / "in" / "a.tfrecord", records)
    source = photos.from_tfrecords([f"{tmp_path}/in/*"])
    found = list(source.shards[0].photos())
    assert [photo.read() for photo in found] == [b"a", b"b", b"c", b"d"]
    assert [photo.stem for photo in found] == [
        "n01/a.tfrecord-00000",
        "3/a.tfrecord-00001",
        "birds/cock/a.tfrecord-00002",
        "a.tfrecord-00003",
    ]
    assert [photo.origin for photo in found] == [f"{path}:{i}" for i in range(4)]
    assert found[0].features["score"] == shards.feature(np.array([0.5, 1.5]))
    assert "image/encoded" not in found[0].features
    assert sum(photo.size for photo in found) == source.size == os.path.getsize(path)
    assert source.unit == "B"


def test_a_damaged_shard_gives_what_is_before_the_damage(tmp_path):
    path = write_records(tmp_path / "in" / "a", [{"image/encoded": b"a"}, {"other": 1}, {"image/encoded": b"c"}])
    path.write_bytes(path.read_bytes()[:-5])
    first, other, last = photos.from_tfrecords(path).shards[0].photos()
    assert first.read() == b"a"
    with pytest.raises(InputError, match=r"cannot read .*a:1: it is not an Example with image/encoded"):
        other.read()
    with pytest.raises(InputError, match=r"a from record 2 on: .* cut short"):
        last.read()


def test_what_is_no_tfrecord_file_of_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("Dear diary,\n" * 50)
    with pytest.raises(InputError, match=r"notes.txt from record 0 on: it is not a TFRecord file"):
        photos.from_tfrecords(tmp_path / "notes.txt")
    path = write_records(tmp_path / "in" / "a", [{"image": b"a"}])
    with pytest.raises(InputError, match=r"cannot read .*a:0: it is not an Example with image/encoded"):
        photos.from_tfrecords(path)
    (tmp_path / "greeting").write_text("hello")
    with pytest.raises(InputError, match="greeting: it is not a TFRecord file"):
        photos.from_tfrecords([tmp_path / "greeting"])
    for pattern in (f"{tmp_path}/missing*", tmp_path / "in"):
        with pytest.raises(InputError, match=f"no TFRecord file at {pattern}"):
            photos.from_tfrecords(pattern)


def test_records_in_the_output_are_left_out(tmp_path):
    for folder in ("a", "out"):
        write_records(tmp_path / folder / "train", [{"image/encoded": b"a"}])
    assert [shard.name for shard in photos.from_tfrecords(f"{tmp_path}/*/*").shards] == ["a/train", "out/train"]
    source = photos.from_tfrecords(f"{tmp_path}/*/*", tmp_path / "out")
    assert [shard.name for shard in source.shards] == ["a/train"]


# ImageNet


def test_imagenet_shards_give_all_their_images(tmp_path):
    folder = tmp_path / "ILSVRC [2012]"
    write_shards(folder, [colour(k) for k in range(7)])
    (folder / "validation-00000-of-00001").write_bytes(b"")
    assert passed(photos.from_imagenet(str(folder))) == {
        f"{folder}/train-0000{k % 2}-of-00002:{k // 2}": k for k in range(7)
    }


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
    source = photos.from_imagenet(tmp_path)
    for seed in ((0, 0), (0, 1)):
        assert sorted(passed(source, seed).values()) == ([0, 2, 4] if damage == "no records" else [0, 1, 2, 3, 4])
    assert list(source.skipped) == [str(second)]
    assert "damaged" in source.skipped[str(second)]


def test_a_shard_that_disappears_is_named(tmp_path):
    _, second = write_shards(tmp_path, [colour(0), colour(1)])
    source = photos.from_imagenet(tmp_path)
    second.unlink()
    assert list(passed(source).values()) == [0]
    assert list(source.skipped) == [str(second)]


def test_records_without_an_image_are_skipped_and_named(tmp_path):
    first, _ = write_shards(tmp_path, [colour(0), colour(1), colour(2)])
    with tf.io.TFRecordWriter(str(first)) as writer:
        writer.write(b"this is no Example")
        writer.write(tf.train.Example().SerializeToString())
    source = photos.from_imagenet(tmp_path)
    assert list(passed(source).values()) == [1]
    assert sorted(source.skipped) == [f"{first}:0", f"{first}:1"]
    assert all("not an Example with image/encoded" in reason for reason in source.skipped.values())


def test_a_folder_without_shards_is_one_sentence(tmp_path):
    (tmp_path / "photo.png").write_bytes(colour(0))
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=f"there are no shards .* in {folder}$"):
            photos.from_imagenet(folder)


# TensorFlow Datasets


def add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def write_imagenet_tars(folder, encoded):
    """Writes the two files that people get from image-net.org: training photos by synset, and validation photos."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as train:
        for i, synset in enumerate(("n01440764", "n01443537")):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for j, photo in enumerate(encoded[i::2]):
                    add(archive, f"{synset}_{j}.JPEG", photo)
            add(train, f"{synset}.tar", inner.getvalue())
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as validation:
        add(validation, "ILSVRC2012_val_00000001.JPEG", colour(9, format="JPEG"))


def test_the_tars_of_imagenet_are_prepared_by_tfds(tmp_path):
    encoded = [colour(k, format="JPEG", quality=95) for k in range(5)]
    write_imagenet_tars(tmp_path / "downloads" / "manual", encoded)
    for source in (photos.from_tfds("imagenet2012", tmp_path) for _ in range(2)):
        assert passed(source) == {f"n0144{'3537' if k % 2 else '0764'}_{k // 2}.JPEG": k for k in range(5)}


def test_imagenet_without_its_tars_or_with_damaged_ones_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="imagenet2012"):
        photos.from_tfds("imagenet2012", str(tmp_path / "none"))
    write_imagenet_tars(tmp_path / "downloads" / "manual", [colour(0)])
    (tmp_path / "downloads" / "manual" / "ILSVRC2012_img_train.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(InputError, match="imagenet2012"):
        photos.from_tfds("imagenet2012", str(tmp_path))


def test_any_dataset_of_tfds_with_images_will_do_and_brings_its_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Colours, "photos", [colour(0), colour(1)])
    source = photos.from_tfds("colours", tmp_path)
    assert sorted(passed(source).values()) == [0, 1]
    assert all(name in ("colours/train:0", "colours/train:1") for name in passed(source))
    found = named(source)
    assert sorted(found) == ["train-00000-of-00001:0", "train-00000-of-00001:1"]
    assert sorted(photo.features["label"].int64_list.value[0] for photo in found.values()) == [0, 1]
    assert source.size == 2
    # Standard output is for the paths that a program prints.
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["numbers", "embeddings", "no_such_dataset", "not a name!", "colours/config:9.9.9"])
def test_a_dataset_of_tfds_that_is_unknown_or_without_images_is_one_sentence(tmp_path, name):
    with pytest.raises(InputError, match=name.split("/")[0]):
        photos.from_tfds(name, str(tmp_path))


def test_a_folder_of_heic_photos_alone_says_what_reads_them(tmp_path, monkeypatch):
    monkeypatch.setattr(project, "has", lambda module: False)
    (tmp_path / "IMG_0001.HEIC").touch()
    with pytest.raises(InputError) as error:
        photos.find(tmp_path)
    hint = "the HEIC photos there need pillow-heif, and pip install pillow-heif brings it"
    assert str(error.value) == f"no image at {tmp_path}; {hint}"
