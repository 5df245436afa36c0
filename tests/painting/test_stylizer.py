import io
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from magstyle.data import images
from magstyle.errors import InputError
from magstyle.litert.runtime import Runner
from magstyle.painting import engines, memory, strokes
from magstyle.painting.stylizer import Stylizer
from tests.samples import picture

# Made once: a profile holds the time at which it was made, and the same draw must give the same file.
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def stylizer(small_model):
    return Stylizer(small_model)


@pytest.fixture(scope="module")
def on_keras(small_model):
    return Stylizer(small_model, "keras")


@pytest.fixture(scope="module", params=["stylizer", "on_keras"])
def engine(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(("size", "rest"), [((24, 32), (0, 0)), ((21, 31), (3, 1)), ((1, 5), (3, 3))])
def test_a_picture_is_the_middle_of_what_the_model_paints_of_the_mirrored_photo(engine, small_model, size, rest):
    image = np.random.default_rng(0).random((*size, 3), np.float32)
    weights = np.array([0.2, 0.5, 0.3], np.float32)
    mirrored = np.pad(image, [*((16, 16 + more) for more in rest), (0, 0)], mode="reflect")
    expected = small_model([mirrored[None], weights[None]])[0, 16:, 16:][: size[0], : size[1]]
    np.testing.assert_allclose(engine.stylize(image, weights), expected, atol=1e-4)


@pytest.mark.parametrize(("style", "pale", "lines"), [("van-gogh-starry-night", 0.9, 1.5), ("renoir", 0.8, 1.5)])
def test_borders_are_painted_like_the_rest(style, pale, lines):
    photo = strokes.resized(np.random.default_rng(0).random((40, 40, 3), np.float32), (160, 160))
    picture = Stylizer("painters").stylize(photo, style)
    sides = [np.rot90(picture, k) for k in range(4)]  # Each has another border on top.
    for least, most, measure in ((pale, 1.1, detail), (0, lines, contrast_of_rows)):
        border, inside = (sum(measure(side[start : start + 16]) for side in sides) for start in (0, 48))
        assert least < border / inside < most


def detail(strip):
    """The energy of the differences between neighbouring pixels."""
    return sum(np.square(np.diff(strip, axis=axis)).mean() for axis in (0, 1))


def contrast_of_rows(strip):
    """The energy of the differences between the mean colours of neighbouring rows."""
    return np.square(np.diff(strip.mean(axis=1), axis=0)).mean()


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 4), (4, 4), (5, 8), (7, 9), (1, 50), (61, 47)])
def test_the_size_given_comes_back(engine, size):
    result = engine.stylize(np.random.default_rng(0).random((*size, 3), np.float32), engine.style_weights(0))
    assert result.shape == (*size, 3)
    assert result.dtype == np.float32
    assert ((result >= 0) & (result <= 1)).all()


@pytest.mark.parametrize("expected_sizes", [[], [(80, 96)], [(80, 96), (100, 24)]])
def test_photos_of_many_sizes_become_the_pictures_that_they_become_alone(small_model, expected_sizes):
    stylizer = Stylizer(small_model, "litert")
    stylizer.expect(expected_sizes)
    for size in [(40, 40), (64, 24), (80, 96), (24, 32), (80, 100)]:
        image = np.random.default_rng(0).random((*size, 3), np.float32)
        expected = Stylizer(small_model, "litert").stylize(image, 1)
        np.testing.assert_array_equal(stylizer.stylize(image, 1), expected)


@pytest.mark.parametrize(("free", "allocations"), [(10, 1), (0.6, 0)])
def test_a_second_size_makes_room_for_more_where_there_is_memory(small_model, monkeypatch, free, allocations):
    stylizer, made = Stylizer(small_model, "litert"), []
    free = int(free * memory.needed_in_one_piece(small_model.convolutions, 80, 80))
    stylizer.stylize(np.zeros((48, 48, 3)), 0)  # With its margin, it has 80 x 80 pixels.
    make_room = Runner.make_room
    monkeypatch.setattr(Runner, "make_room", lambda self, shapes: made.append(shapes) or make_room(self, shapes))
    monkeypatch.setattr(memory, "available", lambda: free)
    for size in [(96, 48), (64, 96), (128, 48), (48, 128)]:
        assert stylizer.stylize(np.zeros((*size, 3)), 0).shape == (*size, 3)
    assert len(made) == allocations


