"""The light installation paints without TensorFlow, and what needs TensorFlow says so; sdist and wheel are complete."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from magstyle import project
from tests import clips
from tests.places import ENV, ROOT
from tests.samples import picture

# What each program cannot do without TensorFlow, with the flags that it requires.
NEEDING_TENSORFLOW = {
    "train": ["--train_dir=new", "--style_dataset_file=styles.tfrecord", "--content_files=photo.png"],
    "finetune": ["--train_dir=new", "--style_dataset_file=styles.tfrecord", "--content_files=photo.png"],
    "distil": ["--train_dir=new", "--content_files=photo.png"],
    "evaluate": ["--eval_dir=new", "--style_dataset_file=styles.tfrecord", "--content_files=photo.png"],
    "create_style_dataset": ["--style_files=photo.png", "--output_file=new.tfrecord"],
    "export_saved_model": ["--output_dir=new"],
    "convert_tflite": ["--output_model=new.tflite"],
    "convert_checkpoint": ["--output=new.keras"],
    "neural_style": ["--content_image=photo.png", "--style_images=photo.png", "--output_image=new.png"],
    "reconstruct": ["--input_image=photo.png", "--output_image=new.png"],
    "deep_dream": ["--input_image=photo.png", "--output_image=new.png"],
    "figure": ["--optimize", "--content_images=photo.png", "--style_images=photo.png", "--output_image=new.png"],
    "stylize_dataset": ["--content_files=photo.png", "--output_dir=new"],
    "stylize": ["--engine=keras", "--output_dir=new", "photo.png"],
    "stylize_video": ["--engine=keras", "photo.png", "new.mp4"],
}
SENTENCE = f"TensorFlow, which is not installed; pip install {' '.join(project.WITH_TENSORFLOW)} brings it"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a photo in it."""
    picture(0, (48, 40)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def environment(tmp_path_factory):
    """An environment whose processes run this when they start: environment("import sys")."""

    def starting_with(code):
        folder = tmp_path_factory.mktemp("start")
        (folder / "sitecustomize.py").write_text(code)
        return {**ENV, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}

    return starting_with


@pytest.fixture
def without_tensorflow(environment):
    return environment(f"import sys; sys.modules.update(dict.fromkeys({project.WITH_TENSORFLOW}))")


def run(*command, env=None):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=env)


def answer(program, env):
    """What a program says that cannot do its work, in a folder that it leaves as it is."""
    before = sorted(os.listdir())
    result = run(sys.executable, ROOT / "bin" / f"{program}.py", *NEEDING_TENSORFLOW[program], env=env)
    assert (result.returncode, result.stdout) == (1, ""), result.stderr
    assert sorted(os.listdir()) == before
    return result.stderr


@pytest.mark.parametrize("program", NEEDING_TENSORFLOW)
def test_a_program_that_needs_tensorflow_says_so_before_any_work(program, without_tensorflow, folder):
    what = "--engine=keras" if "--engine=keras" in NEEDING_TENSORFLOW[program] else "this"
    assert answer(program, without_tensorflow) == f"{program}.py: {what} needs {SENTENCE}\n"


def test_functions_that_need_tensorflow_say_so(without_tensorflow, folder):
    names = ["train", "finetune", "evaluate", "create_style_dataset", "export_saved_model", "neural_style"]
    calls = {f"magstyle.{name}": f"magstyle.{name}" for name in [*names, "reconstruct", "deep_dream", "load_vgg"]}
    calls["stylize_dataset"] = "magstyle.stylize_dataset('new', content_files='photo.png')"
    calls["a model in Keras"] = "magstyle.convert_tflite('painters', 'new.tflite')"
    calls["engine=keras"] = "magstyle.Stylizer('painters', 'keras')"
    calls["optimize"] = "magstyle.figure('photo.png', 'new.png', style_images='photo.png', optimize=True)"
    code = "import magstyle\n" + "".join(
        f"try: {call}\nexcept magstyle.InputError as error: print(error)\n" for call in calls.values()
    )
    code += "try: magstyle.load_model('painters')\nexcept magstyle.InputError as error: print(error)\n"
    result = run(sys.executable, "-c", code, env=without_tensorflow)
    assert result.stdout.splitlines() == [f"{what} needs {SENTENCE}" for what in [*calls, "a model in Keras"]], (
        result.stderr
    )
    assert os.listdir() == ["photo.png"]


