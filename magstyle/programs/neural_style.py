"""Paints a photo in the style of one or several paintings by optimising its pixels (Gatys, Ecker, Bethge, 2015).

It needs no trained network, only VGG, and minutes instead of milliseconds.

bin/neural_style.py --content_image=photo.jpg --style_images=painting.jpg --output_image=picture.png
bin/neural_style.py --content_image=photo.jpg --style_image_weights=0.7,0.3 --output_image=picture.png \
    --style_images one.jpg two.jpg

Ctrl-C ends it, and writes the picture of that moment.
"""

from absl import flags

from magstyle import files
from magstyle.data import images, photos
from magstyle.optimization.jobs import NeuralStyleJob
from magstyle.programs import command_line, option_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    option_flags.define_options(NeuralStyleJob)


def main(arguments: list[str]) -> None:
    style_images = [*FLAGS.style_images, *arguments]
    # Refuses a missing image at once.
    images.read_size(files.expanded(FLAGS.content_image), image_size=FLAGS.image_size)
    photos.find(style_images)
    command_line.import_tensorflow()
    from magstyle.optimization.neural_style_files import neural_style

    weights = command_line.literal(FLAGS.style_image_weights)
    print(neural_style(**command_line.values_for(neural_style, style_images=style_images, style_image_weights=weights)))


def run() -> None:
    command_line.run(define_flags, main)
