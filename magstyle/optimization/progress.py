"""Shows the progress of a long optimisation, and saves its picture if it is interrupted."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from tqdm import tqdm

from magstyle.names import counted
from magstyle.optimization.pixels import Report


@contextlib.contextmanager
def watched(
    steps: int, write: Callable[[np.ndarray, int | None], object], snapshot_steps: int | None = None
) -> Iterator[Report]:
    """Gives a report that shows steps and losses on stderr, and writes snapshots.

    If Ctrl-C or SIGTERM interrupts the block, writes the picture of that moment, and says so on stderr.

    Args:
        steps: the total number of steps.
        write: writes a picture [H, W, 3]; its second argument is the number of steps of a snapshot, None for the last
            picture.
        snapshot_steps: steps from one snapshot to the next; no snapshots by default.
    """
    latest = None
    with tqdm(total=steps, unit="step") as bar:

        def report(picture: np.ndarray, terms: Mapping[str, float]) -> None:
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
                tqdm.write(f"interrupted after {counted(bar.n, 'step')}; the result so far is written", sys.stderr)
            raise
