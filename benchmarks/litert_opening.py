"""What does it take to open one LiteRT file? Other benchmarks ask `measure`.

It starts this file as a process of its own, as memory that was used before is quicker to get.
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

THREADS = 2


class Opening(NamedTuple):
    """Seconds, and bytes.

    Attributes:
        first: from the file to its first picture.
        later: for another picture; the median.
        memory: by which the process has grown after the first picture.
        taking: to take as much memory from the system, and do nothing else with it.
    """

    first: float
    later: float
    memory: float
    taking: float


def measure(content: bytes, side: int, repetitions: int) -> Opening:
    """What opening a file takes that paints squares of this side."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.tflite"
        path.write_bytes(content)
        command = [sys.executable, __file__, str(path), str(side), str(repetitions)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Opening(*map(float, output.split()))


def main(path: str, side: int, repetitions: int) -> None:
    content = pathlib.Path(path).read_bytes()
    rng = np.random.default_rng(0)
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    interpreter = Interpreter(model_content=content, num_threads=THREADS)
    details = interpreter.get_input_details()
    shapes = {entry["index"]: (1, side, side, 3) if len(entry["shape"]) == 4 else entry["shape"] for entry in details}
    for index, shape in shapes.items():
        interpreter.resize_tensor_input(index, shape)
    interpreter.allocate_tensors()
    for index, shape in shapes.items():
        interpreter.set_tensor(index, rng.random(shape, np.float32))
    interpreter.invoke()
    first = time.perf_counter() - start
    grown = psutil.Process().memory_info().rss - before
    later = []
    for _ in range(repetitions):
        start = time.perf_counter()
        interpreter.invoke()
        later.append(time.perf_counter() - start)
    start = time.perf_counter()
    memory = mmap.mmap(-1, grown, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    np.frombuffer(memory, np.uint8)[:: mmap.PAGESIZE] = 1
    print(first, statistics.median(later), grown, time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
