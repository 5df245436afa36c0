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

from magstyle import files, options
from magstyle.data import formats, images, photos
from magstyle.errors import InputError
from magstyle.names import in_file_name
from magstyle.painting import grids
from magstyle.painting.jobs import PhotoJob
from magstyle.painting.regions import PHOTO, Part, Regions, blended
from magstyle.painting.stylizer import Styles, Stylizer, listed, no_styles

if TYPE_CHECKING:
    from tqdm import tqdm


# Seconds after which a picture gets a progress bar of its own.
_PATIENCE = 3


@options.takes(PhotoJob)
def stylize_photos(job: PhotoJob) -> list[pathlib.Path]:
    """Paints photos in the styles of a model, one picture per photo and style, or one mixture of styles per photo.

    All photos are looked at before work begins. Of several, one that cannot be read does not keep the others from being
    painted. Progress is shown on stderr, and so is the number of files in folders that are not photos.

    Returns:
        The paths of the pictures, photo by photo.

    Raises:
        InputError: before any work, for photos that do not fit into memory, styles that the model does not have,
            pictures that would take each other's place or a photo's, or an output_dir that cannot be written to. At
            the end, for photos that could not be read.
    """
    with images.ReadAhead(job.image_size) as reader:
        return list(paint(job, reader))


def paint(job: PhotoJob, reader: images.ReadAhead) -> Iterator[pathlib.Path]:
    """Does what `stylize_photos` does, and gives each path when the picture is there.

    Args:
        job: the photos and the styles.
        reader: for images of the job's image_size.
    """
    folder = files.expanded(job.output_dir)
    places = photos.places(job.input_image, outside=folder)
    reader.begin(next(iter(places)))
    if job.output_basename and pathlib.Path(job.output_basename).name != job.output_basename:
        raise InputError(
            f"output_basename={job.output_basename} must be the start of a name, without a folder, which is output_dir",
            *("output_basename", "output_dir"),
        )
    if job.output_basename and len(places) > 1:
        raise InputError(
            f"output_basename names the pictures of one photo, not of {len(places)}; leave it out", "output_basename"
        )
    work = _Work(job)
    _tell_what_is_passed_over(photos.passed_over(job.input_image, outside=folder))
    pictures = work.plan(places, folder)
    sizes, failures = _sizes(pictures, job.image_size)
    work.check(sizes, pictures)
    if sizes:
        files.make_folder(folder)
    with _bar_of_several(len(sizes) * len(work.styles)) as bar:
        for photo, image in _read(list(sizes), reader, failures):
            for path, is_new_picture in work.paint(photo, image, pictures[photo]):
                if bar is not None and is_new_picture:
                    bar.total = (len(pictures) - len(failures)) * len(work.styles)
                    bar.update()
                yield path
    if failures:
        raise _failed([*failures.values()], len(pictures))


