#!/usr/bin/env python3
"""Turns any model that can be opened into a LiteRT (TensorFlow Lite) file, for phones, browsers and small computers.

bin/convert_tflite.py --checkpoint=painters --output_model=painters.tflite
bin/convert_tflite.py --output_model=small.tflite --precision=int8 --representative_images=photos
bin/convert_tflite.py --output_model=wave.tflite --style="{'the_great_wave': 0.8, 3: 0.2}" --image_size=0

Before the file appears, it paints photos, and its pictures are compared with those of the model.
"""

import ast
import pathlib
import sys
from collections.abc import Sequence

import numpy as np
from absl import flags

from magstyle import app, checkpoints, files
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.export import litert
from magstyle.models.transformer import StyleTransformer
from magstyle.stylizer import Stylizer

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "checkpoint", "painters", "The model: a bundled one, a .keras file, a training folder, a Magenta checkpoint or .pb."
)
flags.DEFINE_integer("num_styles", None, "Not needed; if given, the model must have that many styles.")
flags.DEFINE_float("alpha", None, "Not needed; if given, the model must have that width.")
flags.DEFINE_string("output_model", None, "File to write, such as model.tflite.")
flags.DEFINE_integer(
    "image_size", 384, "Side of the images, a multiple of 4; 0 for any, chosen by the app.", lower_bound=0
)
flags.DEFINE_enum("precision", None, litert.PRECISIONS, "Of weights and convolutions; float32 by default.")
flags.DEFINE_bool("quantize", False, "The same as --precision=dynamic_int8.")
flags.DEFINE_multi_string(
    "representative_images",
    None,
    "Photos, globs or folders to calibrate int8 and to check the file with; the photo of examples/ by default.",
)
flags.DEFINE_string(
    "style", None, "A style by number or name, or a mixture {style: weight}, to bake in; the file then has no other."
)
flags.mark_flag_as_required("output_model")
# The photos that a file is checked with, and the side that they have where the file takes any.
_MOST_PHOTOS, _CHECKED_SIDE = 8, 256


def main(argv: Sequence[str]) -> None:
    if argv[1:]:
        raise InputError(f"unexpected argument {argv[1]}")
    output = pathlib.Path(FLAGS.output_model).expanduser()
    if output.exists():
        raise InputError(f"{output} exists already; remove it first, or choose another --output_model")
    precision = parse_precision()
    model = checkpoints.load_model(FLAGS.checkpoint, FLAGS.num_styles, FLAGS.alpha)
    style = None if FLAGS.style is None else parse_style(FLAGS.style, Stylizer(model))
    image_size = litert.rounded(FLAGS.image_size)
    if image_size != FLAGS.image_size:
        print(f"--image_size={FLAGS.image_size} is rounded to {image_size}, a multiple of 4", file=sys.stderr)
    photos = read_photos(image_size or _CHECKED_SIDE)
    with files.replacing(output) as temporary:
        content = litert.convert(model, image_size, precision, style, photos)
        check(content, model, photos, style)
        temporary.write_bytes(content)
    print(output)


def parse_precision() -> str:
    if FLAGS.quantize and FLAGS.precision not in (None, "dynamic_int8"):
        raise InputError(f"--quantize means --precision=dynamic_int8, not {FLAGS.precision}; leave one of them out")
    precision = "dynamic_int8" if FLAGS.quantize else FLAGS.precision or "float32"
    if precision == "int8" and not FLAGS.representative_images:
        raise InputError("--precision=int8 needs --representative_images, some photos such as it will paint")
    return precision


def parse_style(style: str, stylizer: Stylizer) -> np.ndarray:
    """The weights [num_styles] of `7`, `wave` or `{'wave': 0.6, 7: 0.4}`."""
    if style in stylizer.model.style_names:
        return stylizer.style_weights(style)
    try:
        parsed = ast.literal_eval(style)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        parsed = style
    if not isinstance(parsed, dict | int | str) or parsed == {}:
        raise InputError(f"--style={style} must be a style or a mixture such as \"{{0: 0.6, 'scream': 0.4}}\"")
    return stylizer.style_weights(parsed)


def read_photos(side: int) -> list[np.ndarray]:
    """Squares [side, side, 3] from the middle of photos."""
    default = pathlib.Path(__file__).parents[1] / "examples"
    photos = []
    for path in images.find(FLAGS.representative_images or [str(default)])[:_MOST_PHOTOS]:
        photo = images.read_image(path, side)
        top, left = ((length - side) // 2 for length in photo.shape[:2])
        photos.append(photo[top : top + side, left : left + side])
    return photos


def check(content: bytes, model: StyleTransformer, photos: Sequence[np.ndarray], style: np.ndarray | None) -> None:
    """Says how far the pictures of the file are from those of the model; refuses one that paints others."""
    difference, ratio = litert.compare(content, model, photos, style)
    measured = f"largest difference {difference:.1e}, PSNR {ratio:.1f} dB"
    if not ratio >= 20:
        raise InputError(f"the LiteRT file paints other pictures than the model ({measured}); try another --precision")
    megabytes = len(content) / 1e6
    print(f"{megabytes:.2f} MB; compared with the model on {len(photos)} photo(s): {measured}", file=sys.stderr)


def console_entry_point() -> None:
    app.run(main)


if __name__ == "__main__":
    app.run(main)
