"""ONNX files, for apps, game engines, servers and browsers."""

import contextlib
import pathlib

from magstyle import files, options, project
from magstyle.checkpoints import model_files
from magstyle.export import predictor_file
from magstyle.export.jobs import ONNXJob


@options.takes(ONNXJob)
def convert_onnx(job: ONNXJob) -> pathlib.Path:
    """Writes a model as an ONNX file, which ONNX's own checker has passed; `onnx_network.build` describes its content.

    A model for any painting becomes two files: `anything.onnx` paints, and `anything_predictor.onnx` gives the
    `style_weights` of a painting. It needs the package onnx, and neither TensorFlow nor Keras.

    Returns:
        The path of the file.

    Raises:
        InputError: as for load_model; for a file that exists or cannot be written, an unknown precision, an opset that
            is too old or too new, or if the package onnx is missing.
    """
    output = files.inside(job.output_model, job.checkpoint, ".onnx")
    files.check_new(output, "output_model")
    with project.needing("onnx"):
        from magstyle.export import onnx_network
    network = model_files.read_network(job.checkpoint, any_painting=True)
    contents = {output: onnx_network.build(network, job.precision, job.opset)}
    if network.predictor:
        of_predictor = onnx_network.build_predictor(network.predictor, job.precision, job.opset)
        contents[predictor_file(output)] = of_predictor
    with contextlib.ExitStack() as stack:  # Both files appear, or none.
        for path, content in contents.items():
            stack.enter_context(files.replacing(path)).write_bytes(content)
    return output
