"""The VGG loss network: an image's features at named end points.

Reference:
    Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition. arXiv 1409.1556. With
    average instead of maximum pooling as in Gatys et al., arXiv 1508.06576.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from magstyle import files
from magstyle.errors import InputError
from magstyle.models import random_seed

CONVOLUTIONS_PER_BLOCK = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
RGB_MEAN = (123.68, 116.779, 103.939)


def load_vgg(source: str | os.PathLike, end_points: Sequence[str] | None = None, pooling: str = "avg") -> keras.Model:
    """Opens a VGG loss network; see `build` for what it returns.

    Args:
        source: one of
            - `imagenet`: Keras's VGG-16, downloaded on first use;
            - a Keras `.h5` file of VGG-16 or VGG-19, with or without the fully connected layers;
            - a slim checkpoint (`vgg_16.ckpt`), or a Magenta training checkpoint, which holds one;
            - a `.npz` file of arrays under slim's variable names, of any width;
            - `random:SEED`: VGG-16 with random weights.
        end_points: the names wanted, such as `vgg_16/conv3`; all by default.
        pooling: "avg" or "max".

    Raises:
        InputError: for a source that is not there, damaged or no VGG, for weights that are NaN or infinite, or an end
            point that it does not have.
    """
    source = os.path.expanduser(os.fspath(source))
    if source == "imagenet":
        try:
            weights = keras_weights(keras.applications.VGG16(include_top=False, weights="imagenet"))
        except Exception as error:  # Keras reports a failed download as a bare Exception.
            raise InputError(f"cannot download Keras's VGG-16 ({error}); a file or random:0 works offline") from error
    elif source.startswith("random:"):
        weights = random_weights(random_seed(source))
    elif not (os.path.exists(source) or os.path.exists(f"{source}.index")):
        raise InputError(f"there are no VGG weights at {source}")
    elif source.endswith((".h5", ".hdf5")):
        with files.reading(source, "HDF5 file"):
            files.check_hdf5(source)
        weights = _read_keras_vgg(source)
    elif source.endswith(".npz"):
        with files.reading(source, ".npz file"):
            files.check_archive(source)
            with np.load(source) as arrays:
                weights = dict(arrays)
    else:
        from magstyle import magenta  # Needs TensorFlow.

        weights = magenta.read_checkpoint(source.removesuffix(".index"), prefix="vgg_")
    with files.reading(source, "VGG"):
        try:
            vgg = build(weights, end_points, pooling)
        except ValueError as error:
            raise InputError(f"{source}: {error}") from error
        if not all(np.isfinite(values).all() for values in vgg.get_weights()):
            raise InputError(f"cannot use {source}: some of its weights are no finite numbers")
        return vgg


def build(
    weights: Mapping[str, np.ndarray], end_points: Sequence[str] | None = None, pooling: str = "avg"
) -> keras.Model:
    """The frozen network, up to the deepest of the end points.

    Args:
        weights: arrays under slim's variable names, `vgg_16/conv1/conv1_1/weights` [3, 3, C_in, C_out] (RGB) and
            `.../biases` [C_out]; `vgg_19/...` for depth 19. Filters are counted off the shapes, and the network ends
            where the weights do, so a prefix of the convolutions will do.
        end_points: the names wanted, of those in `end_point_names(weights)`; all of them by default.
        pooling: "avg" or "max", 2 x 2 with stride 2.

    Returns:
        A model from `image` [B, H, W, 3], RGB in [0, 1], to a dictionary {end point: features [B, h, w, C]}.

    Raises:
        ValueError: for an end point that these weights do not reach, or weights that are no VGG.
    """
    if pooling not in ("avg", "max"):
        raise ValueError(f"VGG pools by 'avg' or 'max', not {pooling!r}.")
    available = end_point_names(weights)
    wanted = list(available if end_points is None else end_points)
    unknown = [name for name in wanted if name not in available]
    if unknown:
        raise ValueError(f"This VGG has no end point {unknown[0]!r}; it has {', '.join(available)}.")

    image = keras.Input((None, None, 3), name="image")
    pool = keras.layers.AveragePooling2D if pooling == "avg" else keras.layers.MaxPooling2D
    features = {}
    x = image * 255.0 - np.array(RGB_MEAN, np.float32)
    for name in available:
        scope = name.split("/")[-1]
        if "pool" in scope:
            x = pool(2, data_format="channels_last", name=scope)(x)
        elif "_" in scope:
            kernel, bias = weights[f"{name}/weights"], weights[f"{name}/biases"]
            layer = keras.layers.Conv2D(
                kernel.shape[-1], 3, padding="same", data_format="channels_last", activation="relu", name=scope
            )
            x = layer(x)
            layer.set_weights([kernel, bias])
        features[name] = x
    model = keras.Model(image, {name: features[name] for name in wanted})
    model.trainable = False
    return model


def end_point_names(weights: Mapping[str, np.ndarray]) -> list[str]:
    """The end points that weights reach, in order: per block each convolution after its relu, the block, its pool.

    Raises:
        ValueError: where the weights are no VGG, not even its first convolution.
    """
    depth = 19 if any(name.startswith("vgg_19/") for name in weights) else 16
    names, channels = [], 3
    for block, convolutions in enumerate(CONVOLUTIONS_PER_BLOCK[depth], start=1):
        scope = f"vgg_{depth}/conv{block}"
        for i in range(1, convolutions + 1):
            name = f"{scope}/conv{block}_{i}"
            kernel, bias = weights.get(f"{name}/weights"), weights.get(f"{name}/biases")
            if kernel is None or bias is None:
                if not names:
                    raise ValueError(f"These weights are no VGG: {name}/weights and {name}/biases are missing.")
                return names
            if kernel.shape[:3] != (3, 3, channels) or bias.shape != kernel.shape[3:]:
                raise ValueError(
                    f"These weights are no VGG: {name} has weights {kernel.shape} and biases {bias.shape} after "
                    f"{channels} channels."
                )
            names.append(name)
            channels = kernel.shape[-1]
        names += [scope, f"vgg_{depth}/pool{block}"]
    return names


def random_weights(seed: int, depth: int = 16) -> dict[str, np.ndarray]:
    """Full-width weights drawn at random, for `build`: features good enough to try every program offline.

    Kernels are normal with variance 2 / fan-in (He et al., arXiv 1502.01852), those of conv1_1 also divided by 64,
    for inputs in the hundreds; biases are normal with standard deviation 0.1.
    """
    rng = np.random.default_rng(seed)
    weights, channels = {}, 3
    for block, convolutions in enumerate(CONVOLUTIONS_PER_BLOCK[depth], start=1):
        filters = min(64 * 2 ** (block - 1), 512)
        for i in range(1, convolutions + 1):
            name = f"vgg_{depth}/conv{block}/conv{block}_{i}"
            kernel = rng.standard_normal((3, 3, channels, filters), np.float32)
            kernel *= np.float32(np.sqrt(2 / (9 * channels)))
            weights[f"{name}/weights"] = kernel / np.float32(64) if channels == 3 else kernel
            weights[f"{name}/biases"] = rng.standard_normal(filters, np.float32) * np.float32(0.1)
            channels = filters
    return weights


def keras_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights of a `keras.applications.VGG16` or `VGG19`, for `build`.

    Keras's first kernel expects BGR; its input channels are put in RGB order here.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    depth = len(convolutions) + 3  # The fully connected layers count.
    weights = {}
    for layer in convolutions:
        block = layer.name[len("block")]
        name = f"vgg_{depth}/conv{block}/conv{block}_{layer.name[-1]}"
        kernel, bias = layer.get_weights()
        weights[f"{name}/weights"] = kernel[:, :, ::-1] if layer is convolutions[0] else kernel
        weights[f"{name}/biases"] = bias
    return weights


def fingerprint(vgg: keras.Model) -> str:
    """A name for a VGG: hashes of its convolutions and its kinds of pools, in order; that of a part is a prefix."""

    def mark(layer):
        if isinstance(layer, keras.layers.Conv2D):
            return hashlib.sha256(b"".join(weights.tobytes() for weights in layer.get_weights())).hexdigest()[:8]
        return {keras.layers.AveragePooling2D: "avg", keras.layers.MaxPooling2D: "max"}.get(type(layer), "")

    return "".join(map(mark, vgg.layers))


def _read_keras_vgg(path: str) -> dict[str, np.ndarray]:
    # With the fully connected layers last: they take half a gigabyte, and files without them are the usual ones.
    for include_top in (False, True):
        for build in (keras.applications.VGG16, keras.applications.VGG19):
            try:
                return keras_weights(build(include_top=include_top, weights=path))
            except Exception:  # The errors of HDF5 and Keras differ by format; the next builder may fit.
                continue
    raise InputError(f"cannot read {path}: it holds no weights of Keras's VGG-16 or VGG-19, or is damaged")
