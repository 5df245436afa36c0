import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from magstyle.data import images
from magstyle.painting.colors import preserve_color
from magstyle.painting.photo_files import stylize_photos
from magstyle.painting.stylizer import Stylizer
from tests.processes import start, wait_for


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    images.write_image(path, np.random.default_rng(0).random((21, 30, 3)))
    return path


def expected(checkpoint, photo, style, image_size=None):
    stylizer = Stylizer(checkpoint)
    return stylizer.stylize(images.read_image(photo, image_size), stylizer.style_weights(style))


def assert_shows(path, picture):
    np.testing.assert_allclose(images.read_image(path), picture, atol=1.01 / 255)


def test_a_list_gives_one_picture_per_style_under_magentas_names(run, small_checkpoint, photo, tmp_path):
    # All of Magenta's flags, as its users type them.
    result = run(
        "stylize",
        "--num_styles=3",
        "--alpha=1.0",
        f"--checkpoint={small_checkpoint}",
        f"--input_image={photo}",
        "--which_styles=[0,2,'wave']",
        f"--output_dir={tmp_path / 'new' / 'out'}",
        "--output_basename=boat",
    )
    assert result.returncode == 0, result.stderr
    paths = [tmp_path / "new" / "out" / f"boat_{style}.png" for style in (0, 2, "wave")]
    assert result.stdout.split() == [str(path) for path in paths]
    assert "3/3" in result.stderr
    for path, style in zip(paths, (0, 2, 1), strict=True):
        assert_shows(path, expected(small_checkpoint, photo, style))
        with Image.open(path) as image:
            assert image.format == "PNG"


@pytest.mark.parametrize(
    ("which_styles", "names", "taken"),
    [
        ("scream,2", ["scream", "2"], ""),
        ("[ scream, wave ]", ["scream", "wave"], ""),
        ("{wave: 0.5, 0: 0.25}", ["0_250_wave_500"], ""),
        ("star", ["starry_night"], "--which_styles: star is starry_night\n"),
        ("Starry Night", ["starry_night"], "--which_styles: Starry Night is starry_night\n"),
        ("['night', cream]", ["starry_night", "scream"], "--which_styles: night is starry_night\n"),
        ("{night: 1.5}", ["starry_night_1500"], "--which_styles: night is starry_night\n"),
    ],
)
def test_names_of_styles_need_no_quotes_and_may_be_parts(
    run, small_checkpoint, photo, tmp_path, which_styles, names, taken
):
    flags = [f"--checkpoint={small_checkpoint}", f"--input_image={photo}", f"--output_dir={tmp_path}"]
    result = run("stylize", *flags, f"--which_styles={which_styles}")
    assert result.stdout.split() == [str(tmp_path / f"photo_{name}.png") for name in names], result.stderr
    assert taken in result.stderr


