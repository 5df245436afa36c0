"""The pages are true: their commands and their Python run, their links resolve, and the things that they name exist.

The commands and Python blocks of a page run in order and as they stand there, in a folder with small photos and
paintings under the names that the pages use. Added settings shorten hours to seconds, the same ones for a program and
for its function.
"""

import ast
import dataclasses
import functools
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

import magstyle
from magstyle.models.vgg import CONVOLUTIONS_PER_BLOCK
from magstyle.programs import commands
from magstyle.training.jobs import FinetuningJob, TrainingJob
from tests import clips, processes, servers
from tests.places import ENV, ROOT
from tests.samples import narrow_vgg, picture

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "magstyle/pretrained").glob("*.md")]
NOTEBOOK = ROOT / "examples" / "magstyle.ipynb"

VGG = {"vgg_checkpoint": "vgg_19_quarter.npz"}
_TRAINING = {"train_steps": 2, "decay_steps": 0, "batch_size": 2, "image_size": 32, **VGG}
SMALL = {
    "create_style_dataset": {"image_size": 32, **VGG},
    "train": {"alpha": 0.1, **_TRAINING},
    "finetune": _TRAINING,
    "train_predictor": _TRAINING,
    "distil": {"alpha": 0.1, **_TRAINING},
    "evaluate": {"num_evals": 2, "batch_size": 2, "image_size": 32, **VGG},
    "convert_tflite": {"image_size": 32},
    "build_page": {"image_size": 32, "preview_size": 32},
    "stylize_video": {"image_size": 32, "start": 0, "fps": 5},
    "neural_style": {"image_size": 32, "octaves": 1, "steps": 2, **VGG},
    "reconstruct": {"image_size": 32, "steps": 2, **VGG},
    "figure": {"image_size": 32, "octaves": 1, "steps": 2, **VGG},
    "deep_dream": {"octaves": 1, "steps": 1, "frames": 1, "model": VGG["vgg_checkpoint"], "end_points": "conv3_1"},
}
# Tests cannot run these: they need another environment, other machines, ImageNet or many minutes.
_COMMANDS = r"(make|source|export|docker|dask|pip|python -m|python (benchmarks|examples/server)/\w+\.py)\b"
_ELSEWHERE = rf"{_COMMANDS}|.*--(distribution|tfds_name|tfrecord_files)"
# A shell runs these.
_SHELL = r"(curl|printf|python -c)\b"
WITH_PYTHON = {**ENV, "PATH": os.pathsep.join([os.path.dirname(sys.executable), ENV["PATH"]])}
# The web page's runtime comes by npm.
_OFFLINE = "cannot fetch LiteRT.js"

# The programs of Magenta and their flags (image_stylization's README and sources).
_LOSSES = "content_weights style_weights style_coefficients vgg_checkpoint imagenet_data_dir style_dataset_file"
_TRAIN = f"""clip_gradient_norm learning_rate batch_size image_size num_styles alpha save_summaries_secs
    save_interval_secs train_steps train_dir ps_tasks task master {_LOSSES}"""
