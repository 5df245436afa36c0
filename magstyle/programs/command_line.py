"""The command line of every program: flags parsed by absl, and one sentence for every foreseeable failure.

Ctrl-C, SIGTERM and SIGHUP end a program cleanly, with exit codes 130, 143 and 129; an `InputError` or a refused flag
ends it with 1.
"""

import ast
import contextlib
import gc
import inspect
import os
import pathlib
import re
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

from absl import app, flags, logging

from magstyle import files, limits, names, options, project
from magstyle.errors import InputError
from magstyle.programs import commands, launcher, option_flags, streams
from magstyle.silence import silent_stderr

FLAGS = flags.FLAGS
# Flags of Magenta's training programs.
_OF_PARAMETER_SERVERS = ("master", "ps_tasks", "task")
_SUCCESSOR = (
    "has gone with TensorFlow 1's parameter servers; --distribution=multi_worker trains on the machines of TF_CONFIG, "
    "as docs/training.md shows"
)


def run(define_flags: Callable[[], None], main: Callable[[list[str]], None]) -> None:
    """Runs a program, to its exit.

    Args:
        define_flags: defines its flags.
        main: does its work, given the arguments that follow the flags. It imports heavy libraries itself, so that help
            and refusals come at once.
    """
    launcher.on_stop(_stop)  # Unfinished work cleans up after itself.
    streams.prepare()
    # Pillow warns of damage that it can live with and of large files; whether a photo fits, the stylizer says.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    define_flags()
    # absl shows the docstring of the main module and the flags of sys.argv[0], which a launcher does not have.
    sys.modules["__main__"].__doc__ = commands.in_commands(sys.modules[main.__module__].__doc__ or "")
    for flag in FLAGS.get_key_flags_for_module(define_flags.__module__):
        FLAGS.register_key_flag_for_module(sys.argv[0], flag)

    def guarded(argv: list[str]) -> None:
        try:
            with project.needing_tensorflow("this"):
                main(argv[1:])
        except InputError as error:
            streams.exit_with(_in_flags(error))

    def parse_or_exit(argv: list[str]) -> list[str]:
        try:
            return parse(argv)
        except flags.UnrecognizedFlagError as error:
            gone = error.flagname in _OF_PARAMETER_SERVERS and "distribution" in FLAGS
            streams.exit_with(f"--{error.flagname} {_SUCCESSOR}" if gone else str(error))
        except flags.Error as error:
            missing = re.findall(r"--(\w+) must have a value other than None", str(error))
            asked_for = f"give --{' and --'.join(missing)}; --help shows how"
            streams.exit_with(asked_for if missing else _of_another_kind(error))
        except InputError as error:
            streams.exit_with(_in_flags(error))

    try:
        app.run(guarded, flags_parser=parse_or_exit)
    finally:
        sys.stdout.flush()
        gc.freeze()  # The system is about to take this memory back, so nothing need be collected.


def _of_another_kind(error: flags.Error) -> str:
    """The error as a sentence, also where a value is not even of its kind: absl's parsers pass on what Python says."""
    found = re.match(r"flag --(\w+)=(.*?): (?!must be )", str(error), re.DOTALL)
    flag = FLAGS[found[1]] if found and found[1] in FLAGS else None
    kinds = {"int": "a whole number", "float": "a number", "bool": "true or false"}
    kind = None if flag is None else kinds.get(flag.flag_type())
    if found is None or kind is None:
        return str(error)
    within = options.limits_of(flag.annotation) if isinstance(flag, option_flags.NumberFlag) else None
    return f"--{found[1]}={found[2]} must be {limits.in_words(within) if within else kind}"


def parse(argv: Sequence[str]) -> list[str]:
    """Parses flags, and returns the rest: the program's name, then the arguments.

    Raises:
        flags.Error, InputError: for flags that are refused.
    """
    arguments = FLAGS(with_flagfiles(list(argv)))
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # TensorFlow logs by absl what it does while it saves a model.
    for name in FLAGS:
        flag = FLAGS[name]
        if isinstance(flag, option_flags.NumberFlag):
            options.check_value(name, flag.value, flag.annotation)
        elif type(flag.value) in (int, float):
            any_number = limits.ANY_WHOLE_NUMBER if type(flag.value) is int else limits.ANY_NUMBER
            limits.check_number(name, flag.value, any_number)
    return arguments


