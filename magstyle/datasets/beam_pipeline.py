"""The Apache Beam pipeline of `stylize_dataset`: from shards of photos to shards or files of pictures."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import logging
import pathlib
import re
import shlex
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
    TypeOptions,
    WorkerOptions,
)
from apache_beam.utils import shared
from tqdm import tqdm

from magstyle import files
from magstyle.data import images, photos, shards
from magstyle.datasets.jobs import DatasetJob
from magstyle.errors import InputError, is_out_of_memory
from magstyle.names import to_bytes
from magstyle.painting.stylizer import Stylizer

FAILURES = "failures.txt"
STYLES = "styles.csv"
# The errors that travel through Beam, as JSON between marks in the text of an exception.
_CARRIED: tuple[type[BaseException], ...] = (InputError, KeyboardInterrupt, SystemExit)
_MARKS = "<magstyle>", "</magstyle>"
# Called with the size of each photo that is done; set in a process that shows a progress bar.
_progress: Callable[[int], object] | None = None


class Painter:
    """Paints photos, each in one style; can be sent to other machines, with its model.

    Args:
        stylizer: with the model.
        job: how to paint; its photos and folder are ignored.
    """

    def __init__(self, stylizer: Stylizer, job: DatasetJob):
        self._stylizer = stylizer
        self._job = job
        drawn = job.style == "random"
        style_weights = stylizer.style_weights(0 if drawn else job.style)  # A model without styles is refused.
        self._style_weights = None if drawn else style_weights
        self._network = stylizer.network
        self._handle = shared.Shared()
        # In this process, `setup` gets this stylizer.
        self._handle.acquire(lambda: stylizer)
        _ = job.colors  # Read here, as workers may not see the file.

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_stylizer"}

    def setup(self) -> None:
        """Loads the model, once per process."""
        self._stylizer = self._handle.acquire(lambda: Stylizer(self._network))

    def paint(self, photo: shards.Photo) -> np.ndarray:
        """The picture [H, W, 3] of a photo.

        Raises:
            InputError: for a photo that cannot be read or does not fit into memory.
        """
        encoded = photo.read()
        size = images.read_size(io.BytesIO(encoded), photo.name, self._job.image_size)
        self._stylizer.check_size(*size, stroke_size=self._job.stroke_size)
        image = images.read_image(io.BytesIO(encoded), self._job.image_size, photo.name)
        return self._job.paint(self._stylizer, image, self._weights(photo.name))

    def style(self, name: str) -> str:
        """The style of the photo of this name: the name of a style, or a mixture as `--style` takes it."""
        weights, names = self._weights(name), self._network.style_names
        # The shortest decimal number that reads as the same float32.
        mixture = {names[i]: float(str(weights[i])) for i in np.flatnonzero(weights)}
        return next(iter(mixture)) if list(mixture.values()) == [1] else str(mixture)

    def _weights(self, name: str) -> np.ndarray:
        if self._style_weights is not None:
            return self._style_weights
        digest = hashlib.sha256(to_bytes(f"{self._job.seed}:{name}")).digest()
        return self._stylizer.style_weights(int.from_bytes(digest[:8], "big") % self._network.num_styles)

    def settings(self) -> dict[str, object]:
        """The settings that a picture depends on besides its photo, by the argument that gives them."""
        digest = hashlib.sha256()
        for parameters in self._network.parameters.values():
            for values in parameters.values():
                digest.update(np.ascontiguousarray(values).data)
        return {
            "checkpoint": digest.hexdigest(),
            "style": "random" if self._style_weights is None else self._style_weights.tolist(),
            "seed": self._job.seed,
            "image_size": self._job.image_size,
            **self._job.settings(),
        }


def open_pipeline(beam_options: str = "") -> beam.Pipeline:
    """An empty pipeline with Beam's options, as on a command line; it runs on this machine by default.

    Raises:
        InputError: for options that Beam does not have.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()) as complaint:
            options = PipelineOptions(shlex.split(beam_options))
            if _is_direct(options):
                _refuse_unknown(options)
                options.view_as(StandardOptions).runner = "DirectRunner"  # If none is named, Beam logs its choice.
                # Beam's DirectRunner downloads another runner, Prism, and uses Python only where Prism cannot do the
                # work. This option, which is about streams, makes it do everything in Python.
                options.view_as(TypeOptions).allow_unsafe_triggers = True
                options.view_as(WorkerOptions).default_sdk_harness_log_level = "CRITICAL"
            return beam.Pipeline(options=options)
    except SystemExit as error:
        reason = complaint.getvalue().partition("error: ")[2].strip()
        raise InputError(f"beam_options={beam_options}: {reason}", "beam_options") from error
    except (ValueError, ImportError, AttributeError) as error:
        raise InputError(f"beam_options={beam_options}: {error}", "beam_options") from error


