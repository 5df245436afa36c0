"""Pictures of pictures, as people publish them: sheets, triptychs, grids, strips and walks between styles."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from magstyle import files, options, project
from magstyle.checkpoints.paintings import name_of
from magstyle.data import images, photos
from magstyle.errors import InputError
from magstyle.figures.jobs import FigureJob
from magstyle.painting import grids
from magstyle.painting.stylizer import Style, Stylizer, listed
from magstyle.video import animations

# Pictures from one style to the next, in a strip and in a walk.
_STRIP_STEPS = 5
_WALK_STEPS = 12

# A name and an image [H, W, 3].
Labelled = tuple[str, np.ndarray]
# A photo [H, W, 3] and the weights of paintings, to a picture of its size.
Paint = Callable[[np.ndarray, dict[int, float]], np.ndarray]
Row = list[Labelled]


@options.takes(FigureJob)
def figure(job: FigureJob) -> pathlib.Path:
    """Makes a figure of photos in several styles.

    Returns:
        The path of the figure.

    Raises:
        InputError: for files, styles or numbers that cannot be used.
    """
    output = files.expanded(job.output_image)
    contents, paintings = photos.find(job.content_images), photos.find(job.style_images) if job.style_images else []
    images.check_output(output, [*contents, *paintings])
    _check_arguments(job, output, contents, paintings)
    content = [images.read_image(path, job.image_size) for path in contents]
    shown = [(name_of(path), images.read_image(path, job.image_size)) for path in paintings]
    if job.optimize:
        paint = _by_optimization(job, [image for _, image in shown])
        names = [name for name, _ in shown]
    else:
        stylizer = Stylizer(job.checkpoint)
        names, rows_of_weights = _styles(stylizer, paintings, job.which_styles)
        paint = _by_network(job, stylizer, rows_of_weights)
    if job.kind in ("strip", "walk") and len(names) < 2:
        raise InputError(f"a {job.kind} needs at least two styles", "kind")
    if job.kind == "walk":
        _write_walk(output, content[0], paint, len(names))
        return output
    labelled = [(pathlib.Path(path).stem, image) for path, image in zip(contents, content, strict=True)]
    if job.kind == "strip":
        rows = _strip(content[0], names, paint)
    else:
        rows = {"sheet": _sheet, "triptych": _triptych, "grid": _grid}[job.kind](labelled, shown, paint)
    images.write_image(output, grids.figure(rows))
    return output


def _check_arguments(job: FigureJob, output: pathlib.Path, contents: Sequence[str], paintings: Sequence[str]) -> None:
    """Raises an InputError for arguments that do not fit together."""
    if job.kind == "walk":
        animations.check_writable(output)
    else:
        images.check_writable(output, 1, 1)
    if job.kind != "grid" and len(contents) > 1:
        raise InputError(f"a {job.kind} shows one photo, not {len(contents)}; a grid shows several", "content_images")
    if not paintings and (job.optimize or job.kind not in ("strip", "walk")):
        needs = "optimize" if job.optimize else f"kind={job.kind}"
        raise InputError(f"{needs} needs style_images, the paintings", "kind", "optimize", "style_images")
    if paintings and job.which_styles is not None:
        raise InputError("give one of style_images and which_styles", "style_images", "which_styles")
    if job.optimize and (job.strength, job.stroke_size) != (1, 1):
        raise InputError(
            "strength and stroke_size are for the network; leave them out with optimize",
            *("strength", "stroke_size", "optimize"),
        )


def _styles(
    stylizer: Stylizer, paintings: Sequence[str], which_styles: Sequence[int | str] | str | None
) -> tuple[list[str], list[np.ndarray]]:
    """The names of the requested styles, and their weights [num_styles].

    Args:
        stylizer: of the model. If it has a predictor, styles are paintings' files.
        paintings: the files that are shown, if any.
        which_styles: the styles if none are shown; all by default.
    """
    known, predicts = stylizer.network.style_names, stylizer.network.predictor is not None
    if isinstance(which_styles, Mapping):
        raise InputError(f"which_styles={which_styles} must be a list of styles, not a mixture", "which_styles")
    styles: list[Style] = [path if predicts else name_of(path) for path in paintings]
    styles = styles or listed("all" if which_styles is None else which_styles, known)
    if predicts and not all(isinstance(style, str) and style not in known for style in styles):
        raise InputError("the model has no styles of its own; give style_images, the paintings", "style_images")
    weights = [stylizer.style_weights(style) for style in styles]
    return [stylizer.label(style) if predicts else known[stylizer.style_index(style)] for style in styles], weights


def _by_network(job: FigureJob, stylizer: Stylizer, styles: Sequence[np.ndarray]) -> Paint:
    def paint(image: np.ndarray, weights: dict[int, float]) -> np.ndarray:
        mixture = sum(weight * styles[number] for number, weight in weights.items())
        return job.paint(stylizer, image, np.asarray(mixture, np.float32))

    return paint


def _by_optimization(job: FigureJob, paintings: Sequence[np.ndarray]) -> Paint:
    with project.needing_tensorflow("optimize", "optimize"):
        from magstyle.optimization import neural_style, neural_style_files, pixels, transforms
    from magstyle.optimization.jobs import StyleOptions

    style = StyleOptions(vgg_checkpoint=job.vgg_checkpoint, octaves=job.octaves, steps=job.steps)
    vgg = neural_style_files.open_network(style)

    def paint(image: np.ndarray, weights: dict[int, float]) -> np.ndarray:
        shown = [neural_style.Painting(paintings[number], weight) for number, weight in weights.items()]
        with tqdm(total=sum(transforms.octave_steps(job.octaves, job.steps)), unit="step", leave=False) as bar:
            minimize = functools.partial(pixels.minimize, report=lambda *_: bar.update())
            picture = neural_style.paint(image, shown, vgg, style, minimize)
        return job.recolor(image, picture)

    return paint


def _sheet(contents: Sequence[Labelled], paintings: Sequence[Labelled], paint: Paint) -> list[Row]:
    [(_, photo)] = contents
    pictures = [("", paint(photo, {number: 1.0})) for number in tqdm(range(len(paintings)), unit="picture")]
    return [[contents[0], *paintings], [("", np.ones_like(photo)), *pictures]]


def _triptych(contents: Sequence[Labelled], paintings: Sequence[Labelled], paint: Paint) -> list[Row]:
    [(_, photo)] = contents
    return [
        [contents[0], painting, ("", paint(photo, {number: 1.0}))]
        for number, painting in enumerate(tqdm(paintings, unit="picture"))
    ]


def _grid(contents: Sequence[Labelled], paintings: Sequence[Labelled], paint: Paint) -> list[Row]:
    blank = np.ones_like(contents[0][1])
    rows: list[Row] = [[("", blank), *paintings]]
    for name, photo in tqdm(contents, unit="photo"):
        rows.append([(name, photo), *(("", paint(photo, {number: 1.0})) for number in range(len(paintings)))])
    return rows


def _strip(photo: np.ndarray, names: Sequence[str], paint: Paint) -> list[Row]:
    rows = []
    for number in tqdm(range(len(names) - 1), unit="row"):
        weights = [_between(number, number + 1, k / (_STRIP_STEPS - 1)) for k in range(_STRIP_STEPS)]
        labels = [names[number], *[""] * (_STRIP_STEPS - 2), names[number + 1]]
        rows.append([(label, paint(photo, each)) for label, each in zip(labels, weights, strict=True)])
    return rows


def _write_walk(output: pathlib.Path, photo: np.ndarray, paint: Paint, count: int) -> None:
    """An animation from each style to the next, and from the last to the first."""
    steps = [(number, k / _WALK_STEPS) for number in range(count) for k in range(_WALK_STEPS)]
    with animations.writing(output, photo.shape[:2]) as add:
        for number, share in tqdm(steps, unit="frame"):
            add(images.to_uint8(paint(photo, _between(number, (number + 1) % count, share))))


def _between(one: int, other: int, share: float) -> dict[int, float]:
    """The weights of two styles at a fraction `share` of the way from one to the other."""
    return {number: weight for number, weight in ((one, 1 - share), (other, share)) if weight}
