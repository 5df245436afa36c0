import re
import signal

import numpy as np
import pytest
from PIL import Image

from magstyle.data import images
from tests.processes import start, wait_for
from tests.samples import narrow_vgg, picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A photo, two paintings, and a VGG-19 up to conv5_1."""
    folder = tmp_path_factory.mktemp("neural_style")
    for name, size in {"photo": (60, 48), "one": (50, 40), "two": (32, 32)}.items():
        picture(len(name) + size[0], size).save(folder / f"{name}.png")
    np.savez(folder / "vgg.npz", **narrow_vgg(19, (2, 2, 4, 4, 1)))
    return folder


@pytest.fixture
def flags(folder, tmp_path):
    return [
        *(f"--content_image={folder}/photo.png", f"--style_images={folder}/one.png", "--image_size=32", "--octaves=1"),
        *(f"--vgg_checkpoint={folder}/vgg.npz", f"--output_image={tmp_path}/out/picture.png", "--steps=4"),
    ]


def test_a_photo_is_painted_with_snapshots_and_its_losses_are_shown(run, flags, folder, tmp_path):
    result = run("neural_style", *flags, "--octaves=2", "--steps=12", "--snapshot_steps=5", f"{folder}/two.png")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path}/out/picture.png\n"
    assert re.search(r"12/12 .*content_loss=\d.*, style_loss=\d", result.stderr)
    names = ["picture.png", "picture_00005.png", "picture_00010.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    pictures = [images.read_image(tmp_path / "out" / name) for name in names]
    assert {image.shape for image in pictures} == {(32, 40, 3)}
    photo = images.read_image(folder / "photo.png", 32)
    distances = [np.abs(image - photo).mean() for image in pictures]
    assert min(distances) > 0.005
    assert len(set(distances)) == 3


def test_an_interrupted_program_writes_what_it_has(flags, tmp_path):
    process = start("neural_style", *flags, "--steps=100000", "--snapshot_steps=2")
    wait_for((tmp_path / "out" / "picture_00002.png").exists, process)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert re.search(r"interrupted after \d+ steps; the result so far is written", process.stderr)
    assert "Traceback" not in process.stderr
    assert images.read_image(tmp_path / "out" / "picture.png").shape == (32, 40, 3)


def test_masks_of_any_size_are_scaled_and_what_they_leave_out_is_said(run, flags, folder, tmp_path):
    mask = np.zeros((10, 10), np.uint8)
    mask[:, :5] = 255
    Image.fromarray(mask).save(tmp_path / "left.png")
    result = run("neural_style", *flags, f"--style_masks={tmp_path}/left.png", "--style_weight=100")
    assert result.returncode == 0, result.stderr
    assert "50.0% of the picture is in no mask" in result.stderr
    change = np.abs(images.read_image(tmp_path / "out" / "picture.png") - images.read_image(folder / "photo.png", 32))
    assert change[:, :16].mean() > 1.2 * change[:, 32:].mean()


def test_the_photos_colours_are_kept(run, flags, folder, tmp_path):
    result = run("neural_style", *flags, "--preserve_color", "--start=noise", "--steps=1")
    assert result.returncode == 0, result.stderr
    photo = images.read_image(folder / "photo.png", 32)
    change = images.read_image(tmp_path / "out" / "picture.png") - photo
    inside = np.all((photo + change > 0.02) & (photo + change < 0.98), axis=2)
    assert inside.any() and np.ptp(change[inside], axis=1).max() < 0.01


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--content_image=none.png", "cannot read none.png: No such file or directory"),
        ("--style_images=none.png", "no image at none.png"),
        ("--style_image_weights=1,2", "--style_image_weights has 2 numbers, and --style_images 1 image"),
        ("--style_image_weights=one", "--style_image_weights=one must be numbers of 0 or more, such as (0.6, 0.4)"),
        ("--style_image_weights=0", "--style_image_weights=0 must have a number above 0"),
        ("--content_end_points=conv4_7", "there is no end point 'conv4_7'; the nearest are conv4_"),
        ("--style_masks={0}/one.png --style_masks={0}/two.png", "--style_masks has 2 images, and --style_images 1"),
        ("--octaves=3", "--octaves=3 begin with 10 x 8 pixels, of 40 x 32; no side can have fewer than 16"),
        ("--output_image={0}/photo.png", "photo.png would overwrite the image that it is made from"),
        ("--output_image=picture.gif", "cannot write picture.gif: its name must end in one of .png"),
        ("--style_scale=0", "--style_scale=0.0 must be a number from 0.01 to 100"),
        ("--steps=0", "--steps=0 must be a whole number from 1 to 2147483647"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(refused, flags, folder, flag, sentence):
    if "style_images" in flag:
        flags = [given for given in flags if "style_images" not in given]
    assert sentence in refused("neural_style", *flags, *flag.format(folder).split())
