"""The course of a training, from paintings and photos to a model: what `magstyle.train` and `magstyle.finetune` do.

References:
    Dumoulin, Shlens, Kudlur: A Learned Representation for Artistic Style. ICLR 2017, arXiv 1610.07629.
    Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer. arXiv 1603.08155 (one style).
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from tqdm import tqdm

from magstyle import files, limits
from magstyle.checkpoints import model_files
from magstyle.data import photos, pipeline
from magstyle.data.styles import Style
from magstyle.errors import InputError, is_out_of_memory
from magstyle.models.transformer import StyleTransformer
from magstyle.painting import memory
from magstyle.training import transfer
from magstyle.training.callbacks import Progress, StopOnNaN
from magstyle.training.model import StyleTraining
from magstyle.training.objective import Objective, shows
from magstyle.training.optimizer import DecayAtEnd, StyleAdam
from magstyle.training.saving import STATE, SaveAndResume
from magstyle.training.summaries import Summaries

_CPUINFO = pathlib.Path("/proc/cpuinfo")


class WorkerLostError(RuntimeError):
    """Another machine of a training on several was lost.

    TensorFlow's collectives cannot be taken up again in this process: start the training anew, in another one. It waits
    for the machine that was lost, and goes on from the last checkpoint.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Objective):
    """The keyword arguments that `train` and `finetune` have in common, beside those of an `Objective`.

    Args:
        train_steps: steps to train, those of earlier starts included.
        learning_rate: of Adam.
        style_learning_rate_scale: multiplies it for the scales and offsets of the styles.
        decay_steps: over the last so many steps the learning rate falls to 0, along a cosine.
        style_ramp_steps: over the first so many steps the style weights rise from a hundredth.
        clip_gradient_norm: largest norm of each variable's gradient; 0 for none.
        augment: crop the photos at random places and sizes, and mirror them at random.
        save_summaries_secs: seconds between two points of TensorBoard's curves.
        save_interval_secs: seconds between two checkpoints.
        mixed_precision: compute in bfloat16, while weights and losses stay float32. "auto" does so where it is faster:
            on CPUs with AVX512_BF16 or AMX, on NVIDIA GPUs of compute capability 8.0 or higher, and on TPUs.
        jit_compile: compile the training step with XLA.
        distribution: "none", for one device; "mirrored", for all of this machine; "multi_worker", for all machines of
            the variable TF_CONFIG.
    """

    train_steps: int = 40000
    learning_rate: float = 1e-3
    style_learning_rate_scale: float = 1.0
    decay_steps: int = 0
    style_ramp_steps: int = 0
    clip_gradient_norm: float = 0.0
    augment: bool = False
    save_summaries_secs: float = 15
    save_interval_secs: float = 15
    mixed_precision: bool | Literal["auto"] = "auto"
    jit_compile: bool = False
    distribution: str = "none"

    # Adam's memory of squared gradients: Magenta's, and Keras's.
    beta_2: ClassVar[float] = 0.999

    def __post_init__(self):
        super().__post_init__()
        if self.mixed_precision not in ("auto", True, False):
            raise InputError(f"mixed_precision={self.mixed_precision} must be 'auto', True or False", "mixed_precision")

    def for_paintings(self, count: int) -> "Options":
        """The same, with what depends on the number of paintings."""
        return self


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneOptions(Options):
    """The keyword arguments of `finetune`: those of `train`, with defaults for a minute or two on two cores.

    With the convolutions as they are there is little to learn, for which few, small photos at a high learning rate do.
    The weights, of ImageNet's VGG-16, give every layer its say: those of the style divide a layer's loss by about that
    of plain photos.

    Args:
        train_steps: 100 for each painting by default.
        decay_steps: three quarters of train_steps by default.
    """

    checkerboard_weight: float = 400.0
    mesh_weight: float = 0.2
    batch_size: int = 1
    image_size: int = 192
    train_steps: int | None = None
    learning_rate: float = 0.05
    decay_steps: int | None = None
    augment: bool = True

    # The gradients of the first steps are the largest by far, and would slow down all of so few.
    beta_2: ClassVar[float] = 0.95
    default_content_weights: ClassVar[Mapping[str, float]] = {"conv3": 2e-6}
    default_style_weights: ClassVar[Mapping[str, float]] = {
        "conv1": 9e-10,
        "conv2": 9e-10,
        "conv3": 4e-9,
        "conv4": 5e-5,
    }

    def for_paintings(self, count: int) -> Options:
        train_steps = 100 * count if self.train_steps is None else self.train_steps
        decay_steps = train_steps * 3 // 4 if self.decay_steps is None else self.decay_steps
        return dataclasses.replace(self, train_steps=train_steps, decay_steps=decay_steps)


