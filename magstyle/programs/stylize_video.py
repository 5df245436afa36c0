"""Paints a clip in a style of a model, and keeps its sound.

bin/stylize_video.py clip.mp4 painted.mp4
bin/stylize_video.py clip.mov painted.webm --which_styles="{wave: 0.6, 7: 0.4}" --image_size=480
bin/stylize_video.py --mask=sky.png:starry --which_styles=photo --strength=0.8 clip.mp4 painted.mp4
bin/stylize_video.py clip.mp4 painted.gif --which_styles="wave, scream" --walk --start=10 --duration=5 --fps=10

Without --checkpoint, the styles are those of the bundled model `painters`; `bin/stylize.py --list_styles` shows them.
"""

from typing import Any

from absl import flags

from magstyle.errors import InputError
from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_checkpoint()
    flags.DEFINE_string("input_video", None, "The clip; needs no flag.")
    flags.DEFINE_string("output_video", None, "The clip to write, .mp4, .webm or .gif; needs no flag.")
    shared_flags.define_which_styles("for --walk")
    flags.DEFINE_bool("walk", False, "Go from each of several styles to the next, from the first frame to the last.")
    shared_flags.define_num_styles_and_alpha()
    shared_flags.define_engine()
    flags.DEFINE_integer("image_size", None, "Shorter side of the pictures; the clip's by default.", lower_bound=1)
    shared_flags.define_brush()
    flags.DEFINE_float("start", None, "Where to begin, in seconds from the clip's start.", lower_bound=0)
    flags.DEFINE_float("duration", None, "Seconds to paint; to the end by default.")
    flags.DEFINE_float("fps", None, "Frames per second to paint at most; the frames between are left out.")
    flags.DEFINE_bool("preserve_color", False, "Keep the clip's colours and take only the strokes.")
    flags.DEFINE_bool("steady", True, "Let strokes move with what they paint; painted one by one, frames flicker.")
    shared_flags.mark_as_paths("input_video", "output_video")


def main(arguments: list[str]) -> None:
    paths = {}
    for name in ("input_video", "output_video"):
        paths[name] = command_line.path_of(name) or (arguments.pop(0) if arguments else None)
    command_line.refuse(arguments)
    if None in paths.values():
        raise InputError("which clip, and where to? Give two names, here or with --input_video and --output_video")
    shared_flags.import_engine(FLAGS.engine)
    from magstyle.painting.regions import PHOTO
    from magstyle.video.video_files import stylize_video

    network = shared_flags.open_network()
    # Flags have the types of the arguments with the same names.
    values: dict[str, Any] = command_line.values_for(
        stylize_video,
        **paths,
        checkpoint=network,
        which_styles=command_line.styles("which_styles", network.style_names, "all", PHOTO),
        mask=command_line.files_and_styles("mask", network.style_names),
    )
    print(stylize_video(**values))


def run() -> None:
    command_line.run(define_flags, main)
