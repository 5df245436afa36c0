import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from magstyle.litert import network
from magstyle.litert.runtime import Runner
from magstyle.models.transformer import StyleTransformer
from tests.samples import blotches


@pytest.fixture(scope="module")
def model():
    return StyleTransformer(2, alpha=0.25)


def content_for_any_size(model: StyleTransformer, per_pixel: bool) -> bytes:
    parameters = {
        scope: {name: np.asarray(value) for name, value in model.parameters(scope).items()} for scope in model.scopes
    }
    return network.build(model.convolutions, parameters, 0, 0, per_pixel=per_pixel)


@pytest.mark.parametrize("per_pixel", [False, True])
@pytest.mark.parametrize("keep_addresses", [False, True])
def test_a_graph_gives_for_all_sizes_what_the_interpreter_gives(model, keep_addresses, per_pixel):
    content = content_for_any_size(model, per_pixel)
    runner = Runner(content, 1, keep_addresses)
    runner.make_room({"input_image": (1, 48, 48, 3), "style_weights": (1, 48, 48, 2) if per_pixel else (2,)})
    for height, width in [(24, 40), (48, 32), (24, 40), (64, 64)]:
        weights = np.random.default_rng(0).random((1, height, width, 2) if per_pixel else 2, np.float32)
        inputs = {"input_image": blotches(height, width)[None], "style_weights": weights}
        (picture,) = runner.run(inputs).values()
        expected = Interpreter(model_content=content, num_threads=1).get_signature_runner()(**inputs)
        np.testing.assert_array_equal(picture, expected["stylized_image"])


def test_addresses_that_are_not_kept_take_less_memory(model, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content_for_any_size(model, per_pixel=False))
    script = (
        "import pathlib, sys, numpy as np, psutil; from magstyle.litert.runtime import Runner; "
        "runner = Runner(pathlib.Path(sys.argv[1]).read_bytes(), 1, sys.argv[2] == 'True'); "
        "inputs = {'input_image': np.zeros((1, 512, 512, 3), np.float32), 'style_weights': np.ones(2, np.float32)}; "
        "before = psutil.Process().memory_info().rss; runner.run(inputs); "
        "print(psutil.Process().memory_info().rss - before)"
    )
    taken = [
        int(subprocess.run([sys.executable, "-c", script, path, str(keep)], capture_output=True, check=True).stdout)
        for keep in (True, False)
    ]
    assert taken[1] < 0.6 * taken[0]
