"""Styles from paintings at once, through Python and the programs."""

import os
import re

import keras
import numpy as np
import pytest
from PIL import Image

from magstyle import Stylizer, create_style_dataset, finetune, merge_models, read_image, stylize_photos
from magstyle.checkpoints import model_files, paintings
from magstyle.errors import InputError
from magstyle.painting import margin
from tests.samples import picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two paintings, boat.png and wave.jpg."""
    folder = tmp_path_factory.mktemp("paintings")
    picture(3, (300, 60)).save(folder / "boat.png")
    picture(4, (270, 280)).save(folder / "wave.jpg")
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    picture(0, (40, 32)).save(path)
    return path


def pixels(path):
    return np.asarray(Image.open(path))


def test_the_file_is_read_as_keras_reads_it(any_model, anything):
    network, read = Stylizer(anything).network, keras.saving.load_model(anything)  # Of the predictor, see below.
    for name in network.parameters:
        for part, value in network.parameters[name].items():
            np.testing.assert_array_equal(value, read.network.parameters(name)[part])


def test_a_painting_is_predicted_as_keras_predicts_it(any_model, anything, folder, photo):
    stylizer, painting = Stylizer(anything), pixels(folder / "boat.png")
    seen = paintings.seen(painting / 255)
    assert seen.shape == (256, 1024, 3)  # Of 60 x 300: a shorter side of 256, but no more than 1024.
    weights = np.asarray(any_model.predictor(seen[None]))[0]
    assert weights[0] == 1 and weights[1:].any()
    np.testing.assert_allclose(stylizer.style_weights(painting), weights, rtol=1e-4)
    laid = margin.laid(pixels(photo).astype(np.float32) / 255)
    stylized = margin.cut(np.asarray(any_model([laid[None], seen[None]]))[0], 32, 40)
    np.testing.assert_allclose(stylizer.stylize(pixels(photo), painting), stylized, atol=1e-2)


def test_a_painting_may_be_pixels_a_file_or_a_part_of_a_mixture(anything, folder, photo):
    stylizer, (boat, wave) = Stylizer(anything), (str(folder / name) for name in ("boat.png", "wave.jpg"))
    of_boat, of_wave = map(stylizer.style_weights, (boat, wave))
    assert abs(of_boat - of_wave).max() > 1e-3
    np.testing.assert_array_equal(stylizer.style_weights(Image.open(boat)), of_boat)
    np.testing.assert_allclose(
        stylizer.style_weights({boat: 0.25, wave: 0.75}), 0.25 * of_boat + 0.75 * of_wave, atol=1e-6
    )
    mixture = stylizer.stylize(pixels(photo), {boat: 0.25, wave: 0.75})
    assert abs(mixture - stylizer.stylize(pixels(photo), boat)).max() > 0.01


def test_paintings_become_a_model_with_their_names(anything, folder, photo):
    network = paintings.network_of(folder, anything)
    assert network.style_names == ("boat", "wave")
    assert network.predictor is None
    picture, direct = (
        Stylizer(network).stylize(pixels(photo), "wave"),
        Stylizer(anything).stylize(pixels(photo), str(folder / "wave.jpg")),
    )
    np.testing.assert_allclose(picture, direct, atol=1e-4)


def test_each_painting_is_a_picture_in_python(anything, folder, photo, tmp_path):
    paths = stylize_photos(photo, tmp_path / "out", checkpoint=anything, style_image=folder)
    assert [path.name for path in paths] == ["photo_boat.png", "photo_wave.png"]
    paths = stylize_photos(
        photo, tmp_path / "out", checkpoint=anything, style_image=folder, which_styles={"boat": 0.5, "wave": 0.5}
    )
    assert [path.name for path in paths] == ["photo_boat_500_wave_500.png"]


def test_the_program_paints_in_the_style_of_paintings(run, anything, folder, photo, tmp_path):
    flags = [f"--checkpoint={anything}", f"--output_dir={tmp_path}/out", f"--style_image={folder}/boat.png"]
    mask = tmp_path / "mask.png"
    Image.fromarray(np.arange(40 * 32, dtype=np.uint8).reshape(32, 40)).save(mask)
    result = run("stylize", photo, *flags, f"--style_image={folder}/wave.jpg", "--strength=0.8", f"--mask={mask}:wave")
    assert result.returncode == 0, result.stderr
    assert sorted(os.listdir(tmp_path / "out")) == [
        f"photo_{name}_mask-mask-wave_strength-0.8.png" for name in ("boat", "wave")
    ]


def test_a_dataset_is_painted_in_the_style_of_a_painting(run, anything, folder, photo, tmp_path):
    result = run(
        "stylize_dataset",
        f"--content_files={photo}",
        f"--checkpoint={anything}",
        f"--style_image={folder}/boat.png",
        f"--output_dir={tmp_path}/out",
        "--output_format=png",
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "photo.png").exists()


def test_a_paintings_file_may_stand_wherever_a_style_is_named(run, refused, anything, folder, photo, tmp_path):
    boat, wave = folder / "boat.png", folder / "wave.jpg"
    flags = [f"--checkpoint={anything}", f"--output_dir={tmp_path}/out"]
    result = run("stylize", photo, *flags, f"--which_styles={boat}")
    assert result.stdout == f"{tmp_path}/out/photo_boat.png\n", result.stderr
    mixture = {str(boat): 0.5, str(wave): 0.5}
    (path,) = stylize_photos(photo, tmp_path / "out", checkpoint=anything, which_styles=mixture)
    assert path.name == "photo_boat_500_wave_500.png"
    (path,) = stylize_photos(photo, tmp_path / "out", checkpoint=anything, which_styles=boat, mask=[(photo, str(wave))])
    assert path.name == "photo_boat_mask-photo-wave.png"
    # Weights do, too.
    stylizer = Stylizer(anything)
    weights = stylizer.style_weights(boat)
    np.testing.assert_array_equal(stylizer.stylize(pixels(photo), weights), stylizer.stylize(pixels(photo), boat))
    assert refused("stylize", photo, *flags, "--which_styles=missing.jpg").endswith(
        "cannot read missing.jpg: No such file or directory"
    )


def test_a_painting_too_large_to_be_read_whole_is_read_scaled_down(anything, tmp_path, monkeypatch):
    Image.effect_noise((60, 60), 99).resize((1200, 1100)).convert("RGB").save(tmp_path / "huge.jpg", quality=95)
    stylizer = Stylizer(anything)
    whole = stylizer.style_weights(str(tmp_path / "huge.jpg"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400_000)  # More than twice as many are refused.
    with pytest.raises(InputError, match="image_size"):
        read_image(tmp_path / "huge.jpg")
    np.testing.assert_allclose(stylizer.style_weights(str(tmp_path / "huge.jpg")), whole, rtol=0.1, atol=0.1)


def test_a_predictor_whose_weights_are_nan_is_refused(any_model, tmp_path):
    model = type(any_model).from_config(any_model.get_config())
    model.predictor.get_layer("dense1").bias.assign([np.nan] * 8)
    model.save(tmp_path / "nan.keras")
    with pytest.raises(InputError, match="some of its weights are NaN or infinite"):
        Stylizer(tmp_path / "nan.keras")


@pytest.mark.parametrize(
    ("painting", "sentence"),
    [
        (Image.new("RGB", (64, 64), "red"), "it has only one colour"),
        (picture(0, (90, 5)), "its shorter side has 5 pixels, where at least 32 are needed"),
    ],
)
def test_what_shows_no_style_is_refused(refused, anything, photo, tmp_path, painting, sentence):
    painting.save(tmp_path / "painting.png")
    with pytest.raises(InputError, match=sentence):
        Stylizer(anything).stylize(pixels(photo), painting)
    flags = [f"--checkpoint={anything}", f"--style_image={tmp_path}/painting.png", f"--output_dir={tmp_path}/out"]
    assert refused("stylize", photo, *flags).endswith(f"{tmp_path}/painting.png shows no style: {sentence}")
    assert not (tmp_path / "out").exists()


def test_other_mistakes_are_told_in_one_sentence(refused, anything, small_checkpoint, folder, photo, tmp_path):
    def sentence(*flags):
        return refused("stylize", photo, f"--output_dir={tmp_path}/out", *flags)

    other = tmp_path / "wave.png"
    picture(1, (50, 50)).save(other)
    given = f"--checkpoint={anything}"
    assert "knows only its own styles; anything paints" in sentence(
        f"--checkpoint={small_checkpoint}", f"--style_image={folder}"
    )
    assert "would both be the style wave" in sentence(given, f"--style_image={folder}", f"--style_image={other}")
    assert "no image at" in sentence(given, "--style_image=missing.jpg")
    assert "it is not a JPEG" in sentence(given, f"--style_image={__file__}")
    assert "such as --style_image=boat.jpg, not in style 0" in sentence(given)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_paintings_becomes_a_model(run, refused, anything, folder, photo, tmp_path):
    flags = [f"--style_files={folder}", f"--output_model={tmp_path}/mine.keras", f"--checkpoint={anything}"]
    result = run("add_styles", *flags)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path}/mine.keras\n"
    painted = Stylizer(tmp_path / "mine.keras").stylize(pixels(photo), "wave")
    direct = Stylizer(anything).stylize(pixels(photo), str(folder / "wave.jpg"))
    np.testing.assert_allclose(painted, direct, atol=1e-4)
    assert "mine.keras" in refused("add_styles", *flags)  # It is there already.
    with pytest.raises(InputError, match=r"mine\.keras exists already"):
        paintings.add_styles(folder, tmp_path / "mine.keras", checkpoint=anything)
    assert "must end in .keras" in refused("add_styles", *flags, f"--output_model={tmp_path}/mine.ckpt")
    assert sorted(os.listdir(tmp_path)) == ["mine.keras"]


def test_a_painting_named_sheet_does_not_take_the_place_of_the_sheet(refused, anything, photo, tmp_path):
    picture(4, (270, 280)).save(tmp_path / "sheet.jpg")
    sentence = refused("stylize", photo, f"--checkpoint={anything}", "--style_image=sheet.jpg", "--sheet", cwd=tmp_path)
    assert f"two pictures of {photo} would be out/photo_sheet.png; rename a style or leave out --sheet" in sentence


def test_what_needs_styles_refuses_a_model_without_them(refused, anything):
    sentence = f"{anything} paints in the style of any painting and has no styles of its own; add_styles makes"
    assert sentence in refused("stylize", "--list_styles", f"--checkpoint={anything}")
    with pytest.raises(InputError, match="add_styles makes"):
        merge_models([anything, "painters"])


def test_fine_tuning_starts_from_what_is_predicted(anything, folder, tmp_path, capfd):
    styles = create_style_dataset(folder, tmp_path / "styles.tfrecord", vgg_checkpoint="random:0")
    path = finetune(
        styles,
        tmp_path / "train",
        checkpoint=anything,
        content_files=folder,
        vgg_checkpoint="random:0",
        image_size=32,
        train_steps=1,
        learning_rate=1e-9,
        mesh_weight=0,
    )
    predicted, tuned = paintings.network_of(folder, anything), model_files.read_network(path)
    assert tuned.style_names == ("boat", "wave")
    for scope, values in predicted.parameters.items():
        for part, value in values.items():
            np.testing.assert_allclose(tuned.parameters[scope][part], value, atol=0.02)
    gains = re.findall(r"^(.*): style loss (\d\.\d\d) at first, (\d\.\d\d) now$", capfd.readouterr().err, re.MULTILINE)
    assert [name for name, _, _ in gains] == ["boat", "wave"]
    assert all(float(before) == pytest.approx(float(after), abs=0.02) for _, before, after in gains)
