"""What is seen of a long optimisation while it runs, and what is left of it when it is interrupted."""

import contextlib
import sys
from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from magstyle.optimization.pixels import Report


@contextlib.contextmanager
def watched(
    steps: int, write: Callable[[np.ndarray, int | None], object], snapshot_steps: int | None = None
) -> Iterator[Report]:
    """Gives a report that shows steps and losses on stderr, and writes snapshots.

    If the block is interrupted, by Ctrl-C or SIGTERM, the picture of that moment is written, and stderr says so.

    Args:
        steps: how many there will be.
        write: writes a picture [H, W, 3], given the number of the step for a snapshot, or None for the last one.
        snapshot_steps: how often to write one; never by default.
    """
    latest = None
    with tqdm(total=steps, unit="step") as bar:

        def report(picture: np.ndarray, terms: dict[str, float]) -> None:
            nonlocal latest
            latest = picture
            bar.set_postfix({name: f"{value:.4g}" for name, value in terms.items()}, refresh=False)
            bar.update()
            if snapshot_steps and bar.n % snapshot_steps == 0:
                write(picture, bar.n)

        try:
            yield report
        except (KeyboardInterrupt, SystemExit):
            if latest is not None:
                write(latest, None)
                tqdm.write(f"interrupted after {bar.n} steps; what is there so far is written", sys.stderr)
            raise
