"""The flags that bin/train.py, bin/finetune.py and bin/evaluate.py share, and what they stand for."""

import ast
import math
from collections.abc import Sequence

import keras
from absl import flags

from magstyle import checkpoints
from magstyle.data import content, styles
from magstyle.errors import InputError
from magstyle.models.transformer import StyleTransformer
from magstyle.training.model import StyleTraining

FLAGS = flags.FLAGS
flags.DEFINE_string("style_dataset_file", None, "The paintings, as bin/create_style_dataset.py writes them.")
flags.DEFINE_multi_string("content_files", None, "Photo, glob or folder of photos; more may follow without the flag.")
flags.DEFINE_string("imagenet_data_dir", None, "Or: folder with ImageNet's TFRecord shards train-00000-of-01024, ...")
flags.DEFINE_string("tfds_name", None, "Or: an image dataset of TensorFlow Datasets, such as imagenet2012.")
flags.DEFINE_string(
    "tfds_data_dir", None, "Where the datasets of TensorFlow Datasets are, if not at its default place."
)
flags.DEFINE_string(
    "vgg_checkpoint", "imagenet", "VGG: imagenet, a Keras .h5 file, a slim checkpoint, a .npz file, or random:SEED."
)
flags.DEFINE_string("content_weights", None, "Weights by VGG end point; \"{'vgg_16/conv3': 1.0}\" by default.")
flags.DEFINE_string("style_weights", None, "The same for the style; 1e-4 on each of vgg_16/conv1 to conv4 by default.")
flags.DEFINE_string(
    "style_coefficients", None, "Multiplies the style weights per style: a list, or {style: coefficient}; 1 by default."
)
flags.DEFINE_float("total_variation_weight", 0.0, "Weight of the total variation of the pictures.", lower_bound=0)
flags.DEFINE_float(
    "checkerboard_weight", 0.0, "Weight of what repeats every 4 pixels all over a picture.", lower_bound=0
)
flags.DEFINE_integer("batch_size", 16, "Photos per step, on all devices together.", lower_bound=1)
flags.DEFINE_integer("image_size", 256, "Side of the crops of the photos, in pixels; a multiple of 4.", lower_bound=16)
flags.DEFINE_integer("seed", 0, "Of the initial weights, the order of the photos and their styles.", lower_bound=0)
flags.DEFINE_integer("num_styles", None, "Not needed; if given, the style dataset must have that many.")
flags.mark_flag_as_required("style_dataset_file")


@flags.validator("image_size", message="must be a multiple of 4, as the network's pictures are")
def _is_multiple_of_4(image_size: int) -> bool:
    return image_size % 4 == 0


def open_styles() -> list[styles.Style]:
    """The paintings of --style_dataset_file."""
    found = styles.read(FLAGS.style_dataset_file)
    if FLAGS.num_styles not in (None, len(found)):
        raise InputError(f"{FLAGS.style_dataset_file} has {len(found)} styles, not --num_styles={FLAGS.num_styles}")
    return found


def open_photos(arguments: Sequence[str]) -> content.Source:
    """The photos of the one source that was given; `arguments` are those that follow the flags."""
    given = [bool(FLAGS.content_files), bool(FLAGS.imagenet_data_dir), bool(FLAGS.tfds_name)]
    if sum(given) != 1:
        raise InputError("give the photos by one of --content_files, --imagenet_data_dir and --tfds_name")
    if arguments and not FLAGS.content_files:
        raise InputError(f"unexpected argument {arguments[0]}")
    if FLAGS.content_files:
        return content.from_files([*FLAGS.content_files, *arguments])
    if FLAGS.imagenet_data_dir:
        return content.from_imagenet(FLAGS.imagenet_data_dir)
    return content.from_tfds(FLAGS.tfds_name, FLAGS.tfds_data_dir)


def build_training(
    transformer: StyleTransformer,
    paintings: Sequence[styles.Style],
    content_blocks: Sequence[int] = (),
    style_blocks: Sequence[int] = (),
    style_ramp_steps: int = 0,
) -> StyleTraining:
    """The model to train or to evaluate, with the losses that the flags say; not compiled.

    Args:
        transformer: the network.
        paintings: its styles.
        content_blocks, style_blocks: of VGG, whose losses are to be there too, if need be with a weight of 0.
        style_ramp_steps: as `StyleTraining` takes it.
    """
    vgg = checkpoints.load_vgg(FLAGS.vgg_checkpoint)
    depth = "vgg_19" if any(name.startswith("vgg_19") for name in vgg.output) else "vgg_16"
    content_weights = _weights("content_weights", {f"{depth}/conv3": 1.0})
    style_weights = _weights("style_weights", {f"{depth}/conv{i}": 1e-4 for i in (1, 2, 3, 4)})
    content_weights = {**{f"{depth}/conv{i}": 0.0 for i in content_blocks}, **content_weights}
    style_weights = {**{f"{depth}/conv{i}": 0.0 for i in style_blocks}, **style_weights}
    end_points = {**content_weights, **style_weights}
    for name in end_points:
        if name not in vgg.output:
            raise InputError(f"{FLAGS.vgg_checkpoint} has no end point {name!r}; it has {', '.join(vgg.output)}")
    vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in end_points})
    return StyleTraining(
        transformer,
        vgg,
        styles.targets(paintings, vgg, list(style_weights)),
        content_weights,
        style_weights,
        _style_coefficients(transformer.style_names),
        FLAGS.total_variation_weight,
        FLAGS.checkerboard_weight,
        style_ramp_steps,
    )


def _weights(flag: str, default: dict[str, float]) -> dict[str, float]:
    text = FLAGS[flag].value
    weights = default if text is None else _literal(flag)
    if not (isinstance(weights, dict) and weights and all(map(_is_weight, weights.values()))):
        raise InputError(f'--{flag}={text} must be weights by end point, such as "{default}"')
    return {name: float(weight) for name, weight in weights.items()}


def _style_coefficients(names: Sequence[str]) -> list[float]:
    if FLAGS.style_coefficients is None:
        return [1.0] * len(names)
    given = _literal("style_coefficients")
    if isinstance(given, dict) and all(str(name) in names for name in given):
        by_name = {str(name): coefficient for name, coefficient in given.items()}
        given = [by_name.get(name, 1.0) for name in names]
    if not (isinstance(given, list | tuple) and len(given) == len(names) and all(map(_is_weight, given))):
        raise InputError(
            f"--style_coefficients={FLAGS.style_coefficients} must be a list of one number per style, or a dictionary "
            f"by style; the styles are {', '.join(names)}"
        )
    return [float(coefficient) for coefficient in given]


def _literal(flag: str):
    try:
        return ast.literal_eval(FLAGS[flag].value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _is_weight(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
