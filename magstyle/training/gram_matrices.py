"""The Gram matrices of paintings, which are all that a training sees of them.

Reference:
    Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576.
"""

import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
from tqdm import tqdm

from magstyle import limits, losses, names, sizes
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images, photos, styles
from magstyle.errors import InputError, memory_for_features
from magstyle.models import vgg as vgg_network


def create_style_dataset(
    style_files: str | os.PathLike | Sequence[str | os.PathLike],
    output_file: str | os.PathLike,
    *,
    vgg_checkpoint: str = "imagenet",
    image_size: int | None = None,
    compute_gram_matrices: bool = True,
) -> pathlib.Path:
    """Makes a style dataset of paintings, for `magstyle.train` and `magstyle.finetune`: a TFRecord file, as Magenta's.

    Args:
        style_files: image files, globs and folders with all below, one or several. The names of the files become those
            of the styles, their order that of the labels.
        output_file: the file to write; it appears complete or not at all, and one that is there is replaced.
        vgg_checkpoint: the loss network, as `magstyle.load_vgg` opens it.
        image_size: scales the shorter side of each painting to this many pixels; strokes are learned at that size. As
            they are by default.
        compute_gram_matrices: store them; otherwise each training computes those that it needs.

    Returns:
        The path of the file.

    Raises:
        InputError: for a file that is no image, two of one name, no VGG, or an output that cannot be written.
    """
    limits.check({"image_size": image_size}, sizes.SMALLEST_FOR_VGG)
    paintings = _find(style_files)
    vgg = load_vgg(vgg_checkpoint) if compute_gram_matrices else None

    def read(path: str) -> styles.Style:
        image = images.read_image(path, image_size)
        style = styles.Style(_name(path), images.encode(image, ".jpg"), {})
        if vgg:
            style.gram_matrices = of_image(image, vgg, _end_points_of_blocks(vgg))
            style.vgg = vgg_network.fingerprint(vgg)
        progress.update()
        return style

    with tqdm(total=len(paintings), unit="painting") as progress:
        return styles.write(map(read, paintings), output_file)


def is_made_of(
    style_dataset_file: str | os.PathLike,
    style_files: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    vgg_checkpoint: str = "imagenet",
    image_size: int | None = None,
    compute_gram_matrices: bool = True,
) -> bool:
    """Whether a file is what `create_style_dataset` makes of these arguments; no Gram matrix is computed for it.

    Raises:
        InputError: as `create_style_dataset`, for the arguments.
    """
    paintings = _find(style_files)
    try:
        found = styles.read(style_dataset_file)
    except InputError:
        return False
    if [style.name for style in found] != list(map(_name, paintings)):
        return False
    if any(
        style.jpeg != images.encode(images.read_image(path, image_size), ".jpg")
        for style, path in zip(found, paintings, strict=True)
    ):
        return False
    vgg = load_vgg(vgg_checkpoint) if compute_gram_matrices else None
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
    """What to train for: Gram matrices [num_styles, C, C] by end point.

    Those of the dataset where they are there and were computed with this VGG (as far as can be told, in Magenta's
    files by their shape alone), else those of the paintings of the dataset, computed here.
    """
    channels = {name: vgg.output[name].shape[-1] for name in end_points}
    fingerprint = vgg_network.fingerprint(vgg)

    def of(style: styles.Style) -> dict[str, np.ndarray]:
        recorded = style.gram_matrices
        fits = all(name in recorded and len(recorded[name]) == channels[name] for name in end_points)
        if fits and (not style.vgg or style.vgg.startswith(fingerprint)):
            return recorded
        return of_image(style.image, vgg, end_points)

    # The bar is for those that are computed here: what is read takes less than the second after which it shows.
    progress = tqdm(paintings, "Gram matrices", unit="painting", leave=False, delay=1)
    found = [of(style) for style in progress]
    return {name: np.stack([grams[name] for grams in found]) for name in end_points}


def _find(style_files: str | os.PathLike | Sequence[str | os.PathLike]) -> list[str]:
    """The paintings, whose names and sizes have been looked at."""
    paintings = photos.find(style_files)
    stems = list(map(_name, paintings))
    for name, path in zip(stems, paintings, strict=True):
        if stems.count(name) > 1:
            raise InputError(f"two paintings are called {name}, {path} is one of them; rename it")
        images.read_size(path)
    return paintings


def _name(path: str) -> str:
    """The name of the style of a painting."""
    return names.printable(pathlib.Path(path).stem)


def _end_points_of_blocks(vgg: keras.Model) -> list[str]:
    """The names of what Magenta's files have Gram matrices of: each block, and its pool."""
    return [name for name in vgg.output if name.count("/") == 1]
