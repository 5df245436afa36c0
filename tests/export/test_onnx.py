"""ONNX files, as ONNX Runtime paints with them."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from magstyle import Stylizer, convert_onnx
from magstyle.checkpoints import model_files, networks
from magstyle.errors import InputError
from magstyle.export import onnx_network
from magstyle.litert import predictor as litert_predictor
from tests.places import ENV, ROOT
from tests.samples import picture

MIXTURE = np.array([0.5, 0.75, -0.25], np.float32)
# All are ONNX's own, and known to ONNX Runtime 1.0, Windows 11 and Unity Sentis.
OPERATORS = {
    *("Add", "Conv", "DepthToSpace", "InstanceNormalization", "MatMul", "Mul", "Pad", "Relu", "Reshape", "Shape"),
    *("Sigmoid", "Slice", "Transpose"),
}


def image(height, width, seed=0):
    return np.asarray(picture(seed, (width, height)), np.float32) / 255


def session(content):
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def run(content, images, weights):
    (found,) = session(content).run(None, {"input_image": np.array(images), "style_weights": np.array(weights)})
    return found


def expected(model, images, weights):
    """The pictures of the model in Keras, whose sides are rounded up to multiples of 4, cropped to the images' size."""
    images = np.array(images)
    height, width = images.shape[1:3]
    return np.asarray(model.predict_on_batch([images, np.array(weights)]))[:, :height, :width]


@pytest.fixture(scope="module")
def content(small_model):
    return onnx_network.build(networks.from_model(small_model))


@pytest.mark.parametrize(("height", "width"), [(5, 5), (24, 36), (33, 47), (6, 61), (130, 67)])
def test_onnx_runtime_paints_the_same_at_any_size(content, small_model, height, width):
    photo = image(height, width)
    found = run(content, [photo], [MIXTURE])
    assert found.shape == (1, height, width, 3)
    np.testing.assert_allclose(found, expected(small_model, [photo], [MIXTURE]), atol=1e-4)


def test_each_image_of_a_batch_has_its_own_mixture(content, small_model):
    photos, weights = [image(26, 31, k) for k in range(2)], np.array([MIXTURE, [0, 1, 0]], np.float32)
    found = run(content, photos, weights)
    np.testing.assert_allclose(found, expected(small_model, photos, weights), atol=1e-4)
    np.testing.assert_allclose(found[1:], run(content, photos[1:], weights[1:]), atol=1e-5)


def test_all_bundled_styles_paint_the_same():
    model = model_files.load_model("painters")
    content = onnx_network.build(model_files.read_network("painters"))
    photos, weights = [image(30, 41)] * model.num_styles, np.eye(model.num_styles, dtype=np.float32)
    np.testing.assert_allclose(run(content, photos, weights), expected(model, photos, weights), atol=1e-4)


@pytest.mark.parametrize("shape", [{"residual_blocks": 0}, {"kernel_size": 5, "residual_blocks": 1}])
def test_networks_of_other_shapes_paint_the_same(shape):
    network = networks.random(0)
    network = networks.Network(type(network.architecture)(num_styles=4, alpha=0.25, **shape), network.style_names, {})
    rng = np.random.default_rng(0)
    for scope, shapes in network.architecture.shapes.items():
        network.parameters[scope] = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    weights = np.eye(4, dtype=np.float32)[:1]
    found = run(onnx_network.build(network), [image(21, 18)], weights)
    np.testing.assert_allclose(found, expected(networks.to_model(network), [image(21, 18)], weights), atol=1e-4)


def test_inputs_and_output_have_the_names_of_every_other_export_and_open_sides(content):
    graph = session(content)
    shapes = {entry.name: entry.shape for entry in [*graph.get_inputs(), *graph.get_outputs()]}
    sides = ["batch", "height", "width", 3]
    assert shapes == {"input_image": sides, "style_weights": ["batch", 3], "stylized_image": sides}
    assert {entry.type for entry in [*graph.get_inputs(), *graph.get_outputs()]} == {"tensor(float)"}


