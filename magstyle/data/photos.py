"""Photos, wherever they are: finds image files in folders, and opens every source of photos.

`find` needs no TensorFlow for local files. `open_source` opens image files, TFRecords or a dataset of TensorFlow
Datasets as a `Source`, which training reads in a shuffled order and `magstyle.datasets.dataset_files` shard by shard.
"""

import contextlib
import dataclasses
import glob
import logging
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict

from magstyle.data import formats, images
from magstyle.errors import InputError
from magstyle.files import check_regular, for_tensorflow
from magstyle.names import counted

if TYPE_CHECKING:
    import tensorflow as tf
    from typing_extensions import Unpack  # Python has it from 3.11 on.

    from magstyle.data.shards import Records, Shard

# A name, a glob (`**` for any depth) or a folder, or several of these.
Patterns = str | os.PathLike | Sequence[str | os.PathLike]

# ImageNet's shards have about as many.
_PHOTOS_PER_SHARD = 1000
# Photos in shards are shuffled within windows of this many; files are shuffled as a whole.
_SHUFFLE_WINDOW = 1024
_SHARDS_AT_A_TIME = 4


def find(patterns: Patterns, outside: str | os.PathLike | None = None) -> list[str]:
    """Finds the image files that names, globs and folders stand for, local or in a bucket.

    A folder stands for all files below it, at any depth, that have the extension of an image; hidden files and folders
    are left out. A glob stands for its matches, and for the images below folders among them. A name stands for its
    file, whether or not that looks like an image.

    Args:
        patterns: the names, globs and folders.
        outside: a folder where output goes. The search of a folder around it leaves it out, so that pictures made from
            photos are not taken for photos.

    Returns:
        The paths, in the order of the patterns and sorted for each of them, each path once.

    Raises:
        InputError: for a pattern without any image.
    """
    return list(places(patterns, outside))


def places(patterns: Patterns, outside: str | os.PathLike | None = None) -> dict[str, str]:
    """Finds what `find` does, with the path of each file below the folder that was searched.

    `photos` and `photos/*/*.jpg` both give {"photos/sea/1.jpg": "sea/1.jpg"}, and `photos/sea/1.jpg` gives "1.jpg".
    """
    found: dict[str, str] = {}
    for pattern in _as_list(patterns):
        at_pattern = _found(pattern, _images_below, outside)
        if not at_pattern:
            others = _found(pattern, _others_below, outside)
            heic = any(pathlib.Path(path).suffix.lower() in formats.HEIF_SUFFIXES for path in others)
            hint = "; the HEIC photos there need pillow-heif, and pip install pillow-heif brings it"
            raise InputError(f"no image at {pattern}{hint * heic}")
        for path, place in at_pattern.items():
            found.setdefault(path, place)
    return found


def passed_over(patterns: Patterns, outside: str | os.PathLike | None = None) -> list[str]:
    """The visible files in folders that `find` leaves out as they lack the extension of an image, such as clips."""
    return [path for pattern in _as_list(patterns) for path in _found(pattern, _others_below, outside)]


