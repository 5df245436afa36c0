import ast
import csv
import logging
import os
import pathlib
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from magstyle.data import images, photos, shards
from magstyle.datasets.dataset_files import StylizedDataset, stylize_dataset
from magstyle.datasets.jobs import DatasetJob
from magstyle.errors import InputError
from magstyle.painting.colors import match_color
from magstyle.painting.stylizer import Stylizer

beam_pipeline = pytest.importorskip("magstyle.datasets.beam_pipeline")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        images.write_image(tmp_path / "photos" / f"{i % 2}" / f"{i}.png", rng.random((20 + i, 30 - i, 3)))
    return tmp_path / "photos"


@pytest.fixture
def stylize(small_model, folder):
    """Stylises the twelve photos, or others that its options name."""

    def call(output_dir, **arguments):
        if not {"tfrecord_files", "tfds_name"} & arguments.keys():
            arguments = {"content_files": folder, **arguments}
        return stylize_dataset(output_dir, **{"checkpoint": small_model, **arguments})

    return call


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def features_of(path):
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [tf.train.Example.FromString(record).features.feature for record in records]


def test_random_styles_depend_on_seed_and_name_alone(stylize, small_model, folder, tmp_path):
    stylize(tmp_path / "a", output_format="png", seed=1)
    some = [folder / "1" / "11.png", folder / "0" / "2.png"]
    assert stylize(tmp_path / "b", content_files=some, output_format="png", seed=1).written == 2
    assert stylize(tmp_path / "b", output_format="png", seed=1) == StylizedDataset([tmp_path / "b"], 10, 0, 2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    stylize(tmp_path / "c", output_format="png", seed=2)
    assert contents(tmp_path / "a") != contents(tmp_path / "c")
    stylizer = Stylizer(small_model)
    used = set()
    for name in range(12):
        photo = images.read_image(folder / f"{name % 2}" / f"{name}.png")
        picture = images.read_image(tmp_path / "a" / f"{name % 2}" / f"{name}.png")
        errors = [np.abs(stylizer.stylize(photo, stylizer.style_weights(style)) - picture).max() for style in range(3)]
        assert min(errors) < 1.01 / 255
        used.add(np.argmin(errors))
    assert used == {0, 1, 2}


@pytest.mark.parametrize("style", ["random", "wave", {"wave": 0.4, 0: 0.6}])
def test_the_style_of_every_picture_is_recorded(stylize, small_model, folder, tmp_path, style):
    (folder / "1" / "bad,1.jpg").write_text("no image")
    (folder / "0" / "0.png").rename(folder / "0" / "a, b.png")
    stylize(tmp_path / "out", output_format="png", style=style)
    first = (tmp_path / "out" / "styles.csv").read_bytes()
    (tmp_path / "out" / "1" / "1.png").unlink()
    (tmp_path / "out" / "styles.csv").unlink()
    stylize(tmp_path / "out", output_format="png", style=style)
    assert (tmp_path / "out" / "styles.csv").read_bytes() == first
    with open(tmp_path / "out" / "styles.csv", newline="") as file:
        recorded = {row["picture"]: row["style"] for row in csv.DictReader(file)}
    assert recorded.keys() == {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert set(recorded.values()) == {
        "random": set(small_model.style_names),
        "wave": {"wave"},
    }.get(str(style), {"{'scream': 0.6, 'wave': 0.4}"})
    stylizer = Stylizer(small_model)
    for name in list(recorded)[:4]:
        text = recorded[name]
        weights = stylizer.style_weights(ast.literal_eval(text) if text.startswith("{") else text)
        expected = stylizer.stylize(images.read_image(folder / name), weights)
        np.testing.assert_allclose(images.read_image(tmp_path / "out" / name), expected, atol=1.01 / 255)
    made = stylize(tmp_path / "records", style=style)
    assert not (tmp_path / "records" / "styles.csv").exists()
    assert {
        features["image/filename"].bytes_list.value[0].decode(): features["style/name"].bytes_list.value[0].decode()
        for features in features_of(made.paths[0])
    } == recorded


@pytest.mark.parametrize("output_format", ["tfrecord", "jpg", "png"])
def test_a_strip_as_long_as_a_jpeg_can_be_does_not_end_the_run(stylize, folder, tmp_path, output_format):
    strip = np.random.default_rng(0).random((1, 65500, 3))
    images.write_image(folder / "0" / "across.png", strip)
    images.write_image(folder / "0" / "down.jpg", strip.transpose(1, 0, 2))
    (folder / "bad.jpg").write_text("no image")
    made = stylize(tmp_path / "out", output_format=output_format)
    assert (made.written, made.failed) == (14, 1)


@pytest.mark.parametrize(
    "error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")], ids=type
)
@pytest.mark.parametrize("output_format", ["tfrecord", "png"])
def test_a_photo_without_memory_is_a_failure_of_its_own(stylize, tmp_path, monkeypatch, error, output_format):
    stylize_photo = Stylizer.stylize

    def without_memory(self, image, *arguments, **options):
        if image.shape[0] == 25:
            raise error
        return stylize_photo(self, image, *arguments, **options)

    monkeypatch.setattr(Stylizer, "stylize", without_memory)
    made = stylize(tmp_path / "out", output_format=output_format)
    assert (made.written, made.failed) == (11, 1)
    assert (tmp_path / "out" / "failures.txt").read_text() == (
        "1/5.png\tcannot stylise 1/5.png: there is no memory for it\n"
    )