def with_flagfiles(argv: list[str], folder: str = "", within: tuple[str, ...] = ()) -> list[str]:
    """The arguments, each --flagfile=NAME replaced by the flags in that file.

    As absl does it, except that a file named by another is looked for beside that one before the current folder, and a
    name without a folder, last of all, among the configs/ that come with the package.
    """
    found: list[str] = []
    rest = iter(argv)
    for argument in rest:
        if argument == "--":
            return [*found, argument, *rest]
        match = re.fullmatch(r"--?flagfile(?:=(.*))?", argument)
        if not match:
            found.append(argument)
            continue
        name = os.path.expanduser(next(rest, "") if match[1] is None else match[1])
        places = [os.path.join(folder, name), name]
        if name == os.path.basename(name):
            places.append(str(project.file("configs", name)))
        path = os.path.realpath(next(filter(os.path.exists, places), name))
        if path in within:
            raise InputError(f"the flag file {path} names itself")
        try:
            with open(path, encoding="utf-8") as file:
                lines = [line.strip() for line in file]
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise InputError(f"cannot read the flag file {name}: {reason}") from error
        given = [line for line in lines if line and not line.startswith(("#", "//"))]
        found += with_flagfiles(given, os.path.dirname(path), (*within, path))
    return found


def import_tensorflow() -> None:
    """Imports TensorFlow without the lines about CUDA drivers that it logs, unless TF_CPP_MIN_LOG_LEVEL is 0 or 1.

    To be called before anything that imports it, and before any work. TensorFlow 2.21 logs while it is imported,
    whatever that variable says (tensorflow/tensorflow#100442).

    Raises:
        InputError: if it is installed but broken.
        ModuleNotFoundError: if it is not installed; `run` says so in a sentence.
    """
    wanted = os.environ.get("TF_CPP_MIN_LOG_LEVEL") in ("0", "1")
    silence = contextlib.nullcontext() if wanted else silent_stderr()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with silence:
            import tensorflow  # noqa: F401
    except Exception as error:  # Native libraries fail in many ways.
        if isinstance(error, ModuleNotFoundError) and error.name == "tensorflow":
            raise
        # TensorFlow raises an ImportError whose message is the traceback of the error that tells the reason.
        reason = error.__context__ or error
        raise InputError(f"cannot import TensorFlow: {type(reason).__name__}: {reason}") from error


def import_litert() -> None:
    """Imports LiteRT without what it logs with the first graph of a process."""
    from magstyle.litert import runtime

    runtime.start()


def print_above_bars(line: str, file: TextIO | None = None) -> None:
    """Prints a line to stdout, or to another file, above the progress bars of tqdm if there are any."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(line, file)
    else:
        print(line, file=file)


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Prints the rows of a table; on a terminal that is too narrow, the last column on lines of its own."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    last = "  " if sum(widths) + 2 * len(widths[1:]) <= room else "\n    "
    for *firsts, end in rows:
        line = "  ".join(f"{text:{width}}" for text, width in zip(firsts, widths, strict=False))
        print(f"{line}{last}{end}" if end else line.rstrip())


def start_again() -> None:
    """Replaces this process by the same program, from its start."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)  # Set by `import_tensorflow`, which asks for it to be unset.
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def refuse(arguments: Sequence[str]) -> None:
    """Raises an InputError if there is any argument beside the flags."""
    if arguments:
        raise InputError(f"unexpected argument {arguments[0]}")


def path_of(flag: str) -> pathlib.Path | None:
    """The value of a flag as a path, "~" expanded; None where it has none."""
    value = FLAGS[flag].value
    return files.expanded(value) if value else None


def new_path_of(flag: str, *suffixes: str, suffix: str | None = None) -> pathlib.Path:
    """The value of a required flag as a path at which there must be no file yet, with or without one of the suffixes.

    If a `suffix` is given, a folder stands for the file in it that has the name of --checkpoint and that suffix.
    """
    path = files.expanded(getattr(FLAGS, flag))
    if suffix is not None:
        checkpoint = FLAGS.checkpoint
        path = files.inside(path, checkpoint[0] if isinstance(checkpoint, list) else checkpoint, suffix)
    for taken in (path, *(path.with_name(path.name + suffix) for suffix in suffixes)):
        files.check_new(taken, flag)
    return path


def literal(text: str | None) -> Any:
    """The value that a text writes down in Python's syntax, such as a list or a dictionary; else the text itself."""
    try:
        return text and ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text


