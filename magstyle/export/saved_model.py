"""SavedModels, for TensorFlow Serving and for any program that has TensorFlow but not this project."""

import functools
import os
import pathlib

import keras
import tensorflow as tf

from magstyle import files, limits, sizes
from magstyle.checkpoints import model_files, networks, paintings
from magstyle.checkpoints.networks import Checkpoint
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.export import LICENCE_TEXT, tf_images
from magstyle.models.predictor import StylePredictor
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
    network = model_files.read_network(checkpoint, any_painting=True)
    files.make_folder(versions)
    taken = [int(name) for name in os.listdir(versions) if name.isdecimal()]
    folder = versions / str(max(taken, default=0) + 1)
    if network.predictor:
        model = networks.to_arbitrary_model(network)
        save(model.network, folder, model.predictor)
    else:
        save(networks.to_model(network), folder)
    return folder


def save(model: StyleTransformer, folder: str | os.PathLike, predictor: StylePredictor | None = None) -> None:
    """Writes a SavedModel with two signatures, which TensorFlow loads and serves without this project.

    `serving_default` takes `input_image` [B, H, W, 3], float32 RGB in [0, 1], of any size from 1 x 1, and
    `style_weights` [B, num_styles], and returns `stylized_image` [B, H, W, 3].

    `stylize_encoded` takes `image_bytes`, one JPEG, PNG, GIF or BMP file, `style_names` [K] and `weights` [K], the
    styles to mix; it returns `stylized_image_bytes`, a PNG file of the same size. It turns the photo upright by its
    EXIF orientation, and lays it over white by its alpha; it ignores colour profiles, which TensorFlow does not know.
    (TensorFlow Serving sends tensors whose names end in `_bytes` as base64.)

    With a predictor, paintings stand for styles: `painting` [B, h, w, 3] for `style_weights`, and `painting_bytes` [K],
    image files, for `style_names`.

    Invalid input raises an InvalidArgumentError of one sentence: no style; an unknown style, with the list of the known
    ones; weights that are NaN, infinite or beyond float32; an image without pixels, or with values that are NaN or
    outside [0, 1]; a painting of one colour, or with a side of less than 32 pixels.

    The names of the styles, if the model has any, are the lines of `assets/style_names.txt`; `LICENSE.txt` is beside
    it.

    Args:
        model: the model.
        folder: the folder to make; it must not exist.
        predictor: the style predictor of a model for any painting.

    Raises:
        InputError: if the folder cannot be written.
    """
    image = tf.TensorSpec([None, None, None, 3], tf.float32, "input_image")
    image_bytes = tf.TensorSpec([], tf.string, "image_bytes")
    weights = tf.TensorSpec([None], tf.float32, "weights")
    archive = keras.export.ExportArchive()
    if predictor:
        painting = tf.TensorSpec([None, None, None, 3], tf.float32, "painting")
        painting_bytes = tf.TensorSpec([None], tf.string, "painting_bytes")
        by_painting = functools.partial(_stylize_by_painting, model, predictor)
        archive.add_endpoint("serving_default", by_painting, [image, painting])
        by_files = functools.partial(_stylize_encoded_by_paintings, model, predictor)
        archive.add_endpoint("stylize_encoded", by_files, [image_bytes, painting_bytes, weights])
    else:
        style_weights = tf.TensorSpec([None, model.num_styles], tf.float32, "style_weights")
        style_names = tf.TensorSpec([None], tf.string, "style_names")
        archive.add_endpoint("serving_default", functools.partial(_stylize, model), [image, style_weights])
        by_names = functools.partial(_stylize_encoded, model)
        archive.add_endpoint("stylize_encoded", by_names, [image_bytes, style_names, weights])
    try:
        with files.replacing(folder) as unfinished:
            archive.write_out(files.for_tensorflow(unfinished), verbose=False)
            # ExportArchive takes no other assets than the vocabularies of tables.
            assets = files.make_folder(unfinished / "assets")
            if predictor is None:
                lines = [f"{name}\n" for name in model.style_names]
                (assets / STYLE_NAMES).write_text("".join(lines), encoding="utf-8")
            (assets / LICENCE).write_text(LICENCE_TEXT, encoding="utf-8")
    except tf.errors.OpError as error:  # The disk may be full.
        raise InputError(f"cannot write {folder}: {error.message}") from error


