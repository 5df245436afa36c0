"""Photos to paint, as one value: the program makes its flags from it."""

import dataclasses
from typing import Literal

from magstyle import limits, options
from magstyle.data import photos
from magstyle.painting.brush import ModelBrush
from magstyle.painting.engines import Engine
from magstyle.painting.regions import Masks
from magstyle.painting.stylizer import Styles


@dataclasses.dataclass(frozen=True, eq=False)  # Arrays have no truth value.
class PhotoJob(ModelBrush):
    """Photos to paint, the styles to paint them in, and where the pictures go.

    Args:
        input_image: image files, globs, and folders with everything below them; one or several. Photos below a folder
            keep their place: `photos/a/x.jpg` of `photos` becomes `a/x_0.png`.
        output_dir: folder for the pictures, made if it is missing. Pictures in it are not photos of a folder around it.
            A picture's name says which options of its painting differ from their defaults: `x_0_strength-0.5.png`.
        engine: how the network is computed: "litert" on this machine's CPU, "keras" with Keras's backend, or "auto",
            which is keras on a GPU and litert elsewhere.
        which_styles: a style by number or name, several for a picture each, "all", or {style: weight} for one mixture;
            by default, the model's first style or, if style_image is given, all of these.
        output_basename: start of the pictures' names, for a single photo; the photo's own name by default.
        image_size: shorter side of the pictures, in pixels; by default, photos keep their size.
        mask: images, each with the style for what is white in it, such as `[("sky.png", "wave")]`. They are scaled to
            the photos, whose aspect ratio they must have, up to rounding. What is transparent in them counts as black.
            Where masks overlap, they share; what is in none of them takes which_styles, or stays as it is where that
            is "photo".
        format: file format and extension of the pictures.
        sheet: also show each photo and its pictures, small and with their names, in one picture.
    """

    input_image: photos.Patterns
    output_dir: options.OutputPath = "out"
    _: dataclasses.KW_ONLY
    engine: Engine = "auto"
    which_styles: Styles | None = None
    output_basename: str | None = None
    image_size: limits.ImageSize | None = None
    mask: Masks = ()
    format: Literal["png", "jpg", "jpeg", "webp"] = "png"
    sheet: bool = False