MAGENTA = {
    "image_stylization_create_dataset": "style_files output_file compute_gram_matrices vgg_checkpoint",
    "image_stylization_train": _TRAIN,
    "image_stylization_finetune": f"checkpoint {_TRAIN}",
    "image_stylization_evaluate": f"""style_grid style_crossover learning_curves batch_size image_size
        eval_interval_secs num_evals num_styles alpha eval_dir train_dir {_LOSSES}""",
    "image_stylization_transform": "num_styles alpha checkpoint input_image output_dir output_basename which_styles",
    "image_stylization_convert_tflite": "num_styles alpha checkpoint output_model quantize image_size",
}
MAGENTAS_DEFAULTS = {
    "batch_size": 16,
    "clip_gradient_norm": 0,
    "content_weights": {"vgg_16/conv3": 1.0},
    "image_size": 256,
    "learning_rate": 0.001,
    "save_interval_secs": 15,
    "save_summaries_secs": 15,
    "style_weights": dict.fromkeys([f"vgg_16/conv{block}" for block in (1, 2, 3, 4)], 1e-4),
    "train_steps": 40000,
}
OF_A_CLUSTER = {"ps_tasks", "task", "master"}
# Flags on the pages that are absl's own or belong to other programs.
_FOREIGN = {"flagfile", "help", "logdir"} | {
    *("direct_num_workers", "direct_running_mode", "runner", "dask_client_address", "dask_partition_size"),
    *("job_endpoint", "environment_type", "environment_config"),
    *("enable_batching", "batching_parameters_file", "memory", "restart"),
}


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(page: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Yields ("python", code) for fenced blocks and ("command", line) for indented ones, in order."""
    pattern = r"^```(\w+)\n(.*?)^```$|^\n((?:^    [^\n]*\n)+)"
    for language, fenced, indented in re.findall(pattern, read(page), re.DOTALL | re.MULTILINE):
        if language == "python":
            yield "python", fenced
        elif indented:
            for line in re.sub(r"\\\n\s*", "", indented).splitlines():
                yield "command", line[4:]


def without_code(text: str) -> str:
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^\n(?:^    .*\n)+", "\n", text, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with links to the project, and the files that the pages take for granted."""
    folder = tmp_path_factory.mktemp("template")
    for name in ("bin", "configs", "examples"):
        os.symlink(ROOT / name, folder / name)
    picture(0, (48, 40)).save(folder / "photo.jpg")
    picture(1, (48, 40)).save(folder / "painting.jpg")
    for name, count in {"photos": 3, "test_photos": 3, "paintings": 2, "my_paintings": 2}.items():
        (folder / name).mkdir()
        for k in range(count):
            picture(k, (48, 40)).save(folder / name / f"{name}{k}.jpg")
    clips.write_clip(folder / "clip.mp4", 2)
    (folder / "masks").mkdir()
    for k, name in enumerate(("sky", "town")):
        mask = Image.fromarray(np.uint8([[255 * (k == row)] for row in range(2)])).resize((24, 20))
        mask.save(folder / "masks" / f"{name}.png")
    np.savez(folder / VGG["vgg_checkpoint"], **narrow_vgg(19, [*CONVOLUTIONS_PER_BLOCK[19][:4], 1]))
    return folder


@pytest.fixture
def clone(template, tmp_path, monkeypatch):
    """A copy of the template, as the working directory of the test."""
    folder = tmp_path / "clone"
    shutil.copytree(template, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def small(monkeypatch):
    """Makes magstyle's functions quick: the settings above override the caller's."""

    def quick(name, function, *args, **kwargs):
        settings = dict(SMALL[name])
        if kwargs.get("initial_checkpoint"):  # The checkpoint sets the width.
            settings.pop("alpha", None)
        return function(*args, **{**kwargs, **settings})

    for name in SMALL:
        monkeypatch.setattr(magstyle, name, functools.partial(quick, name, getattr(magstyle, name)))


@pytest.fixture
def addresses():
    """The addresses of the servers that a page has, each with the one where it is tried."""
    with (
        servers.web_service() as service,
        servers.web_service("anything") as by_paintings,
        servers.tensorflow_serving("serving") as serving,
    ):
        yield {
            "http://localhost:8080": service,
            "http://localhost:8081": by_paintings,
            "http://localhost:8501": serving,
        }


def program_of(command: str) -> str | None:
    """The module of the program that a command runs, by `magstyle` or in bin/; None for any other command."""
    name, *words = command.removeprefix(".venv/bin/").split()
    if name == "magstyle":
        return commands.find(words)[0].module if words and words[0] not in ("--help", "COMMAND") else "commands"
    launcher = re.fullmatch(r"bin/(\w+)\.py", name)
    return launcher and launcher[1]


def run_command(command: str, folder: pathlib.Path) -> None:
    """Runs a command with small settings."""
    if re.match(_SHELL, command):
        subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=WITH_PYTHON, check=True)
        for name in re.findall(r"(?:--output|>) (\S+)", command):
            assert (folder / name).stat().st_size, name
        return
    program = program_of(command)
    assert program, f"no program: {command}"
    settings = " ".join(f"--{name}={value}" for name, value in SMALL.get(program, {}).items())
    shell = ["sh", "-c", f"printf '%s\\0' {command} {settings}"]
    arguments = subprocess.run(shell, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")[:-1]
    if arguments[0].startswith("bin/"):
        # Python runs it below; a shell needs the mode and the first line.
        assert os.access(folder / arguments[0], os.X_OK), arguments[0]
        assert read(folder / arguments[0]).startswith("#!/usr/bin/env python3\n"), arguments[0]
    else:
        arguments[0] = str(processes.console_script())
    result = processes.run(arguments, ENV, folder)
    if program == "build_page" and _OFFLINE in result.stderr:
        return
    assert result.returncode == 0, f"{command}\n{result.stderr}"
    for path in re.findall(r"^\S+/\S+$", result.stdout, re.MULTILINE):
        assert glob.glob(f"{folder / path}*"), path  # A Magenta checkpoint is several files.


def run_python(code: str, names: dict, folder: pathlib.Path) -> None:
    """Runs a block of Python, and checks that it wrote its files."""
    try:
        exec(compile(code, "page", "exec"), names)
    except magstyle.InputError as error:
        if "build_page" in code and _OFFLINE in str(error):
            return
        raise
    for name in re.findall(r'"([\w/]+\.(?:png|tflite|tfrecord))"', code):
        assert (folder / name).exists(), name


def prepare(page: pathlib.Path) -> None:
    """Makes the files that a page takes from earlier pages."""
    if page.stem == "magenta":
        magstyle.save_model(magstyle.StyleTransformer(2, alpha=0.1), "model.ckpt-40000")
    if page.stem == "evaluation":
        magstyle.create_style_dataset("paintings", "styles.tfrecord")
        names = ["paintings0", "paintings1"]
        magstyle.save_model(magstyle.StyleTransformer(2, alpha=0.1, style_names=names), "train/model-000002.keras")


@pytest.mark.parametrize("page", [page for page in PAGES if list(blocks(page))], ids=name_of)
def test_what_a_page_shows_works(page, clone, small, request):
    prepare(page)
    addresses = request.getfixturevalue("addresses") if page.stem == "server" else {}
    names = {}
    for kind, text in blocks(page):
        for shown, tried in addresses.items():
            text = text.replace(shown, tried)
        if kind == "python":
            run_python(text, names, clone)
        elif not re.match(_ELSEWHERE, text):
            run_command(text, clone)


def test_what_make_demo_ends_with_works(clone):
    suggested = re.findall(r'^\t@echo "    \$\(VENV\)/bin/(magstyle .*)"$', read(ROOT / "Makefile"), re.MULTILINE)
    assert len(suggested) == 3
    for command in suggested:
        run_command(command, clone)


def test_the_pages_show_every_program_and_every_public_function():
    text = "".join(map(read, PAGES))
    shown = {program_of(block) for page in PAGES for kind, block in blocks(page) if kind == "command"}
    programs = {command.module for command in commands.COMMANDS.values()}
    assert programs - shown <= {"models", "completion"}  # The pages name these in passing.
    for command in commands.COMMANDS:
        assert re.search(rf"magstyle {command}\b|magstyle photo", text), command
    for name in magstyle.__all__:
        assert re.search(rf"\b{name}\b", text), name


@pytest.fixture(scope="module")
def flags():
    """The flags of every program, by its name."""

    def of(program):
        text = processes.command(*program.words.split(), "--help").stdout
        return set(re.findall(r"^\s+(?:-\w,)?--(?:\[no\])?(\w+):", text, re.MULTILINE))

    return {program.module: of(program) for program in commands.COMMANDS.values()}


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name_of)
def test_the_flags_that_a_page_names_are_those_of_our_programs(page, flags):
    text = re.sub(r"\\\n\s*", "", read(page))
    known = set.union(_FOREIGN, *flags.values())
    for code in re.findall(
        r"`([^`\n]+)`|^    (.*)$", re.sub("^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.M
    ):
        code = "".join(code)
        program = program_of(code) if re.match(r"bin/|(\.venv/bin/)?magstyle ", code) else None
        allowed = flags.get(program, set()) | _FOREIGN if program else known
        if not re.match(r"(docker|dask|pip|python|curl)\b|\.venv/bin/p", code):
            for flag in re.findall(r"(?<![\w-])--(\w+)", code):
                assert flag in allowed or flag.removeprefix("no") in allowed, code


@pytest.mark.parametrize("program", MAGENTA)
def test_every_flag_of_magentas_programs_is_in_the_table_and_in_ours(program, flags):
    page = read(ROOT / "docs" / "magenta.md")
    ours = re.search(rf"^\| `{program}` \| `bin/(\w+)\.py` \|", page, re.MULTILINE)[1]
    section = page.split(f"### {program}\n")[1].split("\n#")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|(.*?)\|", section, re.MULTILINE))))
    assert named == set(MAGENTA[program].split())
    assert named - OF_A_CLUSTER <= flags[ours]


@pytest.mark.parametrize(
    ("program", "job"), [("image_stylization_train", TrainingJob), ("image_stylization_finetune", FinetuningJob)]
)
def test_a_flag_is_called_the_same_only_if_it_has_magentas_default(program, job):
    sections = {name: read(ROOT / "docs" / "magenta.md").split(f"### {name}\n")[1].split("\n#")[0] for name in MAGENTA}
    rows = re.findall(r"^\| (`.*) \| (.*) \|$", sections[program], re.MULTILINE)
    texts = {flag: text for flags, text in rows for flag in re.findall(r"`(\w+)`", flags)}
    ours = {field.name: field.default for field in dataclasses.fields(job)}
    ours["content_weights"] = {f"vgg_16/{name}": value for name, value in job.default_content_weights.items()}
    ours["style_weights"] = {f"vgg_16/{name}": value for name, value in job.default_style_weights.items()}
    for flag, default in MAGENTAS_DEFAULTS.items():
        assert texts[flag].startswith(("same", "as for training")) == (ours[flag] == default), flag
        if isinstance(default, int | float) and ours[flag] not in (default, None):
            assert texts[flag].startswith(f"{ours[flag]} by default, not {default}"), flag


def test_code_for_phones_takes_the_number_of_styles_from_the_model():
    """What we cannot run here holds no number of styles of a model that may change."""
    page = read(ROOT / "docs" / "phone.md")
    blocks = re.findall(r"^```(kotlin|swift)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert {language for language, _ in blocks} == {"kotlin", "swift"}
    for language, code in blocks:
        assert not re.search(r"FloatArray\(\d+\)|count: \d|\[16\]", code), (language, code)


def test_the_readme_has_at_most_150_lines():
    assert len(read(ROOT / "README.md").splitlines()) <= 150


def anchors(path: pathlib.Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", read(path), flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def prose(path: pathlib.Path) -> str:
    """The text of a page without its code, or the markdown cells of a notebook."""
    if path.suffix != ".ipynb":
        return without_code(read(path))
    return "\n".join(
        "".join(cell["source"]) for cell in json.loads(read(path))["cells"] if cell["cell_type"] == "markdown"
    )


@pytest.mark.parametrize("page", [*PAGES, *OTHERS, NOTEBOOK], ids=name_of)
def test_links_lead_somewhere_and_nothing_is_left_to_fill_in(page):
    text = prose(page)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if re.match("https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target
    assert not re.findall(r"<[^>\n]*>", text)
    for target in re.findall(r"\bmake (\w+)`|^    make (\w+)$", read(page), re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", read(ROOT / "Makefile"), re.MULTILINE), target


def test_the_design_page_names_every_module_and_only_what_is_there():
    page = read(ROOT / "docs" / "design.md")
    named = set(re.findall(r"`((?:magstyle|bin|configs|benchmarks|docs|examples|tests)/[\w./]*)`", page))
    missing = {path for path in named if not (ROOT / path).exists()}
    assert not missing
    programs = {f"magstyle/programs/{path.name}" for path in (ROOT / "bin").glob("*.py")}  # The page names their room.
    modules = {name_of(path) for path in (ROOT / "magstyle").rglob("*.py") if path.name != "__init__.py"}
    rooms = {path for path in named if path.endswith(".py")}
    assert modules - programs <= rooms


def layers() -> dict[str, int]:
    """The layer of every module by its path, from the table of the design page."""
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", read(ROOT / "docs" / "design.md"), re.MULTILINE)
    rooms = {room: int(layer) for layer, names in rows for room in re.findall("`(.*?)`", names)}
    found = {}
    for path in (ROOT / "magstyle").rglob("*.py"):
        name = name_of(path)
        if name != "magstyle/__init__.py":
            (found[name],) = (layer for room, layer in rooms.items() if name.startswith(room))
    return found


def imports(path: pathlib.Path) -> Iterator[str]:
    """Yields the paths of the magstyle modules that a module imports, anywhere in it."""

    def file_of(dotted: str) -> str | None:
        base = dotted.replace(".", "/")
        return next((name for name in (f"{base}.py", f"{base}/__init__.py") if (ROOT / name).exists()), None)

    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "magstyle":
            for alias in node.names:
                yield file_of(f"{node.module}.{alias.name}") or file_of(node.module)
        elif isinstance(node, ast.Import):
            yield from filter(None, (file_of(a.name) for a in node.names if a.name.startswith("magstyle.")))


def test_no_module_imports_from_a_layer_above_its_own():
    layer = layers()
    wrong = [
        f"{name} imports {imported}"
        for name in layer
        for imported in imports(ROOT / name)
        if layer.get(imported, layer[name]) < layer[name]
    ]
    assert not wrong


def test_the_reference_shows_every_public_name_with_its_docstring(tmp_path):
    makefile = read(ROOT / "Makefile")
    modules = re.search(r"^REFERENCE := (.*)$", makefile, re.MULTILINE)[1]
    command = re.search(r"-m (pdoc .*)$", makefile, re.MULTILINE)[1]
    command = command.replace("out/docs", str(tmp_path)).replace("$(REFERENCE)", modules)
    result = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    page = read(tmp_path / "magstyle.html")
    for name in magstyle.__all__:
        section = page.split(f'<section id="{name}">')[1].split("</section>")[0]
        assert 'class="docstring"' in section, name
    for module in modules.split()[1:]:
        assert (tmp_path / f"{module.replace('.', '/')}.html").exists(), module


def cells() -> list[dict]:
    return [cell for cell in json.loads(read(NOTEBOOK))["cells"] if cell["cell_type"] == "code"]


def test_the_code_of_the_notebook_runs(clone, small, monkeypatch):
    shutil.copy(ROOT / "examples" / "coffee.jpg", clone)
    # The cells need only this from IPython; a kernel would bring twenty packages along.
    display = types.ModuleType("IPython.display")
    display.Image = Image.open
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    names = {}
    for cell in cells():
        run_python("".join(cell["source"]), names, clone)


def test_the_notebook_holds_the_pictures_that_its_cells_show():
    assert NOTEBOOK.stat().st_size < 1_000_000
    for cell in cells():
        kinds = {kind for output in cell["outputs"] for kind in output.get("data", {})}
        assert all(output["output_type"] != "error" for output in cell["outputs"])
        if re.search(r"^show\(", "".join(cell["source"]), re.MULTILINE):
            assert "image/jpeg" in kinds, "".join(cell["source"])


def test_a_notebook_of_our_own_names_no_one_elses_machine():
    assert not re.search(r"/(home|root|work|tmp|Users)/", read(NOTEBOOK))