def _stylize(model: StyleTransformer, input_image: tf.Tensor, style_weights: tf.Tensor) -> dict[str, tf.Tensor]:
    """The signature `serving_default`."""
    height, width = tf.shape(input_image)[1], tf.shape(input_image)[2]
    checks = [
        _check(tf.minimum(height, width) > 0, "the image has no pixels"),
        _check_values(input_image, "image"),
        _check_weights(style_weights),
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
    return _stylize_file(model, image_bytes, style_weights)


def _stylize_by_painting(
    model: StyleTransformer, predictor: StylePredictor, input_image: tf.Tensor, painting: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The signature `serving_default` of a model for any painting."""
    return _stylize(model, input_image, _predict(predictor, painting))


def _stylize_encoded_by_paintings(
    model: StyleTransformer,
    predictor: StylePredictor,
    image_bytes: tf.Tensor,
    painting_bytes: tf.Tensor,
    weights: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """The signature `stylize_encoded` of a model for any painting."""
    count = tf.size(painting_bytes)
    checks = [
        _check(count > 0, "there is no painting"),
        _check(tf.size(weights) == count, "there must be a weight for each painting, not", weights),
        _check_weights(weights),
    ]
    with tf.control_dependencies(checks):
        predicted = tf.map_fn(
            lambda content: _predict(predictor, tf_images.decode(content)[None])[0],
            painting_bytes,
            fn_output_signature=tf.TensorSpec([model.num_styles], tf.float32),
        )
        style_weights = tf.linalg.matvec(predicted, weights, transpose_a=True)
    return _stylize_file(model, image_bytes, style_weights)


def _stylize_file(model: StyleTransformer, image_bytes: tf.Tensor, style_weights: tf.Tensor) -> dict[str, tf.Tensor]:
    """The picture of a photo's file in a style, weights [num_styles], as a PNG file."""
    photo = tf_images.decode(image_bytes)
    stylized = _stylize(model, photo[None], style_weights[None])["stylized_image"][0]
    return {"stylized_image_bytes": tf.io.encode_png(tf.cast(tf.round(stylized * 255), tf.uint8))}


def _predict(predictor: StylePredictor, painting: tf.Tensor) -> tf.Tensor:
    """The weights [B, num_styles] of paintings [B, h, w, 3], as `magstyle.checkpoints.paintings.predict` tells them."""
    shorter_side = tf.reduce_min(tf.shape(painting)[1:3])
    ranges = tf.reduce_max(painting, axis=(1, 2)) - tf.reduce_min(painting, axis=(1, 2))
    checks = [
        _check(
            shorter_side >= paintings.SMALLEST,
            f"the shorter side of a painting must have at least {paintings.SMALLEST} pixels, not",
            shorter_side,
        ),
        _check_values(painting, "painting"),
        _check(tf.reduce_all(tf.reduce_any(ranges > 0, axis=1)), "a painting must have more than one colour"),
    ]
    with tf.control_dependencies(checks):
        return predictor(_seen(painting), training=False)


def _seen(painting: tf.Tensor) -> tf.Tensor:
    """Paintings [B, h, w, 3] as the predictor sees them."""
    sides = tf.cast(tf.shape(painting)[1:3], tf.float64)
    scaled = tf.cast(tf.round(sides * paintings.SIDE / tf.reduce_min(sides)), tf.int32)
    resized = tf.image.resize(painting, scaled, tf.image.ResizeMethod.LANCZOS3, antialias=True)
    begin = tf.maximum(0, scaled - paintings.LONGEST) // 2
    end = begin + paintings.LONGEST
    # In eight bits, as Pillow has them.
    return tf.round(255 * tf.clip_by_value(resized[:, begin[0] : end[0], begin[1] : end[1]], 0, 1)) / 255


def _check(condition: tf.Tensor, *sentence: str | tf.Tensor) -> tf.Operation:
    """Makes the graph raise an InvalidArgumentError unless the condition holds."""
    return tf.debugging.Assert(condition, sentence, summarize=1000)


def _check_values(image: tf.Tensor, name: str) -> tf.Operation:
    in_range = (image >= -images.ROUNDING) & (image <= 1 + images.ROUNDING)  # NaN is neither.
    return _check(tf.reduce_all(in_range), f"every value of the {name} must be a number from 0 to 1")


def _check_weights(weights: tf.Tensor) -> tf.Operation:
    return _check(
        tf.reduce_all(tf.abs(weights) <= limits.STYLE_WEIGHT.most),
        f"every weight of a style must be {limits.in_words(limits.STYLE_WEIGHT)}, not in",
        weights,
    )


def _framed(side: tf.Tensor) -> tf.Tensor:
    """Source index of each row or column of an image with its margin, as `margin.laid` lays it."""
    framed = -(-(side + 2 * margin.MARGIN) // sizes.MULTIPLE) * sizes.MULTIPLE
    period = tf.maximum(2 * (side - 1), 1)
    index = tf.range(-margin.MARGIN, framed - margin.MARGIN) % period
    return tf.minimum(index, period - index)
