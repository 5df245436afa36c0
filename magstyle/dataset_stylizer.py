"""Stylises whole datasets, as an Apache Beam pipeline: shards of photos in, as many shards or folders of pictures out.

A killed run goes on where it was: what is there is complete, and is kept. A photo that cannot be used is a failure: it
is noted with its reason, and the rest goes on.
"""

import contextlib
import hashlib
import io
import json
import logging
import pathlib
import pickle
import re
import shlex
import sys
from collections.abc import Callable, Iterator

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions, WorkerOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineRunner, create_runner
from apache_beam.utils import shared
from tqdm import tqdm

from magstyle import files
from magstyle.data import images, shards
from magstyle.errors import InputError
from magstyle.stylizer import Stylizer

FAILURES = "failures.txt"
_SETTINGS = ".settings.json"
# Takes the size of what has been done; set in a process that shows a progress bar.
_progress: Callable[[int], object] | None = None


class Painter:
    """Paints photos, each in one style; can be sent to other machines, with its model.

    Args:
        stylizer: with the model.
        style_weights: [num_styles] for all photos, or None for one style each, drawn by the name of the photo.
        seed: of the draw.
        image_size: shorter side of the pictures; that of the photo for None.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        style_weights: np.ndarray | None = None,
        seed: int = 0,
        image_size: int | None = None,
    ):
        self._stylizer = _warmed(stylizer)
        self._style_weights = style_weights
        self._seed = seed
        self._image_size = image_size
        self._model = pickle.dumps(stylizer.model)
        self._handle = shared.Shared()
        # In this process, what `setup` acquires is the one that is there.
        self._handle.acquire(lambda: stylizer)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_stylizer": None}

    def setup(self) -> None:
        """Loads the model, once per process."""
        self._stylizer = self._handle.acquire(lambda: _warmed(Stylizer(pickle.loads(self._model))))

    def paint(self, photo: shards.Photo) -> np.ndarray:
        """The picture [H, W, 3] of a photo.

        Raises:
            InputError: for a photo that cannot be read or does not fit into memory.
        """
        image = images.read_image(io.BytesIO(photo.read()), self._image_size, photo.name)
        return self._stylizer.stylize(image, self._weights(photo.name))

    def _weights(self, name: str) -> np.ndarray:
        if self._style_weights is not None:
            return self._style_weights
        digest = hashlib.sha256(f"{self._seed}:{name}".encode()).digest()
        return self._stylizer.style_weights(int.from_bytes(digest[:8], "big") % self._stylizer.model.num_styles)

    def settings(self) -> dict[str, object]:
        """What a picture depends on besides its photo, by the flag that says it."""
        digest = hashlib.sha256()
        for weights in self._stylizer.model.get_weights():
            digest.update(np.ascontiguousarray(weights))
        return {
            "checkpoint": digest.hexdigest(),
            "style": "random" if self._style_weights is None else self._style_weights.tolist(),
            "seed": self._seed,
            "image_size": self._image_size,
        }


def run(
    dataset: shards.Dataset, painter: Painter, folder: pathlib.Path, output_format: str, beam_options: str = ""
) -> dict[str, int]:
    """Stylises a dataset, as far as that has not been done yet.

    Failures are written to `failures.txt` in the folder, a line each: name, tab, reason.

    Args:
        dataset: the photos.
        painter: of the pictures.
        folder: where they go; all workers must see it under this name.
        output_format: tfrecord, for a TFRecord file per shard, or png, jpg or webp, for a file per photo.
        beam_options: of Beam, as on a command line; on this machine by default.

    Returns:
        How many pictures were `written`; how many shards (of a folder: pictures) were `skipped` because they were
        there; how many photos have `failed`, now or when the shard that was skipped was written.

    Raises:
        InputError: for options that Beam does not have, or a folder that cannot be written to or was begun with another
            painter or other photos.
    """
    runner, options = _open_runner(beam_options)
    folder = files.make_folder(folder).absolute()
    _check_settings(folder, {**painter.settings(), "content_files": output_format == "tfrecord" and dataset.digest})
    files.remove_leftovers(folder)
    pipeline = beam.Pipeline(runner=runner, options=options)
    stylize = (_ToRecords if output_format == "tfrecord" else _ToPictures)(painter, folder, output_format)
    made = (
        pipeline
        | "Shards" >> beam.Create(dataset.shards)
        | beam.Reshuffle()
        | "Stylize" >> beam.ParDo(stylize).with_outputs("failures", main="paths")
    )
    made.failures | "All" >> beam.combiners.ToList() | "Write failures" >> beam.ParDo(_WriteFailures(folder))
    with _progress_bar(dataset, _is_in_this_process(runner, options)), _one_sentence(runner):
        result = pipeline.run()
        result.wait_until_finish()
    counters = result.metrics().query(beam.metrics.MetricsFilter().with_namespace(__name__))["counters"]
    counts = {counter.key.metric.name: counter.result for counter in counters}
    return {name: counts.get(name, 0) for name in ("written", "skipped", "failed")}


class _Stylize(beam.DoFn):
    """From a shard to the paths made of it; (name, reason) of its failures go to the output `failures`."""

    def __init__(self, painter: Painter, folder: pathlib.Path, output_format: str):
        self.painter = painter
        self.folder = folder
        self.suffix = ".jpg" if output_format == "tfrecord" else f".{output_format}"

    def setup(self) -> None:
        self.painter.setup()

    # Without annotations, as Beam would hold them against its own types.
    def process(self, shard):
        failures = []
        yield from self.make(shard, failures)
        for name, reason in failures:
            _count("failed")
            yield beam.pvalue.TaggedOutput("failures", (name, reason))

    def make(self, shard: shards.Shard, failures: list[tuple[str, str]]) -> Iterator[str]:
        """Makes what is missing, notes failures, and gives the paths."""
        raise NotImplementedError

    def paint(self, photo: shards.Photo, failures: list[tuple[str, str]]) -> np.ndarray | None:
        """The picture of a photo, or None after a failure."""
        try:
            picture = self.painter.paint(photo)
            images.check_writable(photo.stem + self.suffix, *picture.shape[:2])
            return picture
        except (InputError, tf.errors.ResourceExhaustedError) as error:
            failures.append((photo.name, " ".join(str(error).split())))
            return None


class _ToRecords(_Stylize):
    """A shard becomes a TFRecord file of that name."""

    def make(self, shard: shards.Shard, failures: list[tuple[str, str]]) -> Iterator[str]:
        path = self.folder / shard.name
        # Written before the shard is there, and read when it is skipped: failures outlive the run that met them.
        noted = path.with_name(f".{path.name}.failures")
        if path.exists():
            failures += json.loads(noted.read_text()) if noted.exists() else []
            _count("skipped")
            _done(shard.size)
            return
        with files.replacing(path) as temporary:
            self._write(shard, temporary, failures)
            if failures:
                with files.replacing(noted) as note:
                    note.write_text(json.dumps(failures))
            else:
                noted.unlink(missing_ok=True)
        yield str(path)

    def _write(self, shard: shards.Shard, temporary: pathlib.Path, failures: list[tuple[str, str]]) -> None:
        try:
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for photo in shard.photos():
                    picture = self.paint(photo, failures)
                    if picture is not None:
                        # The features are a map, which has no order of its own.
                        writer.write(_to_example(photo, picture).SerializeToString(deterministic=True))
                        _count("written")
                    _done(photo.size)
        except tf.errors.OpError as error:
            raise InputError(f"cannot write {self.folder / shard.name}: {error.message}") from error


class _ToPictures(_Stylize):
    """Every photo becomes a file."""

    def make(self, shard: shards.Shard, failures: list[tuple[str, str]]) -> Iterator[str]:
        for photo in shard.photos():
            path = self.folder / f"{photo.stem}{self.suffix}"
            if path.exists():
                _count("skipped")
            else:
                picture = self.paint(photo, failures)
                if picture is not None:
                    images.write_image(path, picture)
                    _count("written")
                    yield str(path)
            _done(photo.size)


class _WriteFailures(beam.DoFn):
    """All failures become one file, sorted; without any, there is none."""

    def __init__(self, folder: pathlib.Path):
        self.path = folder / FAILURES

    def process(self, failures):
        if not failures:
            self.path.unlink(missing_ok=True)
            return
        with files.replacing(self.path) as temporary:
            temporary.write_text("".join(f"{name}\t{reason}\n" for name, reason in sorted(failures)))


def _warmed(stylizer: Stylizer) -> Stylizer:
    """Brings TensorFlow to the graph for all sizes, which it makes with the second size that it sees.

    The graph for the first size alone rounds differently, and that size depends on where a run was stopped.
    """
    for side in (8, 12):
        stylizer.stylize(np.zeros((side, side, 3)), stylizer.style_weights(0))
    return stylizer


def _to_example(photo: shards.Photo, picture: np.ndarray) -> tf.train.Example:
    """The picture with all that came with the photo, under the names of ImageNet's shards."""
    height, width, channels = picture.shape
    image = {"encoded": images.encode(picture, ".jpg"), "format": "JPEG", "colorspace": "RGB"}
    image.update(height=height, width=width, channels=channels)
    features = {**photo.features, **{f"image/{key}": shards.feature(value) for key, value in image.items()}}
    return tf.train.Example(features=tf.train.Features(feature=features))


