"""A dataset of photos to paint, as one value: the program makes its flags from it."""

import dataclasses
import os
from typing import Literal

from magstyle import limits, options
from magstyle.data import photos
from magstyle.errors import InputError
from magstyle.painting.brush import ModelBrush
from magstyle.painting.stylizer import Style


@dataclasses.dataclass(frozen=True, eq=False)  # Arrays have no truth value.
class DatasetJob(ModelBrush):
    """A dataset of photos to paint, and where the pictures go. The photos come from just one source.

    Args:
        output_dir: folder for shards or pictures, made if it is missing. All workers must see it under this name.
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

    output_dir: options.OutputPath
    _: dataclasses.KW_ONLY
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
