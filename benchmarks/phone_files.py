"""How large are LiteRT files for phones, what do they cost, and do their numbers fit into 16 bits?

Each paints the same photo as the file of the first model of that size, in turns, in one process with two threads. The
memory is the growth of a process that opens a float32 file and paints a picture. The largest number is that of all
tensors between operations while it paints: GPUs of phones compute with float16, which ends at 65,504.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import litert_opening
import measuring
from litert_files import runner
from magstyle.checkpoints import model_files
from magstyle.data import images
from magstyle.export import tflite

COLUMNS = [
    *("model", "pixels", "float32, MiB", "float16, MiB", "milliseconds", "first / it", "memory, MiB"),
    *("operations", "largest number"),
]


def measure(models: Sequence[str], photo: str, sides: Sequence[int], repetitions: int) -> Iterator[list[str]]:
    networks = [model_files.load_model(model) for model in models]
    for side in sides:
        image = images.read_image(photo, side)[None, :side, :side]
        files = [
            [tflite.convert(network, side, precision) for precision in ("float32", "float16")] for network in networks
        ]
        inputs = [[image, np.eye(network.num_styles, dtype=np.float32)[0]] for network in networks]
        first = runner(files[0][0], inputs[0])
        for model, (content, smaller), given in zip(models, files, inputs, strict=True):
            times = measuring.in_turns({"first": first, "it": runner(content, given)}, repetitions)
            operations, largest = extremes(content, given)
            yield [
                *(model, f"{side} x {side}", f"{len(content) / 2**20:.2f}", f"{len(smaller) / 2**20:.2f}"),
                f"{1000 * np.median(times['it']):.0f}",
                f"{np.median(times['first'] / times['it']):.2f}",
                f"{litert_opening.measure(content, side, repetitions).memory / 2**20:.0f}",
                *(str(operations), f"{largest:.0f}"),
            ]


def extremes(content: bytes, inputs: Sequence[np.ndarray]) -> tuple[int, float]:
    """The number of a file's operations, and the largest absolute value of its tensors when it paints."""
    interpreter = Interpreter(
        model_content=content,
        # XNNPACK would keep its tensors to itself.
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    by_rank = {values.ndim: values for values in inputs}
    for entry in interpreter.get_input_details():
        interpreter.set_tensor(entry["index"], by_rank[len(entry["shape"])])
    interpreter.invoke()
    (subgraph,) = schema.ModelT.InitFromPackedBuf(content).subgraphs
    # The interpreter has more tensors, in which some operations keep sums for themselves.
    tensors = map(interpreter.get_tensor, range(len(subgraph.tensors)))
    largest = max(np.abs(values).max() for values in tensors if values.dtype == np.float32)
    return len(subgraph.operators), float(largest)


if __name__ == "__main__":
    parser = measuring.parser(__doc__, sides=[256, 384, 512], repetitions=5)
    parser.add_argument("--models", nargs="+", default=["painters", "painters-live"], help="models with styles")
    parser.add_argument("--photo", default="examples/coffee.jpg", help="what they paint")
    flags = parser.parse_args()
    measuring.print_table(COLUMNS, measure(flags.models, flags.photo, flags.sides, flags.repetitions))
