"""SavedModels, for TensorFlow Serving and for every program that has TensorFlow but not this project."""

import os
import pathlib
import tempfile
from collections.abc import Sequence

import tensorflow as tf

from magstyle import files
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


def save(model: StyleTransformer, folder: str | os.PathLike) -> None:
    """Writes a SavedModel of two signatures, which TensorFlow alone loads and serves.

    `serving_default` takes `input_image` [B, H, W, 3], float32 RGB in [0, 1], of any size from 8 x 8, and
    `style_weights` [B, num_styles], and returns `stylized_image` [B, H, W, 3].

    `stylize_encoded` takes `image_bytes`, one JPEG, PNG, GIF or BMP file, `style_names` [K] and `weights` [K], the
    styles to mix; it returns `stylized_image_bytes`, a PNG file of the same size. A style that the model does not have
    is an InvalidArgumentError that names those that it has. (TensorFlow ignores EXIF orientation. A name that ends in
    `_bytes` is what makes TensorFlow Serving send it as base64.)

    The names of the styles are the lines of the asset `style_names.txt`; `LICENSE.txt` is beside it.

    Args:
        model: the model.
        folder: to be made; it must not exist.

    Raises:
        InputError: if it cannot be written.
    """
    with tempfile.TemporaryDirectory() as temporary:
        names, licence = pathlib.Path(temporary) / STYLE_NAMES, pathlib.Path(temporary) / LICENCE
        names.write_text("".join(f"{name}\n" for name in model.style_names), encoding="utf-8")
        licence.write_text(LICENCE_TEXT, encoding="utf-8")
        module = _Servable(model, [names, licence])
        signatures = {"serving_default": module.stylize, "stylize_encoded": module.stylize_encoded}
        try:
            with files.replacing(folder) as unfinished:
                tf.saved_model.save(module, str(unfinished), signatures)
        except tf.errors.OpError as error:  # What TensorFlow makes of a full disk.
            raise InputError(f"cannot write {folder}: {error.message}") from error


class _Servable(tf.Module):
    def __init__(self, model: StyleTransformer, assets: Sequence[pathlib.Path]):
        super().__init__()
        self._model = model
        self._names = tf.constant(model.style_names)
        self.assets = [tf.saved_model.Asset(str(path)) for path in assets]
        # The functions may use what the module holds alone.
        self.weights = [variable.value for variable in model.variables]
        num_styles = model.num_styles
        self.stylize = tf.function(
            self._stylize,
            input_signature=[
                tf.TensorSpec([None, None, None, 3], tf.float32, "input_image"),
                tf.TensorSpec([None, num_styles], tf.float32, "style_weights"),
            ],
        )
        self.stylize_encoded = tf.function(
            self._stylize_encoded,
            input_signature=[
                tf.TensorSpec([], tf.string, "image_bytes"),
                tf.TensorSpec([None], tf.string, "style_names"),
                tf.TensorSpec([None], tf.float32, "weights"),
            ],
        )

    def _stylize(self, input_image, style_weights):
        # As Stylizer does: reflected to multiples of 4, and cropped.
        height, width = tf.shape(input_image)[1], tf.shape(input_image)[2]
        padded = tf.pad(input_image, [[0, 0], [0, -height % 4], [0, -width % 4], [0, 0]], "REFLECT")
        stylized = self._model([padded, style_weights], training=False)
        return {"stylized_image": stylized[:, :height, :width]}

    def _stylize_encoded(self, image_bytes, style_names, weights):
        matches = tf.equal(style_names[:, None], self._names)
        with tf.control_dependencies(
            [
                tf.debugging.Assert(
                    tf.reduce_all(tf.reduce_any(matches, axis=1)),
                    ["unknown style in", style_names, "; the styles are", self._names],
                    summarize=1000,
                )
            ]
        ):
            style_weights = tf.linalg.matvec(tf.cast(matches, tf.float32), weights, transpose_a=True)
        photo = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
        photo = tf.image.convert_image_dtype(tf.ensure_shape(photo, [None, None, 3]), tf.float32)
        stylized = self._stylize(photo[None], style_weights[None])["stylized_image"][0]
        return {"stylized_image_bytes": tf.io.encode_png(tf.cast(tf.round(stylized * 255), tf.uint8))}