@shows(Options)
def train(
    style_dataset_file: str | os.PathLike,
    train_dir: str | os.PathLike,
    *,
    alpha: float | None = None,
    initial_checkpoint: StyleTransformer | str | os.PathLike | None = None,
    **options,
) -> pathlib.Path | None:
    """Trains one network for all paintings of a style dataset, to the end or from where it was stopped.

    Ctrl-C ends it with a checkpoint; started again with the same arguments, it goes on there. Progress is shown on
    stderr, and TensorBoard finds curves and pictures in train_dir.

    Args:
        style_dataset_file: the paintings, as `magstyle.create_style_dataset` or Magenta writes them.
        train_dir: folder for checkpoints and curves; made if it is missing. A training in it goes on.
        alpha: width of the network: multiplies all numbers of filters. 1 by default, or that of initial_checkpoint.
        initial_checkpoint: starts all weights from those of a model, anything that `magstyle.load_model` opens. Styles
            of the same names go on from where they are; new ones start from the mean of its styles.
        **options: see `magstyle.training.trainer.Options` and `magstyle.training.objective.Objective`.

    Returns:
        The path of the trained model, a checkpoint in train_dir; None where another machine of several writes it.

    Raises:
        InputError: for arguments, files or a train_dir that cannot be used, or a loss that is no number any more.
        WorkerLostError: if another machine of several was lost.
    """

    limits.check({"alpha": alpha})

    def build(names: list[str]) -> StyleTransformer:
        if initial_checkpoint is None:
            return StyleTransformer(len(names), 1.0 if alpha is None else alpha, style_names=names)
        return transfer.with_styles(model_files.load_model(initial_checkpoint, alpha=alpha), names, match_names=True)

    return _train(build, style_dataset_file, train_dir, Options(**options), start="initial_checkpoint")


@shows(FinetuneOptions)
def finetune(
    style_dataset_file: str | os.PathLike,
    train_dir: str | os.PathLike,
    *,
    checkpoint: StyleTransformer | str | os.PathLike = "painters",
    alpha: float | None = None,
    keep_styles: bool = True,
    **options,
) -> pathlib.Path | None:
    """Teaches a trained network new styles: only the scales and offsets of its normalisations are trained.

    Args:
        style_dataset_file, train_dir: as of `magstyle.train`.
        checkpoint: the network, anything that `magstyle.load_model` opens.
        keep_styles: the network keeps the styles that it has, which stay as they are to the last bit, and the new ones
            follow them. A painting of the name of one of them trains it on from where it is. If False, as in Magenta,
            the styles that it has give way to the new ones.
        alpha: nobody has to give it; if given, the network must have that width.
        **options: see `magstyle.training.trainer.FinetuneOptions`; as of `magstyle.train`, with other defaults.

    Returns:
        The path of the trained model, as `magstyle.train`.

    Raises:
        InputError, WorkerLostError: as `magstyle.train`.
    """

    def build(names: list[str]) -> StyleTransformer:
        old = model_files.load_model(checkpoint, alpha=alpha)
        if keep_styles:
            for name in names:
                # What has no name is called by its number, so that it is not the same style for that.
                if name.isdecimal() and name in old.style_names:
                    raise InputError(
                        f"{style_dataset_file} and the checkpoint both have a style of the number {name} and without a "
                        "name; make the dataset anew, of files with names, or set keep_styles=False",
                        "checkpoint",
                        "keep_styles",
                    )
            names = [*old.style_names, *(name for name in names if name not in old.style_names)]
        transformer = transfer.with_styles(old, names, match_names=keep_styles)
        transfer.freeze_convolutions(transformer)
        return transformer

    return _train(build, style_dataset_file, train_dir, FinetuneOptions(**options), start="checkpoint")


