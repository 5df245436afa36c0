"""Photos in shards, each one piece of work: the parts of a `magstyle.data.photos.Source`.

A photo keeps its labels and names, so that a dataset made from it can be used in the same way.
"""

import bisect
import dataclasses
import functools
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from magstyle import files
from magstyle.data.photos import place_below
from magstyle.errors import InputError
from magstyle.names import in_file_name, to_bytes


@dataclasses.dataclass(frozen=True)
class Photo:
    """An encoded photo.

    Attributes:
        name: its name, unique in the source.
        stem: where its picture goes in a folder of pictures, without an extension: `n01440764/photo`.
        origin: the place to look for it: its file, `FILE:RECORD`, or `DATASET/SHARD:EXAMPLE`.
        features: its labels and names, as features of a `tf.train.Example`.
        read: returns its bytes, or raises an InputError.
        size: its share of the shard's size.
    """

    name: str
    stem: str
    origin: str
    features: Mapping[str, tf.train.Feature]
    read: Callable[[], bytes]
    size: int = 1


class Shard(Protocol):
    """Some photos of a source; a plain value that can be sent to another machine."""

    @property
    def name(self) -> str:
        """The name of the shard made from it, such as `train-00000-of-00010`."""

    @property
    def size(self) -> int:
        """Its share of the source: a number of photos, or of bytes."""

    def photos(self) -> Iterator[Photo]:
        """Yields its photos, always in the same order; the last one of a damaged shard cannot be read."""


@dataclasses.dataclass(frozen=True)
class Files:
    """Image files, named by their paths below the folder `root`.

    The class of a photo is its folder, numbered by its place among `classes`, from 1 as in ImageNet's shards.
    """

    name: str
    root: str
    files: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.files)

    def photos(self) -> Iterator[Photo]:
        for file in self.files:
            name = place_below(file, self.root)
            features = {"image/filename": feature(name)}
            if os.path.dirname(name):
                features["image/class/text"] = feature(os.path.dirname(name))
                features["image/class/label"] = feature(1 + bisect.bisect_left(self.classes, os.path.dirname(name)))
            yield Photo(name, os.path.splitext(name)[0], file, features, functools.partial(files.read_bytes, file))


@dataclasses.dataclass(frozen=True)
class Records:
    """A TFRecord file of Examples with the feature `image/encoded`, measured in bytes."""

    name: str
    file: str

    @property
    def size(self) -> int:
        return tf.io.gfile.stat(files.for_tensorflow(self.file)).length

    def photos(self) -> Iterator[Photo]:
        for index, record in _examples(tf.data.TFRecordDataset(files.for_tensorflow(self.file))):
            name, origin = f"{self.name}:{index}", f"{self.file}:{index}"
            if record is None:
                reason = f"{self.file} from record {index} on: it is not a TFRecord file, or is damaged or cut short"
                yield _unreadable(name, self.file, reason)
                continue
            try:
                features = dict(tf.train.Example.FromString(record).features.feature)
                encoded = features.pop("image/encoded").bytes_list.value[0]
            except Exception:  # protobuf's DecodeError is private; a missing feature is a KeyError or an IndexError.
                yield _unreadable(name, origin, f"{origin}: it is not an Example with image/encoded")
                continue
            read = functools.partial(bytes, encoded)
            # A record has 16 more bytes, for its length and checksums.
            yield Photo(name, _stem(self.name, index, features), origin, features, read, len(record) + 16)


@dataclasses.dataclass(frozen=True)
class Tfds:
    """A shard, such as the `split` `train[3shard]`, of a dataset of TensorFlow Datasets with the feature `image`."""

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
            origin = f"{self.dataset}/{name}"
            if example is None:
                reason = f"{self.dataset}, split {self.split}, from example {index} on: it is damaged"
                yield _unreadable(name, origin, reason)
                continue
            encoded = example.pop("image")
            # Texts, numbers and lists of these; masks, boxes and nested features do not fit into an Example.
            features = {
                key: feature(value)
                for key, value in example.items()
                if isinstance(value, bytes | np.generic) or (isinstance(value, np.ndarray) and value.ndim < 2)
            }
            if isinstance(label, tfds.features.ClassLabel) and example["label"] >= 0:
                features["image/class/text"] = feature(label.int2str(int(example["label"])))
                features["image/class/label"] = feature(1 + int(example["label"]))
            yield Photo(name, _stem(self.name, index, features), origin, features, functools.partial(bytes, encoded))


def classes(paths: Iterable[str], root: str) -> tuple[str, ...]:
    """The folders of files, by their paths below a root, sorted."""
    return tuple(sorted({os.path.dirname(place_below(path, root)) for path in paths} - {""}))


def shard_name(split: str, index: int, count: int) -> str:
    """The name of a shard in the style of ImageNet's, by which training finds it."""
    return f"{split}-{index:05d}-of-{count:05d}"


def feature(value: Any) -> tf.train.Feature:
    """Makes a feature of a `tf.train.Example` from a text, bytes, a number, or an array of these (flattened)."""
    if isinstance(value, str):
        value = to_bytes(value)
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    values = np.ravel(value)
    if values.dtype.kind == "O":
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if values.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values.astype(np.int64)))


def _examples(dataset: tf.data.Dataset) -> Iterator[tuple[int, Any]]:
    """Yields number and value of every example; the value is None at damage, after which it ends."""
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


def _unreadable(name: str, origin: str, reason: str) -> Photo:
    def read() -> bytes:
        raise InputError(f"cannot read {reason}")

    return Photo(name, name, origin, {}, read, 0)


def _stem(shard: str, index: int, features: Mapping[str, tf.train.Feature]) -> str:
    """The path of a picture, by shard, class and number: `val/n01440764/val-00000-of-00001-00007`."""
    folder, shard = os.path.split(shard)
    return os.path.join(folder, _class(features), f"{shard}-{index:05d}")


def _class(features: Mapping[str, tf.train.Feature]) -> str:
    """The class of a photo as the name of a folder; "" if it has no class."""
    for key in ("image/class/synset", "image/class/text", "image/class/label", "label"):
        if key in features:
            values = features[key].bytes_list.value or features[key].int64_list.value
            if len(values) == 1:
                text = values[0].decode(errors="replace") if isinstance(values[0], bytes) else str(values[0])
                return "/".join(in_file_name(part) for part in re.split(r"[/\\]", text) if part.strip(". \0"))
    return ""
