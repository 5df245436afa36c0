"""A clip to paint, as one value: the program makes its flags from it."""

import dataclasses
import os

from magstyle import limits, options
from magstyle.painting.brush import ModelBrush
from magstyle.painting.engines import Engine
from magstyle.painting.regions import Masks
from magstyle.painting.stylizer import Styles


@dataclasses.dataclass(frozen=True, eq=False)  # Arrays have no truth value.
class ClipJob(ModelBrush):
    """A clip to paint, and where the painted clip goes.

    Args:
        input_video: the clip, of any codec that FFmpeg reads, in any container that holds its own pictures.
        output_video: the clip to write: .mp4, .mov or .mkv (H.264; an odd side repeats its last row or column), .webm
            (VP9), or .gif, which has no sound and at most 50 frames per second.
        engine: how the network is computed: "litert" on this machine's CPU, "keras" with Keras's backend, or "auto",
            which is keras on a GPU and litert elsewhere.
        which_styles: a style by number or name, or {style: weight} for a mixture; for a walk several, or "all".
        walk: go from each of several styles to the next, from the first frame to the last.
        image_size: shorter side of the pictures, in pixels; that of the clip by default.
        mask: images, each with the style of its white area in every frame, as for `stylize_photos`; the area outside
            all masks takes which_styles, or stays unpainted if that is "photo".
        start: where to begin, in seconds from the clip's start.
        duration: seconds to paint; to the end by default.
        fps: frames per second to paint at most; where there are more, some are left out. All by default.
        preserve_color: keep the clip's colours and take only the strokes.
        steady: let strokes move with what they paint; painted one by one, frames flicker.
    """

    input_video: str | os.PathLike
    output_video: options.OutputPath
    _: dataclasses.KW_ONLY
    engine: Engine = "auto"
    which_styles: Styles = 0
    walk: bool = False
    image_size: limits.ImageSize | None = None
    mask: Masks = ()
    start: limits.Start | None = None
    duration: limits.Duration | None = None
    fps: limits.FrameRate | None = None
    steady: bool = True
