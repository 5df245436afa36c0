import json
import os
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from magstyle.checkpoints import model_files
from magstyle.errors import InputError
from magstyle.models.transformer import StyleTransformer


def stylize(model, seed=0):
    image = np.random.default_rng(seed).random((1, 16, 20, 3), np.float32)
    return keras.ops.convert_to_numpy(model([image, np.full((1, model.num_styles), 0.4, np.float32)]))


@pytest.fixture
def magenta_variables(reference):
    """The variables of Magenta's network of alpha 0.25 and 5 styles, by name."""
    arrays = reference("transformer_alpha025_styles5")
    return {name.removeprefix("weights/"): arrays[name] for name in arrays if name.startswith("weights/")}


def assert_is_magentas(model, reference):
    arrays = reference("transformer_alpha025_styles5")
    assert (model.num_styles, model.alpha, model.filters) == (5, 0.25, (32, 64, 128))
    assert model.style_names == ("0", "1", "2", "3", "4")
    stylized = model([arrays["image"], np.eye(5)[arrays["labels"]]])
    np.testing.assert_allclose(stylized, arrays["stylized"], rtol=0, atol=1e-4 * arrays["stylized"].max())


def save_with_tf1(variables, path, version):
    """Writes a checkpoint as a TF1 trainer does: with Adam slots, global_step, VGG and a `checkpoint` file."""
    path.parent.mkdir(exist_ok=True)
    extra = {f"{name}/{slot}": np.zeros_like(value) for name, value in variables.items() for slot in ("Adam", "Adam_1")}
    extra["global_step"] = np.int64(40000)
    extra["vgg_16/conv1/conv1_1/weights"] = np.zeros((3, 3, 3, 64), np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in {**variables, **extra}.items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        return tf.compat.v1.train.Saver(write_version=version).save(session, str(path))


@pytest.mark.parametrize("version", [tf.compat.v1.train.SaverDef.V1, tf.compat.v1.train.SaverDef.V2])
def test_a_magenta_training_checkpoint_opens_by_file_and_by_folder(magenta_variables, reference, tmp_path, version):
    path = save_with_tf1(magenta_variables, tmp_path / "there" / "model.ckpt", version)
    assert_is_magentas(model_files.load_model(path), reference)
    # As users move it: the `checkpoint` file still names the folder it was written to.
    shutil.move(tmp_path / "there", tmp_path / "here")
    assert_is_magentas(model_files.load_model(tmp_path / "here"), reference)


@pytest.mark.parametrize("version", [tf.compat.v1.train.SaverDef.V1, tf.compat.v1.train.SaverDef.V2])
def test_a_magenta_checkpoint_opens_by_any_of_its_files(magenta_variables, reference, tmp_path, version):
    save_with_tf1(magenta_variables, tmp_path / "there" / "model.ckpt", version)
    names = sorted(os.listdir(tmp_path / "there"))
    assert {"checkpoint", "model.ckpt.meta"} < set(names)
    shutil.move(tmp_path / "there", tmp_path / "here")
    for name in names:
        assert_is_magentas(model_files.load_model(tmp_path / "here" / name), reference)


@pytest.mark.parametrize(
    ("given", "content", "sentence"),
    [
        ("model.ckpt-7.meta", b"graph", r"cannot read .*/model\.ckpt-7: .*/model\.ckpt-7\.index is missing$"),
        ("model.ckpt-7.data-00000-of-00001", b"", r"/model\.ckpt-7\.index is missing$"),
        ("model.ckpt.index", b"", r"/model\.ckpt: it is not a valid TensorFlow checkpoint$"),
        ("model.tar.gz", b"", r"/model\.tar\.gz: it is an archive; unpack it, and give the checkpoint in it$"),
        ("model.zip", b"", r"/model\.zip: it is an archive; unpack it, and give the checkpoint in it$"),
        ("checkpoint", b"hello", r"/checkpoint: it is not a valid list of checkpoints$"),
        ("checkpoint", b'model_checkpoint_path: "/gone/model.ckpt-7"', r"there is no checkpoint at .*/model\.ckpt-7;"),
    ],
)
def test_a_file_that_is_not_the_whole_checkpoint_is_one_sentence(tmp_path, given, content, sentence):
    (tmp_path / given).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        model_files.load_model(tmp_path / given)


@pytest.mark.parametrize("kind", ["v1/model.ckpt", "v2/model.ckpt-40000", "v2/model.ckpt-40000.index", "v1", "v2"])
def test_the_checkpoints_of_shared_open(shared, reference, kind):
    assert_is_magentas(model_files.load_model(shared("reference") / f"transformer_checkpoint-{kind}"), reference)


def write_frozen_graph(variables, path, quantize):
    graph = tf.compat.v1.GraphDef()

    def add_constant(name, value, dtype=tf.float32):
        node = graph.node.add(op="Const", name=name)
        node.attr["dtype"].type = dtype.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype))

    for name, value in variables.items():
        if quantize and name.endswith("weights"):
            low, high = value.min(), value.max()
            add_constant(f"{name}_min", low)
            add_constant(f"{name}_max", high)
            quantized = np.rint((value - low) / (high - low) * 255).astype(np.uint8)
            node = graph.node.add(op="Const", name=f"{name}_quint8_const")
            node.attr["value"].tensor.dtype = tf.quint8.as_datatype_enum
            node.attr["value"].tensor.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
            node.attr["value"].tensor.tensor_content = quantized.tobytes()
        else:
            add_constant(name, value)
    path.write_bytes(graph.SerializeToString())


