"""How a picture is painted, whatever its style: the options that photos, clips, figures and datasets share."""

import dataclasses
import functools
import hashlib
import numbers
import os
from collections.abc import Callable

import numpy as np

from magstyle import files, limits, options
from magstyle.checkpoints import paintings
from magstyle.checkpoints.networks import Checkpoint
from magstyle.data import images, photos
from magstyle.errors import InputError
from magstyle.painting import regions
from magstyle.painting.colors import match_color, preserve_color
from magstyle.painting.stylizer import StyleOrWeights, Stylizer


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)  # Arrays have no truth value.
class Brush:
    """How pictures are painted, whatever their style.

    Args:
        strength: how strong the style is, from 0, which gives the photo back, to 1, and on to 1.5.
        stroke_size: how large strokes are, from 0.25 to 8; at 1, they are as the model paints them.
        preserve_color: keep the photo's colours and take only the strokes.
        color_from: an image whose colours the pictures take: a file or, in Python, an array [H, W, 3] or [H, W], or an
            image of Pillow's.

    Raises:
        InputError: for a number beyond its range, or if both preserve_color and color_from are given.
    """

    strength: limits.Strength = 1.0
    stroke_size: limits.StrokeSize = 1.0
    preserve_color: bool = False
    color_from: str | os.PathLike | images.Pixels | None = None

    def __post_init__(self) -> None:
        options.check(self)
        if self.preserve_color and self.color_from is not None:
            raise InputError("preserve_color and color_from cannot both be given", "preserve_color", "color_from")

    @functools.cached_property
    def colors(self) -> np.ndarray | None:
        """The image of color_from, [H, W, 3] in [0, 1]; an InputError if it cannot be used."""
        if isinstance(self.color_from, str | os.PathLike):
            return images.read_image(files.expanded(self.color_from))
        return None if self.color_from is None else images.as_image(self.color_from, grey=True)

    def settings(self) -> dict[str, object]:
        """The options that differ from their defaults, by name, as plain values; an image is told by its digest."""
        given = self._given()
        if self.colors is not None:
            given["color_from"] = hashlib.sha256(self.colors.tobytes()).hexdigest()
        return given

    def variation(self) -> list[str]:
        """The options that differ from their defaults, as parts of a file name, such as `strength-0.5`."""
        given = self._given()
        if self.colors is not None:
            given["color_from"] = regions.in_name(self.color_from, self.colors)
        # In Python, a number may be whole where a flag makes a float of it.
        texts = {name: f"{value:g}" if isinstance(value, numbers.Real) else value for name, value in given.items()}
        return [name if given[name] is True else f"{name}-{text}" for name, text in texts.items()]

    def _given(self) -> dict[str, object]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(Brush)}
        return {
            name: value
            for name, value in values.items()
            if isinstance(value, np.ndarray) or value != getattr(Brush, name)  # Arrays have no truth value.
        }

    def paint(self, stylizer: Stylizer, image: np.ndarray, style: StyleOrWeights) -> np.ndarray:
        """The picture of an image; arguments and errors are those of `Stylizer.stylize`."""
        return self.recolor(image, self.stylize(stylizer, image, style))

    def stylize(
        self,
        stylizer: Stylizer,
        image: np.ndarray,
        style: StyleOrWeights,
        progress: Callable[[float], object] = lambda share: None,
    ) -> np.ndarray:
        """The picture in the colours of its style, as `recolor` takes it; arguments are those of `Stylizer.stylize`."""
        return stylizer.stylize(image, style, progress, strength=self.strength, stroke_size=self.stroke_size)

    def recolor(self, image: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """A picture of an image, both [H, W, 3] in [0, 1], in the colours that are asked for."""
        if self.preserve_color:
            return preserve_color(image, picture)
        return picture if self.colors is None else match_color(picture, self.colors)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)  # Arrays have no truth value.
class ModelBrush(Brush):
    """A brush, and the model whose styles it paints in.

    Args:
        checkpoint: the model, anything that `magstyle.load_model` opens: a bundled one, a .keras file, a training
            folder, a Magenta checkpoint or .pb.
        style_image: paintings, image files, globs or folders, whose styles to paint in instead of the model's own;
            each is a style by the name of its file. The default model then gives way to "anything".
    """

    checkpoint: Checkpoint = "painters"
    style_image: photos.Patterns = ()

    @property
    def model(self) -> Checkpoint:
        """The model to paint with, in which the paintings are styles."""
        return model_of(self.checkpoint, self.style_image)


def model_of(checkpoint: Checkpoint, style_image: photos.Patterns) -> Checkpoint:
    """The model that `ModelBrush` paints with.

    Raises:
        InputError: where `magstyle.checkpoints.paintings.network_of` does.
    """
    if isinstance(style_image, list | tuple) and not style_image:
        return checkpoint
    default = isinstance(checkpoint, str) and checkpoint == ModelBrush.checkpoint
    return paintings.network_of(style_image, paintings.ANYTHING if default else checkpoint)
