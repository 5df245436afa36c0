"""Do the photos keep up with the training? Photos per second, measured in turns in one process."""

import collections
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import PIL.Image
import tensorflow as tf

import measuring
import networks
from magstyle.data import pipeline
from magstyle.data.photos import find, from_files

COFFEE = pathlib.Path(__file__).resolve().parents[1] / "examples" / "coffee.jpg"
COLUMNS = ["photos, pixels", "decoded alone, per s", "prepared, per s", "augmented, per s", "trained on, per s"]


def measure(
    content_files: Sequence[str],
    vgg_checkpoint: str,
    image_size: int,
    batch_size: int,
    num_photos: int,
    repetitions: int,
) -> Iterator[list[str]]:
    names = find(content_files)
    files = tf.data.Dataset.from_tensor_slices(names).repeat().take(num_photos)
    source = from_files(content_files)
    prepared, augmented = (
        pipeline.batches(source, image_size, batch_size, num_styles=4, augment=augment).take(num_photos // batch_size)
        for augment in (False, True)
    )
    model = networks.style_training(1.0, vgg_checkpoint)
    batch = next(iter(prepared))
    passes = {
        "decoded": files.map(decode, num_parallel_calls=tf.data.AUTOTUNE),
        "prepared": prepared,
        "augmented": augmented,
    }
    calls = {name: lambda dataset=dataset: collections.deque(dataset, maxlen=0) for name, dataset in passes.items()}
    times = measuring.in_turns({**calls, "trained": lambda: model.train_on_batch(batch)}, repetitions)
    counts = {**dict.fromkeys(passes, num_photos), "trained": batch_size}
    width, height = np.median([size(name) for name in names], axis=0).astype(int)
    yield [f"{width} x {height}", *(f"{counts[name] / np.median(times[name]):.1f}" for name in counts)]


def decode(name: tf.Tensor) -> tf.Tensor:
    """One pixel of a photo, which is decoded completely for it."""

    def first_pixel(name):
        with PIL.Image.open(name) as image:
            return np.asarray(image.convert("RGB"))[0, 0]

    return tf.numpy_function(first_pixel, [name], tf.uint8)


def size(name: str) -> tuple[int, int]:
    """Width and height of a photo."""
    with PIL.Image.open(name) as image:
        return image.size


if __name__ == "__main__":
    parser = measuring.parser(__doc__, repetitions=5)
    parser.add_argument("--content_files", nargs="+", default=[str(COFFEE)], help="photos: names, globs, folders")
    parser.add_argument("--vgg_checkpoint", default="random:0", help="the loss network of the training")
    parser.add_argument("--image_size", type=int, default=256, help="side of the crops to train on, in pixels")
    parser.add_argument("--batch_size", type=int, default=4, help="photos per step")
    parser.add_argument("--num_photos", type=int, default=400, help="how many are read each time")
    measuring.print_table(COLUMNS, measure(**vars(parser.parse_args())))
