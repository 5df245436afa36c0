#!/usr/bin/env python3
"""Paints photos in the styles of a model: one picture per photo and style, or one mixture of styles per photo.

bin/stylize.py --checkpoint=model.keras --input_image=photo.jpg --which_styles="[0, 'starry_night']" --output_dir=out
bin/stylize.py --checkpoint=model.keras --which_styles="{0: 0.6, 7: 0.4}" --output_dir=out --input_image photos/*.jpg

Without --checkpoint, the styles are those of the bundled model `painters`.
"""

import ast
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from absl import flags
from tqdm import tqdm

from magstyle import app, checkpoints, files, grids
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.stylizer import Stylizer, preserve_color

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "checkpoint", "painters", "The model: a bundled one, a .keras file, a training folder, a Magenta checkpoint or .pb."
)
flags.DEFINE_multi_string("input_image", None, "Photo, glob or folder of photos; more may follow without the flag.")
flags.DEFINE_string("output_dir", None, "Folder for the pictures; made if it is missing.")
flags.DEFINE_string("output_basename", None, "Start of the pictures' names; the photo's own name by default.")
flags.DEFINE_string(
    "which_styles",
    "[0]",
    "Styles by number or name: one, a list for one picture each, a dictionary {style: weight} for one mixture, or all.",
)
flags.DEFINE_integer("num_styles", None, "Not needed; if given, the model must have that many styles.")
flags.DEFINE_float("alpha", None, "Not needed; if given, the model must have that width.")
flags.DEFINE_integer("image_size", None, "Shorter side of the pictures; as it is by default.", lower_bound=1)
flags.DEFINE_bool("preserve_color", False, "Keep the photo's colours, take only the strokes.")
flags.DEFINE_enum("format", "png", ["png", "jpg", "jpeg", "webp"], "File format and extension of the pictures.")
flags.DEFINE_bool("sheet", False, "Also show each photo and its pictures, small and with their names, in one picture.")
flags.mark_flags_as_required(["input_image", "output_dir"])


def main(argv: Sequence[str]) -> None:
    photos = images.find(FLAGS.input_image + argv[1:])
    stylizer = Stylizer(checkpoints.load_model(FLAGS.checkpoint, FLAGS.num_styles, FLAGS.alpha))
    styles = parse_styles(FLAGS.which_styles, stylizer)
    folder = pathlib.Path(FLAGS.output_dir).expanduser()
    pictures = plan(photos, list(styles), folder)
    check_sizes(pictures, stylizer)
    files.make_folder(folder)
    with tqdm(total=len(photos) * len(styles), unit="picture") as progress:
        for photo, paths in pictures.items():
            image = images.read_image(photo, FLAGS.image_size)
            tiles = [grids.tile(image, pathlib.Path(photo).name)]
            sheet = paths.pop() if FLAGS.sheet else None
            for path, (style, style_weights) in zip(paths, styles.items(), strict=True):
                picture = stylizer.stylize(image, style_weights)
                if FLAGS.preserve_color:
                    picture = preserve_color(image, picture)
                images.write_image(path, picture)
                tiles.append(grids.tile(picture, style))
                progress.update()
                progress.write(str(path))
            if sheet:
                images.write_image(sheet, grids.sheet(tiles))
                progress.write(str(sheet))


def parse_styles(which_styles: str, stylizer: Stylizer) -> dict[str, np.ndarray]:
    """The weights [num_styles] of every picture to paint, by the end of its name (`7`, or `7_600_12_400`)."""
    if which_styles == "all":
        return {name: stylizer.style_weights(name) for name in stylizer.model.style_names}
    try:
        styles = ast.literal_eval(which_styles)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        styles = None
    if isinstance(styles, int):
        styles = [styles]
    if which_styles in stylizer.model.style_names:
        styles = [which_styles]
    if isinstance(styles, list | tuple) and styles and all(isinstance(style, int | str) for style in styles):
        return {str(style): stylizer.style_weights(style) for style in styles}
    if isinstance(styles, dict) and styles:
        weights = stylizer.style_weights(styles)
        in_order = sorted(styles, key=stylizer.style_index)
        return {"_".join(f"{style}_{round(styles[style] * 1000):03d}" for style in in_order): weights}
    raise InputError(
        f"--which_styles={which_styles} must be a style, all, a list such as \"[0, 'scream']\", or a mixture such as "
        "\"{0: 0.6, 'scream': 0.4}\""
    )


def plan(photos: Sequence[str], styles: Sequence[str], folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The paths of the pictures to paint of each photo: one per style and, with --sheet, that one last."""
    if FLAGS.output_basename and len(photos) > 1:
        raise InputError(f"--output_basename names the pictures of one photo, not of {len(photos)}; leave it out")
    sources = {pathlib.Path(photo).resolve() for photo in photos}
    pictures, taken = {}, {}
    for photo in photos:
        stem = FLAGS.output_basename or pathlib.Path(photo).stem
        endings = [re.sub(r"[/\\]", "_", style) for style in styles] + ["sheet"] * FLAGS.sheet
        pictures[photo] = [folder / f"{stem}_{ending}.{FLAGS.format}" for ending in endings]
        for path in pictures[photo]:
            if path.resolve() in sources:
                raise InputError(f"{path} would overwrite a photo of that name; choose another --output_dir")
            if path in taken:
                raise InputError(f"{taken[path]} and {photo} would both become {path}; stylise them one by one")
            taken[path] = photo
    return pictures


def check_sizes(pictures: dict[str, list[pathlib.Path]], stylizer: Stylizer) -> None:
    """Looks at all photos before work begins: are they images, and do they and their pictures fit?"""
    for photo, paths in pictures.items():
        size = images.scaled_size(images.read_size(photo), FLAGS.image_size)
        images.check_writable(paths[0], *size)
        try:
            stylizer.check_size(*size)
        except InputError as error:
            raise InputError(f"{photo}: {error}") from error


def console_entry_point() -> None:
    app.run(main)


if __name__ == "__main__":
    app.run(main)
