"""Do regions keep their styles, and how much do they cost?

Regions are vertical stripes of a photo, each in a style of its own. Style losses are relative_style_loss in a stripe,
divided by that of the same stripe of the whole picture in its style: first of regions, then of one pass with the
weights of every pixel. Time and memory are divided by those of one style, for the first photo. The memory is that by
which a fresh process grows.
"""

import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import psutil

import measuring
from magstyle import stylize_photos
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images, styles
from magstyle.evaluation.measures import STYLE_BLOCKS
from magstyle.optimization import objectives
from magstyle.painting import strokes
from magstyle.painting.regions import Regions, blended
from magstyle.painting.stylizer import Stylizer
from magstyle.training import gram_matrices
from memory import peak_memory

COLUMNS = [
    *("regions", "style loss / whole", "worst region", "style loss of one pass / whole"),
    *("time / one style", "memory / one style"),
]


def measure(
    photos: Sequence[str],
    numbers: Sequence[int],
    model: str,
    style_dataset_file: str,
    vgg_checkpoint: str,
    image_size: int,
    repetitions: int,
) -> Iterator[list[str]]:
    stylizer, judge = Stylizer(model), Judge(style_dataset_file, vgg_checkpoint)
    read = [images.read_image(photo, image_size=image_size) for photo in photos]
    alone = grown(photos[0], image_size, model, judge.names[:1])
    for number in numbers:
        ratios = np.array(
            [
                style_losses(stylizer, judge, photo, judge.names[first : first + number])
                for photo in read
                for first in range(0, len(judge.names) - number + 1, number)
            ]
        )
        calls = {
            "one": lambda: paint(stylizer, read[0], judge.names[:1]),
            "regions": lambda number=number: paint(stylizer, read[0], judge.names[:number]),
        }
        times = measuring.in_turns(calls, repetitions)
        together = grown(photos[0], image_size, model, judge.names[:number])
        yield [
            f"{number}",
            f"{ratios[..., 0].mean():.2f}",
            f"{ratios[..., 0].max():.2f}",
            f"{ratios[..., 1].mean():.2f}",
            f"{np.median(times['regions'] / times['one']):.2f}",
            f"{together / alone:.2f}",
        ]


class Judge:
    """Measures the style of regions.

    Args:
        style_dataset_file: the paintings.
        vgg_checkpoint: the loss network.

    Attributes:
        names: of the paintings.
    """

    def __init__(self, style_dataset_file: str, vgg_checkpoint: str):
        paintings, vgg = styles.read(style_dataset_file), load_vgg(vgg_checkpoint)
        self.names = [painting.name for painting in paintings]
        ends = [name for name in vgg.output if any(name.endswith(f"/conv{block}") for block in STYLE_BLOCKS)]
        self._vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in ends})
        self._targets = gram_matrices.of_styles(paintings, self._vgg, ends)

    def losses(self, image: np.ndarray, region: np.ndarray, style: str) -> np.ndarray:
        """The style losses, one for each end point, of a region [H, W] of an image."""
        found, target = [], self.names.index(style)
        for name, features in self._vgg.predict_on_batch(image[None]).items():
            area = strokes.averaged(region[..., None], features.shape[1:3])[None]
            gram = objectives.gram(features, np.clip(area, 0, 1))
            found.append(np.mean(np.square(np.asarray(gram)[0] - self._targets[name][target])))
        return np.array(found)


def style_losses(
    stylizer: Stylizer, judge: Judge, photo: np.ndarray, in_styles: Sequence[str]
) -> list[tuple[float, float]]:
    """For each stripe, the style losses of regions and of one pass, divided by that of the whole picture."""
    masks = stripes(*photo.shape[:2], len(in_styles))
    weights = sum(mask[..., None] * stylizer.style_weights(style) for mask, style in zip(masks, in_styles, strict=True))
    regions, one_pass = paint(stylizer, photo, in_styles), stylizer.stylize(photo, weights)
    found = []
    for mask, style in zip(masks, in_styles, strict=True):
        plain = judge.losses(photo, mask, style)
        in_regions, in_one_pass, whole = (
            np.mean(judge.losses(picture, mask, style) / plain)
            for picture in (regions, one_pass, stylizer.stylize(photo, style))
        )
        found.append((in_regions / whole, in_one_pass / whole))
    return found


def paint(stylizer: Stylizer, photo: np.ndarray, in_styles: Sequence[str]) -> np.ndarray:
    """A photo in stripes of these styles, as `stylize_photos` paints it."""
    masks = zip(stripes(*photo.shape[:2], len(in_styles)), in_styles, strict=True)
    regions = Regions([*masks], stylizer)
    return blended(regions.parts(regions.read(photo.shape[:2]), None), lambda weights: stylizer.stylize(photo, weights))


def stripes(height: int, width: int, number: int) -> list[np.ndarray]:
    """Vertical stripes of about equal widths, float32 [height, width] each."""
    column = np.arange(width) * number // width
    return [np.tile((column == k).astype(np.float32), (height, 1)) for k in range(number)]


def grown(photo: str, image_size: int, model: str, in_styles: Sequence[str]) -> int:
    """The bytes by which a fresh process grows while it paints a photo in stripes of these styles."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(grown_here, (photo, image_size, model, in_styles))


def grown_here(photo: str, image_size: int, model: str, in_styles: Sequence[str]) -> int:
    masks = stripes(*images.read_size(photo, image_size=image_size), len(in_styles))
    mask = [*zip(masks, in_styles, strict=True)][1:]  # The first stripe is the rest.
    Stylizer(model).stylize(np.zeros((64, 64, 3)), 0)
    before = psutil.Process().memory_info().rss
    with tempfile.TemporaryDirectory() as folder:
        stylize_photos(
            photo, folder, image_size=image_size, checkpoint=model, which_styles=in_styles[0], mask=mask, format="jpg"
        )
    return peak_memory() - before


if __name__ == "__main__":
    parser = measuring.parser(__doc__, repetitions=5)
    parser.add_argument("--photos", nargs="+", required=True, help="photos to paint")
    parser.add_argument("--numbers", nargs="+", type=int, default=[2, 4], help="of regions")
    parser.add_argument("--model", default="painters", help="the model that paints them")
    parser.add_argument("--style_dataset_file", required=True, help="paintings of its styles")
    parser.add_argument("--vgg_checkpoint", default="imagenet", help="the network that measures the style")
    parser.add_argument("--image_size", type=int, default=512, help="shorter side of the photos, in pixels")
    measuring.print_table(COLUMNS, measure(**vars(parser.parse_args())))
