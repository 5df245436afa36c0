"""Training a model for any painting, from Python and by the program."""

import keras
import numpy as np
import pytest

import magstyle
from magstyle.checkpoints import model_files
from magstyle.data import images, pipeline
from magstyle.data.photos import from_files
from magstyle.training import transfer
from tests.events import images_in
from tests.samples import picture
from tests.training import small


@pytest.fixture(scope="module")
def paintings(tmp_path_factory):
    """Three paintings, two of them of the same name."""
    folder = tmp_path_factory.mktemp("paintings")
    (folder / "more").mkdir()
    for seed, name in enumerate(("boat.png", "wave.jpg", "more/boat.png")):
        picture(seed, (80, 72)).save(folder / name)
    return folder


@pytest.fixture
def options(photos, vgg_file, small_checkpoint):
    """Of a training that takes seconds."""
    return {
        "content_files": photos,
        "vgg_checkpoint": vgg_file,
        "batch_size": 2,
        "image_size": 32,
        "mesh_weight": 0.0,
        "train_steps": 2,
        "initial_checkpoint": small_checkpoint,
        "num_styles": 6,
        "mixed_precision": False,
        "save_summaries_secs": 1e6,
    }


def test_a_folder_of_paintings_becomes_a_model_for_any_painting(paintings, options, photos, tmp_path, capfd):
    path = magstyle.train_predictor(paintings, tmp_path / "train", learning_rate=1e-2, **options)
    assert path == tmp_path / "train" / "model-000002.keras"
    assert capfd.readouterr().err.startswith("2 steps for 3 paintings, with batch_size=2, image_size=32 and")
    assert images_in(path.parent) == {(name, step) for name in ("photo", "style", "result") for step in (0, 1)}
    photo, painting = (magstyle.read_image(file) for file in (photos / "0.jpg", paintings / "boat.png"))
    assert magstyle.Stylizer(path.parent).stylize(photo, painting).shape == photo.shape
    model = magstyle.load_model(magstyle.add_styles(paintings / "*.*", tmp_path / "mine.keras", checkpoint=path.parent))
    assert model.style_names == ("boat", "wave")

    # Every part of it is trained.
    start = model_files.read_network(options["initial_checkpoint"])
    network = model_files.read_network(path, any_painting=True)
    assert all(np.any(network.kernels[scope] != kernel) for scope, kernel in start.kernels.items())
    assert all(np.any(network.predictor.parameters["conv1"][part] != value) for part, value in start_of(start).items())
    assert np.any(network.predictor.parameters["dense3"]["bias"] != 0)


def start_of(network):
    """The first convolution of a predictor at the start."""
    first = network.parameters["contract/conv1"]
    return {"kernel": first["kernel"], "gamma": first["gamma"].mean(axis=0), "beta": first["beta"].mean(axis=0)}


def test_a_stream_of_paintings_goes_on_where_it_was_stopped(paintings, photos):
    source, chosen = from_files([str(photos)]), pipeline.Paintings(sorted(map(str, paintings.rglob("*.*"))), 64)
    options = {"image_size": 32, "batch_size": 2, "num_styles": 3, "augment": True, "paintings": chosen}
    first, second, third = pipeline.batches(source, **options).take(3)
    (again,) = pipeline.batches(source, **options, position=second["position"][-1]).take(1)
    for name in ("image", "painting", "label", "position"):
        np.testing.assert_array_equal(again[name], third[name])
    assert first["painting"].shape == (2, 32, 32, 3) and np.any(first["painting"] != second["painting"])


def test_a_model_for_any_painting_goes_on_as_it_is(anything, paintings):
    before, crops = magstyle.Stylizer(anything).network, np.random.default_rng(0).random((3, 48, 48, 3), np.float32)
    model = transfer.for_any_painting(before, None, None, crops, seed=0)
    expected, painting = keras.saving.load_model(anything), magstyle.read_image(paintings / "wave.jpg")[None]
    assert np.any(model.predictor.parameters("conv1")["center"] != 0)
    np.testing.assert_allclose(model.predictor(painting), expected.predictor(painting), atol=1e-4)
    np.testing.assert_array_equal(model.network.get_weights()[0], expected.network.get_weights()[0])


def test_a_model_of_styles_gives_its_mean_and_half_of_each_difference_from_it(small_model):
    crops = np.random.default_rng(0).random((2, 48, 48, 3), np.float32)
    start = model_files.read_network(small_model)
    model = transfer.for_any_painting(start, 6, None, crops, seed=0)
    for scope, parts in start.parameters.items():
        found = model.network.parameters(scope)
        np.testing.assert_array_equal(found["kernel"], parts["kernel"])
        for part in ("gamma", "beta"):
            mean = parts[part].mean(axis=0)
            np.testing.assert_allclose(found[part][0], mean, rtol=1e-5)
            np.testing.assert_allclose(found[part][1:4], (parts[part] - mean) / 2, atol=1e-6)
            assert np.std(found[part][4:]) > 0
    np.testing.assert_array_equal(model.predictor.parameters("conv2")["kernel"], start.kernels["contract/conv2"])


def test_a_new_network_has_directions_that_differ():
    model = transfer.for_any_painting(None, 4, 0.1, np.random.default_rng(0).random((2, 48, 48, 3), np.float32), seed=0)
    for scope in model.network.scopes:
        gamma = np.asarray(model.network.parameters(scope)["gamma"])
        assert len(np.unique(gamma, axis=0)) == 4
        np.testing.assert_array_equal(gamma[0], 1.0)