def test_sizes_that_cannot_be_had_are_failures_before_any_work(stylize, tmp_path, monkeypatch):
    monkeypatch.setattr(Stylizer, "stylize", lambda *_, **__: pytest.fail("has been painted"))
    monkeypatch.setattr(images, "read_image", lambda *_: pytest.fail("has been decoded"))
    made = stylize(tmp_path / "out", output_format="png", image_size=60000)
    assert (made.written, made.failed) == (0, 12)
    assert "image_size=60000 scales " in (tmp_path / "out" / "failures.txt").read_text()


def test_a_style_or_a_mixture_is_for_all_photos(stylize, small_model, folder, tmp_path):
    stylizer = Stylizer(small_model)
    for i, style in enumerate((2, "wave", {"wave": 0.4, 0: 0.6})):
        stylize(tmp_path / f"{i}", content_files=folder / "1" / "1.png", output_format="png", style=style)
        expected = stylizer.stylize(images.read_image(folder / "1" / "1.png"), stylizer.style_weights(style))
        np.testing.assert_allclose(images.read_image(tmp_path / f"{i}" / "1.png"), expected, atol=1.01 / 255)


def test_strength_and_colours_are_for_all_photos_and_must_stay_the_same(stylize, small_model, folder, tmp_path):
    photo, blue = folder / "1" / "1.png", np.full((8, 8, 3), [0.1, 0.2, 0.8])
    options = {"content_files": photo, "output_format": "png", "style": "wave"}
    stylize(tmp_path / "out", **options, strength=0.5, color_from=blue)
    image = images.read_image(photo)
    expected = match_color(Stylizer(small_model).stylize(image, "wave", strength=0.5), blue)
    np.testing.assert_allclose(images.read_image(tmp_path / "out" / "1.png"), expected, atol=1.01 / 255)
    for other in ({"strength": 0.5}, {"color_from": blue}):
        with pytest.raises(InputError, match=r"begun with other (strength|color_from); choose another output_dir"):
            stylize(tmp_path / "out", **options, **other)


def test_a_painter_travels_with_its_model(small_model, folder):
    stylizer = Stylizer(small_model)
    painter = beam_pipeline.Painter(stylizer, DatasetJob("out", image_size=12))
    # Another machine does not hold the model yet.
    copy = pickle.loads(pickle.dumps(painter))
    copy._handle = type(copy._handle)()
    copy.setup()
    assert copy._stylizer is not stylizer
    photo = next(photos.from_files(folder).shards[0].photos())
    picture = copy.paint(photo)
    assert min(picture.shape[:2]) == 12
    np.testing.assert_array_equal(picture, painter.paint(photo))


