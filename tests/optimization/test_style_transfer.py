"""Neural style on arrays; what its program does with files is tested in tests/programs/test_neural_style.py."""

import functools

import numpy as np
import pytest
from PIL import Image

from magstyle.data import images
from magstyle.models import vgg
from magstyle.optimization import jobs, neural_style, neural_style_files, objectives, pixels
from magstyle.optimization.neural_style import Painting
from tests.samples import narrow_vgg, picture

CONTENT, ONE, TWO = (images.to_float(picture(k, (40, 36))) for k in range(3))


CONTENT_NAME, *STYLE_NAMES = "vgg_19/conv2/conv2_1", "vgg_19/conv1/conv1_1", "vgg_19/conv2/conv2_1"


@pytest.fixture(scope="module")
def network():
    return vgg.build(narrow_vgg(19, (2, 1)), STYLE_NAMES)


@pytest.fixture
def paint(network):
    def call(*paintings, report=None, optimizer="lbfgs", **options):
        options = {"octaves": 1, "steps": 8, "content_end_points": [CONTENT_NAME], **options}
        job = jobs.StyleOptions(style_end_points=STYLE_NAMES, **options)
        minimize = functools.partial(pixels.minimize, optimizer=optimizer, report=report)
        return neural_style.paint(CONTENT, paintings or [Painting(ONE)], network, job, minimize)

    return call


def numpy_losses(network, painted, painting, photo=CONTENT):
    """The losses of Gatys et al., relative to photo and painting."""

    def features(image):
        return {name: np.asarray(values)[0] for name, values in network(image[None]).items()}

    def gram(values):
        rows = values.reshape(-1, values.shape[-1])
        return rows.T @ rows / len(rows)

    of_picture, of_photo, of_painting = map(features, (painted, photo, painting))
    content = np.sum((of_picture[CONTENT_NAME] - of_photo[CONTENT_NAME]) ** 2) / np.sum(of_photo[CONTENT_NAME] ** 2)
    style = []
    for name in STYLE_NAMES:
        target = gram(of_painting[name])
        style.append(np.sum((gram(of_picture[name]) - target) ** 2) / np.sum(target**2))
    return content, np.mean(style)


def test_the_losses_are_those_of_gatys_et_al_and_fall(paint, network):
    reported = []
    painted = paint(style_weight=7.0, content_weight=2.0, report=lambda *report: reported.append(report))
    with_margin, terms = reported[-1]
    np.testing.assert_array_equal(painted, neural_style.cut(with_margin))
    sides = [(neural_style.MARGIN, neural_style.MARGIN)] * 2
    content, style = numpy_losses(network, with_margin, ONE, np.pad(CONTENT, [*sides, (0, 0)], "reflect"))
    assert terms["content_loss"] == pytest.approx(2 * content, rel=1e-3)
    assert terms["style_loss"] == pytest.approx(7 * style, rel=1e-3)
    assert sum(terms.values()) < sum(reported[0][1].values()) / 2


