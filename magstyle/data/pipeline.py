"""The endless tf.data pipeline of training: photos of any source, cropped and batched while the training runs.

The seed alone decides the order. A pipeline can start at any position in it, so that a training that was killed goes on
with the photo that was due next.
"""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from magstyle import files
from magstyle.data import images
from magstyle.data.photos import Source
from magstyle.errors import InputError

# The index of an example that marks the end of an epoch, so that an epoch without photos still counts.
_END_OF_EPOCH = -1

# AutoGraph would read the source of every function here, which takes a second, to find no control flow of tensors.
_as_it_is = tf.autograph.experimental.do_not_convert

# Tensors by name: a photo, or a batch of photos.
_Example = dict[str, tf.Tensor]


def batches(
    source: Source,
    image_size: int,
    batch_size: int,
    num_styles: int,
    seed: int = 0,
    augment: bool = False,
    position: Sequence[int] = (0, 0),
    shard: tuple[int, int] = (1, 0),
    paintings: "Paintings | None" = None,
) -> tf.data.Dataset:
    """Gives photos with a style each, for `magstyle.training.model.StyleTraining`, without end.

    Crops every photo as `magstyle.data.images.training_crop` does. Leaves out images that are damaged or too small, and
    notes them in `source.skipped`. If no usable image remains, because all of them have vanished, the dataset ends;
    `nothing_left` says so.

    Args:
        source: the photos.
        image_size: side of the crops, in pixels.
        batch_size: photos per batch.
        num_styles: labels are drawn from 0 to num_styles - 1.
        seed: the seed of the order, the labels and the crops.
        augment: cut crops at random places and sizes, mirrored at random, instead of the centre.
        position: the place to start: the `position` of the last batch that was used, or (0, 0).
        shard: (n, i): only every n-th photo, from the i-th on, for one of n machines.
        paintings: if given, num_styles of them, of which every photo comes with one that its label chooses.

    Returns:
        A dataset of dictionaries: `image` [B, image_size, image_size, 3], float32 RGB in [0, 1]; `label` [B], int32;
        `position` [B, 2], int32: the epoch, and the place in it after the last photo of the batch; and with paintings
        `painting`, in the shape of `image`: a part of each one's painting, cut by `magstyle.data.images.painting_crop`.

    Raises:
        InputError: if no image of the source can be used.
    """
    pipeline = _Pipeline(source, image_size, batch_size, num_styles, seed, augment, *shard, paintings)
    pipeline.first_photo()
    return pipeline.batches(int(position[0]), int(position[1]))


def first_photo(source: Source, image_size: int) -> np.ndarray:
    """The crop [image_size, image_size, 3] of the first photo that can be used, float32 RGB in [0, 1].

    Raises:
        InputError: if no image of the source can be used.
    """
    return images.to_float(_Pipeline(source, image_size, batch_size=1, num_styles=1).first_photo())


def nothing_left(source: Source) -> InputError:
    """The error to raise when `batches` has come to its end."""
    # The last reason: photos that were broken from the start come before those that have vanished.
    reason = next(reversed(source.skipped.values()), "it is empty")
    return InputError(f"there is no image left that can be used in {source.name}: {reason}")


@dataclasses.dataclass(frozen=True)
class Paintings:
    """Paintings to learn from.

    Attributes:
        files: their files; one that is damaged is left out.
        shorter_side: the shorter side of paintings in use, in pixels.
    """

    files: Sequence[str]
    shorter_side: int


