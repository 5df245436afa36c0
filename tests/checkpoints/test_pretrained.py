"""The bundled model, as bin/evaluate.py sees it."""

import zipfile

import h5py
import numpy as np

from magstyle import losses
from magstyle.checkpoints import model_files
from magstyle.data import images
from magstyle.evaluation import appearance
from magstyle.painting.stylizer import Stylizer
from tests.places import ROOT

PAINTERS = ROOT / "magstyle" / "pretrained" / "painters.keras"


def test_the_file_is_small_and_its_names_are_in_the_model_card():
    assert PAINTERS.stat().st_size < 4e6
    with zipfile.ZipFile(PAINTERS) as archive, h5py.File(archive.open("model.weights.h5")) as weights:
        dtypes = set()
        weights.visititems(lambda _, item: dtypes.add(getattr(item, "dtype", None)))
    assert dtypes == {None, np.dtype("float16")}
    card = PAINTERS.with_name("README.md").read_text(encoding="utf-8")
    names = model_files.load_model("painters").style_names
    assert len(set(names)) == len(names) >= 12
    for name in names:
        assert f"`{name}`" in card


def test_the_model_for_any_painting_is_small_and_has_a_card():
    path = PAINTERS.with_name("anything.keras")
    assert path.stat().st_size < 6e6
    assert path.with_suffix(".md").read_text(encoding="utf-8").startswith("# anything\n")


def test_the_live_model_is_small_and_paints_the_styles_of_painters_alike():
    path = PAINTERS.with_name("painters-live.keras")
    assert path.stat().st_size < 1e6
    assert path.with_suffix(".md").read_text(encoding="utf-8").startswith("# painters-live\n")
    photo = images.read_image(ROOT / "examples" / "coffee.jpg", 192)
    painters, live = Stylizer("painters"), Stylizer("painters-live")
    assert live.network.style_names == painters.network.style_names
    for name in live.network.style_names:
        picture, wanted = live.stylize(photo, name), painters.stylize(photo, name)
        near, far = (np.abs(image - wanted).mean() for image in (picture, photo))
        assert near < 0.6 * far, name
        assert losses.checkerboard_loss(picture[None])[0] < (2 / 255) ** 2, name


def test_a_picture_has_the_colours_of_a_painting_that_nobody_trained_with(shared):
    photo = images.read_image(shared("content_cc/001b5e6f1b89fd3b.jpg"), 256)
    stylizer = Stylizer("anything")
    for name in ("paintings/zorn-nude-girl-in-doorway.jpg", "style_corpus/gb17161-wilhelm-busch-12.jpg"):
        painting = images.read_image(shared(name))
        picture = stylizer.stylize(photo, painting)
        near, far = (appearance.distance(*map(appearance.palette, (image, painting))) for image in (picture, photo))
        assert near < 0.6 * far
        assert losses.checkerboard_loss(picture[None])[0] < (2 / 255) ** 2


def test_no_picture_has_a_checkerboard_or_a_mesh():
    photo = images.read_image(ROOT / "examples" / "coffee.jpg", 256)
    stylizer = Stylizer("painters")
    for name in stylizer.network.style_names:
        picture = stylizer.stylize(photo, stylizer.style_weights(name))
        # Its pattern is at most 1 of the 255 steps of a picture, which nobody sees.
        assert losses.checkerboard_loss(picture[None])[0] < (1 / 255) ** 2, name
        assert losses.mesh_loss(picture[None])[0] < 0.1, name


def test_it_keeps_the_photo_and_paints_the_painting(run, shared, tmp_path):
    vgg = f"--vgg_checkpoint={shared('weights/vgg_16_imagenet.h5')}"
    # Of the photos that were held out, two; and of the paintings, those with the most and the least left to learn.
    photos = [shared("content_cc/001b5e6f1b89fd3b.jpg"), shared("content_cc/8e89734ed940e222.jpg")]
    names = ["munch-the-scream", "seurat-la-seine-a-la-grande-jatte"]
    paintings = [f"--style_files={shared(f'styles/{name}.jpg')}" for name in names]
    dataset = tmp_path / "styles.tfrecord"
    result = run("create_style_dataset", *paintings, vgg, "--image_size=512", f"--output_file={dataset}")
    assert result.returncode == 0, result.stderr
    flags = [vgg, f"--style_dataset_file={dataset}", "--num_evals=1", "--batch_size=2", f"--eval_dir={tmp_path}"]
    result = run("evaluate", *flags, "--image_size=192", f"--content_files={photos[0]}", photos[1])
    assert result.returncode == 0, result.stderr
    header, *rows = [line.split() for line in result.stdout.splitlines()]
    table = {row[0]: dict(zip(header[1:], map(float, row[1:]), strict=True)) for row in rows}
    assert list(table) == [*sorted(names), "mean"]
    assert table["mean"]["relative_style_loss"] < 0.1
    assert table["mean"]["relative_content_loss"] < 1
    for name, row in table.items():
        assert row["relative_style_loss"] < 0.2, name