@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_a_picture_does_not_depend_on_the_photos_before_it(small_model, folder, engine):
    shard = photos.from_files(folder).shards[0]
    job = DatasetJob("out")
    one_by_one = [beam_pipeline.Painter(Stylizer(small_model, engine), job).paint(photo) for photo in shard.photos()]
    painter = beam_pipeline.Painter(Stylizer(small_model, engine), job)
    for picture, expected in zip([painter.paint(photo) for photo in shard.photos()], one_by_one, strict=True):
        np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("output_format", ["tfrecord", "jpg"])
def test_two_workers_make_the_same_as_one(stylize, tmp_path, output_format):
    options = "--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_threading"
    one, two = tmp_path / "one", tmp_path / "two"
    num_shards = 3 if output_format == "tfrecord" else None
    made = stylize(one, output_format=output_format, num_shards=num_shards)
    expected = [one / f"train-0000{i}-of-00003" for i in range(3)] if num_shards else [one]
    assert made == StylizedDataset(expected, written=12, failed=0, skipped=0)
    made = stylize(two, output_format=output_format, num_shards=num_shards, beam_options=options)
    assert (made.written, made.failed, made.skipped) == (12, 0, 0)
    assert contents(one) == contents(two)


@pytest.mark.parametrize("output_format", ["tfrecord", "png"])
def test_failures_are_kept_when_a_run_goes_on(stylize, folder, tmp_path, output_format):
    for i in range(2):
        (folder / f"{i}" / "bad.jpg").write_text("no image")
    out = tmp_path / "out"
    arguments = {"output_format": output_format, "num_shards": 3 if output_format == "tfrecord" else None}
    made = stylize(out, **arguments)
    assert (made.written, made.failed) == (12, 2)
    assert made.paths[-1] == out / "failures.txt"
    before = contents(out)
    assert before["failures.txt"].decode().splitlines() == [
        f"{i}/bad.jpg\tcannot read {i}/bad.jpg: it is not a JPEG, PNG, WebP, AVIF, GIF, TIFF or BMP image"
        for i in range(2)
    ]
    lost = next(path for path in sorted(out.rglob("*[0-9g]")) if path.name[0] != "." and path.is_file())
    lost.unlink()
    (out / "failures.txt").unlink()
    again = stylize(out, **arguments)
    assert (again.paths, again.failed) == (made.paths, 2)
    assert again.skipped == (2 if output_format == "tfrecord" else 11)
    assert contents(out) == before


def test_pictures_of_different_making_do_not_mix(stylize, folder, tmp_path):
    out = tmp_path / "out"
    stylize(out, num_shards=3)
    before = contents(out)
    with pytest.raises(InputError, match="begun with other style and image_size; choose another output_dir") as error:
        stylize(out, num_shards=3, style=1, image_size=20)
    assert error.value.arguments == ("style", "image_size", "output_dir")
    with pytest.raises(InputError, match="begun with other content_files"):
        stylize(out, num_shards=3, content_files=folder / "0")
    assert contents(out) == before


@pytest.mark.parametrize("text", ["[]", "{", '{"an option\\n": 1}', "[" * 100_000, b"\xff"], ids=range(5))
def test_settings_that_are_not_ours_are_one_sentence(stylize, tmp_path, text):
    settings = tmp_path / "out" / ".settings.json"
    settings.parent.mkdir()
    settings.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*\.settings\.json: it is not a valid list of settings$"):
        stylize(tmp_path / "out")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["{", '"text"', '[["name"]]', '[["name", 1]]', "[[[], []]]"])
def test_failures_that_are_not_ours_are_one_sentence(tmp_path, text):
    noted = tmp_path / ".shard.failures"
    noted.write_text(text)
    with pytest.raises(InputError, match=r"it is not a valid list of failures$"):
        beam_pipeline._read_failures(noted)


def test_leftovers_of_killed_runs_go(stylize, tmp_path):
    out = tmp_path / "out"
    begins = "import os, sys\nfrom magstyle import files\nwith files.replacing(sys.argv[1]) as path:\n    path.touch()"
    subprocess.run([sys.executable, "-c", f"{begins}\n    os._exit(0)", out / "0" / "0.png"], check=True)
    (leftover,) = (out / "0").iterdir()
    stylize(out, output_format="png")
    assert (out / "0" / "0.png").exists() and not leftover.exists()


