import keras
import numpy as np
import pytest
import tensorflow as tf

from magstyle import losses
from magstyle.models import vgg
from magstyle.models.transformer import StyleTransformer


def test_gram_matrices_are_magentas(reference):
    arrays = reference("vgg16_endpoints")
    features = vgg.build(vgg.random_weights(seed=0))(arrays["image"])
    for end_point in ("vgg_16/conv1", "vgg_16/conv2"):
        expected = arrays[f"gram/{end_point}"]
        actual = losses.gram_matrix(features[end_point])
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_losses_and_their_gradients_are_magentas(reference):
    """Every loss before and after the first Adam step of the golden training."""
    arrays = reference("training_trajectory")
    content_weights = {"vgg_16/conv3": float(arrays["content_weights/vgg_16/conv3"])}
    style_weights = {f"vgg_16/conv{i}": float(arrays[f"style_weights/vgg_16/conv{i}"]) for i in (1, 2, 3, 4)}
    model = StyleTransformer(3, alpha=0.25)
    names = {"kernel": "weights", "gamma": "InstanceNorm/gamma", "beta": "InstanceNorm/beta"}
    for scope in model.scopes:
        for name, variable in model.parameters(scope).items():
            variable.assign(arrays[f"weights/transformer/{scope}/{names[name]}"])
    network = vgg.build(vgg.random_weights(seed=0), [*style_weights])
    grams = {name: losses.gram_matrix(features) for name, features in network(arrays["style_images"]).items()}
    optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-8)

    for step, tolerance in ((0, 1e-4), (1, 1e-3)):
        images, labels = arrays["images"][step], arrays["labels"][step]
        with tf.GradientTape() as tape:
            stylized = model([images, np.eye(3, dtype=np.float32)[labels]])
            end_points = network(stylized)
            content = losses.content_loss(end_points, network(images), content_weights)
            targets = {name: tf.gather(gram, labels) for name, gram in grams.items()}
            style = losses.style_loss(end_points, targets, style_weights, arrays["style_coefficients"][labels])
            total = content["total_content_loss"] + style["total_style_loss"]
        variation = losses.total_variation_loss(stylized)
        terms = {**content, **style, "total_loss": total, "total_variation_loss": variation}
        assert {f"history/{name}" for name in terms} == {name for name in arrays if name.startswith("history/")}
        for name, value in terms.items():
            assert float(value) == pytest.approx(arrays[f"history/{name}"][step], rel=tolerance), (name, step)
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))


def test_content_loss_averages_over_features_and_images():
    ones, zeros = {"conv1": np.ones((2, 3, 4, 5), np.float32)}, {"conv1": np.zeros((2, 3, 4, 5), np.float32)}
    terms = losses.content_loss(ones, zeros, {"conv1": 0.25})
    assert {name: float(value) for name, value in terms.items()} == {
        "content_loss/conv1": 1.0,
        "weighted_content_loss/conv1": 0.25,
        "total_content_loss": 0.25,
    }


def test_style_coefficients_weigh_each_image():
    features = {"conv1": np.stack([np.full((2, 2, 1), 1.0), np.full((2, 2, 1), 2.0)]).astype(np.float32)}
    target = {"conv1": np.zeros((1, 1, 1), np.float32)}
    terms = losses.style_loss(features, target, {"conv1": 0.5}, np.array([3.0, 1.0], np.float32))
    # Grams 1 and 4, squared 1 and 16.
    assert float(terms["style_loss/conv1"]) == pytest.approx(8.5)
    assert float(terms["total_style_loss"]) == pytest.approx((1 * 3 + 16) * 0.5 / 2)


def test_total_variation_is_half_the_mean_squared_step_each_way():
    image = np.zeros((1, 2, 3, 1), np.float32)
    image[0, 1] = 1.0  # One vertical step of 1 in each of 3 columns, no horizontal one.
    assert float(losses.total_variation_loss(image)) == pytest.approx(0.5)
