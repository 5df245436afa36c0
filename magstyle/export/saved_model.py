"""SavedModels, for TensorFlow Serving and for every program that has TensorFlow but not this project."""

import os
import pathlib

import keras
import tensorflow as tf

from magstyle import checkpoints, files, sizes
from magstyle.errors import InputError
from magstyle.models.transformer import StyleTransformer

STYLE_NAMES = "style_names.txt"
LICENCE = "LICENSE.txt"
LICENCE_TEXT = """\
This graph was written by magstyle, which is licensed under the Apache License, Version 2.0:
https://www.apache.org/licenses/LICENSE-2.0

So are the weights of the models that come with magstyle. Those of any other model are under the terms of whoever
trained it, and of the painters of its styles where their copyright has not ended.
"""


def export_saved_model(checkpoint: StyleTransformer | str | os.PathLike, output_dir: str | os.PathLike) -> pathlib.Path:
    """Writes the next version of a model into a folder, in the layout of TensorFlow Serving.

    Args:
        checkpoint: a StyleTransformer, or anything that `load_model` opens.
        output_dir: the folder of the versions 1, 2, ...; made if it is missing.

    Returns:
        The folder of the new version; `save` says what is in it.

    Raises:
        InputError: where load_model does, or if it cannot be written.
    """
    model = checkpoints.load_model(checkpoint)
    versions = files.make_folder(pathlib.Path(output_dir).expanduser())
    taken = [int(name) for name in os.listdir(versions) if name.isdecimal()]
    folder = versions / str(max(taken, default=0) + 1)
    save(model, folder)
    return folder


def save(model: StyleTransformer, folder: str | os.PathLike) -> None:
    """Writes a SavedModel of two signatures, which TensorFlow alone loads and serves.

    `serving_default` takes `input_image` [B, H, W, 3], float32 RGB in [0, 1], of any size from 8 x 8, and
    `style_weights` [B, num_styles], and returns `stylized_image` [B, H, W, 3].

    `stylize_encoded` takes `image_bytes`, one JPEG, PNG, GIF or BMP file, `style_names` [K] and `weights` [K], the
    styles to mix; it returns `stylized_image_bytes`, a PNG file of the same size. A style that the model does not have
    is an InvalidArgumentError that names those that it has. (TensorFlow ignores EXIF orientation. A name that ends in
    `_bytes` is what makes TensorFlow Serving send it as base64.)

    The names of the styles are the lines of `assets/style_names.txt`; `LICENSE.txt` is beside it.

    Args:
        model: the model.
        folder: to be made; it must not exist.

    Raises:
        InputError: if it cannot be written.
    """

    def stylize(input_image, style_weights):
        # As Stylizer does: reflected to multiples of 4, and cropped.
        height, width = tf.shape(input_image)[1], tf.shape(input_image)[2]
        padding = [[0, 0], [0, -height % sizes.MULTIPLE], [0, -width % sizes.MULTIPLE], [0, 0]]
        stylized = model([tf.pad(input_image, padding, "REFLECT"), style_weights], training=False)
        return {"stylized_image": stylized[:, :height, :width]}

    def stylize_encoded(image_bytes, style_names, weights):
        names = tf.constant(model.style_names)
        matches = tf.equal(style_names[:, None], names)
        known = tf.debugging.Assert(
            tf.reduce_all(tf.reduce_any(matches, axis=1)),
            ["unknown style in", style_names, "; the styles are", names],
            summarize=1000,
        )
        with tf.control_dependencies([known]):
            style_weights = tf.linalg.matvec(tf.cast(matches, tf.float32), weights, transpose_a=True)
        photo = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
        photo = tf.image.convert_image_dtype(tf.ensure_shape(photo, [None, None, 3]), tf.float32)
        stylized = stylize(photo[None], style_weights[None])["stylized_image"][0]
        return {"stylized_image_bytes": tf.io.encode_png(tf.cast(tf.round(stylized * 255), tf.uint8))}

    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        stylize,
        [
            tf.TensorSpec([None, None, None, 3], tf.float32, "input_image"),
            tf.TensorSpec([None, model.num_styles], tf.float32, "style_weights"),
        ],
    )
    archive.add_endpoint(
        "stylize_encoded",
        stylize_encoded,
        [
            tf.TensorSpec([], tf.string, "image_bytes"),
            tf.TensorSpec([None], tf.string, "style_names"),
            tf.TensorSpec([None], tf.float32, "weights"),
        ],
    )
    try:
        with files.replacing(folder) as unfinished:
            archive.write_out(str(unfinished), verbose=False)
            # ExportArchive takes no assets but the vocabularies of tables.
            assets = files.make_folder(unfinished / "assets")
            (assets / STYLE_NAMES).write_text("".join(f"{name}\n" for name in model.style_names), encoding="utf-8")
            (assets / LICENCE).write_text(LICENCE_TEXT, encoding="utf-8")
    except tf.errors.OpError as error:  # What TensorFlow makes of a full disk.
        raise InputError(f"cannot write {folder}: {error.message}") from error