def test_a_predictors_moments_are_standardised():
    crops = np.random.default_rng(0).random((16, 48, 48, 3), np.float32) ** np.arange(1, 17)[:, None, None, None]
    predictor = transfer.for_any_painting(None, 5, 0.1, crops, seed=0).predictor
    layers = [predictor.get_layer(f"conv{number}_moments").output for number in (1, 2, 3)]
    for values in keras.Model(predictor.input, layers)(crops):
        np.testing.assert_allclose(np.mean(values, axis=0), 0, atol=1e-3)
        assert np.all(np.std(values, axis=0) < 1.001) and np.all(np.std(values, axis=0) > 0.5)


def test_a_photo_as_it_is_has_a_style_loss_of_about_1_however_far_the_painting():
    training, batch = small.predictor_training(palette=1.0), small.batch_of_paintings()
    photos = batch["image"]
    near_and_far = np.stack([photos[0] * 0.98, 1 - photos[1] ** 4])
    of_photos = training.losses_of(photos, photos, near_and_far)
    distances = np.asarray(of_photos["style_loss/vgg_16/conv1"])
    assert distances[1] > 100 * distances[0]
    # Half of each divisor is its own distance, and half the mean of both.
    np.testing.assert_allclose(
        of_photos["weighted_style_loss/vgg_16/conv1"], distances / (distances + distances.mean())
    )
    for photo, painting in zip(photos, near_and_far, strict=True):
        alone = training.losses_of(photo[None], photo[None], painting[None])
        np.testing.assert_allclose([alone["total_style_loss"], alone["total_loss"]], [[1], [2]], rtol=1e-4)
    of_paintings = training.losses_of(near_and_far, photos, near_and_far)
    np.testing.assert_allclose([of_paintings["total_style_loss"], of_paintings["palette_loss"]], 0, atol=1e-5)


def test_a_step_trains_network_directions_and_predictor_alike():
    training = small.predictor_training(palette=0.1)
    before = small.weights_of(training)
    training.fit(small.batch_of_paintings(), verbose=0)
    names = [variable.path for variable in training.transformer.variables]
    for name, old, new in zip(names, before, small.weights_of(training), strict=True):
        # What moments are standardised by stays.
        assert np.any(old != new) == (name.split("/")[-1] not in ("center", "scale")), name


def test_crops_of_paintings_show_other_parts_sizes_and_colours():
    content = (256 * np.random.default_rng(0).random((1, 1, 3)) * np.ones((90, 120, 1))).astype(np.uint8)
    content[20:70, 30:90] = picture(1, (60, 50))
    encoded = images.encode(content / np.float32(255), ".png")
    crops = [images.painting_crop(encoded, "boat", 32, 64, np.random.default_rng(seed)) for seed in range(8)]
    assert all(crop.shape == (32, 32, 3) and crop.dtype == np.uint8 for crop in crops)
    assert len({crop.tobytes() for crop in crops}) == 8
    again = images.painting_crop(encoded, "boat", 32, 64, np.random.default_rng(3))
    np.testing.assert_array_equal(again, crops[3])


def test_a_painting_that_is_damaged_is_left_out(photos, tmp_path):
    (tmp_path / "boat.jpg").write_text("a boat")
    picture(1, (80, 72)).save(tmp_path / "wave.png")
    source = from_files([str(photos)])
    chosen = pipeline.Paintings([f"{tmp_path}/boat.jpg", f"{tmp_path}/wave.png"], 64)
    for batch in pipeline.batches(source, 32, 2, num_styles=2, paintings=chosen).take(4):
        np.testing.assert_array_equal(batch["label"], [1, 1])
    assert "boat.jpg" in source.skipped[f"{tmp_path}/boat.jpg"]


@pytest.mark.parametrize(
    ("changed", "sentence", "named"),
    [
        ({"num_styles": 3}, r"num_styles=3 must be more than the 3 styles of the model", ("num_styles",)),
        ({"num_styles": 1}, r"num_styles=1 must be", ("num_styles",)),
        ({"alpha": 2.0}, r"not alpha=2\.0", ("alpha",)),
        ({"style_weights": {"vgg_16/conv9": 1.0}}, "no end point 'vgg_16/conv9'", None),
    ],
)
def test_what_cannot_be_used_is_one_sentence(paintings, options, tmp_path, changed, sentence, named):
    with pytest.raises(magstyle.InputError, match=sentence) as caught:
        magstyle.train_predictor(paintings, tmp_path / "train", **{**options, **changed})
    assert named is None or caught.value.arguments == named
    assert not (tmp_path / "train").exists()


def test_a_text_file_is_no_painting(options, tmp_path):
    (tmp_path / "boat.jpg").write_text("a boat")
    with pytest.raises(magstyle.InputError, match=r"boat\.jpg"):
        magstyle.train_predictor(tmp_path / "boat.jpg", tmp_path / "train", **options)
    assert not (tmp_path / "train").exists()


def test_the_program_trains(run, paintings, photos, vgg_file, small_checkpoint, tmp_path):
    flags = [f"--content_files={photos}", f"--vgg_checkpoint={vgg_file}", f"--initial_checkpoint={small_checkpoint}"]
    sizes = ["--batch_size=1", "--image_size=64", "--train_steps=1"]
    first, *more = sorted(paintings.iterdir())
    done = run("train_predictor", f"--style_files={first}", *more, *flags, *sizes, f"--train_dir={tmp_path}/train")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/train/model-000001.keras\n"), done.stderr
    assert f"1 step for {1 + len(more)} paintings" in done.stderr