def test_styles_are_listed_without_a_photo(run, small_checkpoint, tmp_path):
    result = run("stylize", f"--checkpoint={small_checkpoint}", "--list_styles", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "0 scream\n1 wave\n2 starry_night\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("style", [1, "wave"])
def test_one_style_needs_no_list(run, small_checkpoint, photo, tmp_path, style):
    flags = [f"--checkpoint={small_checkpoint}", f"--input_image={photo}", f"--output_dir={tmp_path}"]
    result = run("stylize", *flags, f"--which_styles={style}")
    assert result.stdout.split() == [str(tmp_path / f"photo_{style}.png")], result.stderr
    assert_shows(result.stdout.strip(), expected(small_checkpoint, photo, 1))


def test_a_dictionary_gives_one_mixture_under_magentas_name(run, small_checkpoint, photo, tmp_path):
    mixture = {2: 0.6, "scream": 0.05, 1: -0.1}
    result = run(
        "stylize",
        f"--checkpoint={small_checkpoint}",
        f"--input_image={photo}",
        f"--which_styles={mixture}",
        f"--output_dir={tmp_path}",
    )
    assert result.stdout.split() == [str(tmp_path / "photo_scream_050_1_-100_2_600.png")], result.stderr
    assert_shows(result.stdout.strip(), expected(small_checkpoint, photo, mixture))


def test_several_photos_in_all_styles_sizes_colours_and_formats(run, small_checkpoint, photo, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    images.write_image(folder / "inside.png", np.random.default_rng(1).random((1, 40, 3)))
    result = run(
        "stylize",
        f"--checkpoint={small_checkpoint}",
        f"--input_image={tmp_path}/ph*.jpg",
        folder,
        "--which_styles=all",
        "--image_size=12",
        "--preserve_color",
        "--format=webp",
        f"--output_dir={tmp_path / 'out'}",
    )
    ends = [f"{style}_preserve_color_12px.webp" for style in ("scream", "wave", "starry_night")]
    names = [f"{stem}_{end}" for stem in ("photo", "inside") for end in ends]
    assert result.stdout.split() == [str(tmp_path / "out" / name) for name in names], result.stderr
    assert images.read_image(tmp_path / "out" / names[4]).shape == (12, 480, 3)
    picture = expected(small_checkpoint, photo, "wave", image_size=12)
    picture = preserve_color(images.read_image(photo, 12), picture)
    with Image.open(tmp_path / "out" / names[1]) as image:
        assert image.format == "WEBP"
        assert np.abs(np.asarray(image.convert("L")) / 255 - picture @ [0.299, 0.587, 0.114]).mean() < 0.05


def test_the_trained_network_of_shared_paints_a_photo(shared, run, tmp_path):
    result = run(
        "stylize",
        f"--checkpoint={shared('models/stylize_quantized.pb')}",
        f"--input_image={shared('photos/coast_guard_boat.jpg')}",
        "--which_styles=[0,7,19]",
        "--image_size=256",
        f"--output_dir={tmp_path}",
    )
    paths = [str(tmp_path / f"coast_guard_boat_{style}_256px.png") for style in (0, 7, 19)]
    assert result.stdout.split() == paths, result.stderr
    pictures = [images.read_image(path) for path in paths]
    # Three different paintings: none is flat, black or white, and no two are alike.
    for picture in pictures:
        assert picture.shape == (341, 256, 3)
        assert picture.std() > 0.1
    assert min(np.abs(pictures[i] - pictures[i - 1]).mean() for i in range(3)) > 0.1


FLAGS = {
    "--checkpoint=missing.keras": "no checkpoint at missing.keras",
    "--checkpoint={text}": "notes.txt: it is not a valid TensorFlow checkpoint",
    "--input_image={text}": "notes.txt: it is not a JPEG",
    "--input_image=missing.jpg": "no image at missing.jpg",
    "--input_image={cut}": "cut.jpg: the image is damaged or cut short",
    "--which_styles=[7]": "no style 7; its styles are 0 to 2, or scream, wave, starry_night",
    "--which_styles=['monet']": "no style 'monet'",
    "--which_styles=7": "no style 7",
    "--which_styles=monet": "no style 'monet'; its styles are 0 to 2, or scream, wave, starry_night",
    "--which_styles=wafe": "no style 'wafe'; its styles are 0 to 2, or scream, wave, starry_night; nearest: wave",
    "--which_styles=s": "--which_styles: s can be any of scream, starry_night",
    "--which_styles=[wave": '--which_styles=[wave must be such as wave, "wave, 7" or "{wave: 0.6, 7: 0.4}"',
    "--which_styles=[]": "--which_styles must not be empty",
    "--which_styles=[[0]]": "--which_styles=[[0]] must be",
    "--which_styles={{[0]: 1}}": "--which_styles={[0]: 1} must be",
    "--which_styles=[0": "--which_styles=[0 must be",
    "--which_styles=1.5": "--which_styles=1.5 must be a style",
    "--which_styles={{wave: 1e20}}": "weight of style 'wave' must be a number from -100000 to 100000, not 1e+20",
    "--image_size=64.5": "--image_size=64.5 must be a whole number from 1 to 65500",
    "--strength=strong": "--strength=strong must be a number from 0 to 1.5",
    "--sheet=yes.png": "--sheet=yes.png must be true or false",
    "--which_styles={{0: 'a'}}": "weight of style 0 must be a number",
    "--num_styles=5": "has 3 styles, not --num_styles=5",
    "--alpha=0.5": "small.keras is 1.0, not --alpha=0.5",
    "--image_size=0": "--image_size",
    "--image_size=1000000": "image_size=",
    "--format=bmp": "--format",
    "--output_dir={text}/out": "cannot make the folder",
    "--no_such_flag": "no_such_flag",
}


@pytest.mark.parametrize("flag", FLAGS)
def test_a_wrong_flag_or_file_is_one_sentence(refused, small_checkpoint, photo, tmp_path, flag):
    text, cut = tmp_path / "notes.txt", tmp_path / "cut.jpg"
    text.write_text("Dear diary,\n" * 50)
    cut.write_bytes(photo.read_bytes()[:-400])
    given = [f"--checkpoint={small_checkpoint}", f"--input_image={photo}", f"--output_dir={tmp_path / 'out'}"]
    given = [other for other in given if other.partition("=")[0] != flag.partition("=")[0]]
    sentence = refused("stylize", *given, flag.format(text=text, cut=cut), cwd=tmp_path)
    assert FLAGS[flag] in sentence
    assert not list((tmp_path / "out").glob("*"))


def test_a_sheet_shows_the_photo_and_all_its_pictures(run, small_checkpoint, photo, tmp_path):
    flags = [f"--checkpoint={small_checkpoint}", f"--input_image={photo}", f"--output_dir={tmp_path}/out", "--sheet"]
    result = run("stylize", *flags, "--which_styles=all")
    paths = [f"{tmp_path}/out/photo_{name}.png" for name in ("scream", "wave", "starry_night", "sheet")]
    assert result.stdout.split() == paths, result.stderr
    sheet = images.read_image(paths[-1])
    tile = (24 + 224, 320)  # 21 x 30 pixels, enlarged to a longer side of 320, under a name.
    assert sheet.shape == (2 * tile[0], 2 * tile[1], 3)
    for k, path in enumerate([photo, *paths[:3]]):
        row, column = divmod(k, 2)
        shown = sheet[row * tile[0] : (row + 1) * tile[0], column * tile[1] : (column + 1) * tile[1]]
        assert shown[:24].min() < 0.5 and np.all(shown[:24, :5] == 1)
        picture = images.read_image(path)
        assert np.abs(shown[24:].mean((0, 1)) - picture.mean((0, 1))).max() < 0.02


@pytest.fixture
def masks(tmp_path):
    """The upper half, of half the photo's size, and a mask of another shape."""
    Image.fromarray(np.repeat(np.uint8([[255]] * 5 + [[0]] * 5), 15, axis=1)).save(tmp_path / "upper.png")
    Image.new("L", (15, 15), 255).save(tmp_path / "square.png")
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "name", "advice"),
    [
        (
            ["--image_size=2000", "--strength=0"],
            "photo_0_strength-0_2000px.png",
            "photo.jpg is large for its strokes; --stroke_size=2 makes them show\n",
        ),
        (["--image_size=2000", "--stroke_size=8"], "photo_0_stroke_size-8_2000px.png", ""),
        ([], "photo_0.png", ""),
    ],
)
def test_a_large_photo_is_painted_with_advice(run, small_checkpoint, tmp_path, flags, name, advice):
    images.write_image(tmp_path / "photo.jpg", np.full((20, 21, 3), 0.5))
    result = run("stylize", f"--checkpoint={small_checkpoint}", *flags, "photo.jpg", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, f"out/{name}\n"), result.stderr
    assert result.stderr == advice


