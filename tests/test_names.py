"""Names that are no text: of styles in a foreign model, of files, and where the locale has but ASCII."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

import magstyle
from magstyle import names
from magstyle.data import styles
from magstyle.export import tflite_metadata
from tests.places import ENV, ROOT

FOREIGN = ["nu\0ll", "line\nbreak", "sur\ud800rogate\u2028"]
ESCAPED = (r"nu\x00ll", r"line\nbreak", r"sur\ud800rogate\u2028")
NO_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.fixture
def foreign(small_checkpoint, tmp_path):
    """A .keras file whose styles have names that no file of ours has."""
    path = tmp_path / "foreign.keras"
    with zipfile.ZipFile(small_checkpoint) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["style_names"] = FOREIGN
                content = json.dumps(config).encode()
            target.writestr(name, content)
    return path


def test_what_is_no_line_of_text_in_a_name_is_escaped_and_the_rest_is_as_it_was():
    assert tuple(map(names.printable, FOREIGN)) == ESCAPED
    for name in ("hokusai-the-great-wave", "L'eau, 50 %\xa0", "東 é \N{ZERO WIDTH JOINER}", r"a\nb"):
        assert names.printable(name) == name
    assert names.in_file_name("a/b\\c\0d\ud800é東?") == "a_b_c_d_é東?"
    assert names.to_bytes(f"{NO_UTF8} 東") == b"caf\xe9 " + "東".encode()


def test_a_model_whose_styles_have_such_names_paints_and_is_exported(foreign, tmp_path):
    model = magstyle.load_model(foreign)
    assert model.style_names == ESCAPED
    paths = magstyle.stylize_photos(
        ROOT / "examples" / "coffee.jpg",
        tmp_path / "out",
        checkpoint=model,
        which_styles="all",
        image_size=16,
        sheet=True,
    )
    ends = ["nu_x00ll", "line_nbreak", "sur_ud800rogate_u2028", "sheet"]
    assert [path.name for path in paths] == [f"coffee_{end}_16px.png" for end in ends]
    made = magstyle.convert_tflite(model, tmp_path / "foreign.tflite", image_size=16)
    assert tuple(tflite_metadata.style_names(made.path.read_bytes())) == ESCAPED
    made = magstyle.stylize_dataset(
        tmp_path / "set",
        checkpoint=model,
        content_files=ROOT / "examples" / "coffee.jpg",
        image_size=16,
        style=2,
        output_format="png",
    )
    assert (tmp_path / "set" / "styles.csv").read_text() == f"picture,style\ncoffee.png,{ESCAPED[2]}\n"


def test_a_painting_whose_name_is_no_utf8_becomes_a_style(tmp_path, vgg_file):
    shutil.copy(ROOT / "examples" / "coffee.jpg", tmp_path / f"{NO_UTF8}.jpg")
    made = magstyle.create_style_dataset(tmp_path, tmp_path / "a.tfrecord", vgg_checkpoint=vgg_file, image_size=16)
    [style] = styles.read(made)
    assert style.name == r"caf\udce9"


def test_a_folder_whose_name_is_no_utf8_is_refused_where_tensorflow_writes_or_reads(tmp_path, vgg_file, small_model):
    folder = tmp_path / NO_UTF8
    shutil.copytree(ROOT / "examples", folder)
    for work in (
        lambda: magstyle.create_style_dataset(folder, folder / "a.tfrecord", vgg_checkpoint=vgg_file, image_size=16),
        lambda: magstyle.train(folder / "a.tfrecord", tmp_path / "train"),
        lambda: magstyle.export_saved_model(small_model, folder),
        lambda: magstyle.stylize_dataset(folder / "set", checkpoint=small_model, content_files=folder, image_size=16),
    ):
        with pytest.raises(magstyle.InputError, match=r"^cannot use .*caf.*: TensorFlow takes only paths in UTF-8$"):
            work()


def test_programs_work_in_a_locale_of_ascii(foreign, tmp_path):
    folder = tmp_path / "東"
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "coffee.jpg", folder / "é.jpg")
    model = magstyle.StyleTransformer(2, alpha=0.1, style_names=["é", "wave"])
    model.save(folder / "model.keras")
    command = [sys.executable, "bin/stylize.py", folder / "é.jpg", f"--checkpoint={folder}/model.keras"]
    ascii_alone = {**ENV, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = subprocess.run(
        [*command, f"--output_dir={folder}", "--which_styles=all", "--image_size=16"],
        **{"capture_output": True, "env": ascii_alone, "cwd": ROOT},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().splitlines() == [f"{folder}/é___16px.png", f"{folder}/é_wave_16px.png"]
    listed = subprocess.run([*command, "--list_styles"], capture_output=True, env=ascii_alone, cwd=ROOT)
    assert listed.stdout == b"0 \\xe9\n1 wave\n"


def test_one_thing_is_singular():
    assert [names.counted(number, "style") for number in (0, 1, 2)] == ["0 styles", "1 style", "2 styles"]
    assert names.counted(2, "batch") == "2 batches"
