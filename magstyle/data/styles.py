"""Style datasets: paintings and their Gram matrices in one TFRecord file, in Magenta's format.

Each painting is an Example with `image_raw` (JPEG bytes), `label` (0, 1, ...) and the flattened Gram matrix of every
end point of VGG, as Magenta's reader expects them; and with two features that it ignores: `name`, and `vgg`, which
tells the Gram matrices of one VGG from those of another.
"""

import dataclasses
import io
import os
import pathlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from magstyle import files, names
from magstyle.data import images
from magstyle.errors import InputError


@dataclasses.dataclass
class Style:
    """A painting.

    Attributes:
        name: of the style.
        jpeg: the painting, encoded.
        gram_matrices: [C, C] by end point; may be empty.
        vgg: of which VGG they are, as `magstyle.models.vgg.fingerprint` says; "" if unknown.
    """

    name: str
    jpeg: bytes
    gram_matrices: dict[str, np.ndarray]
    vgg: str = ""

    @property
    def image(self) -> np.ndarray:
        """float32 RGB [H, W, 3] in [0, 1]."""
        return images.read_image(io.BytesIO(self.jpeg), name=self.name)


def write(styles: Iterable[Style], path: str | os.PathLike) -> pathlib.Path:
    """Writes a style dataset, style by style; the file appears complete or not at all.

    Args:
        styles: in the order of the labels.
        path: of the TFRecord file.

    Returns:
        The path.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        with files.replacing(path) as temporary, tf.io.TFRecordWriter(files.for_tensorflow(temporary)) as writer:
            for label, style in enumerate(styles):
                writer.write(_to_example(style, label).SerializeToString())
    except tf.errors.OpError as error:  # Such as a full disk.
        raise InputError(f"cannot write {path}: {error.message.split('; ')[-1]}") from error
    return pathlib.Path(path)


def read(path: str | os.PathLike) -> list[Style]:
    """Reads a style dataset, of this project or of Magenta, in the order of the labels.

    Styles without a name (Magenta's) are called by their label.

    Raises:
        InputError: for a file that is missing, damaged, empty or no style dataset, or whose labels are not 0, 1, 2, ...
    """
    path = files.for_tensorflow(os.path.expanduser(path))
    if not tf.io.gfile.exists(path):
        raise InputError(f"there is no style dataset at {path}; create_style_dataset makes one")
    styles = []
    with files.reading(path, "style dataset"):
        _check_lengths(path)
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            label = features["label"].int64_list.value[0]
            styles.append((label, _from_features(features, label)))
    for _, style in styles:
        try:
            style.image  # noqa: B018  A painting that cannot be decoded is found here, not in the middle of a training.
        except InputError as error:
            raise InputError(f"cannot read {path}: {error}") from error
    styles.sort(key=lambda labelled: labelled[0])
    labels = [label for label, _ in styles]
    if not labels:
        raise InputError(f"cannot read {path}: there is no style in it")
    if labels != list(range(len(labels))):
        raise InputError(f"cannot read {path}: its labels are {labels}, not 0, 1, 2, ...")
    return [style for _, style in styles]


def _check_lengths(path: str) -> None:
    """Raises an EOFError for a TFRecord file that ends within a record.

    TensorFlow aborts the process where it cannot have the memory for a record, however long that claims to be.
    """
    left = tf.io.gfile.stat(path).length
    with tf.io.gfile.GFile(path, "rb") as file:
        while left:
            # Length and checksum, then the record and its checksum.
            size = 8 + 4 + int.from_bytes(file.read(8), "little") + 4
            left -= size
            if left < 0:
                raise EOFError(f"{path} ends within a record")
            file.seek(size - 8, 1)


def _to_example(style: Style, label: int) -> tf.train.Example:
    def of_bytes(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "image_raw": of_bytes(style.jpeg),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "name": of_bytes(style.name.encode()),
        "vgg": of_bytes(style.vgg.encode()),
    }
    for name, gram in style.gram_matrices.items():
        features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=gram.ravel()))
    return tf.train.Example(features=tf.train.Features(feature=features))


def _from_features(features, label: int) -> Style:
    def text(name):
        return features[name].bytes_list.value[0].decode() if name in features else ""

    grams = {}
    for name in list(features):
        if name.startswith("vgg_"):
            values = np.array(features[name].float_list.value, np.float32)
            grams[name] = values.reshape(2 * [round(len(values) ** 0.5)])
    return Style(
        names.printable(text("name")) or str(label), features["image_raw"].bytes_list.value[0], grams, text("vgg")
    )
