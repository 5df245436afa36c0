"""Starts a program: what the launchers in bin/ and the console scripts call.

It imports nothing heavy, so that a signal that comes while the program is being imported ends it in silence, too.
"""

import functools
import importlib.util
import os
import signal
from collections.abc import Callable
from typing import NoReturn

# Those by which somebody asks again to stop at once. A terminal that closes may say so twice, and asks for nothing.
INSISTENT = (signal.SIGINT, signal.SIGTERM)


def run(program: str) -> None:
    """Runs a program, by the name of its module, to its exit."""
    on_stop(_exit_at_once)  # Until the program takes over, there is nothing to clean up.
    importlib.import_module(f"magstyle.programs.{program}").run()


def stopping_signals() -> list[signal.Signals]:
    """The signals that ask a program to stop.

    They are Ctrl-C, SIGTERM, and SIGHUP, which tells that the terminal has gone, unless the program was started to
    ignore that, as by `nohup`.
    """
    hangs_up = hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    return [*INSISTENT, *([signal.SIGHUP] if hangs_up else [])]


def on_stop(handler: Callable[[int, object], NoReturn]) -> None:
    """Has a handler called for every signal that asks this program to stop."""
    for number in stopping_signals():
        signal.signal(number, handler)


def __getattr__(program: str) -> Callable[[], None]:
    """A function that runs a program: a console script must name one."""
    if program.startswith("_") or not importlib.util.find_spec(f"magstyle.programs.{program}"):
        raise AttributeError(f"there is no program {program}")
    return functools.partial(run, program)


def _exit_at_once(number: int, _: object) -> NoReturn:
    os._exit(128 + number)