def run(
    pipeline: beam.Pipeline, source: photos.Source, painter: Painter, folder: pathlib.Path, output_format: str
) -> dict[str, int]:
    """Stylises the photos that have not been stylised yet.

    Failures are written to `failures.txt` in the folder, a line each: name, tab, reason. The style of every picture is
    the feature `style/name` of its record, or stands in `styles.csv` in the folder of pictures.

    Args:
        pipeline: from `open_pipeline`.
        source: the photos.
        painter: paints the pictures.
        folder: where they go; all workers must see it under this name.
        output_format: tfrecord, for a TFRecord file per shard, or png, jpg or webp, for a file per photo.

    Returns:
        How many pictures were `written`; how many shards (of a folder: pictures) were `skipped` because they existed;
        how many photos `failed`, now or when a skipped shard was written.

    Raises:
        InputError: for a folder that cannot be written to or is not shared, or if a runner for many machines fails.
    """
    stylize = (_ToRecords if output_format == "tfrecord" else _ToPictures)(painter, folder, output_format)
    # The last step, which may run on another machine, tells the counts by a file, as Dask has no metrics. The name is
    # new, because NFS remembers for a while that a file was missing.
    counts = folder / f".counts-{uuid.uuid4().hex}.json"
    # One chain of steps with one end: Dask would do only one of several ends.
    _ = (
        pipeline
        | "Shards" >> beam.Create(source.shards)
        | beam.Reshuffle()
        | "Stylize" >> beam.ParDo(stylize)
        | "All" >> beam.combiners.ToList()
        | "Finish" >> beam.ParDo(_Finish(folder, output_format, counts))
    )
    runner = None if _is_direct(pipeline.options) else pipeline.options.view_as(StandardOptions).runner
    with _silent_beam(), _progress_bar(source, pipeline.options), _unwrapped_errors(runner), _noted_interruptions():
        pipeline.run().wait_until_finish()
    if not counts.exists():
        raise InputError(f"the workers did not write to {folder}; all machines must share it", "output_dir")
    found = json.loads(counts.read_text())
    counts.unlink()
    return found


@dataclasses.dataclass
class _Made:
    """The result of a shard.

    Attributes:
        written: how many pictures were written.
        skipped: how many files of pictures were there already.
        failures: the name and the reason of every failure.
        styles: the file and the style of every picture that is a file.
    """

    written: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    styles: list[tuple[str, str]] = dataclasses.field(default_factory=list)


class _Stylize(beam.DoFn):
    """Turns a shard into pictures, and yields their counts and lists, a `_Made`."""

    def __init__(self, painter: Painter, folder: pathlib.Path, output_format: str):
        self.painter = painter
        self.folder = folder
        self.suffix = ".jpg" if output_format == "tfrecord" else f".{output_format}"

    def setup(self) -> None:
        self.painter.setup()

    # No annotations: Beam would check them against its own types.
    def process(self, shard):
        with _carried_errors():
            made = self.make(shard)
        yield made

    def make(self, shard: shards.Shard) -> _Made:
        """Makes the missing pictures of a shard."""
        raise NotImplementedError

    def paint(self, photo: shards.Photo, failures: list[tuple[str, str]]) -> tuple[bytes, tuple[int, ...]] | None:
        """The encoded picture of a photo and its shape [H, W, 3]; None after a failure."""
        try:
            picture = self.painter.paint(photo)
            images.check_writable(photo.stem + self.suffix, *picture.shape[:2])
            return images.encode(picture, self.suffix), picture.shape
        except Exception as error:
            if is_out_of_memory(error):
                reason = f"cannot stylise {photo.name}: there is no memory for it"
            elif isinstance(error, InputError | OSError):  # Pillow raises OSErrors if it cannot encode.
                reason = " ".join(str(error).split())
            else:
                raise
            failures.append((photo.name, reason))
            return None


