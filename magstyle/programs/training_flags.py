"""Flags of the programs that train, and of the one that evaluates with the same losses."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence

from absl import flags

from magstyle.programs import command_line, launcher, option_flags, shared_flags
from magstyle.training.jobs import Objective, TrainingOptions

FLAGS = flags.FLAGS
# Flags defined below belong to the program that calls.
flags.disclaim_key_flags()


def define(job: type[Objective], skip: Sequence[str] = ()) -> None:
    """Defines the flags of a job: photos, paintings, losses, and whatever else the job has.

    Args:
        job: the class of the job.
        skip: fields without a flag.
    """
    option_flags.define_options(job, skip)


def data(arguments: list[str]) -> dict[str, object]:
    """The photos and the weights that the flags give, by the library's names."""
    weights = {
        name: command_line.literal(FLAGS[name].value)
        for name in ("content_weights", "style_weights", "style_coefficients")
        if name in FLAGS
    }
    return {**shared_flags.photos(arguments, "imagenet_data_dir", "tfds_name"), **weights}


def train(function: str, job: type[TrainingOptions], arguments: list[str], **values: object) -> None:
    """Trains as the flags say, and prints the path of the model.

    Ctrl-C, SIGTERM and SIGHUP end it after the current step, a second one at once. If another machine of several is
    lost, it waits for that machine's return and goes on with it.

    Args:
        function: the name of the function of `magstyle.training.trainer` that trains.
        job: the class of its options.
        arguments: those that follow the flags.
        values: options whose flags the program defines itself.
    """
    given = command_line.values_for(job, **data(arguments), **values)
    job(**given)  # Refuses invalid options before TensorFlow is imported.
    _end_at_once_when_told_twice()
    command_line.import_tensorflow()
    from magstyle.training import trainer

    try:
        path = getattr(trainer, function)(**given)
    except trainer.WorkerLostError:
        print("A worker was lost. Waiting for its return, to go on from the last checkpoint.", file=sys.stderr)
        command_line.start_again()
    if path:
        print(path)


def _end_at_once_when_told_twice() -> None:
    """Ends the process when Ctrl-C or SIGTERM comes a second time; the last checkpoint is whole at any time.

    Python handles signals only between two steps, and a step can take half a minute; its wakeup descriptor reports them
    at once.
    """
    stopping = launcher.stopping_signals()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)

    def watch(_open: socket.socket) -> None:
        heard = set()
        while True:
            [number] = receiver.recv(1)
            if number in heard and number in launcher.INSISTENT:
                os._exit(128 + number)
            if number in stopping and number not in heard:
                heard.add(number)
                with contextlib.suppress(OSError):
                    os.write(2, b"\nStopping after this step. Ctrl-C again stops at once, at the last checkpoint.\n")

    threading.Thread(target=watch, args=(sender,), daemon=True).start()
