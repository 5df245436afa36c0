import onnx
import pytest

from magstyle.checkpoints import networks
from magstyle.export import onnx_network


@pytest.mark.parametrize(
    ("flags", "precision", "opset"), [([], "float32", 11), (["--precision=float16", "--opset=17"], "float16", 17)]
)
def test_flags_choose_precision_and_opset(run, small_checkpoint, small_model, tmp_path, flags, precision, opset):
    result = run("convert_onnx", f"--checkpoint={small_checkpoint}", f"--output_model={tmp_path}", *flags)
    output = tmp_path / "small.onnx"  # As the checkpoint is called.
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{output}\n", "")
    assert output.read_bytes() == onnx_network.build(networks.from_model(small_model), precision, opset)
    onnx.checker.check_model(output, full_check=True)


def test_bad_input_is_one_sentence_and_leaves_nothing(refused, small_checkpoint, tmp_path):
    (tmp_path / "file").write_text("precious")

    def refuse(*flags, output=tmp_path / "new.onnx"):
        return refused("convert_onnx", f"--checkpoint={small_checkpoint}", f"--output_model={output}", *flags)

    assert "--opset=9 must be a whole number from 11 to 22" in refuse("--opset=9")
    assert "--precision" in refuse("--precision=int8")
    assert "unexpected argument more" in refuse("more")
    assert "file exists already; remove it first, or choose another --output_model" in refuse(output=tmp_path / "file")
    assert "cannot make the folder" in refuse(output=tmp_path / "file" / "new.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "precious"
