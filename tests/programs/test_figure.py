import numpy as np
import pytest
from PIL import Image

from magstyle.data import images
from magstyle.painting.stylizer import Stylizer
from tests.samples import narrow_vgg, picture

# Margin, label, and the sides of the pictures.
M, L, H, W = 8, 24, 32, 40


@pytest.fixture
def flags(tmp_path, small_checkpoint):
    for k, name in enumerate(("one", "two")):
        (tmp_path / "photos").mkdir(exist_ok=True)
        picture(k, (50, 40)).save(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "paintings").mkdir()
    for k, (name, size) in enumerate({"starry_night": (40, 60), "wave": (60, 40)}.items()):
        picture(10 + k, size).save(tmp_path / "paintings" / f"{name}.png")
    return [
        *(f"--content_images={tmp_path}/photos/one.png", f"--output_image={tmp_path}/figure.png", "--image_size=32"),
        f"--checkpoint={small_checkpoint}",
    ]


def cell(sheet, row, column, labels=1):
    """The picture in a row and a column; `labels` is how many of the rows up to it have labels."""
    top, left = M + row * (H + M) + labels * L, M + column * (W + M)
    return sheet[top : top + H, left : left + W]


def photo(tmp_path, name="one"):
    return images.read_image(tmp_path / "photos" / f"{name}.png", 32)


def test_a_sheet_shows_the_paintings_and_the_photo_in_each_style_below(run, flags, tmp_path, small_model):
    result = run("figure", *flags, f"--style_images={tmp_path}/paintings")
    assert result.stdout == f"{tmp_path}/figure.png\n", result.stderr
    sheet = images.read_image(tmp_path / "figure.png")
    assert sheet.shape == (L + 2 * (H + M) + M, 3 * (W + M) + M, 3)
    one, stylizer = photo(tmp_path), Stylizer(small_model)
    np.testing.assert_allclose(cell(sheet, 0, 0), one, atol=0.01)
    for column, style in enumerate(("starry_night", "wave"), start=1):
        np.testing.assert_allclose(cell(sheet, 1, column), stylizer.stylize(one, style), atol=0.01)
        assert sheet[M : M + L, M + column * (W + M) :][:, :W].min() < 0.5  # Its name.
    assert np.all(cell(sheet, 1, 0) == 1)
    assert np.all(cell(sheet, 0, 1)[:, :8] == 1)  # A painting that stands is not stretched.


def test_triptychs_grids_and_strips_are_in_their_places(run, flags, tmp_path, small_model):
    one, stylizer = photo(tmp_path), Stylizer(small_model)
    result = run("figure", *flags, "--kind=triptych", f"--style_images={tmp_path}/paintings")
    assert result.returncode == 0, result.stderr
    sheet = images.read_image(tmp_path / "figure.png")
    assert sheet.shape == (2 * (L + H + M) + M, 3 * (W + M) + M, 3)
    np.testing.assert_allclose(cell(sheet, 1, 0, 2), one, atol=0.01)
    np.testing.assert_allclose(cell(sheet, 1, 2, 2), stylizer.stylize(one, "wave"), atol=0.01)

    both = f"--content_images={tmp_path}/photos"
    result = run("figure", *flags[1:], both, "--kind=grid", f"--style_images={tmp_path}/paintings")
    assert result.returncode == 0, result.stderr
    sheet = images.read_image(tmp_path / "figure.png")
    assert sheet.shape == (3 * (L + H + M) + M, 3 * (W + M) + M, 3)
    expected = stylizer.stylize(photo(tmp_path, "two"), "starry_night")
    np.testing.assert_allclose(cell(sheet, 2, 1, 3), expected, atol=0.01)

    result = run("figure", *flags, "--kind=strip", "--which_styles=scream, wave, 2")
    assert result.returncode == 0, result.stderr
    sheet = images.read_image(tmp_path / "figure.png")
    assert sheet.shape == (2 * (L + H + M) + M, 5 * (W + M) + M, 3)
    np.testing.assert_allclose(cell(sheet, 0, 1), stylizer.stylize(one, {"scream": 0.75, "wave": 0.25}), atol=0.01)
    np.testing.assert_allclose(cell(sheet, 1, 4, 2), stylizer.stylize(one, 2), atol=0.01)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_a_walk_goes_through_the_styles_and_ends_where_it_begins(run, flags, tmp_path, suffix):
    path = tmp_path / f"walk.{suffix}"
    result = run("figure", *flags, "--kind=walk", f"--output_image={path}", "--which_styles=scream,wave")
    assert result.stdout == f"{path}\n", result.stderr
    with Image.open(path) as animation:
        assert (animation.n_frames, animation.size, animation.info["loop"]) == (24, (W, H), 0)
        frames = []
        for k in range(24):
            animation.seek(k)
            frames.append(np.asarray(animation.convert("RGB"), np.float32))
    steps = [np.abs(frame - following).mean() for frame, following in zip(frames, frames[1:] + frames[:1], strict=True)]
    assert max(steps) < np.abs(frames[0] - frames[12]).mean() / 2


def test_neural_style_paints_figures_of_any_paintings(run, flags, tmp_path):
    np.savez(tmp_path / "vgg.npz", **narrow_vgg(19, (2, 2, 4, 4, 1)))
    options = ["--optimize", f"--vgg_checkpoint={tmp_path}/vgg.npz", "--steps=5", "--octaves=1"]
    result = run("figure", *flags, *options, f"--style_images={tmp_path}/paintings/wave.png")
    assert result.returncode == 0, result.stderr
    sheet = images.read_image(tmp_path / "figure.png")
    change = np.abs(cell(sheet, 1, 1) - photo(tmp_path))
    assert 0.002 < change.mean() < 0.3


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("", "--kind=sheet needs --style_images, the paintings"),
        ("--optimize --kind=strip", "--optimize needs --style_images, the paintings"),
        ("--kind=walk", "figure.png: the name of an animation must end in one of .gif, .webp, .mp4, .webm"),
        ("--kind=strip --which_styles=wave", "a strip needs at least two styles"),
        (
            "--kind=strip --which_styles={{wave:1}}",
            "--which_styles={{'wave': 1}} must be a list of styles, not a mixture",
        ),
        ("--style_images={0}/photos", "the model has no style 'one'"),
        ("--style_images={0}/paintings --content_images={0}/photos", "a sheet shows one photo, not 2"),
        ("--style_images={0}/paintings --which_styles=wave", "give one of --style_images and --which_styles"),
        ("--style_images={0}/paintings --output_image={0}/photos/one.png", "one.png would overwrite the image"),
        ("--style_images={0}/none", "no image at "),
        ("--style_images={0}/paintings --output_image=figure.gif", "cannot write figure.gif: its name must end in"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(refused, flags, tmp_path, flag, sentence):
    assert sentence.format(tmp_path) in refused("figure", *flags, *flag.format(tmp_path).split())