@pytest.mark.parametrize(("free", "allocations"), [(10, 1), (1.2, 0)])
def test_the_first_photo_makes_room_for_those_that_are_expected(small_model, monkeypatch, free, allocations):
    stylizer, made, photo_sizes = Stylizer(small_model, "litert"), [], [(48, 48), (48, 48), (96, 48), (32, 96)]
    free = int(free * memory.needed_in_one_piece(small_model.convolutions, 80, 80))
    monkeypatch.setattr(memory, "available", lambda: free)
    make_room = Runner.make_room
    monkeypatch.setattr(Runner, "make_room", lambda self, shapes: made.append(shapes) or make_room(self, shapes))
    stylizer.expect([*photo_sizes, (400, 400)])  # The last would be painted in tiles.
    for size in photo_sizes:
        stylizer.stylize(np.zeros((*size, 3)), 0)
    assert len(made) == allocations


def test_keras_is_traced_once_for_photos_of_all_sizes(small_model, monkeypatch):
    stylizer, calls = Stylizer(small_model, "keras"), []
    call = type(small_model).__call__
    monkeypatch.setattr(type(small_model), "__call__", lambda self, *a, **k: calls.append(self) or call(self, *a, **k))
    for size in [(40, 40), (64, 24), (24, 32)]:
        stylizer.stylize(np.zeros((*size, 3)), 0)
    assert len(calls) == 1


def test_what_is_expected_may_change(small_model):
    stylizer, image = Stylizer(small_model, "litert"), np.random.default_rng(0).random((40, 40, 3), np.float32)
    expected = stylizer.stylize(image, 1)
    for photo_sizes in ([(40, 40)], [(40, 40)] * 2, [(40, 40)]):
        stylizer.expect(photo_sizes)
        np.testing.assert_array_equal(stylizer.stylize(image, 1), expected)


def test_a_single_picture_fits_into_memory_that_is_too_little_for_several(small_model, monkeypatch):
    stylizer, runs = Stylizer(small_model, "litert"), []
    run, too_little = Runner.run, memory.needed_in_one_piece(small_model.convolutions, 432, 432) - 1
    monkeypatch.setattr(Runner, "run", lambda self, inputs: runs.append(self) or run(self, inputs))
    monkeypatch.setattr(memory, "available", lambda: too_little)
    for count in (2, 1):
        stylizer.expect([(400, 400)] * count)
        stylizer.stylize(np.zeros((400, 400, 3)), 0)
        # In tiles, then as a whole.
        assert len(runs) == 2 - count


@pytest.mark.parametrize("stderr", ["open", "closed"])
def test_litert_logs_nothing(tmp_path, stderr):
    script = (
        "import os, sys, numpy as np, magstyle; sys.argv[1] == 'closed' and os.close(2); "
        "print(magstyle.Stylizer('painters', 'litert').stylize(np.zeros((8, 8, 3)), 0).shape)"
    )
    result = subprocess.run([sys.executable, "-c", script, stderr], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "(8, 8, 3)\n", "")


def test_a_photo_in_tiles_becomes_the_same_picture(small_model, monkeypatch):
    stylizer, shares = Stylizer(small_model, "litert"), []
    image = np.random.default_rng(0).random((301, 270, 3), np.float32)
    expected = stylizer.stylize(image, 1, shares.append)
    assert shares == [1]
    monkeypatch.setattr(engines, "_LARGEST_GRAPH", 2**20)
    shares.clear()
    np.testing.assert_allclose(stylizer.stylize(image, 1, shares.append), expected, atol=1e-4)
    assert len(shares) > 1 and abs(sum(shares) - 1) < 1e-6


def test_a_checkpoint_is_opened_by_path(stylizer, small_checkpoint):
    image = np.random.default_rng(0).random((8, 8, 3), np.float32)
    weights = stylizer.style_weights(1)
    expected = stylizer.stylize(image, weights)
    np.testing.assert_allclose(Stylizer(small_checkpoint).stylize(image, weights), expected, atol=1e-6)


