"""What all programs have in common: help, refusals, flag files, and errors in the words of flags."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from absl import flags

from magstyle.errors import InputError
from magstyle.programs import command_line, launcher
from tests.places import ENV, ROOT

PROGRAMS = sorted(path.stem for path in (ROOT / "bin").glob("*.py"))
# What is refused before anything heavy is imported, by what it says.
REFUSED = [
    (["stylize", "--format=gif", "--input_image=a.jpg", "--output_dir=out"], "value should be one of"),
    (["stylize", "--output_dir=out"], "which photo? Give its name, here or by --input_image"),
    (
        ["stylize", "--input_image=examples", "--output_dir="],
        "flag --output_dir=: must be the path of a file or a folder",
    ),
    (["train", "--style_dataset_file=a", "--train_dir="], "flag --train_dir=: must be the path of a file or a folder"),
    (["create_style_dataset", "--style_files=a", "--output_file="], "flag --output_file=: must be the path of a file"),
    (["stylize", "--input_image=nowhere.jpg", "--output_dir=out"], "no image at nowhere.jpg"),
    (["train", "--nonsense"], "Unknown command line flag 'nonsense'"),
    (
        ["finetune", "--ps_tasks=1"],
        "--ps_tasks has gone with TensorFlow 1's parameter servers; --distribution=multi_worker",
    ),
    (["stylize", "--task=1"], "Unknown command line flag 'task'"),
    (["train", "--style_dataset_file=a", "--train_dir=b", "--image_size=33"], "must be a multiple of 4"),
    (["stylize", "examples/coffee.jpg", "--alpha=nan"], "--alpha=nan must be a number from 0.03125 to 32"),
    (
        ["train", "--style_dataset_file=a", "--train_dir=b", "--seed=4294967296"],
        "--seed=4294967296 must be a whole number from 0 to 4294967295",
    ),
    (
        ["create_style_dataset", "--style_files=a", "--output_file=~nosuchuser/a"],
        "cannot find ~nosuchuser/a: that user has no home folder",
    ),
    (["train", "--style_dataset_file=a", "--train_dir=b"], "give the photos by one of --content_files, "),
    (
        ["finetune", "--style_dataset_file=a", "--train_dir=b", "--flagfile=nowhere"],
        "cannot read the flag file nowhere",
    ),
    (["convert_checkpoint", "--output=README.md"], "README.md exists already; remove it first"),
    (["convert_checkpoint", "--output=a.keras", "more"], "unexpected argument more"),
    (["convert_tflite", "--output_model=a", "--precision=int8"], "needs --representative_images"),
    (["stylize_dataset", "--output_dir=a", "--tfds_name=a", "--num_shards=2"], "--num_shards is for TFRecord shards"),
    (["evaluate", "--style_dataset_file=a", "--eval_dir=b", "--tfds_name=a", "more"], "unexpected argument more"),
]


# Libraries of some programs that take long to import.
HEAVY = {
    "ai_edge_litert",
    "apache_beam",
    "av",
    "cv2",
    "h5py",
    "jax",
    "keras",
    "onnx",
    "pillow_heif",
    "scipy",
    "tensorflow",
}


def run_at_once(program: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs a program, which must import nothing that takes seconds; its time would depend on other work here."""
    command = [sys.executable, "-X", "importtime", f"bin/{program}.py", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=ENV, cwd=ROOT)
    imported, said = [], []
    for line in result.stderr.splitlines(keepends=True):
        (imported if line.startswith("import time:") else said).append(line)
    packages = {line.rpartition("|")[2].strip().partition(".")[0] for line in imported}
    assert "absl" in packages and not HEAVY & packages
    result.stderr = "".join(said)
    return result


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_comes_at_once_and_shows_what_the_program_is_for_and_its_flags(program):
    result = run_at_once(program, "--help")
    shown = re.sub(r"\s+", " ", result.stdout)
    assert f"bin/{program}.py --" in shown
    module = __import__(f"magstyle.programs.{program}", fromlist=["__doc__"])
    assert module.__doc__.splitlines()[0] in shown
    of_vgg = (
        "create_style_dataset",
        "train",
        "train_predictor",
        "distil",
        "evaluate",
        "neural_style",
        "reconstruct",
        "deep_dream",
    )
    assert "--checkpoint: " in shown or program in of_vgg


