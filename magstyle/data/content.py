"""Photos to train on, as one endless tf.data pipeline, whatever they are stored as.

A source lists encoded images; `batches` decodes, crops and batches them in parallel with the training. What comes when
depends on the seed alone, and a pipeline can be started anywhere in it, so that a training that was killed goes on with
the photo that it would have seen next.
"""

import contextlib
import dataclasses
import glob
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from google.protobuf import message

from magstyle.data import images
from magstyle.errors import InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# Records are shuffled within a window of this many encoded images; lists of files as a whole.
_SHUFFLE_WINDOW = 1024
_SHARDS_AT_A_TIME = 4


@dataclasses.dataclass
class Source:
    """A collection of encoded images.

    Attributes:
        name: what to call it in a message.
        examples: from a seed, an int32 tensor [2], to one pass over the images in the order of that seed, as a dataset
            of pairs: the name of an image, and its encoded bytes.
        skipped: the images that could not be used so far, with the reason, by name.
        in_files: the names are those of files to read the bytes from; in the pairs they are empty.
    """

    name: str
    examples: Callable[[tf.Tensor], tf.data.Dataset]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    in_files: bool = False


def from_files(patterns: Sequence[str]) -> Source:
    """Image files: names, globs (`**` for any depth), and folders with all that is in them, local or in a bucket.

    Raises:
        InputError: for a pattern that no image file matches.
    """
    # File names need not be text.
    names = [os.fsencode(name) for name in find_images([os.path.expanduser(pattern) for pattern in patterns])]
    return Source(
        ", ".join(patterns), lambda seed: _in_order_of(seed, names).map(lambda name: (name, "")), in_files=True
    )


def from_imagenet(data_dir: str) -> Source:
    """The training shards `train-00000-of-01024`, ... of ImageNet, of Examples with the feature `image/encoded`.

    A shard that is cut short or damaged gives the images before the damage, and counts as skipped.

    Raises:
        InputError: for a folder without such shards.
    """
    folder = os.path.expanduser(data_dir)
    names = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
    shards = sorted(os.path.join(folder, name) for name in names if re.fullmatch(r"train-\d+-of-\d+", name))
    if not shards:
        raise InputError(f"there are no shards train-00000-of-01024, ... in {data_dir}")
    skipped = {}

    def records(shard: bytes) -> Iterator[tuple[str, bytes]]:
        shard = shard.decode()
        try:
            for i, record in enumerate(tf.data.TFRecordDataset(shard).as_numpy_iterator()):
                name = f"{shard}:{i}"
                encoded = _image_of(record)
                if encoded:
                    yield name, encoded
                else:
                    skipped[name] = f"cannot use {name}: it is no Example with an image/encoded"
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError, tf.errors.NotFoundError):
            skipped[shard] = f"cannot read all of {shard}: it is damaged or cut short"

    def examples(seed):
        pair = (tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.string))
        dataset = _in_order_of(seed, shards).interleave(
            lambda shard: tf.data.Dataset.from_generator(records, args=(shard,), output_signature=pair),
            cycle_length=_SHARDS_AT_A_TIME,
        )
        return _shuffled(dataset, seed)

    return Source(data_dir, examples, skipped)


def from_tfds(name: str, data_dir: str | None = None) -> Source:
    """A dataset of TensorFlow Datasets, as `prepare_tfds` opens it."""
    import tensorflow_datasets as tfds  # Here, as importing it takes seconds.

    builder, split = prepare_tfds(name, data_dir)
    dataset = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})

    def named(index, example):
        return example.get("file_name", tf.strings.format(f"{name}/{split}:{{}}", index)), example["image"]

    dataset = dataset.enumerate().map(named)
    return Source(name, lambda seed: _shuffled(dataset, seed))


def prepare_tfds(name: str, data_dir: str | None = None) -> "tuple[tfds.core.DatasetBuilder, str]":
    """A dataset of TensorFlow Datasets with a feature `image`, and its split `train`, or else its first.

    It is prepared if that has not been done yet; `imagenet2012` needs its tar files in `data_dir`/downloads/manual.

    Raises:
        InputError: for a dataset that is unknown, has no images or cannot be prepared.
    """
    import tensorflow_datasets as tfds

    logging.getLogger("absl").setLevel(logging.WARNING)  # It tells of every file that it opens.
    try:
        builder = tfds.builder(name, data_dir=data_dir and os.path.expanduser(data_dir))
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare()
    except (Exception, SystemExit) as error:  # Builders, downloads and file systems raise what they like.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"cannot open the dataset {name} of TFDS: {reason}") from error
    features = builder.info.features or {}
    if not ("image" in features and isinstance(features["image"], tfds.features.Image)):
        raise InputError(f"the dataset {name} of TFDS has no feature `image` of images; its features are {features}")
    splits = list(builder.info.splits)
    return builder, "train" if "train" in splits else splits[0]