def test_styles_are_numbers_names_and_mixtures(stylizer):
    np.testing.assert_array_equal(stylizer.style_weights(2), [0, 0, 1])
    np.testing.assert_array_equal(stylizer.style_weights("wave"), [0, 1, 0])
    np.testing.assert_allclose(stylizer.style_weights({"wave": 0.75, 0: -0.25}), [-0.25, 0.75, 0])


@pytest.mark.parametrize(
    "style", ["wave", 1, np.int64(1), np.uint8(1), {np.int32(1): np.float32(1)}, [0, 1.0, 0], np.array([0, 1, 0])]
)
def test_a_photo_is_painted_in_what_says_a_style(stylizer, style):
    image = np.random.default_rng(0).random((8, 8, 3), np.float32)
    expected = stylizer.stylize(image, np.array([0, 1, 0], np.float32))
    np.testing.assert_array_equal(stylizer.stylize(image, style), expected)
    assert stylizer.style_weights(style).dtype == np.float32


@pytest.mark.parametrize("weights", [[0], np.zeros((1, 3)), [1, 0, 0, 0]])
def test_weights_of_another_number_of_styles_are_refused(stylizer, weights):
    with pytest.raises(InputError, match=r"the model has 3 styles, so the weights must have the shape \[3\], not "):
        stylizer.stylize(np.zeros((8, 8, 3)), weights)


@pytest.mark.parametrize(("style", "nearest"), [("wafe", "wave"), ("nihgt", "starry_night"), ("screem!", "scream")])
def test_an_unknown_style_is_answered_by_the_nearest(stylizer, style, nearest):
    with pytest.raises(InputError, match=f"starry_night; nearest: {nearest}$"):
        stylizer.style_weights(style)


@pytest.mark.parametrize("style", [3, -1, "monet", 1.5, True, None, {"wave": 0.5, "monet": 0.5}])
def test_an_unknown_style_is_answered_by_those_there_are(stylizer, style):
    with pytest.raises(InputError, match="its styles are 0 to 2, or scream, wave, starry_night"):
        stylizer.style_weights(style)


@pytest.mark.parametrize(
    "weight", [np.bool_(True), np.float32("nan"), "much", None, float("nan"), float("inf"), 10**400, True]
)
def test_a_weight_that_is_no_number_is_one_sentence(stylizer, weight):
    with pytest.raises(InputError, match="weight of style 'wave' must be a number"):
        stylizer.style_weights({"wave": weight})


def test_wrong_shapes_are_refused(stylizer):
    for shape in ((8, 8), (8, 8, 4), (0, 8, 3), (1, 8, 8, 3)):
        with pytest.raises(ValueError, match="shape"):
            stylizer.stylize(np.zeros(shape), np.zeros(3))


def random_weights(height, width):
    return np.random.default_rng(1).normal(0.3, 0.5, (height, width, 3)).astype(np.float32)


def test_pixels_of_one_mixture_are_painted_as_by_that_mixture(engine):
    size = (5, 3)
    image = np.random.default_rng(0).random((*size, 3), np.float32)
    mixture = np.array([0.2, 0.5, -0.3], np.float32)
    expected = engine.stylize(image, mixture)
    found = engine.stylize(image, np.broadcast_to(mixture, (*size, 3)))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # What it keeps is no harm to what follows.
    np.testing.assert_allclose(engine.stylize(image, mixture), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(45, 31), (5, 3)])
def test_engines_and_tiles_agree_on_weights_of_every_pixel(stylizer, on_keras, small_model, monkeypatch, size):
    image, weights = np.random.default_rng(0).random((*size, 3), np.float32), random_weights(*size)
    expected = on_keras.stylize(image, weights)
    np.testing.assert_allclose(stylizer.stylize(image, weights), expected, atol=1e-4)
    monkeypatch.setattr(engines, "_LARGEST_GRAPH", 0)
    monkeypatch.setattr(engines.memory, "available", lambda: 10**6)  # For the smallest tiles.
    np.testing.assert_allclose(Stylizer(small_model, "litert").stylize(image, weights), expected, atol=1e-4)


