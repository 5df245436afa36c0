"""SavedModels, for TensorFlow Serving and for any program that has TensorFlow but not this project."""

import functools
import os
import pathlib

import keras
import tensorflow as tf

from magstyle import files, limits, sizes
from magstyle.checkpoints import model_files
from magstyle.checkpoints.networks import Checkpoint
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.export import LICENCE_TEXT, tf_images
from magstyle.models.transformer import StyleTransformer
from magstyle.painting import margin

STYLE_NAMES = "style_names.txt"
LICENCE = "LICENSE.txt"


def export_saved_model(checkpoint: Checkpoint, output_dir: str | os.PathLike) -> pathlib.Path:
    """Writes the next version of a model into a folder, in the layout of TensorFlow Serving.

    Args:
        checkpoint: the model, anything that `magstyle.load_model` opens.
        output_dir: the folder of the versions 1, 2, ...; made if it is missing.

    Returns:
        The folder of the new version; `save` describes its content.

    Raises:
        InputError: as for load_model, or if the folder cannot be written.
    """
    versions = files.expanded(output_dir)
    files.check_name(versions)
    model = model_files.load_model(checkpoint)
    files.make_folder(versions)
    taken = [int(name) for name in os.listdir(versions) if name.isdecimal()]
    folder = versions / str(max(taken, default=0) + 1)
    save(model, folder)
    return folder


def save(model: StyleTransformer, folder: str | os.PathLike) -> None:
    """Writes a SavedModel with two signatures, which TensorFlow loads and serves without this project.

    `serving_default` takes `input_image` [B, H, W, 3], float32 RGB in [0, 1], of any size from 1 x 1, and
    `style_weights` [B, num_styles], and returns `stylized_image` [B, H, W, 3].

    `stylize_encoded` takes `image_bytes`, one JPEG, PNG, GIF or BMP file, `style_names` [K] and `weights` [K], the
    styles to mix; it returns `stylized_image_bytes`, a PNG file of the same size. It turns the photo upright by its
    EXIF orientation, and lays it over white by its alpha; it ignores colour profiles, which TensorFlow does not know.
    (TensorFlow Serving sends tensors whose names end in `_bytes` as base64.)

    Invalid input raises an InvalidArgumentError of one sentence: no style; an unknown style, with the list of the known
    ones; weights that are NaN, infinite or beyond float32; an image without pixels, or with values that are NaN or
    outside [0, 1].

    The names of the styles are the lines of `assets/style_names.txt`; `LICENSE.txt` is beside it.

    Args:
        model: the model.
        folder: the folder to make; it must not exist.

    Raises:
        InputError: if the folder cannot be written.
    """

    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        functools.partial(_stylize, model),
        [
            tf.TensorSpec([None, None, None, 3], tf.float32, "input_image"),
            tf.TensorSpec([None, model.num_styles], tf.float32, "style_weights"),
        ],
    )
    archive.add_endpoint(
        "stylize_encoded",
        functools.partial(_stylize_encoded, model),
        [
            tf.TensorSpec([], tf.string, "image_bytes"),
            tf.TensorSpec([None], tf.string, "style_names"),
            tf.TensorSpec([None], tf.float32, "weights"),
        ],
    )
    try:
        with files.replacing(folder) as unfinished:
            archive.write_out(files.for_tensorflow(unfinished), verbose=False)
            # ExportArchive takes no other assets than the vocabularies of tables.
            assets = files.make_folder(unfinished / "assets")
            lines = [f"{name}\n" for name in model.style_names]
            (assets / STYLE_NAMES).write_text("".join(lines), encoding="utf-8")
            (assets / LICENCE).write_text(LICENCE_TEXT, encoding="utf-8")
    except tf.errors.OpError as error:  # The disk may be full.
        raise InputError(f"cannot write {folder}: {error.message}") from error


def _stylize(model: StyleTransformer, input_image: tf.Tensor, style_weights: tf.Tensor) -> dict[str, tf.Tensor]:
    """The signature `serving_default`."""
    height, width = tf.shape(input_image)[1], tf.shape(input_image)[2]
    in_range = (input_image >= -images.ROUNDING) & (input_image <= 1 + images.ROUNDING)  # NaN is neither.
    checks = [
        _check(tf.minimum(height, width) > 0, "the image has no pixels"),
        _check(tf.reduce_all(in_range), "every value of the image must be a number from 0 to 1"),
        _check(
            tf.reduce_all(tf.abs(style_weights) < limits.LARGEST_FLOAT),
            f"every weight of a style must be a number below {limits.LARGEST_FLOAT:g}, not in",
            style_weights,
        ),
    ]
    with tf.control_dependencies(checks):
        framed = tf.gather(tf.gather(input_image, _framed(height), axis=1), _framed(width), axis=2)
    stylized = model([framed, style_weights], training=False)
    return {"stylized_image": stylized[:, margin.MARGIN :, margin.MARGIN :][:, :height, :width]}


def _stylize_encoded(
    model: StyleTransformer, image_bytes: tf.Tensor, style_names: tf.Tensor, weights: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The signature `stylize_encoded`."""
    names = tf.constant(model.style_names)
    matches = tf.equal(style_names[:, None], names)
    known = tf.reduce_all(tf.reduce_any(matches, axis=1))
    checks = [
        _check(tf.size(style_names) > 0, "no style is named; the styles are", names),
        _check(known, "unknown style in", style_names, "; the styles are", names),
        _check(tf.size(weights) == tf.size(style_names), "there must be a weight for each of", style_names),
    ]
    with tf.control_dependencies(checks):
        style_weights = tf.linalg.matvec(tf.cast(matches, tf.float32), weights, transpose_a=True)
    photo = tf_images.decode(image_bytes)
    stylized = _stylize(model, photo[None], style_weights[None])["stylized_image"][0]
    return {"stylized_image_bytes": tf.io.encode_png(tf.cast(tf.round(stylized * 255), tf.uint8))}


def _check(condition: tf.Tensor, *sentence: str | tf.Tensor) -> tf.Operation:
    """Makes the graph raise an InvalidArgumentError unless the condition holds."""
    return tf.debugging.Assert(condition, sentence, summarize=1000)


def _framed(side: tf.Tensor) -> tf.Tensor:
    """Source index of each row or column of an image with its margin, as `margin.laid` lays it."""
    framed = -(-(side + 2 * margin.MARGIN) // sizes.MULTIPLE) * sizes.MULTIPLE
    period = tf.maximum(2 * (side - 1), 1)
    index = tf.range(-margin.MARGIN, framed - margin.MARGIN) % period
    return tf.minimum(index, period - index)
