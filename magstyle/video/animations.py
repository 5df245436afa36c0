"""Frames to an animation in a file: GIF or WebP, which loop forever, or a clip."""

import contextlib
import itertools
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from magstyle import files
from magstyle.errors import InputError
from magstyle.video import codec

# Pillow's options for the formats that loop.
_ENDLESS: dict[str, dict[str, Any]] = {".gif": {"format": "GIF"}, ".webp": {"format": "WEBP", "quality": 90}}
_CLIPS = (".mp4", ".webm")
SUFFIXES = (*_ENDLESS, *_CLIPS)
_FRAME_SECONDS = Fraction(1, 10)

# Adds a frame, uint8 RGB [H, W, 3].
Add = Callable[[np.ndarray], object]


def check_writable(path: str | os.PathLike) -> None:
    """Raises an InputError if `path` cannot be that of an animation, or PyAV is missing and needed for it."""
    files.check_name(path)
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"cannot write {path}: the name of an animation must end in one of {', '.join(SUFFIXES)}")
    if suffix in _CLIPS:
        codec.check_writable(path)


@contextlib.contextmanager
def writing(path: str | os.PathLike, size: tuple[int, int]) -> Iterator[Add]:
    """Gives a function that adds a frame; the block's frames become an animation of 10 frames per second.

    If the block is interrupted by Ctrl-C, SIGTERM or an InputError, the frames so far are written, if there are any.

    Args:
        path: the file to write: .gif or .webp, which start again when they end, or .mp4 (H.264) or .webm (VP9), whose
            frames are not held in memory.
        size: height and width of the frames.

    Raises:
        InputError: as `check_writable`, or if the operating system refuses.
    """
    check_writable(path)
    endless = pathlib.Path(path).suffix.lower() in _ENDLESS
    interruption: BaseException | None = None
    count = 0
    with files.replacing(path) as temporary, _pictures(temporary) if endless else _clip(temporary, size) as write:

        def add(frame: np.ndarray) -> None:
            nonlocal count
            write(frame)
            count += 1

        try:
            yield add
        except (KeyboardInterrupt, SystemExit, InputError) as error:
            if not count:
                raise
            interruption = error
    if interruption:
        raise interruption


@contextlib.contextmanager
def _pictures(path: pathlib.Path) -> Iterator[Add]:
    frames: list[np.ndarray] = []
    yield frames.append
    first, *rest = map(Image.fromarray, frames)
    milliseconds = round(1000 * _FRAME_SECONDS)
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0, **_ENDLESS[path.suffix.lower()])


@contextlib.contextmanager
def _clip(path: pathlib.Path, size: tuple[int, int]) -> Iterator[Add]:
    with codec.Writer(path, size, _FRAME_SECONDS, 1 / _FRAME_SECONDS) as writer:
        numbers = itertools.count()
        yield lambda frame: writer.write(frame, next(numbers) * _FRAME_SECONDS, _FRAME_SECONDS)
        for remark in writer.remarks:
            print(remark, file=sys.stderr)
