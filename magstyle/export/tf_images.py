"""Image files read within a TensorFlow graph, as `magstyle.data.images.read_image` reads them outside, if it can."""

import tensorflow as tf

# How far into a file EXIF data are searched, in bytes.
_SEARCHED = 2**20
# What stands before and at the beginning of EXIF data in JPEG and PNG files, in both byte orders.
_EXIF = tuple(start + order for start in (b"Exif\0\0", b"eXIf") for order in (b"II*\0", b"MM\0*"))
_ORIENTATION = 0x0112
# By EXIF's orientation, from 0: whether rows and columns are exchanged, and then columns, or rows, are mirrored.
_TURNS = (0, 0, 0, 0, 0, 1, 1, 1, 1)
_MIRRORED_COLUMNS = (0, 0, 1, 1, 0, 0, 1, 1, 0)
_MIRRORED_ROWS = (0, 0, 0, 1, 1, 0, 0, 1, 1)


def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """The image of a JPEG, PNG, GIF or BMP file, float32 RGB [H, W, 3] in [0, 1]: upright, and laid over white.

    Args:
        image_bytes: the file, a scalar string.
    """
    pixels = tf.cond(
        _is_plain_png(image_bytes),
        # The colour that the file marks as transparent has an alpha of 0 only in four channels. With a palette or with
        # fewer bits, TensorFlow fills the fourth channel wrongly.
        lambda: tf.io.decode_png(image_bytes, channels=4),
        lambda: _with_alpha(
            tf.cond(
                tf.strings.substr(image_bytes, 0, 3) == b"\xff\xd8\xff",
                lambda: tf.io.decode_jpeg(image_bytes, dct_method="INTEGER_ACCURATE"),  # As Pillow decodes it.
                lambda: tf.io.decode_image(image_bytes, expand_animations=False),
            ),
            tf.strings.substr(image_bytes, 0, 2) == b"BM",
        ),
    )
    values = tf.cast(tf.ensure_shape(pixels, [None, None, 4]), tf.float32)
    alpha = values[..., 3:] / 255
    # In eight bits, as read_image does it.
    over_white = tf.round(values[..., :3] * alpha + 255 * (1 - alpha)) / 255
    return _upright(over_white, orientation(image_bytes))


def orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """The orientation that the EXIF data of a JPEG or PNG file give, 1 to 8; 1 without, or if they are damaged."""
    content = tf.cast(tf.io.decode_raw(tf.strings.substr(image_bytes, 0, _SEARCHED), tf.uint8), tf.int32)
    found = [_first(content, start) + len(start) - 4 for start in _EXIF]
    # The end of the content, if nothing is found there.
    begin = tf.minimum(tf.reduce_min(tf.stack(found)), tf.size(content))
    exif = content[begin:]
    little = tf.equal(tf.size(exif[:1]), 1) & tf.reduce_all(exif[:1] == ord("I"))
    directory = _number(exif, 4, 4, little)
    entries = exif[tf.minimum(directory + 2, tf.size(exif)) :]
    count = tf.minimum(_number(exif, directory, 2, little), tf.size(entries) // 12)
    table = tf.reshape(entries[: 12 * count], [count, 12])
    weights = tf.where(little, tf.constant([1, 256]), tf.constant([256, 1]))
    tags, values = (tf.reduce_sum(table[:, i : i + 2] * weights, axis=1) for i in (0, 8))
    given = tf.concat([tf.boolean_mask(values, tags == _ORIENTATION), [1]], axis=0)[0]
    return tf.where((given >= 1) & (given <= 8), given, 1)


def _is_plain_png(image_bytes: tf.Tensor) -> tf.Tensor:
    """Whether a file is PNG, in greys or colours of 8 or 16 bits, without a channel for alpha."""
    header = tf.io.decode_raw(tf.strings.substr(image_bytes, 0, 26), tf.uint8)
    depth, kind = header[24:25], header[25:26]
    is_png = tf.strings.substr(image_bytes, 0, 4) == b"\x89PNG"
    return is_png & tf.reduce_all(depth >= 8) & tf.reduce_all((kind == 0) | (kind == 2))


def _with_alpha(pixels: tf.Tensor, is_bmp: tf.Tensor) -> tf.Tensor:
    """An image of 1 to 4 channels, uint8, as RGBA; in a BMP file, a fourth channel of zeros alone is padding."""
    channels = tf.shape(pixels)[2]
    opaque = tf.fill(tf.concat([tf.shape(pixels)[:2], [1]], axis=0), tf.constant(255, tf.uint8))
    colors = tf.cond(channels < 3, lambda: tf.repeat(pixels[..., :1], 3, axis=2), lambda: pixels[..., :3])
    alpha = pixels[..., -1:]
    has_alpha = tf.equal(channels % 2, 0) & (tf.reduce_any(alpha > 0) | ~is_bmp)
    return tf.concat([colors, tf.cond(has_alpha, lambda: alpha, lambda: opaque)], axis=2)


def _upright(image: tf.Tensor, given: tf.Tensor) -> tf.Tensor:
    """An image [H, W, C] that is stored in one of EXIF's orientations, 1 to 8, as it is seen."""
    for table, turned in (
        (_TURNS, lambda image: tf.transpose(image, [1, 0, 2])),
        (_MIRRORED_COLUMNS, lambda image: tf.reverse(image, [1])),
        (_MIRRORED_ROWS, lambda image: tf.reverse(image, [0])),
    ):
        image = tf.cond(tf.constant(table)[given] == 1, lambda: turned(image), lambda: image)  # noqa: B023
    return image


def _first(content: tf.Tensor, pattern: bytes) -> tf.Tensor:
    """Where the content, int32 [N], has this pattern for the first time; far behind its end if nowhere."""
    places = tf.maximum(tf.size(content) - len(pattern) + 1, 0)
    found = tf.fill([places], True)
    for i, byte in enumerate(pattern):
        found &= content[i : i + places] == byte
    return tf.concat([tf.cast(tf.where(found)[:, 0], tf.int32), [2**30]], axis=0)[0]


def _number(content: tf.Tensor, start: int | tf.Tensor, length: int, little: tf.Tensor) -> tf.Tensor:
    """The number in some bytes of the content; its end if that is before them, and never more than the content has."""
    found = content[start : start + length]
    digits = tf.where(little, found, tf.reverse(found, [0]))
    value = tf.reduce_sum(digits * 256 ** tf.range(tf.size(digits)))
    return tf.clip_by_value(value, 0, tf.size(content))