def styles(flag: str, style_names: Sequence[str], *words: str) -> Any:
    """The styles that a flag gives: one, several or a mixture, by number, name or part of a name.

    The names need no quotes: `wave`, `wave, 7`, `[wave, 7]` and `{wave: 0.6, 7: 0.4}`. A part stands for the one name
    that begins with it or, where none does, for the one that contains it; stderr says for which.

    Args:
        flag: the flag.
        style_names: those of the model.
        words: other values that the flag takes, such as "all".

    Raises:
        InputError: for a part of several names, or brackets that do not match.
    """
    text = FLAGS[flag].value
    if text is None or text in words or (text in style_names and not text.isdecimal()):
        return text
    quoted, found = text, literal(text)
    if found == text:
        quoted = re.sub(r"""'[^']*'|"[^"]*"|[^][{}(),:'"]+""", _quoted, text)
        found = literal(quoted)
        if found == quoted:
            if re.search(r"[][{}()]", text):
                raise InputError(f'--{flag}={text} must be such as wave, "wave, 7" or "{{wave: 0.6, 7: 0.4}}"')
            found = text
    if isinstance(found, dict):
        mixture = {_style(style, flag, style_names): weight for style, weight in found.items()}
        numbers = {style_names.index(style) if style in style_names else style for style in mixture}
        if len(numbers) < _keys_in(quoted):
            raise InputError(f"--{flag}={text} names a style twice")
        return mixture
    if isinstance(found, list | tuple):
        return [_style(style, flag, style_names) for style in found]
    return _style(found, flag, style_names)


def style(flag: str, style_names: Sequence[str], *words: str) -> int | str | dict[int | str, float] | None:
    """The one style or mixture that a flag gives, as `styles` takes it; None where it has no value."""
    found = styles(flag, style_names, *words)
    if found == {} or not isinstance(found, int | str | dict | None):
        raise InputError(f'--{flag}={FLAGS[flag].value} must be a style or a mixture such as "{{0: 0.6, scream: 0.4}}"')
    return found


def files_and_styles(flag: str, style_names: Sequence[str]) -> list[tuple[str, int | str]]:
    """The values FILE:STYLE of a flag, each as the file and the style, by number, name or part of a name.

    Raises:
        InputError: for a value of another form, or a part of several names.
    """
    found: list[tuple[str, int | str]] = []
    for text in getattr(FLAGS, flag):
        file, _, name = text.rpartition(":")
        if not file or not name.strip():
            raise InputError(f"--{flag}={text} must be FILE:STYLE, such as sky.png:wave")
        found.append((file, _style(literal(name.strip()), flag, style_names)))
    return found


def values_for(function: Callable, **known: object) -> dict[str, Any]:
    """The arguments of a function: those that are known, and the others from the flags of the same names."""
    names = inspect.signature(function).parameters
    return {name: FLAGS[name].value for name in names if name in FLAGS} | known


def _keys_in(text: str) -> int:
    """How many keys a text writes into its dictionary, which has equal ones once."""
    written = ast.parse(text.strip(), mode="eval").body
    assert isinstance(written, ast.Dict)
    return len(written.keys)


def _quoted(match: re.Match) -> str:
    """A word, in quotes if Python's syntax needs them there."""
    word = match[0].strip()
    return repr(word) if word and literal(word) == word else match[0]


def _style(style: Any, flag: str, style_names: Sequence[str]) -> Any:
    """A style by its number or full name, given as either or as a part of a name; anything else unchanged.

    Where a number is also the name of another style, the number counts; stderr says so.
    """
    if isinstance(style, int) and str(style) in style_names:
        if not 0 <= style < len(style_names):
            return str(style)
        if style_names[style] != str(style):
            print(
                f"--{flag}: {style} is the style of that number, {style_names[style]}; the name must be in quotes "
                f"of its own, such as \"'{style}'\"",
                file=sys.stderr,
            )
    if not isinstance(style, str) or style in style_names:
        return style
    found = names.meant_by(style, style_names)
    if len(found) > 1:
        raise InputError(f"--{flag}: {style} can be any of {', '.join(found)}")
    if found:
        print(f"--{flag}: {style} is {found[0]}", file=sys.stderr)
    return found[0] if found else style


def _stop(number: int, _: object) -> NoReturn:
    if number not in launcher.INSISTENT:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _in_flags(error: InputError) -> str:
    """The sentence of an error, with the arguments that it names written as flags."""
    names = "|".join(name for name in error.arguments if name in FLAGS)
    return re.sub(rf"(?<![\w-])({names})\b", r"--\1", str(error)) if names else str(error)