def test_masks_strength_stroke_size_and_colours_are_flags(run, small_checkpoint, photo, masks, tmp_path):
    colors = tmp_path / "colors.png"
    images.write_image(colors, np.random.default_rng(1).random((9, 7, 3)) * [1, 0.5, 0.2])
    given = {"strength": 0.7, "stroke_size": 2, "which_styles": "scream"}
    name = "photo_scream_mask-upper-starry_night_strength-0.7_stroke_size-2_color_from-colors.png"
    result = run(
        "stylize",
        photo,
        f"--checkpoint={small_checkpoint}",
        f"--output_dir={tmp_path}/out",
        f"--color_from={colors}",
        f"--mask={masks}/upper.png:star",
        *(f"--{name}={value}" for name, value in given.items()),
    )
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/out/{name}\n"), result.stderr
    assert "--mask: star is starry_night\n" in result.stderr
    (path,) = stylize_photos(
        photo,
        tmp_path / "again",
        checkpoint=small_checkpoint,
        mask=[(masks / "upper.png", 2)],
        color_from=colors,
        **given,
    )
    assert path.read_bytes() == (tmp_path / "out" / name).read_bytes()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--mask=MASKS/square.png:wave"],
            "square.png of 15 x 15 pixels has another shape than MASKS/photo.jpg",
        ),
        (["--mask=MASKS/upper.png"], "--mask=MASKS/upper.png must be FILE:STYLE, such as sky.png:wave"),
        (["--strength=-1"], "--strength=-1.0 must be a number from 0 to 1.5"),
        (
            ["--preserve_color", "--color_from=MASKS/upper.png"],
            "--preserve_color and --color_from cannot both",
        ),
    ],
)
def test_masks_and_numbers_that_cannot_be_used_are_refused(refused, small_checkpoint, photo, masks, flags, sentence):
    here = [flag.replace("MASKS", str(masks)) for flag in flags]
    given = ["stylize", photo, f"--checkpoint={small_checkpoint}", f"--output_dir={masks}/out"]
    assert sentence.replace("MASKS", str(masks)) in refused(*given, *here)
    assert not (masks / "out").exists()


