"""The course of a training, from flags to checkpoints: all that bin/train.py and bin/finetune.py have in common."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import keras
import tensorflow as tf
from absl import flags
from magstyle.bin import training_flags

from magstyle.data import content
from magstyle.data.styles import Style
from magstyle.errors import InputError
from magstyle.models.transformer import StyleTransformer
from magstyle.summaries import Summaries
from magstyle.training.callbacks import Progress, StopOnNaN
from magstyle.training.model import StyleTraining
from magstyle.training.optimizer import DecayAtEnd, StyleAdam
from magstyle.training.saving import SaveAndResume

FLAGS = flags.FLAGS
flags.DEFINE_string("train_dir", None, "Folder for checkpoints and TensorBoard; a training in it goes on.")
flags.DEFINE_integer("train_steps", 40000, "Steps to train, those of earlier starts included.", lower_bound=1)
flags.DEFINE_float("learning_rate", 1e-3, "Of Adam.", lower_bound=0)
flags.DEFINE_float(
    "style_learning_rate_scale", 1.0, "Multiplies it for the scales and offsets of the styles.", lower_bound=0
)
flags.DEFINE_integer(
    "decay_steps", 0, "Over the last so many steps the learning rate falls to 0, along a cosine.", lower_bound=0
)
flags.DEFINE_integer(
    "style_ramp_steps", 0, "Over the first so many steps the style weights rise from a hundredth.", lower_bound=0
)
flags.DEFINE_float("clip_gradient_norm", 0.0, "Largest norm of each variable's gradient; 0 for none.", lower_bound=0)
flags.DEFINE_bool("augment", False, "Crop the photos at random places and sizes, and mirror them at random.")
flags.DEFINE_float("save_summaries_secs", 15, "Seconds between two points of TensorBoard's curves.", lower_bound=0)
flags.DEFINE_float("save_interval_secs", 15, "Seconds between two checkpoints.", lower_bound=0)
flags.DEFINE_bool("mixed_precision", False, "Compute in bfloat16, for GPUs and TPUs; weights and losses stay float32.")
flags.DEFINE_bool("jit_compile", False, "Compile the training step with XLA.")
flags.DEFINE_enum(
    "distribution", "none", ["none", "mirrored", "multi_worker"], "One device, all of this machine, or of TF_CONFIG."
)
flags.mark_flag_as_required("train_dir")


def train(arguments: Sequence[str], build_transformer: Callable[[list[str]], StyleTransformer]) -> None:
    """Trains a network as the flags say, to the end or from where it was stopped, and prints its path.

    Args:
        arguments: those that follow the flags: more photos.
        build_transformer: from the names of the styles to the network to train.
    """
    strategy = _strategy()
    paintings = training_flags.open_styles()
    photos = training_flags.open_photos(arguments)
    keras.utils.set_random_seed(FLAGS.seed)
    if FLAGS.mixed_precision:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    with strategy.scope():
        transformer = build_transformer([style.name for style in paintings])
        model = training_flags.build_training(transformer, paintings, style_ramp_steps=FLAGS.style_ramp_steps)
        # Magenta's epsilon; Keras's default is ten times as large.
        optimizer = StyleAdam(
            _learning_rate(), FLAGS.style_learning_rate_scale, epsilon=1e-8, clipnorm=FLAGS.clip_gradient_norm or None
        )
        # JAX is nothing without its compiler.
        model.compile(optimizer, jit_compile=FLAGS.jit_compile or keras.backend.backend() == "jax")
        checkpoints = SaveAndResume(os.path.expanduser(FLAGS.train_dir), model, FLAGS.save_interval_secs)
    _agree(strategy, checkpoints)
    if checkpoints.step < FLAGS.train_steps:
        _fit(strategy, model, photos, paintings, checkpoints)
    if _is_chief(strategy):
        print(checkpoints.model_path)


def _fit(
    strategy: tf.distribute.Strategy,
    model: StyleTraining,
    photos: content.Source,
    paintings: Sequence[Style],
    checkpoints: SaveAndResume,
) -> None:
    step = checkpoints.step
    batches = _batches(strategy, photos, len(paintings), model.position.numpy())
    callbacks = [StopOnNaN()]
    with contextlib.ExitStack() as stack:
        if _is_chief(strategy):
            progress = stack.enter_context(contextlib.closing(Progress(step, FLAGS.train_steps)))
            photo = next(iter(content.batches(photos, FLAGS.image_size, 1, 1)))["image"][0].numpy()
            summaries = Summaries(checkpoints.folder, photo, paintings, step, FLAGS.save_summaries_secs)
            callbacks += [progress, summaries, checkpoints]
        try:
            model.fit(batches, steps_per_epoch=FLAGS.train_steps - step, shuffle=False, callbacks=callbacks, verbose=0)
        except SystemExit:  # By Ctrl-C or SIGTERM, between two steps.
            if _is_chief(strategy):
                checkpoints.save()
            raise
        except tf.errors.ResourceExhaustedError as error:
            raise InputError("a step does not fit into memory; lower --batch_size, --image_size or --alpha") from error
        except tf.errors.OpError as error:
            if FLAGS.distribution == "multi_worker" and "Collective" in error.message:
                _rejoin()
            raise
        finally:
            stack.close()  # The bar, before anything else is printed.
            _report(photos)


def _learning_rate() -> float | keras.optimizers.schedules.LearningRateSchedule:
    if not FLAGS.decay_steps:
        return FLAGS.learning_rate
    return DecayAtEnd(FLAGS.learning_rate, FLAGS.train_steps, FLAGS.decay_steps)


def _strategy() -> tf.distribute.Strategy:
    if FLAGS.distribution == "none":
        return tf.distribute.get_strategy()
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"--distribution={FLAGS.distribution} needs Keras's TensorFlow backend")
    tf.get_logger().setLevel("ERROR")  # It tells of every tensor that it sends.
    if FLAGS.distribution == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
    else:
        if "TF_CONFIG" not in os.environ:
            raise InputError("--distribution=multi_worker needs the variable TF_CONFIG; the README shows what to type")
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    if FLAGS.batch_size % strategy.num_replicas_in_sync:
        raise InputError(
            f"--batch_size={FLAGS.batch_size} must be a multiple of the {strategy.num_replicas_in_sync} devices"
        )
    return strategy


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_id


def _agree(strategy: tf.distribute.Strategy, checkpoints: SaveAndResume) -> None:
    """Makes sure that all workers start from the same checkpoint.

    A worker that was started again may have read one that the chief, not aware of its loss yet, has replaced since. Now
    that all have come here, no one writes.
    """
    if FLAGS.distribution == "multi_worker":
        steps = strategy.run(lambda: tf.constant([checkpoints.step]))
        if len(set(strategy.gather(steps, axis=0).numpy())) > 1:
            checkpoints.restore()


def _rejoin() -> NoReturn:
    """Starts this program again, to wait for the worker that was lost and go on with it from the last checkpoint.

    TensorFlow's collectives cannot be taken up again in a process in which they have failed once.
    """
    print("A worker was lost. Waiting for its return, to go on from the last checkpoint.", file=sys.stderr, flush=True)
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)  # Set by magstyle.app, which asks for it to be unset.
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _batches(strategy, photos: content.Source, num_styles: int, position):
    def for_worker(context):
        return content.batches(
            photos,
            FLAGS.image_size,
            context.get_per_replica_batch_size(FLAGS.batch_size),
            num_styles,
            FLAGS.seed,
            FLAGS.augment,
            position,
            (context.num_input_pipelines, context.input_pipeline_id),
        )

    if FLAGS.distribution == "multi_worker":
        # Every worker reads its own share of the photos; TensorFlow's own sharding would have each decode all of them.
        return strategy.distribute_datasets_from_function(for_worker)
    return for_worker(tf.distribute.InputContext(num_replicas_in_sync=1))


def _report(photos: content.Source) -> None:
    """Names the images that could not be used, on stderr."""
    if photos.skipped:
        count = len(photos.skipped)
        print("1 image was left out:" if count == 1 else f"{count} images were left out:", file=sys.stderr)
        for reason in photos.skipped.values():
            print(f"  {reason}", file=sys.stderr)
