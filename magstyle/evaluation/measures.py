"""How well a network paints: its losses style by style, measures that models can be compared by, and grids of pictures.

Four measures compare models whatever they were trained with. `relative_style_loss` is the style loss of the pictures,
relative to that of the photos, averaged over conv1 to conv4; `relative_content_loss` is their content loss at conv3,
relative to that of another photo. `palette` and `pattern` need no network: they are the distances of the pictures'
colours and small shapes from those of the painting, relative to the photos'; see `appearance`. All are 0 at
best, and 1 for pictures that have nothing of the painting, or nothing of the photo.
"""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from magstyle import losses, options
from magstyle.checkpoints import model_files
from magstyle.data import pipeline
from magstyle.data.images import to_float
from magstyle.errors import InputError
from magstyle.evaluation import appearance
from magstyle.evaluation.jobs import EvaluationJob
from magstyle.limits import Count
from magstyle.models.transformer import StyleTransformer
from magstyle.names import counted
from magstyle.optimization import pixels
from magstyle.painting import grids
from magstyle.painting.stylizer import Stylizer
from magstyle.training import criterion, transfer
from magstyle.training.jobs import Checkpoint, StylesObjective
from magstyle.training.model import StyleTraining
from magstyle.video import codec, optical_flow
from magstyle.video.steadiness import FramePainter, Steadiness

PHOTOS_IN_GRID = 4
STYLE_BLOCKS = (1, 2, 3, 4)
CONTENT_BLOCK = 3
LBFGS_EVALUATIONS = 300
# The number of frames of a clip whose style losses are measured.
_FRAMES_FOR_STYLE = 4
# The measures that need no network, by name.
APPEARANCE = {"palette": appearance.palette, "pattern": appearance.pattern}


@options.takes(EvaluationJob)
def evaluate(job: EvaluationJob) -> dict[str, np.ndarray]:
    """Measures a model on photos, in every style.

    Returns:
        [num_styles] by name: the means of all losses of the training, `relative_style_loss`, `palette`, `pattern` and,
        if there are two photos or more, `relative_content_loss`.

    Raises:
        InputError: for arguments or files that cannot be used, or a model of other styles.
    """
    evaluation = Evaluation(job.style_dataset_file, job)
    return evaluation.measure(evaluation.open(job.checkpoint), job.num_evals)


