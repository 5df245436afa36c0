"""Datasets of encoded photos in shards, each of them one piece of work: image files, TFRecords, or TFDS.

What comes with a photo (labels, names) comes along, so that a dataset made of it can be used in the same way.
"""

import dataclasses
import functools
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from magstyle.data import content
from magstyle.errors import InputError

# Of image files in a TFRecord shard: about as many as ImageNet's shards have.
_PHOTOS_PER_SHARD = 1000
# Where there are no shards to fill: few for a worker that is the last to finish, many for the list of a million.
_PHOTOS_AT_A_TIME = 16


@dataclasses.dataclass(frozen=True)
class Photo:
    """An encoded photo.

    Attributes:
        name: what to call it; no other photo of the dataset has that name.
        stem: where its picture goes in a folder of pictures, without an extension: `n01440764/photo`.
        features: what came with it, as features of a `tf.train.Example`.
        read: gives its bytes, or raises an InputError.
        size: as that of its shard.
    """

    name: str
    stem: str
    features: Mapping[str, tf.train.Feature]
    read: Callable[[], bytes]
    size: int = 1


class Shard(Protocol):
    """Some photos of a dataset; a plain value that can be sent to another machine.

    Attributes:
        name: of the shard made of it, such as `train-00000-of-00010`.
        size: how much of the dataset it is.
    """

    name: str
    size: int

    def photos(self) -> Iterator[Photo]:
        """All its photos, always in the same order; the last one of a damaged shard cannot be read."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Shards of photos.

    Attributes:
        shards: the shards.
        unit: of the sizes of shards and photos, for a progress bar.
        digest: another one if the same shards hold other photos; "" where a shard is what it is whatever the rest.
    """

    shards: Sequence[Shard]
    unit: str
    digest: str = ""

    @property
    def size(self) -> int:
        return sum(shard.size for shard in self.shards)


@dataclasses.dataclass(frozen=True)
class _Files:
    name: str
    root: str
    files: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.files)

    def photos(self) -> Iterator[Photo]:
        for file in self.files:
            name = _below(file, self.root)
            features = {"image/filename": feature(name)}
            if os.path.dirname(name):
                features["image/class/text"] = feature(os.path.dirname(name))
            yield Photo(name, os.path.splitext(name)[0], features, functools.partial(content.read_file, file))


@dataclasses.dataclass(frozen=True)
class _Records:
    name: str
    file: str
    size: int

    def photos(self) -> Iterator[Photo]:
        for index, record in _examples(tf.data.TFRecordDataset(self.file)):
            name = f"{self.name}:{index}"
            if record is None:
                yield _unreadable(name, f"{self.file} from record {index} on: it is no TFRecord file, or cut short")
                continue
            try:
                features = dict(tf.train.Example.FromString(record).features.feature)
                encoded = features.pop("image/encoded").bytes_list.value[0]
            except Exception:  # protobuf's DecodeError is in a private module; the others mean the same here.
                yield _unreadable(name, f"record {index} of {self.file}: it is no Example with image/encoded")
                continue
            # A record has 16 bytes of lengths and checksums.
            yield Photo(
                name, _stem(self.name, index, features), features, functools.partial(bytes, encoded), len(record) + 16
            )


@dataclasses.dataclass(frozen=True)
class _Tfds:
    name: str
    size: int
    dataset: str
    data_dir: str | None
    split: str

    def photos(self) -> Iterator[Photo]:
        import tensorflow_datasets as tfds  # Here, as importing it takes seconds.

        builder = tfds.builder(self.dataset, data_dir=self.data_dir)
        dataset = builder.as_dataset(split=self.split, decoders={"image": tfds.decode.SkipDecoding()})
        label = dict(builder.info.features.items()).get("label")
        for index, example in _examples(dataset):
            name = f"{self.name}:{index}"
            if example is None:
                yield _unreadable(name, f"{self.dataset}, split {self.split}, from example {index} on: it is damaged")
                continue
            encoded = example.pop("image")
            # Texts, numbers and lists of these; masks, boxes and what is nested have no place in an Example.
            features = {
                key: feature(value)
                for key, value in example.items()
                if isinstance(value, bytes | np.generic) or (isinstance(value, np.ndarray) and value.ndim < 2)
            }
            if isinstance(label, tfds.features.ClassLabel) and example["label"] >= 0:
                features["image/class/text"] = feature(label.int2str(int(example["label"])))
            yield Photo(name, _stem(self.name, index, features), features, functools.partial(bytes, encoded))


