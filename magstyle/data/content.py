"""Photos to train on, as one endless tf.data pipeline, whatever they are stored as.

A source lists encoded images; `batches` decodes, crops and batches them in parallel with the training. What comes when
depends on the seed alone, and a pipeline can be started anywhere in it, so that a training that was killed goes on with
the photo that it would have seen next.
"""

import dataclasses
import glob
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from magstyle.data import images
from magstyle.errors import InputError

# Records are shuffled within a window of this many encoded images; lists of files as a whole.
_SHUFFLE_WINDOW = 1024
_SHARDS_AT_A_TIME = 4


@dataclasses.dataclass
class Source:
    """A collection of encoded images.

    Attributes:
        name: what to call it in a message.
        examples: from a seed, an int32 tensor [2], to one pass over the images in the order of that seed, as a dataset
            of pairs: the name of an image, and its encoded bytes, or "" if the name is a file to read them from.
        skipped: the images that could not be used so far, with the reason, by name.
    """

    name: str
    examples: Callable[[tf.Tensor], tf.data.Dataset]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


def from_files(patterns: Sequence[str]) -> Source:
    """Image files: names, globs (`**` for any depth), and folders with all that is in them, local or in a bucket.

    Raises:
        InputError: for a pattern that no image file matches.
    """
    names = []
    for pattern in map(os.path.expanduser, patterns):
        found = [name for match in _matches(pattern) for name in _images_below(match)]
        if not found:
            raise InputError(f"no image at {pattern}")
        names += found
    names = sorted(set(names))

    return Source(", ".join(patterns), lambda seed: _in_order_of(seed, names).map(lambda name: (name, "")))


def from_imagenet(data_dir: str) -> Source:
    """The training shards `train-00000-of-01024`, ... of ImageNet, of Examples with the feature `image/encoded`.

    A shard that is cut short or damaged gives the images before the damage, and counts as skipped.

    Raises:
        InputError: for a folder without such shards.
    """
    shards = sorted(tf.io.gfile.glob(os.path.join(os.path.expanduser(data_dir), "train-*-of-*")))
    if not shards:
        raise InputError(f"there are no shards train-00000-of-01024, ... in {data_dir}")
    skipped = {}

    def records(shard: bytes) -> Iterator[tuple[str, bytes]]:
        shard = shard.decode()
        try:
            for i, record in enumerate(tf.data.TFRecordDataset(shard).as_numpy_iterator()):
                yield f"{shard}:{i}", record
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError, tf.errors.NotFoundError):
            skipped[shard] = "the shard is damaged or cut short"

    def encoded(name, record):
        feature = tf.io.FixedLenFeature((), tf.string, default_value="")
        return name, tf.io.parse_single_example(record, {"image/encoded": feature})["image/encoded"]

    def examples(seed):
        pair = (tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.string))
        dataset = _in_order_of(seed, shards).interleave(
            lambda shard: tf.data.Dataset.from_generator(records, args=(shard,), output_signature=pair),
            cycle_length=_SHARDS_AT_A_TIME,
        )
        return _shuffled(dataset.map(encoded), seed)

    return Source(data_dir, examples, skipped)


def from_tfds(name: str, data_dir: str | None = None) -> Source:
    """A dataset of TensorFlow Datasets with a feature `image`: its split `train`, or else its first.

    It is prepared if that has not been done yet; `imagenet2012` needs its tar files in `data_dir`/downloads/manual.

    Raises:
        InputError: for a dataset that is unknown, has no images or cannot be prepared.
    """
    import tensorflow_datasets as tfds  # Here, as importing it takes seconds.

    data_dir = data_dir and os.path.expanduser(data_dir)
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        if "image" not in builder.info.features:
            raise InputError(
                f"the dataset {name} of TFDS has no images: its features are {', '.join(builder.info.features)}"
            )
        builder.download_and_prepare()
    except (tfds.core.DatasetNotFoundError, AssertionError, OSError, ValueError, tf.errors.OpError) as error:
        raise (
            error if isinstance(error, InputError) else InputError(f"cannot open the dataset {name}: {error}")
        ) from error
    splits = list(builder.info.splits)
    split = "train" if "train" in splits else splits[0]
    dataset = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})

    def named(index, example):
        return example.get("file_name", tf.strings.format(f"{name}/{split}:{{}}", index)), example["image"]

    dataset = dataset.enumerate().map(named)
    return Source(name, lambda seed: _shuffled(dataset, seed))


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

    def one_epoch(epoch):
        start = tf.where(epoch == int(position[0]), tf.constant(int(position[1]), tf.int64), 0)
        numbered = source.examples(tf.stack([seed, tf.cast(epoch, tf.int32)])).enumerate().skip(start)
        return numbered.map(lambda index, example: (epoch, index, *example))

    def read(epoch, index, name, encoded):
        name = name.decode()
        rng = np.random.default_rng([seed, epoch, index])
        try:
            crop = images.training_crop(encoded or _read(name), name, image_size, rng if augment else None)
        except InputError as error:
            source.skipped[name] = str(error)
            return np.zeros((0, 0, 3), np.uint8), np.int32(0)
        return crop, rng.integers(num_styles, dtype=np.int32)

    def load(epoch, index, name, encoded):
        image, label = tf.numpy_function(read, [epoch, index, name, encoded], [tf.uint8, tf.int32], stateful=False)
        return {
            "image": tf.ensure_shape(image, (None, None, 3)),
            "label": tf.ensure_shape(label, ()),
            "position": tf.cast([epoch, index + 1], tf.int32),
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
        .flat_map(one_epoch)
        .shard(*shard)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .filter(usable)
        .batch(batch_size, drop_remainder=True)
        .map(to_batch)
        .prefetch(tf.data.AUTOTUNE)
    )


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


def _matches(pattern: str) -> list[str]:
    if tf.io.gfile.exists(pattern):
        return [pattern]
    # TensorFlow's glob knows buckets, but no "**".
    return tf.io.gfile.glob(pattern) if "://" in pattern else glob.glob(pattern, recursive=True)


def _images_below(path: str) -> list[str]:
    if not tf.io.gfile.isdir(path):
        return [path]
    return [
        os.path.join(folder, name)
        for folder, _, names in tf.io.gfile.walk(path)
        for name in names
        if images.is_image(name)
    ]


def _read(name: str) -> bytes:
    try:
        with tf.io.gfile.GFile(name, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        raise InputError(f"cannot read {name}: {error.message}") from error
