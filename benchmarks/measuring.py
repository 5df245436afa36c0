"""Shared by the benchmarks: calls timed in turns, and tables in Markdown under a line that names the machine."""

import argparse
import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import psutil
import tensorflow as tf

# The instruction sets that decide how fast convolutions are, by Linux's names: on x86, then on ARM.
_INSTRUCTION_SETS = {
    **{"avx2": "AVX2", "avx_vnni": "AVX-VNNI", "avx512f": "AVX-512", "avx512_vnni": "AVX-512 VNNI"},
    **{"avx512_bf16": "AVX-512 BF16", "amx_int8": "AMX", "amx_bf16": "AMX BF16"},
    **{"asimd": "NEON", "asimddp": "NEON dot products", "i8mm": "I8MM", "sve": "SVE"},
}
# Those that multiply and add four eight-bit numbers at a time, which makes eight bits fast.
_DOT_PRODUCTS = {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"}
_PACKAGES = {"keras": "Keras", "tensorflow": "TensorFlow", "ai-edge-litert": "LiteRT"}


def parser(description: str, **defaults: Sequence[float] | Sequence[str] | int) -> argparse.ArgumentParser:
    """A parser with those of the flags `alphas`, `engines`, `sides` and `repetitions` that have a default."""
    flags = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, kind, text in (
        ("alphas", float, "of the networks"),
        ("engines", str, "engines that compute: litert, keras"),
        ("sides", int, "of the photos, in pixels: multiples of 4, at least 8"),
        ("repetitions", int, "how often each is timed"),
    ):
        if name in defaults:
            nargs = "+" if name != "repetitions" else None
            flags.add_argument(f"--{name}", type=kind, nargs=nargs, default=defaults[name], help=text)
    return flags


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long a call takes, by a clock of `time`."""
    start = clock()
    call()
    return clock() - start


def in_turns(
    calls: Mapping[str, Callable[[], object]], repetitions: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, np.ndarray]:
    """How long calls take, one after the other, again and again, so that other load on the machine affects all of them.

    Compare two of them by the median of their ratios, `np.median(times["this"] / times["that"])`.

    Args:
        calls: by name. Each is first called once as a warm-up.
        repetitions: how often each is measured.
        clock: of `time`; `time.process_time` counts only the CPU time of the process.

    Returns:
        The seconds, [repetitions], by name.
    """
    for call in calls.values():
        call()
    rounds = [{name: seconds(call, clock) for name, call in calls.items()} for _ in range(repetitions)]
    return {name: np.array([times[name] for times in rounds]) for name in calls}


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints the machine, then a table in Markdown, row by row as they are measured."""

    widths = [max(len(column), len("dynamic_int8")) for column in columns]

    def line(cells):
        return f"| {' | '.join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))} |"

    print(machine(), line(columns), sep="\n\n")
    print("".join(f"|{'-' * width}-:" for width in widths) + "|", flush=True)
    for row in rows:
        print(line(row), flush=True)


def machine() -> str:
    """One line: processor, cores, instruction sets, memory, GPUs, and the versions of the libraries that compute."""
    processor, features = _processor()
    sets = [name for feature, name in _INSTRUCTION_SETS.items() if feature in features]
    if features and not _DOT_PRODUCTS.intersection(features):
        sets.append("no VNNI" if "avx2" in features else "no dot products")
    # Only those this process may use, if the system tells.
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = psutil.cpu_count(logical=False) or threads
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    hardware = [
        processor,
        f"{cores} cores" if cores == threads else f"{threads} threads on {cores} cores",
        *sets,
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB of memory",
        *(gpus or ["no GPU"]),
    ]
    versions = [f"{name} {importlib.metadata.version(package)}" for package, name in _PACKAGES.items()]
    return f"{', '.join(hardware)}; {', '.join([f'Python {platform.python_version()}', *versions])}"


def _processor() -> tuple[str, list[str]]:
    """The name of the processor, and its features by Linux's names; none on other systems."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(re.findall(r"^(.*?)\s*: (.*)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE))
        features = fields.get("flags") or fields.get("Features") or ""
        return fields.get("model name") or platform.machine(), features.split()
    if platform.system() == "Darwin":
        name = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True)
        return name.stdout.strip(), []
    return platform.processor() or platform.machine(), []
