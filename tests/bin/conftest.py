"""What the tests of the training programs share: photos, paintings and VGG, all tiny, and how to run and read them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from magstyle.models.vgg import CONVOLUTIONS_PER_BLOCK
from tests.conftest import ENV, ROOT

STYLES = ["scream", "wave"]


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    """Coloured blotches."""
    blotches = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(blotches).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of eight photos."""
    folder = tmp_path_factory.mktemp("photos")
    for k in range(8):
        picture(k, (60 + 4 * k, 52)).save(folder / f"{k}.jpg")
    return folder


def narrow_vgg(depth: int, convolutions_per_block: Sequence[int]) -> dict[str, np.ndarray]:
    """Random weights of a VGG 4 to 8 channels wide."""
    rng = np.random.default_rng(0)
    weights, channels = {}, 3
    for block, convolutions in enumerate(convolutions_per_block, start=1):
        for i in range(1, convolutions + 1):
            name = f"vgg_{depth}/conv{block}/conv{block}_{i}"
            filters = 4 if block == 1 else 8
            kernel = rng.standard_normal((3, 3, channels, filters), np.float32) * np.float32((2 / 9 / channels) ** 0.5)
            weights[f"{name}/weights"] = kernel / 64 if channels == 3 else kernel
            weights[f"{name}/biases"] = np.zeros(filters, np.float32)
            channels = filters
    return weights


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory):
    """A VGG-16 of four blocks, 4 to 8 channels wide."""
    path = tmp_path_factory.mktemp("vgg") / "vgg.npz"
    np.savez(path, **narrow_vgg(16, CONVOLUTIONS_PER_BLOCK[16][:4]))
    return path


@pytest.fixture(scope="session")
def style_dataset(tmp_path_factory, vgg_file):
    """The dataset of two paintings, made by the program."""
    folder = tmp_path_factory.mktemp("styles")
    for k, name in enumerate(STYLES):
        picture(100 + k, (70, 64)).save(folder / f"{name}.png")
    path = folder / "styles.tfrecord"
    process = start(
        "create_style_dataset", f"--style_files={folder}", f"--output_file={path}", f"--vgg_checkpoint={vgg_file}"
    )
    assert process.wait() == 0, process.stderr.read()
    return path


@pytest.fixture(scope="session")
def training_flags(photos, vgg_file, style_dataset):
    """Flags of a training that takes seconds; the train_dir and more are to follow."""
    return [
        f"--style_dataset_file={style_dataset}",
        f"--content_files={photos}",
        f"--vgg_checkpoint={vgg_file}",
        "--batch_size=2",
        "--image_size=32",
        "--save_summaries_secs=0",
    ]


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


def curves(folder) -> dict[str, dict[int, float]]:
    """Value by step by name, of all event files of a folder; of steps written twice the later one."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.stat().st_mtime_ns):
        try:
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == "scalars":
                        found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
        except tf.errors.DataLossError:
            continue  # The end of the file of a program that was killed.
    return found


def images_in(folder) -> set[str]:
    """The names of the images in the event files of a folder."""
    return {
        value.tag
        for path in folder.glob("events.out.tfevents.*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "images"
    }