def test_a_frozen_graph_opens_with_float_constants(magenta_variables, reference, tmp_path):
    write_frozen_graph(magenta_variables, tmp_path / "frozen.pb", quantize=False)
    assert_is_magentas(model_files.load_model(tmp_path / "frozen.pb"), reference)


def test_a_frozen_graph_opens_with_quantized_constants(magenta_variables, tmp_path):
    write_frozen_graph(magenta_variables, tmp_path / "frozen.pb", quantize=True)
    model = model_files.load_model(tmp_path / "frozen.pb")
    for scope in model.scopes:
        expected = magenta_variables[f"transformer/{scope}/weights"]
        step = (expected.max() - expected.min()) / 255
        kernel = keras.ops.convert_to_numpy(model.parameters(scope)["kernel"])
        assert np.abs(kernel - expected).max() <= step * 0.501
        assert np.abs(kernel - expected).max() > 0


def test_the_android_model_reproduces_its_golden_pictures(shared):
    model = model_files.load_model(shared("models/stylize_quantized.pb"))
    assert (model.num_styles, model.filters, model.expand_filters) == (26, (32, 32, 32), (8, 4))
    assert model.residual_blocks == 6
    golden = np.load(shared("reference/stylize_quantized_golden.npz"))
    images = np.repeat(golden["image"][None].astype(np.float32) / 255, 2, axis=0)
    expected = golden["dequantized"]
    stylized = model([images, golden["style_weights"]])
    np.testing.assert_allclose(stylized, expected, rtol=0, atol=1e-4 * expected.max())


def test_a_keras_file_keeps_everything_exactly(small_model, tmp_path):
    model_files.save_model(small_model, tmp_path / "model.keras")
    model = model_files.load_model(tmp_path / "model.keras")
    assert model.get_config() == small_model.get_config() | {"name": model.name}
    assert model.style_names == ("scream", "wave", "starry_night")
    np.testing.assert_array_equal(stylize(model), stylize(small_model))


def test_a_keras_file_with_16_bits_is_half_as_large_and_as_good(tmp_path):
    model = model_files.load_model("random:0")
    whole, half = tmp_path / "whole.keras", tmp_path / "half.keras"
    model_files.save_model(model, whole)
    model_files.save_model(model, half, float16=True)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    opened = model_files.load_model(half)
    assert opened.get_config() == model.get_config() | {"name": opened.name}
    for new, old in zip(opened.get_weights(), model.get_weights(), strict=True):
        assert new.dtype == np.float32
        np.testing.assert_array_equal(new, old.astype(np.float16))
    with pytest.raises(InputError, match="in float16"):
        model_files.save_model(model, tmp_path / "model.ckpt", float16=True)


