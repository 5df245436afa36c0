"""Writes a web page that paints photos in the browser: a folder of static files, for any web server.

bin/build_page.py --checkpoint=painters --output_dir=site

To look at it on this machine: python -m http.server --bind 127.0.0.1 --directory site
"""

from absl import flags

from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_checkpoint()
    flags.DEFINE_string("output_dir", None, "Folder for the page; an earlier page in it is replaced.")
    flags.DEFINE_integer(
        "image_size", 768, "Longest side of saved pictures and of live ones, a multiple of 4.", lower_bound=8
    )
    flags.DEFINE_integer("preview_size", 384, "Longest side of the pictures shown while a slider moves.", lower_bound=8)
    flags.DEFINE_string(
        "photo", None, "The photo in the thumbnails, also the page's example; a cup of coffee by default."
    )
    flags.mark_flag_as_required("output_dir")
    shared_flags.mark_as_paths("output_dir", "photo")


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    image_size, preview_size = shared_flags.size_of("image_size"), shared_flags.size_of("preview_size")
    output_dir = command_line.path_of("output_dir")
    assert isinstance(image_size, int) and isinstance(preview_size, int) and output_dir  # As the flags are defined.
    shared_flags.import_engine()
    from magstyle.export.page import build_page

    photo = command_line.path_of("photo")
    print(build_page(FLAGS.checkpoint, output_dir, image_size=image_size, preview_size=preview_size, photo=photo))


def run() -> None:
    command_line.run(define_flags, main)
