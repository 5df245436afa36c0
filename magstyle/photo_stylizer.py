"""Photos in files to pictures in files, in as many styles as are asked for."""

import collections
import numbers
import os
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from magstyle import files, grids, limits
from magstyle.data import images, photos
from magstyle.errors import InputError
from magstyle.names import in_file_name
from magstyle.networks import Network
from magstyle.stylizer import Stylizer
from magstyle.stylizer import preserve_color as keep_color

if TYPE_CHECKING:
    from magstyle.models.transformer import StyleTransformer

Styles = int | str | Sequence[int | str] | Mapping[int | str, float]


def stylize_photos(
    input_image: str | os.PathLike | Sequence[str | os.PathLike],
    output_dir: str | os.PathLike = "out",
    *,
    checkpoint: "StyleTransformer | Network | str | os.PathLike" = "painters",
    engine: str = "auto",
    which_styles: Styles = (0,),
    output_basename: str | None = None,
    image_size: int | None = None,
    preserve_color: bool = False,
    format: str = "png",
    sheet: bool = False,
) -> list[pathlib.Path]:
    """Paints photos in the styles of a model, one picture per photo and style, or one mixture of styles per photo.

    All photos are looked at before work begins. Of several, one that cannot be read does not keep the others from being
    painted. Progress is shown on stderr, and how many files of folders are passed over, as they are no photos.

    Args:
        input_image: image files, globs and folders with all below, one or several. Those below a folder keep their
            place: `photos/a/x.jpg` of `photos` becomes `a/x_0.png`.
        output_dir: folder for the pictures; made if it is missing. What lies in it is no photo of a folder around it.
        checkpoint: the model, anything that `magstyle.load_model` opens.
        engine: what computes it, as Stylizer's: "litert" on this machine's CPU, "keras", or "auto".
        which_styles: a style by number or name, several for a picture each, "all", or {style: weight} for one mixture.
        output_basename: start of the pictures' names, of one photo; the photo's own name by default.
        image_size: shorter side of the pictures; as it is by default.
        preserve_color: keep the photo's colours, take only the strokes.
        format: png, jpg, jpeg or webp.
        sheet: also show each photo and its pictures, small and with their names, in one picture.

    Returns:
        The paths of the pictures, photo by photo.

    Raises:
        InputError: before any work, for photos that do not fit into memory, styles that the model does not have,
            pictures that would take each other's place or a photo's, or an output_dir that cannot be written to. In the
            end, for photos that could not be read.
    """
    return list(
        stylize_one_by_one(
            input_image,
            output_dir,
            checkpoint=checkpoint,
            engine=engine,
            which_styles=which_styles,
            output_basename=output_basename,
            image_size=image_size,
            preserve_color=preserve_color,
            format=format,
            sheet=sheet,
        )
    )


