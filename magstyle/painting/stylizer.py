"""A photo of any size in, the stylised photo of the same size out."""

import difflib
import functools
import math
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from magstyle import limits, names, options
from magstyle.checkpoints import model_files, networks, paintings
from magstyle.checkpoints.networks import Checkpoint, Network
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.names import counted
from magstyle.painting import engines, memory, strokes

if TYPE_CHECKING:
    from magstyle.models.transformer import StyleTransformer

# A style by number or name, or a mixture {style: weight}; or weights [num_styles], or those of every pixel
# [H, W, num_styles]. For a model with a predictor, a painting, too: its file wherever a name can stand, or its pixels.
StyleOrWeights = int | np.integer | str | os.PathLike | Mapping[int | str, float] | Sequence[float] | images.Pixels
# One of these, or several, or "all".
Style = int | np.integer | str | os.PathLike | Mapping[int | str, float]
Styles = Style | Sequence[Style] | np.ndarray


class Stylizer:
    """Stylises photos with one model.

    Args:
        checkpoint_or_model: a StyleTransformer, or anything else that `magstyle.load_model` opens.
        engine: how it is computed. "litert" uses all cores of the CPU, without TensorFlow and Keras; it copies the
            weights that a StyleTransformer has now. "keras" uses Keras's backend, on its device. "auto" is "keras" if
            that is a GPU or a TPU, and "litert" elsewhere. Both paint the same pictures.

    Attributes:
        network: the model as plain arrays.
        engine: "litert" or "keras".

    Raises:
        InputError: where load_model does, or for another engine.
    """

    def __init__(self, checkpoint_or_model: Checkpoint, engine: str = "auto"):
        self.engine = engines.choose(engine)
        self.network = model_files.read_network(checkpoint_or_model, any_painting=True)
        self._opened = None if isinstance(checkpoint_or_model, Network | str | os.PathLike) else checkpoint_or_model
        self._opening = threading.Lock()
        self._opened_engine: engines.LiteRTEngine | engines.KerasEngine | None = None

    @functools.cached_property
    def model(self) -> "StyleTransformer":
        """The model in Keras, built on first use; `network` has its styles, too."""
        return self._opened or networks.to_model(self.network)

    @property
    def _engine(self) -> engines.LiteRTEngine | engines.KerasEngine:
        with self._opening:  # Threads share one engine, and its memory.
            if self._opened_engine is None:
                litert = self.engine == "litert"
                self._opened_engine = engines.LiteRTEngine(self.network) if litert else engines.KerasEngine(self.model)
            return self._opened_engine

    def stylize(
        self,
        image: images.Pixels,
        style_weights: StyleOrWeights,
        progress: Callable[[float], object] = lambda share: None,
        *,
        strength: float = 1.0,
        stroke_size: float = 1.0,
        finish: bool = True,
    ) -> np.ndarray:
        """Stylises one photo.

        Args:
            image: RGB [H, W, 3], of any size from 1 x 1: floats in [0, 1], uint8 from 0 to 255, or an image of
                Pillow's, which counts as `read_image` would read it. It is painted with a margin that mirrors it, so
                that the borders are painted like the rest, and the margin is cut off.
            style_weights: a style by number or name, a mixture {style: weight, ...}, or weights [num_styles]; for a
                model that takes any painting, such as "anything", a painting: its file, or RGB [h, w, 3] as image; or
                weights of every pixel, [H, W, num_styles], for gradual changes of style. For these, the network paints
                once: it mixes scales and offsets for every pixel, and normalises by the moments of the whole photo.
                Regions with edges keep their styles in `magstyle.painting.regions` alone.
            progress: called with the share of the work done since its last call; the shares add up to 1.
            strength: from 0, which gives the photo back, to 1, the style, and on to 1.5.
            stroke_size: how large strokes are, from 0.25 to 8; 1 leaves them as the model paints them. The photo is
                painted at its size divided by stroke_size, and the picture is enlarged with the photo's detail.
            finish: whether strokes of 2.5 and more get a second pass, with finer strokes, in place of the photo's
                detail. The frames of a clip go without: strokes of two sizes do not move together.

        Returns:
            float32 [H, W, 3] in [0, 1].

        Raises:
            InputError: before any work, for anything that is not such an image, where `style_weights()` and
                `check_size` raise it, for weights of another size than the image, or for a number beyond its range.
        """
        options.check_value("strength", strength, limits.Strength)
        options.check_value("stroke_size", stroke_size, limits.StrokeSize)
        image = images.as_image(image)
        style_weights = self.style_weights(style_weights)
        size, regions = image.shape[:2], 0
        if style_weights.ndim == 3:
            if style_weights.shape[:2] != size:
                raise InputError(
                    f"the weights of every pixel must have the height and width of the image, {list(size)}, not "
                    f"{list(style_weights.shape[:2])}"
                )
            regions = len(engines.styles_in(style_weights))
        self.check_size(*size, regions=regions, stroke_size=stroke_size, finish=finish)
        if strength == 0:
            progress(1.0)
            return image.copy()
        painted, *finishing = strokes.passes(size, stroke_size, finish)
        pixels = sum(map(math.prod, [painted, *finishing]))

        def paint(image: np.ndarray) -> np.ndarray:
            shape = image.shape[:2]
            weights = strokes.averaged(style_weights, shape) if regions and shape != size else style_weights
            return self._engine.paint(image, weights, lambda share: progress(share * math.prod(shape) / pixels))

        if painted == size:
            picture = paint(image)
        else:
            picture = paint(strokes.resized(image, painted))
            for finer in finishing:
                picture = strokes.enlarged(picture, strokes.resized(image, finer))
                picture = strokes.finished(picture, paint(picture))
            # The photo's finest detail would lie on finished strokes like scratches.
            follows_photo = stroke_size > 1 and not finishing
            picture = strokes.enlarged(picture, image) if follows_photo else strokes.resized(picture, size)
        return strokes.with_strength(picture, image, strength)

    def style_weights(self, style: StyleOrWeights) -> np.ndarray:
        """The weights, float32 [num_styles], of a style, by number or name, or of a mixture {style: weight, ...}.

        Numbers may be NumPy's. Weights [num_styles] or [H, W, num_styles] are returned as float32. A model with a
        predictor takes the file of a painting for a name, too, and a painting's pixels for a style.

        Raises:
            InputError: for a style that the model does not have, a mixture of none, weights of another shape, or a
                weight that is not a number from -100000 to 100000; for a painting that cannot be read or shows no
                style.
        """
        if isinstance(style, Mapping):
            return self._mixture(style)
        if self._is_painting(style):
            return paintings.predict(self.network, style)
        if isinstance(style, list | tuple | np.ndarray):
            return self._checked(style)
        return self._mixture({style: 1.0})  # type: ignore[dict-item]  # Anything else is refused there.

    def _checked(self, weights: Sequence[float] | np.ndarray) -> np.ndarray:
        """Weights as float32 [num_styles] or [H, W, num_styles]; an InputError if they are neither."""
        try:
            array = np.asarray(weights)
        except ValueError:  # Its rows differ in length.
            array = np.asarray(weights, object)
        shape, num_styles = array.shape, self.network.num_styles
        if len(shape) == 3 and shape[2] == num_styles:
            least, most, _ = limits.STYLE_WEIGHT
            are_numbers = array.dtype.kind in "fiu"
            if not are_numbers or (array.size and not least <= array.min() <= array.max() <= most):  # NaN is neither.
                raise InputError(f"the weights of every pixel must each be {limits.in_words(limits.STYLE_WEIGHT)}")
            return array.astype(np.float32)
        if shape != (num_styles,):
            shapes = f"[{num_styles}]" + (f", or [H, W, {num_styles}] for every pixel" if len(shape) == 3 else "")
            raise InputError(
                f"the model has {counted(num_styles, 'style')}, so the weights must have the shape {shapes}, not "
                f"{list(shape)}"
            )
        return np.array([_number(weight, style) for style, weight in enumerate(weights)], np.float32)

    def _mixture(self, styles: Mapping[int | str, float]) -> np.ndarray:
        if not styles:
            raise InputError("a mixture must have a style")
        weights = np.zeros(self.network.num_styles, np.float32)
        for style, weight in styles.items():
            weights += _number(weight, style) * self._weights_of(style)
        return weights

    def _weights_of(self, style: Style) -> np.ndarray:
        """The weights of one style, by number or name, or of a painting's file."""
        if self._is_file(style):
            return paintings.style_weights(self.network, style)
        weights = np.zeros(self.network.num_styles, np.float32)
        weights[self.style_index(style)] = 1
        return weights

    def _is_painting(self, style: object) -> TypeGuard[images.Pixels]:
        """Whether a style for a model with a predictor is the pixels of a painting, not weights."""
        shape = np.shape(style) if isinstance(style, np.ndarray) else (0, 0, 0)
        is_image = isinstance(style, images.Pixels) and len(shape) == 3 and shape[2] != self.network.num_styles
        return is_image and self.network.predictor is not None

    def _is_file(self, style: object) -> TypeGuard[str | os.PathLike]:
        """Whether a style for a model with a predictor is the file of a painting."""
        is_path = isinstance(style, str | os.PathLike) and style not in self.network.style_names
        return is_path and self.network.predictor is not None

    def style_index(self, style: Style) -> int:
        """The number of a style, from 0, given its number (which may be NumPy's), its name or a part of that.

        A part stands for the one name that begins with it or, where none does, for the one that contains it.

        Raises:
            InputError: for a part of several names, or for a style that the model does not have; it lists the styles
                and names the nearest.
        """
        known = self.network.style_names
        if self.network.predictor:
            raise InputError(
                f"the model paints in the style of a painting, such as style_image=boat.jpg, not in style {style}",
                "style_image",
            )
        if isinstance(style, str):
            found = [style] if style in known else names.meant_by(style, known)
            if len(found) > 1:
                raise InputError(f"the style {style!r} can be any of {', '.join(found)}")
            if found:
                return known.index(found[0])
        if isinstance(style, int | np.integer) and not isinstance(style, bool) and 0 <= style < len(known):
            return int(style)
        numbered = "only style is 0" if len(known) == 1 else f"styles are 0 to {len(known) - 1}"
        named = "" if known[0] == "0" else f", or {', '.join(known)}"
        nearest = _nearest(style, known) if named and isinstance(style, str) else []
        meant = f"; nearest: {', '.join(nearest)}" if nearest else ""
        raise InputError(f"the model has no style {style!r}; its {numbered}{named}{meant}")

    def label(self, style: Style) -> str:
        """How a style is told in the name of a picture: `7`, its full name, or `7_600_wave_400` for a mixture."""
        if isinstance(style, Mapping):
            in_order = sorted(style, key=lambda part: 0 if self._is_file(part) else self.style_index(part))
            return "_".join(f"{self.label(part)}_{round(style[part] * 1000):03d}" for part in in_order)
        if self._is_file(style):
            return paintings.name_of(style)
        return self.network.style_names[self.style_index(style)] if isinstance(style, str) else str(style)

    def check_size(
        self,
        height: int,
        width: int,
        keeps: int = 0,
        *,
        regions: int = 0,
        stroke_size: float = 1.0,
        finish: bool = True,
    ) -> None:
        """Raises an InputError if a photo of this size does not fit into memory; it names the size that does.

        Args:
            height, width: of the photo, in pixels.
            keeps: bytes that the caller holds meanwhile, such as pictures painted earlier.
            regions: number of styles with weights of their own for every pixel; 0 for one style throughout.
            stroke_size, finish: as for `stylize`.
        """
        self._engine.check(memory.Photo(height, width, keeps, regions, stroke_size, finish))

    def expect(self, photo_sizes: Iterable[tuple[int, int]], *, stroke_size: float = 1.0) -> None:
        """Prepares for pictures of known sizes, which saves time.

        The first picture reserves memory for the largest, if available. Nothing is cached unless sizes repeat.

        Args:
            photo_sizes: the height and width of each picture, in pixels, in their order.
            stroke_size: as for `stylize`.
        """
        self._engine.expect([painted for size in photo_sizes for painted in strokes.passes(size, stroke_size)])