def test_convolutions_after_up_sampling_compute_blocks_of_pixels(content):
    shapes = {constant.name: list(constant.dims) for constant in onnx.load_from_string(content).graph.initializer}
    kernels = [shapes[f"expand/conv{row}/conv/kernel"] for row in (1, 2, 3)]
    assert kernels == [[24, 8, 2, 2], [16, 6, 2, 2], [12, 4, 10, 10]]


@pytest.mark.parametrize("opset", [11, 13, 18, 22])
def test_old_and_new_operators_paint_the_same(content, small_model, opset):
    of_version = onnx_network.build(networks.from_model(small_model), opset=opset)
    model = onnx.load_from_string(of_version)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert {node.op_type for node in model.graph.node} == OPERATORS
    photos, weights = [image(18, 27)], [MIXTURE]
    np.testing.assert_allclose(run(of_version, photos, weights), run(content, photos, weights), atol=1e-6)


def test_a_file_is_for_runtimes_of_2019_by_default(content):
    model = onnx.load_from_string(content)
    assert (model.ir_version, model.opset_import[0].version) == (6, 11)  # Those of ONNX 1.6.


def test_weights_of_16_bits_halve_the_file_and_paint_nearly_the_same(small_model):
    network = networks.random(0)
    contents = [onnx_network.build(network, precision) for precision in ("float32", "float16")]
    assert len(contents[1]) < 0.55 * len(contents[0])
    small = onnx_network.build(networks.from_model(small_model), "float16")
    found, wanted = run(small, [image(33, 47)], [MIXTURE]), expected(small_model, [image(33, 47)], [MIXTURE])
    assert -10 * np.log10(np.mean(np.square(found - wanted))) > 50


def test_weights_that_16_bits_cannot_hold_are_refused():
    network = networks.random(0)
    network.parameters["contract/conv2"]["kernel"][0, 0, 0, 0] = 1e5
    sentence = "^precision=float16 cannot hold the weights of contract/conv2/kernel, as they are too large$"
    with pytest.raises(InputError, match=sentence) as error:
        onnx_network.build(network, "float16")
    assert error.value.arguments == ("precision",)


def test_the_names_of_the_styles_and_the_licence_are_in_the_file(content, small_model):
    metadata = session(content).get_modelmeta()
    assert metadata.producer_name == "magstyle"
    assert metadata.custom_metadata_map["style_names"].split("\n") == list(small_model.style_names)
    assert "Apache License" in metadata.custom_metadata_map["model_license"]


def test_the_same_model_gives_the_same_file(content, small_model):
    assert onnx_network.build(networks.from_model(small_model)) == content


# convert_onnx


def test_a_model_becomes_a_file(content, small_model, tmp_path):
    path = convert_onnx(small_model, tmp_path / "new" / "small.onnx")
    assert path == tmp_path / "new" / "small.onnx"
    assert path.read_bytes() == content
    assert convert_onnx(small_model, tmp_path, precision="float16", opset=12) == tmp_path / "model.onnx"
    found = onnx.load(tmp_path / "model.onnx")
    assert found.opset_import[0].version == 12
    assert onnx.TensorProto.FLOAT16 in {constant.data_type for constant in found.graph.initializer}


@pytest.mark.parametrize(
    ("arguments", "sentence", "names"),
    [
        ({"opset": 9}, "^opset=9 must be a whole number from 11 to 22$", ("opset",)),
        ({"precision": "int8"}, "^precision=int8 must be one of float32, float16$", ("precision",)),
    ],
)
def test_bad_arguments_are_one_sentence_and_leave_nothing(small_model, tmp_path, arguments, sentence, names):
    with pytest.raises(InputError, match=sentence) as error:
        convert_onnx(small_model, tmp_path / "new" / "model.onnx", **arguments)
    assert error.value.arguments == names
    assert not list(tmp_path.iterdir())


def test_a_file_is_never_overwritten(small_model, tmp_path):
    (tmp_path / "model.onnx").write_text("precious")
    with pytest.raises(InputError, match=r"model.onnx exists already; .* another output_model"):
        convert_onnx(small_model, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "precious"


def without(*modules):
    """The start of a program for Python in which these modules cannot be imported."""
    return f"import sys; sys.modules.update(dict.fromkeys({modules}))\nimport magstyle\n"


def python(code, folder):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env={**ENV, "PYTHONPATH": str(ROOT)}, cwd=folder)


