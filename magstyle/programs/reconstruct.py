"""Shows what a layer of VGG keeps of an image: a picture that has the same features, found from noise.

bin/reconstruct.py --input_image=photo.jpg --end_point=conv3_1 --output_image=kept.png
bin/reconstruct.py --input_image=painting.jpg --end_point=conv4_1 --kind=style --output_image=texture.png
bin/reconstruct.py --input_image=painting.jpg --all_layers --output_image=layers.png

Ctrl-C ends it, and writes the picture of that moment.
"""

from absl import flags

from magstyle import files
from magstyle.data import images
from magstyle.optimization.jobs import ReconstructionJob
from magstyle.programs import command_line, option_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    option_flags.define_options(ReconstructionJob)


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    images.read_size(files.expanded(FLAGS.input_image), image_size=FLAGS.image_size)  # Refuses a missing image at once.
    command_line.import_tensorflow()
    from magstyle.optimization.reconstruction_files import reconstruct

    print(reconstruct(**command_line.values_for(reconstruct)))


def run() -> None:
    command_line.run(define_flags, main)