class _ToRecords(_Stylize):
    """Turns a shard into a TFRecord file of that name."""

    def make(self, shard: shards.Shard) -> _Made:
        path = self.folder / shard.name
        # Written before the shard, and read when the shard is skipped, so that failures outlive the run that met them.
        noted = path.with_name(f".{path.name}.failures")
        if path.exists():
            _done(shard.size)
            return _Made(skipped=1, failures=_read_failures(noted) if noted.exists() else [])
        with files.replacing(path) as temporary:
            made = self._write(shard, temporary)
            if made.failures:
                with files.replacing(noted) as note:
                    note.write_text(json.dumps(made.failures))
            else:
                noted.unlink(missing_ok=True)
        return made

    def _write(self, shard: shards.Shard, temporary: pathlib.Path) -> _Made:
        made = _Made()
        try:
            with tf.io.TFRecordWriter(files.for_tensorflow(temporary)) as writer:
                for photo in shard.photos():
                    picture = self.paint(photo, made.failures)
                    if picture is not None:
                        example = _to_example(photo, *picture, self.painter.style(photo.name))
                        # The features are a map, whose order is arbitrary.
                        writer.write(example.SerializeToString(deterministic=True))
                        made.written += 1
                    _done(photo.size)
        except tf.errors.OpError as error:
            raise InputError(f"cannot write {self.folder / shard.name}: {error.message}") from error
        return made


def _read_failures(path: pathlib.Path) -> list[tuple[str, str]]:
    """The names and reasons that an earlier run noted."""
    with files.reading(path, "list of failures"):
        failures = [(name, reason) for name, reason in json.loads(path.read_text(encoding="utf-8"))]
        if not all(isinstance(text, str) for failure in failures for text in failure):
            raise ValueError("A name or a reason is not text.")
        return failures


class _ToPictures(_Stylize):
    """Turns every photo into a file."""

    def make(self, shard: shards.Shard) -> _Made:
        made = _Made()
        for photo in shard.photos():
            place = f"{photo.stem}{self.suffix}"
            path = self.folder / place
            if path.exists():
                made.skipped += 1
            else:
                picture = self.paint(photo, made.failures)
                if picture is not None:
                    with files.replacing(path) as temporary:
                        temporary.write_bytes(picture[0])
                    made.written += 1
            if path.exists():
                made.styles.append((place, self.painter.style(photo.name)))
            _done(photo.size)
        return made


class _Finish(beam.DoFn):
    """Writes the lists of failures and styles, and the counts, once all shards are done."""

    def __init__(self, folder: pathlib.Path, output_format: str, counts: pathlib.Path):
        self.folder = folder
        self.counts = counts
        self.has_records = output_format == "tfrecord"

    def process(self, all_made):
        failures = [f"{name}\t{reason}\n" for made in all_made for name, reason in made.failures]
        styles = [_csv_line(row) for made in all_made for row in made.styles]
        counts = {
            "written": sum(made.written for made in all_made),
            "failed": len(failures),
            "skipped": sum(made.skipped for made in all_made),
        }
        with _carried_errors():
            _write_lines(self.folder / FAILURES, "", failures)
            if not self.has_records:
                _write_lines(self.folder / STYLES, "picture,style\n", styles)
            with files.replacing(self.counts) as temporary:
                temporary.write_text(json.dumps(counts))


def _write_lines(path: pathlib.Path, header: str, lines: Sequence[str]) -> None:
    """Writes all lines into one file, sorted, below a header; no file if there are none."""
    if not lines:
        path.unlink(missing_ok=True)
        return
    with files.replacing(path) as temporary:
        # Bytes, because a file name need not be text.
        temporary.write_bytes(b"".join([to_bytes(header), *sorted(map(to_bytes, lines))]))


