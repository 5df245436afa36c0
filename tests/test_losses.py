import numpy as np
import pytest
import tensorflow as tf

from magstyle import losses
from magstyle.evaluation import appearance
from magstyle.models import vgg


def test_gram_matrices_are_magentas(reference):
    arrays = reference("vgg16_endpoints")
    features = vgg.build(vgg.random_weights(seed=0))(arrays["image"])
    for end_point in ("vgg_16/conv1", "vgg_16/conv2"):
        expected = arrays[f"gram/{end_point}"]
        actual = losses.gram_matrix(features[end_point])
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_content_loss_averages_over_features():
    features = {"conv1": np.stack([np.full((3, 4, 5), 1.0), np.full((3, 4, 5), 2.0)]).astype(np.float32)}
    terms = losses.content_loss(features, {"conv1": np.zeros((2, 3, 4, 5), np.float32)}, {"conv1": 0.25})
    assert {name: np.array(value).tolist() for name, value in terms.items()} == {
        "content_loss/conv1": [1.0, 4.0],
        "weighted_content_loss/conv1": [0.25, 1.0],
        "total_content_loss": [0.25, 1.0],
    }


def test_style_coefficients_weigh_each_image():
    features = {"conv1": np.stack([np.full((2, 2, 1), 1.0), np.full((2, 2, 1), 2.0)]).astype(np.float32)}
    target = {"conv1": np.zeros((1, 1, 1), np.float32)}
    terms = losses.style_loss(features, target, {"conv1": 0.5}, np.array([3.0, 1.0], np.float32))
    # Grams 1 and 4, squared 1 and 16.
    np.testing.assert_allclose(terms["style_loss/conv1"], [1, 16])
    np.testing.assert_allclose(terms["total_style_loss"], [1 * 3 * 0.5, 16 * 0.5])


def test_total_variation_is_half_the_mean_squared_step_each_way():
    images = np.zeros((2, 2, 3, 1), np.float32)
    images[0, 1] = 1.0  # One vertical step of 1 in each of 3 columns, and no horizontal step.
    np.testing.assert_allclose(losses.total_variation_loss(images), [0.5, 0])


def test_the_checkerboard_is_what_repeats_every_4_pixels():
    rng = np.random.default_rng(0)
    grid = np.tile(rng.normal(size=(4, 4, 3)).astype(np.float32), (32, 16, 1))
    noise = rng.normal(size=grid.shape).astype(np.float32)
    smooth = np.broadcast_to(np.linspace(0, 0.01, 64, dtype=np.float32)[:, None], grid.shape)
    found = losses.checkerboard_loss(np.stack([grid, grid + 0.5, noise, smooth]))
    of_grid = np.mean(np.square(grid - grid.mean((0, 1))))
    np.testing.assert_allclose(found[:2], of_grid, rtol=1e-4)
    # Noise repeats only by chance: its variance of 1 divided by 32 * 16 blocks.
    np.testing.assert_allclose(found[2], 15 / 16 / 512, rtol=0.3)
    assert found[3] < 1e-6


def test_a_mesh_is_what_gathers_at_few_frequencies():
    rng = np.random.default_rng(0)
    shape = (128, 160, 3)
    rows, columns = np.mgrid[:128, :160]
    lattice = 0.02 * np.sin(2 * np.pi * (0.13 * rows - 0.16 * columns))[..., None]
    noise = rng.normal(0, 0.02, shape)
    images = {
        "lattice": 0.5 + lattice + noise / 4,
        "of colours": 0.5 + lattice * [1.0, -0.5, 0.0] + 4 * noise[..., :1],  # As bright everywhere but for the noise.
        "brighter": 0.6 + lattice + noise / 4,
        "fainter": 0.5 + lattice / 200,
        "noise": 0.5 + noise,
        "slope": columns[..., None] / 160,
        "black": np.zeros(shape),
        "beside strokes": 0.5 + np.where(columns[..., None] < 64, lattice, 10 * noise) + noise / 4,
    }
    batch = np.stack([np.broadcast_to(image, shape) for image in images.values()]).astype(np.float32)
    found = dict(zip(images, np.asarray(losses.mesh_loss(batch)), strict=True))
    assert found["lattice"] > 2
    assert found["brighter"] == pytest.approx(found["lattice"], rel=1e-3)
    # A lattice in a calm area counts as much as in the whole picture, however strong the strokes elsewhere.
    assert found["beside strokes"] > 0.2
    assert [name for name in images if found[name] > 0.01] == ["lattice", "of colours", "brighter", "beside strokes"]


def test_a_palette_is_the_colours_wherever_they_are():
    rng = np.random.default_rng(0)
    boat, sky = (blocks(scale * rng.random((60, 80, 3))) for scale in (1.0, 0.2))
    of_boat, of_sky = (losses.palette(tf.constant(image[None])) for image in (boat, sky))
    assert losses.palette_loss(of_boat, of_boat)[0] == 0
    # In other places.
    elsewhere = blocks(rng.permutation(boat[::4, ::4].reshape(-1, 3)).reshape(120, 40, 3))
    moved = losses.palette(tf.constant(elsewhere[None]))
    assert losses.palette_loss(moved, of_boat)[0] < 1
    apart = losses.palette_loss(of_sky, of_boat)
    assert apart.shape == (1,)
    # As the measure has it.
    expected = appearance.distance(appearance.palette(boat), appearance.palette(sky))
    assert apart[0].numpy() == pytest.approx(expected, rel=0.05)


def test_a_weave_of_two_colours_has_the_palette_of_their_mean():
    weave = np.indices((60, 80)).sum(axis=0)[..., None] % 2 * np.array([0.8, 0.4, 0.0])
    palettes = [losses.palette(tf.constant(image[None])) for image in (weave, np.full_like(weave, [0.4, 0.2, 0.0]))]
    assert losses.palette_loss(*palettes)[0].numpy() == pytest.approx(0, abs=1e-6)


def blocks(image):
    return image.repeat(4, axis=0).repeat(4, axis=1)


def test_a_palette_has_a_gradient_for_black_and_white_too():
    rng = np.random.default_rng(0)
    images = tf.Variable(np.stack([rng.random((8, 8, 3)), *(np.full((8, 8, 3), value) for value in (0.0, 0.04, 1.0))]))
    targets = losses.palette(tf.constant(rng.random((4, 8, 8, 3))))

    def loss(images):
        return losses.palette_loss(losses.palette(images), targets)

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(loss(images))
    gradient = tape.gradient(total, images).numpy()
    assert np.isfinite(gradient).all() and np.all(np.any(gradient != 0, axis=(1, 2, 3)))
    step = 1e-8 * rng.normal(size=images.shape)
    difference = loss(images + step) - loss(images - step)
    assert difference[0].numpy() == pytest.approx(2 * np.sum(gradient[0] * step[0]), rel=1e-6)
