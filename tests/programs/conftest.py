"""What the tests of the training programs share: photos, paintings and VGG, all tiny."""

import numpy as np
import pytest

from magstyle.models.vgg import CONVOLUTIONS_PER_BLOCK
from tests.processes import start
from tests.samples import STYLES, narrow_vgg, picture


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of eight photos."""
    folder = tmp_path_factory.mktemp("photos")
    for k in range(8):
        picture(k, (60 + 4 * k, 52)).save(folder / f"{k}.jpg")
    return folder


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
