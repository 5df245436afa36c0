"""Pictures of pictures, as people publish them: sheets, triptychs, grids, strips and walks between styles."""

import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from tqdm import tqdm

from magstyle import limits, models
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images, photos
from magstyle.errors import InputError, check_choice
from magstyle.models.transformer import StyleTransformer
from magstyle.optimization import neural_style, pixels, transforms
from magstyle.painting import grids
from magstyle.painting.stylizer import Stylizer
from magstyle.video import animations

KINDS = ("sheet", "triptych", "grid", "strip", "walk")
# As many steps from one style to the next, in a strip and in a walk.
_STRIP_STEPS = 5
_WALK_STEPS = 12

# A photo [H, W, 3] and the weights of paintings, to a picture of its size.
Paint = Callable[[np.ndarray, dict[int, float]], np.ndarray]


def figure(
    content_images: str | os.PathLike | Sequence[str | os.PathLike],
    output_image: str | os.PathLike,
    *,
    kind: str = "sheet",
    style_images: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    which_styles: Sequence[int | str] | str | None = None,
    checkpoint: StyleTransformer | str | os.PathLike = "painters",
    optimize: bool = False,
    vgg_checkpoint: str | os.PathLike = "imagenet",
    image_size: int = 256,
    octaves: int = 2,
    steps: int = 200,
) -> pathlib.Path:
    """Makes a figure of photos in several styles.

    Args:
        content_images: photos: image files, globs and folders. All of a figure are shown in the shape of the first.
        output_image: the figure to write, .png, .jpg or .webp; of a walk, .gif, .webp, .mp4 or .webm (the last two
            with the extra `video`). One that is there is replaced.
        kind: "sheet": the paintings along the top and, below each, the photo in its style; "triptych": photo, painting
            and picture, a row for each painting; "grid": photos down the side, paintings along the top; "strip": a
            photo on its way from style to style; "walk": the same as an animation that ends where it begins.
        style_images: the paintings. Where the network paints, each is called as its style is, and says which styles.
        which_styles: styles of the network by number or name, where no painting is shown; all by default.
        checkpoint: the network, anything that `magstyle.load_model` opens.
        optimize: paint with neural style instead of the network, and any paintings.
        vgg_checkpoint: of neural style, as `magstyle.load_vgg` opens it.
        image_size: shorter side of each picture.
        octaves, steps: of neural style.

    Returns:
        The path of the figure.

    Raises:
        InputError: for files, styles or numbers that cannot be used.
    """
    limits.check({"image_size": image_size, "octaves": octaves, "steps": steps})
    output = pathlib.Path(output_image).expanduser()
    check_choice("kind", kind, KINDS)
    contents, paintings = photos.find(content_images), photos.find(style_images) if style_images else []
    images.check_output(output, [*contents, *paintings])
    _check_arguments(kind, output, contents, paintings, which_styles, optimize)
    content = [images.read_image(path, image_size) for path in contents]
    shown = [(pathlib.Path(path).stem, images.read_image(path, image_size)) for path in paintings]
    if optimize:
        paint = _by_optimization([image for _, image in shown], vgg_checkpoint, octaves, steps)
        names = [name for name, _ in shown]
    else:
        stylizer = Stylizer(checkpoint)
        names = [name for name, _ in shown] or _names(stylizer, which_styles)
        paint = _by_network(stylizer, names)
    if kind in ("strip", "walk") and len(names) < 2:
        raise InputError(f"a {kind} leads from style to style, and there is but one", "kind")
    if kind == "walk":
        _write_walk(output, content[0], paint, len(names))
    else:
        labelled = [(pathlib.Path(path).stem, image) for path, image in zip(contents, content, strict=True)]
        rows = {"sheet": _sheet, "triptych": _triptych, "grid": _grid, "strip": _strip}[kind](
            labelled, shown or [(name, None) for name in names], paint
        )
        sheet = grids.figure(rows)
        images.write_image(output, sheet)
    return output


def _check_arguments(
    kind: str, output: pathlib.Path, contents: Sequence, paintings: Sequence, which_styles, optimize: bool
) -> None:
    """Raises an InputError for arguments that do not fit together."""
    if kind == "walk":
        animations.check_writable(output)
    else:
        images.check_writable(output, 1, 1)
    if kind != "grid" and len(contents) > 1:
        raise InputError(f"a {kind} shows one photo, not {len(contents)}; a grid shows several", "content_images")
    if not paintings and (optimize or kind not in ("strip", "walk")):
        needs = "optimize" if optimize else f"kind={kind}"
        raise InputError(f"{needs} needs style_images, the paintings", "kind", "optimize", "style_images")
    if paintings and which_styles is not None:
        raise InputError("give one of style_images and which_styles", "style_images", "which_styles")


