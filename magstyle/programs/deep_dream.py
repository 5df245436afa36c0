"""Makes an image show more of what a network sees in it (Mordvintsev, Olah, Tyka: DeepDream, 2015).

bin/deep_dream.py --input_image=photo.jpg --output_image=dream.png
bin/deep_dream.py --input_image=photo.jpg --model=vgg_16.h5 --end_points=conv4_3,conv5_1:7 --output_image=dream.png
bin/deep_dream.py --input_image=photo.jpg --frames=60 --output_image=journey.gif

Ctrl-C ends it, and writes the result so far.
"""

from absl import flags

from magstyle import files
from magstyle.data import images
from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_string("input_image", None, "The image.")
    flags.DEFINE_string(
        "output_image",
        None,
        "The picture to write: .png, .jpg or .webp; several --frames also to a .gif, .mp4 or .webm.",
    )
    flags.DEFINE_string(
        "model", "InceptionV3", "A name of keras.applications, a .keras file of images in [0, 1], or VGG's weights."
    )
    flags.DEFINE_list("end_points", ["mixed3", "mixed5"], "Layers to climb; mixed3:13 is channel 13 of one.")
    flags.DEFINE_string("guide_image", None, "Climb towards the features of this image.")
    flags.DEFINE_integer("image_size", None, "Shorter side of the picture; as it is by default.", lower_bound=1)
    flags.DEFINE_integer("octaves", 4, "Sizes to dream at, from coarse to fine.", lower_bound=1)
    flags.DEFINE_float("octave_scale", 1.4, "Of each size to the one before it.")
    flags.DEFINE_integer("steps", 10, "Per octave.", lower_bound=1)
    flags.DEFINE_float("learning_rate", 0.02, "How far a step goes, in units of [0, 1].")
    flags.DEFINE_integer("tile_size", 512, "Largest side of what is computed at once: memory grows with it.")
    flags.DEFINE_integer(
        "frames", 1, "Of a journey into the picture: an animation or, as .png or .jpg, numbered files.", lower_bound=1
    )
    flags.DEFINE_float("zoom", 1.05, "From one frame to the next.")
    flags.DEFINE_integer("seed", 0, "Of the places where tiles are cut.", lower_bound=0)
    flags.mark_flags_as_required(["input_image", "output_image"])
    shared_flags.mark_as_paths("input_image", "output_image", "model", "guide_image")


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    for path in filter(None, (FLAGS.input_image, FLAGS.guide_image)):
        images.read_size(files.expanded(path))  # Refuses a missing image at once.
    command_line.import_tensorflow()
    from magstyle.optimization.deep_dream_files import deep_dream

    print(*deep_dream(**command_line.values_for(deep_dream)), sep="\n")


def run() -> None:
    command_line.run(define_flags, main)