def test_halving_changes_neither_the_model_nor_the_types_of_what_comes_after(small_model, tmp_path):
    before = stylize(small_model)
    model_files.save_model(small_model, tmp_path / "half.keras", float16=True)
    np.testing.assert_array_equal(stylize(small_model), before)
    assert {weights.dtype for weights in StyleTransformer(1, residual_blocks=0).get_weights()} == {np.dtype("float32")}


def test_a_model_opens_as_itself(small_model):
    assert model_files.load_model(small_model) is small_model
    with pytest.raises(InputError, match="3 styles, not num_styles=1") as error:
        model_files.load_model(small_model, num_styles=1)
    assert error.value.arguments == ("num_styles",)


@pytest.mark.parametrize("what", [None, 0, b"painters"])
def test_what_is_no_model_at_all_is_one_sentence(what):
    for open_model in (model_files.load_model, model_files.read_network):
        with pytest.raises(InputError, match=f"^a checkpoint must be .*, not {type(what).__name__}$"):
            open_model(what)


def test_no_models_cannot_be_merged():
    with pytest.raises(InputError, match=r"^checkpoints=\[\] must be a list of one model or more$"):
        model_files.merge_models([])


def test_bundled_models_open_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "painters").mkdir()  # Such as a user's folder of paintings.
    assert "painters" in model_files.bundled_models()
    model = model_files.load_model("painters")
    assert "van-gogh-starry-night" in model.style_names
    with pytest.raises(InputError, match=r"no checkpoint in \./painters"):
        model_files.load_model("./painters")
    with pytest.raises(InputError, match="a path was expected, or a name: anything, painters, painters-live"):
        model_files.load_model("paintrs")


def test_a_model_written_as_magenta_checkpoint_opens_to_the_same_numbers(small_model, tmp_path):
    model_files.save_model(small_model, tmp_path / "new" / "model.ckpt")
    assert sorted(os.listdir(tmp_path / "new")) == ["model.ckpt.data-00000-of-00001", "model.ckpt.index"]
    model = model_files.load_model(tmp_path / "new" / "model.ckpt")
    assert model.style_names == ("0", "1", "2")
    np.testing.assert_array_equal(stylize(model), stylize(small_model))


def test_a_folder_opens_its_latest_checkpoint(small_model, tmp_path):
    model = StyleTransformer.from_config(small_model.get_config())
    for name, seconds in (("model-900.keras", 3), ("model-1000.keras", 1), ("model-20.keras", 2)):
        model.parameters("contract/conv1")["beta"].assign(np.full((3, 4), seconds))
        model.save(tmp_path / name)
        os.utime(tmp_path / name, (seconds, seconds))
    (tmp_path / ".123-model-2000.keras").write_bytes(b"half written")
    newest = model_files.load_model(tmp_path)
    assert float(newest.parameters("contract/conv1")["beta"][0, 0]) == 1


def test_random_models_are_the_same_for_the_same_seed():
    first, again, other = (model_files.load_model(f"random:{seed}") for seed in (3, 3, 4))
    np.testing.assert_array_equal(stylize(first), stylize(again))
    assert np.abs(stylize(first) - stylize(other)).max() > 0.01


def test_numbers_that_the_model_does_not_have_are_one_sentence(small_model, tmp_path):
    path = tmp_path / "model.keras"
    small_model.save(path)
    assert model_files.load_model(path, num_styles=3, alpha=1.0).num_styles == 3
    with pytest.raises(InputError, match=r"model.keras has 3 styles, not num_styles=1"):
        model_files.load_model(path, num_styles=1)
    with pytest.raises(InputError, match=r"the width of .*model.keras is 1.0, not alpha=0.25"):
        model_files.load_model(path, alpha=0.25)


@pytest.mark.parametrize("alpha", [0.25, 0.3, 0.77, 1.0, 1.5])
def test_the_alpha_a_magenta_checkpoint_was_made_with_is_accepted(tmp_path, alpha):
    model_files.save_model(StyleTransformer(2, alpha=alpha, residual_blocks=1), tmp_path / "model.ckpt")
    model = model_files.load_model(tmp_path / "model.ckpt", num_styles=2, alpha=alpha)
    assert model.filters == (32, 64, 128)