def test_names_of_styles_may_hold_whatever_text_can(small_model, photo, tmp_path):
    names = ["line\nbreak", "null\0byte", "lone\udc80surrogate"]
    config = {**small_model.get_config(), "style_names": names}
    model = type(small_model).from_config(config)
    model.set_weights(small_model.get_weights())
    other = photo.rename(tmp_path / "two\nlines.jpg")
    paths = stylize_photos(other, tmp_path / "out", checkpoint=model, which_styles="all", sheet=True)
    assert sorted(os.listdir(tmp_path / "out")) == sorted(path.name for path in paths)
    assert [path.name for path in paths] == [
        f"two\nlines_{name}.png" for name in ("line_nbreak", "null_x00byte", "lone_udc80surrogate", "sheet")
    ]


def test_a_line_break_in_a_photos_name_is_no_traceback(run, small_checkpoint, photo, tmp_path):
    photo = photo.rename(tmp_path / "two\nlines.jpg")
    result = run(
        "stylize", f"--checkpoint={small_checkpoint}", f"--output_dir={tmp_path}/out", "--sheet", "--input_image", photo
    )
    assert result.returncode == 0, result.stderr
    assert sorted(os.listdir(tmp_path / "out")) == ["two\nlines_0.png", "two\nlines_sheet.png"]


def test_a_photo_needs_no_flag_and_its_picture_goes_to_out(run, small_checkpoint, photo, tmp_path):
    result = run("stylize", "photo.jpg", f"--checkpoint={small_checkpoint}", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "out/photo_0.png\n"), result.stderr
    assert_shows(tmp_path / "out" / "photo_0.png", expected(small_checkpoint, photo, 0))


