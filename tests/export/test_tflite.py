import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from magstyle.checkpoints import model_files
from magstyle.data import images, photos
from magstyle.errors import InputError
from magstyle.export import example_photo, tflite, tflite_metadata
from magstyle.export.jobs import PRECISIONS
from magstyle.models.transformer import StyleTransformer
from magstyle.painting.stylizer import Stylizer
from tests.samples import blotches, picture

# What XNNPACK takes, LiteRT's GPU delegates too.
OPERATIONS = {
    *("ADD", "CONCATENATION", "CONV_2D", "DEPTH_TO_SPACE", "LOGISTIC", "MAXIMUM", "MEAN", "MUL", "RESHAPE", "RSQRT"),
    *("SPACE_TO_DEPTH", "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB"),
}
MIXTURE = np.array([0.5, 0.75, -0.25], np.float32)


@pytest.fixture(scope="module")
def contents(small_model):
    """A file of every precision, for 32 x 40 pixels."""
    return {
        precision: tflite.convert(small_model, (32, 40), precision, images=[blotches(32, 40, k) for k in range(3)])
        for precision in PRECISIONS
    }


def run(content, image, **inputs):
    interpreter = Interpreter(model_content=content, num_threads=2)
    details = interpreter.get_signature_runner().get_input_details()
    interpreter.resize_tensor_input(details["input_image"]["index"], [1, *image.shape])
    return interpreter.get_signature_runner()(input_image=image[None], **inputs)["stylized_image"][0]


def psnr(found, expected):
    return -10 * np.log10(np.mean(np.square(found - expected)))


def expected(model, image, weights):
    return np.asarray(model.predict_on_batch([image[None], weights[None]]))[0]


def test_the_interpreter_paints_the_same(contents, small_model):
    image = blotches(32, 40)
    found = run(contents["float32"], image, style_weights=MIXTURE)
    np.testing.assert_allclose(found, expected(small_model, image, MIXTURE), atol=1e-4)


def test_fewer_bits_paint_nearly_the_same(contents, small_model):
    image = blotches(32, 40)
    for precision, least in (("float16", 50), ("dynamic_int8", 30), ("int8", 25)):
        found = run(contents[precision], image, style_weights=MIXTURE)
        assert psnr(found, expected(small_model, image, MIXTURE)) > least, precision


def test_comparing_tells_the_largest_difference_of_all_images_and_styles(contents, small_model):
    photos = [blotches(32, 40, k) for k in range(2)]
    difference, ratio = tflite.compare(contents["float16"], small_model, photos)
    pairs = [(photos[k % 2], np.eye(3, dtype=np.float32)[k]) for k in range(3)]
    differences = [run(contents["float16"], x, style_weights=w) - expected(small_model, x, w) for x, w in pairs]
    assert difference == pytest.approx(np.abs(differences).max())
    assert ratio == pytest.approx(psnr(np.array(differences), 0))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_inputs_and_output_have_the_names_and_shapes_of_magenta(contents, precision):
    interpreter = Interpreter(model_content=contents[precision])
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["input_image", "style_weights"], "outputs": ["stylized_image"]}
    }
    assert [entry["name"] for entry in interpreter.get_input_details()] == ["input_image", "style_weights"]
    details = {entry["name"]: entry for entry in interpreter.get_input_details() + interpreter.get_output_details()}
    shapes = {name: entry["shape"].tolist() for name, entry in details.items()}
    assert shapes == {"input_image": [1, 32, 40, 3], "style_weights": [3], "stylized_image": [1, 32, 40, 3]}
    assert {entry["dtype"] for entry in details.values()} == {np.float32}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_xnnpack_takes_the_whole_graph_and_gpus_could(contents, precision):
    interpreter = Interpreter(model_content=contents[precision], num_threads=2)
    operations = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert operations - {"QUANTIZE", "DEQUANTIZE"} == OPERATIONS
    for tensor in interpreter.get_tensor_details():
        assert len(tensor["shape"]) <= 4 and -1 not in tensor["shape_signature"]
    interpreter.allocate_tensors()
    (delegate,) = [entry for entry in interpreter._get_ops_details() if entry["op_name"] == "DELEGATE"]
    computed = {index for entry in interpreter._get_ops_details() for index in entry["outputs"]}
    # Nothing that it takes is computed before it.
    assert {entry["index"] for entry in interpreter.get_input_details()} <= set(delegate["inputs"])
    assert delegate["outputs"] == [interpreter.get_output_details()[0]["index"]]
    if precision == "float32":
        assert not computed & set(delegate["inputs"])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_resizable_file_takes_any_size(small_model, precision):
    content = tflite.convert(small_model, 0, precision, images=[blotches(32, 32)])
    for image in (blotches(8, 8), blotches(24, 16), blotches(16, 36)):
        found = run(content, image, style_weights=MIXTURE)
        assert psnr(found, expected(small_model, image, MIXTURE)) > {"float32": 80, "int8": 20}[precision]


