"""The Gram matrices of paintings: a training sees nothing else of them.

Reference:
    Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576.
"""

import pathlib
from collections.abc import Sequence

import keras
import numpy as np
from tqdm import tqdm

from magstyle import losses, options, sizes
from magstyle.checkpoints.paintings import name_of
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images, photos, styles
from magstyle.errors import InputError, memory_for_features
from magstyle.models import vgg as vgg_network
from magstyle.training.jobs import Files, StyleDatasetJob


@options.takes(StyleDatasetJob)
def create_style_dataset(job: StyleDatasetJob) -> pathlib.Path:
    """Makes a style dataset of paintings, for `magstyle.train` and `magstyle.finetune`: a TFRecord file, as Magenta's.

    A file that is there already is replaced.

    Returns:
        The path of the file.

    Raises:
        InputError: for a file that is not an image, two of one name, no VGG, or an output that cannot be written.
    """
    paintings = _find(job.style_files, job.image_size)
    vgg = load_vgg(job.vgg_checkpoint) if job.compute_gram_matrices else None

    def read(path: str) -> styles.Style:
        image = images.read_image(path, job.image_size)
        style = styles.Style(name_of(path), images.encode(image, ".jpg"), {})
        if vgg:
            style.gram_matrices = of_image(image, vgg, _end_points_of_blocks(vgg))
            style.vgg = vgg_network.fingerprint(vgg)
        progress.update()
        return style

    with tqdm(total=len(paintings), unit="painting") as progress:
        return styles.write(map(read, paintings), job.output_file)


@options.takes(StyleDatasetJob)
def is_made_of(job: StyleDatasetJob) -> bool:
    """Whether output_file already is what `create_style_dataset` would write; no Gram matrix is computed to tell.

    Raises:
        InputError: as `create_style_dataset`, for the arguments.
    """
    paintings = _find(job.style_files, job.image_size)
    try:
        found = styles.read(job.output_file)
    except InputError:
        return False
    if [style.name for style in found] != list(map(name_of, paintings)):
        return False
    for style, path in zip(found, paintings, strict=True):
        if style.jpeg != images.encode(images.read_image(path, job.image_size), ".jpg"):
            return False
    vgg = load_vgg(job.vgg_checkpoint) if job.compute_gram_matrices else None
    expected = (set(_end_points_of_blocks(vgg)), vgg_network.fingerprint(vgg)) if vgg else (set(), "")
    return all((set(style.gram_matrices), style.vgg) == expected for style in found)


def of_image(image: np.ndarray, vgg: keras.Model, end_points: Sequence[str]) -> dict[str, np.ndarray]:
    """The Gram matrices [C, C] of an image [H, W, 3] in [0, 1], by end point of a VGG.

    Raises:
        InputError: if its features do not fit into memory.
    """
    with memory_for_features("a painting", *image.shape[:2]):
        features = vgg(image[None])
        return {name: keras.ops.convert_to_numpy(losses.gram_matrix(features[name]))[0] for name in end_points}


def of_styles(paintings: Sequence[styles.Style], vgg: keras.Model, end_points: Sequence[str]) -> dict[str, np.ndarray]:
    """The Gram matrices to train for, [num_styles, C, C] by end point.

    They come from the dataset if it has those of this VGG (in Magenta's files, only their shape can tell); otherwise
    they are computed here, from the paintings of the dataset.
    """
    channels = {name: vgg.output[name].shape[-1] for name in end_points}
    fingerprint = vgg_network.fingerprint(vgg)

    def of(style: styles.Style) -> dict[str, np.ndarray]:
        recorded = style.gram_matrices
        fits = all(name in recorded and len(recorded[name]) == channels[name] for name in end_points)
        if fits and (not style.vgg or style.vgg.startswith(fingerprint)):
            return recorded
        image = style.image
        _check_size(image.shape[:2], style.name)
        return of_image(image, vgg, end_points)

    # The bar is for those that are computed here: reading takes less than the second after which it shows.
    progress = tqdm(paintings, "Gram matrices", unit="painting", leave=False, delay=1)
    found = [of(style) for style in progress]
    return {name: np.stack([grams[name] for grams in found]) for name in end_points}


def _find(style_files: Files, image_size: int | None) -> list[str]:
    """The paths of the paintings; an InputError for two of one name, or for a file that is not an image."""
    paintings = photos.find(style_files)
    stems = list(map(name_of, paintings))
    for name, path in zip(stems, paintings, strict=True):
        if stems.count(name) > 1:
            raise InputError(f"two paintings are named {name}, one of them {path}; rename one")
        _check_size(images.read_size(path, image_size=image_size), path)
    return paintings


def _check_size(size: tuple[int, ...], painting: str) -> None:
    """Raises an InputError for a height and width in which VGG sees nothing."""
    height, width = size
    if min(size) < sizes.SMALLEST_FOR_VGG:
        raise InputError(
            f"cannot use {painting} of {width} x {height} pixels: no side of a painting can have fewer than "
            f"{sizes.SMALLEST_FOR_VGG}"
        )


def _end_points_of_blocks(vgg: keras.Model) -> list[str]:
    """The end points whose Gram matrices are in Magenta's files: each block, and its pool."""
    return [name for name in vgg.output if name.count("/") == 1]