def test_other_styles_may_have_weights_the_next_time(stylizer, on_keras):
    image, weights = np.random.default_rng(0).random((5, 3, 3), np.float32), random_weights(5, 3)
    for style in range(3):
        weights[..., style] = 0
        expected = on_keras.stylize(image, weights)
        np.testing.assert_allclose(stylizer.stylize(image, weights), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (np.zeros((8, 9, 3)), r"height and width of the image, \[8, 8\], not \[8, 9\]"),
        (np.full((8, 8, 3), np.nan), "the weights of every pixel must each be a number from -100000 to 100000"),
        (np.full((8, 8, 3), 1e30), "the weights of every pixel must each be a number from -100000 to 100000"),
        (np.full((8, 8, 3), 1j), "the weights of every pixel must each be a number from -100000 to 100000"),
        (np.full((8, 8, 3), "1"), "the weights of every pixel must each be a number from -100000 to 100000"),
        (np.zeros((8, 8, 4)), r"must have the shape \[3\], or \[H, W, 3\] for every pixel, not \[8, 8, 4\]"),
        ([[1], [1, 2]], r"must have the shape \[3\], not \[2\]"),
        ({}, "a mixture must have a style"),
        ({"wave": 1e18}, "the weight of style 'wave' must be a number from -100000 to 100000, not 1e.18"),
    ],
)
def test_weights_that_do_not_suit_the_pixels_are_refused(stylizer, weights, sentence):
    with pytest.raises(InputError, match=sentence):
        stylizer.stylize(np.zeros((8, 8, 3)), weights)


def test_strength_leads_from_the_photo_to_the_style_and_on(engine):
    image = np.random.default_rng(0).random((13, 10, 3), np.float32)
    painted, shares = engine.stylize(image, 1), []
    np.testing.assert_array_equal(engine.stylize(image, 1, shares.append, strength=0), image)
    assert shares == [1]
    for strength in (0.5, 1.5):
        found = engine.stylize(image, 1, strength=strength)
        np.testing.assert_allclose(found, np.clip(image + strength * (painted - image), 0, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"strength": -0.1}, "strength=-0.1 must be a number from 0 to 1.5"),
        ({"strength": 2}, "strength=2 must be"),
        ({"stroke_size": 0}, "stroke_size=0 must be a number from 0.25 to 8"),
        ({"stroke_size": "large"}, "stroke_size=large must be"),
        ({"stroke_size": float("nan")}, "stroke_size=nan must be"),
    ],
)
def test_strengths_and_stroke_sizes_beyond_their_ranges_are_refused(stylizer, options, sentence):
    with pytest.raises(InputError, match=sentence):
        stylizer.stylize(np.zeros((8, 8, 3)), 0, **options)


@pytest.mark.parametrize("stroke_size", [0.25, 0.7, 2, 3, 8])
@pytest.mark.parametrize("size", [(1, 1), (37, 50)])
def test_strokes_of_any_size_leave_the_photo_its_size(stylizer, size, stroke_size):
    image, weights = np.random.default_rng(0).random((*size, 3), np.float32), random_weights(*size)
    for style in (1, weights):
        shares: list[float] = []
        painted = stylizer.stylize(image, style, shares.append, stroke_size=stroke_size)
        assert sum(shares) == pytest.approx(1)
        assert painted.shape == image.shape
        assert ((painted >= 0) & (painted <= 1)).all()


def test_strokes_twice_as_large_are_those_of_a_photo_half_as_large(stylizer):
    image = np.asarray(picture(0, (80, 64)), np.float32) / 255
    small = strokes.resized(image, (32, 40))
    found = strokes.resized(stylizer.stylize(image, 1, stroke_size=2), (32, 40))
    assert np.abs(found - stylizer.stylize(small, 1)).mean() < 0.02
    assert np.abs(found - strokes.resized(stylizer.stylize(image, 1), (32, 40))).mean() > 0.04


