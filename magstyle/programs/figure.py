"""Makes figures of photos in several styles, as people publish them, of the fast network or by neural style.

bin/figure.py --content_images=photo.jpg --style_images=paintings --output_image=sheet.png
bin/figure.py --kind=triptych --content_images=photo.jpg --style_images=paintings --optimize --output_image=three.jpg
bin/figure.py --checkpoint=anything --content_images=photo.jpg --style_images=paintings --output_image=sheet.png
bin/figure.py --kind=walk --content_images=photo.jpg --which_styles="scream, wave, 7" --output_image=walk.gif

sheet: paintings along the top, the photo in each style below. triptych: photo, painting, picture. grid: several photos
by several paintings. strip: from style to style. walk: the same as an animation that ends where it begins.
"""

from absl import flags

from magstyle.checkpoints import model_files
from magstyle.data import photos
from magstyle.figures.jobs import FigureJob
from magstyle.programs import command_line, option_flags, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_string(
        "which_styles", None, "Styles of the network, where no painting is shown, such as 'scream, 7'; all by default."
    )
    option_flags.define_options(FigureJob, skip=("which_styles",))


def main(arguments: list[str]) -> None:
    style_images = [*(FLAGS.style_images or []), *arguments]
    photos.find([*FLAGS.content_images, *style_images])  # Files that are not there are refused at once.
    given: dict[str, object] = {"style_images": style_images or None}
    if FLAGS.optimize:
        command_line.import_tensorflow()
    else:
        shared_flags.import_engine()
        network = model_files.read_network(FLAGS.checkpoint, any_painting=True)
        given |= {
            "checkpoint": network,
            "which_styles": command_line.styles("which_styles", network.style_names, "all"),
        }
    from magstyle.figures.figure_files import figure

    print(figure(**command_line.values_for(FigureJob, **given)))


def run() -> None:
    command_line.run(define_flags, main)