@pytest.mark.parametrize("missing", [project.WITH_TENSORFLOW, ("tensorflow",)], ids=["both", "tensorflow alone"])
def test_without_keras_or_its_backend_a_machine_with_a_gpu_paints_on_its_cpu(environment, missing):
    env = environment(f"import sys; sys.modules.update(dict.fromkeys({missing}))")
    code = f"engines._DEVICES = [{os.devnull!r}]; print(engines.choose('auto'))"
    result = run(sys.executable, "-c", f"from magstyle.painting import engines; {code}", env=env)
    assert result.stdout == "litert\n", result.stderr


def test_a_broken_tensorflow_is_not_called_missing(environment, folder):
    env = environment("")
    package = pathlib.Path(env["PYTHONPATH"].split(os.pathsep)[0], "tensorflow")
    package.mkdir()
    for code, reason in {
        "raise ImportError('libcudart.so.12: cannot open')": "ImportError: libcudart.so.12: cannot open",
        "import tensorflow.python": "ModuleNotFoundError: No module named 'tensorflow.python'",
        "1 / 0": "ZeroDivisionError: division by zero",
        # As TensorFlow does it.
        "try: raise ImportError('no AVX')\nexcept ImportError: raise ImportError('Traceback')": "ImportError: no AVX",
    }.items():
        (package / "__init__.py").write_text(code)
        assert answer("train", env) == f"train.py: cannot import TensorFlow: {reason}\n"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The sdist of this project, and the wheel that is made from it."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("distributions")
    ignored = shutil.ignore_patterns(".git", ".venv", "out", "build", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, folder / "clone", ignore=ignored)
    result = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, folder / "clone")
    assert result.returncode == 0, result.stdout + result.stderr
    return [next(folder.glob(pattern)) for pattern in ("*.tar.gz", "*.whl")]


def test_an_sdist_has_every_file_of_the_repository(distributions, tmp_path):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git repository")
    shutil.unpack_archive(distributions[0], tmp_path)
    (unpacked,) = tmp_path.iterdir()
    assert [name for name in listed.stdout.splitlines() if not (unpacked / name).exists()] == []


@pytest.fixture(scope="module")
def light(distributions, tmp_path_factory):
    """The programs of the wheel, in an environment made as docs/install.md says, with what clips take."""
    folder = tmp_path_factory.mktemp("light")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    install = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--no-compile"]
    versions = ["--constraint", ROOT / "constraints.txt"]
    result = run(*install, *versions, "--requirement", ROOT / "requirements.txt", "av", "opencv-python-headless")
    if result.returncode and run(*install, "--dry-run", "--ignore-installed", "--no-deps", "absl-py").returncode:
        pytest.skip("needs a connection to a package index")
    assert result.returncode == 0, result.stderr
    result = run(*install, "--no-deps", distributions[1])
    assert result.returncode == 0, result.stderr
    return folder / "bin"


def test_a_light_installation_paints_photos_and_clips_and_builds_the_page(light, folder):
    env = {name: value for name, value in ENV.items() if name != "PYTHONPATH"}

    def made(program, *args):
        result = run(light / f"image_stylization_{program}", *args, env=env)
        if "cannot download LiteRT.js" in result.stderr:
            return
        assert result.returncode == 0, result.stderr
        assert all(pathlib.Path(path).exists() for path in result.stdout.splitlines())

    clips.write_clip("clip.mp4", 2)
    assert run(light / "magstyle", "photo.png", env=env).stdout == "out/photo_0.png\n"
    made("transform", "photo.png", "--which_styles=scream, wave", "--sheet", "--stroke_size=2", "--output_dir=pictures")
    made("stylize_video", "clip.mp4", "painted.mp4")
    made("figure", "--kind=strip", "--content_images=photo.png", "--which_styles=scream, wave", "--output_image=s.png")
    made("build_page", "--output_dir=page", "--image_size=32", "--preview_size=32")
    result = run(light / "image_stylization_train", *NEEDING_TENSORFLOW["train"], env=env)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"image_stylization_train: this needs {SENTENCE}\n"


def names(lines):
    """The packages that requirements name, as pip compares them."""
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in lines if line and line[0] != "#"}


@pytest.fixture(scope="module")
def required(distributions):
    """The requirements of the wheel, those of its extras after a semicolon."""
    with zipfile.ZipFile(distributions[1]) as wheel:
        (metadata,) = (wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/METADATA"))
    return re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)


def test_the_light_set_and_what_is_used_with_tensorflow_are_all_that_is_required(required):
    light = names((ROOT / "requirements.txt").read_text().splitlines())
    assert names(line for line in required if ";" not in line) == light | names(project.WITH_TENSORFLOW)


def test_the_constraints_hold_one_version_of_every_package_that_make_installs(required):
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    assert all(re.fullmatch(r'[\w.-]+==[\w.]+(; python_version > "3\.10")?', line) for line in lines)
    assert names(required) | {"pip", "setuptools"} <= names(lines)
