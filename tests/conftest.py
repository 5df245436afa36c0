"""Fixtures for all tests: reference arrays, files of ../shared, small networks, photos and paintings, and programs."""

import gc
import os
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

from magstyle.models.predictor import ArbitraryStyleTransformer
from magstyle.models.transformer import StyleTransformer
from magstyle.models.vgg import CONVOLUTIONS_PER_BLOCK
from magstyle.training.gram_matrices import create_style_dataset
from tests import processes
from tests.places import ROOT, SHARED
from tests.samples import STYLES, narrow_vgg, picture

# As for programs: see forked.py.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
PROGRESS = r"((picture|frame)/s|s/(picture|frame))[],]"


def pytest_collection_finish():
    """Freezes all objects made before the first test, so that garbage collections need not scan them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seed():
    """Gives every test the same random weights each time it runs, alone or among others."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def reference():
    """Loads the arrays that Magenta's code printed: reference("vgg16_endpoints")."""
    return lambda name: np.load(ROOT / "tests" / "reference" / f"{name}.npz")


@pytest.fixture
def shared():
    """Finds a file of ../shared, or skips the test and names the file: shared("models/stylize_quantized.pb")."""

    def find(name):
        if not (SHARED / name).exists():
            pytest.skip(f"needs ../shared/{name}")
        return SHARED / name

    return find


@pytest.fixture(scope="session")
def small_model():
    """A network of three named styles with random weights, fast enough to run in every test."""
    model = StyleTransformer(
        3, filters=(4, 6, 8), expand_filters=(6, 4), residual_blocks=1, style_names=["scream", "wave", "starry_night"]
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0.5 if w.ndim == 2 else 0, 0.3, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="session")
def small_checkpoint(small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.keras"
    small_model.save(path)
    return path


@pytest.fixture(scope="session")
def any_model():
    """A small model for any painting, with random weights."""
    sizes = {"filters": (4, 6, 8), "expand_filters": (6, 4), "residual_blocks": 1}
    model = ArbitraryStyleTransformer(5, **sizes, predictor_filters=(4, 6), predictor_units=(8,))
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0.3 if len(weight.shape) == 2 else 0, 0.3, weight.shape))
    for scope in ("conv1", "conv2"):
        moments = model.predictor.parameters(scope)
        moments["center"].assign(rng.normal(0, 0.1, moments["center"].shape))
        moments["scale"].assign(rng.uniform(0.2, 0.5, moments["scale"].shape))
    return model


@pytest.fixture(scope="session")
def anything(any_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("anything") / "anything.keras"
    any_model.save(path)
    return path


@pytest.fixture
def run():
    """Runs a program of bin/ as a user does: run("stylize", "--format=png") has returncode, stdout and stderr."""

    def call(program, *args, **options):
        return processes.run([str(ROOT / "bin" / f"{program}.py"), *map(str, args)], **options)

    return call


@pytest.fixture
def refused(run):
    """Runs a program that must exit with code 1 and one sentence, and returns the sentence."""

    def call(program, *args, **kwargs):
        result = run(program, *args, **kwargs)
        assert result.returncode == 1, result.stderr
        lines = [line for line in result.stderr.splitlines() if line.strip() and not re.search(PROGRESS, line)]
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith(f"{program}.py: ")
        return lines[0]

    return call


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
    """A dataset of two paintings."""
    folder = tmp_path_factory.mktemp("styles")
    for k, name in enumerate(STYLES):
        picture(100 + k, (70, 64)).save(folder / f"{name}.png")
    return create_style_dataset(folder, folder / "styles.tfrecord", vgg_checkpoint=vgg_file)
