"""Stylises whole datasets: shards of photos in, as many shards or folders of pictures out.

The same call resumes a killed run: it keeps finished shards and pictures, which are always complete. A photo that
cannot be used is a failure: it is noted with its reason, and the run goes on with the others.

The work itself is a pipeline of Apache Beam, `magstyle.datasets.beam_pipeline`.
"""

import hashlib
import itertools
import json
import logging
import os
import pathlib
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from magstyle import files, options, project
from magstyle.data import photos
from magstyle.datasets.jobs import DatasetJob
from magstyle.errors import InputError
from magstyle.names import to_bytes
from magstyle.painting.stylizer import Stylizer

if TYPE_CHECKING:
    from magstyle.data.shards import Photo

_SETTINGS = ".settings.json"
# Photos per piece of work if there are no shards to fill: few, so that all workers finish at about the same time, but
# enough that a million photos are not a million pieces.
_PHOTOS_AT_A_TIME = 16


class StylizedDataset(NamedTuple):
    """The result of `stylize_dataset`.

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


@options.takes(DatasetJob)
def stylize_dataset(job: DatasetJob) -> StylizedDataset:
    """Stylises a dataset, one picture per photo; pictures that are there already are kept.

    Photos that cannot be used are listed in `failures.txt` in the folder, a line each: name, tab, reason. The style of
    each picture is the feature `style/name` of its record, or stands in `styles.csv` in the folder of pictures, after
    the name of the file.

    Returns:
        The paths of the files, and the counts.

    Raises:
        InputError: for photos, a model, a style or options that cannot be used, a folder that cannot be written to or
            was begun with other settings, or if Apache Beam is missing.
    """
    beam_pipeline = _import_beam_pipeline()
    output = files.expanded(job.output_dir)
    folder = output.absolute()  # Workers may run in another one.
    source = _open_photos(job, folder)
    pipeline = beam_pipeline.open_pipeline(job.beam_options)
    painter = beam_pipeline.Painter(Stylizer(job.model), job)
    files.make_folder(folder)
    photos_of_shards = _digest(source) if job.output_format == "tfrecord" else False
    _check_settings(folder, {**painter.settings(), "content_files": photos_of_shards})
    _remove_leftovers(folder)
    counts = beam_pipeline.run(pipeline, source, painter, folder, job.output_format)
    _remove_leftovers(folder)  # Those of workers killed during the run.
    paths = [output / shard.name for shard in source.shards] if job.output_format == "tfrecord" else [output]
    if counts["failed"]:
        paths.append(output / beam_pipeline.FAILURES)
    return StylizedDataset(paths, **counts)


def _import_beam_pipeline() -> types.ModuleType:
    with project.needing_tensorflow("stylize_dataset"):
        import tensorflow  # noqa: F401
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # Beam warns of every cloud that is not installed.
    try:
        with project.needing("apache_beam"):
            from magstyle.datasets import beam_pipeline
    finally:
        logging.disable(disabled)
    return beam_pipeline


def _open_photos(job: DatasetJob, folder: pathlib.Path) -> photos.Source:
    """Opens the photos, in the shards asked for; raises an InputError if they are in the folder of the pictures."""
    source = photos.open_source(
        content_files=job.content_files,
        tfrecord_files=job.tfrecord_files,
        tfds_name=job.tfds_name,
        tfds_data_dir=job.tfds_data_dir,
        outside=folder,
    )
    if photos.is_below(source.root, str(folder)):
        raise InputError(f"output_dir={job.output_dir} is where the photos are; choose another", "output_dir")
    return _in_shards(source, job.output_format, job.num_shards) if source.files else source


def _in_shards(source: photos.Source, output_format: str, num_shards: int | None) -> photos.Source:
    """Deals image files out to the shards asked for, or to small ones for a folder of pictures."""
    if output_format == "tfrecord":
        return source.deal(num_shards) if num_shards else source
    source = source.deal(-(-len(source.files) // _PHOTOS_AT_A_TIME))
    taken: dict[str, Photo] = {}
    for photo in _photos_in(source):
        other = taken.setdefault(photo.stem, photo)
        if other != photo:
            raise InputError(f"{other.origin} and {photo.origin} would both become the same picture; rename one")
    return source


def _photos_in(source: photos.Source) -> "Iterator[Photo]":
    """All photos of a source, shard by shard."""
    return itertools.chain.from_iterable(shard.photos() for shard in source.shards)


def _digest(source: photos.Source) -> str:
    """A hash of the photos' names, because shards of the same name may hold other photos; "" if shards are fixed."""
    if not source.files:
        return ""
    names = sorted(photo.name for photo in _photos_in(source))
    return hashlib.sha256(to_bytes("\n".join(names))).hexdigest()


def _check_settings(folder: pathlib.Path, settings: dict[str, object]) -> None:
    """Raises an InputError if the folder was begun with other settings; otherwise notes them there."""
    path = folder / _SETTINGS
    if os.path.exists(path):
        with files.reading(path, "list of settings"):
            before = json.loads(path.read_text(encoding="utf-8"))
            # Its words become those of an error.
            assert isinstance(before, dict) and all(map(str.isidentifier, before))
        # Options that have their defaults are left out.
        other = [argument for argument in {**before, **settings} if before.get(argument) != settings.get(argument)]
        if other:
            sentence = f"{folder} was begun with other {' and '.join(other)}; choose another output_dir"
            raise InputError(sentence, *other, "output_dir")
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(settings))


def _remove_leftovers(folder: pathlib.Path) -> None:
    """Removes the half-written files of killed programs of this machine, at any depth."""
    for below, *_ in os.walk(folder):
        files.remove_leftovers(below)
