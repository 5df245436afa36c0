"""Style datasets: paintings and their Gram matrices in one TFRecord file, in Magenta's format.

Each painting is an Example with `image_raw` (JPEG bytes), `label` (0, 1, ...) and the flattened Gram matrix of every
end point of VGG, as Magenta's reader expects them. It also has two features that Magenta ignores: `name`, and `vgg`,
which identifies the VGG that the Gram matrices come from.
"""

import dataclasses
import io
import math
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
        name: the style's name.
        jpeg: the encoded painting.
        gram_matrices: [C, C] by end point; may be empty.
        vgg: the `magstyle.models.vgg.fingerprint` of the VGG that they come from; "" if unknown.
    """

    name: str
    jpeg: bytes
    gram_matrices: dict[str, np.ndarray]
    vgg: str = ""

    @property
    def image(self) -> np.ndarray:
        """The painting, float32 RGB [H, W, 3] in [0, 1]."""
        return images.read_image(io.BytesIO(self.jpeg), name=self.name)


def write(styles: Iterable[Style], path: str | os.PathLike) -> pathlib.Path:
    """Writes a style dataset, one style after the other; the file appears complete or not at all.

    Args:
        styles: the styles, in the order of the labels.
        path: the TFRecord file.

    Returns:
        The path.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        with files.replacing(path) as temporary, tf.io.TFRecordWriter(files.for_tensorflow(temporary)) as writer:
            for label, style in enumerate(styles):
                writer.write(_to_example(style, label).SerializeToString())
    except tf.errors.OpError as error:  # The disk may be full.
        raise InputError(f"cannot write {path}: {error.message.split('; ')[-1]}") from error
    return pathlib.Path(path)


def read(path: str | os.PathLike) -> list[Style]:
    """Reads a style dataset, of this project or of Magenta, in the order of the labels.

    Styles without a name (Magenta's) are named after their label.

    Raises:
        InputError: for a file that is missing, damaged, empty or not a style dataset, or whose labels are not 0, 1, ...
    """
    path = files.for_tensorflow(os.path.expanduser(path))
    if not tf.io.gfile.exists(path):
        raise InputError(f"there is no style dataset at {path}; create_style_dataset makes one")
    with files.reading(path, "style dataset"):
        _check_lengths(path)
        records = tf.data.TFRecordDataset(path).as_numpy_iterator()
        examples = [tf.train.Example.FromString(record) for record in records]
    styles = [_from_example(example, path) for example in examples]
    for _, style in styles:
        try:
            style.image  # noqa: B018  A painting that cannot be decoded is found now, not in the middle of training.
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
    """Raises an InputError for a TFRecord file that ends within a record.

    TensorFlow aborts the process if it cannot allocate a record, however long the record claims to be.
    """
    left = tf.io.gfile.stat(path).length
    with tf.io.gfile.GFile(path, "rb") as file:
        while left:
            # Length and checksum, then the record and its checksum.
            size = 8 + 4 + int.from_bytes(file.read(8), "little") + 4
            left -= size
            if left < 0:
                raise _invalid(path)
            file.seek(size - 8, 1)


def _to_example(style: Style, label: int) -> tf.train.Example:
    def of_bytes(value: bytes) -> tf.train.Feature:
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


def _from_example(example: tf.train.Example, path: str) -> tuple[int, Style]:
    """The label and the style in an Example of the file at `path`."""
    features = example.features.feature

    def first(name: str) -> bytes:
        return next(iter(features[name].bytes_list.value), b"") if name in features else b""

    grams = {}
    for end_point in [name for name in features if name.startswith("vgg_")]:
        gram = np.array(features[end_point].float_list.value, np.float32)
        side = math.isqrt(gram.size)
        if side**2 != gram.size:
            raise _invalid(path)
        grams[end_point] = gram.reshape(side, side)
    labels, jpeg = features["label"].int64_list.value, first("image_raw")
    if not (labels and jpeg):
        raise _invalid(path)
    name = names.printable(first("name").decode(errors="replace")) or str(labels[0])
    return labels[0], Style(name, jpeg, grams, first("vgg").decode(errors="replace"))


def _invalid(path: str) -> InputError:
    return InputError(f"cannot read {path}: it is not a valid style dataset")
