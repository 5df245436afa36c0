import os

import numpy as np
import pytest

from magstyle.data import images
from magstyle.export import tflite, tflite_metadata
from tests.places import ROOT

COFFEE = ROOT / "examples" / "coffee.jpg"


def test_a_checked_file_appears(run, small_checkpoint, small_model, tmp_path):
    output = tmp_path / "new" / "model.tflite"
    result = run("convert_tflite", f"--checkpoint={small_checkpoint}", f"--output_model={output}", "--image_size=62")
    assert (result.returncode, result.stdout) == (0, f"{output}\n"), result.stderr
    assert "--image_size=62 is rounded to 64" in result.stderr
    assert "compared with the model on 1 photo(s): largest difference" in result.stderr
    assert os.listdir(output.parent) == ["model.tflite"]
    content = output.read_bytes()
    assert tflite_metadata.style_names(content) == list(small_model.style_names)
    difference, _ = tflite.compare(content, small_model, [images.read_image(COFFEE, 64)[:, :64]])
    assert difference <= 2e-3


@pytest.mark.parametrize(
    ("flags", "precision", "style"),
    [
        (["--quantize"], "dynamic_int8", None),
        (["--precision=int8", f"--representative_images={COFFEE}"], "int8", None),
        (["--precision=float16", "--style=wave"], "float16", [0, 1, 0]),
        (["--style={'wave': 0.75, 2: 0.5}"], "float32", [0, 0.75, 0.5]),
    ],
)
def test_flags_choose_precision_and_style(run, small_checkpoint, small_model, tmp_path, flags, precision, style):
    output = tmp_path / "model.tflite"
    result = run(
        "convert_tflite", f"--checkpoint={small_checkpoint}", f"--output_model={output}", "--image_size=64", *flags
    )
    assert result.returncode == 0, result.stderr
    image = images.read_image(COFFEE, 64)
    left = (image.shape[1] - 64) // 2
    style = None if style is None else np.array(style, np.float32)
    expected = tflite.convert(small_model, 64, precision, style, [image[:, left : left + 64]])
    assert output.read_bytes() == expected


def test_a_file_need_not_be_square(run, small_checkpoint, small_model, tmp_path):
    output = tmp_path / "model.tflite"
    result = run("convert_tflite", f"--checkpoint={small_checkpoint}", f"--output_model={output}", "--image_size=78x40")
    assert result.returncode == 0, result.stderr
    assert "--image_size=78x40 is rounded to 80x40, multiples of 4" in result.stderr
    assert output.read_bytes() == tflite.convert(small_model, (40, 80))
    difference, _ = tflite.compare(output.read_bytes(), small_model, [images.read_image(COFFEE, 80)[:40, :80]])
    assert difference <= 2e-3


def test_any_size_into_a_folder(run, small_checkpoint, small_model, tmp_path):
    output = tmp_path / "small.tflite"  # As the checkpoint is called.
    result = run("convert_tflite", f"--checkpoint={small_checkpoint}", f"--output_model={tmp_path}", "--image_size=0")
    assert result.returncode == 0, result.stderr
    difference, _ = tflite.compare(output.read_bytes(), small_model, [images.read_image(COFFEE, 40)[:, :60]])
    assert difference <= 2e-3


def test_bad_input_is_one_sentence_and_leaves_nothing(refused, small_checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("precious")

    def refuse(*flags, output=tmp_path / "new.tflite"):
        return refused("convert_tflite", f"--checkpoint={small_checkpoint}", f"--output_model={output}", *flags)

    assert "--precision" in refuse("--precision=int4")
    for size in ("-4", "640x", "640x0", "0x640", "640*480", "6.5", ""):
        assert f"flag --image_size={size}: must be a side in pixels, or WIDTHxHEIGHT" in refuse(f"--image_size={size}")
    assert "num_styles=9" in refuse("--num_styles=9")
    assert "alpha=0.5" in refuse("--alpha=0.5")
    assert "no style 'wavy'; its styles are 0 to 2, or scream, wave, starry_night" in refuse("--style=wavy")
    assert "--style=[0] must be a style or a mixture" in refuse("--style=[0]")
    assert "needs --representative_images" in refuse("--precision=int8")
    empty = tmp_path / "empty"
    assert str(empty) in refuse("--precision=int8", f"--representative_images={empty}")
    assert "--quantize means --precision=dynamic_int8, not float16" in refuse("--quantize", "--precision=float16")
    assert "unexpected argument more" in refuse("more")
    assert "file exists already" in refuse(output=tmp_path / "file")
    (empty / "small.tflite").write_text("precious")
    assert "empty/small.tflite exists already" in refuse(output=empty)
    assert "cannot make the folder" in refuse(output=tmp_path / "file" / "new.tflite")
    assert sorted(os.listdir(tmp_path)) == ["empty", "file"]
    assert (tmp_path / "file").read_text() == "precious"
