import subprocess
import sys

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from magstyle.checkpoints import networks
from magstyle.litert import graph, network
from magstyle.models.transformer import StyleTransformer
from tests.samples import blotches

ARCHITECTURES = {
    "published": {"alpha": 1.0},
    "quarter": {"alpha": 0.25},
    "android": {"filters": (32, 32, 32), "expand_filters": (8, 4), "residual_blocks": 6},
    "live": {"alpha": 0.25, "filters": (16, 64, 128), "residual_blocks": 3, "kernel_size": 5},
}


@pytest.mark.parametrize("shifts", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_convolution_gives_the_numbers_of_keras(architecture, shifts):
    model = StyleTransformer(2, **ARCHITECTURES[architecture])
    rng = np.random.default_rng(0)
    for scope in model.scopes:
        for variable, mean, deviation in zip(
            model.parameters(scope).values(), (0, 1, 0), (0.05, 0.5, 0.5), strict=True
        ):
            variable.assign(rng.normal(mean, deviation, variable.shape))
    parameters = {
        scope: {name: np.asarray(value) for name, value in model.parameters(scope).items()} for scope in model.scopes
    }
    image, weights = blotches(24, 40), np.array([0.75, 0.5], np.float32)
    model_of_graph = network.draw(model.convolutions, parameters, 24, 40, shifts=shifts, watched=model.scopes)
    paint = Interpreter(model_content=graph.serialize(model_of_graph)).get_signature_runner()
    outputs = paint(input_image=image[None], style_weights=weights)
    layers = [model.get_layer(scope.replace("/", "_")).output for scope in model.scopes]
    *expected, stylized_image = keras.Model(model.inputs, [*layers, model.output]).predict_on_batch(
        [image[None], weights[None]]
    )
    for scope, features in zip(model.scopes, expected, strict=True):
        found = outputs[f"{scope}/result"]
        if found.shape != features.shape:  # Up-sampled, with a border of one pixel.
            found = found[:, 1:-1, 1:-1]
        if not shifts:
            # Both but for a number per channel, which the normalisation after it takes away.
            found, features = (x - x.mean(axis=(1, 2), keepdims=True) for x in (found, features))
        np.testing.assert_allclose(found, features, rtol=0, atol=1e-4 * np.abs(features).max(), err_msg=scope)
    np.testing.assert_allclose(outputs["stylized_image"], stylized_image, atol=1e-4)


# Operations that tensorflow/lite/tools/versioning/gpu_compatibility.cc accepts, for the delegate; of these,
# those that the network could use. (The list in the documentation of LiteRT is shorter.)
ON_GPUS = {
    *("ADD", "CONCATENATION", "CONV_2D", "DEPTH_TO_SPACE", "LOGISTIC", "MAXIMUM", "MEAN", "MUL", "RELU", "RESHAPE"),
    *("RSQRT", "SPACE_TO_DEPTH", "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB"),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_operation_is_one_that_the_gpu_delegate_of_litert_takes(architecture):
    found = networks.from_model(StyleTransformer(22, **ARCHITECTURES[architecture]))
    model = network.draw(found.convolutions, found.parameters, 48, 64)
    names = {getattr(schema.BuiltinOperator, name): name for name in ON_GPUS}
    [main] = model.subgraphs
    for entry in main.operators:
        code = model.operatorCodes[entry.opcodeIndex]
        assert code.builtinCode in names and code.version == 1
        shapes = [tuple(main.tensors[index].shape) for index in entry.inputs]
        if names[code.builtinCode] == "MUL":  # Neither may be smaller in one dimension and larger in another.
            assert tuple(np.maximum(*shapes)) in shapes
        if names[code.builtinCode] == "STRIDED_SLICE":
            options = entry.builtinOptions
            assert not (options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask)


def test_graphs_need_neither_tensorflow_nor_keras():
    script = "import sys, magstyle.litert.tiles; assert not {'tensorflow', 'keras'} & {*sys.modules}"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_file_for_any_size_takes_no_more_memory_than_one_for_that_size(tmp_path):
    model = StyleTransformer(1, alpha=0.25)
    parameters = {
        scope: {name: np.asarray(value) for name, value in model.parameters(scope).items()} for scope in model.scopes
    }
    script = (
        "import sys, numpy as np, psutil; from ai_edge_litert.interpreter import Interpreter; "
        "paint = Interpreter(model_path=sys.argv[1]).get_signature_runner(); "
        "image = np.zeros((1, 512, 512, 3), np.float32); before = psutil.Process().memory_info().rss; "
        "paint(input_image=image, style_weights=np.ones(1, np.float32)); "
        "print(psutil.Process().memory_info().rss - before)"
    )
    taken = {}
    for side in (0, 512):
        path = tmp_path / f"{side}.tflite"
        path.write_bytes(network.build(model.convolutions, parameters, side, side))
        command = [sys.executable, "-c", script, str(path)]
        taken[side] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert taken[0] < 1.1 * taken[512]