def test_a_baked_style_needs_no_weights(small_model):
    content = tflite.convert(small_model, 16, style=MIXTURE)
    np.testing.assert_allclose(
        run(content, blotches(16, 16)), expected(small_model, blotches(16, 16), MIXTURE), atol=1e-4
    )
    content = tflite.convert(small_model, 16, style=np.array([0, 1, 0]))
    assert tflite_metadata.style_names(content) == ["wave"]


def test_the_names_of_the_styles_are_in_the_file(contents, small_model):
    for content in contents.values():
        assert tflite_metadata.style_names(content) == list(small_model.style_names)
        # For those without this package: a text file in a zip archive, and the identifier of LiteRT's metadata.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.read("style_names.txt") == b"scream\nwave\nstarry_night\n"
        assert b"TFLITE_METADATA" in content and b"M001" in content


def test_the_same_model_gives_the_same_file(contents, small_model):
    assert tflite.convert(small_model, (32, 40), "float16") == contents["float16"]


def test_the_published_network_of_32_styles_is_small():
    model = StyleTransformer(32)
    for precision, most in (("float32", 7.5e6), ("float16", 3.8e6), ("dynamic_int8", 2.2e6), ("int8", 2.2e6)):
        content = tflite.convert(model, 16, precision, images=[blotches(16, 16)])
        assert len(content) <= most, precision
        run(content, blotches(16, 16), style_weights=np.eye(32, dtype=np.float32)[0])


def test_the_android_network_paints_photos_the_same(shared):
    model = model_files.load_model(shared("models/stylize_quantized.pb"))
    some_images = [
        images.read_image(path, 128)[:128, :128] for path in photos.find([shared("photos"), "examples/coffee.jpg"])
    ]
    difference, _ = tflite.compare(tflite.convert(model, 128), model, some_images)
    assert difference <= 2e-3
    _, ratio = tflite.compare(tflite.convert(model, 128, "int8", images=some_images), model, some_images)
    assert ratio >= 30


def test_a_network_without_residual_blocks_paints_the_same():
    model = StyleTransformer(1, alpha=0.1, residual_blocks=0)
    content = tflite.convert(model, 16)
    np.testing.assert_allclose(
        run(content, blotches(16, 16), style_weights=np.ones(1, np.float32)),
        expected(model, blotches(16, 16), np.ones(1, np.float32)),
        atol=1e-4,
    )


# convert_tflite


def test_a_file_appears_that_was_compared_with_its_model(small_model, tmp_path):
    output = tmp_path / "new" / "model.tflite"
    written = tflite.convert_tflite(small_model, output, image_size=62)
    assert (written.path, written.image_size, written.num_photos) == (output, 64, 1)
    # The middle square of the example.
    square = images.read_image(example_photo(), 64)
    left = (square.shape[1] - 64) // 2
    square = square[:, left : left + 64]
    assert output.read_bytes() == tflite.convert(small_model, 64)
    assert written[3:] == tflite.compare(output.read_bytes(), small_model, [square])
    assert [path.name for path in output.parent.iterdir()] == ["model.tflite"]


@pytest.fixture
def converted(monkeypatch):
    """What `convert` is called with, which takes seconds, and is not called."""
    calls = []
    monkeypatch.setattr(tflite, "convert", lambda model, *arguments: calls.append(arguments) or b"content")
    monkeypatch.setattr(tflite, "compare", lambda *_: (0.0, 100.0))
    return calls


@pytest.mark.parametrize("style", ["wave", 1, {"wave": 1.0}, [0, 1, 0], np.array([0, 1, 0])])
def test_a_style_is_a_number_a_name_a_mixture_or_weights(converted, small_model, tmp_path, style):
    tflite.convert_tflite(small_model, tmp_path / "model.tflite", style=style)
    [(_, _, weights, _)] = converted
    np.testing.assert_array_equal(weights, [0, 1, 0])


def test_representative_images_are_patterns_or_arrays_of_which_eight_middles_are_used(converted, small_model, tmp_path):
    for k in range(9):
        images.write_image(tmp_path / "photos" / f"{k}.png", blotches(16, 24, seed=k))
    arrays = [images.read_image(tmp_path / "photos" / f"{k}.png") for k in range(9)]
    given = [str(tmp_path / "photos"), [tmp_path / "photos" / "*.png"], arrays, np.array(arrays)]
    for k, representative in enumerate(given):
        written = tflite.convert_tflite(
            small_model, tmp_path / str(k), image_size=16, precision="int8", representative_images=representative
        )
        assert written.num_photos == 8
    for _, precision, _, squares in converted:
        assert precision == "int8"
        np.testing.assert_array_equal(squares, np.array(arrays)[:8, :, 4:20])


@pytest.mark.parametrize(("size", "scaled", "box"), [((8, 32), (22, 33), (7, 0)), ((32, 16), (32, 48), (0, 16))])
def test_photos_cover_a_file_that_is_not_square(converted, small_model, tmp_path, size, scaled, box):
    images.write_image(tmp_path / "photo.png", blotches(16, 24))
    written = tflite.convert_tflite(
        small_model, tmp_path / "a", image_size=size, precision="int8", representative_images=tmp_path / "photo.png"
    )
    assert written.image_size == size
    [(image_size, _, _, [sample])] = converted
    assert image_size == size
    covering = images.read_image(tmp_path / "photo.png", min(scaled))
    top, left = box
    np.testing.assert_array_equal(sample, covering[top : top + size[0], left : left + size[1]])