@dataclasses.dataclass
class Source:
    """A collection of encoded photos.

    Attributes:
        name: its name in messages.
        shards: all the photos, in pieces of work.
        root: the folder below which photos and shards are named; "" if they have no folder of their own.
        unit: the unit of the sizes of shards and photos, for a progress bar.
        files: the photos, if each is a file of its own; else empty.
        pairs: name and encoded bytes of every photo, if TensorFlow can read them without Python, several times as fast.
        skipped: for each photo that training could not use so far, the reason, by name.
    """

    name: str
    shards: Sequence["Shard"]
    root: str = ""
    unit: str = "picture"
    files: Sequence[str] = ()
    pairs: "tf.data.Dataset | None" = None
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def size(self) -> int:
        """The sum of the shards' sizes, in `unit`."""
        return sum(shard.size for shard in self.shards)

    def deal(self, num_shards: int) -> "Source":
        """Deals the files out to this number of shards, one by one, so that each has some of every folder.

        Raises:
            InputError: for more shards than files.
        """
        from magstyle.data import shards

        paths = sorted(set(map(_absolute, self.files)))
        if num_shards > len(paths):
            raise InputError(
                f"{counted(len(paths), 'photo')} cannot fill {num_shards} shards; choose a smaller num_shards",
                "num_shards",
            )
        classes = shards.classes(paths, self.root)
        dealt = [
            shards.Files(shards.shard_name("train", i, num_shards), self.root, tuple(paths[i::num_shards]), classes)
            for i in range(num_shards)
        ]
        return dataclasses.replace(self, shards=dealt)

    def examples(self, seed: "tf.Tensor") -> "tf.data.Dataset":
        """Makes one pass over the photos, in an order that depends on the seed alone.

        Photos that cannot be read are left out, and noted in `skipped`; a damaged shard gives those before the damage.

        Args:
            seed: int32 [2].

        Returns:
            Pairs of strings: the name of a photo, and its encoded bytes. For `files`, these are empty: the caller reads
            the files in parallel.
        """
        import tensorflow as tf

        if self.files:
            # File names are bytes, not always text.
            return _in_order_of(seed, [os.fsencode(file) for file in self.files]).map(lambda name: (name, ""))
        if self.pairs is not None:
            return _shuffled(self.pairs, seed)

        pair = (tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.string))
        dataset = _in_order_of(seed, [*range(len(self.shards))]).interleave(
            lambda index: tf.data.Dataset.from_generator(self._read, args=(index,), output_signature=pair),
            cycle_length=_SHARDS_AT_A_TIME,
        )
        return _shuffled(dataset, seed)

    def _read(self, index: int) -> Iterator[tuple[bytes, bytes]]:
        for photo in self.shards[index].photos():
            try:
                yield os.fsencode(photo.origin), photo.read()
            except InputError as error:
                self.skipped[photo.origin] = str(error)


class Sources(TypedDict, total=False):
    """The arguments that give a source of photos; `from_files` and the other functions like it open them."""

    content_files: Patterns | None
    tfrecord_files: Patterns | None
    imagenet_data_dir: str | os.PathLike | None
    tfds_name: str | None


def open_source(
    *,
    tfds_data_dir: str | os.PathLike | None = None,
    outside: str | os.PathLike | None = None,
    **sources: "Unpack[Sources]",
) -> Source:
    """Opens the one source of photos that was given.

    Args:
        tfds_data_dir: the folder for TensorFlow Datasets; their default folder if None.
        outside: a folder whose files are not photos, as for `find`.
        **sources: the arguments that the caller offers its user, None for those that were not given. The error names
            these alone.

    Raises:
        InputError: unless exactly one was given; and as `from_files`, `from_tfrecords`, `from_imagenet` or `from_tfds`.
    """
    given = [argument for argument, value in sources.items() if value]
    if len(given) != 1:
        *others, last = sources
        raise InputError(f"give the photos by one of {', '.join(others)} and {last}", *sources)
    if content_files := sources.get("content_files"):
        return from_files(content_files, outside)
    if tfrecord_files := sources.get("tfrecord_files"):
        return from_tfrecords(tfrecord_files, outside)
    if imagenet_data_dir := sources.get("imagenet_data_dir"):
        return from_imagenet(imagenet_data_dir)
    tfds_name = sources["tfds_name"]
    assert tfds_name  # It is the only one left.
    return from_tfds(tfds_name, tfds_data_dir)


