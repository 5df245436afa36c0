"""Paints a clip in a style of a model, and keeps its sound.

bin/stylize_video.py clip.mp4 painted.mp4
bin/stylize_video.py clip.mov painted.webm --which_styles="{wave: 0.6, 7: 0.4}" --image_size=480
bin/stylize_video.py --mask=sky.png:starry --which_styles=photo --strength=0.8 clip.mp4 painted.mp4
bin/stylize_video.py clip.mp4 painted.gif --which_styles="wave, scream" --walk --start=10 --duration=5 --fps=10

Without --checkpoint, the styles are those of the bundled model `painters`; `bin/stylize.py --list_styles` shows them.
"""

from absl import flags

from magstyle.errors import InputError
from magstyle.painting.regions import PHOTO
from magstyle.programs import command_line, option_flags, shared_flags
from magstyle.video.jobs import ClipJob
from magstyle.video.video_files import stylize_video

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_string("input_video", None, "The clip; needs no flag.")
    flags.DEFINE_string("output_video", None, "The clip to write, .mp4, .mov, .mkv, .webm or .gif; needs no flag.")
    shared_flags.define_which_styles("for --walk, or all")
    shared_flags.define_num_styles_and_alpha()
    shared_flags.define_masks()
    option_flags.define_options(ClipJob, skip=("input_video", "output_video", "which_styles", "mask"))
    shared_flags.mark_as_paths("input_video", "output_video")


def main(arguments: list[str]) -> None:
    paths = {}
    for name in ("input_video", "output_video"):
        paths[name] = command_line.path_of(name) or (arguments.pop(0) if arguments else None)
    command_line.refuse(arguments)
    if None in paths.values():
        raise InputError("which clip, and where to? Give two names, here or with --input_video and --output_video")
    shared_flags.import_engine(FLAGS.engine)
    network = shared_flags.open_network()
    values = command_line.values_for(
        ClipJob,
        **paths,
        checkpoint=network,
        style_image=(),  # The network knows them.
        which_styles=command_line.styles("which_styles", network.style_names, "all", PHOTO),
        mask=command_line.files_and_styles("mask", network.style_names),
    )
    print(stylize_video(**values))


def run() -> None:
    command_line.run(define_flags, main)
