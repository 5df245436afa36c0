"""Numbers that no argument can be, and homes that nobody has: from Python as by flags."""

import math
import re

import numpy as np
import pytest
from absl import flags

import magstyle
from magstyle import limits
from magstyle.programs import command_line
from tests.places import ROOT

NAN, INFINITY = math.nan, math.inf
BEYOND_64_BITS = 2**63


@pytest.mark.parametrize(
    ("function", "given", "arguments"),
    [
        *[("load_model", ["painters"], {"alpha": alpha}) for alpha in (NAN, INFINITY, -INFINITY, 0.0, True, "wide")],
        *[("load_model", ["painters"], {"num_styles": number}) for number in (BEYOND_64_BITS, 1.0, NAN)],
        *[("stylize_photos", ["nowhere.jpg"], {"image_size": side}) for side in (0, -1, 100000, 32.5)],
        *[("train", ["nowhere", "never"], {"alpha": alpha}) for alpha in (NAN, INFINITY, 1000.0)],
        *[("train", ["nowhere", "never"], {"batch_size": number}) for number in (0, 1000000000000)],
        *[("finetune", ["nowhere", "never"], {"seed": seed}) for seed in (-1, 4294967296, BEYOND_64_BITS)],
        *[("finetune", ["nowhere", "never"], {"learning_rate": rate}) for rate in (NAN, INFINITY, -1.0)],
        *[
            ("train", ["nowhere", "never"], {"save_interval_secs": NAN}),
            ("train", ["nowhere", "never"], {"decay_steps": BEYOND_64_BITS}),
        ],
        *[("evaluate", ["painters", "nowhere"], {"image_size": side}) for side in (12, 100000)],
        *[("create_style_dataset", ["nowhere", "never"], {"image_size": side}) for side in (12, 100000)],
        *[("stylize_dataset", ["never"], {name: -1}) for name in ("image_size", "seed", "num_shards")],
        *[("convert_tflite", ["painters", "never"], {"image_size": side}) for side in (-4, 100000, BEYOND_64_BITS)],
        *[("convert_onnx", ["painters", "never"], {"opset": version}) for version in (10, 23, 11.0, True)],
        *[("build_page", ["painters", "never"], {name: 100000}) for name in ("image_size", "preview_size")],
        *[
            ("neural_style", ["nowhere.jpg", "nowhere.jpg", "never.png"], argument)
            for argument in ({"style_weight": 0}, {"content_weight": NAN}, {"steps": 0}, {"octaves": 1.5}, {"seed": -1})
        ],
        *[
            ("reconstruct", ["nowhere.jpg", "never.png"], argument)
            for argument in ({"steps": 0}, {"learning_rate": NAN}, {"total_variation_weight": -1})
        ],
        *[
            ("deep_dream", ["nowhere.jpg", "never.png"], argument)
            for argument in ({"octave_scale": 1}, {"zoom": NAN}, {"tile_size": 15}, {"frames": 0})
        ],
        *[("read_image", [ROOT / "examples" / "coffee.jpg"], {"image_size": 0})],
    ],
)
def test_a_number_that_an_argument_cannot_be_is_refused_by_name(function, given, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [(argument, value)] = arguments.items()
    sentence = rf"^{argument}={re.escape(str(value))} must be a (whole )?number from \S+ to \S+$"
    with pytest.raises(magstyle.InputError, match=sentence) as caught:
        getattr(magstyle, function)(*given, **arguments)
    assert caught.value.arguments == (argument,)
    assert not list(tmp_path.iterdir())


def test_one_side_too_long_of_two_is_refused(tmp_path):
    with pytest.raises(magstyle.InputError, match=r"^image_size=100000 must be a whole number from 0 to 65500$"):
        magstyle.convert_tflite("painters", tmp_path / "never", image_size=(64, 100000))


def test_numbers_of_numpy_pass():
    limits.check_number("strength", np.float32(0.25), limits.Limits(0.0, 1.5))
    limits.check_number("strength", 1, limits.Limits(0.0, 1.5))
    limits.check_number("seed", np.int64(7), limits.Limits(0, 10))


@pytest.mark.parametrize(
    ("flag", "value"), [("--whole=9223372036854775808", 2**63), ("--real=inf", INFINITY), ("--real=nan", NAN)]
)
def test_flags_of_numbers_without_limits_of_their_own_are_finite_and_of_64_bits(flag, value):
    flags.DEFINE_integer("whole", 0, "")
    flags.DEFINE_float("real", 0, "")
    try:
        with pytest.raises(magstyle.InputError, match=rf"={value} must be a (whole )?number from "):
            command_line.parse(["program", flag])
    finally:
        for name in ("whole", "real"):
            delattr(flags.FLAGS, name)


PHOTO = ROOT / "examples" / "coffee.jpg"


@pytest.mark.parametrize(
    ("function", "given"),
    [
        ("stylize_photos", [ROOT / "examples"]),
        ("stylize_dataset", []),
        ("train", ["nowhere"]),
        *[(name, ["painters"]) for name in ("convert_tflite", "convert_onnx", "export_saved_model", "build_page")],
        ("neural_style", [PHOTO, PHOTO]),
        *[(name, [PHOTO]) for name in ("deep_dream", "figure", "reconstruct")],
    ],
)
def test_a_home_that_nobody_has_is_refused(function, given):
    options = {"stylize_dataset": {"content_files": ROOT / "examples"}, "reconstruct": {"end_point": "conv1_1"}}
    with pytest.raises(magstyle.InputError, match=r"^cannot find ~nosuchuser/x: that user has no home folder$"):
        getattr(magstyle, function)(*given, "~nosuchuser/x", **options.get(function, {}))


@pytest.mark.parametrize("function", ["convert_tflite", "build_page"])
def test_a_size_that_does_not_fit_into_memory_is_refused_before_work(function, tmp_path):
    with pytest.raises(
        magstyle.InputError, match=r"^a photo of 65000 x 65000 pixels takes about .*image_size=\d+ fits$"
    ):
        getattr(magstyle, function)("painters", tmp_path / "never", image_size=65000)
    assert not list(tmp_path.iterdir())