def test_a_magenta_checkpoint_keeps_the_size_of_the_kernels(tmp_path):
    model = StyleTransformer(2, alpha=0.25, residual_blocks=1, kernel_size=5)
    model_files.save_model(model, tmp_path / "model.ckpt")
    assert model_files.load_model(tmp_path / "model.ckpt").kernel_size == 5


@pytest.fixture
def broken_files(small_model, magenta_variables, tmp_path):
    """Files that are no model, or not a whole one, by what is wrong with them."""
    whole = {"keras": tmp_path / "whole.keras", "pb": tmp_path / "whole.pb"}
    small_model.save(whole["keras"])
    write_frozen_graph(magenta_variables, whole["pb"], quantize=True)
    v1 = save_with_tf1(magenta_variables, tmp_path / "whole.ckpt", tf.compat.v1.train.SaverDef.V1)
    whole["ckpt"] = tmp_path / os.path.basename(v1)
    for suffix, path in whole.items():
        content = path.read_bytes()
        for length in (0, 1, 100, len(content) // 2, len(content) - 1):
            (tmp_path / f"cut_{length}.{suffix}").write_bytes(content[:length])
        (tmp_path / f"text.{suffix}").write_text("This is no model.\n" * 100)
        path.unlink()
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "foreign.keras")
    write_frozen_graph({"other/weights": np.zeros(3, np.float32)}, tmp_path / "foreign.pb", quantize=False)
    save_with_tf1({"other": np.zeros(3, np.float32)}, tmp_path / "foreign.ckpt", tf.compat.v1.train.SaverDef.V2)
    incomplete = {name: value for name, value in magenta_variables.items() if "residual5/conv2" not in name}
    write_frozen_graph(incomplete, tmp_path / "incomplete.pb", quantize=False)
    key = "transformer/contract/conv2/weights"
    write_frozen_graph({**magenta_variables, key: np.zeros((3, 3, 5, 16))}, tmp_path / "misfit.pb", quantize=False)
    save_with_tf1(magenta_variables, tmp_path / "v2" / "model.ckpt", tf.compat.v1.train.SaverDef.V2)
    data = tmp_path / "v2" / "model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    (tmp_path / "empty_folder").mkdir()
    return tmp_path


def test_a_broken_model_is_one_sentence_that_names_it(broken_files):
    paths = [path for path in broken_files.iterdir() if path.suffix in (".keras", ".pb", ".ckpt")]
    paths += [broken_files / name for name in ("v2", "v2/model.ckpt", "empty_folder", "missing", "foreign.ckpt.index")]
    assert len(paths) > 20
    for path in paths:
        with pytest.raises(InputError) as error:
            model_files.load_model(path)
        message = str(error.value)
        assert str(path.name) in message.replace("\n", " ") or path.suffix == ".index", message
        assert "\n" not in message


