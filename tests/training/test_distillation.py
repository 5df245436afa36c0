"""Training a narrow network to paint like a wide one, from Python and by the program."""

import keras
import numpy as np
import pytest

import magstyle
from magstyle import losses
from magstyle.checkpoints import networks
from magstyle.models.architecture import residual_scopes
from magstyle.models.transformer import StyleTransformer
from magstyle.training import distillation
from tests.events import curves, images_in
from tests.training import small

# Of the smallest network that `distil` makes.
ALPHA = 1 / 16


@pytest.fixture
def options(photos, vgg_file, small_checkpoint):
    """Of a training that takes seconds."""
    return {
        "content_files": photos,
        "vgg_checkpoint": vgg_file,
        "teacher": small_checkpoint,
        "alpha": ALPHA,
        "batch_size": 2,
        "image_size": 32,
        "mixed_precision": False,
        "save_summaries_secs": 1e6,
    }


def test_a_narrow_network_learns_the_styles_of_its_teacher(small_model, options, tmp_path, capfd):
    path = magstyle.distil(tmp_path / "train", train_steps=2, **options)
    assert path == tmp_path / "train" / "model-000002.keras"
    assert capfd.readouterr().err.startswith("2 steps for scream, wave, starry_night, with batch_size=2, image_size=32")
    model = magstyle.load_model(path)
    assert model.style_names == small_model.style_names
    assert [row.filters for row in model.convolutions] == [1, 4, 8, 8, 8, 4, 2, 3]
    start = distillation.narrowed(networks.from_model(small_model), ALPHA)
    for scope, values in start.parameters.items():
        assert np.any(model.parameters(scope)["kernel"].numpy() != values["kernel"])
    # A second call goes on. Beside the narrow network's picture, TensorBoard shows the teacher's.
    assert magstyle.distil(tmp_path / "train", train_steps=3, **options).name == "model-000003.keras"
    assert images_in(path.parent) == {(name, step) for name in ("photo", "style", "result") for step in (0, 1, 2)}
    assert {"pixel_loss", "total_content_loss", "total_style_loss", "learning_rate"} <= set(curves(path.parent))


def test_channels_blocks_and_borders_of_kernels_that_do_nothing_are_left_out_without_a_change(small_model):
    rng = np.random.default_rng(0)
    wide = StyleTransformer(3, filters=(3, 9, 18), expand_filters=(9, 6), residual_blocks=5, kernel_size=7)
    teacher = networks.from_model(wide)
    channels = {"contract/conv1": 2, "contract/conv2": 8, "expand/conv1/conv": 8, "expand/conv2/conv": 4}
    idle = stream = None
    for row in teacher.convolutions:
        values = teacher.parameters[row.scope]
        for value in values.values():
            value[:] = rng.uniform(0.5, 1, value.shape) if value.ndim == 2 else rng.normal(0, 0.3, value.shape)
        if row.kernel_size == 7:
            values["kernel"][[0, -1]] = values["kernel"][:, [0, -1]] = 0
        if idle is not None:
            values["kernel"][:, :, idle] = 0
        # A residual block adds its result to the input's channels.
        idle = rng.permutation(row.filters)[channels.get(row.scope, 16) :] if row.shortcut is None else stream
        if row.scope == "contract/conv3":
            stream = idle
    for block in (2, 5):
        for name in ("gamma", "beta"):
            teacher.parameters[residual_scopes(block)[1]][name][:] = 0
    photo, style_weights = rng.random((1, 32, 40, 3), np.float32), np.float32([[0.2, 0.7, 0.1]])
    narrow = distillation.narrowed(teacher, 1 / 8)
    assert (narrow.architecture.residual_blocks, narrow.architecture.kernel_size) == (3, 5)
    expected = networks.to_model(teacher)([photo, style_weights])
    np.testing.assert_allclose(networks.to_model(narrow)([photo, style_weights]), expected, atol=1e-5)


def test_a_teacher_of_one_small_block_gives_all_that_it_has():
    teacher = networks.from_model(StyleTransformer(2, 0.125, residual_blocks=1, kernel_size=3))
    narrow = distillation.narrowed(teacher, 1 / 8).architecture
    assert (narrow.residual_blocks, narrow.kernel_size) == (1, 3)


def test_pictures_of_the_teacher_have_no_loss():
    training = small.distillation()
    photos, labels = (keras.ops.convert_to_tensor(small.batch()[name]) for name in ("image", "label"))
    pictures = training.teacher([photos, keras.ops.eye(2)])
    found = training.losses_of(pictures, photos, labels)
    np.testing.assert_allclose(found["total_loss"], 0, atol=1e-6)
    worse = training.losses_of(pictures * 0.9, photos, labels)
    for name in ("pixel_loss", "total_content_loss", "total_style_loss"):
        assert np.all(np.array(worse[name]) > np.array(found[name]))


def test_the_teacher_stays_as_it_is():
    training = small.distillation()
    assert {v.path for v in training.trainable_variables} == {v.path for v in training.transformer.trainable_variables}


def test_pixels_count_at_four_resolutions():
    image = np.zeros((2, 32, 32, 3), np.float32)
    other = image.copy()
    other[0] = 0.5  # Everywhere.
    other[1, ::2, ::2] = 0.5  # A quarter of the pixels.
    expected = [4 * rounded(0.5), rounded(0.5) / 4 + 3 * rounded(0.125)]
    np.testing.assert_allclose(losses.pixel_loss(image, other), expected, rtol=1e-4)
    np.testing.assert_allclose(losses.pixel_loss(other, other), 0, atol=1e-7)


def rounded(difference):
    return np.hypot(difference, 0.01) - 0.01


@pytest.mark.parametrize(
    ("changed", "sentence", "named"),
    [
        ({"alpha": 0.25}, "alpha=0.25 makes a network wider than the teacher", ("alpha", "teacher")),
        ({"alpha": 0.05}, "alpha=0.05 must be a number from 0.0625 to 32", ("alpha",)),
        ({"teacher": "nowhere.keras"}, "there is no checkpoint at nowhere.keras", None),
        ({"style_weights": {"vgg_16/conv9": 1.0}}, "no end point 'vgg_16/conv9'", None),
    ],
)
def test_what_cannot_be_used_is_one_sentence(options, tmp_path, changed, sentence, named):
    with pytest.raises(magstyle.InputError, match=sentence) as caught:
        magstyle.distil(tmp_path / "train", **{**options, **changed})
    assert named is None or caught.value.arguments == named
    assert not (tmp_path / "train").exists()


def test_the_program_trains(run, photos, vgg_file, small_checkpoint, tmp_path):
    flags = [f"--content_files={photos}", f"--vgg_checkpoint={vgg_file}", f"--teacher={small_checkpoint}"]
    sizes = [f"--alpha={ALPHA}", "--batch_size=1", "--image_size=32", "--train_steps=1"]
    done = run("distil", *flags, *sizes, f"--train_dir={tmp_path}/train")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/train/model-000001.keras\n"), done.stderr