def test_a_picture_that_its_format_cannot_hold_is_a_failure(stylize, tmp_path):
    images.write_image(tmp_path / "long.png", np.zeros((1, 700, 3)))
    made = stylize(tmp_path / "out", content_files=tmp_path / "long.png", output_format="webp", image_size=24)
    assert (made.written, made.failed) == (0, 1)
    assert "longer than 16383 pixels" in (tmp_path / "out" / "failures.txt").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_unicode_come_through(stylize, folder, tmp_path):
    strange = os.fsdecode(b"caf\xe9")
    (folder / "0" / "0.png").rename(folder / "0" / f"{strange}.png")
    (folder / "0" / f"{strange}.jpg").write_text("no image")
    made = stylize(tmp_path / "out", num_shards=1)
    assert (made.written, made.failed) == (12, 1)
    assert os.fsencode(f"0/{strange}.jpg\tcannot read") in made.paths[-1].read_bytes()
    names = [features["image/filename"].bytes_list.value[0] for features in features_of(made.paths[0])]
    assert b"0/caf\xe9.png" in names


def test_records_are_those_of_imagenet(stylize, small_model, folder, tmp_path):
    made = stylize(tmp_path / "out", style=0)
    features = features_of(made.paths[0])[0]
    expected = {
        "image/filename": "0/0.png",
        "image/class/text": "0",
        "image/class/label": 1,
        "style/name": "scream",
        "image/format": "JPEG",
        "image/colorspace": "RGB",
        "image/height": 20,
        "image/width": 30,
        "image/channels": 3,
    }
    assert {key: features[key] for key in expected} == {key: shards.feature(value) for key, value in expected.items()}
    stylizer = Stylizer(small_model)
    photo = images.read_image(folder / "0" / "0.png")
    picture = tf.io.decode_jpeg(features["image/encoded"].bytes_list.value[0]).numpy() / 255
    assert np.abs(picture - stylizer.stylize(photo, stylizer.style_weights(0))).mean() < 0.02


def test_what_was_made_can_be_trained_on_and_stylised_again(stylize, tmp_path):
    made = stylize(tmp_path / "first", num_shards=2)
    assert len(list(photos.from_imagenet(tmp_path / "first").examples([0, 0]))) == 12
    again = stylize(tmp_path / "second", tfrecord_files=made.paths)
    assert [path.name for path in again.paths] == [path.name for path in made.paths]
    assert again.written == 12


def test_the_output_is_no_input(stylize, folder):
    first = stylize(folder / "out", output_format="png")
    assert stylize(folder / "out", output_format="png") == first._replace(written=0, skipped=12)
    for output_dir in (folder, folder.parent):
        with pytest.raises(InputError, match=f"output_dir={output_dir} is where the photos are; choose another"):
            stylize(output_dir, output_format="png")
    records = stylize(folder.parent / "records").paths
    with pytest.raises(InputError, match="is where the photos are"):
        stylize(folder.parent / "records", tfrecord_files=records)


def test_two_photos_of_one_picture_are_refused(stylize, folder, tmp_path):
    images.write_image(folder / "1" / "1.jpg", np.zeros((8, 8, 3)))
    with pytest.raises(InputError, match=r"1/1\.jpg and .*1/1\.png would both become the same picture; rename one"):
        stylize(tmp_path / "out", output_format="png")
    assert stylize(tmp_path / "out").written == 13


