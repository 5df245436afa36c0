"""Prints a script that completes the commands of magstyle, their flags and names of files with the Tab key.

magstyle completion bash > ~/.magstyle.bash; echo '. ~/.magstyle.bash' >> ~/.bashrc
magstyle completion zsh > ~/.magstyle.zsh; echo '. ~/.magstyle.zsh' >> ~/.zshrc
magstyle completion fish > ~/.config/fish/completions/magstyle.fish

Each line installs it for the shell of that name, from the next terminal on.
"""

import importlib
import re
import shlex
from collections.abc import Callable, Iterable
from typing import NamedTuple

from absl import flags

from magstyle.errors import InputError
from magstyle.programs import command_line
from magstyle.programs.commands import COMMANDS, PAINT, Command, following

FLAGS = flags.FLAGS

_BASH = """\
# Completes the command magstyle in bash; printed by: magstyle completion bash
_magstyle() {
    local IFS=$'\\n' cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} flag= flags= words=
    case "$command ${COMP_WORDS[2]}" in
        %(pairs)s) command="$command ${COMP_WORDS[2]}" ;;
    esac
    case $command in
%(flags)s
    esac
    # Bash takes --format=png for three words.
    if [[ $cur == = ]]; then
        flag=${COMP_WORDS[COMP_CWORD-1]} cur=
    elif [[ ${COMP_WORDS[COMP_CWORD-1]} == = ]]; then
        flag=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if [[ $flag ]]; then
        case "$command $flag" in
%(values)s
        esac
    elif [[ $cur == -* ]]; then
        words=$flags
    elif (( COMP_CWORD == 1 )); then
        words=%(first)s
    elif (( COMP_CWORD == 2 )); then
        case ${COMP_WORDS[1]} in
%(second)s
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    if (( COMP_CWORD == 1 && ${#COMPREPLY[@]} )) && [[ $cur != -* ]]; then
        COMPREPLY+=($(compgen -f -- "$cur"))  # A photo may begin like a command.
    fi
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2> /dev/null
    return 0
}
# Where no word fits, there are files.
complete -o bashdefault -o default -F _magstyle magstyle
"""
_ZSH = """\
#compdef magstyle
# Completes the command magstyle in zsh; printed by: magstyle completion zsh
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_magstyle() {
    local command=$words[2]
    local -a commands flags second
    if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
        commands=(%(first)s)
        _describe command commands
        _files
        return
    fi
    if (( CURRENT == 3 )); then
        case $command in
%(second)s
        esac
        (( $#second )) && compadd $second
    fi
    case "$words[2] $words[3]" in
        %(pairs)s) command="$words[2] $words[3]" ;;
    esac
    case $command in
%(flags)s
    esac
    _arguments $flags '*:file:_files'
}
compdef _magstyle magstyle
"""


class Option(NamedTuple):
    """A flag as it is typed: `--sheet`, `--nolearning_curves`, or one with a value, `--format=`.

    `values` are all that it takes, if these are few words, and `often` says that it can be given several times.
    """

    typed: str
    meaning: str
    values: tuple[str, ...] = ()
    often: bool = False


def define_flags() -> None:
    """Defines no flags."""