def from_files(patterns: Patterns, outside: str | os.PathLike | None = None) -> Source:
    """Opens image files, as `find` finds them.

    Raises:
        InputError: for a pattern that no image file matches.
    """
    patterns = _as_list(patterns)
    # Sorted, so that the same seed gives the same training in whatever order the patterns are given.
    paths = sorted(find(patterns, outside))
    source = Source(", ".join(patterns), [], _common_root(patterns), files=paths)
    return source.deal(-(-len(paths) // _PHOTOS_PER_SHARD))


def from_tfrecords(patterns: Patterns, outside: str | os.PathLike | None = None) -> Source:
    """Opens TFRecord files of Examples with the feature `image/encoded`, by names and globs; each is a shard.

    Raises:
        InputError: for a pattern without files, or a file that is not such a TFRecord file.
    """
    patterns = _as_list(patterns)
    paths: set[str] = set()
    for pattern in patterns:
        found = _found(pattern, lambda match: [] if _is_folder(match) else [match], outside)
        if not found:
            raise InputError(f"no TFRecord file at {pattern}")
        paths.update(map(_absolute, found))
    records = _records(paths, _common_root(patterns))
    for shard in records:
        first = next(shard.photos(), None)
        if first is not None:
            first.read()
        elif shard.size:  # TensorFlow takes a few bytes of anything for the end of a file.
            raise InputError(f"cannot read {shard.file}: it is not a TFRecord file")
    return Source(", ".join(patterns), records, _common_root(patterns), "B")


def from_imagenet(data_dir: str | os.PathLike) -> Source:
    """Opens ImageNet's training shards `train-00000-of-01024`, ... of Examples with the feature `image/encoded`.

    Raises:
        InputError: for a folder without such shards.
    """
    import tensorflow as tf

    folder = _absolute(os.fspath(data_dir))
    names = tf.io.gfile.listdir(folder) if _is_folder(folder) else []
    paths = [os.path.join(folder, name) for name in names if re.fullmatch(r"train-\d+-of-\d+", name)]
    if not paths:
        raise InputError(f"there are no shards train-00000-of-01024, ... in {data_dir}")
    return Source(os.fspath(data_dir), _records(paths, folder), folder, "B")


def from_tfds(name: str, data_dir: str | os.PathLike | None = None) -> Source:
    """Opens a dataset of TensorFlow Datasets with a feature `image`: its split `train`, or else its first split.

    The dataset is prepared first if need be; `imagenet2012` needs its tar files in `data_dir`/downloads/manual.

    Raises:
        InputError: for a dataset that is unknown, has no images or cannot be prepared.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds  # Here, as importing it takes seconds.

    from magstyle.data import shards

    folder = _absolute(os.fspath(data_dir)) if data_dir else None
    logging.getLogger("absl").setLevel(logging.WARNING)  # TFDS logs every file that it opens.
    try:
        builder = tfds.builder(name, data_dir=folder)
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare()
    except tfds.core.DatasetNotFoundError as error:
        places = f"in {folder or tfds.core.constants.DATA_DIR} and among those that TFDS can prepare"
        raise InputError(f"there is no dataset {name} of TFDS, {places}") from error
    except (Exception, SystemExit) as error:  # Builders, downloads and file systems raise anything.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"cannot open the dataset {name} of TFDS: {reason}") from error
    features = builder.info.features or {}
    if not ("image" in features and isinstance(features["image"], tfds.features.Image)):
        raise InputError(f"the dataset {name} of TFDS has no feature `image` of images; its features are {features}")
    splits = list(builder.info.splits)
    split = "train" if "train" in splits else splits[0]
    lengths = builder.info.splits[split].shard_lengths
    dealt = [
        shards.Tfds(shards.shard_name(split, i, len(lengths)), length, name, folder, f"{split}[{i}shard]")
        for i, length in enumerate(lengths)
    ]
    dataset = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})

    def named(index, example):
        return example.get("file_name", tf.strings.format(f"{name}/{split}:{{}}", index)), example["image"]

    return Source(name, dealt, pairs=dataset.enumerate().map(named))


def is_below(path: str, folder: str) -> bool:
    """Whether a path is that of a folder or of anything in it, both as they are written."""
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def place_below(path: str, root: str) -> str:
    """The path of a file or folder below a folder around it."""
    return path[len(root) :].lstrip("/")


def _records(paths: Iterable[str], root: str) -> "list[Records]":
    from magstyle.data.shards import Records

    for path in paths:
        check_regular(path)
    return [Records(place_below(path, root), path) for path in sorted(paths)]


def _in_order_of(seed: "tf.Tensor", values: Sequence) -> "tf.data.Dataset":
    import tensorflow as tf

    values = tf.constant(values)
    count = tf.size(values, tf.int64)
    return tf.data.Dataset.range(count).map(lambda i: values[tf.random.experimental.index_shuffle(i, seed, count - 1)])


def _shuffled(dataset: "tf.data.Dataset", seed: "tf.Tensor") -> "tf.data.Dataset":
    import tensorflow as tf

    # Dataset.shuffle refuses a tensor as its seed if a global seed is set.
    def shuffle(*columns: tf.Tensor) -> tuple[tf.Tensor, ...]:
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(columns[0])), seed)
        return tuple(tf.gather(column, order) for column in columns)

    return dataset.batch(_SHUFFLE_WINDOW).prefetch(1).map(shuffle).unbatch()


def _as_list(patterns: Patterns) -> list[str]:
    patterns = [patterns] if isinstance(patterns, str | os.PathLike) else patterns
    if not (isinstance(patterns, Iterable) and all(isinstance(each, str | os.PathLike) for each in patterns)):
        raise InputError(f"images must be given by their files, globs and folders, not by {type(patterns).__name__}")
    return [os.path.expanduser(os.fspath(pattern)) for pattern in patterns]


def _found(pattern: str, files_at: Callable[[str], Iterable[str]], outside: str | os.PathLike | None) -> dict[str, str]:
    """The files at the matches of a pattern, sorted, and the path of each below the folder that is searched."""
    root = _root(pattern)
    made = "" if outside is None or _is_file(pattern) else _place_of_output(outside, root)
    found = {path: place_below(path, root) for match in _matches(pattern) for path in files_at(match)}
    return {path: found[path] for path in sorted(found) if not (made and is_below(found[path], made))}


def _matches(pattern: str) -> list[str]:
    """The files and folders that a name or a glob stands for."""
    if _exists(pattern):
        return [pattern]
    # TensorFlow's glob does not know `**`.
    return _gfile().glob(pattern) if _is_in_bucket(pattern) else glob.glob(pattern, recursive=True)


def _images_below(path: str) -> Iterable[str]:
    return _visible_below(path, images.is_image) if _is_folder(path) else [path]


def _others_below(path: str) -> Iterable[str]:
    return _visible_below(path, lambda name: not images.is_image(name)) if _is_folder(path) else []


def _visible_below(path: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    for folder, subfolders, names in (_gfile().walk if _is_in_bucket(path) else os.walk)(path):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (os.path.join(folder, name) for name in names if not name.startswith(".") and wanted(name))


def _root(pattern: str) -> str:
    """The folder that is searched for a pattern."""
    if _is_folder(pattern):
        return pattern.rstrip("/")
    return os.path.dirname(pattern if _exists(pattern) else re.split(r"[*?\[]", pattern)[0])


def _common_root(patterns: Sequence[str]) -> str:
    """The deepest folder that holds all matches of the patterns."""
    parts = [_absolute(_root(pattern)).split("/") for pattern in patterns]
    return "/".join(os.path.commonprefix(parts))  # noqa: RUF071  Compares parts; commonpath does not know buckets.


def _place_of_output(outside: str | os.PathLike, root: str) -> str:
    """The path of a folder below a root; "" if it is not below it."""
    outside, root = os.path.realpath(os.path.expanduser(outside)), os.path.realpath(root)
    return place_below(outside, root) if is_below(outside, root) and not _is_in_bucket(root) else ""


def _absolute(path: str) -> str:
    # Workers may run in another folder.
    return path if _is_in_bucket(path) else os.path.abspath(os.path.expanduser(path))


def _exists(path: str) -> bool:
    return (_gfile() if _is_in_bucket(path) else os.path).exists(path)


def _is_folder(path: str) -> bool:
    return (_gfile() if _is_in_bucket(path) else os.path).isdir(path)


def _is_file(path: str) -> bool:
    return _exists(path) and not _is_folder(path)


def _is_in_bucket(path: str) -> bool:
    """Whether a path belongs to TensorFlow's file systems; raises an InputError if none of them knows its scheme."""
    if "://" not in path:
        return False
    for_tensorflow(path)
    return True


def _gfile():
    import tensorflow as tf  # Here, as local files do without it.

    return tf.io.gfile
