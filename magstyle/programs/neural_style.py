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
from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_string("content_image", None, "The photo.")
    flags.DEFINE_multi_string("style_images", None, "Painting, glob or folder; more may follow without the flag.")
    flags.DEFINE_string(
        "style_image_weights", None, "One number per painting, such as 0.7,0.3; all the same by default."
    )
    flags.DEFINE_multi_string(
        "style_masks", None, "White where the style of a painting is to be; once for each painting, in their order."
    )
    flags.DEFINE_string("output_image", None, "The picture to write: .png, .jpg or .webp.")
    shared_flags.define_pixels(image_size=512)
    flags.DEFINE_list("content_end_points", ["conv4_2"], "Of VGG, for the content.")
    flags.DEFINE_list(
        "style_end_points", ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"], "Of VGG, for the style."
    )
    flags.DEFINE_enum(
        "style_loss",
        "gram",
        ["gram", "mean_and_deviation"],
        "What picture and painting are to have in common: Gram matrices, or mean and deviation of each channel.",
    )
    flags.DEFINE_float("content_weight", 1.0, "Of the content, relative to the photo's.", lower_bound=0)
    flags.DEFINE_float("style_weight", 10.0, "Of the style, relative to the painting's.", lower_bound=0)
    flags.DEFINE_float("style_scale", 1.0, "Size of the strokes: 2 paints with the paintings twice as large.")
    flags.DEFINE_enum("start", "content", ["content", "style", "noise"], "What the picture is at first.")
    flags.DEFINE_integer(
        "octaves",
        2,
        "Paint so many times, from coarse to fine, each twice as large and, after the first, in half as many steps.",
        lower_bound=1,
    )
    flags.DEFINE_bool("preserve_color", False, "Keep the photo's colours, take only the strokes.")
    flags.DEFINE_integer(
        "snapshot_steps",
        None,
        "Also write the picture after every so many steps, beside --output_image.",
        lower_bound=1,
    )
    flags.mark_flags_as_required(["content_image", "style_images", "output_image"])
    shared_flags.mark_as_paths("content_image", "style_images", "style_masks", "output_image")


def main(arguments: list[str]) -> None:
    style_images = [*FLAGS.style_images, *arguments]
    images.read_size(files.expanded(FLAGS.content_image))  # Refuses a missing image at once.
    photos.find(style_images)
    command_line.import_tensorflow()
    from magstyle.optimization.neural_style_files import neural_style

    weights = command_line.literal(FLAGS.style_image_weights)
    print(neural_style(**command_line.values_for(neural_style, style_images=style_images, style_image_weights=weights)))


def run() -> None:
    command_line.run(define_flags, main)
