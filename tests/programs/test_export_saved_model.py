import subprocess
import sys

import numpy as np
import pytest

from magstyle.data import images
from magstyle.painting.stylizer import Stylizer
from tests.places import ENV
from tests.processes import start


@pytest.fixture(scope="module")
def served(tmp_path_factory, small_checkpoint):
    """The folder of versions, with what the program printed."""
    folder = tmp_path_factory.mktemp("served") / "new" / "small"
    process = start("export_saved_model", f"--checkpoint={small_checkpoint}", f"--output_dir={folder}")
    assert (process.wait(), process.stdout) == (0, f"{folder}/1\n"), process.stderr
    assert process.stderr == ""
    return folder


# As on a server: TensorFlow alone, in a folder where nothing of this project is to be found.
SERVER = """
import sys
import numpy as np
import tensorflow as tf

folder, photo, arrays = sys.argv[1:]
model = tf.saved_model.load(folder)
found = dict(np.load(arrays))
for name in ("one", "two"):
    stylize = model.signatures["serving_default"]
    inputs = {key: tf.constant(found[f"{name}/{key}"]) for key in ("input_image", "style_weights")}
    found[f"{name}/stylized_image"] = stylize(**inputs)["stylized_image"].numpy()
np.savez(arrays, **found)
encoded = model.signatures["stylize_encoded"](
    image_bytes=tf.constant(open(photo, "rb").read()),
    style_names=tf.constant(["wave", "scream"]),
    weights=tf.constant([0.75, 0.5]),
)["stylized_image_bytes"].numpy()
open(photo + ".png", "wb").write(encoded)
try:
    model.signatures["stylize_encoded"](
        image_bytes=tf.constant(open(photo, "rb").read()), style_names=tf.constant(["wavy"]), weights=tf.constant([1.0])
    )
except tf.errors.InvalidArgumentError as error:
    print(error.message)
assert "magstyle" not in sys.modules
"""


def test_tensorflow_alone_paints_the_same(served, small_model, tmp_path):
    stylizer, rng = Stylizer(small_model), np.random.default_rng(0)
    # A batch of multiples of 4, and one photo of an odd size.
    batch, odd = rng.random((2, 16, 24, 3), np.float32), rng.random((1, 21, 30, 3), np.float32)
    weights = np.array([[1, 0, 0], [0.2, -0.3, 1.1]], np.float32)
    arrays = tmp_path / "arrays.npz"
    np.savez(
        arrays,
        **{"one/input_image": batch, "one/style_weights": weights},
        **{"two/input_image": odd, "two/style_weights": weights[1:]},
    )
    photo = tmp_path / "photo.png"
    images.write_image(photo, odd[0])
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    command = [sys.executable, script, served / "1", photo, arrays]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=ENV, check=False)
    assert result.returncode == 0, result.stderr

    found = np.load(arrays)
    expected = [stylizer.stylize(*pair) for pair in zip(batch, weights, strict=True)]
    np.testing.assert_allclose(found["one/stylized_image"], expected, atol=1e-5)
    expected = stylizer.stylize(odd[0], weights[1])
    np.testing.assert_allclose(found["two/stylized_image"][0], expected, atol=1e-5)
    # The bytes of a photo in, those of a PNG out.
    mixture = stylizer.style_weights({"wave": 0.75, "scream": 0.5})
    expected = stylizer.stylize(images.read_image(photo), mixture)
    with open(f"{photo}.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    np.testing.assert_allclose(images.read_image(f"{photo}.png"), expected, atol=0.51 / 255)
    # A style that is not there.
    assert "unknown style" in result.stdout
    for name in ("wavy", *small_model.style_names):
        assert name in result.stdout


def test_the_names_of_the_styles_and_the_licence_are_assets(served, small_model):
    assets = served / "1" / "assets"
    assert (assets / "style_names.txt").read_text().splitlines() == list(small_model.style_names)
    assert "Apache License, Version 2.0" in (assets / "LICENSE.txt").read_text()


def test_versions_count_up_and_nothing_is_overwritten(run, served, small_checkpoint):
    before = {path: path.stat().st_mtime_ns for path in served.rglob("*") if path.is_file()}
    result = run("export_saved_model", f"--checkpoint={small_checkpoint}", f"--output_dir={served}")
    assert result.stdout == f"{served}/2\n", result.stderr
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_bad_input_is_one_sentence_and_leaves_nothing(refused, small_checkpoint, tmp_path):
    assert "there is no checkpoint at nowhere" in refused(
        "export_saved_model", "--checkpoint=nowhere", f"--output_dir={tmp_path}/out"
    )
    (tmp_path / "file").write_text("text")
    assert f"cannot make the folder {tmp_path}/file" in refused(
        "export_saved_model", f"--checkpoint={small_checkpoint}", f"--output_dir={tmp_path}/file"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
