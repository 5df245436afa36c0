"""Photos in files to pictures in files, in as many styles as are asked for."""

import collections
import contextlib
import itertools
import numbers
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from magstyle import files, limits
from magstyle.checkpoints.networks import Network
from magstyle.data import images, photos
from magstyle.errors import InputError
from magstyle.names import in_file_name
from magstyle.painting import grids, regions
from magstyle.painting.colors import match_color
from magstyle.painting.colors import preserve_color as keep_color
from magstyle.painting.stylizer import Stylizer

if TYPE_CHECKING:
    from tqdm import tqdm

    from magstyle.models.transformer import StyleTransformer

# Seconds after which a picture gets a progress bar of its own.
_PATIENCE = 3

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
    mask: regions.Masks = (),
    strength: float = 1.0,
    stroke_size: float = 1.0,
    preserve_color: bool = False,
    color_from: str | os.PathLike | np.ndarray | None = None,
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
        mask: images, with the style of what is white in each, such as `[("sky.png", "wave")]`. They are scaled to the
            photos, whose shape they have. Where masks overlap, they share; what is in none of them takes
            `which_styles`, or stays as it is where that is "photo".
        strength: from 0, which gives the photo back, to 1, the style, and on to 1.5.
        stroke_size: how large strokes are, from 0.25 to 8; 1 as the model paints them.
        preserve_color: keep the photo's colours, take only the strokes.
        color_from: an image, in whose colours the picture is to be.
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
            mask=mask,
            strength=strength,
            stroke_size=stroke_size,
            preserve_color=preserve_color,
            color_from=color_from,
            format=format,
            sheet=sheet,
            reader=images.ReadAhead(image_size),
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
    mask: regions.Masks,
    strength: float,
    stroke_size: float,
    preserve_color: bool,
    color_from: str | os.PathLike | np.ndarray | None,
    format: str,
    sheet: bool,
    reader: images.ReadAhead,
) -> Iterator[pathlib.Path]:
    """Does as `stylize_photos`, and gives each path when the picture is there; `reader` is for images of image_size."""
    limits.check({"image_size": image_size, "strength": strength, "stroke_size": stroke_size})
    if preserve_color and color_from is not None:
        raise InputError("preserve_color and color_from cannot both be given", "preserve_color", "color_from")
    folder = files.expanded(output_dir)
    places = photos.places(input_image, outside=folder)
    reader.begin(next(iter(places)))
    if output_basename and len(places) > 1:
        raise InputError(
            f"output_basename names the pictures of one photo, not of {len(places)}; leave it out", "output_basename"
        )
    stylizer = Stylizer(checkpoint, engine)
    styles = _style_weights(which_styles, stylizer, photo_may_stay=len(mask) > 0)
    mask_images, mask_weights = regions.opened(mask, stylizer)
    colors = None if color_from is None else regions.as_image(color_from)
    _tell_what_is_passed_over(photos.passed_over(input_image, outside=folder))
    endings = [*styles, *(["sheet"] if sheet else [])]
    others = [image for image in [*mask_images, color_from] if isinstance(image, str | os.PathLike)]
    pictures = _plan(places, endings, folder, output_basename, format, others)
    photo_sizes, failures = {}, {}
    for photo in pictures:
        try:
            size = images.read_size(photo)
        except InputError as error:
            failures[photo] = error
        else:
            photo_sizes[photo] = images.scaled_size(size, image_size)
    readable = list(photo_sizes)
    keeps_ahead = max((images.memory_ahead(*photo_sizes[photo]) for photo in readable[1:]), default=0)
    for photo, size in photo_sizes.items():
        images.check_writable(pictures[photo][0], *size)
        for image in mask_images:
            regions.check_shape(image, size, photo)
        keeps = keeps_ahead + (grids.memory_of_sheet(len(styles) + 1) if sheet else 0)
        styles_of_pixels = 0
        if mask_images:
            in_use = [weights for weights in (*mask_weights, *styles.values()) if weights is not None]
            styles_of_pixels = np.count_nonzero(np.any(in_use, axis=0))
            keeps += regions.needed(len(mask_images), stylizer.network.num_styles, *size)
        try:
            stylizer.check_size(*size, keeps, regions=styles_of_pixels, stroke_size=stroke_size)
        except InputError as error:
            raise InputError(f"{photo}: {error}", *error.arguments) from error
    stylizer.expect([size for size in photo_sizes.values() for _ in styles], stroke_size=stroke_size)
    if readable:
        files.make_folder(folder)
    with _bar_of_several(len(readable) * len(styles)) as bar:
        for photo, following in itertools.zip_longest(readable, readable[1:]):
            try:
                image = reader.read(photo)
            except InputError as error:
                failures[photo] = error
                if bar is not None:
                    bar.total -= len(styles)
                continue
            finally:
                if following:
                    reader.begin(following)
            areas = [regions.read(mask_image, image.shape[:2]) for mask_image in mask_images]
            tiles = [grids.tile(image, pathlib.Path(photo).name)] if sheet else []
            for path, (style, style_weights) in zip(pictures[photo], styles.items(), strict=False):
                weights = style_weights
                if areas:
                    weights = regions.style_weights(areas, mask_weights, style_weights)
                with _watched(path.name) as progress:
                    picture = stylizer.stylize(image, weights, progress, strength=strength, stroke_size=stroke_size)
                if preserve_color:
                    picture = keep_color(image, picture)
                if colors is not None:
                    picture = match_color(picture, colors)
                if style_weights is None:
                    picture = image + regions.covered(areas)[..., None] * (picture - image)
                images.write_image(path, picture)
                if sheet:
                    tiles.append(grids.tile(picture, style))
                if bar is not None:
                    bar.update()
                yield path
            if sheet:
                images.write_image(pictures[photo][-1], grids.sheet(tiles))
                yield pictures[photo][-1]
    if failures:
        raise _failed([*failures.values()], len(pictures))


