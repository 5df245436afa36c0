"""What does it cost to optimise pixels, and how close do they come?

Times are CPU times, relative to a forward and backward pass through VGG alone. Memory is the peak of a separate process
after two evaluations, plus the memory that L-BFGS has at the end.
"""

import math
import multiprocessing
import time
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

import measuring
from magstyle import models, project
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images
from magstyle.optimization import deep_dream, jobs, neural_style, objectives, pixels, reconstruction
from memory import peak_memory

COLUMNS = ["figure", "pixels", "result"]
# Enough that L-BFGS remembers as many steps as it ever does.
TIMED_EVALUATIONS = 12


def measure(
    photo: str,
    painting: str,
    vgg_checkpoint: str,
    image_size: int,
    steps: int,
    texture_size: int,
    texture_steps: int,
    texture_end_point: str,
    end_point: str,
    memory_sizes: Sequence[int],
    repetitions: int,
) -> Iterator[list[str]]:
    vgg = load_vgg(vgg_checkpoint)
    image, style = (images.read_image(path, image_size) for path in (photo, painting))
    size = f"{image.shape[1]} x {image.shape[0]}"
    evaluate, start = style_evaluation(vgg, image, style)
    for name, ratio in cpu_times(vgg, start, evaluate, repetitions).items():
        yield [f"{name} / VGG", size, f"{ratio:.2f}"]

    losses = {name: losses_by_evaluation(evaluate, start, steps, name) for name in ("lbfgs", "adam")}
    needed = 1 + int(np.argmax(losses["lbfgs"] <= losses["adam"][-1]))
    yield [f"L-BFGS's evaluations for Adam's loss after {steps}", size, f"{needed}"]

    for name in jobs.STYLE_END_POINTS:
        job = jobs.VggOptions(steps=steps)
        found = reconstruction.invert(image, "content", part(vgg, [name]), job, pixels.minimize)
        yield [f"{name} inverted, PSNR, dB", size, f"{-10 * np.log10(np.mean(np.square(found - image))):.1f}"]

    up_to = jobs.STYLE_END_POINTS[: jobs.STYLE_END_POINTS.index(texture_end_point) + 1]
    network, style = part(vgg, up_to), images.read_image(painting, texture_size)
    job = jobs.VggOptions(steps=texture_steps)
    texture = reconstruction.invert(style, "style", network, job, pixels.minimize)
    grams = [
        neural_style.style_targets(network(picture[None]), list(network.output), objectives.gram)
        for picture in (texture, style)
    ]
    errors = [np.linalg.norm(grams[0][name] - target) / np.linalg.norm(target) for name, target in grams[1].items()]
    style_size = f"{style.shape[1]} x {style.shape[0]}"
    name = f"texture up to {texture_end_point}, largest error of a Gram matrix after {texture_steps}, %"
    yield [name, style_size, f"{100 * max(errors):.1f}"]

    network = part(vgg, [end_point])
    climb = pixels.evaluation_of(deep_dream.dream_objective(network, dict.fromkeys(network.output)))
    dreamed = deep_dream.dream(image, climb, jobs.DreamOptions(), np.random.default_rng(0))
    rise = climb(dreamed)[0]["loss"] / climb(image)[0]["loss"]
    yield [f"dream / photo, activation of {end_point}", size, f"{rise:.1f}"]

    for side in memory_sizes:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak, (height, width) = pool.apply(peak_of_painting, (photo, painting, vgg_checkpoint, side))
        yield ["neural style, peak memory, GiB", f"{width} x {height}", f"{peak / 2**30:.2f}"]


def style_evaluation(vgg: keras.Model, image: np.ndarray, style: np.ndarray) -> tuple[pixels.Evaluation, np.ndarray]:
    """The losses of neural style, as `paint` evaluates them, and the picture with a margin from which it starts."""
    caught = []

    def minimize(evaluate: pixels.Evaluation, picture: np.ndarray, _: int, **options: object) -> np.ndarray:
        caught.append((evaluate, picture))
        return picture

    paint(vgg, image, style, minimize, 1)
    return caught[0]