def test_conversion_takes_neither_tensorflow_nor_any_runtime(tmp_path):
    light = without("tensorflow", "keras", "ai_edge_litert", "onnxruntime", "scipy")
    result = python(f"{light}print(magstyle.convert_onnx('painters', 'a.onnx'))", tmp_path)
    assert result.stdout == "a.onnx\n", result.stderr
    onnx.checker.check_model(tmp_path / "a.onnx", full_check=True)


def test_without_the_package_onnx_one_sentence_says_so_before_any_work(tmp_path):
    code = "try: magstyle.convert_onnx('nowhere', 'new/a.onnx')\nexcept magstyle.InputError as error: print(error)"
    result = python(without("onnx") + code, tmp_path)
    assert result.stdout == "ONNX is missing; pip install onnx brings it\n", result.stderr
    assert not list(tmp_path.iterdir())


# The page


@pytest.fixture(scope="module")
def onnxruntime_web(tmp_path_factory):
    """The folder of ONNX Runtime for browsers, as npm unpacks it."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("npm")
    if not (npm and shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs npm and chromium: apt-get install npm chromium chromium-driver")
    command = [npm, "pack", "onnxruntime-web@1.30.0", f"--pack-destination={folder}", "--fetch-retries=0"]
    if subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode:
        pytest.skip("needs npm and a connection")
    (archive,) = folder.iterdir()
    shutil.unpack_archive(archive, folder)
    return folder / "package" / "dist"


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def site(tmp_path):
    """A folder, and the address that serves it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


PIXELS = """
    const { width, height } = document.querySelector("#picture");
    const context = document.querySelector("#picture").getContext("2d");
    return [width, height, ...context.getImageData(0, 0, width, height).data];
"""


def test_the_page_of_the_docs_paints_the_same_in_chromium(onnxruntime_web, content, small_model, site, browser):
    folder, address = site
    text = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
    [page] = re.findall(r"^```html\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (folder / "index.html").write_text(page)
    (folder / "painters.onnx").write_bytes(content)
    for name in re.findall(r"`(ort[\w.-]+\.(?:mjs|wasm))`", text.partition("```html")[0]):
        shutil.copy(onnxruntime_web / name, folder)
    picture(0, (31, 22)).save(folder / "photo.jpg", format="PNG")  # So that Chromium decodes the same numbers.
    browser.get(address)
    wanted = 255 * expected(small_model, [image(22, 31)], np.eye(3, dtype=np.float32)[2:])[0]
    end = time.monotonic() + 60
    while True:
        width, height, *pixels = browser.execute_script(PIXELS)
        found = np.reshape(pixels, (height, width, 4))[..., :3]
        if found.shape == wanted.shape and np.abs(found - wanted).max() < 1:
            break
        assert time.monotonic() < end, browser.get_log("browser")
        time.sleep(0.05)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_model_for_any_painting_becomes_two_files(anything, tmp_path, precision):
    path = convert_onnx(anything, tmp_path / "any.onnx", precision=precision)
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "any_predictor.onnx"]
    painting, photo = image(270, 300, seed=3), image(24, 36)
    weights = predictions(tmp_path / "any_predictor.onnx", painting[None])[0]
    network = Stylizer(anything).network
    # The predictor alone: `style_weights` scales a painting to a shorter side of 256 pixels first.
    expected_weights = litert_weights(network.predictor, painting)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-3 if precision == "float32" else 0.05)
    found = run((tmp_path / "any.onnx").read_bytes(), [photo], [expected_weights])
    tolerance = 5e-4 if precision == "float32" else 0.05
    np.testing.assert_allclose(found, expected(networks.to_model(network), [photo], [expected_weights]), atol=tolerance)


def predictions(path, paintings):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"painting": paintings})[0]


def litert_weights(predictor, painting):
    content = litert_predictor.build(predictor.architecture, predictor.parameters, *painting.shape[:2])
    return Interpreter(model_content=content).get_signature_runner()(painting=painting[None])["style_weights"]
