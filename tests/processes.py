"""Programs as users start them.

`run` takes a tenth of a second: it forks a process that has imported TensorFlow, which takes four. `start` takes its
time, and gives a process that can be watched and killed.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

from tests.places import ENV, ROOT

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["keras", "tensorflow"])


def run(command: Sequence[str], env: Mapping[str, str], cwd: os.PathLike | None = None) -> subprocess.CompletedProcess:
    """What `subprocess.run` answers to `python COMMAND` with no input, as text."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        process = _server.Process(target=_become, args=(command, dict(env), cwd, streams))
        process.start()
        process.join()
        output = []
        for path in streams:
            with open(path, encoding="utf-8") as file:
                output.append(file.read())
    return subprocess.CompletedProcess(command, process.exitcode, *output)


def start(program, *args, **kwargs) -> subprocess.Popen:
    """A program of bin/, running."""
    command = [sys.executable, str(ROOT / "bin" / f"{program}.py"), *map(str, args)]
    kwargs = {"env": ENV, **kwargs}
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
    )


def wait_for(condition, process: subprocess.Popen, seconds: float = 100) -> None:
    """Until the condition holds while the process runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.002)


def kill(process: subprocess.Popen) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def _become(command: Sequence[str], env: Mapping[str, str], cwd: os.PathLike | None, streams: Sequence[str]) -> None:
    os.environ.clear()
    os.environ.update(env)
    if cwd:
        os.chdir(cwd)
    for number, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = list(command)
    sys.path.insert(0, os.path.dirname(command[0]))
    runpy.run_path(command[0], run_name="__main__")