class _Work:
    """A job with its model opened and its styles and masks resolved.

    Args:
        job: the photos and the styles.

    Raises:
        InputError: for a model, styles, masks or colours that cannot be used.
    """

    def __init__(self, job: PhotoJob):
        self._job = job
        self._stylizer = Stylizer(job.model, job.engine)
        self._regions = Regions(job.mask, self._stylizer)
        # By the end of the pictures' names.
        which_styles = job.which_styles
        if which_styles is None:
            which_styles = "all" if job.style_image else 0
        self.styles = _style_weights(which_styles, self._stylizer, self._regions)
        _ = job.colors  # An image that cannot be read is refused now.

    def plan(self, places: Mapping[str, str], folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
        """The paths of the pictures of each photo, by the path of the photo."""
        names = [*self.styles, *(["sheet"] if self._job.sheet else [])]
        endings = ["_".join([name, *self._variation()]) for name in names]
        return _plan(places, endings, folder, self._job.output_basename, self._job.format)

    def _variation(self) -> list[str]:
        """The options that differ from their defaults, as parts of the pictures' names."""
        size = [f"{self._job.image_size}px"] if self._job.image_size else []
        return [*self._regions.variation(), *self._job.variation(), *size]

    def check(self, sizes: Mapping[str, tuple[int, int]], pictures: Mapping[str, Sequence[pathlib.Path]]) -> None:
        """Raises an InputError for a photo whose pictures cannot be painted or written, given the photos' sizes."""
        ahead = max((images.memory_ahead(*size) for size in [*sizes.values()][1:]), default=0)
        for photo, size in sizes.items():
            for path in pictures[photo]:
                images.check_writable(path, *size)
            self._regions.check_shape(size, photo)
            keeps = ahead + self._regions.memory(*size)
            if self._job.sheet:
                keeps += grids.memory_of_sheet(len(self.styles) + 1)
            try:
                self._stylizer.check_size(*size, keeps, stroke_size=self._job.stroke_size)
            except InputError as error:
                raise InputError(f"{photo}: {error}", *error.arguments) from error
        paintings = sum(map(self._regions.num_paintings, self.styles.values()))
        self._stylizer.expect(
            [size for size in sizes.values() for _ in range(paintings)], stroke_size=self._job.stroke_size
        )

    def paint(
        self, photo: str, image: np.ndarray, paths: Sequence[pathlib.Path]
    ) -> Iterator[tuple[pathlib.Path, bool]]:
        """Writes the pictures of a photo; gives each path when it is there, and whether it is not the sheet."""
        areas = self._regions.read(image.shape[:2])
        companions = images.read_companions(photo, image.shape[:2])
        tiles = [grids.tile(image, pathlib.Path(photo).name)] if self._job.sheet else []
        for path, (name, rest) in zip(paths, self.styles.items(), strict=False):
            picture = self._job.recolor(image, self._stylized(image, self._regions.parts(areas, rest), path.name))
            if rest is None:
                picture = self._regions.leave_rest(areas, image, picture)
            images.write_picture(path, picture, companions)
            if self._job.sheet:
                tiles.append(grids.tile(picture, name))
            yield path, True
        if self._job.sheet:
            images.write_image(paths[-1], grids.sheet(tiles))
            yield paths[-1], False

    def _stylized(self, image: np.ndarray, parts: Sequence[Part], name: str) -> np.ndarray:
        """The picture of an image before it is recoloured; `name` is shown beside its progress."""
        with _watched(name) as progress:
            pictures = (
                self._job.stylize(self._stylizer, image, part.weights, lambda share: progress(share / len(parts)))
                for part in parts
            )
            return blended(parts, pictures)


def _sizes(paths: Iterable[str], image_size: int | None) -> tuple[dict[str, tuple[int, int]], dict[str, InputError]]:
    """The heights and widths of the pictures of photos, and the errors of the photos that cannot be read."""
    sizes, failures = {}, {}
    for path in paths:
        try:
            sizes[path] = images.read_size(path, image_size=image_size)
        except InputError as error:
            if image_size is not None and "image_size" in error.arguments:
                raise  # The size is the mistake, not the photo.
            failures[path] = error
    return sizes, failures


def _read(
    paths: Sequence[str], reader: images.ReadAhead, failures: dict[str, InputError]
) -> Iterator[tuple[str, np.ndarray]]:
    """Photos one after the other, the next being read while its predecessor is in use; adds to failures."""
    for path, following in itertools.zip_longest(paths, paths[1:]):
        image = None
        try:
            image = reader.read(path)
        except InputError as error:
            failures[path] = error
        if following:
            reader.begin(following)
        if image is not None:
            yield path, image


def _bar_of_several(pictures: int) -> "contextlib.AbstractContextManager[tqdm | None]":
    """The progress bar of several pictures; None for a single one, which is ready before tqdm would be imported."""
    if pictures < 2:
        return contextlib.nullcontext()
    from tqdm import tqdm

    return tqdm(total=pictures, unit="picture")


@contextlib.contextmanager
def _watched(name: str) -> Iterator[Callable[[float], None]]:
    """Gives a function that adds up the shares of the work on a picture, and shows a bar if the picture takes long."""
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
    """The error for the photos that could not be read, out of a number of photos."""
    if photos == 1:
        return errors[0]
    return InputError(f"{len(errors)} of {photos} photos could not be painted: {'; '.join(map(str, errors))}")


def _tell_what_is_passed_over(paths: Sequence[str]) -> None:
    if paths:
        kinds = collections.Counter(pathlib.Path(path).suffix.lower() or "no extension" for path in paths)
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        print(f"files that are not photos were passed over: {listed}", file=sys.stderr)
        if formats.HEIF_SUFFIXES & kinds.keys():  # Had they been readable, they would be photos.
            print("HEIC photos need pillow-heif; pip install pillow-heif brings it", file=sys.stderr)


def _style_weights(which_styles: Styles, stylizer: Stylizer, regions: Regions) -> dict[str, np.ndarray | None]:
    """The weights [num_styles] of every picture to paint, by the end of its name: `7`, or `7_600_12_400`.

    Args:
        which_styles: as of `stylize_photos`.
        stylizer: of the model.
        regions: the masks; with any, "photo" may be a style without weights.
    """
    if isinstance(which_styles, Mapping) and which_styles:
        mixture = stylizer.style_weights(which_styles)
        return {stylizer.label(which_styles): mixture}
    styles = listed(which_styles, stylizer.network.style_names)
    if not (styles and all(isinstance(style, numbers.Integral | str | os.PathLike) for style in styles)):
        raise no_styles(which_styles)
    found: dict[str, np.ndarray | None] = {}
    for style in styles:
        weights = regions.of_rest(style, stylizer)
        found[PHOTO if weights is None else stylizer.label(style)] = weights
    return found


def _plan(
    places: Mapping[str, str],
    endings: Sequence[str],
    folder: pathlib.Path,
    basename: str | None,
    suffix: str,
) -> dict[str, list[pathlib.Path]]:
    """The paths of the pictures of each photo, one per ending, by the path of the photo."""
    originals = {os.path.realpath(photo) for photo in places}
    pictures: dict[str, list[pathlib.Path]] = {}
    taken: dict[pathlib.Path, str] = {}
    for photo, place in places.items():
        below = folder / pathlib.Path(place).parent
        stem = basename or pathlib.Path(place).stem
        pictures[photo] = [below / f"{stem}_{in_file_name(ending)}.{suffix}" for ending in endings]
        for path in pictures[photo]:
            if os.path.realpath(path) in originals:
                raise InputError(
                    f"{path} would overwrite a photo of that name; choose another output_dir", "output_dir"
                )
            if taken.get(path) == photo:
                raise InputError(f"two pictures of {photo} would be {path}; rename a style or leave out sheet", "sheet")
            if path in taken:
                raise InputError(
                    f"{taken[path]} and {photo} would both become {path}; give each an output_dir of its own",
                    "output_dir",
                )
            taken[path] = photo
    return pictures
