"""Photos to test with, stored as files, ImageNet shards and TFDS datasets."""

import io

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

STEP = 16  # The red of photo k is k * STEP everywhere, so a batch reveals its photos.


def encode(picture, **options):
    encoded = io.BytesIO()
    picture.save(encoded, **{"format": "PNG", **options})
    return encoded.getvalue()


def colour(k, size=(24, 20), **options):
    red, blue = Image.new("L", size, k * STEP), Image.new("L", size, 200)
    return encode(Image.merge("RGB", [red, Image.linear_gradient("L").resize(size), blue]), **options)


def gradient(width=60, height=40):
    """A photo whose crops reveal their place: red grows to the right, green downwards."""
    red, green = np.meshgrid(np.arange(width) * 4, np.arange(height) * 4)
    return Image.fromarray(np.stack([red, green, np.full_like(red, 64)], axis=-1).astype(np.uint8))


def write_files(folder, photos):
    """Writes photos to 000.png, 001.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, encoded in enumerate(photos):
        (folder / f"{i:03}.png").write_bytes(encoded)
    return str(folder)


def write_shards(folder, photos):
    """Writes photos alternately to two TFRecord shards in ImageNet's format."""
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
    """A TFDS dataset that needs no network: a test assigns `photos`, encoded as PNG."""

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
    """A dataset whose feature `image` is not an image."""

    def _info(self):
        features = tfds.features.FeaturesDict({"image": tfds.features.Tensor(shape=(3,), dtype=tf.float32)})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _generate_examples(self):
        yield 0, {"image": np.zeros(3, np.float32)}