def rewritten(path, change, **options):
    """Writes the members of a .keras file anew, each as `change` gives it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, change(name, content))


ASKS = {
    "num_styles": 10**6,
    "residual_blocks": 10**6,
    "filters": [32, 64, 10**6],
    "expand_filters": [10**6, 32],
    "alpha": 1000.0,
    "kernel_size": 10**6 + 1,
}


@pytest.mark.parametrize("name", ASKS)
def test_a_config_that_asks_for_more_than_the_file_holds_is_refused_before_anything_is_built(
    small_checkpoint, tmp_path, monkeypatch, name
):
    def ask(member, content):
        config = json.loads(content) if member == "config.json" else None
        if config:
            config["config"] |= {name: ASKS[name], "style_names": None}
        return json.dumps(config) if config else content

    path = tmp_path / "asks.keras"
    shutil.copy(small_checkpoint, path)
    rewritten(path, ask)
    monkeypatch.setattr(StyleTransformer, "from_config", lambda _: pytest.fail("is being built"))
    with pytest.raises(InputError, match=r"asks\.keras: its config asks for more weights than it holds"):
        model_files.load_model(path)


def test_a_bomb_is_refused_before_it_is_unpacked(small_checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "bomb.keras"
    shutil.copy(small_checkpoint, path)
    rewritten(path, lambda _, content: content + bytes(10**8), compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("is being unpacked"))
    with pytest.raises(InputError, match=r"bomb\.keras: it asks for 3\d+ bytes of memory, but holds only"):
        model_files.load_model(path)


def test_a_compressed_keras_file_opens(small_model, small_checkpoint, tmp_path):
    path = tmp_path / "compressed.keras"
    shutil.copy(small_checkpoint, path)
    rewritten(path, lambda _, content: content, compression=zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(stylize(model_files.load_model(path)), stylize(small_model))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_finite_numbers_are_refused(small_model, magenta_variables, tmp_path, value):
    model = StyleTransformer.from_config(small_model.get_config())
    beta = np.zeros((3, 4), np.float32)
    beta[1, 2] = value
    model.parameters("contract/conv1")["beta"].assign(beta)
    model_files.save_model(model, tmp_path / "model.keras")
    model_files.save_model(model, tmp_path / "model.ckpt")
    key = "transformer/contract/conv1/InstanceNorm/beta"
    write_frozen_graph({**magenta_variables, key: np.full((5, 8), value)}, tmp_path / "model.pb", quantize=False)
    for name in ("model.keras", "model.ckpt", "model.pb"):
        with pytest.raises(InputError, match=f"cannot use .*{name}: some of its weights are NaN or infinite"):
            model_files.load_model(tmp_path / name)


KERNEL = "transformer/contract/conv2/weights"
GAMMA = "transformer/contract/conv1/InstanceNorm/gamma"
MISFITS = {
    "vector": {KERNEL: np.zeros(3, np.float32)},
    "number": {KERNEL: np.float32(1)},
    "text": {KERNEL: np.array([b"text"])},
    "texts": {KERNEL: np.full((3, 3, 8, 16), b"text")},
    "vector_of_styles": {GAMMA: np.zeros(3, np.float32)},
    "no_styles": {GAMMA: np.zeros((0, 8), np.float32)},
    "number_of_styles": {GAMMA: np.float32(1)},
    "million_styles": {GAMMA: np.zeros((10**6, 1), np.float32)},
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_is_no_number_where_numbers_belong_is_one_sentence(magenta_variables, tmp_path, name):
    variables = {**magenta_variables, **MISFITS[name]}
    save_with_tf1(variables, tmp_path / f"{name}.ckpt", tf.compat.v1.train.SaverDef.V2)
    graph = tf.compat.v1.GraphDef()
    for key, value in variables.items():
        node = graph.node.add(op="Const", name=key)
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    (tmp_path / f"{name}.pb").write_bytes(graph.SerializeToString())
    for suffix in ("ckpt", "pb"):
        with pytest.raises(InputError, match=f"{name}.{suffix}") as error:
            model_files.load_model(tmp_path / f"{name}.{suffix}")
        assert "\n" not in str(error.value)


def test_a_graph_that_stores_one_number_for_many_is_bounded(magenta_variables, tmp_path):
    graph = tf.compat.v1.GraphDef()
    for key, value in magenta_variables.items():
        node = graph.node.add(op="Const", name=key)
        tensor = node.attr["value"].tensor
        tensor.dtype = tf.float32.as_datatype_enum
        tensor.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
        tensor.float_val.append(0.5)
        if key == KERNEL:
            tensor.tensor_shape.dim[0].size = 10**12
    (tmp_path / "bomb.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(InputError, match=r"bomb\.pb: it asks for"):
        model_files.load_model(tmp_path / "bomb.pb")


def test_named_pipes_are_not_waited_for(tmp_path):
    for name in ("model.keras", "model.pb", "model.ckpt", "v2.ckpt.index", "folder/model.keras", "listed/checkpoint"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        os.mkfifo(tmp_path / name)
        given = tmp_path / name if tmp_path in (tmp_path / name).parents[:1] else (tmp_path / name).parent
        with pytest.raises(InputError, match="it is not a regular file"):
            model_files.load_model(given)


def test_a_list_of_checkpoints_that_is_no_text_is_one_sentence(tmp_path):
    (tmp_path / "checkpoint").write_bytes(b'model_checkpoint_path: "\xff\xfe"')
    with pytest.raises(InputError, match=r"checkpoint: it is not a valid list of checkpoints"):
        model_files.load_model(tmp_path)