def _train(
    build_transformer: Callable[[list[str]], StyleTransformer],
    style_dataset_file: str | os.PathLike,
    train_dir: str | os.PathLike,
    options: Options,
    start: str,
) -> pathlib.Path | None:
    """Trains the network of these style names; `start` is the argument of `train` or `finetune` that it starts from."""
    train_dir = files.expanded(train_dir)
    _refuse_magentas(train_dir, start)
    strategy = _strategy(options)
    paintings = options.read_paintings(style_dataset_file)
    options = options.for_paintings(len(paintings))
    if options.mixed_precision == "auto":
        options = dataclasses.replace(options, mixed_precision=_is_fast_in_bfloat16(options.jit_compile))
    source = options.open_photos()
    keras.utils.set_random_seed(options.seed)
    with contextlib.ExitStack() as stack:
        with _saying("opening the loss network"), _precision(options.mixed_precision), strategy.scope():
            transformer = build_transformer([style.name for style in paintings])
            model = options.build(transformer, paintings, style_ramp_steps=options.style_ramp_steps)
            # Magenta's epsilon; Keras's default is ten times as large.
            optimizer = StyleAdam(
                _learning_rate(options),
                options.style_learning_rate_scale,
                beta_2=options.beta_2,
                epsilon=1e-8,
                clipnorm=options.clip_gradient_norm or None,
            )
            # JAX is nothing without its compiler.
            model.compile(optimizer, jit_compile=options.jit_compile or keras.backend.backend() == "jax")
            if _is_chief(strategy):
                stack.enter_context(_alone_in(train_dir))
            saving = SaveAndResume(train_dir, model, options.save_interval_secs)
        _agree(strategy, saving)
        if saving.step < options.train_steps:
            if not options.jit_compile:  # What XLA takes, nobody has measured. A step in bfloat16 takes a bit less.
                workers = strategy.num_replicas_in_sync if options.distribution == "multi_worker" else 1
                memory.check_training(transformer, model.vgg, options.batch_size // workers, options.image_size)
            _fit(strategy, model, source, paintings, saving, options)
        elif _is_chief(strategy):
            saving.save()
    return saving.model_path if _is_chief(strategy) else None


def _fit(
    strategy: tf.distribute.Strategy,
    model: StyleTraining,
    source: photos.Source,
    paintings: Sequence[Style],
    saving: SaveAndResume,
    options: Options,
) -> None:
    step = saving.step
    batches = _batches(strategy, source, len(paintings), model.position.numpy(), options)
    callbacks, ran_out = [StopOnNaN()], False
    with contextlib.ExitStack() as stack:
        if _is_chief(strategy):
            print(_course(model, paintings, options), file=sys.stderr)
            progress = stack.enter_context(contextlib.closing(Progress(step, options.train_steps)))
            photo = next(iter(pipeline.batches(source, options.image_size, 1, 1)))["image"][0].numpy()
            summaries = Summaries(
                saving.folder, photo, paintings, step, _learning_rate(options), options.save_summaries_secs
            )
            callbacks += [progress, summaries, saving]
        try:
            steps = options.train_steps - step
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Your input ran out of data")
                model.fit(batches, steps_per_epoch=steps, shuffle=False, callbacks=callbacks, verbose=0)
            ran_out = saving.step < options.train_steps
        except (KeyboardInterrupt, SystemExit):  # The latter from programs, by Ctrl-C or SIGTERM. Between two steps.
            if _is_chief(strategy):
                saving.save()
                summaries.on_train_end()
            raise
        except Exception as error:
            if is_out_of_memory(error):
                names = ("batch_size", "image_size", "alpha")
                raise InputError(
                    f"a step does not fit into memory; lower {names[0]}, {names[1]} or {names[2]}", *names
                ) from error
            if options.distribution == "multi_worker" and "Collective" in str(error):
                raise WorkerLostError("a worker was lost") from error
            raise
        finally:
            stack.close()  # The bar, before anything else is printed.
            if not ran_out:
                _report(source)
    if ran_out:
        raise pipeline.nothing_left(source)


def _course(model: StyleTraining, paintings: Sequence[Style], options: Options) -> str:
    """One line on what a training is going to do."""
    names, others = [painting.name for painting in paintings], model.transformer.num_styles - len(paintings)
    return (
        f"{options.train_steps} steps for {', '.join(names)}, with batch_size={options.batch_size}, "
        f"image_size={options.image_size} and learning_rate={options.learning_rate:g}"
        + (", in bfloat16" if options.mixed_precision else "")
        + (f"; the {others} other styles stay as they are" if others else "")
    )


def _saying(what: str) -> tqdm:
    """Shows on a terminal, during a block, what is done in it."""
    return tqdm(desc=what, bar_format="{desc}", leave=False, disable=None)


def _alone_in(train_dir: pathlib.Path) -> contextlib.AbstractContextManager:
    """Sees to it that no other training writes to a folder, which is made if it is missing."""
    refusal = InputError(
        f"another training is running in {train_dir}; wait for its end, or choose another train_dir", "train_dir"
    )
    return files.locked(files.make_folder(train_dir) / "training.lock", refusal)


def _refuse_magentas(train_dir: pathlib.Path, start: str) -> None:
    """Raises an InputError for a folder of a training by Magenta, which would begin anew without a word.

    Args:
        train_dir: the folder.
        start: the argument that takes a checkpoint to start from.
    """
    if not train_dir.is_dir() or (train_dir / STATE).exists():
        return
    try:
        found = model_files.latest(str(train_dir))
    except InputError:  # There is none.
        return
    if not found.endswith(".keras"):
        found = found.removesuffix(".index")
        raise InputError(
            f"{train_dir} holds a training by Magenta; choose another train_dir, and {start}={found} to start from it",
            "train_dir",
            start,
        )


def _learning_rate(options: Options) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if not options.decay_steps:
        return options.learning_rate
    return DecayAtEnd(options.learning_rate, options.train_steps, options.decay_steps)


@contextlib.contextmanager
def _precision(mixed: bool) -> Iterator[None]:
    """Builds layers that compute in bfloat16, if asked to."""
    policy = keras.config.dtype_policy()
    if mixed:
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def _is_fast_in_bfloat16(jit_compile: bool) -> bool:
    """Whether this machine multiplies in bfloat16 faster than in float32; what cannot is ten times slower with it."""
    devices = [device.split(":")[0] for device in keras.distribution.list_devices()]
    if "tpu" in devices:
        return True
    if "gpu" in devices:
        return all(capability >= (8, 0) for capability in _compute_capabilities())
    # TensorFlow leaves this to oneDNN; XLA, which compiles for JAX too, has no such convolutions.
    if jit_compile or keras.backend.backend() != "tensorflow":
        return False
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() not in ("0", "false")
    # Elsewhere than on Linux, nobody says what the processor has.
    features = _CPUINFO.read_text(encoding="utf-8") if _CPUINFO.exists() else ""
    return onednn and re.search(r"\b(avx512|amx)_bf16\b", features) is not None


def _compute_capabilities() -> list[tuple[int, int]]:
    """Of the GPUs of Keras's backend; (0, 0) for those that are not NVIDIA's."""
    if keras.backend.backend() == "tensorflow":
        details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
        return [entry.get("compute_capability", (0, 0)) for entry in details]
    import jax

    versions = [re.fullmatch(r"(\d+)\.(\d+)", str(device.compute_capability)) for device in jax.local_devices()]
    return [(int(version[1]), int(version[2])) if version else (0, 0) for version in versions]


def _strategy(options: Options) -> tf.distribute.Strategy:
    if options.distribution == "none":
        return tf.distribute.get_strategy()
    if options.distribution not in ("mirrored", "multi_worker"):
        raise InputError(f"distribution={options.distribution} must be none, mirrored or multi_worker", "distribution")
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"distribution={options.distribution} needs Keras's TensorFlow backend", "distribution")
    tf.get_logger().setLevel("ERROR")  # It tells of every tensor that it sends.
    if options.distribution == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
    else:
        if "TF_CONFIG" not in os.environ:
            raise InputError(
                "distribution=multi_worker needs the variable TF_CONFIG; docs/training.md shows an example",
                "distribution",
            )
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    if options.batch_size % strategy.num_replicas_in_sync:
        raise InputError(
            f"batch_size={options.batch_size} must be a multiple of the {strategy.num_replicas_in_sync} devices",
            "batch_size",
        )
    return strategy


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_id


