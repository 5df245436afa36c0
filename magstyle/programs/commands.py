"""The command `magstyle`: every program under one name, and photos without any.

magstyle photo.jpg
magstyle video clip.mp4 painted.mp4
magstyle export tflite --output_model=painters.tflite

It imports nothing but the program that is asked for.
"""

import os
import re
import sys
from typing import NamedTuple, NoReturn

from magstyle.errors import InputError
from magstyle.programs import launcher, streams


class Command(NamedTuple):
    """A command: the words after `magstyle`, the module in this folder that runs it, and what it is for."""

    words: str
    module: str
    purpose: str


PAINT = Command("stylize", "stylize", "photos; you need not type this word")
# What people want, and the commands for it. A new program needs a row here and nothing else.
GROUPS = {
    "paint": (
        PAINT,
        Command("video", "stylize_video", "a clip, with its sound"),
        Command("dataset", "stylize_dataset", "a dataset of photos, on one machine or many"),
        Command("figure", "figure", "sheets, triptychs, grids, strips and walks"),
    ),
    "look": (
        Command("models", "models", "the bundled models, and those in this folder"),
        Command("styles", "styles", "the styles of a model, also as pictures"),
    ),
    "learn": (
        Command("add-styles", "add_styles", "make a model of your paintings at once"),
        Command("style-dataset", "create_style_dataset", "or, first: a file of your paintings"),
        Command("finetune", "finetune", "then: teach a model your paintings, in minutes"),
        Command("train", "train", "or: train a whole network, in hours"),
        Command("train-predictor", "train_predictor", "train a network for any painting, in days"),
        Command("distil", "distil", "teach a faster network to paint like another"),
        Command("evaluate", "evaluate", "measure how well a model paints"),
    ),
    "share": (
        Command("page", "build_page", "a web page that paints"),
        Command("export saved-model", "export_saved_model", "for servers"),
        Command("export tflite", "convert_tflite", "for phones, browsers and small computers"),
        Command("export onnx", "convert_onnx", "for apps, game engines and Node"),
        Command("convert-checkpoint", "convert_checkpoint", "to .keras or Magenta's format; merges models"),
    ),
    "optimise": (
        Command("neural-style", "neural_style", "paint in the style of any painting, in minutes"),
        Command("reconstruct", "reconstruct", "show what a layer of VGG keeps of an image"),
        Command("dream", "deep_dream", "DeepDream: show what a network sees in an image"),
    ),
    "shell": (Command("completion", "completion", "complete all this with Tab in bash, zsh or fish"),),
}
COMMANDS = {command.words: command for group in GROUPS.values() for command in group}
_HELP = ("--help", "-help", "-h", "-?")
# What names of files have, and commands do not.
_IN_PATHS = "./\\~*?["


def run() -> None:
    """Runs the command that is typed, to its exit."""
    sys.argv[0], *arguments = "magstyle", *sys.argv[1:]
    if not arguments:
        _print_help("", 1)
    if arguments[0] in _HELP:
        _print_help("", 0)
    if following(arguments[0]) and arguments[1:2] and arguments[1] in _HELP:
        _print_help(arguments[0], 0)
    try:
        command, rest = find(arguments)
    except InputError as error:
        streams.exit_with(str(error))
    named = command.words.split() == arguments[: len(arguments) - len(rest)]
    if named:
        _tell_of_photos_with_that_name(arguments)
    sys.argv[:] = [f"magstyle {command.words}" if named else "magstyle", *rest]
    launcher.run(command.module)


def find(arguments: list[str]) -> tuple[Command, list[str]]:
    """The command that arguments begin with, and the arguments for it; flags and photos alone are there to be painted.

    Raises:
        InputError: for a word that is neither a command nor a photo.
    """
    for count in (1, 2):
        command = COMMANDS.get(" ".join(arguments[:count]))
        if command:
            return command, arguments[count:]
    word = arguments[0]
    if following(word):
        near = len(arguments) > 1 and _nearest(" ".join(arguments[:2]), within=f"{word} ")
        raise InputError(f"{word} what? " + (near or f"magstyle {word} --help lists what there is"))
    if word.startswith("-") or os.path.lexists(word) or any(character in word for character in _IN_PATHS):
        return PAINT, arguments
    raise InputError(
        f"there is no command {word!r}, and no photo of that name; "
        + (_nearest(word) or "magstyle --help lists the commands")
    )


def following(word: str) -> list[str]:
    """The words that can follow the first word of several commands, such as "tflite" after "export"."""
    return [words.split()[1] for words in COMMANDS if words.startswith(f"{word} ")]


def in_commands(text: str) -> str:
    """A text with the programs of bin/ under the names by which they were called: as they are, or as commands."""
    if sys.argv[0].split(" ")[0] != "magstyle":
        return text
    typed = {command.module: f"magstyle {command.words}" for command in COMMANDS.values()}
    typed[PAINT.module] = "magstyle"
    return re.sub(r"\bbin/(\w+)\.py\b", lambda match: typed.get(match[1], match[0]), text)


def help_text(word: str = "") -> str:
    """All commands on one screen, or those that begin with a word."""
    lines = ["magstyle PHOTO... paints photos; magstyle COMMAND --help tells about a command:"]
    for title, group in GROUPS.items():
        shown = [command for command in group if command.words.startswith(word)]
        for command in shown:
            heading = title if command is shown[0] else ""
            lines.append(f"{heading:9} {command.words:18}  {command.purpose}")
    return "\n".join(lines)


def _print_help(word: str, exit_code: int) -> NoReturn:
    streams.prepare()
    print(help_text(word), file=sys.stderr if exit_code else sys.stdout, flush=True)
    sys.exit(exit_code)


def _nearest(typed: str, within: str = "") -> str:
    """Half a sentence that names the command meant by a misspelt one, or by a program's own name; "" for none.

    Args:
        typed: what somebody typed.
        within: how the command must begin.
    """
    import difflib

    meant = {command.module: words for words, command in COMMANDS.items()} | {words: words for words in COMMANDS}
    known = [name for name, words in meant.items() if words.startswith(within)]
    near = difflib.get_close_matches(typed.casefold(), known, 1, cutoff=0.7 if within else 0.6)
    return f"the nearest command is magstyle {meant[near[0]]}" if near else ""


def _tell_of_photos_with_that_name(arguments: list[str]) -> None:
    """Says how to paint a file that has the name of the command, or a folder if nothing else is typed."""
    word = arguments[0]
    if os.path.isfile(word) or (len(arguments) == 1 and os.path.isdir(word)):
        print(f"magstyle: {word} is a command; magstyle ./{word} paints what has that name here", file=sys.stderr)