def listed(which_styles: Styles, style_names: Sequence[str]) -> list[Style]:
    """The styles in which_styles, one by one; "all" means every style, unless one of them has that name.

    Raises:
        InputError: for anything else.
    """
    if isinstance(which_styles, str) and which_styles == "all" and "all" not in style_names:
        return list(style_names)
    if isinstance(which_styles, np.ndarray):
        which_styles = which_styles.tolist()
    if isinstance(which_styles, int | np.integer | str | os.PathLike | Mapping):
        return [which_styles]
    if not isinstance(which_styles, Sequence):
        raise no_styles(which_styles)
    return list(which_styles)


def no_styles(which_styles: object) -> InputError:
    """The error for a value that gives no styles."""
    return InputError(
        f"which_styles={which_styles} must be a style, all, a list such as \"[0, 'scream']\", or a mixture such as "
        "\"{0: 0.6, 'scream': 0.4}\"",
        "which_styles",
    )


def _number(weight: float, style: object) -> np.float32:
    """The weight of a style as float32; an InputError if it is not a number within its limits."""
    try:
        limits.check_number("weight", weight, limits.STYLE_WEIGHT)
    except InputError as error:
        allowed = limits.in_words(limits.STYLE_WEIGHT)
        raise InputError(f"the weight of style {style!r} must be {allowed}, not {weight!r}") from error
    return np.float32(weight)


def _nearest(style: str, names: Sequence[str]) -> list[str]:
    """Up to three names that resemble a style, or contain a word that does."""
    words = {name: {name.casefold(), *re.split(r"[\W_]+", name.casefold())} for name in names}
    near = difflib.get_close_matches(style.casefold(), sorted(set().union(*words.values())))
    return [name for name in names if words[name].intersection(near)][:3]
