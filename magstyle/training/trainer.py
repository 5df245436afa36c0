"""The course of a training, from paintings and photos to a model, for all functions that train.

References:
    Dumoulin, Shlens, Kudlur: A Learned Representation for Artistic Style. ICLR 2017, arXiv 1610.07629.
    Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer. arXiv 1603.08155 (one style).
"""

import contextlib
import dataclasses
import math
import os
import pathlib
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from magstyle import files, options
from magstyle.checkpoints import model_files, networks
from magstyle.checkpoints.paintings import SIDE, name_of
from magstyle.data import images, photos, pipeline
from magstyle.data.styles import Style
from magstyle.errors import InputError, is_out_of_memory
from magstyle.models.transformer import StyleTransformer
from magstyle.names import counted
from magstyle.painting import memory
from magstyle.training import criterion, devices, distillation, jobs, transfer
from magstyle.training.callbacks import Improvement, Progress, StopOnNaN
from magstyle.training.jobs import DistillationJob, FinetuningJob, PredictorTrainingJob, TrainingJob
from magstyle.training.model import PredictorTraining, Sample, Training
from magstyle.training.optimizer import DecayAtEnd, StyleAdam
from magstyle.training.saving import STATE, SaveAndResume
from magstyle.training.summaries import Summaries

# The paintings, of thousands, that tell how large the moments are, and that TensorBoard shows.
_SAMPLES = 64


class WorkerLostError(RuntimeError):
    """Another machine of a training on several was lost.

    TensorFlow cannot resume its collectives in this process: start the training again, in another one. It waits for the
    machine that was lost, and goes on from the last checkpoint.
    """


@options.takes(TrainingJob)
def train(job: TrainingJob) -> pathlib.Path | None:
    """Trains one network for all paintings of a style dataset, to the end or from where it was stopped.

    Ctrl-C ends it with a checkpoint; started again with the same arguments, it goes on there. Progress is shown on
    stderr, and TensorBoard finds curves and pictures in train_dir.

    Returns:
        The path of the trained model, a checkpoint in train_dir; None where another machine of several writes it.

    Raises:
        InputError: for arguments, files or a train_dir that cannot be used, or a loss that is no longer finite.
        WorkerLostError: if another machine of several was lost.
    """

    def build(paintings: list[Style]) -> StyleTransformer:
        names = [painting.name for painting in paintings]
        if job.initial_checkpoint is None:
            return StyleTransformer(len(names), 1.0 if job.alpha is None else job.alpha, style_names=names)
        old = model_files.load_model(job.initial_checkpoint, alpha=job.alpha)
        return transfer.with_styles(old, names, match_names=True)

    return _train(job, lambda: _styles_to_learn(job, build))


@options.takes(FinetuningJob)
def finetune(job: FinetuningJob) -> pathlib.Path | None:
    """Teaches a trained network new styles: only the scales and offsets of its normalisations are trained.

    The new styles follow those that it has, which stay as they are. With the convolutions as they are there is little
    to learn, so the defaults, for a minute or two on two cores, are a few small photos at a high learning rate.

    A model that paints in the style of any painting has no styles; the new ones then start from its predictions.

    Returns:
        The path of the trained model, as `magstyle.train`.

    Raises:
        InputError, WorkerLostError: as `magstyle.train`.
    """

    def build(paintings: list[Style]) -> StyleTransformer:
        names = [painting.name for painting in paintings]
        network = model_files.read_network(job.checkpoint, alpha=job.alpha, any_painting=True)
        if network.predictor:
            transformer = transfer.with_predicted_styles(network, paintings)
            transfer.freeze_convolutions(transformer)
            return transformer
        old = networks.to_model(network)
        if job.keep_styles:
            names = _followed_by(old.style_names, names, job.style_dataset_file)
        transformer = transfer.with_styles(old, names, match_names=job.keep_styles)
        transfer.freeze_convolutions(transformer)
        return transformer

    return _train(job, lambda: _styles_to_learn(job, build))


