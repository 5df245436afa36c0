"""How fast are LiteRT files on this CPU, with two threads?

Each paints the same photo as `plain` and `float32`, in turns, in one process; these two are also compared with
themselves, which shows how exact the ratios are. `plain` is the same network of plain layers, converted by TensorFlow's
converter; `any size` is float32 too. The convolutions of a file alone are a lower bound for the time of any better
graph. The set-up is the time to open a file and the extra time of its first picture; the memory is the growth of the
process by then.
"""

# (This file is not called litert.py: TensorFlow looks for a package of that name before its own.)

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import litert_opening
import measuring
import networks
from magstyle.export import tflite
from magstyle.litert import graph

COLUMNS = [
    *("alpha", "pixels", "file", "seconds", "plain / it", "plain / its convolutions", "float32 / it"),
    *("set-up / seconds", "memory, MiB", "largest difference"),
]


def measure(alphas: Sequence[float], sides: Sequence[int], repetitions: int) -> Iterator[list[str]]:
    for alpha in alphas:
        model = networks.style_transformer(alpha)
        weights = np.eye(4, dtype=np.float32)[0]
        for side in sides:
            photo = np.random.default_rng(0).random((side, side, 3), np.float32)
            expected = model.predict_on_batch([photo[None], weights[None]])
            files = {"plain": convert_plain(model, side)}
            for precision in tflite.PRECISIONS:
                files[precision] = tflite.convert(model, side, precision, images=[photo[:128, :128]])
            files["any size"] = tflite.convert(model, 0)
            references = {name: runner(files[name], [photo[None], weights]) for name in ("plain", "float32")}
            for name, content in files.items():
                paint = references.get(name) or runner(content, [photo[None], weights])
                difference = np.abs(paint() - expected).max()
                opening = litert_opening.measure(content, side, repetitions)
                # Only a file of one size knows the shapes of its tensors.
                alone = runner(convolutions_alone(files["float32"] if name == "any size" else content))
                times = measuring.in_turns({**references, "it": paint, "convolutions": alone}, repetitions)
                yield [
                    *(f"{alpha:g}", f"{side} x {side}", name, f"{np.median(times['it']):.3f}"),
                    f"{np.median(times['plain'] / times['it']):.2f}",
                    f"{np.median(times['plain'] / times['convolutions']):.2f}",
                    f"{np.median(times['float32'] / times['it']):.2f}",
                    *(f"{opening.first / opening.later - 1:.2f}", f"{opening.memory / 2**20:.0f}"),
                    f"{difference:.1e}",
                ]


def convert_plain(model: keras.Model, side: int) -> bytes:
    """The network of plain layers, converted by TensorFlow's converter for one photo [1, side, side, 3]."""
    plain = networks.of_keras_layers(model)
    specs = [tf.TensorSpec([1, side, side, 3], tf.float32), tf.TensorSpec([model.num_styles], tf.float32)]
    module = tf.Module()
    module.stylize = tf.function(lambda image, weights: plain([image, weights[None]], training=False), specs)
    # The converter turns the variables that it finds here into constants.
    module.weights = [variable.value for variable in plain.variables]
    function = module.stylize.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([function], module).convert()


def convolutions_alone(content: bytes) -> bytes:
    """A file with nothing but its convolutions."""
    model = schema.ModelT.InitFromPackedBuf(content)
    (subgraph,) = model.subgraphs

    def is_constant(index: int) -> bool:
        return model.buffers[subgraph.tensors[index].buffer].data is not None

    def computes(operator: schema.OperatorT, code: int) -> bool:
        return model.operatorCodes[operator.opcodeIndex].builtinCode == code

    convolutions = [entry for entry in subgraph.operators if computes(entry, schema.BuiltinOperator.CONV_2D)]
    kernels = [
        entry
        for entry in subgraph.operators
        if computes(entry, schema.BuiltinOperator.DEQUANTIZE) and is_constant(entry.inputs[0])
    ]
    subgraph.operators = kernels + convolutions
    subgraph.inputs = list(dict.fromkeys(entry.inputs[0] for entry in convolutions))
    subgraph.outputs = [entry.outputs[0] for entry in convolutions]
    model.signatureDefs = []
    return graph.serialize(model)


def runner(content: bytes, inputs: Sequence[np.ndarray] = ()) -> Callable[[], np.ndarray]:
    """A function that runs a file and returns its first output; the inputs are zeros if none are given."""
    interpreter = Interpreter(model_content=content, num_threads=litert_opening.THREADS)
    by_rank = {values.ndim: values for values in inputs}
    values_of = {
        entry["index"]: by_rank[len(entry["shape"])] if inputs else np.zeros(entry["shape"], entry["dtype"])
        for entry in interpreter.get_input_details()
    }
    for index, values in values_of.items():
        interpreter.resize_tensor_input(index, values.shape)
    interpreter.allocate_tensors()
    for index, values in values_of.items():
        interpreter.set_tensor(index, values)

    def run() -> np.ndarray:
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


if __name__ == "__main__":
    flags = measuring.parser(__doc__, alphas=[1.0, 0.25], sides=[384, 1024], repetitions=5).parse_args()
    measuring.print_table(COLUMNS, measure(flags.alphas, flags.sides, flags.repetitions))