@pytest.mark.parametrize(("command", "sentence"), REFUSED)
def test_what_is_refused_is_refused_at_once(command, sentence):
    result = run_at_once(*command)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith(f"{command[0]}.py: ") and sentence in result.stderr


def to(stdout, *arguments):
    """What stylize.py says on stderr, and its exit code."""
    command = [sys.executable, "bin/stylize.py", *map(str, arguments)]
    result = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=ENV, cwd=ROOT)
    return result.returncode, result.stderr


@pytest.mark.parametrize("flag", ["--help", "--helpfull", "--helpxml"])
def test_help_whose_reader_has_gone_is_silent(flag):
    reader, writer = os.pipe()
    os.close(reader)
    assert to(writer, flag) == (1, "")
    os.close(writer)


@pytest.mark.parametrize("flag", ["--help", "--helpfull"])
def test_what_cannot_be_printed_is_one_sentence(flag):
    with open("/dev/full", "w") as full:
        assert to(full, flag) == (1, "stylize.py: cannot write to standard output: No space left on device\n")


def test_a_program_works_without_standard_output(small_checkpoint, tmp_path):
    arguments = f"examples/coffee.jpg --image_size=32 --checkpoint={small_checkpoint} --output_dir={tmp_path}"
    for closed in (">&-", ">&- 2>&-", "<&- >&- 2>&-"):
        result = subprocess.run(f"{sys.executable} bin/stylize.py {arguments} {closed}", shell=True, env=ENV, cwd=ROOT)
        assert result.returncode == 0
        (tmp_path / "coffee_0_32px.png").unlink()


def test_names_of_files_that_are_no_text_are_printed_as_they_are(small_checkpoint, tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    shutil.copy(ROOT / "examples" / "coffee.jpg", name)
    command = [sys.executable, "bin/stylize.py", name, "--image_size=32", f"--checkpoint={small_checkpoint}"]
    result = subprocess.run([*command, f"--output_dir={tmp_path}", "--sheet"], capture_output=True, env=ENV, cwd=ROOT)
    folder = os.fsencode(tmp_path)
    assert result.stdout.splitlines() == [folder + b"/caf\xe9_0_32px.png", folder + b"/caf\xe9_sheet_32px.png"], (
        result.stderr
    )


def test_launchers_are_four_lines_and_executable():
    for program in PROGRAMS:
        path = ROOT / "bin" / f"{program}.py"
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
        assert lines == [
            "#!/usr/bin/env python3",
            "from magstyle.programs import launcher",
            'if __name__ == "__main__":  # Workers that are spawned import it again.',
            f'    launcher.run("{program}")',
        ]
        assert os.access(path, os.X_OK)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("program", "words", "module"), [("stylize", "", "stylize"), ("commands", "video", "stylize_video")]
)
def test_a_program_that_is_told_to_stop_while_it_is_imported_ends_in_silence(number, program, words, module):
    # The first import of the program's module does not end; there is nothing to wait for but the signal.
    code = (
        "import signal, sys, time\nfrom magstyle.programs import launcher\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # Whoever runs the tests may ignore it.
        "class Slow:\n    def find_spec(self, name, *_):\n"
        f"        if name == 'magstyle.programs.{module}':\n            print(flush=True)\n            time.sleep(60)\n"
        f"sys.meta_path.insert(0, Slow())\nsys.argv = ['magstyle', *{words.split()}]\nlauncher.run('{program}')"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=ENV, cwd=ROOT, **pipes) as process:
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait() == 128 + number
        assert process.stderr.read() == b""