def test_a_file_for_any_size_is_compared_too(small_model, tmp_path):
    written = tflite.convert_tflite(small_model, tmp_path / "model.tflite", image_size=0)
    assert (written.image_size, written.largest_difference) == (0, pytest.approx(0, abs=2e-3))


def test_a_file_that_paints_other_pictures_does_not_appear(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "compare", lambda *_: (1.0, 19.9))
    with pytest.raises(InputError, match=r"different pictures than the model .*19.9 dB.*; try another prec") as error:
        tflite.convert_tflite(small_model, tmp_path / "model.tflite", image_size=16)
    assert error.value.arguments == ("precision",)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "sentence", "names"),
    [
        ({"precision": "int4"}, "precision=int4 must be one of float32, float16, dynamic_int8, int8", ["precision"]),
        ({"precision": "int8"}, "needs representative_images", ["precision", "representative_images"]),
        ({"image_size": -4}, "image_size=-4 must be", ["image_size"]),
        ({"image_size": (16, 0)}, r"image_size=\(16, 0\) must be", ["image_size"]),
        ({"image_size": (16, 16, 3)}, r"image_size=\(16, 16, 3\) must be", ["image_size"]),
        ({"style": "wavy"}, "no style 'wavy'; its styles are 0 to 2, or scream, wave, starry_night", []),
        ({"style": [1, 0]}, r"the model has 3 styles, so the weights must have the shape \[3\], not \[2\]", []),
        ({"representative_images": "/nowhere"}, "no image at /nowhere", []),
        ({"representative_images": []}, "representative_images must not be empty", ["representative_images"]),
        ({"representative_images": [np.zeros((8, 8))]}, r"not \[8, 8\]", ["representative_images"]),
        ({"representative_images": [np.full((8, 8, 3), np.nan)]}, "not from nan to nan", ["representative_images"]),
        ({"representative_images": [np.full((8, 8, 3), 9.0)]}, "not from 9 to 9", ["representative_images"]),
    ],
)
def test_bad_arguments_are_one_sentence_and_leave_nothing(small_model, tmp_path, arguments, sentence, names):
    with pytest.raises(InputError, match=sentence) as error:
        tflite.convert_tflite(small_model, tmp_path / "model.tflite", **{"image_size": 16, **arguments})
    assert list(error.value.arguments) == names
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["uint8", "Pillow"])
def test_photos_for_the_ranges_may_be_of_any_kind(small_model, tmp_path, kind):
    pixels = np.array(picture(0, (24, 20)))
    given = {"uint8": [pixels], "Pillow": Image.fromarray(pixels)}[kind]
    options = {"image_size": 16, "precision": "int8"}
    found = tflite.convert_tflite(small_model, tmp_path / "a.tflite", representative_images=given, **options)
    as_float = tflite.convert_tflite(
        small_model, tmp_path / "b.tflite", representative_images=[pixels / np.float32(255)], **options
    )
    assert found.path.read_bytes() == as_float.path.read_bytes()


def test_a_file_is_never_overwritten(small_model, tmp_path):
    (tmp_path / "model.tflite").write_text("precious")
    with pytest.raises(InputError, match=r"model.tflite exists already; .* another output_model"):
        tflite.convert_tflite(small_model, tmp_path / "model.tflite")
    assert (tmp_path / "model.tflite").read_text() == "precious"


def test_precisions_and_the_example_are_known_without_tensorflow():
    script = "import sys, magstyle.export as export; export.example_photo(); assert 'tensorflow' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_model_for_any_painting_becomes_two_files_or_one_of_a_painting(run, anything, tmp_path):
    painting, photo = tmp_path / "painting.png", np.asarray(picture(0, (32, 24)), np.float32) / 255
    picture(3, (256, 256)).save(painting)
    stylizer = Stylizer(anything)
    weights = stylizer.style_weights(str(painting))
    flags = [f"--checkpoint={anything}", "--image_size=32x24"]
    assert run("convert_tflite", *flags, f"--output_model={tmp_path}/any.tflite").returncode == 0
    of_predictor = Interpreter(str(tmp_path / "any_predictor.tflite")).get_signature_runner()
    pixels = np.asarray(Image.open(painting), np.float32)[None] / 255
    np.testing.assert_allclose(of_predictor(painting=pixels)["style_weights"], weights, rtol=1e-4)
    found = Interpreter(str(tmp_path / "any.tflite")).get_signature_runner()(
        input_image=photo[None], style_weights=weights
    )
    assert run("convert_tflite", *flags, f"--style={painting}", f"--output_model={tmp_path}/one.tflite").returncode == 0
    baked = Interpreter(str(tmp_path / "one.tflite")).get_signature_runner()(input_image=photo[None])
    np.testing.assert_allclose(baked["stylized_image"], found["stylized_image"], atol=1e-4)
    assert tflite_metadata.style_names((tmp_path / "one.tflite").read_bytes()) == ["painting"]
    assert not (tmp_path / "one_predictor.tflite").exists()
