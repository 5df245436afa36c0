import os

import numpy as np
import pytest

from magstyle.checkpoints import model_files
from magstyle.models.transformer import StyleTransformer
from magstyle.training.transfer import with_styles


def stylize(path):
    model = model_files.load_model(path)
    image = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
    return np.asarray(model([image, np.full((1, model.num_styles), 0.5, np.float32)]))


def test_there_and_back_gives_the_same_numbers(run, small_checkpoint, tmp_path):
    magenta, back = tmp_path / "magenta" / "model.ckpt", tmp_path / "back.keras"
    for source, target in ((small_checkpoint, magenta), (magenta, back)):
        result = run("convert_checkpoint", f"--checkpoint={source}", f"--output={target}")
        assert result.returncode == 0, result.stderr
        assert result.stdout == f"{target}\n"
    assert sorted(os.listdir(magenta.parent)) == ["model.ckpt.data-00000-of-00001", "model.ckpt.index"]
    np.testing.assert_array_equal(stylize(magenta), stylize(small_checkpoint))
    np.testing.assert_array_equal(stylize(back), stylize(small_checkpoint))


@pytest.mark.parametrize(
    "source", ["models/stylize_quantized.pb", "reference/transformer_checkpoint-v1/model.ckpt", "reference"]
)
def test_the_models_of_shared_become_keras_files(shared, run, tmp_path, source):
    if source == "reference":
        source = "reference/transformer_checkpoint-v2"
    output = tmp_path / "model.keras"
    result = run("convert_checkpoint", f"--checkpoint={shared(source)}", f"--output={output}")
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(stylize(output), stylize(shared(source)))


def test_models_with_the_same_convolutions_become_one_of_all_their_styles(run, refused, small_model, tmp_path):
    tuned = with_styles(small_model, ["scream", "wave", "rain"], match_names=True)
    names, flags = ("one", "two", "other"), {}
    for name, model in zip(names, (small_model, tuned, StyleTransformer(1, alpha=0.1)), strict=True):
        model_files.save_model(model, tmp_path / f"{name}.keras")
        flags[name] = f"--checkpoint={tmp_path / name}.keras"
    output = tmp_path / "all.keras"
    result = run("convert_checkpoint", flags["one"], flags["two"], f"--output={output}", "--num_styles=4")
    assert (result.returncode, result.stdout) == (0, f"{output}\n"), result.stderr
    merged = model_files.load_model(output)
    assert merged.style_names == ("scream", "wave", "starry_night", "rain")
    image = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
    for name, source in zip(merged.style_names, (small_model, small_model, small_model, tuned), strict=True):
        one_hot = [[float(name == other) for other in model.style_names] for model in (merged, source)]
        found, expected = (
            np.asarray(m([image, np.array([w])])) for m, w in zip((merged, source), one_hot, strict=True)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    output = f"--output={tmp_path / 'none.keras'}"
    assert refused("convert_checkpoint", flags["one"], flags["other"], output).endswith(
        f"cannot merge {tmp_path}/one.keras and {tmp_path}/other.keras: their convolutions differ"
    )
    moved = with_styles(small_model, ["rain", "scream"])
    model_files.save_model(moved, tmp_path / "other.keras")
    assert refused("convert_checkpoint", flags["one"], flags["other"], output).endswith(
        "both have a style scream, and these differ"
    )
    assert not (tmp_path / "none.keras").exists()


def test_wrong_input_is_one_sentence_and_writes_nothing(refused, small_checkpoint, tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "empty.ckpt").write_text("")
    output = f"--output={tmp_path / 'new.keras'}"
    for name in ("text.keras", "empty.ckpt", "missing.pb"):
        assert name in refused("convert_checkpoint", f"--checkpoint={tmp_path / name}", output)
    assert "num_styles=9" in refused("convert_checkpoint", f"--checkpoint={small_checkpoint}", output, "--num_styles=9")
    assert "unexpected argument more" in refused(
        "convert_checkpoint", f"--checkpoint={small_checkpoint}", output, "more"
    )
    misnamed = refused("convert_checkpoint", f"--checkpoint={small_checkpoint}", f"--output={tmp_path / 'new.h5'}")
    assert "must end in .keras" in misnamed
    inside_a_file = f"--output={tmp_path / 'empty.ckpt' / 'new.keras'}"
    assert "cannot make the folder" in refused("convert_checkpoint", f"--checkpoint={small_checkpoint}", inside_a_file)
    assert sorted(os.listdir(tmp_path)) == ["empty.ckpt", "text.keras"]


def test_a_folder_gets_a_file_that_is_called_after_the_checkpoint(run, refused, small_checkpoint, tmp_path):
    flags = [f"--checkpoint={small_checkpoint}", f"--output={tmp_path}"]
    assert run("convert_checkpoint", *flags).stdout == f"{tmp_path}/small.keras\n"
    assert "small.keras exists already" in refused("convert_checkpoint", *flags)


def test_an_existing_file_is_not_overwritten(refused, small_checkpoint, tmp_path):
    for name, output in (("a.keras", "a.keras"), ("b.ckpt.index", "b.ckpt")):
        (tmp_path / name).write_text("precious")
        flags = [f"--checkpoint={small_checkpoint}", f"--output={tmp_path / output}"]
        assert f"{name} exists already" in refused("convert_checkpoint", *flags)
        assert (tmp_path / name).read_text() == "precious"