@dataclasses.dataclass(frozen=True)
class _Pipeline:
    """The steps of `batches`, with its arguments; this is one of a number of machines, which take turns."""

    source: Source
    image_size: int
    batch_size: int
    num_styles: int
    seed: int = 0
    augment: bool = False
    machines: int = 1
    machine: int = 0
    paintings: Paintings | None = None

    @property
    def _crops(self) -> tuple[str, ...]:
        return ("image", "painting") if self.paintings else ("image",)

    @_as_it_is
    def first_photo(self) -> np.ndarray:
        """The crop of the first photo that can be used, uint8; an InputError if there is none."""
        usable = self._epoch(tf.constant(0, tf.int64), 0).map(self._load).filter(_is_usable)
        for example in usable.take(1):
            return example["image"].numpy()
        reason = next(iter(self.source.skipped.values()), "it is empty")
        raise InputError(f"there is no image to train on in {self.source.name}: {reason}")

    @_as_it_is
    def batches(self, epoch: int, start: int) -> tf.data.Dataset:
        """Batches without end, from a place in an epoch on."""
        # The first epoch may begin near its end. If only few photos are usable, a machine's share may by chance have
        # none for some epochs; for 20 times the number of machines, with a probability below 1 in 10^8.
        patience = 2 if self.machines == 1 else 20 * self.machines
        return (
            tf.data.Dataset.counter(epoch)
            .flat_map(lambda number: self._share(number, tf.where(number == epoch, tf.constant(start, tf.int64), 0)))
            .map(self._load, num_parallel_calls=tf.data.AUTOTUNE)
            .scan(0, _count_epochs_in_vain)
            .take_while(lambda example: example["epochs_in_vain"] < patience)
            .filter(_is_usable)
            .batch(self.batch_size, drop_remainder=True)
            .map(self._to_batch)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _epoch(self, epoch: tf.Tensor, start: int | tf.Tensor) -> tf.data.Dataset:
        """One pass over the photos, from the `start`-th on: epoch, index, name and encoded bytes of each."""
        numbered = self.source.examples(tf.stack([self.seed, tf.cast(epoch, tf.int32)])).enumerate().skip(start)
        return numbered.map(lambda index, example: (epoch, index, *example))

    def _share(self, epoch: tf.Tensor, start: tf.Tensor) -> tf.data.Dataset:
        """This machine's share of an epoch, and the mark of its end."""

        # Goes by the place in the epoch, wherever the pipeline starts; in turns, because machines may outnumber photos.
        def is_mine(epoch: tf.Tensor, index: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return (epoch + index) % self.machines == self.machine

        end = tf.data.Dataset.from_tensors((epoch, tf.constant(_END_OF_EPOCH, tf.int64), "", ""))
        return self._epoch(epoch, start).filter(is_mine).concatenate(end)

    def _load(self, epoch: tf.Tensor, index: tf.Tensor, name: tf.Tensor, encoded: tf.Tensor) -> _Example:
        """Reads and crops a photo; the image is empty if the photo cannot be used."""
        given, types = [epoch, index, name, encoded], [tf.uint8, tf.int32, tf.uint8]
        image, label, painting = tf.numpy_function(self._read, given, types, stateful=False)
        return {
            "image": tf.ensure_shape(image, (None, None, 3)),
            "painting": tf.ensure_shape(painting, (None, None, 3)),
            "label": tf.ensure_shape(label, ()),
            # Where the machines' next round starts, so that each can go on from the position of any other.
            "position": tf.cast([epoch, (index // self.machines + 1) * self.machines], tf.int32),
            "ends_epoch": index == _END_OF_EPOCH,
        }

    def _read(self, epoch: int, index: int, name: bytes, encoded: bytes) -> tuple[np.ndarray, np.int32, np.ndarray]:
        """The crop and the label of a photo, and the crop of its painting, if there are any."""
        empty = np.zeros((0, 0, 3), np.uint8)
        nothing = empty, np.int32(0), empty
        if index == _END_OF_EPOCH:
            return nothing
        path = os.fsdecode(name)
        rng = np.random.default_rng([self.seed, epoch, index])
        try:
            encoded = files.read_bytes(path) if self.source.files else encoded
            crop = images.training_crop(encoded, path, self.image_size, rng if self.augment else None)
        except InputError as error:
            self.source.skipped[path] = str(error)
            return nothing
        label = rng.integers(self.num_styles, dtype=np.int32)
        if not self.paintings:
            return crop, label, empty
        path = self.paintings.files[int(label)]
        try:
            encoded = files.read_bytes(path)
            return crop, label, images.painting_crop(encoded, path, self.image_size, self.paintings.shorter_side, rng)
        except InputError as error:
            self.source.skipped[path] = str(error)
            return nothing

    def _to_batch(self, examples: _Example) -> _Example:
        """The batch that training takes; its position is that of the last photo."""
        shape = (self.batch_size, self.image_size, self.image_size, 3)
        crops = {name: tf.ensure_shape(examples[name], shape) for name in self._crops}
        return {
            **{name: tf.image.convert_image_dtype(crop, tf.float32) for name, crop in crops.items()},
            "label": examples["label"],
            "position": tf.repeat(examples["position"][-1:], self.batch_size, axis=0),
        }


def _is_usable(example: _Example) -> tf.Tensor:
    return tf.size(example["image"]) > 0


def _count_epochs_in_vain(epochs: tf.Tensor, example: _Example) -> tuple[tf.Tensor, _Example]:
    """Counts the epochs that have ended since the last usable photo."""
    epochs = tf.where(_is_usable(example), 0, epochs + tf.cast(example["ends_epoch"], tf.int32))
    return epochs, {**example, "epochs_in_vain": epochs}
