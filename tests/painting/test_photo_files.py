"""Photos in files from Python; the program is tested in tests/programs/test_stylize.py."""

import itertools
import pathlib
import re
import threading

import numpy as np
import pytest

import magstyle
from magstyle import project
from magstyle.data import images
from magstyle.painting import photo_files, strokes
from tests.samples import picture


@pytest.fixture
def folder(tmp_path):
    """Photos of the same names in two folders, and one above them."""
    for k, place in enumerate(["sea/1.jpg", "town/1.jpg", "2.jpg"]):
        path = tmp_path / "photos" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(k, (24, 20)).save(path)
    return tmp_path / "photos"


def below(paths, folder):
    return [str(path.relative_to(folder)) for path in paths]


def test_photos_below_a_folder_keep_their_places(folder, small_model, tmp_path):
    paths = magstyle.stylize_photos(folder, tmp_path / "out", checkpoint=small_model, which_styles="wave")
    assert below(paths, tmp_path / "out") == ["2_wave.png", "sea/1_wave.png", "town/1_wave.png"]
    stylizer = magstyle.Stylizer(small_model)
    for path, photo in zip(paths, ["2.jpg", "sea/1.jpg", "town/1.jpg"], strict=True):
        expected = stylizer.stylize(images.read_image(folder / photo), stylizer.style_weights("wave"))
        np.testing.assert_allclose(images.read_image(path), expected, atol=1.01 / 255)


def test_pictures_are_no_photos_when_the_same_call_is_made_again(folder, small_model):
    arguments = {"checkpoint": small_model, "which_styles": 0}
    first = magstyle.stylize_photos(folder, folder / "out", **arguments)
    assert magstyle.stylize_photos(folder, folder / "out", **arguments) == first
    assert len(first) == 3


def test_the_next_photo_is_read_while_one_is_painted(folder, small_model, tmp_path, monkeypatch):
    begun = {str(folder / name): threading.Event() for name in ("2.jpg", "sea/1.jpg", "town/1.jpg")}
    following, read_image = iter([*begun.values()][1:]), images.read_image

    def read(path, image_size):
        begun[path].set()
        return read_image(path, image_size)

    class Waiting(magstyle.Stylizer):
        def stylize(self, *arguments, **options):
            assert all(event.wait(60) for event in itertools.islice(following, 1)), "no photo is read meanwhile"
            return super().stylize(*arguments, **options)

    monkeypatch.setattr(images, "read_image", read)
    monkeypatch.setattr(photo_files, "Stylizer", Waiting)
    assert len(magstyle.stylize_photos(folder, tmp_path / "out", checkpoint=small_model)) == 3


def test_several_pictures_have_a_bar_and_each_that_takes_its_time(folder, small_model, tmp_path, monkeypatch, capsys):
    def shown(patience, which_styles):
        monkeypatch.setattr(photo_files, "_PATIENCE", patience)
        magstyle.stylize_photos(folder / "2.jpg", tmp_path, checkpoint=small_model, which_styles=which_styles)
        return capsys.readouterr().err

    assert shown(60, "wave") == ""
    assert "2_wave.png: 100%" in shown(0, "wave")
    assert "3/3" in shown(60, "all")


def test_there_must_be_memory_for_the_next_photo_too(folder, small_model, tmp_path, monkeypatch):
    picture(3, (40, 30)).save(folder / "sea" / "1.jpg")
    kept = []

    class Noting(magstyle.Stylizer):
        def check_size(self, height, width, keeps=0, **options):
            kept.append(keeps)

    monkeypatch.setattr(photo_files, "Stylizer", Noting)
    magstyle.stylize_photos(folder, tmp_path / "out", checkpoint=small_model)
    assert kept[:3] == [40 * 30 * 3 * 4] * 3


