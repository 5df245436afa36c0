"""What does it cost to open one LiteRT file? Other benchmarks call `measure`.

It starts this file as a separate process, because memory that was used before is quicker to get.
"""

import mmap
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np
import psutil
from ai_edge_litert.interpreter import Interpreter

from magstyle.litert import runtime

THREADS = 2


class Opening(NamedTuple):
    """Seconds, and bytes.

    Attributes:
        first: from the file to its first picture.
        later: for another picture; the median.
        memory: the growth of the process by the end of the first picture.
        taking: to take this memory from the system without using it.
    """

    first: float
    later: float
    memory: float
    taking: float


def measure(content: bytes, side: int, repetitions: int, keep_addresses: bool = True) -> Opening:
    """The cost of opening a file to paint squares of this side; keep_addresses is that of `litert.runtime.Runner`."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.tflite"
        path.write_bytes(content)
        command = [sys.executable, __file__, str(path), str(side), str(repetitions), str(int(keep_addresses))]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Opening(*map(float, output.split()))


def main(path: str, side: int, repetitions: int, keep_addresses: bool) -> None:
    content = pathlib.Path(path).read_bytes()
    rng = np.random.default_rng(0)
    details = Interpreter(model_content=content).get_signature_runner().get_input_details()
    inputs = {
        name: rng.random((1, side, side, 3) if len(entry["shape"]) == 4 else entry["shape"], np.float32)
        for name, entry in details.items()
    }
    runtime.start()
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    runner = runtime.Runner(content, THREADS, keep_addresses)
    runner.run(inputs)
    first = time.perf_counter() - start
    grown = psutil.Process().memory_info().rss - before
    later = []
    for _ in range(repetitions):
        start = time.perf_counter()
        runner.run(inputs)
        later.append(time.perf_counter() - start)
    start = time.perf_counter()
    memory = mmap.mmap(-1, grown, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    np.frombuffer(memory, np.uint8)[:: mmap.PAGESIZE] = 1
    print(first, statistics.median(later), grown, time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4] == "1")