def _csv_line(row: tuple[str, str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue()


def _to_example(photo: shards.Photo, jpeg: bytes, shape: tuple[int, ...], style: str) -> tf.train.Example:
    """The picture, its style, and everything that came with the photo, under the names of ImageNet's shards."""
    height, width, channels = shape
    image = {
        **{"encoded": jpeg, "format": "JPEG", "colorspace": "RGB"},
        **{"height": height, "width": width, "channels": channels},
    }
    features = {f"image/{key}": shards.feature(value) for key, value in image.items()}
    features = {**photo.features, **features, "style/name": shards.feature(style)}
    return tf.train.Example(features=tf.train.Features(feature=features))


def _done(size: int) -> None:
    if _progress is not None:
        _progress(size)


@contextlib.contextmanager
def _progress_bar(source: photos.Source, options: PipelineOptions) -> Iterator[None]:
    global _progress
    shown = _is_in_this_process(options)
    with tqdm(total=source.size, unit=source.unit, unit_scale=source.unit == "B", disable=not shown) as bar:
        _progress = bar.update
        try:
            yield
        finally:
            _progress = None


@contextlib.contextmanager
def _silent_beam() -> Iterator[None]:
    """Silences Beam's log, which says what an exception says, too."""
    log = logging.getLogger("apache_beam")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@contextlib.contextmanager
def _carried_errors() -> Iterator[None]:
    """Lets InputErrors, and the end of the program, through Beam, which passes on only the text of an exception."""
    try:
        yield
    except _CARRIED as error:
        arguments = error.arguments if isinstance(error, InputError) else ()
        carried = json.dumps([type(error).__name__, *error.args, *arguments])
        # No cause is chained: Beam hangs if the traceback holds a file name that is not Unicode.
        raise RuntimeError(carried.join(_MARKS)) from None


@contextlib.contextmanager
def _noted_interruptions() -> Iterator[None]:
    """Lets Ctrl-C and the end of the program through Beam's own code, too, which makes other exceptions of them."""
    raised: list[BaseException] = []

    def noting(handler: Callable[..., object]) -> Callable[..., None]:
        def handle(number: int, frame: object) -> None:
            try:
                handler(number, frame)
            except BaseException as interruption:
                raised.append(interruption)
                raise

        return handle

    in_main_thread = threading.current_thread() is threading.main_thread()  # Only there may they be handled.
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    found = {number: signal.getsignal(number) for number in numbers} if in_main_thread else {}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    for number, handler in handlers.items():
        signal.signal(number, noting(handler))
    try:
        yield
    except Exception as error:
        if raised:
            raise raised[0] from error
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _unwrapped_errors(runner: str | None) -> Iterator[None]:
    """Raises the errors that `_carried_errors` let through, and others as an InputError of one sentence.

    Args:
        runner: the name of Beam's runner; None for the DirectRunner, whose other errors are bugs.
    """
    try:
        yield
    except Exception as error:
        carried = re.search("(.*?)".join(_MARKS), str(error))
        if carried:
            name, *arguments = json.loads(carried[1])
            kind = next(kind for kind in _CARRIED if kind.__name__ == name)
            raise kind(*arguments) from error
        if runner is None:
            raise
        sentence = f"beam_options=--runner={runner}: the runner failed: {_in_one_sentence(error)}"
        raise InputError(sentence, "beam_options") from error


def _in_one_sentence(error: Exception) -> str:
    """The last line of a traceback from another process; of other errors, the first sentence."""
    name = type(error).__name__
    lines = str(error).strip().splitlines() or ["it does not answer" if "Timeout" in name else name]
    return lines[-1] if any("Traceback" in line for line in lines) else lines[0].partition(". ")[0].rstrip(".")


def _refuse_unknown(options: PipelineOptions) -> None:
    with _silent_beam():  # It would say which options it leaves out.
        unknown = options.get_all_options(retain_unknown_options=True).keys() - options.get_all_options().keys()
    if unknown:
        raise ValueError(f"Beam has no option {', '.join(sorted(unknown))}")


def _is_direct(options: PipelineOptions) -> bool:
    return (options.view_as(StandardOptions).runner or "direct").lower() in ("direct", "directrunner")


def _is_in_this_process(options: PipelineOptions) -> bool:
    return _is_direct(options) and options.view_as(DirectOptions).direct_running_mode != "multi_processing"
