"""Converts any model into an ONNX file, for apps, game engines, servers and browsers that run ONNX Runtime or the like.

bin/convert_onnx.py --checkpoint=painters --output_model=painters.onnx
bin/convert_onnx.py --output_model=small.onnx --precision=float16

The file takes images of any size, and batches.
"""

from absl import flags

from magstyle.export.jobs import ONNXJob
from magstyle.programs import command_line, option_flags, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_checkpoint()
    option_flags.define_options(ONNXJob, skip=("checkpoint",))


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    from magstyle.export.onnx_files import convert_onnx

    print(convert_onnx(**command_line.values_for(convert_onnx)))


def run() -> None:
    command_line.run(define_flags, main)