def _names(stylizer: Stylizer, which_styles: Sequence[int | str] | str | None) -> list[str]:
    """The names of the styles that are asked for."""
    names = stylizer.network.style_names
    if which_styles is None or (isinstance(which_styles, str) and which_styles == "all"):
        return list(names)
    if isinstance(which_styles, Mapping):
        raise InputError(f"which_styles={which_styles} must be a list of styles, not a mixture", "which_styles")
    wanted = [which_styles] if isinstance(which_styles, int | str) else which_styles
    return [names[stylizer.style_index(style)] for style in wanted]


def _by_network(stylizer: Stylizer, names: Sequence[str]) -> Paint:
    styles = [stylizer.style_index(name) for name in names]

    def paint(image: np.ndarray, weights: dict[int, float]) -> np.ndarray:
        return stylizer.stylize(image, {styles[number]: weight for number, weight in weights.items()})

    return paint


def _by_optimization(
    paintings: Sequence[np.ndarray], vgg_checkpoint: str | os.PathLike, octaves: int, steps: int
) -> Paint:
    vgg = load_vgg(vgg_checkpoint)
    content = models.find_end_points(neural_style.CONTENT_END_POINTS, vgg.output)
    style = models.find_end_points(neural_style.STYLE_END_POINTS, vgg.output)
    vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in [*content, *style]})

    def paint(image: np.ndarray, weights: dict[int, float]) -> np.ndarray:
        with tqdm(total=sum(transforms.octave_steps(octaves, steps)), unit="step", leave=False) as bar:
            return neural_style.paint(
                image,
                [paintings[number] for number in weights],
                vgg,
                content,
                style,
                functools.partial(pixels.minimize, report=lambda *_: bar.update()),
                steps=steps,
                painting_weights=list(weights.values()),
                octaves=octaves,
            )

    return paint


def _sheet(contents: Sequence, paintings: Sequence, paint: Paint) -> list:
    [(_, photo)] = contents
    pictures = [("", paint(photo, {number: 1.0})) for number in tqdm(range(len(paintings)), unit="picture")]
    return [[contents[0], *paintings], [("", np.ones_like(photo)), *pictures]]


def _triptych(contents: Sequence, paintings: Sequence, paint: Paint) -> list:
    [(_, photo)] = contents
    return [
        [contents[0], painting, ("", paint(photo, {number: 1.0}))]
        for number, painting in enumerate(tqdm(paintings, unit="picture"))
    ]


def _grid(contents: Sequence, paintings: Sequence, paint: Paint) -> list:
    blank = np.ones_like(contents[0][1])
    rows = [[("", blank), *paintings]]
    for name, photo in tqdm(contents, unit="photo"):
        rows.append([(name, photo), *(("", paint(photo, {number: 1.0})) for number in range(len(paintings)))])
    return rows


def _strip(contents: Sequence, paintings: Sequence, paint: Paint) -> list:
    [(_, photo)] = contents
    rows = []
    for number in tqdm(range(len(paintings) - 1), unit="row"):
        weights = [_between(number, number + 1, k / (_STRIP_STEPS - 1)) for k in range(_STRIP_STEPS)]
        labels = [paintings[number][0], *[""] * (_STRIP_STEPS - 2), paintings[number + 1][0]]
        rows.append([(label, paint(photo, each)) for label, each in zip(labels, weights, strict=True)])
    return rows


def _write_walk(output: pathlib.Path, photo: np.ndarray, paint: Paint, count: int) -> None:
    """An animation from each style to the next, and from the last to the first."""
    steps = [(number, k / _WALK_STEPS) for number in range(count) for k in range(_WALK_STEPS)]
    with animations.writing(output, photo.shape[:2]) as add:
        for number, share in tqdm(steps, unit="frame"):
            add(images.to_uint8(paint(photo, _between(number, (number + 1) % count, share))))


def _between(one: int, other: int, share: float) -> dict[int, float]:
    """The weights of two styles, so much of the way from the one to the other."""
    return {number: weight for number, weight in ((one, 1 - share), (other, share)) if weight}
