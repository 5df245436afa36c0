"""How fast are LiteRT files on this CPU, with two threads?

Each paints the same photo as `plain` and `float32` do, in turns, in one process; these two are compared with themselves
too, which shows how exact the ratios are. `plain` is what TensorFlow's converter makes of the same network of plain
layers. The convolutions of a file alone take the least time that a better graph of them could.
"""

# (This file is not called litert.py: TensorFlow looks for a package of that name before its own.)

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import measuring
import networks
from magstyle.export import litert, litert_metadata

COLUMNS = [
    *("alpha", "pixels", "file", "seconds", "plain / it", "plain / its convolutions", "float32 / it"),
    "largest difference",
]
THREADS = 2


def measure(alphas: Sequence[float], sides: Sequence[int], repetitions: int) -> Iterator[list[str]]:
    for alpha in alphas:
        model = networks.style_transformer(alpha)
        weights = np.eye(4, dtype=np.float32)[0]
        for side in sides:
            photo = np.random.default_rng(0).random((side, side, 3), np.float32)
            expected = model.predict_on_batch([photo[None], weights[None]])
            files = {"plain": convert_plain(model, side)}
            for precision in litert.PRECISIONS:
                files[precision] = litert.convert(model, side, precision, images=[photo[:128, :128]])
            references = {name: runner(files[name], [photo[None], weights]) for name in ("plain", "float32")}
            for name, content in files.items():
                paint = references.get(name) or runner(content, [photo[None], weights])
                difference = np.abs(paint() - expected).max()
                times = compare(content, paint, references, repetitions)
                yield [f"{alpha:g}", f"{side} x {side}", name, *times, f"{difference:.1e}"]


def compare(
    content: bytes, paint: Callable[[], object], references: dict[str, Callable[[], object]], repetitions: int
) -> list[str]:
    """The cells of one file from its seconds on. (Files come one by one: at 1024 x 1024 each takes gigabytes.)"""
    calls = {**references, "it": paint, "convolutions": runner(convolutions_alone(content))}
    times = measuring.in_turns(calls, repetitions)
    return [
        f"{np.median(times['it']):.3f}",
        f"{np.median(times['plain'] / times['it']):.2f}",
        f"{np.median(times['plain'] / times['convolutions']):.2f}",
        f"{np.median(times['float32'] / times['it']):.2f}",
    ]


def convert_plain(model: keras.Model, side: int) -> bytes:
    """What TensorFlow's converter makes of the network of plain layers, for one photo [1, side, side, 3]."""
    plain = networks.of_keras_layers(model)
    specs = [tf.TensorSpec([1, side, side, 3], tf.float32), tf.TensorSpec([model.num_styles], tf.float32)]
    module = tf.Module()
    module.stylize = tf.function(lambda image, weights: plain([image, weights[None]], training=False), specs)
    # The converter makes constants of the variables that it finds here.
    module.weights = [variable.value for variable in plain.variables]
    function = module.stylize.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([function], module).convert()


def convolutions_alone(content: bytes) -> bytes:
    """A file without all that is no convolution."""
    model = schema.ModelT.InitFromPackedBuf(content)
    (graph,) = model.subgraphs

    def is_constant(index: int) -> bool:
        return model.buffers[graph.tensors[index].buffer].data is not None

    def computes(operator: schema.OperatorT, code: int) -> bool:
        return model.operatorCodes[operator.opcodeIndex].builtinCode == code

    convolutions = [entry for entry in graph.operators if computes(entry, schema.BuiltinOperator.CONV_2D)]
    kernels = [
        entry
        for entry in graph.operators
        if computes(entry, schema.BuiltinOperator.DEQUANTIZE) and is_constant(entry.inputs[0])
    ]
    graph.operators = kernels + convolutions
    graph.inputs = list(dict.fromkeys(entry.inputs[0] for entry in convolutions))
    graph.outputs = [entry.outputs[0] for entry in convolutions]
    model.signatureDefs = []
    return litert_metadata.serialize(model)


def runner(content: bytes, inputs: Sequence[np.ndarray] = ()) -> Callable[[], np.ndarray]:
    """What runs a file and returns its first output; on zeros if no inputs are given."""
    interpreter = Interpreter(model_content=content, num_threads=THREADS)
    interpreter.allocate_tensors()
    by_rank = {values.ndim: values for values in inputs}
    for entry in interpreter.get_input_details():
        values = by_rank[len(entry["shape"])] if inputs else np.zeros(entry["shape"], entry["dtype"])
        interpreter.set_tensor(entry["index"], values)

    def run() -> np.ndarray:
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


if __name__ == "__main__":
    flags = measuring.parser(__doc__, alphas=[1.0, 0.25], sides=[384, 1024], repetitions=5).parse_args()
    measuring.print_table(COLUMNS, measure(flags.alphas, flags.sides, flags.repetitions))