def test_large_strokes_are_finished_half_by_smaller_ones(stylizer):
    image, weights = np.asarray(picture(0, (80, 64)), np.float32) / 255, random_weights(64, 80)
    for style in (1, weights):
        shares: list[float] = []
        found = stylizer.stylize(image, style, shares.append, stroke_size=4)
        assert len(shares) == 2 and sum(shares) == pytest.approx(1)
        unfinished = stylizer.stylize(image, style, stroke_size=4, finish=False)
        assert np.abs(found - unfinished).mean() > 0.01
    small = strokes.enlarged(stylizer.stylize(strokes.resized(image, (16, 20)), 1), strokes.resized(image, (27, 33)))
    finished = small + 0.5 * (stylizer.stylize(small, 1) - small)
    found = stylizer.stylize(image, 1, stroke_size=4)
    np.testing.assert_allclose(found, strokes.resized(finished, (64, 80)), atol=1e-5)
    of_2, unfinished = (stylizer.stylize(image, 1, stroke_size=2, finish=finish) for finish in (True, False))
    np.testing.assert_array_equal(of_2, unfinished)


def test_memory_is_that_of_the_larger_pass(stylizer, monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "needed", lambda *args: asked.append(args[2:4]) or 1)
    stylizer.check_size(3000, 4000, stroke_size=3)
    stylizer.check_size(3000, 4000, stroke_size=3, finish=False)
    assert asked == [(1250, 1667), (1000, 1333)]


def test_a_photo_painted_small_takes_less_memory(stylizer, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 100 * 10**6)
    stylizer.check_size(1000, 1000, stroke_size=2)
    with pytest.raises(InputError, match=r"1000 x 1000 pixels takes .* image_size=\d+ fits") as caught:
        stylizer.check_size(1000, 1000, stroke_size=0.25)
    side = int(re.search(r"image_size=(\d+)", str(caught.value))[1])
    stylizer.check_size(side, side, stroke_size=0.25)
    with pytest.raises(InputError, match=f"image_size={side} fits"):
        stylizer.check_size(side + 4, side + 4, stroke_size=0.25)


def test_a_photo_that_does_not_fit_is_refused_before_any_work(stylizer, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(InputError, match=r"image_size=.* fits"):
        stylizer.stylize(np.zeros((1200, 2400, 3), np.float32), stylizer.style_weights(0))


FORMATS = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "WEBP": ["RGB", "RGBA", "L"],
    "GIF": ["1", "L", "P", "RGB"],
    # But YCbCr, which Pillow 12 (the latest that Apache Beam takes) writes without being able to read it.
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I", "F", "I;16"],
    "BMP": ["1", "L", "P", "RGB"],
}


@st.composite
def image_files(draw):
    """The bytes of an image file of any mode and size, whole, cut short, or with bytes changed, and its size."""
    file_format = draw(st.sampled_from(sorted(FORMATS)))
    mode = draw(st.sampled_from(FORMATS[file_format]))
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    pixels = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation = draw(st.integers(0, 9)) if file_format in ("JPEG", "PNG", "WEBP") else 1
    file = io.BytesIO()
    profile = draw(st.sampled_from([None, SRGB, b"garbage"]))
    image.save(file, file_format, **({"exif": exif, "icc_profile": profile} if file_format != "BMP" else {}))
    content = bytearray(file.getvalue())
    damage = draw(st.sampled_from(["none", "cut", "changed"]))
    if damage == "cut":
        content = content[: draw(st.integers(0, len(content) - 1))]
    elif damage == "changed":
        for _ in range(draw(st.integers(1, 5))):
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content), damage, (width, height) if 5 <= orientation <= 8 else (height, width)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(image_files())
def test_any_file_becomes_a_picture_of_its_size_or_one_sentence(stylizer, tmp_path, file):
    content, damage, size = file
    path = tmp_path / "a.img"
    path.write_bytes(content)
    try:
        image = images.read_image(path)
    except InputError as error:
        assert damage != "none"
        assert str(error).startswith(f"cannot read {path}: ")
        return
    assert image.dtype == np.float32
    assert ((image >= 0) & (image <= 1)).all()
    # A changed byte may well be one of the size.
    assert damage == "changed" or image.shape == (*size, 3)
    assert image.shape == (*images.read_size(path), 3)
    if image.size < 100_000:
        assert stylizer.stylize(image, stylizer.style_weights(0)).shape == image.shape