@options.takes(PredictorTrainingJob)
def train_predictor(job: PredictorTrainingJob) -> pathlib.Path | None:
    """Trains a network that paints in the style of any painting, as the bundled model `anything` does.

    The model is a network whose styles are directions of a space of styles, and a style predictor that tells from a
    painting how far to go in each. Everything else is as for `magstyle.train`.

    Returns:
        The path of the trained model, as `magstyle.train`.

    Raises:
        InputError, WorkerLostError: as `magstyle.train`.

    References:
        Ghiasi, Lee, Kudlur, Dumoulin, Shlens: Exploring the structure of a real-time, arbitrary neural artistic
        stylization network. BMVC 2017, arXiv 1705.06830.
        Cheng, Jaiswal, Wu, Natarajan, Natarajan: Style-Aware Normalized Loss for Improving Arbitrary Style Transfer.
        CVPR 2021, arXiv 2104.10064.
    """
    return _train(job, lambda: _paintings_to_learn(job))


@options.takes(DistillationJob)
def distil(job: DistillationJob) -> pathlib.Path | None:
    """Trains a narrow network to paint like a wide one, several times as fast.

    It starts from the most important channels of its teacher. Everything else is as for `magstyle.train`.

    Returns:
        The path of the trained model, as `magstyle.train`.

    Raises:
        InputError, WorkerLostError: as `magstyle.train`.
    """
    return _train(job, lambda: _teacher_to_follow(job))


def _followed_by(old: Sequence[str], new: Sequence[str], style_dataset_file: jobs.FilePath) -> list[str]:
    """The names of the styles of a model, followed by those of a dataset that it does not have.

    Raises:
        InputError: where a style of each has no name but its number, which does not make them the same style.
    """
    for name in new:
        if name.isdecimal() and name in old:
            raise InputError(
                f"{style_dataset_file} and the checkpoint both have a style of the number {name} and without a name; "
                "make the dataset anew, of files with names, or set keep_styles=False",
                "checkpoint",
                "keep_styles",
            )
    return [*old, *(name for name in new if name not in old)]


@dataclasses.dataclass(frozen=True)
class _Lesson:
    """What a network is to learn.

    Attributes:
        names: the names of the paintings.
        samples: those of the paintings that TensorBoard shows.
        build: makes the network and its losses, not compiled.
        crops: the paintings whose crops each batch has; None if it has the paintings' numbers.
    """

    names: list[str]
    samples: list[Sample]
    build: Callable[[], Training]
    crops: pipeline.Paintings | None = None


def _styles_to_learn(
    job: jobs.StylesTrainingOptions, build_transformer: Callable[[list[Style]], StyleTransformer]
) -> _Lesson:
    """The paintings of a style dataset, each a style."""
    paintings = criterion.read_paintings(job.style_dataset_file, job)
    return _Lesson(
        [painting.name for painting in paintings],
        [Sample(style.name, style.image, np.array([label])) for label, style in enumerate(paintings)],
        lambda: criterion.build(job, build_transformer(paintings), paintings, style_ramp_steps=job.style_ramp_steps),
    )


def _paintings_to_learn(job: PredictorTrainingJob) -> _Lesson:
    """Paintings as examples of all paintings."""
    network = None
    if job.initial_checkpoint is not None:
        network = model_files.read_network(job.initial_checkpoint, alpha=job.alpha, any_painting=True)
    paths = photos.find(job.style_files)
    for path in paths:
        images.check_crop(path, job.image_size)
    # Evenly spread, as a folder may hold one painter after the other.
    some = paths[:: math.ceil(len(paths) / _SAMPLES)]
    crops = [images.training_crop(files.read_bytes(path), path, job.image_size) / np.float32(255) for path in some]

    def build() -> Training:
        start = transfer.for_any_painting(network, job.num_styles, job.alpha, np.stack(crops), job.seed)
        return criterion.build_for_any_painting(job, start)

    return _Lesson(
        list(map(name_of, paths)),
        [Sample(name_of(path), crop, crop[None]) for path, crop in zip(some, crops, strict=True)],
        build,
        pipeline.Paintings(paths, SIDE),
    )


def _teacher_to_follow(job: DistillationJob) -> _Lesson:
    """The styles of a trained network, without their paintings."""
    teacher = model_files.read_network(job.teacher)
    narrow = distillation.narrowed(teacher, job.alpha)
    return _Lesson(
        list(teacher.style_names),
        [Sample(name, None, np.array([label])) for label, name in enumerate(teacher.style_names)],
        lambda: criterion.build_distillation(job, networks.to_model(narrow), networks.to_model(teacher)),
    )


