"""Flags that are made from the fields of a job."""

import dataclasses
import os
from typing import Literal

import pytest
from absl import flags

from magstyle.errors import InputError
from magstyle.limits import ImageSize, Strength
from magstyle.programs import command_line, option_flags


@dataclasses.dataclass(frozen=True)
class Job:
    """A job with a field of each kind.

    Args:
        photo: the photo
            to paint.
        strength: how strong the style is.
        image_size: shorter side in pixels.
        preview_size: shorter side of a preview.
        sheet: also write a sheet.
        format: of the file.
        precise: compute in full precision; "auto" does so where it is fast.
        title: written below.
        network: has no flag.
    """

    photo: str | os.PathLike
    strength: Strength = 1.0
    image_size: ImageSize | None = None
    preview_size: ImageSize | None = 64
    sheet: bool = False
    format: Literal["png", "jpg"] = "png"
    precise: bool | Literal["auto"] = "auto"
    title: str | None = None
    network: object = None


@pytest.fixture
def parse():
    """Defines the flags of the job, and gives what parses arguments."""
    before = set(flags.FLAGS)
    option_flags.define_options(Job, skip=("network",))

    def parse(*arguments):
        flags.FLAGS.unparse_flags()
        command_line.parse(["program", "--photo=a.jpg", *arguments])
        return {name: flags.FLAGS[name].value for name in set(flags.FLAGS) - before}

    yield parse
    flags.FLAGS.unparse_flags()
    flags.FLAGS.remove_flag_values({name: flags.FLAGS[name] for name in set(flags.FLAGS) - before})


def test_every_field_is_a_flag_with_its_default(parse):
    assert parse() == {
        **{"photo": "a.jpg", "strength": 1.0, "image_size": None, "preview_size": 64},
        **{"sheet": False, "format": "png", "precise": "auto", "title": None},
    }


def test_values_are_of_the_type_of_their_field(parse):
    typed = ["--strength=1", "--image_size=64", "--sheet", "--format=jpg", "--noprecise", "--title="]
    found = parse(*typed)
    assert (found["strength"], type(found["strength"]), found["image_size"]) == (1.0, float, 64)
    assert (found["sheet"], found["format"], found["precise"], found["title"]) == (True, "jpg", False, "")
    assert parse("--precise=auto")["precise"] == "auto"
    assert parse("--precise")["precise"] is True


def test_an_optional_number_with_a_default_can_be_none(parse):
    assert parse("--preview_size=none")["preview_size"] is None
    assert parse("--preview_size=32")["preview_size"] == 32
    shown = " ".join(flags.FLAGS.get_help().split())
    assert (
        "--preview_size: Shorter side of a preview. (default: '64') (a whole number from 1 to 65500, or none)" in shown
    )


def test_help_is_what_the_docstring_says_with_the_limits(parse):
    shown = " ".join(flags.FLAGS.main_module_help().split() + flags.FLAGS.get_help().split())
    assert "--photo: The photo to paint." in shown
    assert "--strength: How strong the style is. (default: '1.0') (a number from 0 to 1.5)" in shown
    assert "--image_size: Shorter side in pixels. (a whole number from 1 to 65500)" in shown
    assert "--format: <png|jpg>: Of the file." in shown
    assert "--[no]precise: Compute in full precision" in shown


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--strength=2", "strength=2.0 must be a number from 0 to 1.5"),
        ("--strength=nan", "strength=nan must be a number from 0 to 1.5"),
        ("--image_size=0", "image_size=0 must be a whole number from 1 to 65500"),
        ("--preview_size=0", "preview_size=0 must be a whole number from 1 to 65500"),
    ],
)
def test_a_number_beyond_its_limits_is_refused_when_flags_are_parsed(parse, flag, sentence):
    with pytest.raises(InputError) as caught:
        parse(flag)
    assert str(caught.value) == sentence
    assert len(caught.value.arguments) == 1


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--photo=", "must be the path of a file or a folder, not empty"),
        ("--precise=fast", "flag --precise=fast: must be true, false or auto"),
        ("--format=gif", "value should be one of <png|jpg>"),
        ("--image_size=1.5", "flag --image_size=1.5: "),
    ],
)
def test_other_values_are_refused_by_absl(parse, flag, sentence):
    with pytest.raises(flags.Error, match=sentence):
        parse(flag)


def test_a_field_without_a_default_is_a_required_flag(parse):
    flags.FLAGS.unparse_flags()
    with pytest.raises(flags.Error, match="Flag --photo must have a value other than None"):
        command_line.parse(["program"])
