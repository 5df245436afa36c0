"""Runs programs as users do.

They start in a tenth of a second, because they are forked from a process that has already imported TensorFlow, which
takes four seconds.
"""

import atexit
import functools
import multiprocessing
import multiprocessing.forkserver
import os
import pathlib
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

from tests.places import ENV, ROOT

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["tests.forked"])


class Program:
    """A running `python COMMAND`, without input.

    Args:
        command: the path of a program, and its arguments.
        env: its whole environment.
        cwd: its working directory; the directory of the tests by default.
        largest_file: maximum size of a file, in bytes; writing beyond it fails as on a full disk.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] = ENV,
        cwd: os.PathLike | None = None,
        largest_file: int | None = None,
    ):
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [pathlib.Path(self._folder.name) / name for name in ("stdout", "stderr")]
        for path in self._streams:
            path.touch()
        # A forked process runs no atexit handlers, so its temporary files must vanish with this folder.
        env = {**env, "TMPDIR": self._folder.name}
        _start_server()
        self._process = _server.Process(target=_become, args=(command, env, cwd, self._streams, largest_file))
        self._process.start()
        # A failing test may leave it running; then nobody waits for its end.
        atexit.register(self._process.kill)

    @property
    def stdout(self) -> str:
        """Its output so far."""
        return self._streams[0].read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        """Its error output so far."""
        return self._streams[1].read_text(encoding="utf-8", errors="replace")

    @property
    def returncode(self) -> int | None:
        """Exit code; None while it runs, -N if signal N ended it."""
        return self._process.exitcode

    def wait(self, seconds: float = 600) -> int:
        """Waits for its end, and returns the exit code; a program that hangs is killed after a number of seconds."""
        self._process.join(seconds)
        if self.returncode is None:
            self._process.kill()
            self._process.join()
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self.wait()


def run(
    command: Sequence[str], env: Mapping[str, str] = ENV, cwd: os.PathLike | None = None, **options: int
) -> subprocess.CompletedProcess:
    """Runs a `Program` to its end."""
    program = Program(command, env, cwd, **options)
    return subprocess.CompletedProcess(command, program.wait(), program.stdout, program.stderr)


def start(program: str, *args, **options) -> Program:
    """Starts a program of bin/."""
    return Program([str(ROOT / "bin" / f"{program}.py"), *map(str, args)], **options)


def command(*words, **options) -> subprocess.CompletedProcess:
    """Runs the command `magstyle` to its end."""
    return run([str(console_script()), *map(str, words)], **options)


@functools.cache
def console_script() -> pathlib.Path:
    """A file like the one that pip makes of the console script `magstyle`."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = pathlib.Path(folder.name) / "magstyle"
    path.write_text("import sys\nfrom magstyle.programs.launcher import commands\nsys.exit(commands())\n")
    return path


def wait_for(condition: Callable[[], bool], program: Program, seconds: float = 100) -> None:
    """Waits until the condition holds; the program must still be running."""
    end = time.monotonic() + seconds
    while True:
        begin = time.monotonic()
        if condition():
            return
        assert program.returncode is None, program.stderr
        assert begin < end
        # Check a slow condition less often, since the program needs the processor.
        time.sleep(max(0.002, 5 * (time.monotonic() - begin)))


@functools.cache
def _start_server() -> None:
    # The server finds the modules of the tests in its working directory.
    folder = os.getcwd()
    os.chdir(ROOT)
    multiprocessing.forkserver.ensure_running()
    os.chdir(folder)


def _become(
    command: Sequence[str],
    env: Mapping[str, str],
    cwd: os.PathLike | None,
    streams: Sequence[os.PathLike],
    largest_file: int | None,
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Whoever runs the tests may ignore it, as by `nohup`.
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # Forget the cached value; read TMPDIR again.
    if cwd:
        os.chdir(cwd)
    for number, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.argv, sys.orig_argv = list(command), [sys.executable, *command]
    sys.path.insert(0, os.path.dirname(command[0]))
    runpy.run_path(command[0], run_name="__main__")
