"""Stylises whole datasets: shards of photos in, as many shards or folders of pictures out.

A killed run goes on where it was: what is there is complete, and is kept. A photo that cannot be used is a failure: it
is noted with its reason, and the rest goes on.

The work itself is a pipeline of Apache Beam, `magstyle.datasets.beam_pipeline`.
"""

import dataclasses
import hashlib
import itertools
import json
import logging
import os
import pathlib
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from magstyle import files, limits, options
from magstyle.data import photos
from magstyle.errors import InputError
from magstyle.names import to_bytes
from magstyle.painting.brush import Brush
from magstyle.painting.stylizer import Style, Stylizer

if TYPE_CHECKING:
    from magstyle.checkpoints.networks import Network
    from magstyle.data.shards import Photo
    from magstyle.models.transformer import StyleTransformer

_SETTINGS = ".settings.json"
# Where there are no shards to fill: few for a worker that is the last to finish, many for the list of a million.
_PHOTOS_AT_A_TIME = 16


class StylizedDataset(NamedTuple):
    """What `stylize_dataset` made.

    Attributes:
        paths: of the shards, or of the folder of pictures; and of the list of failures, if there are any.
        written: how many pictures were written.
        failed: how many photos could not be used, now or when a shard that is skipped was written.
        skipped: how many shards (of a folder: pictures) were there already.
    """

    paths: list[pathlib.Path]
    written: int
    failed: int
    skipped: int


@dataclasses.dataclass(frozen=True)
class DatasetJob(Brush):
    """A dataset of photos to paint, and where the pictures go. The photos come from just one source.

    Args:
        output_dir: folder for shards or pictures, made if it is missing. All workers must see it under this name.
        checkpoint: the model, anything that `magstyle.load_model` opens.
        content_files: the photos: image files, globs, and folders with everything below them; one or several.
        tfrecord_files: or: TFRecord files or globs, of Examples with the feature `image/encoded`.
        tfds_name: or: an image dataset of TensorFlow Datasets, such as imagenet2012.
        tfds_data_dir: where the datasets of TensorFlow Datasets are, if not at its default place.
        output_format: "tfrecord" for a TFRecord file per shard, or "png", "jpg" or "webp" for a file per photo.
        style: one style or mixture for all photos, by number or name or as {style: weight}; or "random", for one style
            per photo, drawn by seed and name.
        image_size: shorter side of the pictures, in pixels; by default, photos keep their size.
        seed: seed of the random styles.
        num_shards: TFRecord shards to make of content_files; one per 1000 photos by default.
        beam_options: options of Apache Beam, as on a command line, such as "--direct_num_workers=2
            --direct_running_mode=multi_processing"; Beam runs on this machine by default.
    """

    output_dir: str | os.PathLike
    _: dataclasses.KW_ONLY
    checkpoint: "StyleTransformer | Network | str | os.PathLike" = "painters"
    content_files: photos.Patterns | None = None
    tfrecord_files: photos.Patterns | None = None
    tfds_name: str | None = None
    tfds_data_dir: str | os.PathLike | None = None
    output_format: Literal["tfrecord", "png", "jpg", "webp"] = "tfrecord"
    style: Style = "random"
    image_size: limits.ImageSize | None = None
    seed: limits.Seed = 0
    num_shards: limits.Count | None = None
    beam_options: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_shards and not (self.content_files and self.output_format == "tfrecord"):
            raise InputError(
                "num_shards is for TFRecord shards of content_files; leave it out", "num_shards", "content_files"
            )

    def open_photos(self, folder: pathlib.Path) -> photos.Source:
        """The photos, in the shards that are asked for; an InputError if they are in the folder of the pictures."""
        source = photos.open_source(
            content_files=self.content_files,
            tfrecord_files=self.tfrecord_files,
            tfds_name=self.tfds_name,
            tfds_data_dir=self.tfds_data_dir,
            outside=folder,
        )
        if photos.is_below(source.root, str(folder)):
            raise InputError(f"output_dir={self.output_dir} is where the photos are; choose another", "output_dir")
        return _in_shards(source, self.output_format, self.num_shards) if source.files else source


@options.takes(DatasetJob)
def stylize_dataset(job: DatasetJob) -> StylizedDataset:
    """Stylises a dataset, one picture per photo, as far as that has not been done yet.

    Photos that cannot be used are listed in `failures.txt` in the folder, a line each: name, tab, reason. The style of
    each picture is the feature `style/name` of its record, or stands in `styles.csv` in the folder of pictures, after
    the name of the file.

    Returns:
        The paths and numbers of what was made.

    Raises:
        InputError: for photos, a model, a style or options that cannot be used, a folder that cannot be written to or
            was begun with other settings, or if Apache Beam is missing.
    """
    beam_pipeline = _import_beam_pipeline()
    output = files.expanded(job.output_dir)
    folder = output.absolute()  # Workers may run in another one.
    source = job.open_photos(folder)
    pipeline = beam_pipeline.open_pipeline(job.beam_options)
    painter = beam_pipeline.Painter(Stylizer(job.checkpoint), job)
    files.make_folder(folder)
    photos_of_shards = _digest(source) if job.output_format == "tfrecord" else False
    _check_settings(folder, {**painter.settings(), "content_files": photos_of_shards})
    files.remove_leftovers(folder)
    counts = beam_pipeline.run(pipeline, source, painter, folder, job.output_format)
    paths = [output / shard.name for shard in source.shards] if job.output_format == "tfrecord" else [output]
    if counts["failed"]:
        paths.append(output / beam_pipeline.FAILURES)
    return StylizedDataset(paths, **counts)


def _import_beam_pipeline() -> types.ModuleType:
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # Beam warns of every cloud that is not installed.
    try:
        from magstyle.datasets import beam_pipeline
    except ModuleNotFoundError as error:
        if error.name != "apache_beam":
            raise
        raise InputError(
            "Apache Beam is missing; pip install -e '.[beam]' in the clone of magstyle brings it"
        ) from error
    finally:
        logging.disable(disabled)
    return beam_pipeline


def _in_shards(source: photos.Source, output_format: str, num_shards: int | None) -> photos.Source:
    """Photos that are files, in the shards that are asked for, or in small ones for a folder of pictures."""
    if output_format == "tfrecord":
        return source.deal(num_shards) if num_shards else source
    source = source.deal(-(-len(source.files) // _PHOTOS_AT_A_TIME))
    taken: dict[str, Photo] = {}
    for photo in _photos(source):
        other = taken.setdefault(photo.stem, photo)
        if other != photo:
            raise InputError(f"{other.origin} and {photo.origin} would both become the same picture; rename one")
    return source


def _digest(source: photos.Source) -> str:
    """Another one if shards of these names hold other photos; "" where a shard is what it is whatever the rest."""
    if not source.files:
        return ""
    names = sorted(photo.name for photo in _photos(source))
    return hashlib.sha256(to_bytes("\n".join(names))).hexdigest()


def _photos(source: photos.Source) -> "Iterator[Photo]":
    return itertools.chain.from_iterable(shard.photos() for shard in source.shards)


def _check_settings(folder: pathlib.Path, settings: dict[str, object]) -> None:
    """Keeps pictures of different making out of one folder."""
    path = folder / _SETTINGS
    if path.exists():
        before = json.loads(path.read_text())
        # Options that have their default are not written down.
        other = [argument for argument in {**before, **settings} if before.get(argument) != settings.get(argument)]
        if other:
            sentence = f"{folder} was begun with other {' and '.join(other)}; choose another output_dir"
            raise InputError(sentence, *other, "output_dir")
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(settings))
