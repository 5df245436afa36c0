"""Neural style: pixels that keep the content of a photo and take the style of paintings.

References:
    Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576; and Image Style Transfer Using
        Convolutional Neural Networks. CVPR 2016.
    Gatys, Ecker, Bethge, Hertzmann, Shechtman: Controlling Perceptual Factors in Neural Style Transfer.
        arXiv 1611.07865 (coarse to fine, regions).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from magstyle import losses, models, sizes
from magstyle.optimization import objectives, pixels, transforms
from magstyle.optimization.jobs import StyleOptions
from magstyle.optimization.pixels import Tensor

# The picture is optimised with a margin of this many mirrored pixels, which is then cut off: VGG pads its input with
# zeros, so it would get a frame.
MARGIN = 16
# Weight of the grain loss, relative to the style weight: it is the style loss that leaves grain. Chosen by eye: without
# it, walls and skies have a weave like that of a canvas.
GRAIN_WEIGHT = 0.08


@dataclasses.dataclass(frozen=True, eq=False)
class Painting:
    """A painting, and how much of the picture takes its style.

    Attributes:
        image: [h, w, 3] in [0, 1], of any size.
        weight: in proportion to those of the other paintings.
        mask: where in the picture the style goes, [H, W] in [0, 1]; everywhere if None.
    """

    image: np.ndarray
    weight: float = 1.0
    mask: np.ndarray | None = None


def paint(
    content: np.ndarray,
    paintings: Sequence[Painting],
    vgg: keras.Model,
    job: StyleOptions,
    minimize: pixels.Minimize,
) -> np.ndarray:
    """Paints a photo in the style of paintings.

    Every octave continues the picture of the one before, enlarged, so that paint takes the place of the photo's
    detail. Where no style goes, the picture is the photo.

    Args:
        content: the photo, [H, W, 3] in [0, 1].
        paintings: one or more.
        vgg: a network from pictures to features by end point, at least those of the job.
        job: the end points, losses, octaves, steps, start and seed. The optimizer is that of `minimize`.
        minimize: `pixels.minimize`. It is given pictures with a margin, and reports them; `cut` takes it off.

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        InputError: if the first octave would be too small, an end point is missing, or memory runs out.
    """
    octaves = transforms.octave_sizes(content.shape[:2], job.octaves)
    if job.start == "noise":
        picture = np.random.default_rng(job.seed).random((*octaves[0], 3), np.float32)
    else:
        picture = transforms.resize(content if job.start == "content" else paintings[0].image, octaves[0])
    for size, steps in zip(octaves, transforms.octave_steps(job.octaves, job.steps), strict=True):
        photo = _laid(transforms.resize(content, size))
        scaled = [_scaled(painting, size, job.style_scale) for painting in paintings]
        painted = _laid(_painted(scaled, size))
        least = (1 - painted) * photo
        bounds = least, np.minimum(least + painted, 1)
        evaluate = pixels.evaluation_of(_objective(photo, scaled, vgg, job))
        start = np.clip(_laid(transforms.resize(picture, size)), *bounds)
        picture = cut(minimize(evaluate, start, steps, bounds=bounds))
    return picture


def cut(picture: np.ndarray) -> np.ndarray:
    """A picture [H, W, 3] without the margin that was optimised with it, [H - 2 MARGIN, W - 2 MARGIN, 3]."""
    return picture[MARGIN:-MARGIN, MARGIN:-MARGIN]


def style_targets(
    features: Mapping[str, Tensor], end_points: Sequence[str], statistic: objectives.Statistic
) -> dict[str, np.ndarray]:
    """A statistic of the features of a painting, by end point."""
    return {name: keras.ops.convert_to_numpy(statistic(features[name])) for name in end_points}


def _scaled(painting: Painting, size: tuple[int, int], style_scale: float) -> Painting:
    """A painting in the scale of a picture of this height and width, its mask in the picture's size."""
    height, width, _ = painting.image.shape
    scale = style_scale * min(size) / min(height, width)
    shape = max(sizes.SMALLEST_FOR_VGG, round(height * scale)), max(sizes.SMALLEST_FOR_VGG, round(width * scale))
    mask = None if painting.mask is None else transforms.resize(painting.mask[..., None], size)[..., 0]
    return Painting(transforms.resize(painting.image, shape), painting.weight, mask)


def _laid(image: np.ndarray) -> np.ndarray:
    """An image [H, W, C] with its margin."""
    return np.pad(image, [(MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)], mode="reflect")


def _painted(paintings: Sequence[Painting], size: tuple[int, int]) -> np.ndarray:
    """How much of each pixel takes a style, float32 [H, W, 1] in [0, 1]."""
    masks = [np.ones(size) if painting.mask is None else painting.mask for painting in paintings]
    return np.clip(np.sum(masks, axis=0), 0, 1).astype(np.float32)[..., None]


def _objective(
    content: np.ndarray, paintings: Sequence[Painting], vgg: keras.Model, job: StyleOptions
) -> pixels.Objective:
    """The weighted losses, by name, of a picture as large as the photo, both with their margins."""
    content_end_points = models.find_end_points(job.content_end_points, vgg.output)
    style_end_points = models.find_end_points(job.style_end_points, vgg.output)
    statistic = objectives.STYLE_STATISTICS[job.style_loss]
    features = pixels.features_of(content, vgg)
    contents = {name: features[name] for name in content_end_points}
    total = sum(painting.weight for painting in paintings)
    styles = []
    grain = float(objectives.grain(content[None])[0])
    for painting in paintings:
        grain += painting.weight / total * float(objectives.grain(painting.image[None])[0])
        targets = style_targets(pixels.features_of(painting.image, vgg), style_end_points, statistic)
        region = None
        if painting.mask is not None:
            mask = _laid(painting.mask[..., None])
            region = {name: transforms.resize(mask, features[name].shape[1:3])[None] for name in style_end_points}
        styles.append((painting.weight / total, targets, region))

    def terms(features: Mapping[str, Tensor], pictures: Tensor) -> dict[str, Tensor]:
        found = {}
        if job.content_weight:
            found["content_loss"] = job.content_weight * objectives.content_loss(features, contents)
        found["style_loss"] = job.style_weight * sum(
            share * objectives.style_loss(features, targets, statistic, region) for share, targets, region in styles
        )
        found["grain_loss"] = GRAIN_WEIGHT * job.style_weight * objectives.grain_loss(pictures, grain)
        if job.total_variation_weight:
            variation = losses.total_variation_loss(pictures)[0]
            found["total_variation_loss"] = job.total_variation_weight * variation
        return found

    return objectives.of_features(vgg, terms)