def from_files(patterns: Sequence[str], output_dir: str, num_shards: int | None = None) -> Dataset:
    """Image files: names, globs (`**` for any depth), and folders with all that is in them, local or in a bucket.

    A photo is named by its place below the folder that all patterns have in common; in shards, every n-th goes to the
    same, so that each has photos of all folders. What is in `output_dir` is no photo.

    Args:
        patterns: the names, globs and folders.
        output_dir: where the pictures go.
        num_shards: 1000 photos go to a shard by default; 0, for a folder of pictures, makes small pieces of work.

    Raises:
        InputError: for a pattern that no image file matches, photos in `output_dir` alone, more shards than photos, or
            photos that would take each other's pictures.
    """
    patterns = [_absolute(pattern) for pattern in patterns]
    names = content.find_images(patterns)
    root = _root(patterns, output_dir)
    names = [name for name in names if not _is_below(name, output_dir)]
    if not names:
        raise InputError(f"no image outside of {output_dir}")
    if num_shards == 0:
        _check_stems(names)
        groups = [tuple(names[i : i + _PHOTOS_AT_A_TIME]) for i in range(0, len(names), _PHOTOS_AT_A_TIME)]
        return Dataset([_Files(group[0], root, group) for group in groups], "picture")
    count = num_shards or -(-len(names) // _PHOTOS_PER_SHARD)
    if count > len(names):
        raise InputError(f"{len(names)} photos cannot fill {count} shards; choose a smaller --num_shards")
    shards = [_Files(_shard_name("train", i, count), root, tuple(names[i::count])) for i in range(count)]
    digest = hashlib.sha256("\n".join(_below(name, root) for name in names).encode()).hexdigest()
    return Dataset(shards, "picture", digest)


def from_tfrecords(patterns: Sequence[str], output_dir: str) -> Dataset:
    """TFRecord files of Examples with the feature `image/encoded`, by names and globs; each is a shard.

    Raises:
        InputError: for a pattern without files, a file that is no such TFRecord file, or files in `output_dir`.
    """
    patterns = [_absolute(pattern) for pattern in patterns]
    paths = set()
    for pattern in patterns:
        found = [path for path in content.matches(pattern) if not tf.io.gfile.isdir(path)]
        if not found:
            raise InputError(f"no TFRecord file at {pattern}")
        paths.update(found)
    root = _root(patterns, output_dir)
    paths = sorted(path for path in paths if not _is_below(path, output_dir))
    shards = [_Records(_below(path, root), path, tf.io.gfile.stat(path).length) for path in paths]
    for shard in shards:
        first = next(shard.photos(), None)
        if first is not None:
            first.read()
        elif shard.size:  # TensorFlow takes a few bytes of anything for the end of a file.
            raise InputError(f"cannot read {shard.file}: it is no TFRecord file")
    return Dataset(shards, "B")


def from_tfds(name: str, data_dir: str | None = None) -> Dataset:
    """A dataset of TensorFlow Datasets with a feature `image`: its split `train`, or else its first, in its own shards.

    It is prepared if that has not been done yet.

    Raises:
        InputError: for a dataset that is unknown, has no images or cannot be prepared.
    """
    data_dir = data_dir and _absolute(data_dir)
    builder, split = content.prepare_tfds(name, data_dir)
    lengths = builder.info.splits[split].shard_lengths
    shards = [
        _Tfds(_shard_name(split, i, len(lengths)), length, name, data_dir, f"{split}[{i}shard]")
        for i, length in enumerate(lengths)
    ]
    return Dataset(shards, "picture")


def feature(value: Any) -> tf.train.Feature:
    """A feature of a `tf.train.Example` of a text, bytes, a number, or an array of these (flattened)."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    values = np.ravel(value)
    if values.dtype.kind == "O":
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if values.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values.astype(np.int64)))


def _check_stems(names: Sequence[str]) -> None:
    taken = {}
    for name in names:
        other = taken.setdefault(os.path.splitext(name)[0], name)
        if other != name:
            raise InputError(f"{other} and {name} would both become the same picture; rename one")


def _examples(dataset: tf.data.Dataset) -> Iterator[tuple[int, Any]]:
    """Number and value of every example; the value is None where the file is damaged, and ends."""
    examples = dataset.as_numpy_iterator()
    for index in itertools.count():
        try:
            example = next(examples)
        except StopIteration:
            return
        except tf.errors.OpError:
            yield index, None
            return
        yield index, example


def _unreadable(name: str, reason: str) -> Photo:
    def read():
        raise InputError(f"cannot read {reason}")

    return Photo(name, name, {}, read, 0)


def _stem(shard: str, index: int, features: Mapping[str, tf.train.Feature]) -> str:
    """Place of a picture by shard, class and number: `val/n01440764/val-00000-of-00001-00007`."""
    folder, shard = os.path.split(shard)
    return os.path.join(folder, _class(features), f"{shard}-{index:05d}")


def _class(features: Mapping[str, tf.train.Feature]) -> str:
    """The class of a photo as the name of a folder, or "" if it has none."""
    for key in ("image/class/synset", "image/class/text", "image/class/label", "label"):
        if key in features:
            values = features[key].bytes_list.value or features[key].int64_list.value
            if len(values) == 1:
                text = values[0].decode(errors="replace") if isinstance(values[0], bytes) else str(values[0])
                return "/".join(part for part in re.split(r"[/\\]", text) if part.strip(". \0"))
    return ""


def _shard_name(split: str, index: int, count: int) -> str:
    # As ImageNet's shards are called, so that bin/train.py --imagenet_data_dir finds these too.
    return f"{split}-{index:05d}-of-{count:05d}"


def _absolute(path: str) -> str:
    # Workers may run in another folder.
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def _root(patterns: Sequence[str], output_dir: str) -> str:
    """The deepest folder that all matches of the patterns are in; it must not be where the output goes."""
    parts = []
    for pattern in patterns:
        folder = pattern.rstrip("/")
        if not tf.io.gfile.isdir(folder):
            folder = os.path.dirname(re.split(r"[*?\[]", folder)[0])
        parts.append(folder.split("/"))
    root = "/".join(os.path.commonprefix(parts))  # noqa: RUF071  Of the parts; commonpath knows no buckets.
    if _is_below(root, output_dir):
        raise InputError(f"--output_dir={output_dir} is where the photos are; choose another")
    return root


def _below(path: str, root: str) -> str:
    return path[len(root) :].lstrip("/")


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")
