"""The networks to measure: ours with random weights, the same network of plain layers, and a training of ours."""

import re

import keras
import numpy as np
import tensorflow as tf

from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.models.layers import ReflectionPadding2D, SubpixelConv2D
from magstyle.models.transformer import StyleTransformer
from magstyle.training.model import LossWeights, StyleTraining
from magstyle.training.transfer import freeze_convolutions


def style_transformer(alpha: float) -> StyleTransformer:
    """A network of four styles, each with its own scales and offsets: converters would fold equal ones into one."""
    model = StyleTransformer(num_styles=4, alpha=alpha)
    rng = np.random.default_rng(0)
    for scope in model.scopes:
        parameters = model.parameters(scope)
        for name, mean, deviation in (("kernel", 0, 0.01), ("gamma", 1, 0.5), ("beta", 0, 0.5)):
            parameters[name].assign(rng.normal(mean, deviation, parameters[name].shape))
    return model


def of_keras_layers(model: StyleTransformer) -> keras.Model:
    """The same network as Magenta wrote it: up-sampling, padding and convolution are separate layers."""

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not isinstance(layer, SubpixelConv2D):
            return layer.__class__.from_config(layer.get_config())
        layers = [
            ReflectionPadding2D(layer.kernel_size // 2),
            keras.layers.Conv2D(layer.filters, layer.kernel_size, use_bias=False),
        ]
        if layer.upsampling > 1:
            layers.insert(0, NearestUpSampling2D(layer.upsampling))
        return keras.Sequential(layers, name=layer.name)

    copy = keras.models.clone_model(model, clone_function=plain)
    copy.set_weights(model.get_weights())
    return copy


class NearestUpSampling2D(keras.layers.UpSampling2D):
    """Up-samples in one operation, like Magenta's graphs; Keras repeats rows and columns, which is not faster."""

    def call(self, inputs):
        return tf.image.resize(inputs, tf.shape(inputs)[1:3] * self.size, "nearest")


def style_training(
    alpha: float, vgg_checkpoint: str, frozen: bool = False, jit_compile: bool = False, plain: bool = False
) -> StyleTraining:
    """A compiled training of four styles with Magenta's losses.

    Args:
        alpha, vgg_checkpoint: of the network, and of its loss network.
        frozen: trains only the styles, like fine-tuning.
        jit_compile: as for `compile`.
        plain: trains the network of plain layers.
    """
    transformer = style_transformer(alpha)
    if frozen:
        freeze_convolutions(transformer)
    if plain:
        plain_transformer = of_keras_layers(transformer)
        plain_transformer.num_styles = transformer.num_styles
        transformer = plain_transformer
    vgg = load_vgg(vgg_checkpoint)
    blocks = [name for name in vgg.output if re.fullmatch(r"vgg_\d+/conv[1-4]", name)]
    vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in blocks})
    grams = {name: np.zeros((4, output.shape[-1], output.shape[-1])) for name, output in vgg.output.items()}
    model = StyleTraining(transformer, vgg, grams, LossWeights({blocks[2]: 1.0}, dict.fromkeys(blocks, 1e-4)))
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8), jit_compile=jit_compile)
    model.optimizer.build(model.trainable_variables)  # Otherwise, TensorFlow traces the first step twice.
    return model