def test_a_signal_that_a_program_was_started_to_ignore_as_by_nohup_does_not_stop_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert launcher.stopping_signals() == [signal.SIGINT, signal.SIGTERM]
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert signal.SIGHUP in launcher.stopping_signals()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    "command",
    [
        "stylize examples/coffee.jpg --checkpoint=random:0 --output_dir=OUT/LONG",
        "stylize examples/coffee.jpg --checkpoint=random:0 --output_dir=OUT --output_basename=LONG",
        "stylize_video examples/coffee.jpg OUT/LONG.mp4 --checkpoint=random:0",
        "neural_style --content_image=examples/coffee.jpg --style_images=examples --output_image=OUT/LONG.png",
        "reconstruct --input_image=examples/coffee.jpg --end_point=conv1_1 --output_image=OUT/LONG.png",
        "deep_dream --input_image=examples/coffee.jpg --output_image=OUT/LONG.gif --frames=2",
        "figure --kind=strip --content_images=examples/coffee.jpg --which_styles=0,1 --output_image=OUT/LONG.png",
        "convert_checkpoint --checkpoint=random:0 --output=OUT/LONG.keras",
        "convert_tflite --checkpoint=random:0 --output_model=OUT/LONG.tflite",
        "convert_onnx --checkpoint=random:0 --output_model=OUT/LONG.onnx",
        "create_style_dataset --style_files=examples/coffee.jpg --output_file=OUT/LONG.tfrecord",
        "export_saved_model --checkpoint=random:0 --output_dir=OUT/LONG",
        "build_page --checkpoint=random:0 --output_dir=OUT/LONG",
        "stylize_dataset --checkpoint=random:0 --content_files=examples --output_dir=OUT/LONG",
        "train --style_dataset_file=none --content_files=examples --train_dir=OUT/LONG",
        "evaluate --style_dataset_file=none --content_files=examples --checkpoint=random:0 --eval_dir=OUT/LONG",
    ],
)
def test_a_name_that_is_too_long_is_one_sentence_before_any_work(refused, command, tmp_path):
    words = command.replace("OUT", f"{tmp_path}/out").replace("LONG", 256 * "x").split()
    assert "File name too long" in refused(*words, cwd=ROOT)
    assert not (tmp_path / "out").exists()


def test_importing_every_program_does_nothing():
    code = (
        "import signal, sys\n"
        "from absl import app, flags\n"  # Both define flags of their own.
        "before = set(flags.FLAGS), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)\n"
        f"for name in {PROGRAMS}:\n"
        "    __import__(f'magstyle.programs.{name}')\n"
        "assert (set(flags.FLAGS), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=ENV, cwd=ROOT)


def test_flag_files_name_files_beside_them(tmp_path, monkeypatch):
    (tmp_path / "configs" / "more").mkdir(parents=True)
    (tmp_path / "configs" / "a.cfg").write_text("# A comment.\n--one=1\n\n--flagfile=more/b.cfg\n--four\n")
    (tmp_path / "configs" / "more" / "b.cfg").write_text("// Another.\n--flagfile=c.cfg\n--three=3\n")
    (tmp_path / "configs" / "more" / "c.cfg").write_text("--two=a b\n")
    monkeypatch.chdir(tmp_path)
    expected = ["program", "--one=1", "--two=a b", "--three=3", "--four", "--five"]
    assert command_line.with_flagfiles(["program", "--flagfile=configs/a.cfg", "--five"]) == expected
    assert command_line.with_flagfiles(["program", "-flagfile", "configs/a.cfg", "--five"]) == expected
    assert command_line.with_flagfiles(["program", "--", "--flagfile=x"]) == ["program", "--", "--flagfile=x"]


def test_flag_files_of_configs_need_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = command_line.with_flagfiles(["program", "--flagfile=painters.cfg"])
    assert "--alpha=0.5" in found and "--checkerboard_weight=600" in found
    (tmp_path / "painters.cfg").write_text("--mine\n")
    assert command_line.with_flagfiles(["program", "--flagfile=painters.cfg"]) == ["program", "--mine"]
    with pytest.raises(InputError, match=r"cannot read the flag file nowhere/painters\.cfg: No such file"):
        command_line.with_flagfiles(["program", "--flagfile=nowhere/painters.cfg"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"--flagfile=a.cfg\n", "names itself"),
        (b"\xff\xfe", "it is not a text file"),
        (None, "No such file or directory"),
    ],
)
def test_flag_files_that_cannot_be_used_are_refused(tmp_path, monkeypatch, content, sentence):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "a.cfg").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        command_line.with_flagfiles(["program", "--flagfile=a.cfg"])


