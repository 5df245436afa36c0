"""The VGG loss network: an image's features at named end points.

Reference:
    Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition. arXiv 1409.1556. With
    average instead of maximum pooling as in Gatys et al., arXiv 1508.06576.
"""

import hashlib
from collections.abc import Mapping, Sequence

import keras
import numpy as np

CONVOLUTIONS_PER_BLOCK = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
RGB_MEAN = (123.68, 116.779, 103.939)


def build(
    weights: Mapping[str, np.ndarray], end_points: Sequence[str] | None = None, pooling: str = "avg"
) -> keras.Model:
    """The frozen network, up to the deepest of the end points.

    Args:
        weights: arrays under slim's variable names, `vgg_16/conv1/conv1_1/weights` [3, 3, C_in, C_out] (RGB) and
            `.../biases` [C_out]; `vgg_19/...` for depth 19. The shapes tell the numbers of filters, and the network
            ends where the weights do, so the first few convolutions suffice.
        end_points: the names wanted, out of `end_point_names(weights)`; all of them by default.
        pooling: "avg" or "max", 2 x 2 with stride 2.

    Returns:
        A model from `image` [B, H, W, 3], RGB in [0, 1], to a dictionary {end point: features [B, h, w, C]}.

    Raises:
        ValueError: for an end point that these weights do not reach, or weights that do not make a VGG.
    """
    if pooling not in ("avg", "max"):
        raise ValueError(f"VGG pools by 'avg' or 'max', not {pooling!r}.")
    available = end_point_names(weights)
    wanted = list(available if end_points is None else end_points)
    if not wanted:
        raise ValueError("end_points must not be empty")
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
    """The end points that weights reach, in order: in each block, all convolutions after relu, the block, and its pool.

    Raises:
        ValueError: for weights that do not make at least the first convolution of a VGG.
    """
    depth = 19 if any(name.startswith("vgg_19/") for name in weights) else 16
    names: list[str] = []
    channels = 3
    for block, convolutions in enumerate(CONVOLUTIONS_PER_BLOCK[depth], start=1):
        scope = f"vgg_{depth}/conv{block}"
        for i in range(1, convolutions + 1):
            name = f"{scope}/conv{block}_{i}"
            kernel, bias = weights.get(f"{name}/weights"), weights.get(f"{name}/biases")
            if kernel is None or bias is None:
                if not names:
                    raise ValueError(f"These weights do not make a VGG: {name}/weights and {name}/biases are missing.")
                return names
            if kernel.shape[:3] != (3, 3, channels) or bias.shape != kernel.shape[3:]:
                raise ValueError(
                    f"These weights do not make a VGG: {name} has weights {kernel.shape} and biases {bias.shape} after "
                    f"{channels} channels."
                )
            names.append(name)
            channels = kernel.shape[-1]
        names += [scope, f"vgg_{depth}/pool{block}"]
    return names


def random_weights(seed: int, depth: int = 16) -> dict[str, np.ndarray]:
    """Random weights of full width for `build`, whose features suffice to try every program offline.

    Kernels are normal with variance 2 / fan-in; those of conv1_1 are also divided by 64, as inputs are in the hundreds.
    Biases are normal with standard deviation 0.1.

    Reference:
        He et al.: Delving Deep into Rectifiers. arXiv 1502.01852.
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

    Keras's first kernel expects BGR; its input channels are reordered to RGB here.
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
    """A name for a VGG: hashes of its convolutions and its kinds of pools, in order.

    The fingerprint of a network's first layers is a prefix of the whole network's.
    """

    def mark(layer):
        if isinstance(layer, keras.layers.Conv2D):
            return hashlib.sha256(b"".join(weights.tobytes() for weights in layer.get_weights())).hexdigest()[:8]
        return {keras.layers.AveragePooling2D: "avg", keras.layers.MaxPooling2D: "max"}.get(type(layer), "")

    return "".join(map(mark, vgg.layers))