def test_the_same_seed_makes_the_same_picture(paint):
    one, same, other = (paint(start="noise", steps=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_it_starts_from_photo_painting_or_noise(paint):
    np.testing.assert_array_equal(paint(steps=1), CONTENT)
    np.testing.assert_array_equal(paint(steps=1, start="style"), ONE)
    noise = paint(steps=1, start="noise")
    assert np.abs(np.corrcoef(noise.ravel(), CONTENT.ravel())[0, 1]) < 0.1


def test_the_weight_of_a_painting_decides_how_near_the_picture_comes_to_it(paint, network):
    def with_margin(one, two):
        pictures = []
        paint(Painting(ONE, one), Painting(TWO, two), report=lambda picture, _: pictures.append(picture))
        return pictures[-1]

    mostly_one, mostly_two = with_margin(3, 1), with_margin(1, 3)
    for painting, near, far in ((ONE, mostly_one, mostly_two), (TWO, mostly_two, mostly_one)):
        near_loss, far_loss = (numpy_losses(network, seen, painting, seen)[1] for seen in (near, far))
        assert near_loss < 0.8 * far_loss


def test_a_style_is_painted_in_its_region_alone(paint):
    left = np.zeros(CONTENT.shape[:2], np.float32)
    left[:, :12] = 1
    change = np.abs(paint(Painting(ONE, mask=left)) - CONTENT)
    assert change[:, 20:].mean() < change[:, :12].mean() / 4
    everywhere = Painting(ONE, mask=np.ones_like(left))
    np.testing.assert_allclose(paint(everywhere, steps=3), paint(steps=3), atol=1e-5)


def test_what_is_transparent_in_a_mask_has_no_style(tmp_path):
    alpha = np.repeat(np.uint8([[255, 0]]), 8, axis=1).repeat(8, axis=0)
    Image.merge("LA", [Image.new("L", (16, 8), "white"), Image.fromarray(alpha)]).save(tmp_path / "mask.png")
    (mask,) = neural_style_files._read_masks([tmp_path / "mask.png"], (8, 16))
    np.testing.assert_allclose(mask, alpha / 255, atol=1e-6)


def test_octaves_paint_from_coarse_to_fine(paint):
    shapes = []
    painted = paint(octaves=2, steps=4, report=lambda image, _: shapes.append(neural_style.cut(image).shape))
    assert shapes == [(18, 20, 3)] * 3 + [(36, 40, 3)]  # Then half as many steps.
    assert painted.shape == CONTENT.shape


@pytest.mark.parametrize(("start", "optimizer"), [("content", "lbfgs"), ("noise", "lbfgs"), ("content", "adam")])
def test_the_photo_stays_where_no_style_goes(paint, start, optimizer):
    left = np.zeros(CONTENT.shape[:2], np.float32)
    left[:, :20] = 1
    painted = paint(Painting(ONE, mask=left), octaves=2, steps=16, start=start, optimizer=optimizer)
    np.testing.assert_allclose(painted[:, 22:], CONTENT[:, 22:], atol=1e-6)
    assert np.abs(painted[:, :16] - CONTENT[:, :16]).mean() > 0.02


def test_where_a_mask_is_grey_every_picture_on_the_way_shows_that_much_of_the_photo(paint):
    grey, pictures = np.full(CONTENT.shape[:2], 0.3, np.float32), []
    paint(Painting(ONE, mask=grey), octaves=1, steps=6, report=lambda picture, _: pictures.append(picture))
    for seen in map(neural_style.cut, pictures):
        assert np.all((seen >= 0.7 * CONTENT - 1e-6) & (seen <= 0.7 * CONTENT + 0.3 + 1e-6))
    assert np.abs(pictures[-1] - pictures[0]).max() > 0.02


def test_borders_are_painted_like_the_rest(network):
    flat = np.full_like(CONTENT, 0.5)
    job = jobs.StyleOptions(octaves=1, steps=3, content_end_points=[CONTENT_NAME], style_end_points=STYLE_NAMES)
    painted = neural_style.paint(flat, [Painting(ONE)], network, job, pixels.minimize)
    assert np.abs(painted - flat).mean() > 0.002
    np.testing.assert_allclose(painted, np.broadcast_to(painted[18, 20], painted.shape), atol=1e-4)


def test_the_scale_of_the_style_is_that_of_the_painting(paint, network):
    stripes = np.zeros_like(ONE)
    stripes[:, ::2] = 1
    fine, coarse = (paint(Painting(stripes), style_scale=scale, start="noise", steps=15) for scale in (1, 4))
    steps = [np.abs(np.diff(image, axis=1)).mean() for image in (fine, coarse)]
    assert steps[0] > steps[1]


def test_what_alternates_from_pixel_to_pixel_has_a_price(paint, monkeypatch):
    fine = paint(start="noise", steps=15)
    monkeypatch.setattr(neural_style, "GRAIN_WEIGHT", 0)
    grained = paint(start="noise", steps=15)
    fine, grained = (float(objectives.grain(image[None])[0]) for image in (fine, grained))
    assert fine < grained / 2


def test_total_variation_smooths(paint):
    rough, smooth = (paint(start="noise", total_variation_weight=weight) for weight in (0.0, 5000.0))
    assert np.abs(np.diff(smooth, axis=1)).mean() < np.abs(np.diff(rough, axis=1)).mean() / 2


def test_it_runs_on_the_mean_and_deviation_of_channels(paint, network):
    reported = []
    painted = paint(style_loss="mean_and_deviation", report=lambda _, terms: reported.append(sum(terms.values())))
    assert reported[-1] < reported[0] / 2
    assert numpy_losses(network, painted, ONE)[1] < numpy_losses(network, CONTENT, ONE)[1]