WRONG = {
    "output_format=gif must be one of tfrecord, png, jpg, webp": {"output_format": "gif"},
    "image_size=0 must be a whole number from 1 to 65500": {"image_size": 0},
    "num_shards=0 must be a whole number from 1": {"num_shards": 0},
    "num_shards is for TFRecord shards of content_files; leave it out": {"num_shards": 2, "output_format": "png"},
    "give the photos by one of content_files, tfrecord_files and tfds_name": {"content_files": None},
    "12 photos cannot fill 13 shards; choose a smaller num_shards": {"num_shards": 13},
    "the model has no style 3": {"style": 3},
    "no image at nowhere": {"content_files": "nowhere"},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_wrong_argument_is_one_sentence(stylize, tmp_path, sentence):
    with pytest.raises(InputError) as error:
        stylize(tmp_path / "out", **WRONG[sentence])
    assert str(error.value).startswith(sentence)
    assert contents(tmp_path / "out") == {}


OPTIONS = {
    "--direct_num_workers=x": "argument --direct_num_workers: invalid int value: 'x'",
    "--runner=Foo": "Unexpected pipeline runner: Foo",
    "--runner=no.Foo": "No module named 'no'",
    "--direct_num_wrkers=2": "Beam has no option direct_num_wrkers",
    "'": "No closing quotation",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_options_that_beam_does_not_have_are_refused(stylize, tmp_path, options):
    with pytest.raises(InputError) as error:
        stylize(tmp_path / "out", beam_options=options)
    assert f"beam_options={options}: {OPTIONS[options]}" in str(error.value)
    assert error.value.arguments == ("beam_options",)
    assert contents(tmp_path / "out") == {}


def test_no_other_runner_is_downloaded(stylize, tmp_path, monkeypatch):
    prism_runner = pytest.importorskip("apache_beam.runners.portability.prism_runner")
    started = []
    # Beam would go on without it after an error.
    monkeypatch.setattr(prism_runner.PrismRunner, "run_pipeline", lambda *_: started.append("Prism"))
    for options in ("", "--runner=DirectRunner --direct_running_mode=multi_threading"):
        stylize(tmp_path / "out", beam_options=options)
    assert started == []


def test_a_bar_shows_the_progress_and_beam_says_nothing(stylize, tmp_path, capfd):
    level = logging.getLogger("apache_beam").level
    stylize(tmp_path / "out", output_format="png")
    out, err = capfd.readouterr()
    assert out == ""
    assert all("picture/s" in line or "picture]" in line for line in err.replace("\r", "\n").splitlines() if line)
    assert "12/12" in err
    assert logging.getLogger("apache_beam").level == level


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading"])
@pytest.mark.parametrize(
    ("raised", "expected"), [(KeyboardInterrupt(), KeyboardInterrupt), (SystemExit(143), SystemExit)]
)
def test_an_interrupted_run_ends_as_it_was_told_to(stylize, tmp_path, monkeypatch, raised, expected, mode):
    def interrupt(*_):
        raise raised

    monkeypatch.setattr(beam_pipeline.Painter, "paint", interrupt)
    with pytest.raises(expected) as ended:
        stylize(tmp_path / "out", beam_options=f"--direct_running_mode={mode}")
    assert expected is KeyboardInterrupt or ended.value.code == 143


def test_ctrl_c_in_code_of_beam_is_not_taken_for_an_error(stylize, tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    # Beam calls it, and hands on what it raises as text.
    monkeypatch.setattr(beam_pipeline.Painter, "setup", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        stylize(tmp_path / "out")
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading"])
def test_an_error_of_a_worker_is_raised_as_it_was(stylize, tmp_path, monkeypatch, mode):
    sentence = "cannot write caf\udce9/train [while running 'x']:\nno space left on device"

    def refuse(*_):
        raise InputError(sentence, "output_dir")

    monkeypatch.setattr(beam_pipeline._ToRecords, "_write", refuse)
    with pytest.raises(InputError) as error:
        stylize(tmp_path / "out", beam_options=f"--direct_running_mode={mode}")
    assert (str(error.value), error.value.arguments) == (sentence, ("output_dir",))


def test_without_beam_a_sentence_says_how_to_get_it(folder, tmp_path):
    program = f"""
import sys
sys.modules["apache_beam"] = None
from magstyle.datasets import dataset_files
assert not {{"tensorflow", "keras"}} & sys.modules.keys()
try:
    dataset_files.stylize_dataset({str(tmp_path / "out")!r}, content_files={str(folder)!r})
except dataset_files.InputError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout == "Apache Beam is missing; pip install apache-beam brings it\n"
    assert not pathlib.Path(tmp_path, "out").exists()
