import keras
import numpy as np
import pytest

import magstyle
from magstyle import models
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images
from magstyle.optimization import objectives
from tests.samples import narrow_vgg, picture


@pytest.fixture
def flags(tmp_path):
    picture(0, (40, 32)).save(tmp_path / "image.png")
    np.savez(tmp_path / "vgg.npz", **narrow_vgg(19, (2, 2, 4, 4, 1)))
    return [
        *(f"--input_image={tmp_path}/image.png", f"--vgg_checkpoint={tmp_path}/vgg.npz", "--image_size=32"),
        *(f"--output_image={tmp_path}/out.png", "--steps=3"),
    ]


@pytest.fixture
def reconstruct(shared, tmp_path):
    """Reconstructs a real photo, in so many steps, with trained features; gives the photo and what was found of it."""
    vgg, photo = shared("weights/vgg_19_quarter.npz"), shared("photos/chicago.jpg")

    def call(end_point, steps, **options):
        path = magstyle.reconstruct(
            photo, tmp_path / "out.png", end_point=end_point, vgg_checkpoint=vgg, image_size=32, steps=steps, **options
        )
        return images.read_image(photo, 32), images.read_image(path)

    return call


def test_a_picture_is_found_again_from_the_first_layer_and_less_of_it_from_each_deeper_one(reconstruct):
    errors = []
    for end_point in ("conv1_1", "conv2_1", "conv3_1"):
        photo, found = reconstruct(end_point, 80)
        errors.append(-10 * np.log10(np.mean((found - photo) ** 2)))
    assert errors[0] > 25  # dB.
    assert errors == sorted(errors, reverse=True)


def test_a_texture_has_the_gram_matrices_of_the_image_up_to_its_layer(reconstruct, shared):
    photo, found = reconstruct("conv3_1", 120, kind="style")
    vgg = load_vgg(shared("weights/vgg_19_quarter.npz"))
    for name in models.find_end_points(["conv1_1", "conv2_1", "conv3_1"], vgg.output):
        network = keras.Model(vgg.input, vgg.output[name])
        of_photo, of_found = (np.asarray(objectives.gram(network(image[None]))) for image in (photo, found))
        assert np.linalg.norm(of_found - of_photo) < 0.05 * np.linalg.norm(of_photo)
    assert np.corrcoef(photo.ravel(), found.ravel())[0, 1] < 0.8  # It is another picture.


def test_all_layers_are_shown_on_one_sheet(run, flags, tmp_path):
    result = run("reconstruct", *flags, "--all_layers")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path}/out.png\n"
    assert "30/30" in result.stderr
    sheet = images.read_image(tmp_path / "out.png")
    assert sheet.shape == (8 + 2 * (24 + 32 + 8), 8 + 6 * (40 + 8), 3)
    image = images.read_image(tmp_path / "image.png")
    for top in (32, 96):
        np.testing.assert_allclose(sheet[top : top + 32, 8:48], image, atol=0.01)
    cells = [sheet[top : top + 32, left : left + 40] for top in (32, 96) for left in range(56, 290, 48)]
    assert len({cell.tobytes() for cell in cells}) == 10


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("", "give one of --end_point and --all_layers"),
        ("--end_point=conv1_1 --all_layers", "give one of --end_point and --all_layers"),
        ("--end_point=conv3_9", "there is no end point 'conv3_9'; the nearest are conv3_"),
        ("--end_point=conv1_1 --image_size=8", "10 x 8 pixels"),
        ("--end_point=conv1_1 --input_image=none.png", "cannot read none.png: No such file or directory"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(refused, flags, flag, sentence):
    assert sentence in refused("reconstruct", *flags, *flag.split())
