"""What `import magstyle` offers, and what it costs."""

import importlib
import inspect
import subprocess
import sys

import pytest
from absl import flags

import magstyle
from magstyle.programs import command_line, training_flags
from tests.places import ENV, ROOT

# The function that each program calls, and the flags that it has beside the function's arguments.
PROGRAMS = {
    "stylize": (magstyle.stylize_photos, {"num_styles", "alpha", "list_styles"}),
    "stylize_video": (magstyle.stylize_video, {"num_styles", "alpha"}),
    "create_style_dataset": (magstyle.create_style_dataset, set()),
    "train": (magstyle.train, set()),
    "finetune": (magstyle.finetune, set()),
    "distil": (magstyle.distil, set()),
    "stylize_dataset": (magstyle.stylize_dataset, set()),
    "convert_tflite": (magstyle.convert_tflite, {"num_styles", "alpha", "quantize"}),
    "convert_onnx": (magstyle.convert_onnx, set()),
    "export_saved_model": (magstyle.export_saved_model, set()),
    "build_page": (magstyle.build_page, set()),
    "neural_style": (magstyle.neural_style, set()),
    "reconstruct": (magstyle.reconstruct, set()),
    "deep_dream": (magstyle.deep_dream, set()),
    "figure": (magstyle.figure, set()),
    "evaluate": (
        magstyle.evaluate,
        # Of what it writes, beside the losses.
        {"alpha", "eval_dir", "eval_interval_secs", "learning_curves", "optimize_pairs"}
        | {"style_grid", "style_crossover", "train_dir", "video"},
    ),
}
# Flags that have no default where the function has one, to tell what was typed, or the other way round.
SAME_BY_OTHER_WORDS = {
    *(("stylize", "which_styles"), ("stylize_video", "which_styles")),
    *(("convert_tflite", "precision"), ("evaluate", "checkpoint")),
}
# Flags of a text that is no path.
NO_PATHS = {
    *(
        "beam_options",
        "content_weights",
        "end_point",
        "output_basename",
        "style",
        "style_coefficients",
        "style_weights",
    ),
    *("style_image_weights", "tfds_name", "which_styles"),
}


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=ENV, cwd=ROOT, check=True).stdout


def test_importing_it_imports_no_library_that_takes_time():
    python("import sys, magstyle; assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)")


def test_photos_are_found_read_and_written_without_tensorflow(tmp_path):
    code = (
        "import sys, magstyle; from magstyle.data import photos; photo = photos.find('examples/*.jpg')[0]; "
        f"magstyle.write_image({str(tmp_path / 'small.png')!r}, magstyle.read_image(photo, 32)); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    python(code)
    assert (tmp_path / "small.png").exists()


def test_stylizing_on_a_cpu_imports_neither_tensorflow_nor_keras(tmp_path):
    program = "import sys; sys.argv = ['stylize.py', {}]; from magstyle.programs import stylize as program; "
    ends = (
        "from magstyle.painting import engines\ntry: program.run()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert engines.may_have_a_gpu() or not {'tensorflow', 'keras', 'jax'} & set(sys.modules)"
    )
    arguments = ["examples/coffee.jpg", "--image_size=16", "--which_styles=scream", f"--output_dir={tmp_path}"]
    picture = python(program.format(repr(arguments)[1:-1]) + ends)
    assert picture == f"{tmp_path}/coffee_munch-the-scream_16px.png\n"
    assert "munch-the-scream" in python(program.format("'--list_styles'") + ends)


def test_keras_opens_our_files_once_the_network_has_been_used(small_checkpoint):
    code = (
        "import magstyle, keras; magstyle.StyleTransformer; "
        f"print(type(keras.saving.load_model({str(small_checkpoint)!r})).__name__)"
    )
    assert python(code) == "StyleTransformer\n"


def test_public_signatures_are_typed():
    typed = [getattr(magstyle, name) for name in magstyle.__all__]
    typed += [method for name, method in vars(magstyle.Stylizer).items() if name[0] != "_" or name == "__init__"]
    for function in filter(inspect.isfunction, typed):
        signature = inspect.signature(function)
        arguments = [argument for name, argument in signature.parameters.items() if name != "self"]
        assert all(argument.annotation is not argument.empty for argument in arguments), function
        assert function.__name__ == "__init__" or signature.return_annotation is not signature.empty, function
    assert (ROOT / "magstyle" / "py.typed").exists()


def test_all_public_names_are_there_and_documented():
    assert set(magstyle.__all__) <= set(dir(magstyle))
    for name in magstyle.__all__:
        assert getattr(magstyle, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'paint'"):
        magstyle.paint  # noqa: B018


@pytest.fixture
def flags_of():
    """Defines the flags of a program, and gives them by name: flags_of("train")."""
    before = set(flags.FLAGS)

    def define(program):
        importlib.import_module(f"magstyle.programs.{program}").define_flags()
        return {name: flags.FLAGS[name] for name in set(flags.FLAGS) - before}

    yield define
    flags.FLAGS.remove_flag_values({name: flags.FLAGS[name] for name in set(flags.FLAGS) - before})


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_and_functions_have_the_same_arguments_and_defaults(program, flags_of):
    function, more = PROGRAMS[program]
    arguments = inspect.signature(function).parameters
    found = flags_of(program)
    assert set(found) - more == set(arguments)
    for name, argument in arguments.items():
        if argument.default is not argument.empty and (program, name) not in SAME_BY_OTHER_WORDS:
            default = found[name].default
            assert (tuple(default) if isinstance(default, list) else default) == argument.default, name


@pytest.mark.parametrize("program", [*PROGRAMS, "convert_checkpoint"])
def test_no_path_may_be_empty(program, flags_of):
    for name, flag in flags_of(program).items():
        if flag.flag_type() in ("string", "multi string") and name not in NO_PATHS:
            flag.value = "" if flag.flag_type() == "string" else [""]
            with pytest.raises(flags.IllegalFlagValueError, match="must be the path of a file or a folder, not empty"):
                flags.FLAGS.validate_all_flags()
            flag.value = flag.default


def test_every_file_in_configs_is_a_flagfile_from_any_folder(flags_of, tmp_path, monkeypatch):
    flags_of("train")
    monkeypatch.chdir(tmp_path)
    configs = sorted((ROOT / "configs").glob("*.cfg"))
    assert configs
    for config in configs:
        required = ["--style_dataset_file=styles.tfrecord", "--train_dir=train", "--content_files=photos"]
        flags.FLAGS.unparse_flags()
        assert command_line.parse(["train", f"--flagfile={config}", *required]) == ["train"]
        weights = training_flags.data([])
        assert weights["style_weights"] is None or set(map(type, weights["style_weights"].values())) <= {int, float}
        flags.FLAGS.unparse_flags()
    flags.FLAGS.unparse_flags()
