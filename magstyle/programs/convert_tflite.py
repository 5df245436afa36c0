"""Converts any model into a LiteRT (TensorFlow Lite) file, for phones, browsers and small computers.

bin/convert_tflite.py --checkpoint=painters --output_model=painters.tflite
bin/convert_tflite.py --output_model=small.tflite --precision=int8 --representative_images=photos
bin/convert_tflite.py --output_model=wave.tflite --style="{the_great_wave: 0.8, 3: 0.2}" --image_size=0

Before the file is kept, it paints photos, and the pictures are compared with those of the model.
"""

import sys
from typing import Any

from absl import flags

from magstyle.errors import InputError
from magstyle.export.jobs import PRECISIONS, LiteRTJob
from magstyle.programs import command_line, option_flags, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_checkpoint()
    shared_flags.define_num_styles_and_alpha()
    flags.DEFINE(
        shared_flags.SizeParser(),
        "image_size",
        384,
        "Side of the images, or their width and height, as in 640x480; multiples of 4. 0 for any, chosen by the app.",
    )
    flags.DEFINE_enum("precision", None, PRECISIONS, "How the file stores its numbers; float32 by default.")
    flags.DEFINE_bool("quantize", False, "The same as --precision=dynamic_int8.")
    flags.DEFINE_string(
        "style",
        None,
        "A style by number, name or part of a name, or a mixture {style: weight}, to bake in; the file has no other.",
    )
    option_flags.define_options(LiteRTJob, skip=("checkpoint", "image_size", "precision", "style"))


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    output_model = command_line.new_path_of("output_model", suffix=".tflite")
    if FLAGS.quantize and FLAGS.precision not in (None, "dynamic_int8"):
        raise InputError(f"--quantize means --precision=dynamic_int8, not {FLAGS.precision}; leave one of them out")
    precision = "dynamic_int8" if FLAGS.quantize else FLAGS.precision or "float32"
    given: dict[str, Any] = {"precision": precision, "representative_images": FLAGS.representative_images}
    LiteRTJob(FLAGS.checkpoint, output_model, **given)  # Refuses invalid options before TensorFlow is imported.
    command_line.import_tensorflow()
    command_line.import_litert()
    from magstyle.export.tflite import convert_tflite

    network = shared_flags.open_network()
    made = convert_tflite(
        network,
        output_model,
        image_size=shared_flags.size_of("image_size"),
        style=command_line.style("style", network.style_names),
        **given,
    )
    print(
        f"{made.path.stat().st_size / 1e6:.2f} MB; compared with the model on {made.num_photos} photo(s): "
        f"largest difference {made.largest_difference:.1e}, PSNR {made.psnr:.1f} dB",
        file=sys.stderr,
    )
    print(made.path)


def run() -> None:
    command_line.run(define_flags, main)