def _agree(strategy: tf.distribute.Strategy, saving: SaveAndResume) -> None:
    """Makes sure that all workers start from the same checkpoint.

    A worker that was started again may have read one that the chief, not aware of its loss yet, has replaced since. Now
    that all have come here, no one writes.
    """
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        steps = strategy.run(lambda: tf.constant([saving.step]))
        if len(set(strategy.gather(steps, axis=0).numpy())) > 1:
            saving.restore()


def _batches(strategy, source: photos.Source, num_styles: int, position: Sequence[int], options: Options):
    def for_worker(context):
        return pipeline.batches(
            source,
            options.image_size,
            context.get_per_replica_batch_size(options.batch_size),
            num_styles,
            options.seed,
            options.augment,
            position,
            (context.num_input_pipelines, context.input_pipeline_id),
        )

    if options.distribution == "multi_worker":
        # Every worker reads its own share of the photos; TensorFlow's own sharding would have each decode all of them.
        return strategy.distribute_datasets_from_function(for_worker)
    return for_worker(tf.distribute.InputContext(num_replicas_in_sync=1))


def _report(source: photos.Source) -> None:
    """Names the images that could not be used, on stderr."""
    if source.skipped:
        count = len(source.skipped)
        print("1 image was left out:" if count == 1 else f"{count} images were left out:", file=sys.stderr)
        for reason in source.skipped.values():
            print(f"  {reason}", file=sys.stderr)
