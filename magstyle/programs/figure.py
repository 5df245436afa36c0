"""Makes figures of photos in several styles, as people publish them, of the fast network or by neural style.

bin/figure.py --content_images=photo.jpg --style_images=paintings --output_image=sheet.png
bin/figure.py --kind=triptych --content_images=photo.jpg --style_images=paintings --optimize --output_image=three.jpg
bin/figure.py --kind=walk --content_images=photo.jpg --which_styles="scream, wave, 7" --output_image=walk.gif

sheet: paintings along the top, the photo in each style below. triptych: photo, painting, picture. grid: several photos
by several paintings. strip: from style to style. walk: the same as an animation that ends where it begins.
"""

from absl import flags

from magstyle.data import photos
from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_multi_string("content_images", None, "Photo, glob or folder.")
    flags.DEFINE_string(
        "output_image", None, "The figure to write: .png, .jpg or .webp; of a walk, .gif, .webp, .mp4 or .webm."
    )
    flags.DEFINE_enum("kind", "sheet", ["sheet", "triptych", "grid", "strip", "walk"], "What to show; see above.")
    flags.DEFINE_multi_string(
        "style_images",
        None,
        "Painting, glob or folder; more may follow without the flag. Of the network, each is called as its style is.",
    )
    flags.DEFINE_string(
        "which_styles", None, "Styles of the network, where no painting is shown, such as 'scream, 7'; all by default."
    )
    shared_flags.define_checkpoint()
    flags.DEFINE_bool("optimize", False, "Paint with neural style instead of the network.")
    flags.DEFINE_string("vgg_checkpoint", "imagenet", f"Of neural style. {shared_flags.VGG}")
    flags.DEFINE_integer("image_size", 256, "Shorter side of each picture.", lower_bound=1)
    flags.DEFINE_integer("octaves", 2, "Of neural style.", lower_bound=1)
    flags.DEFINE_integer(
        "steps", 200, "Of neural style, in the first octave; then half as many in each.", lower_bound=1
    )
    flags.mark_flags_as_required(["content_images", "output_image"])
    shared_flags.mark_as_paths("content_images", "style_images", "output_image", "vgg_checkpoint")


def main(arguments: list[str]) -> None:
    style_images = [*(FLAGS.style_images or []), *arguments]
    photos.find([*FLAGS.content_images, *style_images])  # What is not there is refused at once.
    command_line.import_tensorflow()
    from magstyle.checkpoints import model_files
    from magstyle.figures.figure_files import figure

    given = {"style_images": style_images or None}
    if not FLAGS.optimize:
        given["checkpoint"] = model_files.load_model(FLAGS.checkpoint)
        given["which_styles"] = command_line.styles("which_styles", given["checkpoint"].style_names, "all")
    print(figure(**command_line.values_for(figure, **given)))


def run() -> None:
    command_line.run(define_flags, main)
