"""Makes an image show more of what a network sees in it (Mordvintsev, Olah, Tyka: DeepDream, 2015).

bin/deep_dream.py --input_image=photo.jpg --output_image=dream.png
bin/deep_dream.py --input_image=photo.jpg --model=vgg_16.h5 --end_points=conv4_3,conv5_1:7 --output_image=dream.png
bin/deep_dream.py --input_image=photo.jpg --frames=60 --output_image=journey.gif

Ctrl-C ends it, and writes the result so far.
"""

from absl import flags

from magstyle import files
from magstyle.data import images
from magstyle.optimization.jobs import DeepDreamJob
from magstyle.programs import command_line, option_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    option_flags.define_options(DeepDreamJob)


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    # Refuses a missing image at once.
    images.read_size(files.expanded(FLAGS.input_image), image_size=FLAGS.image_size)
    if FLAGS.guide_image:
        images.read_size(files.expanded(FLAGS.guide_image), image_size=1)  # A guide may have any size.
    command_line.import_tensorflow()
    from magstyle.optimization.deep_dream_files import deep_dream

    print(*deep_dream(**command_line.values_for(deep_dream)), sep="\n")


def run() -> None:
    command_line.run(define_flags, main)
