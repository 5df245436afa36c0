"""Shows what a layer of VGG keeps of an image: a picture that has the same features, found from noise.

bin/reconstruct.py --input_image=photo.jpg --end_point=conv3_1 --output_image=kept.png
bin/reconstruct.py --input_image=painting.jpg --end_point=conv4_1 --kind=style --output_image=texture.png
bin/reconstruct.py --input_image=painting.jpg --all_layers --output_image=layers.png

Ctrl-C ends it, and writes the picture of that moment.
"""

from absl import flags

from magstyle import files
from magstyle.data import images
from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_string("input_image", None, "The image.")
    flags.DEFINE_string("end_point", None, "Of VGG, such as conv3_1.")
    flags.DEFINE_bool("all_layers", False, "Instead: conv1_1 to conv5_1, content and style, on one sheet.")
    flags.DEFINE_enum(
        "kind",
        "content",
        ["content", "style"],
        "The features themselves, or the Gram matrices up to there, which make a texture.",
    )
    flags.DEFINE_string("output_image", None, "The picture to write: .png, .jpg or .webp.")
    shared_flags.define_pixels(image_size=256)
    flags.mark_flags_as_required(["input_image", "output_image"])
    shared_flags.mark_as_paths("input_image", "output_image")


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    images.read_size(files.expanded(FLAGS.input_image))  # Refuses a missing image at once.
    command_line.import_tensorflow()
    from magstyle.optimization.reconstruction_files import reconstruct

    print(reconstruct(**command_line.values_for(reconstruct)))


def run() -> None:
    command_line.run(define_flags, main)
