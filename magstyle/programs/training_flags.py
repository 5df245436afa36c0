"""Flags of the programs that train, and of the one that evaluates with the same losses."""

import contextlib
import os
import signal
import socket
import sys
import threading

from absl import flags

from magstyle import sizes
from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS
# What is defined below belongs to the program that calls.
flags.disclaim_key_flags()


class _BooleanOrAutoParser(flags.BooleanParser):
    """Of a flag that can be --FLAG, --noFLAG, and --FLAG=auto."""

    def parse(self, argument: str | int) -> bool | str:
        if argument == "auto":
            return argument
        try:
            return super().parse(argument)
        except ValueError as error:
            raise ValueError(f"{argument} is none of true, false and auto") from error


def define_data() -> None:
    """Paintings and photos, and the losses between them: of train, finetune and evaluate."""
    flags.DEFINE_string("style_dataset_file", None, "The paintings, as bin/create_style_dataset.py writes them.")
    shared_flags.define_content_files()
    flags.DEFINE_string(
        "imagenet_data_dir", None, "Or: folder with ImageNet's TFRecord shards train-00000-of-01024, ..."
    )
    shared_flags.define_tfds()
    flags.DEFINE_string("vgg_checkpoint", "imagenet", shared_flags.VGG)
    flags.DEFINE_string("content_weights", None, "Weights by VGG end point; \"{'vgg_16/conv3': 1.0}\" by default.")
    flags.DEFINE_string(
        "style_weights", None, "The same for the style; 1e-4 on each of vgg_16/conv1 to conv4 by default."
    )
    flags.DEFINE_string(
        "style_coefficients",
        None,
        "Multiplies the style weights per style: a list, or {style: coefficient}; 1 by default.",
    )
    flags.DEFINE_float("total_variation_weight", 0.0, "Weight of the total variation of the pictures.", lower_bound=0)
    flags.DEFINE_float(
        "checkerboard_weight", 0.0, "Weight of what repeats every 4 pixels all over a picture.", lower_bound=0
    )
    flags.DEFINE_float("mesh_weight", 0.0, "Weight of the lattice that a long training weaves.", lower_bound=0)
    flags.DEFINE_integer("batch_size", 16, "Photos per step, on all devices together.", lower_bound=1)
    flags.DEFINE_integer(
        "image_size",
        256,
        "Side of the crops of the photos, in pixels; a multiple of 4.",
        lower_bound=sizes.SMALLEST_FOR_VGG,
    )
    flags.DEFINE_integer("seed", 0, "Of the initial weights, the order of the photos and their styles.", lower_bound=0)
    flags.DEFINE_integer("num_styles", None, "Not needed; if given, the style dataset must have that many.")
    flags.mark_flag_as_required("style_dataset_file")
    flags.register_validator(
        "image_size",
        lambda size: size % sizes.MULTIPLE == 0,
        message=f"must be a multiple of {sizes.MULTIPLE}, as the network's pictures are",
    )


def data(arguments: list[str]) -> dict[str, object]:
    """The photos and the weights that the flags of `define_data` say, by the library's names."""
    weights = {
        name: command_line.literal(FLAGS[name].value)
        for name in ("content_weights", "style_weights", "style_coefficients")
    }
    return {**shared_flags.photos(arguments, "imagenet_data_dir", "tfds_name"), **weights}


def define_training() -> None:
    """The course of a training: of train and finetune."""
    define_data()
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
    flags.DEFINE_float(
        "clip_gradient_norm", 0.0, "Largest norm of each variable's gradient; 0 for none.", lower_bound=0
    )
    flags.DEFINE_bool("augment", False, "Crop the photos at random places and sizes, and mirror them at random.")
    flags.DEFINE_float("save_summaries_secs", 15, "Seconds between two points of TensorBoard's curves.", lower_bound=0)
    flags.DEFINE_float("save_interval_secs", 15, "Seconds between two checkpoints.", lower_bound=0)
    text = "Compute in bfloat16; weights and losses stay float32. --mixed_precision=auto does so where it is faster."
    parser = _BooleanOrAutoParser()
    flags.DEFINE_flag(flags.Flag(parser, flags.ArgumentSerializer(), "mixed_precision", "auto", text, boolean=True))
    flags.DEFINE_bool("jit_compile", False, "Compile the training step with XLA.")
    flags.DEFINE_enum(
        "distribution",
        "none",
        ["none", "mirrored", "multi_worker"],
        "One device, all of this machine, or of TF_CONFIG.",
    )
    flags.mark_flag_as_required("train_dir")


def train(function: str, arguments: list[str]) -> None:
    """Trains by a function of `magstyle.training.trainer` as the flags say, and prints the path of the model.

    Ctrl-C and SIGTERM end it after the step that is being made, and a second one at once. If another machine of several
    is lost, waits for its return and goes on with it.
    """
    given = data(arguments)
    _end_at_once_when_told_twice()
    command_line.import_tensorflow()
    from magstyle.training import trainer

    function = getattr(trainer, function)
    try:
        path = function(**command_line.values_for(function, **given))
    except trainer.WorkerLostError:
        print("A worker was lost. Waiting for its return, to go on from the last checkpoint.", file=sys.stderr)
        command_line.start_again()
    if path:
        print(path)


def _end_at_once_when_told_twice() -> None:
    """Ends the process when Ctrl-C or SIGTERM comes a second time; the last checkpoint is whole, whenever that is.

    Python handles signals between two steps only, of which one can take half a minute; its wakeup descriptor tells of
    them at once.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)

    def watch(_open: socket.socket) -> None:
        heard = set()
        while True:
            [number] = receiver.recv(1)
            if number in heard:
                os._exit(128 + number)
            if number in (signal.SIGINT, signal.SIGTERM):
                heard.add(number)
                with contextlib.suppress(OSError):
                    os.write(2, b"\nStopping after this step. Ctrl-C again stops at once, at the last checkpoint.\n")

    threading.Thread(target=watch, args=(sender,), daemon=True).start()