@dataclasses.dataclass(frozen=True)
class _Run:
    """A training whose files are open."""

    job: jobs.TrainingOptions
    schedule: jobs.Schedule
    strategy: tf.distribute.Strategy
    lesson: _Lesson
    source: photos.Source
    first_photo: np.ndarray
    in_bfloat16: bool


def _train(job: jobs.TrainingOptions, prepare: Callable[[], _Lesson]) -> pathlib.Path | None:
    """Trains a network as a job says.

    Args:
        job: how.
        prepare: opens the paintings.
    """
    train_dir = files.expanded(job.train_dir)
    _refuse_magentas(train_dir, job.starts_from)
    strategy = devices.strategy(job.distribution, job.batch_size)
    lesson = prepare()
    schedule = job.schedule(len(lesson.names))
    in_bfloat16 = devices.computes_in_bfloat16(job.mixed_precision, job.jit_compile)
    source = criterion.open_photos(job)
    run = _Run(job, schedule, strategy, lesson, source, pipeline.first_photo(source, job.image_size), in_bfloat16)
    keras.utils.set_random_seed(job.seed)
    with contextlib.ExitStack() as stack:
        with _saying("opening the loss network"), devices.precision(in_bfloat16), strategy.scope():
            model = _compiled(run)
            if devices.is_chief(strategy):
                stack.enter_context(_alone_in(train_dir))
            saving = SaveAndResume(train_dir, model, job.save_interval_secs)
        devices.agree(strategy, saving)
        if saving.step < schedule.train_steps:
            _check_memory(run, model)
            _fit(run, model, saving)
        elif devices.is_chief(strategy):
            saving.save()
    return saving.model_path if devices.is_chief(strategy) else None


def _compiled(run: _Run) -> Training:
    """The network with its losses and its optimizer."""
    job, model = run.job, run.lesson.build()
    optimizer = StyleAdam(
        _learning_rate(run.schedule),
        job.style_learning_rate_scale,
        beta_2=job.beta_2,
        epsilon=1e-8,  # Magenta's; Keras's default is ten times as large.
        clipnorm=job.clip_gradient_norm or None,
    )
    # Uncompiled, JAX is too slow to be of use.
    model.compile(optimizer, jit_compile=job.jit_compile or keras.backend.backend() == "jax")
    return model


def _check_memory(run: _Run, model: Training) -> None:
    """Raises an InputError for a step that does not fit into memory, where that can be foreseen."""
    job = run.job
    if not job.jit_compile:  # XLA's use of memory has not been measured. A step in bfloat16 takes a bit less.
        workers = run.strategy.num_replicas_in_sync if job.distribution == "multi_worker" else 1
        batch_size = job.batch_size // workers
        painter = model.transformer.network if isinstance(model, PredictorTraining) else model.transformer
        memory.check_training(painter, model.vgg, batch_size, job.image_size, job.smallest_image_size)


def _fit(run: _Run, model: Training, saving: SaveAndResume) -> None:
    """Trains from the step of a checkpoint to the last one, and names the photos that were left out."""
    batches = _batches(run, model.position.numpy())
    callbacks: list[keras.callbacks.Callback] = [StopOnNaN()]
    ran_out = False
    improvement = None
    with contextlib.ExitStack() as stack:
        if devices.is_chief(run.strategy):
            print(_course(run, model), file=sys.stderr)
            progress = stack.enter_context(contextlib.closing(Progress(saving.step, run.schedule.train_steps)))
            summaries = _summaries(run, saving)
            stack.callback(saving.drop)
            callbacks += [progress, summaries, saving]
            if isinstance(run.job, FinetuningJob):
                improvement = Improvement(run.first_photo, run.lesson.samples)
                callbacks.append(improvement)
        try:
            steps = run.schedule.train_steps - saving.step
            with _explaining(run.job, saving.step), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Your input ran out of data")
                model.fit(batches, steps_per_epoch=steps, shuffle=False, callbacks=callbacks, verbose=0)
            ran_out = saving.step < run.schedule.train_steps
        except (KeyboardInterrupt, SystemExit):  # Between two steps; programs raise the latter for Ctrl-C and SIGTERM.
            if devices.is_chief(run.strategy):
                saving.save()
                summaries.on_train_end()
            raise
        finally:
            stack.close()  # Ends the bar before anything else is printed.
            if not ran_out:
                _report(run.source)
    if ran_out:
        raise pipeline.nothing_left(run.source)
    if improvement:
        print(improvement, file=sys.stderr)