def _count(name: str) -> None:
    beam.metrics.Metrics.counter(__name__, name).inc()


def _done(size: int) -> None:
    if _progress is not None:
        _progress(size)


@contextlib.contextmanager
def _progress_bar(dataset: shards.Dataset, shown: bool) -> Iterator[None]:
    global _progress
    with tqdm(total=dataset.size, unit=dataset.unit, unit_scale=dataset.unit == "B", disable=not shown) as bar:
        _progress = bar.update
        try:
            yield
        finally:
            _progress = None


@contextlib.contextmanager
def _one_sentence(runner: PipelineRunner) -> Iterator[None]:
    """Brings back the errors that Beam wraps, as text with a traceback: ours, and an exit by a signal."""
    try:
        yield
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        sentences = re.findall(r"InputError: (.*?) \[while running", text, re.DOTALL)
        if sentences:
            raise InputError(sentences[-1]) from error
        stopped = re.search(r"SystemExit: (\d+) \[while running", text)
        if stopped:
            sys.exit(int(stopped[1]))
        if not isinstance(runner, FnApiRunner):
            raise InputError(f"Beam's {type(runner).__name__} failed: {error}") from error
        raise


def _open_runner(beam_options: str) -> tuple[PipelineRunner, PipelineOptions]:
    try:
        with contextlib.redirect_stderr(io.StringIO()) as complaint:
            options = PipelineOptions(shlex.split(beam_options))
            name = options.view_as(StandardOptions).runner or "DirectRunner"
            if name.lower() in ("direct", "directrunner"):
                return _direct_runner(options), options
            return create_runner(name), options
    except SystemExit as error:
        reason = complaint.getvalue().partition("error: ")[2].strip()
        raise InputError(f"--beam_options={beam_options}: {reason}") from error
    except (ValueError, ImportError, AttributeError) as error:
        raise InputError(f"--beam_options={beam_options}: {error}") from error


