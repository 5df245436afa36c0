"""A dataset of photos to paint, as one value."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from magstyle import limits
from magstyle.checkpoints.networks import Checkpoint
from magstyle.data import photos
from magstyle.errors import InputError
from magstyle.painting.brush import Brush
from magstyle.painting.stylizer import Style

if TYPE_CHECKING:
    from magstyle.data.shards import Photo

# Photos per piece of work, where there are no shards to fill: few for the worker that finishes last, many for the list
# of a million.
_PHOTOS_AT_A_TIME = 16


@dataclasses.dataclass(frozen=True, eq=False)  # Arrays have no truth value.
class DatasetJob(Brush):
    """A dataset of photos to paint, and where the pictures go. The photos come from just one source.

    Args:
        output_dir: folder for shards or pictures, made if it is missing. All workers must see it under this name.
        checkpoint: the model, anything that `magstyle.load_model` opens: a bundled one, a .keras file, a training
            folder, a Magenta checkpoint or .pb.
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
    checkpoint: Checkpoint = "painters"
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


def _in_shards(source: photos.Source, output_format: str, num_shards: int | None) -> photos.Source:
    """Photos that are files, in the shards that are asked for, or in small ones for a folder of pictures."""
    if output_format == "tfrecord":
        return source.deal(num_shards) if num_shards else source
    source = source.deal(-(-len(source.files) // _PHOTOS_AT_A_TIME))
    taken: dict[str, Photo] = {}
    for photo in photos_in(source):
        other = taken.setdefault(photo.stem, photo)
        if other != photo:
            raise InputError(f"{other.origin} and {photo.origin} would both become the same picture; rename one")
    return source


def photos_in(source: photos.Source) -> "Iterator[Photo]":
    """All photos of a source, shard by shard."""
    return itertools.chain.from_iterable(shard.photos() for shard in source.shards)
