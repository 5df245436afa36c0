"""Pictures painted in tiles against those painted in one piece, for a small network and images of several sizes."""

import dataclasses

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from magstyle import sizes
from magstyle.litert import network, tiles
from magstyle.models import architecture
from tests.samples import blotches

WEIGHTS = np.array([0.75, 0.5, -0.25], np.float32)
LITTLE = 1


def small_network(residual_blocks=2):
    return with_parameters(architecture.convolutions((4, 6, 8), (6, 4), residual_blocks))


def with_parameters(table):
    rng = np.random.default_rng(0)
    parameters, channels = {}, 3
    for row in table:
        shape = (row.kernel_size, row.kernel_size, channels, row.filters)
        parameters[row.scope] = {
            "kernel": rng.normal(0, 0.3, shape).astype(np.float32),
            "gamma": rng.normal(1, 0.3, (3, row.filters)).astype(np.float32),
            "beta": rng.normal(0, 0.3, (3, row.filters)).astype(np.float32),
        }
        channels = row.filters
    return table, parameters


@pytest.fixture(scope="module")
def small():
    return small_network()


def in_one_piece(network_of, image):
    content = network.build(*network_of, *image.shape[:2])
    paint = Interpreter(model_content=content).get_signature_runner()
    return paint(input_image=image[None], style_weights=WEIGHTS)["stylized_image"][0]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 60), (84, 8), (52, 76)])
def test_the_smallest_tiles_paint_what_one_piece_does(small, height, width):
    image = blotches(height, width)
    found = tiles.paint(*small, image, WEIGHTS, memory_limit=LITTLE)
    np.testing.assert_allclose(found, in_one_piece(small, image), atol=1e-4)


def test_tiles_of_the_usual_size_paint_what_one_piece_does(small):
    image = blotches(300, 280)
    np.testing.assert_allclose(tiles.paint(*small, image, WEIGHTS), in_one_piece(small, image), atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(8, 60), (52, 76)])
def test_tiles_paint_every_pixel_in_weights_of_its_own(small, height, width):
    image = blotches(height, width)
    weights = np.random.default_rng(2).random((height, width, 3), np.float32)
    content = network.build(*small, 0, 0, per_pixel=True)
    whole = Interpreter(model_content=content).get_signature_runner()
    expected = whole(input_image=image[None], style_weights=weights[None])["stylized_image"][0]
    found = tiles.paint(*small, image, weights, memory_limit=LITTLE)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_network_without_residual_blocks_paints_the_same():
    shallow, image = small_network(residual_blocks=0), blotches(40, 32)
    found = tiles.paint(*shallow, image, WEIGHTS, memory_limit=LITTLE)
    np.testing.assert_allclose(found, in_one_piece(shallow, image), atol=1e-4)


# The sides of the kernels, row by row; those of up-sampling rows are 3.
KERNELS = {
    "5 x 5 at the ends": (5, 3, 3, 3, 3, 3, 3, 5),
    "3 x 3 at the ends": (3, 5, 5, 5, 5, 3, 3, 3),
    "large": (7, 7, 5, 5, 1, 3, 3, 11),
}


@pytest.mark.parametrize("per_pixel", [False, True])
@pytest.mark.parametrize("kernel_sizes", KERNELS)
def test_windows_follow_the_kernels_of_the_table(kernel_sizes, per_pixel):
    table = architecture.convolutions((4, 6, 8), (6, 4), residual_blocks=1)
    table = [dataclasses.replace(row, kernel_size=k) for row, k in zip(table, KERNELS[kernel_sizes], strict=True)]
    parts, image = with_parameters(table), blotches(52, 76)
    weights = np.random.default_rng(2).random((52, 76, 3), np.float32) if per_pixel else WEIGHTS
    found = tiles.paint(*parts, image, weights, memory_limit=LITTLE)
    paint = Interpreter(model_content=network.build(*parts, 52, 76, per_pixel=per_pixel)).get_signature_runner()
    expected = paint(input_image=image[None], style_weights=weights[None] if per_pixel else weights)
    np.testing.assert_allclose(found, expected["stylized_image"][0], atol=1e-4)


@pytest.mark.parametrize("margin", [0, 16, 6])
@pytest.mark.parametrize(("height", "width"), [(45, 31), (5, 3), (1, 7)])
def test_images_have_any_size_and_any_margin(small, height, width, margin):
    image = blotches(48, 32)[:height, :width]
    after = [sizes.padded(side + 2 * margin) - side - margin for side in (height, width)]
    padded = np.pad(image, [*((margin, more) for more in after), (0, 0)], mode="reflect")
    found = tiles.paint(*small, image, WEIGHTS, margin=margin, memory_limit=LITTLE)
    expected = in_one_piece(small, padded)[margin:, margin:][:height, :width]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_progress_adds_up(small):
    shares = []
    tiles.paint(*small, blotches(72, 64), WEIGHTS, memory_limit=LITTLE, progress=shares.append)
    assert sum(shares) == pytest.approx(1)
    assert max(shares) < 0.1


def test_what_progress_raises_ends_the_work(small):
    def interrupt(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiles.paint(*small, blotches(64, 64), WEIGHTS, progress=interrupt)


def test_what_an_image_takes_grows_with_it_and_with_the_network(small):
    wide = architecture.convolutions((8, 12, 96), (12, 8), 2)
    least = tiles.needed(small[0], 400, 400)
    assert tiles.needed(small[0], 800, 400) == pytest.approx(2 * least, rel=0.1)
    # Two results of 96 channels at a quarter of the size.
    assert tiles.needed(wide, 400, 400) == pytest.approx(2 * 96 * 100 * 100 * 4, rel=0.1)