@pytest.mark.parametrize(
    ("which_styles", "names"),
    [
        ("all", ["scream", "wave", "starry_night"]),
        ([2, "wave"], ["2", "wave"]),
        ({"wave": 0.5, 0: 0.25}, ["0_250_wave_500"]),
        (1, ["1"]),
        (np.int64(1), ["1"]),
        (np.array([2, 0]), ["2", "0"]),
        ({np.int64(1): np.float32(0.5)}, ["1_500"]),
    ],
)
def test_styles_are_a_name_a_number_several_a_mixture_or_all(folder, small_model, tmp_path, which_styles, names):
    paths = magstyle.stylize_photos(
        folder / "2.jpg", tmp_path / "out", checkpoint=small_model, which_styles=which_styles, format="jpg", sheet=True
    )
    assert below(paths, tmp_path / "out") == [*(f"2_{name}.jpg" for name in names), "2_sheet.jpg"]


@pytest.mark.parametrize(
    ("arguments", "sentence", "named"),
    [
        ({"which_styles": "wafe"}, "the model has no style 'wafe'; its styles are .*; nearest: wave", ()),
        ({"which_styles": []}, "which_styles must not be empty", ("which_styles",)),
        ({"which_styles": [7]}, "the model has no style 7", ()),
        ({"output_basename": "a"}, "output_basename names the pictures of one photo, not of 3", ("output_basename",)),
        ({"which_styles": 1.5}, "which_styles=1.5 must be a style, all, a list such as", ("which_styles",)),
        *(
            ({"output_basename": name}, "must be the start of a name", ("output_basename", "output_dir"))
            for name in ("a/b", "../a", "/a")
        ),
        ({"input_image": "nowhere"}, "no image at nowhere", ()),
        ({"input_image": [np.ones((9, 9))]}, "images must be given by their files, globs and folders", ()),
        ({"input_image": 3}, "images must be given by their files, globs and folders, not by int", ()),
        ({"mask": [(np.ones((9, 9)), "wave")]}, "a mask of 9 x 9 pixels has another shape than ", ("mask",)),
        *(
            ({"mask": [(np.ones(size), "wave")]}, "a mask of .* pixels has another shape than ", ("mask",))
            for size in [(1, 1), (2, 2), (4, 4), (5, 5), (1, 2), (12, 10), (20, 22)]
        ),
        ({"mask": [(np.ones((9, 9, 2)), "wave")]}, r"an image must have the shape \[H, W\] or ", ()),
        ({"mask": [(np.ones((10, 12)), "wafe")]}, "the model has no style 'wafe'", ()),
        ({"mask": [("none.png", "wave")]}, "cannot read none.png: No such file", ()),
        ({"color_from": "none.png"}, "cannot read none.png: No such file", ()),
        ({"stroke_size": 0}, "stroke_size=0 must be a number from 0.25 to 8", ("stroke_size",)),
        ({"mask": ["sky.png"]}, "mask must be images with their styles", ("mask",)),
        ({"which_styles": ["photo"]}, "which_styles=photo needs a mask", ("which_styles", "mask")),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_leaves_nothing(
    folder, small_model, tmp_path, arguments, sentence, named
):
    arguments = {"input_image": folder, "output_dir": tmp_path / "out", "checkpoint": small_model, **arguments}
    with pytest.raises(magstyle.InputError, match=sentence) as caught:
        magstyle.stylize_photos(**arguments)
    assert caught.value.arguments == named
    assert not (tmp_path / "out").exists()


@pytest.fixture
def sky():
    """White above, black below, of half the size of the photos."""
    mask = np.zeros((10, 12), np.float32)
    mask[:4], mask[4] = 1, 0.5
    return mask


def test_a_mask_is_painted_in_its_style_and_the_rest_in_another(folder, small_model, tmp_path, sky):
    (path,) = magstyle.stylize_photos(
        folder / "2.jpg", tmp_path, checkpoint=small_model, which_styles="scream", mask=[(sky, "wave")]
    )
    share, stylizer = strokes.averaged(sky[..., None], (20, 24)), magstyle.Stylizer(small_model)
    wave, scream = (stylizer.stylize(images.read_image(folder / "2.jpg"), style) for style in ("wave", "scream"))
    expected = share * wave + (1 - share) * scream
    np.testing.assert_allclose(images.read_image(path), expected, atol=1.01 / 255)


def test_what_no_mask_covers_can_stay_the_photo(folder, small_model, tmp_path, sky):
    options = {"checkpoint": small_model, "which_styles": ["photo", "wave"], "color_from": np.eye(3)}
    paths = magstyle.stylize_photos(folder / "2.jpg", tmp_path, mask=[(sky, "wave")], **options)
    end = r"_mask-\w{8}-wave_color_from-\w{8}\.png"
    assert re.fullmatch(f"2_photo{end} 2_wave{end}", " ".join(below(paths, tmp_path)))
    stays, wave, photo = (images.read_image(path) for path in (*paths, folder / "2.jpg"))
    np.testing.assert_array_equal(stays[12:], photo[12:])
    np.testing.assert_allclose(stays[:6], wave[:6], atol=1.01 / 255)


@pytest.mark.parametrize("size", [(5, 6), (10, 12), (20, 24), (40, 48), (41, 49), (39, 47), (100, 121)])
def test_a_mask_may_have_any_size_of_the_photos_shape(folder, small_model, tmp_path, size):
    (path,) = magstyle.stylize_photos(
        folder / "2.jpg", tmp_path, checkpoint=small_model, which_styles=0, mask=[(np.ones(size), "wave")]
    )
    assert path.exists()


def test_masks_that_overlap_share(folder, small_model, tmp_path):
    everywhere = np.ones((5, 6, 3))
    arguments = {"input_image": folder / "2.jpg", "checkpoint": small_model, "which_styles": "scream"}
    shared = magstyle.stylize_photos(output_dir=tmp_path, mask=[(everywhere, 1), (everywhere, 2)], **arguments)
    arguments["which_styles"] = [1, 2]
    both = magstyle.stylize_photos(output_dir=tmp_path, **arguments)
    mean = sum(images.read_image(path) for path in both) / 2
    np.testing.assert_allclose(images.read_image(shared[0]), mean, atol=1.01 / 255)


def test_in_a_hard_mask_everything_is_as_in_the_whole_picture(folder, small_model, tmp_path):
    upper = np.repeat([1.0, 0.0], 10)[:, None].repeat(24, axis=1)
    arguments = {"input_image": folder / "2.jpg", "output_dir": tmp_path, "checkpoint": small_model}
    arguments |= {"strength": 1.3, "stroke_size": 2, "preserve_color": True}
    mixture = {"wave": 0.5, "scream": 0.5}
    (path,) = magstyle.stylize_photos(which_styles="starry_night", mask=[(upper, mixture)], **arguments)
    (above,) = magstyle.stylize_photos(which_styles=mixture, **arguments)
    (below,) = magstyle.stylize_photos(which_styles="starry_night", **arguments)
    picture, above, below = (images.read_image(each) for each in (path, above, below))
    np.testing.assert_array_equal(picture, np.concatenate([above[:10], below[10:]]))


def test_a_mask_file_counts_by_its_light(folder, small_model, tmp_path, sky):
    mask = tmp_path / "mask.png"
    images.write_image(mask, np.repeat(sky[..., None], 3, axis=2))
    arguments = {"input_image": folder / "2.jpg", "checkpoint": small_model, "which_styles": "wave"}
    from_file = magstyle.stylize_photos(output_dir=tmp_path / "a", mask=[(mask, 0)], **arguments)
    from_array = magstyle.stylize_photos(output_dir=tmp_path / "b", mask=[(sky, 0)], **arguments)
    np.testing.assert_allclose(images.read_image(from_file[0]), images.read_image(from_array[0]), atol=3 / 255)


def test_damaged_photos_are_named_when_the_others_are_painted(folder, small_model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(project, "has", lambda module: False)  # HEIC cannot be read.
    (folder / "sea" / "0.jpg").write_bytes((folder / "2.jpg").read_bytes()[:-200])  # Its header is whole.
    (folder / "1.jpg").write_text("no photo")
    for other in ("a.HEIC", "sea/b.heic", "c.mp4", "notes", ".hidden"):
        (folder / other).write_text("")
    with pytest.raises(magstyle.InputError) as caught:
        magstyle.stylize_photos(folder, folder / "out", checkpoint=small_model)
    assert str(caught.value).startswith(
        f"2 of 5 photos could not be painted: cannot read {folder}/1.jpg: it is not a JPEG"
    )
    assert f"; cannot read {folder}/sea/0.jpg: the image is damaged or cut short" in str(caught.value)
    pictures = sorted(path.relative_to(folder / "out").as_posix() for path in folder.glob("out/**/*.png"))
    assert pictures == ["2_0.png", "sea/1_0.png", "town/1_0.png"]
    stderr = capsys.readouterr().err
    assert "files that are not photos were passed over: 2 .heic, 1 .mp4, 1 no extension\n" in stderr
    assert "HEIC photos need pillow-heif; pip install pillow-heif brings it\n" in stderr
    assert "3/3" in stderr


def test_photos_none_of_which_can_be_read_leave_nothing(small_model, tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("no photo")
    with pytest.raises(magstyle.InputError, match="2 of 2 photos could not be painted"):
        magstyle.stylize_photos(tmp_path, tmp_path / "out", checkpoint=small_model)
    with pytest.raises(magstyle.InputError, match=r"^cannot read .*a\.jpg: it is not a JPEG"):
        magstyle.stylize_photos(tmp_path / "a.jpg", tmp_path / "out", checkpoint=small_model)
    assert not (tmp_path / "out").exists()


def test_a_photo_is_never_overwritten(small_model, tmp_path):
    picture(0, (24, 20)).save(tmp_path / "a.png")
    picture(1, (24, 20)).save(tmp_path / "a_wave.png")
    before = pathlib.Path(tmp_path / "a_wave.png").read_bytes()
    with pytest.raises(magstyle.InputError, match=r"a_wave\.png would overwrite a photo of that name"):
        magstyle.stylize_photos(tmp_path, tmp_path, checkpoint=small_model, which_styles="wave")
    assert (tmp_path / "a_wave.png").read_bytes() == before


def test_what_is_painted_in_another_way_takes_no_other_pictures_place(folder, small_model, tmp_path, sky):
    images.write_image(tmp_path / "sky.png", np.repeat(sky[..., None], 3, axis=2))
    ways = [
        {},
        *({"strength": strength} for strength in (0.5, 1.5)),
        {"stroke_size": 2},
        {"preserve_color": True},
        *({"color_from": image} for image in (tmp_path / "sky.png", np.eye(3), 1 - np.eye(3))),
        *({"mask": [mask]} for mask in ((tmp_path / "sky.png", 0), (sky, 0), (1 - sky, 0), (sky, {0: 0.5, 1: 0.5}))),
        {"image_size": 16},
        {"which_styles": "wav", "output_basename": "a"},
        {"which_styles": "wav", "output_basename": "a", "strength": 0.5},
    ]
    arguments = {"output_dir": tmp_path / "out", "checkpoint": small_model, "sheet": True}
    paths = [path for way in ways for path in magstyle.stylize_photos(folder / "2.jpg", **arguments, **way)]
    assert len({*paths}) == 2 * len(ways)
    assert paths[0].name == "2_0.png" and paths[-2].name == "a_wave_strength-0.5.png"
    assert magstyle.stylize_photos(folder / "2.jpg", **arguments, strength=0.5) == paths[2:4]
