"""Style datasets: paintings and their Gram matrices in one TFRecord file, in Magenta's format.

Each painting is an Example with `image_raw` (JPEG bytes), `label` (0, 1, ...) and the flattened Gram matrix of every
end point of VGG, as Magenta's reader expects them; and with two features that it ignores: `name`, and `vgg`, which
tells the Gram matrices of one VGG from those of another.
"""

import dataclasses
import io
import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from magstyle import files, losses
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.models.vgg import fingerprint

# Those that Magenta writes; a VGG has them under vgg_16/ or vgg_19/, as far as it reaches.
END_POINTS = tuple(f"{kind}{block}" for kind in ("conv", "pool") for block in range(1, 6))


@dataclasses.dataclass
class Style:
    """A painting.

    Attributes:
        name: of the style.
        jpeg: the painting, encoded.
        gram_matrices: [C, C] by end point; may be empty.
        vgg: of which VGG they are, as `fingerprint` says; "" if unknown.
    """

    name: str
    jpeg: bytes
    gram_matrices: dict[str, np.ndarray]
    vgg: str = ""

    @property
    def image(self) -> np.ndarray:
        """float32 RGB [H, W, 3] in [0, 1]."""
        return images.read_image(io.BytesIO(self.jpeg), name=self.name)


def write(
    paintings: Sequence[str], output_file: str | os.PathLike, vgg: keras.Model | None, image_size: int | None = None
) -> list[str]:
    """Writes a style dataset; the file appears complete or not at all.

    Args:
        paintings: image files; their names become those of the styles, their order that of the labels.
        output_file: the TFRecord file.
        vgg: of `magstyle.models.vgg.build`, with all its end points, for the Gram matrices; None for none.
        image_size: scales the shorter side of each painting to this many pixels; as they are by default.

    Returns:
        The names of the styles.

    Raises:
        InputError: for a file that is no image, two of one name, or an output that cannot be written.
    """
    names = [pathlib.Path(path).stem for path in paintings]
    for name, path in zip(names, paintings, strict=True):
        if names.count(name) > 1:
            raise InputError(f"two paintings are called {name}, {path} is one of them; rename it")
    try:
        with files.replacing(output_file) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            for label, path in enumerate(tqdm(paintings, unit="painting")):
                style = _of_painting(path, vgg, image_size)
                writer.write(_to_example(style, label).SerializeToString())
    except tf.errors.OpError as error:  # Such as a full disk.
        raise InputError(f"cannot write {output_file}: {error.message.split('; ')[-1]}") from error
    return names


def read(path: str | os.PathLike) -> list[Style]:
    """Reads a style dataset, of this project or of Magenta, in the order of the labels.

    Styles without a name (Magenta's) are called by their label.

    Raises:
        InputError: for a file that is missing, damaged, empty or no style dataset, or whose labels are not 0, 1, 2, ...
    """
    path = os.path.expanduser(os.fspath(path))
    if not tf.io.gfile.exists(path):
        raise InputError(f"there is no style dataset at {path}; bin/create_style_dataset.py makes one")
    styles = []
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            label = features["label"].int64_list.value[0]
            style = _from_features(features, label)
            style.image  # noqa: B018  A painting that cannot be decoded is found here, not in the middle of a training.
            styles.append((label, style))
    except Exception as error:  # TensorFlow, protobuf and Pillow each have their own.
        raise InputError(f"cannot read {path}: it is no style dataset, or a damaged one") from error
    styles.sort(key=lambda labelled: labelled[0])
    labels = [label for label, _ in styles]
    if not labels:
        raise InputError(f"cannot read {path}: there is no style in it")
    if labels != list(range(len(labels))):
        raise InputError(f"cannot read {path}: its labels are {labels}, not 0, 1, 2, ...")
    return [style for _, style in styles]


def gram_matrices(vgg: keras.Model, image: np.ndarray, end_points: Sequence[str]) -> dict[str, np.ndarray]:
    """The Gram matrices [C, C] of an image [H, W, 3] at end points of a VGG."""
    try:
        features = vgg(image[None])
        return {name: keras.ops.convert_to_numpy(losses.gram_matrix(features[name]))[0] for name in end_points}
    except tf.errors.ResourceExhaustedError as error:
        height, width, _ = image.shape
        raise InputError(f"no memory for the features of a painting of {width} x {height}; use --image_size") from error


def targets(styles: Sequence[Style], vgg: keras.Model, end_points: Sequence[str]) -> dict[str, np.ndarray]:
    """What to train for: Gram matrices [num_styles, C, C] by end point.

    Those of the dataset where they are there and were computed with this VGG (as far as can be told, in Magenta's
    files by their shape alone), else those of the paintings of the dataset, computed here.
    """
    channels = {name: vgg.output[name].shape[-1] for name in end_points}

    def of(style):
        recorded = style.gram_matrices
        fits = all(name in recorded and len(recorded[name]) == channels[name] for name in end_points)
        if fits and (not style.vgg or style.vgg.startswith(fingerprint(vgg))):
            return recorded
        return gram_matrices(vgg, style.image, end_points)

    found = [of(style) for style in styles]
    return {name: np.stack([grams[name] for grams in found]) for name in end_points}


def _of_painting(path: str, vgg: keras.Model | None, image_size: int | None) -> Style:
    image = images.read_image(path, image_size)
    style = Style(pathlib.Path(path).stem, images.encode(image, ".jpg"), {})
    if vgg is None:
        return style
    wanted = [name for name in vgg.output if name.count("/") == 1 and name.split("/")[1] in END_POINTS]
    return dataclasses.replace(style, gram_matrices=gram_matrices(vgg, image, wanted), vgg=fingerprint(vgg))


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
    return Style(text("name") or str(label), features["image_raw"].bytes_list.value[0], grams, text("vgg"))