def paint(vgg: keras.Model, image: np.ndarray, style: np.ndarray, minimize: pixels.Minimize, steps: int) -> np.ndarray:
    """Neural style with the end points of the paper."""
    network = part(vgg, [*jobs.CONTENT_END_POINTS, *jobs.STYLE_END_POINTS])
    job = jobs.StyleOptions(octaves=1, steps=steps)
    return neural_style.paint(image, [neural_style.Painting(style)], network, job, minimize)


def part(vgg: keras.Model, end_points: Sequence[str]) -> keras.Model:
    """The network up to some end points."""
    return keras.Model(vgg.input, {name: vgg.output[name] for name in models.find_end_points(end_points, vgg.output)})


def cpu_times(vgg: keras.Model, image: np.ndarray, evaluate: pixels.Evaluation, repetitions: int) -> dict[str, float]:
    """The time of an evaluation, alone and with L-BFGS around it, relative to the network alone."""
    network = part(vgg, [*jobs.CONTENT_END_POINTS, *jobs.STYLE_END_POINTS])
    ones = {name: tf.ones(values.shape) for name, values in network(image[None]).items()}

    @tf.function(autograph=False)
    def there_and_back(pictures):
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            features = network(pictures)
        return tape.gradient(features, pictures, output_gradients=ones)

    calls = {
        "VGG": lambda: [there_and_back(tf.constant(image[None])).numpy() for _ in range(TIMED_EVALUATIONS)],
        "an evaluation": lambda: [evaluate(image) for _ in range(TIMED_EVALUATIONS)],
        "an evaluation of L-BFGS": lambda: pixels.minimize(evaluate, image, TIMED_EVALUATIONS),
    }
    times = measuring.in_turns(calls, repetitions, time.process_time)
    return {name: float(np.median(times[name] / times["VGG"])) for name in list(calls)[1:]}


def losses_by_evaluation(evaluate: pixels.Evaluation, image: np.ndarray, steps: int, optimizer: str) -> np.ndarray:
    """The least loss after each evaluation."""
    losses = []
    pixels.minimize(evaluate, image, steps, optimizer, report=lambda _, terms: losses.append(sum(terms.values())))
    return np.array(losses)


def peak_of_painting(photo: str, painting: str, vgg_checkpoint: str, side: int) -> tuple[int, tuple[int, int]]:
    """The bytes that a process needs to paint a picture with this shorter side, and the picture's height and width."""
    image = images.read_image(photo, side)
    paint(load_vgg(vgg_checkpoint), image, images.read_image(painting), pixels.minimize, steps=2)
    # L-BFGS remembers the second evaluation first, as two pictures in 64 bits.
    values = 3 * math.prod(side + 2 * neural_style.MARGIN for side in image.shape[:2])
    return peak_memory() + 16 * (pixels.PAIRS - 1) * values, image.shape[:2]


if __name__ == "__main__":
    parser = measuring.parser(__doc__, repetitions=3)
    coffee = str(project.file("examples", "coffee.jpg"))
    parser.add_argument("--photo", default=coffee, help="the photo to paint, invert and dream of")
    parser.add_argument("--painting", default=coffee, help="the painting whose style it takes")
    parser.add_argument("--vgg_checkpoint", default="random:0", help="the loss network")
    parser.add_argument("--image_size", type=int, default=128, help="shorter side of all but texture and memory")
    parser.add_argument("--steps", type=int, default=100, help="evaluations of each optimisation but the texture's")
    parser.add_argument("--texture_size", type=int, default=256, help="shorter side of the texture, in pixels")
    parser.add_argument("--texture_steps", type=int, default=200, help="evaluations of the texture's optimisation")
    parser.add_argument(
        "--texture_end_point", default="conv4_1", choices=jobs.STYLE_END_POINTS, help="the texture's last one"
    )
    parser.add_argument("--end_point", default="conv4_2", help="the end point that the dream climbs")
    parser.add_argument("--memory_sizes", type=int, nargs="*", default=[512, 1024], help="shorter sides, in pixels")
    measuring.print_table(COLUMNS, measure(**vars(parser.parse_args())))