def test_texts_become_literals_and_others_stay_as_they_are():
    for text, value in [("[0, 'a']", [0, "a"]), ("{'a': 1}", {"a": 1}), ("wave", "wave"), ("7", 7), (None, None)]:
        assert command_line.literal(text) == value
    assert command_line.literal("[" * 10000) == "[" * 10000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1984", "1984"), ("19", 19), ("'1984'", "1984"), ("all", "all"), ("alm", "almond"), ("", "")],
        *[("wave", "wave"), ("l'eau, morte", "l'eau, morte"), ("LEAU", "LEAU"), ("[]", []), ("{}", {})],
        *[("0, wave ,'pale'", [0, "wave", "pale-wave"]), ("(wave, -1)", ["wave", -1]), ("l'eau", "l'eau, morte")],
        *[("{wave: .5, 1984: -1}", {"wave": 0.5, "1984": -1}), ("{pale wave:1e-3}", {"pale-wave": 1e-3})],
    ],
)
def test_styles_are_numbers_names_without_quotes_and_parts_of_names(flag_of_styles, text, value):
    flag_of_styles(text)
    assert command_line.styles("styles", ["wave", "pale-wave", "almond", "1984", "l'eau, morte"], "all") == value


@pytest.mark.parametrize("text", ["[wave", "{wave}: 1", "{[0]: 1}", "(" * 10000])
def test_styles_in_brackets_that_do_not_match_are_refused(flag_of_styles, text):
    flag_of_styles(text)
    with pytest.raises(InputError, match=re.escape(f"--styles={text} must be such as wave,")):
        command_line.styles("styles", ["wave"])


@pytest.mark.parametrize(
    "text", ["{wave: 0.6, great-wave: 0.4}", "{wave: 0.6, wave: 0.4}", "{'wave': 0.6, 0: 0.4}", " {0: 0.6, 0: 0.4}"]
)
def test_a_mixture_that_names_a_style_twice_is_refused(flag_of_styles, text):
    flag_of_styles(text)
    with pytest.raises(InputError, match=re.escape(f"--styles={text} names a style twice")):
        command_line.styles("styles", ["great-wave", "scream"])


@pytest.fixture
def flag_of_styles():
    """Defines the flag --styles, and gives what sets it."""
    flags.DEFINE_string("styles", None, "")
    yield lambda text: flags.FLAGS["styles"].parse(text)
    del flags.FLAGS.styles


def test_an_error_names_flags_where_the_library_names_arguments(refused, small_checkpoint, tmp_path):
    photos = [f"--input_image={ROOT / 'examples'}", f"--output_dir={tmp_path / 'out'}"]
    sentence = refused("stylize", f"--checkpoint={small_checkpoint}", *photos, "--which_styles={}")
    assert sentence.startswith("stylize.py: --which_styles={} must be a style, all, ")
    sentence = refused("stylize", f"--checkpoint={small_checkpoint}", *photos, "--num_styles=2")
    assert sentence == f"stylize.py: {small_checkpoint} has 3 styles, not --num_styles=2"