def stylize_one_by_one(
    input_image: photos.Patterns,
    output_dir: str | os.PathLike,
    *,
    checkpoint: "StyleTransformer | Network | str | os.PathLike",
    engine: str,
    which_styles: Styles,
    output_basename: str | None,
    image_size: int | None,
    preserve_color: bool,
    format: str,
    sheet: bool,
) -> Iterator[pathlib.Path]:
    """Does as `stylize_photos`, and gives each path when the picture is there."""
    limits.check({"image_size": image_size})
    folder = files.expanded(output_dir)
    places = photos.places(input_image, outside=folder)
    if output_basename and len(places) > 1:
        raise InputError(
            f"output_basename names the pictures of one photo, not of {len(places)}; leave it out", "output_basename"
        )
    stylizer = Stylizer(checkpoint, engine)
    styles = _style_weights(which_styles, stylizer)
    _tell_what_is_passed_over(photos.passed_over(input_image, outside=folder))
    endings = [*styles, *(["sheet"] if sheet else [])]
    pictures = _plan(places, endings, folder, output_basename, format)
    failures = {}
    for photo, paths in pictures.items():
        try:
            size = images.read_size(photo)
        except InputError as error:
            failures[photo] = error
            continue
        size = images.scaled_size(size, image_size)
        images.check_writable(paths[0], *size)
        try:
            stylizer.check_size(*size, keeps=grids.memory_of_sheet(len(styles) + 1) if sheet else 0)
        except InputError as error:
            raise InputError(f"{photo}: {error}", *error.arguments) from error
    readable = [photo for photo in pictures if photo not in failures]
    if readable:
        files.make_folder(folder)
    with tqdm(total=len(readable) * len(styles), unit="picture", disable=not readable) as progress:
        for photo in readable:
            try:
                image = images.read_image(photo, image_size)
            except InputError as error:
                failures[photo] = error
                progress.total -= len(styles)
                continue
            tiles = [grids.tile(image, pathlib.Path(photo).name)] if sheet else []
            for path, (style, style_weights) in zip(pictures[photo], styles.items(), strict=False):
                # Shown of a picture that takes its time.
                bar = {"desc": path.name, "bar_format": "{l_bar}{bar}| {elapsed}<{remaining}", "position": 1}
                with tqdm(total=1.0, delay=3, leave=False, **bar) as of_picture:
                    picture = stylizer.stylize(image, style_weights, of_picture.update)
                if preserve_color:
                    picture = keep_color(image, picture)
                images.write_image(path, picture)
                if sheet:
                    tiles.append(grids.tile(picture, style))
                progress.update()
                yield path
            if sheet:
                images.write_image(pictures[photo][-1], grids.sheet(tiles))
                yield pictures[photo][-1]
    if failures:
        raise _failed([*failures.values()], len(pictures))


def _failed(errors: Sequence[InputError], photos: int) -> InputError:
    """What to raise for those of so many photos that could not be read."""
    if photos == 1:
        return errors[0]
    return InputError(f"{len(errors)} of {photos} photos could not be painted: {'; '.join(map(str, errors))}")


def _tell_what_is_passed_over(paths: Sequence[str]) -> None:
    if paths:
        kinds = collections.Counter(pathlib.Path(path).suffix.lower() or "no extension" for path in paths)
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        print(f"files that are no photos were passed over: {listed}", file=sys.stderr)


def _style_weights(which_styles: Styles, stylizer: Stylizer) -> dict[str, np.ndarray]:
    """The weights [num_styles] of every picture to paint, by the end of its name: `7`, or `7_600_12_400`."""
    names = stylizer.network.style_names
    if isinstance(which_styles, Mapping) and which_styles:
        weights = stylizer.style_weights(which_styles)
        in_order = sorted(which_styles, key=stylizer.style_index)
        return {"_".join(f"{style}_{round(which_styles[style] * 1000):03d}" for style in in_order): weights}
    if isinstance(which_styles, str) and which_styles == "all" and "all" not in names:
        which_styles = names
    elif isinstance(which_styles, numbers.Integral | str):
        which_styles = [which_styles]
    elif isinstance(which_styles, np.ndarray):
        which_styles = which_styles.tolist()
    if not (
        isinstance(which_styles, list | tuple)
        and which_styles
        and all(isinstance(style, numbers.Integral | str) for style in which_styles)
    ):
        raise InputError(
            f"which_styles={which_styles} must be a style, all, a list such as \"[0, 'scream']\", or a mixture such as "
            "\"{0: 0.6, 'scream': 0.4}\"",
            "which_styles",
        )
    return {str(style): stylizer.style_weights(style) for style in which_styles}


def _plan(
    places: Mapping[str, str], endings: Sequence[str], folder: pathlib.Path, basename: str | None, suffix: str
) -> dict[str, list[pathlib.Path]]:
    """The paths of the pictures of each photo, one per ending, by the path of the photo."""
    sources = {pathlib.Path(photo).resolve() for photo in places}
    pictures, taken = {}, {}
    for photo, place in places.items():
        below = folder / pathlib.Path(place).parent
        stem = basename or pathlib.Path(place).stem
        pictures[photo] = [below / f"{stem}_{in_file_name(ending)}.{suffix}" for ending in endings]
        for path in pictures[photo]:
            if path.resolve() in sources:
                raise InputError(
                    f"{path} would overwrite a photo of that name; choose another output_dir", "output_dir"
                )
            if path in taken:
                raise InputError(f"{taken[path]} and {photo} would both become {path}; stylise them one by one")
            taken[path] = photo
    return pictures