def _bar_of_several(pictures: int) -> "contextlib.AbstractContextManager[tqdm | None]":
    """The progress bar of so many pictures; None for a single one, which is there before tqdm would be imported."""
    if pictures < 2:
        return contextlib.nullcontext()
    from tqdm import tqdm

    return tqdm(total=pictures, unit="picture")


@contextlib.contextmanager
def _watched(name: str) -> Iterator[Callable[[float], None]]:
    """Gives what takes the shares of the work on a picture, and shows them in a bar if it takes its time."""
    begin, done, bar = time.monotonic(), 0.0, None

    def report(share: float) -> None:
        nonlocal done, bar
        done += share
        if bar is not None:
            bar.update(share)
        elif time.monotonic() - begin > _PATIENCE:
            from tqdm import tqdm

            bar_format = "{l_bar}{bar}| {elapsed}<{remaining}"
            bar = tqdm(desc=name, total=1.0, initial=done, leave=False, bar_format=bar_format)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()


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


def _style_weights(which_styles: Styles, stylizer: Stylizer, photo_may_stay: bool) -> dict[str, np.ndarray | None]:
    """The weights [num_styles] of every picture to paint, by the end of its name: `7`, or `7_600_12_400`.

    Args:
        which_styles: as of `stylize_photos`.
        stylizer: of the model.
        photo_may_stay: whether "photo", if it is no style of the model, is one without weights.
    """
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
    stays = None if regions.PHOTO in names else regions.PHOTO
    if stays in which_styles and not photo_may_stay:
        raise InputError(
            f"which_styles={regions.PHOTO} says what is to be where there is no mask, and there are no masks",
            "which_styles",
        )
    return {str(style): None if style == stays else stylizer.style_weights(style) for style in which_styles}


def _plan(
    places: Mapping[str, str],
    endings: Sequence[str],
    folder: pathlib.Path,
    basename: str | None,
    suffix: str,
    others: Iterable[str | os.PathLike],
) -> dict[str, list[pathlib.Path]]:
    """The paths of the pictures of each photo, one per ending, by the path of the photo; none of `others`."""
    kinds = {files.expanded(other).resolve(): "an image that is needed" for other in others}
    kinds |= {pathlib.Path(photo).resolve(): "a photo of that name" for photo in places}
    pictures, taken = {}, {}
    for photo, place in places.items():
        below = folder / pathlib.Path(place).parent
        stem = basename or pathlib.Path(place).stem
        pictures[photo] = [below / f"{stem}_{in_file_name(ending)}.{suffix}" for ending in endings]
        for path in pictures[photo]:
            kind = kinds.get(path.resolve())
            if kind:
                raise InputError(f"{path} would overwrite {kind}; choose another output_dir", "output_dir")
            if path in taken:
                raise InputError(f"{taken[path]} and {photo} would both become {path}; stylise them one by one")
            taken[path] = photo
    return pictures
