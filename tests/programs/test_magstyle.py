"""The command `magstyle`: every program under one name, lists of what there is, and completion in shells."""

import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

import magstyle
from magstyle import InputError
from magstyle.checkpoints import model_cards
from magstyle.programs import commands
from tests import processes
from tests.places import ENV, ROOT
from tests.samples import picture

COMMANDS = commands.COMMANDS
PROGRAMS = {path.stem for path in (ROOT / "bin").glob("*.py")}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, with a photo in it."""
    picture(0, (48, 40)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*words):
    """The one sentence with which a command is refused."""
    result = processes.command(*words)
    assert (result.returncode, result.stdout) == (1, "")
    [sentence] = result.stderr.splitlines()
    return sentence


def test_every_program_has_a_command():
    assert {command.module for command in COMMANDS.values()} >= PROGRAMS


def test_help_shows_all_commands_on_one_screen():
    result = processes.command("--help")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert len(lines) < 24 and max(map(len, lines)) <= 80
    for command in COMMANDS.values():
        assert re.search(rf"^.{{10}}{command.words} +{re.escape(command.purpose)}$", result.stdout, re.MULTILINE)


def test_help_and_lists_import_no_heavy_library_and_no_program_but_their_own():
    code = (
        "import sys\nfrom magstyle.programs import launcher\nsys.argv = ['magstyle', *{words}]\n"
        "try: launcher.run('commands')\nexcept SystemExit: pass\n"
        "print(*sorted(name for name in sys.modules if name.startswith('magstyle.programs.')), file=sys.stderr)\n"
        "assert not {{'tensorflow', 'keras'}} & set(sys.modules)\n"
    )
    always, programs = {"commands", "launcher", "streams"}, {"command_line", "option_flags"}
    for words, own in (
        (["--help"], set()),
        (["styles"], {"styles", "shared_flags", *programs}),
        (["models"], {"models", *programs}),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code.format(words=words)], capture_output=True, text=True, env=ENV, cwd=ROOT
        )
        assert result.returncode == 0, result.stderr
        imported = {name.removeprefix("magstyle.programs.") for name in result.stderr.splitlines()[-1].split()}
        assert imported == always | own


def test_help_that_cannot_be_printed_is_one_sentence_or_silence():
    for redirected, code, sentence in (
        ("> /dev/full", 1, "magstyle: cannot write to standard output: No space left on device\n"),
        (">&-", 0, ""),
    ):
        command = f"{sys.executable} -m magstyle --help {redirected}"
        result = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, env=ENV, cwd=ROOT)
        assert (result.returncode, result.stderr) == (code, sentence)


def test_without_arguments_there_is_help_on_stderr():
    result = processes.command()
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"{commands.help_text()}\n"


@pytest.mark.parametrize(
    ("words", "module", "rest"),
    [
        ("photo.jpg", "stylize", "photo.jpg"),
        ("nowhere.jpg --sheet", "stylize", "nowhere.jpg --sheet"),
        ("photos/ --sheet", "stylize", "photos/ --sheet"),
        ("*.JPG", "stylize", "*.JPG"),
        ("./train", "stylize", "./train"),
        ("train.jpg", "stylize", "train.jpg"),
        ("--which_styles=all photo.jpg", "stylize", "--which_styles=all photo.jpg"),
        ("stylize train", "stylize", "train"),
        ("video clip.mp4 --help", "stylize_video", "clip.mp4 --help"),
        ("train --train_dir=train", "train", "--train_dir=train"),
        ("export tflite --quantize", "convert_tflite", "--quantize"),
        ("export saved-model", "export_saved_model", ""),
        ("dream", "deep_dream", ""),
    ],
)
def test_the_first_words_say_which_program_runs(words, module, rest):
    command, arguments = commands.find(words.split())
    assert (command.module, " ".join(arguments)) == (module, rest)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("tarin", "there is no command 'tarin', and no photo of that name; the nearest command is magstyle train"),
        ("Video", "there is no command 'Video', and no photo of that name; the nearest command is magstyle video"),
        (
            "deep_dream",
            "there is no command 'deep_dream', and no photo of that name; the nearest command is magstyle dream",
        ),
        ("xyz", "there is no command 'xyz', and no photo of that name; magstyle --help lists the commands"),
        ("export", "export what? magstyle export --help lists what there is"),
        ("export tflit", "export what? the nearest command is magstyle export tflite"),
        ("export photo.jpg", "export what? magstyle export --help lists what there is"),
    ],
)
def test_other_words_are_refused_in_one_sentence_with_the_nearest_command(words, sentence):
    with pytest.raises(InputError) as error:
        commands.find(words.split())
    assert str(error.value) == sentence
    if words == "tarin":
        assert refused(words) == f"magstyle: {sentence}"


def test_a_photo_or_folder_without_an_extension_is_painted_if_it_is_there(folder, small_checkpoint):
    (folder / "holiday").mkdir()
    picture(0, (48, 40)).save(folder / "holiday" / "a.jpg")
    result = processes.command("holiday", f"--checkpoint={small_checkpoint}")
    assert (result.returncode, result.stdout) == (0, "out/a_0.png\n"), result.stderr


def test_a_photo_that_is_called_like_a_command_is_said_not_to_be_painted(folder, small_checkpoint):
    picture(0, (48, 40)).save(folder / "train", "JPEG")
    note, error = processes.command("train").stderr.splitlines()
    assert note == "magstyle: train is a command; magstyle ./train paints what has that name here"
    assert error.startswith("magstyle train: ") and "--style_dataset_file" in error
    result = processes.command("./train", f"--checkpoint={small_checkpoint}")
    assert (result.stdout, result.stderr) == ("out/train_0.png\n", "")


def test_a_folder_that_is_called_like_a_command_is_told_of_only_where_nothing_else_is_typed(folder):
    (folder / "train").mkdir()
    assert processes.command("train").stderr.startswith("magstyle: train is a command;")
    assert refused("train", "--train_dir=train").startswith("magstyle train: ")


def test_a_photo_becomes_the_same_picture_as_by_the_program(run, small_checkpoint):
    arguments = ("photo.jpg", f"--checkpoint={small_checkpoint}", "--which_styles=all")
    ours = processes.command(*arguments, "--output_dir=ours")
    program = run("stylize", *arguments, "--output_dir=program")
    assert ours.stdout.replace("ours", "program") == program.stdout != ""
    # A bar is drawn anew as often as time allows.
    said, expected = (
        [line for line in result.stderr.splitlines() if "picture/s" not in line] for result in (ours, program)
    )
    assert said == expected
    for path in program.stdout.split():
        assert Image.open(path).tobytes() == Image.open(path.replace("program", "ours")).tobytes()


@pytest.mark.parametrize(
    "command",
    [command for command in COMMANDS.values() if command.module in PROGRAMS],
    ids=lambda command: command.words,
)
def test_help_is_that_of_the_program_with_commands_that_can_be_typed(command, run):
    result, program = processes.command(*command.words.split(), "--help"), run(command.module, "--help")
    shown = result.stdout
    assert (result.returncode, result.stderr) == (program.returncode, program.stderr)
    assert not re.search(r"\bbin/|\.py\b", shown)
    assert f"\nmagstyle {command.words}:\n" in shown
    assert shown.split("\nflags:\n")[1].split("\n", 2)[2] == program.stdout.split("\nflags:\n")[1].split("\n", 2)[2]
    lines = shown.split("\nflags:\n")[0].splitlines()
    for line in [line for line in lines if line.startswith("magstyle ")]:
        assert commands.find(line.split()[1:])[0] == command


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("finetune", "magstyle finetune: give --style_dataset_file and --train_dir; --help shows how"),
        ("video", "magstyle video: which clip, and where to? "),
        ("--nonsense photo.jpg", "magstyle: Unknown command line flag 'nonsense'"),
        (
            "photo.jpg --which_stiles=all",
            "magstyle: Unknown command line flag 'which_stiles'. Did you mean: which_styles",
        ),
        ("nowhere.jpg", "magstyle: no image at nowhere.jpg"),
        ("export tflite --output_model=a --precision=int8", "magstyle export tflite: "),
        ("styles --checkpoint=nowhere", "magstyle styles: there is no checkpoint at nowhere; "),
        ("styles painters more", "magstyle styles: unexpected argument more"),
        ("styles --photo=photo.jpg", "magstyle styles: --photo needs --sheet=FILE"),
        ("styles --sheet=a.xyz", "magstyle styles: cannot write a.xyz: its name must end in one of "),
        ("styles --sheet=photo.jpg --photo=photo.jpg", "magstyle styles: photo.jpg would overwrite the image"),
        ("models more", "magstyle models: unexpected argument more"),
        ("completion", "magstyle completion: for which shell? magstyle completion takes one of bash, zsh, fish"),
    ],
)
def test_a_refusal_begins_with_what_was_typed(words, sentence):
    assert refused(*words.split()).startswith(sentence)


def test_flag_files_work_as_in_the_programs(folder, small_checkpoint):
    (folder / "mine.cfg").write_text(f"--checkpoint={small_checkpoint}\n--output_dir=pictures\n")
    result = processes.command("--flagfile=mine.cfg", "photo.jpg")
    assert result.stdout == "pictures/photo_0.png\n", result.stderr


def test_python_runs_the_package():
    result = subprocess.run(
        [sys.executable, "-m", "magstyle", "tarin"], capture_output=True, text=True, env=ENV, cwd=ROOT
    )
    assert (result.returncode, result.stderr[:30]) == (1, "magstyle: there is no command ")


def test_models_are_the_bundled_ones_and_those_in_this_folder(folder, small_model, small_checkpoint):
    (folder / "learned").mkdir()
    shutil.copy(small_checkpoint, folder / "learned" / "model-000002.keras")
    (folder / "broken.keras").write_bytes(b"no model")
    (folder / "painters").mkdir()
    shutil.copy(small_checkpoint, folder / "painters" / "model.keras")
    result = processes.command("models")
    assert result.returncode == 0
    assert re.search(r"^painters +22 styles +1\.0 MB  Twenty-two styles of painters .*\.$", result.stdout, re.M)
    assert re.search(r"^anything +any painting +\d\.\d MB  Paints in the style of any .*\.$", result.stdout, re.M)
    names = ", ".join(small_model.style_names)
    for name in ("learned", r"\./painters"):
        assert re.search(rf"^{name} +3 styles +\d+\.\d MB  {names}$", result.stdout, re.MULTILINE)
    assert "broken.keras" in result.stderr and "broken.keras" not in result.stdout


def test_styles_are_listed_with_painter_title_and_year_as_far_as_they_are_known(folder, small_checkpoint, small_model):
    lines = processes.command("styles").stdout.splitlines()
    assert lines[7] == " 7  munch-the-scream                        Edvard Munch, The Scream, 1893"
    assert lines[10] == "10  signac-rodez                            Paul Signac, Rodez"
    assert [line.split()[1] for line in lines] == list(magstyle.Stylizer("painters").network.style_names)
    for words in ([small_checkpoint], [f"--checkpoint={small_checkpoint}"]):
        listed = processes.command("styles", *words).stdout.splitlines()
        assert listed == [f"{number:2}  {name}" for number, name in enumerate(small_model.style_names)]


def test_every_style_of_a_bundled_model_has_a_painting_and_every_model_a_purpose():
    for name in magstyle.bundled_models():
        assert "style" in model_cards.purposes()[name]
        network = magstyle.Stylizer(name).network
        for style in () if network.predictor else network.style_names:
            assert all(model_cards.paintings()[style][:2])


def test_styles_can_be_seen_on_a_sheet_of_any_photo(folder, small_checkpoint):
    result = processes.command("styles", small_checkpoint, "--sheet=new/sheet.png", "--photo=photo.jpg")
    assert (result.returncode, result.stdout) == (0, "new/sheet.png\n"), result.stderr
    assert Image.open("new/sheet.png").size == (2 * 320, 2 * (24 + 267))  # The photo and three pictures.
    assert processes.command("styles", small_checkpoint, "--sheet=pagoda.jpg").stdout == "pagoda.jpg\n"
    result = processes.command("styles", "anything", "--sheet=new/none.png")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("magstyle styles: anything paints in the style of any painting")


@pytest.fixture(scope="module")
def scripts():
    """What `magstyle completion` prints, by shell."""
    return {shell: processes.command("completion", shell).stdout for shell in ("bash", "zsh", "fish")}


@pytest.fixture(scope="module")
def complete(scripts, tmp_path_factory):
    """Completes the last word of a line in bash, given the words as bash splits them."""
    path = tmp_path_factory.mktemp("completion") / "magstyle.bash"
    path.write_text(scripts["bash"])

    def call(*words):
        line = " ".join(map(repr, words))
        code = (
            f". {path}; complete -p magstyle > /dev/null || exit; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}\n"
            "_magstyle 2>&1; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()

    return call


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("magstyle vid", "video"),
        ("magstyle st", "stylize styles style-dataset"),
        ("magstyle pho", ""),  # Bash completes names of files by itself.
        ("magstyle p", "page photo.jpg"),
        ("magstyle export ", "saved-model tflite onnx"),
        ("magstyle export tflite --prec", "--precision="),
        ("magstyle export tflite --precision = f", "float32 float16"),
        ("magstyle export tflite --precision =", "float32 float16 dynamic_int8 int8"),
        ("magstyle video --fp", "--fps="),
        ("magstyle photo.jpg --she", "--sheet"),
        ("magstyle --preserve", "--preserve_color"),
        ("magstyle photo.jpg --format = j", "jpg jpeg"),
        ("magstyle train --mixed_precision = a", "auto"),
        ("magstyle evaluate --nolear", "--nolearning_curves"),
        ("magstyle train --flagf", "--flagfile="),
        ("magstyle styles --sh", "--sheet="),
        ("magstyle video --checkpoint = p", ""),
        ("magstyle completion ", "bash zsh fish"),
        ("magstyle video cl", ""),
    ],
)
def test_bash_completes_commands_flags_and_values(complete, words, found):
    assert complete(*words.split(" ")) == found.split()


def test_completion_has_every_flag_of_every_command(scripts, complete):
    for command in COMMANDS.values():
        text = processes.command(*command.words.split(), "--help").stdout
        known = complete("magstyle", *command.words.split(), "--")
        for flag in re.findall(r"^  (?:-\w,)?--(?:\[no\])?(\w+):", text, re.MULTILINE):
            assert {f"--{flag}", f"--no{flag}", f"--{flag}="} & set(known), (command.words, flag)
            assert f"--{flag}" in scripts["zsh"] or f"--no{flag}" in scripts["zsh"]
            assert re.search(rf"-l (no)?{flag} ", scripts["fish"])


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_their_scripts(shell, scripts, folder):
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    (folder / "script").write_text(scripts[shell])
    result = subprocess.run([shell, "-n", "script"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
