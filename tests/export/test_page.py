"""The page as Python builds it, offline; in the browser, it is tested with the program."""

import io
import json
import struct
import tarfile

import pytest
from PIL import Image

from magstyle.errors import InputError
from magstyle.export import page, tflite


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Stand-ins for what npm has of LiteRT.js."""
    names = {"core": ["dist/index.js", *(f"wasm/{name}" for name in page._RUNTIMES)], "wasm-utils": ["dist/index.js"]}
    for package, members in names.items():
        with tarfile.open(tmp_path / f"{package}.tgz", "w:gz") as archive:
            for name in members:
                content = b'import {} from "@litertjs/wasm-utils";\n//# sourceMappingURL=index.js.map'
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(page, "_download", lambda name: (tmp_path / f"{name}.tgz").read_bytes())


def read_site(folder):
    return json.loads((folder / "site.js").read_text().removeprefix("self.SITE = ").removesuffix(";\n"))


def test_a_page_holds_the_network_the_sizes_and_the_example(packages, small_model, tmp_path):
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
def test_the_network_of_a_page_is_that_of_any_shape_once_its_numbers_are_set(packages, small_model, tmp_path, shape):
    page.build_page(small_model, tmp_path / "site", image_size=16, preview_size=16)
    network = read_site(tmp_path / "site")["network"]
    content = bytearray((tmp_path / "site" / network["file"]).read_bytes())
    for places, side in zip((network["height"], network["width"]), shape, strict=True):
        for position, factor, summand in places:
            content[4 * position : 4 * position + 4] = struct.pack("<i", factor * side // 4 + summand)
    assert bytes(content) == tflite.convert(small_model, shape)


def test_a_folder_of_something_else_is_left_alone(packages, small_model, tmp_path):
    with pytest.raises(InputError, match=r"something other than a page .*; output_dir must be a new") as error:
        page.build_page(small_model, tmp_path)
    assert error.value.arguments == ("output_dir",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["core.tgz", "wasm-utils.tgz"]