def main(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in _SCRIPTS:
        raise InputError(f"for which shell? magstyle completion takes one of {', '.join(_SCRIPTS)}")
    print(_SCRIPTS[arguments[0]]({command: options_of(command) for command in COMMANDS.values()}), end="")


def options_of(command: Command) -> list[Option]:
    """The flags of a command, by name, and those that every command has."""
    program = importlib.import_module(f"magstyle.programs.{command.module}")
    if program.define_flags is define_flags:
        found = []
    else:
        program.define_flags()
        found = sorted(FLAGS.get_key_flags_for_module(program.define_flags.__module__), key=lambda flag: flag.name)
        for flag in found:
            delattr(FLAGS, flag.name)  # The next command may define the same.
    general = [Option("--flagfile=", "A file of flags."), Option("--help", "Show all flags.")]
    return [*map(_option, found), *general]


def _option(flag: flags.Flag) -> Option:
    meaning = re.split(r"[.;:] |\.$", " ".join((flag.help or "").split()))[0]
    words = tuple(getattr(flag.parser, "enum_values", ()) or getattr(flag.parser, "words", ()))
    if flag.boolean and words:
        words += ("true", "false")
    elif flag.boolean:
        return Option(f"--no{flag.name}" if flag.default else f"--{flag.name}", meaning)
    return Option(f"--{flag.name}=", meaning, words, isinstance(flag, flags.MultiFlag))


def _bash(options: dict[Command, list[Option]]) -> str:
    return _BASH % {
        "pairs": "|".join(shlex.quote(words) for words in COMMANDS if " " in words),
        "flags": "\n".join(
            f"        {_pattern(command)}) command={shlex.quote(command.words)} "
            f"flags={_lines(option.typed for option in found)} ;;"
            for command, found in _painting_last(options)
        ),
        "values": "\n".join(
            f"            {shlex.quote(f'{command.words} {option.typed[:-1]}')}) words={_lines(option.values)} ;;"
            for command, found in options.items()
            for option in found
            if option.values
        ),
        "first": _lines(_first_words()),
        "second": "\n".join(f"            {word}) words={_lines(words)} ;;" for word, words in _second_words().items()),
    }


def _zsh(options: dict[Command, list[Option]]) -> str:
    def specification(option: Option) -> str:
        values = f"({' '.join(option.values)})" if option.values else "_files"
        action = f":value:{values}" if option.typed.endswith("=") else ""
        return shlex.quote(f"{'*' * option.often}{option.typed}[{_without_colons(option.meaning)}]{action}")

    return _ZSH % {
        "pairs": "|".join(shlex.quote(words) for words in COMMANDS if " " in words),
        "flags": "\n".join(
            f"        {_pattern(command)}) flags=({' '.join(map(specification, found))}) ;;"
            for command, found in _painting_last(options)
        ),
        "first": " ".join(shlex.quote(f"{word}:{_without_colons(_purpose(word))}") for word in _first_words()),
        "second": "\n".join(
            f"            {word}) second=({' '.join(words)}) ;;" for word, words in _second_words().items()
        ),
    }


def _fish(options: dict[Command, list[Option]]) -> str:
    others = " ".join(word for word in _first_words() if word != PAINT.words)
    lines = ["# Completes the command magstyle in fish; printed by: magstyle completion fish"]
    for word in _first_words():
        lines.append(f"complete -c magstyle -n __fish_use_subcommand -a {word} -d {_in_fish(_purpose(word))}")
    for word, words in _second_words().items():
        lines.append(f"complete -c magstyle -n '__fish_seen_subcommand_from {word}' -a '{' '.join(words)}'")
    for command, found in options.items():
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.words.split())
        condition = f"not __fish_seen_subcommand_from {others}" if command is PAINT else seen
        for option in found:
            name = option.typed.strip("-").rstrip("=")
            value = f" -x -a '{' '.join(option.values)}'" if option.values else " -r" * option.typed.endswith("=")
            lines.append(f"complete -c magstyle -n '{condition}' -l {name}{value} -d {_in_fish(option.meaning)}")
    return "\n".join(lines) + "\n"


_SCRIPTS: dict[str, Callable[[dict[Command, list[Option]]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def _first_words() -> list[str]:
    return list(dict.fromkeys(words.split()[0] for words in COMMANDS))


def _second_words() -> dict[str, list[str]]:
    """The words that can follow a first word, by that word."""
    found = {word: following(word) for word in _first_words() if following(word)}
    return found | {"completion": list(_SCRIPTS)}


def _painting_last(options: dict[Command, list[Option]]) -> list[tuple[Command, list[Option]]]:
    return sorted(options.items(), key=lambda item: item[0] is PAINT)


def _pattern(command: Command) -> str:
    """A pattern of a shell's `case`; whatever is not another command is painting."""
    return "*" if command is PAINT else shlex.quote(command.words)


def _purpose(word: str) -> str:
    return COMMANDS[word].purpose if word in COMMANDS else ", ".join(following(word))


def _without_colons(text: str) -> str:
    """A text in which zsh's colons and brackets are escaped."""
    return re.sub(r"([][:\\])", r"\\\1", text)


def _lines(words: Iterable[str]) -> str:
    """Words, a line each, as a string in bash."""
    return "$'" + "\\n".join(words) + "'"


def _in_fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def run() -> None:
    command_line.run(define_flags, main)
