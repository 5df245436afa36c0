"""Writes a web page that paints photos in the browser: a folder of static files, for any web server.

bin/build_page.py --checkpoint=painters --output_dir=site

To look at it here: python -m http.server --bind 127.0.0.1 --directory site
"""

from absl import flags

from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_checkpoint()
    flags.DEFINE_string("output_dir", None, "Folder for the page; an earlier page in it is replaced.")
    flags.DEFINE_integer(
        "image_size", 768, "Longest side of what is saved, and of what is painted live, a multiple of 4.", lower_bound=8
    )
    flags.DEFINE_integer(
        "preview_size", 384, "Longest side of the pictures that are shown while a slider moves.", lower_bound=8
    )
    flags.DEFINE_string(
        "photo", None, "The photo in the thumbnails, and the example of the page; a cup of coffee by default."
    )
    flags.mark_flag_as_required("output_dir")
    shared_flags.mark_as_paths("output_dir", "photo")


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    sizes = {name: shared_flags.size_of(name) for name in ("image_size", "preview_size")}
    command_line.import_tensorflow()
    shared_flags.import_engine()
    from magstyle.export.page import build_page

    print(
        build_page(FLAGS.checkpoint, command_line.path_of("output_dir"), photo=command_line.path_of("photo"), **sizes)
    )


def run() -> None:
    command_line.run(define_flags, main)
