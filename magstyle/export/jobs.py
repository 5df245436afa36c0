"""Jobs of this room as typed values: programs make their flags from them."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from magstyle import limits, options
from magstyle.checkpoints.networks import Checkpoint
from magstyle.errors import InputError
from magstyle.painting.stylizer import StyleOrWeights

# How a LiteRT file stores its numbers.
Precision = Literal["float32", "float16", "dynamic_int8", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# How an ONNX file stores its weights.
ONNXPrecision = Literal["float32", "float16"]


@dataclasses.dataclass(frozen=True, eq=False)  # Arrays have no truth value.
class LiteRTJob:
    """A model to write as a LiteRT file.

    Args:
        checkpoint: the model, anything that `magstyle.load_model` opens.
        output_model: file to write, such as model.tflite, which must not exist; or a folder, for a file that is named
            after the checkpoint.
        image_size: side of the images in pixels, or (height, width), rounded up to multiples of 4 from 8; 0 for any,
            chosen by the app.
        precision: how the file stores its numbers.
        style: the only style that the file is to paint, as `Stylizer.style_weights` takes it; all styles by default.
        representative_images: photos that tell int8 its ranges and that the file is checked with: files, globs and
            folders or, in Python, arrays [H, W, 3], RGB in [0, 1]. The middles of the first eight are used; int8 needs
            photos like those that it will paint, and the others take a cup of coffee by default.

    Raises:
        InputError: for an unknown precision, or int8 without photos.
    """

    checkpoint: Checkpoint
    output_model: options.OutputPath
    _: dataclasses.KW_ONLY
    image_size: int | tuple[int, int] = 384
    precision: Precision = "float32"
    style: StyleOrWeights | None = None
    representative_images: str | os.PathLike | Sequence[str | os.PathLike | np.ndarray] | None = None

    def __post_init__(self) -> None:
        options.check(self)
        if self.precision == "int8" and self.representative_images is None:
            raise InputError(
                "precision=int8 needs representative_images, some photos like those that it will paint",
                *("precision", "representative_images"),
            )


@dataclasses.dataclass(frozen=True)
class ONNXJob:
    """A model to write as an ONNX file, for images of any size.

    Args:
        checkpoint: the model, anything that `magstyle.load_model` opens.
        output_model: file to write, such as model.onnx, which must not exist; or a folder, for a file that is named
            after the checkpoint.
        precision: how the file stores its weights; float16 halves the file. Numbers are computed as float32 either way.
        opset: version of ONNX's operators that the file asks for. Every runtime reads files up to a version of its own,
            so lower is better, unless a tool asks for more.
    """

    checkpoint: Checkpoint
    output_model: options.OutputPath
    _: dataclasses.KW_ONLY
    precision: ONNXPrecision = "float32"
    opset: limits.Opset = 11

    def __post_init__(self) -> None:
        options.check(self)


@dataclasses.dataclass(frozen=True)
class PageJob:
    """A web page to write.

    Args:
        checkpoint: the model, anything that `magstyle.load_model` opens.
        output_dir: folder for the page. It must be missing, be empty, or hold an earlier page, whose files are
            replaced; other files stay.
        image_size: longest side of pictures on the screen and of live ones, in pixels, rounded up to a multiple of 4,
            at least 8; larger photos can also be saved in their own size.
        preview_size: longest side of the pictures shown while a slider moves, in pixels, rounded like image_size.
        photo: the photo in the thumbnails, which is also the page's example; a cup of coffee by default.
        live_checkpoint: a faster model with the same styles, for cameras and videos, as `distil` makes them. By default
            the model itself, or the bundled one of its name and "-live".
    """

    checkpoint: Checkpoint
    output_dir: options.OutputPath
    _: dataclasses.KW_ONLY
    image_size: limits.ImageSize = 768
    preview_size: limits.ImageSize = 384
    photo: str | os.PathLike | None = None
    live_checkpoint: Checkpoint | None = None

    def __post_init__(self) -> None:
        options.check(self)
