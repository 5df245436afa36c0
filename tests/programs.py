"""Programs that start in a tenth of a second: forked from a process that has imported TensorFlow, which takes four."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

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