def test_a_damaged_photo_of_several_is_a_sentence_after_the_others_are_painted(run, small_checkpoint, photo, tmp_path):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(photo.read_bytes()[:-400])
    result = run("stylize", cut, photo, f"--checkpoint={small_checkpoint}", f"--output_dir={tmp_path}/out")
    assert (result.returncode, result.stdout) == (1, f"{tmp_path}/out/photo_0.png\n")
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"stylize.py: 1 of 2 photos could not be painted: cannot read {cut}: the image is damaged")


def test_a_missing_photo_is_asked_for(refused):
    assert "which photo? Give its name, here or by --input_image" in refused("stylize", "--checkpoint=a")


def test_photos_that_would_take_each_others_pictures_or_place_are_refused(refused, small_checkpoint, photo, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "photo.jpg").write_bytes(photo.read_bytes())
    given = [f"--checkpoint={small_checkpoint}", f"--output_dir={tmp_path}", "--format=jpg", "--input_image", photo]
    assert "would both become" in refused("stylize", *given, tmp_path / "b" / "photo.jpg")
    assert "--output_basename" in refused("stylize", *given, tmp_path / "b", "--output_basename=x")
    before = photo.read_bytes()
    photo.rename(tmp_path / "photo_0.jpg")
    given[-1] = tmp_path / "photo_0.jpg"
    assert "would overwrite a photo" in refused("stylize", *given, "--output_basename=photo")
    assert (tmp_path / "photo_0.jpg").read_bytes() == before


def test_a_full_disk_keeps_the_finished_pictures_and_no_half_one(refused, small_checkpoint, tmp_path):
    images.write_image(tmp_path / "a_small.png", np.zeros((8, 8, 3)))
    images.write_image(tmp_path / "b_large.png", np.random.default_rng(0).random((200, 200, 3)))
    sentence = refused(
        "stylize",
        f"--checkpoint={small_checkpoint}",
        f"--input_image={tmp_path}",
        f"--output_dir={tmp_path / 'out'}",
        largest_file=10_000,
    )
    assert f"cannot write {tmp_path / 'out' / 'b_large_0.png'}: File too large" in sentence
    assert os.listdir(tmp_path / "out") == ["a_small_0.png"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_whole_pictures_and_no_traceback(small_checkpoint, photo, tmp_path, number):
    photos = [str(tmp_path / f"{i}.jpg") for i in range(2000)]
    for path in photos:
        os.link(photo, path)
    flags = [f"--checkpoint={small_checkpoint}", f"--output_dir={tmp_path / 'out'}"]
    process = start("stylize", *flags, "--input_image", *photos)
    wait_for(lambda: process.stdout, process)
    process.send_signal(number)
    assert process.wait() == 128 + number
    assert "Traceback" not in process.stderr
    written = process.stdout.split()
    assert 1 <= len(written) < len(photos)
    # The last picture may be there without its line; nothing else is.
    assert len(set(os.listdir(tmp_path / "out")) - {os.path.basename(path) for path in written}) <= 1
    for name in os.listdir(tmp_path / "out"):
        assert images.read_image(tmp_path / "out" / name).shape == (21, 30, 3)


def test_the_console_script_is_the_same_program(small_checkpoint, photo, tmp_path):
    script = os.path.join(os.path.dirname(sys.executable), "image_stylization_transform")
    flags = [f"--checkpoint={small_checkpoint}", f"--input_image={photo}", f"--output_dir={tmp_path}"]
    result = subprocess.run([script, *flags], capture_output=True, text=True, check=False)
    assert result.stdout.split() == [str(tmp_path / "photo_0.png")], result.stderr
    usage = subprocess.run([script, "--help"], capture_output=True, text=True, check=False).stdout
    assert "--which_styles" in usage


def test_a_reader_that_goes_away_is_no_traceback(small_checkpoint, photo, tmp_path):
    program = os.path.join(os.path.dirname(__file__), "..", "..", "bin", "stylize.py")
    flags = f"--checkpoint={small_checkpoint} --input_image={photo} --output_dir={tmp_path} --which_styles=all"
    command = f"{sys.executable} {program} {flags} | true"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr
