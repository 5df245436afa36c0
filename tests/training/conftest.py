"""What the tests of training share."""

import keras
import pytest

from tests.training import small


@pytest.fixture
def batch():
    return small.batch()


@pytest.fixture
def float64():
    """Everything that a test builds computes in float64."""
    for dtype in ("float64", "float32"):
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        if dtype == "float64":
            yield
