import numpy as np
import pytest

from magstyle.checkpoints import model_files
from tests.events import curves
from tests.samples import STYLES


def test_every_layer_has_its_say_by_default(run, training_flags, small_checkpoint, tmp_path):
    result = run(
        *["finetune", *training_flags, f"--checkpoint={small_checkpoint}", f"--train_dir={tmp_path}"], "--train_steps=1"
    )
    assert result.returncode == 0, result.stderr
    first = {name: values[0] for name, values in curves(tmp_path).items()}
    found = {name: first[f"weighted_{name}"] / first[name] for name in first if f"weighted_{name}" in first}
    style = {"conv1": 9e-10, "conv2": 9e-10, "conv3": 4e-9, "conv4": 5e-5}
    expected = {f"style_loss/vgg_16/{block}": weight for block, weight in style.items()}
    assert found == pytest.approx({"content_loss/vgg_16/conv3": 1.2e-5, **expected}, rel=1e-5)
    others = first["total_content_loss"] + first["total_style_loss"]
    grids = 400 * first["checkerboard_loss"] + 0.6 * first["mesh_loss"]
    assert first["total_loss"] - others == pytest.approx(grids + 0.03 * first["palette_loss"], rel=1e-4)


def test_only_scales_and_offsets_are_trained(run, training_flags, small_checkpoint, small_model, tmp_path):
    flags = [*training_flags, f"--checkpoint={small_checkpoint}", f"--train_dir={tmp_path}", "--nokeep_styles"]
    result = run("finetune", *flags, "--train_steps=3")
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/model-000003.keras\n"), result.stderr
    model = model_files.load_model(tmp_path)
    assert list(model.style_names) == STYLES
    for scope in small_model.scopes:
        old, new = small_model.parameters(scope), model.parameters(scope)
        np.testing.assert_array_equal(old["kernel"], new["kernel"])
        assert np.all(new["gamma"].numpy() != old["gamma"].numpy().mean(axis=0))
    assert len(curves(tmp_path)["total_loss"]) == 3

    result = run("finetune", *flags, "--train_steps=5")
    assert result.stdout == f"{tmp_path}/model-000005.keras\n", result.stderr
    assert list(curves(tmp_path)["total_loss"]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["transformer_checkpoint-v1", "transformer_checkpoint-v2"])
def test_magenta_checkpoints_learn_new_styles(run, training_flags, shared, tmp_path, name):
    source = shared(f"reference/{name}")
    result = run(*["finetune", *training_flags, f"--checkpoint={source}", f"--train_dir={tmp_path}", "--train_steps=1"])
    assert result.returncode == 0, result.stderr
    old, new = model_files.load_model(source), model_files.load_model(tmp_path)
    for scope in old.scopes:
        np.testing.assert_array_equal(old.parameters(scope)["kernel"], new.parameters(scope)["kernel"])


def test_a_checkpoint_that_is_not_there_is_refused(refused, training_flags, tmp_path):
    sentence = refused("finetune", *training_flags, "--checkpoint=nowhere.keras", f"--train_dir={tmp_path}/train")
    assert sentence.startswith("finetune.py: there is no checkpoint at nowhere.keras; ")
