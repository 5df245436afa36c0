import io
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from magstyle import checkpoints
from magstyle.data import images, photos
from magstyle.errors import InputError
from magstyle.export import litert, litert_metadata
from magstyle.models.transformer import StyleTransformer

# What XNNPACK takes, LiteRT's GPU delegates too.
OPERATIONS = {
    *("ADD", "CONCATENATION", "CONV_2D", "DEPTH_TO_SPACE", "LOGISTIC", "MAXIMUM", "MEAN", "MUL", "RESHAPE", "RSQRT"),
    *("SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB"),
}
MIXTURE = np.array([0.5, 0.75, -0.25], np.float32)


def photo(height, width, seed=0):
    """Coloured blotches."""
    rng = np.random.default_rng(seed)
    return np.repeat(np.repeat(rng.random((height // 4, width // 4, 3), np.float32), 4, axis=0), 4, axis=1)


@pytest.fixture(scope="module")
def contents(small_model):
    """A file of every precision, for 32 x 40 pixels."""
    return {
        precision: litert.convert(small_model, (32, 40), precision, images=[photo(32, 40, k) for k in range(3)])
        for precision in litert.PRECISIONS
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
    image = photo(32, 40)
    found = run(contents["float32"], image, style_weights=MIXTURE)
    np.testing.assert_allclose(found, expected(small_model, image, MIXTURE), atol=1e-4)


def test_fewer_bits_paint_nearly_the_same(contents, small_model):
    image = photo(32, 40)
    for precision, least in (("float16", 50), ("dynamic_int8", 30), ("int8", 25)):
        found = run(contents[precision], image, style_weights=MIXTURE)
        assert psnr(found, expected(small_model, image, MIXTURE)) > least, precision


def test_comparing_tells_the_largest_difference_of_all_images_and_styles(contents, small_model):
    photos = [photo(32, 40, k) for k in range(2)]
    difference, ratio = litert.compare(contents["float16"], small_model, photos)
    pairs = [(photos[k % 2], np.eye(3, dtype=np.float32)[k]) for k in range(3)]
    differences = [run(contents["float16"], x, style_weights=w) - expected(small_model, x, w) for x, w in pairs]
    assert difference == pytest.approx(np.abs(differences).max())
    assert ratio == pytest.approx(psnr(np.array(differences), 0))


@pytest.mark.parametrize("precision", litert.PRECISIONS)
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


@pytest.mark.parametrize("precision", litert.PRECISIONS)
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
    content = litert.convert(small_model, 0, precision, images=[photo(32, 32)])
    for image in (photo(8, 8), photo(24, 16), photo(16, 36)):
        found = run(content, image, style_weights=MIXTURE)
        assert psnr(found, expected(small_model, image, MIXTURE)) > {"float32": 80, "int8": 20}[precision]


def test_a_baked_style_needs_no_weights(small_model):
    content = litert.convert(small_model, 16, style=MIXTURE)
    np.testing.assert_allclose(run(content, photo(16, 16)), expected(small_model, photo(16, 16), MIXTURE), atol=1e-4)
    content = litert.convert(small_model, 16, style=np.array([0, 1, 0]))
    assert litert_metadata.style_names(content) == ["wave"]


def test_the_names_of_the_styles_are_in_the_file(contents, small_model):
    for content in contents.values():
        assert litert_metadata.style_names(content) == list(small_model.style_names)
        # For those without this package: a text file in a zip archive, and the identifier of LiteRT's metadata.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.read("style_names.txt") == b"scream\nwave\nstarry_night\n"
        assert b"TFLITE_METADATA" in content and b"M001" in content


def test_the_same_model_gives_the_same_file(contents, small_model):
    assert litert.convert(small_model, (32, 40), "float16") == contents["float16"]


def test_sizes_are_rounded_to_multiples_of_4(small_model):
    assert [litert.rounded(side) for side in (0, 1, 8, 9, 384, 385)] == [0, 8, 8, 12, 384, 388]
    details = Interpreter(model_content=litert.convert(small_model, 15)).get_input_details()
    assert {entry["name"]: entry["shape"].tolist() for entry in details}["input_image"] == [1, 16, 16, 3]


def test_the_published_network_of_32_styles_is_small():
    model = StyleTransformer(32)
    for precision, most in (("float32", 7.5e6), ("float16", 3.8e6), ("dynamic_int8", 2.2e6), ("int8", 2.2e6)):
        content = litert.convert(model, 16, precision, images=[photo(16, 16)])
        assert len(content) <= most, precision
        run(content, photo(16, 16), style_weights=np.eye(32, dtype=np.float32)[0])


def test_the_android_network_paints_photos_the_same(shared):
    model = checkpoints.load_model(shared("models/stylize_quantized.pb"))
    some_images = [
        images.read_image(path, 128)[:128, :128] for path in photos.find([shared("photos"), "examples/coffee.jpg"])
    ]
    difference, _ = litert.compare(litert.convert(model, 128), model, some_images)
    assert difference <= 2e-3
    _, ratio = litert.compare(litert.convert(model, 128, "int8", images=some_images), model, some_images)
    assert ratio >= 30


def test_bad_arguments_are_one_sentence(small_model):
    with pytest.raises(InputError, match=r"no precision int4; it is one of float32, float16, dynamic_int8, int8"):
        litert.convert(small_model, precision="int4")
    with pytest.raises(InputError, match="int8 needs representative images"):
        litert.convert(small_model, precision="int8")