def _direct_runner(options: PipelineOptions) -> FnApiRunner:
    """What Beam's own DirectRunner falls back to when it cannot download another runner, Prism, and logs that."""
    # All that the log has to say comes with the exception.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    options.view_as(WorkerOptions).default_sdk_harness_log_level = "CRITICAL"
    known = options.get_all_options()
    unknown = options.get_all_options(retain_unknown_options=True).keys() - known.keys()
    if unknown:
        raise ValueError(f"Beam has no option {', '.join(sorted(unknown))}")
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=JobServiceHandle.encode_pipeline_options(known))
    return FnApiRunner(provision_info=ExtendedProvisionInfo(provision))


def _is_in_this_process(runner: PipelineRunner, options: PipelineOptions) -> bool:
    mode = options.view_as(DirectOptions).direct_running_mode
    return isinstance(runner, FnApiRunner) and mode != "multi_processing"


def _check_settings(folder: pathlib.Path, settings: dict[str, object]) -> None:
    """Keeps pictures of different making out of one folder."""
    path = folder / _SETTINGS
    if path.exists():
        before = json.loads(path.read_text())
        other = [f"--{flag}" for flag in settings if before.get(flag) != settings[flag]]
        if other:
            raise InputError(f"{folder} was begun with other {' and '.join(other)}; choose another --output_dir")
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(settings))
