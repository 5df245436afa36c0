"""What does it take to open one LiteRT file?

A process of its own, as memory that was used before is quicker to get: prints the seconds from the file to its first
picture, the median seconds of the later ones, and the MiB by which the process has grown.
"""

import pathlib
import statistics
import sys
import time

import numpy as np
import psutil
from ai_edge_litert.interpreter import Interpreter


def main(path: str, side: int, threads: int, repetitions: int) -> None:
    content = pathlib.Path(path).read_bytes()
    rng = np.random.default_rng(0)
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    interpreter = Interpreter(model_content=content, num_threads=threads)
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
    print(first, statistics.median(later), grown / 2**20)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
