"""Do regions keep their styles, and how much time and memory do they take?

Regions are vertical stripes of a photo, each in a style of its own. Style losses are relative_style_loss in a stripe,
divided by that of the same stripe of the whole picture in its style: first of regions, then of one pass with the
weights of every pixel. Time is that of painting the first photo in its own size, divided by that of one style; peak
is the memory of `bin/stylize.py` as it does so.
"""

import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

import keras
import numpy as np

import measuring
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images, styles
from magstyle.evaluation.measures import STYLE_BLOCKS
from magstyle.losses import gram_matrix
from magstyle.painting.regions import Regions, blended
from magstyle.painting.stylizer import Stylizer
from magstyle.training import gram_matrices

ROOT = pathlib.Path(__file__).resolve().parents[1]
COLUMNS = [
    *("regions", "style loss / whole", "worst region", "one pass / whole", "time / one style"),
    *("peak, MiB", "peak of one style, MiB"),
]
# Runs a command and prints its peak memory.
RUN = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


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
    judged = [images.read_image(photo, image_size=image_size) for photo in photos]
    timed = images.read_image(photos[0])
    for number in numbers:
        ratios = np.concatenate(
            [
                style_losses(stylizer, judge, photo, judge.names[first : first + number])
                for photo in judged
                for first in range(0, len(judge.names) - number + 1, number)
            ]
        )
        calls = {count: lambda count=count: paint(stylizer, timed, judge.names[:count]) for count in (1, number)}
        times = measuring.in_turns(calls, repetitions)
        peaks = [peak(photos[0], model, judge.names[:count]) for count in (number, 1)]
        yield [
            f"{number}",
            f"{ratios[:, 0].mean():.2f}",
            f"{ratios[:, 0].max():.2f}",
            f"{ratios[:, 1].mean():.2f}",
            f"{np.median(times[number] / times[1]):.2f}",
            *(f"{bytes_taken / 2**20:.0f}" for bytes_taken in peaks),
        ]


class Judge:
    """Measures the style of images.

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

    def losses(self, image: np.ndarray, style: str) -> np.ndarray:
        """The style losses of an image, one for each end point."""
        features, target = self._vgg.predict_on_batch(image[None]), self.names.index(style)
        grams = {name: np.asarray(gram_matrix(values))[0] for name, values in features.items()}
        return np.array([np.mean(np.square(gram - self._targets[name][target])) for name, gram in grams.items()])


def style_losses(stylizer: Stylizer, judge: Judge, photo: np.ndarray, in_styles: Sequence[str]) -> np.ndarray:
    """The style losses of regions and of one pass, divided by those of whole pictures, in each stripe: [stripes, 2]."""
    masks = stripes(*photo.shape[:2], len(in_styles))
    weights = sum(mask[..., None] * stylizer.style_weights(style) for mask, style in zip(masks, in_styles, strict=True))
    regions, one_pass = paint(stylizer, photo, in_styles), stylizer.stylize(photo, weights)
    found = []
    for mask, style in zip(masks, in_styles, strict=True):
        # Cut out, since the loss network sees beyond the edges.
        of_photo, *others = (
            judge.losses(np.ascontiguousarray(image[:, mask[0] == 1]), style)
            for image in (photo, regions, one_pass, stylizer.stylize(photo, style))
        )
        in_regions, in_one_pass, whole = (np.mean(losses / of_photo) for losses in others)
        found.append((in_regions / whole, in_one_pass / whole))
    return np.array(found)


def paint(stylizer: Stylizer, photo: np.ndarray, in_styles: Sequence[str]) -> np.ndarray:
    """A photo in stripes of these styles, the first of which is that of the rest."""
    masks = stripes(*photo.shape[:2], len(in_styles))
    regions = Regions([*zip(masks, in_styles, strict=True)][1:], stylizer)
    parts = regions.parts(regions.read(photo.shape[:2]), stylizer.style_weights(in_styles[0]))
    return blended(parts, (stylizer.stylize(photo, part.weights) for part in parts))


def peak(photo: str, model: str, in_styles: Sequence[str]) -> int:
    """The most bytes of memory that `bin/stylize.py` holds as it paints a photo in stripes of these styles."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "bin" / "stylize.py"), photo, f"--output_dir={folder}"]
        command += [f"--checkpoint={model}", f"--which_styles={in_styles[0]}"]
        masks = stripes(*images.read_size(photo), len(in_styles))
        for k, (mask, style) in enumerate([*zip(masks, in_styles, strict=True)][1:]):
            images.write_image(f"{folder}/{k}.png", np.repeat(mask[..., None], 3, axis=2))
            command.append(f"--mask={folder}/{k}.png:{style}")
        # Not started from here: on Linux, a process inherits the peak of the one that starts it.
        result = subprocess.run([sys.executable, "-c", RUN, *command], stdout=subprocess.PIPE, check=True)
    return int(result.stdout) * (1 if sys.platform == "darwin" else 1024)


def stripes(height: int, width: int, number: int) -> list[np.ndarray]:
    """Vertical stripes of about equal widths, float32 [height, width] each."""
    stripe = np.arange(width) * number // width
    return [np.tile((stripe == k).astype(np.float32), (height, 1)) for k in range(number)]


if __name__ == "__main__":
    parser = measuring.parser(__doc__, repetitions=5)
    parser.add_argument("--photos", nargs="+", required=True, help="photos to paint")
    parser.add_argument("--numbers", nargs="+", type=int, default=[2, 4], help="of regions")
    parser.add_argument("--model", default="painters", help="the model that paints them")
    parser.add_argument("--style_dataset_file", required=True, help="paintings of its styles")
    parser.add_argument("--vgg_checkpoint", default="imagenet", help="the network that measures the style")
    parser.add_argument("--image_size", type=int, default=256, help="shorter side of the photos for style losses")
    measuring.print_table(COLUMNS, measure(**vars(parser.parse_args())))