def _summaries(run: _Run, saving: SaveAndResume) -> Summaries:
    """The curves and pictures for TensorBoard, which show the first photo."""
    return Summaries(
        saving.folder,
        run.first_photo,
        run.lesson.samples,
        step=saving.step,
        learning_rate=_learning_rate(run.schedule),
        save_summaries_secs=run.job.save_summaries_secs,
    )


@contextlib.contextmanager
def _explaining(job: jobs.TrainingOptions, step: int) -> Iterator[None]:
    """Turns the errors of `fit` that are foreseen into ours; `step` is the one that it starts from."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            # A network that is trained already has its width.
            is_new = getattr(job, job.starts_from) is None and step == 0
            names = ["batch_size", "image_size", *(["alpha"] if is_new else [])]
            lower = f"{', '.join(names[:-1])} or {names[-1]}"
            raise InputError(f"a step does not fit into memory; lower {lower}", *names) from error
        if job.distribution == "multi_worker" and devices.tells_of_a_lost_worker(error):
            raise WorkerLostError("a worker was lost") from error
        raise


def _course(run: _Run, model: Training) -> str:
    """One line that announces a training."""
    names = run.lesson.names
    others = 0 if run.lesson.crops else model.transformer.num_styles - len(names)
    learned = counted(len(names), "painting") if run.lesson.crops else ", ".join(names)
    return (
        f"{counted(run.schedule.train_steps, 'step')} for {learned}, with batch_size={run.job.batch_size}, "
        f"image_size={run.job.image_size} and learning_rate={run.job.learning_rate:g}"
        + (", in bfloat16" if run.in_bfloat16 else "")
        + (f"; keeps {counted(others, 'other style')}" if others else "")
    )


def _saying(what: str) -> tqdm:
    """Shows a line on a terminal while a block runs."""
    return tqdm(desc=what, bar_format="{desc}", leave=False, disable=None)


def _alone_in(train_dir: pathlib.Path) -> contextlib.AbstractContextManager:
    """Locks a folder, which is made if it is missing, against other trainings."""
    refusal = InputError(
        f"another training is running in {train_dir}; wait for its end, or choose another train_dir", "train_dir"
    )
    return files.locked(files.make_folder(train_dir) / "training.lock", refusal)


def _refuse_magentas(train_dir: pathlib.Path, start: str) -> None:
    """Raises an InputError for a folder of a training by Magenta, which would silently begin anew.

    Args:
        train_dir: the folder.
        start: the argument that takes a checkpoint to start from.
    """
    if not os.path.isdir(train_dir) or os.path.exists(train_dir / STATE):
        return
    try:
        found = model_files.latest(str(train_dir))
    except InputError:  # It holds no checkpoint.
        return
    if not found.endswith(".keras"):
        found = found.removesuffix(".index")
        raise InputError(
            f"{train_dir} holds a training by Magenta; choose another train_dir, and {start}={found} to start from it",
            "train_dir",
            start,
        )


def _learning_rate(schedule: jobs.Schedule) -> float | keras.optimizers.schedules.LearningRateSchedule:
    return DecayAtEnd(*schedule) if schedule.decay_steps else schedule.learning_rate


def _batches(run: _Run, position: Sequence[int]) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """The photos with their styles, from a position on: for each worker its share of every batch."""

    def for_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return pipeline.batches(
            run.source,
            run.job.image_size,
            batch_size=context.get_per_replica_batch_size(run.job.batch_size),
            num_styles=len(run.lesson.names),
            seed=run.job.seed,
            augment=run.job.augment,
            position=position,
            shard=(context.num_input_pipelines, context.input_pipeline_id),
            paintings=run.lesson.crops,
        )

    if run.job.distribution == "multi_worker":
        # Every worker reads its own share of the photos; TensorFlow's own sharding would have each decode all of them.
        return run.strategy.distribute_datasets_from_function(for_worker)
    return for_worker(tf.distribute.InputContext(num_replicas_in_sync=1))


def _report(source: photos.Source) -> None:
    """Names the images that could not be used, on stderr."""
    if source.skipped:
        count = len(source.skipped)
        print(f"{counted(count, 'image')} left out:", file=sys.stderr)
        for reason in source.skipped.values():
            print(f"  {reason}", file=sys.stderr)
