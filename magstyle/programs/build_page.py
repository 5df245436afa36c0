"""Writes a web page that paints photos in the browser: a folder of static files, for any web server.

bin/build_page.py --checkpoint=painters --output_dir=site

To look at it on this machine: python -m http.server --bind 127.0.0.1 --directory site
"""

from absl import flags

from magstyle.export.jobs import PageJob
from magstyle.programs import command_line, option_flags, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_checkpoint()
    option_flags.define_options(PageJob, skip=("checkpoint",))


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    sizes = {flag: shared_flags.size_of(flag) for flag in ("image_size", "preview_size")}
    shared_flags.import_engine()
    from magstyle.export.page import build_page

    print(build_page(**command_line.values_for(build_page, **sizes)))


def run() -> None:
    command_line.run(define_flags, main)