def batches(
    source: Source,
    image_size: int,
    batch_size: int,
    num_styles: int,
    seed: int = 0,
    augment: bool = False,
    position: Sequence[int] = (0, 0),
    shard: tuple[int, int] = (1, 0),
) -> tf.data.Dataset:
    """Photos with a style each, for `magstyle.training.StyleTraining`, without end.

    Every photo is cropped as `magstyle.data.images.training_crop` does. Images that are damaged or too small are left
    out, and noted in `source.skipped`.

    Args:
        source: the photos.
        image_size: side of the crops, in pixels.
        batch_size: photos per batch.
        num_styles: labels are drawn from 0 to num_styles - 1.
        seed: of the order, the labels and the crops.
        augment: crops at random places and sizes, mirrored at random, instead of the centre.
        position: where to start; the `position` of the batch that was used last, or (0, 0).
        shard: (n, i): only every n-th photo, from the i-th on, for one of n machines.

    Returns:
        A dataset of dictionaries: `image` [B, image_size, image_size, 3], float32 RGB in [0, 1]; `label` [B], int32;
        `position` [B, 2], int32, epoch and place in it after the last photo of the batch.

    Raises:
        InputError: if not one image of the source can be used.
    """

    machines, machine = shard

    def one_epoch(epoch, start=0):
        numbered = source.examples(tf.stack([seed, tf.cast(epoch, tf.int32)])).enumerate().skip(start)
        return numbered.map(lambda index, example: (epoch, index, *example))

    def from_position(epoch):
        return one_epoch(epoch, tf.where(epoch == int(position[0]), tf.constant(int(position[1]), tf.int64), 0))

    def mine(epoch, index, *_):
        # By the place in the epoch, wherever the pipeline starts; in turns, as photos may be fewer than machines.
        return (epoch + index) % machines == machine

    def read(epoch, index, name, encoded):
        name = os.fsdecode(name)
        rng = np.random.default_rng([seed, epoch, index])
        try:
            encoded = read_file(name) if source.in_files else encoded
            crop = images.training_crop(encoded, name, image_size, rng if augment else None)
        except InputError as error:
            source.skipped[name] = str(error)
            return np.zeros((0, 0, 3), np.uint8), np.int32(0)
        return crop, rng.integers(num_styles, dtype=np.int32)

    def load(epoch, index, name, encoded):
        image, label = tf.numpy_function(read, [epoch, index, name, encoded], [tf.uint8, tf.int32], stateful=False)
        return {
            "image": tf.ensure_shape(image, (None, None, 3)),
            "label": tf.ensure_shape(label, ()),
            # Where the next round of all machines starts, so that each can go on from the position of any.
            "position": tf.cast([epoch, (index // machines + 1) * machines], tf.int32),
        }

    def usable(example):
        return tf.size(example["image"]) > 0

    def to_batch(example):
        image = tf.ensure_shape(example["image"], (batch_size, image_size, image_size, 3))
        last = example["position"][-1:]
        return {
            "image": tf.image.convert_image_dtype(image, tf.float32),
            "label": example["label"],
            "position": tf.repeat(last, batch_size, axis=0),
        }

    if not any(True for _ in one_epoch(tf.constant(0, tf.int64)).map(load).filter(usable).take(1)):
        reason = next(iter(source.skipped.values()), "it is empty")
        raise InputError(f"there is no image to train on in {source.name}: {reason}")
    return (
        tf.data.Dataset.counter(int(position[0]))
        .flat_map(from_position)
        .filter(mine)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .filter(usable)
        .batch(batch_size, drop_remainder=True)
        .map(to_batch)
        .prefetch(tf.data.AUTOTUNE)
    )


def _image_of(record: bytes) -> bytes:
    """The image of a record of ImageNet, or b"" if it has none."""
    try:
        return tf.train.Example.FromString(record).features.feature["image/encoded"].bytes_list.value[0]
    except (message.DecodeError, IndexError):
        return b""


def _in_order_of(seed: tf.Tensor, names: Sequence[str]) -> tf.data.Dataset:
    names = tf.constant(names)
    count = tf.size(names, tf.int64)
    return tf.data.Dataset.range(count).map(lambda i: names[tf.random.experimental.index_shuffle(i, seed, count - 1)])


def _shuffled(dataset: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
    # Dataset.shuffle takes no tensor for a seed where a global seed is set.
    def shuffle(*columns):
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(columns[0])), seed)
        return tuple(tf.gather(column, order) for column in columns)

    return dataset.batch(_SHUFFLE_WINDOW).prefetch(1).map(shuffle).unbatch()


def find_images(patterns: Sequence[str]) -> list[str]:
    """The image files, sorted, that names, globs (`**` for any depth) and folders (with all below) stand for.

    Raises:
        InputError: for a pattern that no image file matches.
    """
    names = set()
    for pattern in patterns:
        found = [name for match in matches(pattern) for name in _images_below(match)]
        if not found:
            raise InputError(f"no image at {pattern}")
        names.update(found)
    return sorted(names)


def matches(pattern: str) -> list[str]:
    """The files and folders that a name or a glob stands for, local or in a bucket."""
    if tf.io.gfile.exists(os.fsencode(pattern)):
        return [pattern]
    # TensorFlow's glob knows buckets, but no "**".
    return tf.io.gfile.glob(pattern) if "://" in pattern else glob.glob(pattern, recursive=True)


def _images_below(path: str) -> list[str]:
    if not tf.io.gfile.isdir(os.fsencode(path)):
        return [path]
    return [
        os.path.join(folder, name)
        for folder, _, names in (tf.io.gfile.walk if "://" in path else os.walk)(path)
        for name in names
        if images.is_image(name)
    ]


def read_file(name: str) -> bytes:
    """The bytes of a file, local or in a bucket; raises an InputError if it cannot be read."""
    try:
        with tf.io.gfile.GFile(os.fsencode(name), "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        raise InputError(f"cannot read {name}: {error.message}") from error