class Evaluation:
    """Judges models of the same paintings, on the same photos.

    Args:
        style_dataset_file: the paintings.
        objective: the photos and the losses.

    Raises:
        InputError: for files that cannot be used.
    """

    def __init__(self, style_dataset_file: str | os.PathLike, objective: StylesObjective):
        self.objective = objective
        self._style_dataset_file = style_dataset_file
        self.paintings = criterion.read_paintings(style_dataset_file, objective)
        self._photos = criterion.open_photos(objective)
        self._judge: _Judge | None = None

    def open(self, checkpoint: Checkpoint, alpha: float | None = None) -> StyleTransformer:
        """Opens a model, as `magstyle.load_model` does, with the styles that the paintings are of."""
        model = model_files.load_model(checkpoint, alpha=alpha)
        names = [painting.name for painting in self.paintings]
        if set(names) <= set(model.style_names):
            return transfer.with_styles(model, names, match_names=True)
        if model.num_styles != len(self.paintings):
            raise InputError(
                f"{checkpoint} has {counted(model.num_styles, 'style')}, and {self._style_dataset_file} has "
                f"{counted(len(self.paintings), 'painting')} of other names; their styles must be the same"
            )
        return model

    def measure(self, transformer: StyleTransformer, num_evals: int = 32) -> dict[str, np.ndarray]:
        """The losses [num_styles] by name, as `evaluate` returns them: means over the same photos in every style."""
        options.check_value("num_evals", num_evals, Count)
        judge, styles = self._judge_of(transformer), range(len(self.paintings))
        paintings = _looks([painting.image for painting in self.paintings])
        plain, of_pictures = _PlainPhotos(judge.criterion, paintings), []
        with tqdm(total=num_evals * len(styles), unit="batch", mininterval=1) as progress:
            for batch in self._batches(self.objective.batch_size).take(num_evals).as_numpy_iterator():
                in_style = []
                for style in styles:
                    in_style.append(_painted(judge, batch, style, paintings))
                    progress.update()
                of_pictures.append(_by_name(in_style))
                plain.add(batch)
        if len(of_pictures) < num_evals:
            raise pipeline.nothing_left(self._photos)
        return plain.compare(_means(of_pictures))

    def read_clip(self, clip: str | os.PathLike, num_frames: int = 32) -> list[np.ndarray]:
        """The first frames of a clip, uint8 RGB [H, W, 3], scaled to the size of the photos.

        Raises:
            InputError: for a clip that cannot be read, or that has a single frame.
        """
        options.check_value("num_frames", num_frames, Count)
        if num_frames < 2:
            raise InputError(f"num_frames={num_frames} must be 2 or more: steadiness needs two frames", "num_frames")
        with codec.Clip(clip, self.objective.image_size) as opened:
            frames = [frame.image for frame in itertools.islice(opened.frames(), num_frames)]
        if len(frames) < 2:
            raise InputError(f"steadiness needs two frames, and {clip} has only one")
        return frames

    def measure_steadiness(self, transformer: StyleTransformer, frames: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """How steadily the frames of a clip are painted, in every style.

        Args:
            transformer: the model.
            frames: the frames, as `read_clip` returns them.

        Returns:
            [num_styles] by name: `warping_error/clip` of the plain frames, `warping_error/one_by_one` of their
            pictures, and `warping_error/steady` of steady ones, as `magstyle.video.optical_flow` defines it; and
            `relative_style_loss/one_by_one` and `relative_style_loss/steady` of these pictures.
        """
        motions = [optical_flow.motion(*pair) for pair in itertools.pairwise(frames)]
        model, stylizer = self._model(transformer), Stylizer(transformer)
        plain = [to_float(frame) for frame in frames]
        # Not the first ones, which have little or nothing before them to be steady with.
        chosen = np.linspace(len(frames) // 4, len(frames) - 1, _FRAMES_FOR_STYLE).astype(int)
        of_clip = self._style_losses_of(model, [plain[k] for k in chosen])
        in_style = []
        for style in tqdm(range(len(self.paintings)), unit="style"):
            pictures = {
                "one_by_one": [stylizer.stylize(frame, style) for frame in plain],
                "steady": _steady_pictures(stylizer, plain, motions, style),
            }
            measured = {"warping_error/clip": _warping_error(plain, motions)}
            for name, shown in pictures.items():
                losses_of = self._style_losses_of(model, [shown[k] for k in chosen])
                relative = [losses_of[block][style] / of_clip[block][style] for block in of_clip]
                measured[f"warping_error/{name}"] = _warping_error(shown, motions)
                measured[f"relative_style_loss/{name}"] = float(np.mean(relative))
            in_style.append(measured)
        return _by_name(in_style)

    def _style_losses_of(self, model: StyleTraining, pictures: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """The losses that `relative_style_loss` is made of, [num_styles] by name."""
        found = _style_losses(model.vgg.predict_on_batch(np.stack(pictures)), model.gram_matrices)
        return {name: found[name] for name in (f"style_loss/{_end_point(model, block)}" for block in STYLE_BLOCKS)}

    def compare_with_optimization(
        self, transformer: StyleTransformer, pairs: int
    ) -> Iterator[tuple[str, float, float]]:
        """Compares pictures with the result of 300 evaluations of L-BFGS from the photo, by the total loss of both.

        Args:
            transformer: the model.
            pairs: number of pairs of a photo and a style.

        Yields:
            The name of the style, the loss of the network's picture, and that of the optimised one.
        """
        model = self._model(transformer)
        for k, image in enumerate(self._batches(1).take(pairs)):
            label = np.array([k % len(self.paintings)])

            def objective(picture, image=image, label=label):
                return {"total_loss": model.losses_of(picture, image, label)["total_loss"][0]}

            network = float(model.predict_on_batch({"image": image, "label": label})["total_loss"][0])
            evaluate = pixels.evaluation_of(objective)
            terms, _ = evaluate(pixels.minimize(evaluate, image[0].numpy(), LBFGS_EVALUATIONS))
            yield self.paintings[label[0]].name, network, terms["total_loss"]

    def style_grid(self, transformer: StyleTransformer) -> np.ndarray:
        """Some photos, and noise to see how a style paints nothing at all, in every style; see `grids`."""
        photos = next(iter(self._batches(PHOTOS_IN_GRID))).numpy()
        noise = np.random.default_rng(self.objective.seed).random(photos[:1].shape, np.float32)
        return grids.style_grid(Stylizer(transformer), np.concatenate([photos, noise]), self.paintings)

    def style_crossover(self, transformer: StyleTransformer) -> np.ndarray:
        """The paintings in every style; see `grids`."""
        squares = grids.paintings_as_squares(self.paintings, self.objective.image_size)
        return grids.style_grid(Stylizer(transformer), squares, self.paintings)

    def _model(self, transformer: StyleTransformer) -> StyleTraining:
        """A copy of a network with its losses; the next call replaces its weights."""
        return self._judge_of(transformer).criterion

    def _judge_of(self, transformer: StyleTransformer) -> "_Judge":
        """The judge of a network, built once for all networks of the same architecture."""
        if self._judge is None:
            # A network of its own, which takes the weights of one model after the other.
            copy = StyleTransformer.from_config(transformer.get_config())
            self._judge = _Judge(
                criterion.build(
                    self.objective, copy, self.paintings, content_blocks=[CONTENT_BLOCK], style_blocks=STYLE_BLOCKS
                )
            )
        self._judge.criterion.transformer.set_weights(transformer.get_weights())
        return self._judge

    def _batches(self, batch_size: int) -> tf.data.Dataset:
        """The photos, [batch_size, S, S, 3] in [0, 1]."""
        found = pipeline.batches(self._photos, self.objective.image_size, batch_size, 1, self.objective.seed)
        return found.map(lambda batch: batch["image"])


class _Judge(keras.Model):
    """Paints photos and judges the pictures, in one go.

    Args:
        criterion: the network with its losses.

    Call arguments:
        inputs: as those of the criterion.

    Returns:
        The pictures, [B, H, W, 3] in [0, 1], and their losses, [B] each, by name.
    """

    def __init__(self, criterion: StyleTraining):
        super().__init__(name="judge")
        self.criterion = criterion
        self.built = True  # All of its layers are; Keras would warn that it cannot tell.

    def call(self, inputs):
        images, labels = keras.ops.convert_to_tensor(inputs["image"]), keras.ops.convert_to_tensor(inputs["label"])
        pictures = self.criterion.stylized(images, labels)
        return pictures, self.criterion.losses_of(pictures, images, labels)


class _PlainPhotos:
    """The measures of plain photos, collected batch by batch, with which those of pictures are compared.

    Args:
        model: a network with its losses.
        paintings: the colours and small shapes of the paintings.
    """

    def __init__(self, model: StyleTraining, paintings: Mapping[str, Sequence[np.ndarray]]):
        self._model, self._paintings = model, paintings
        self._content_name = _end_point(model, CONTENT_BLOCK)
        self._measured: list[dict[str, np.ndarray]] = []
        self._content_losses: list[float] = []
        # The content of the last photo so far, [1, h, w, C].
        self._last: np.ndarray | None = None

    def add(self, batch: np.ndarray) -> None:
        """Measures photos [B, S, S, 3] against the paintings, and each against the photo before it."""
        features, looks = self._model.vgg.predict_on_batch(batch), _looks(batch)
        distances = [_distances(looks, self._paintings, style) for style in range(len(self._model.styles))]
        self._measured.append(_style_losses(features, self._model.gram_matrices) | _by_name(distances))
        content = features[self._content_name]
        in_turn = content if self._last is None else np.concatenate([self._last, content])
        self._content_losses += [np.mean(np.square(one - two)) for one, two in itertools.pairwise(in_turn)]
        self._last = content[-1:]

    def compare(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The measures [num_styles] of pictures by name, with those that are relative to plain photos."""
        plain = _means(self._measured)
        names = [f"style_loss/{_end_point(self._model, block)}" for block in STYLE_BLOCKS]
        compared = {**found, **{name: found[name] / plain[name] for name in APPEARANCE}}
        compared["relative_style_loss"] = np.mean([found[name] / plain[name] for name in names], axis=0)
        if self._content_losses:
            content_loss = found[f"content_loss/{self._content_name}"]
            compared["relative_content_loss"] = content_loss / np.mean(self._content_losses)
        return compared


def _painted(
    judge: _Judge, batch: np.ndarray, style: int, paintings: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, float]:
    """The losses of photos in a style, and the distances of the pictures from its painting: means by name."""
    labels = np.full(len(batch), style, np.int32)
    pictures, found = judge.predict_on_batch({"image": batch, "label": labels})
    return {name: float(values.mean()) for name, values in found.items()} | _distances(
        _looks(pictures), paintings, style
    )


def _steady_pictures(
    stylizer: Stylizer, frames: Sequence[np.ndarray], motions: Sequence[optical_flow.Motion], style: int
) -> list[np.ndarray]:
    """The pictures of frames, painted as a clip is; `motions` are those between one frame and the next."""
    painter, steadiness = FramePainter(frames[0].shape[:2]), Steadiness()

    def stylize(canvas: np.ndarray) -> np.ndarray:
        return stylizer.stylize(canvas, style)

    return [
        steadiness.steady(painter.paint(frame, motion, stylize), motion)
        for frame, motion in zip(frames, [None, *motions], strict=True)
    ]


def _warping_error(pictures: Sequence[np.ndarray], motions: Sequence[optical_flow.Motion]) -> float:
    """The mean warping error from one picture to the next."""
    return float(np.nanmean(list(map(optical_flow.warping_error, pictures, pictures[1:], motions))))


def _looks(images: Iterable[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """The colours and small shapes of images, by the name of the measure."""
    return {name: [look(image) for image in images] for name, look in APPEARANCE.items()}


def _distances(looks: Mapping[str, Sequence], paintings: Mapping[str, Sequence], style: int) -> dict[str, float]:
    """How far some images look from a painting, means by the name of the measure."""
    return {
        name: float(np.mean([appearance.distance(one, paintings[name][style]) for one in looks[name]]))
        for name in APPEARANCE
    }


def _by_name(found: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """A list of numbers, or of arrays, by name as arrays by name."""
    return {name: np.array([entry[name] for entry in found]) for name in found[0]}


def _means(found: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: values.mean(axis=0) for name, values in _by_name(found).items()}


def _end_point(model: StyleTraining, block: int) -> str:
    """The name of the last features of a block of the loss network."""
    return next(name for name in model.vgg.output if name.endswith(f"/conv{block}"))


def _style_losses(features: Mapping[str, np.ndarray], gram_matrices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The style losses [num_styles] of plain photos, by name: means over the batch."""
    found = {}
    for name, targets in gram_matrices.items():
        grams = np.asarray(losses.gram_matrix(features[name]))
        found[f"style_loss/{name}"] = np.array([np.mean(np.square(grams - target)) for target in targets])
    return found
