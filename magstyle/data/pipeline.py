"""The endless tf.data pipeline of training: photos of any source, cropped and batched while the training runs.

What comes when depends on the seed alone, and a pipeline can be started anywhere in it, so that a training that was
killed goes on with the photo that it would have seen next.
"""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from magstyle import files
from magstyle.data import images
from magstyle.data.photos import Source
from magstyle.errors import InputError

# In the place of a photo, after the last one of an epoch; without it, an epoch of no photos would leave no trace.
_END_OF_EPOCH = -1


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
    out, and noted in `source.skipped`. Where all of them are, once those that there were have vanished, the dataset
    ends; `nothing_left` says so.

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
    # The first epoch may begin near its end. And of a few usable photos, by chance, a machine's share may have none for
    # some epochs; for so many, with a probability below 1 in 10^8.
    patience = 2 if machines == 1 else 20 * machines
    # It is plain Python, which AutoGraph cannot read all of.
    examples = tf.autograph.experimental.do_not_convert(source.examples)

    def one_epoch(epoch, start=0):
        numbered = examples(tf.stack([seed, tf.cast(epoch, tf.int32)])).enumerate().skip(start)
        return numbered.map(lambda index, example: (epoch, index, *example))

    def from_position(epoch):
        start = tf.where(epoch == int(position[0]), tf.constant(int(position[1]), tf.int64), 0)
        end = tf.data.Dataset.from_tensors((epoch, tf.constant(_END_OF_EPOCH, tf.int64), "", ""))
        return one_epoch(epoch, start).filter(mine).concatenate(end)

    def mine(epoch, index, *_):
        # By the place in the epoch, wherever the pipeline starts; in turns, as photos may be fewer than machines.
        return (epoch + index) % machines == machine

    def read(epoch, index, name, encoded):
        nothing = np.zeros((0, 0, 3), np.uint8), np.int32(0)
        if index == _END_OF_EPOCH:
            return nothing
        name = os.fsdecode(name)
        rng = np.random.default_rng([seed, epoch, index])
        try:
            encoded = files.read_bytes(name) if source.files else encoded
            crop = images.training_crop(encoded, name, image_size, rng if augment else None)
        except InputError as error:
            source.skipped[name] = str(error)
            return nothing
        return crop, rng.integers(num_styles, dtype=np.int32)

    def load(epoch, index, name, encoded):
        image, label = tf.numpy_function(read, [epoch, index, name, encoded], [tf.uint8, tf.int32], stateful=False)
        return {
            "image": tf.ensure_shape(image, (None, None, 3)),
            "label": tf.ensure_shape(label, ()),
            # Where the next round of all machines starts, so that each can go on from the position of any.
            "position": tf.cast([epoch, (index // machines + 1) * machines], tf.int32),
            "ends_epoch": index == _END_OF_EPOCH,
        }

    def usable(example):
        return tf.size(example["image"]) > 0

    def count_epochs_in_vain(epochs, example):
        epochs = tf.where(usable(example), 0, epochs + tf.cast(example["ends_epoch"], tf.int32))
        return epochs, {**example, "epochs_in_vain": epochs}

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
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .scan(0, count_epochs_in_vain)
        .take_while(lambda example: example["epochs_in_vain"] < patience)
        .filter(usable)
        .batch(batch_size, drop_remainder=True)
        .map(to_batch)
        .prefetch(tf.data.AUTOTUNE)
    )


def nothing_left(source: Source) -> InputError:
    """What to raise where `batches` has come to its end."""
    # The photos that were broken from the start come before those that have vanished.
    reason = next(reversed(source.skipped.values()), "it is empty")
    return InputError(f"there is no image left that can be used in {source.name}: {reason}")
