"""Options as typed values: fields of dataclasses that say what options can be."""

import dataclasses
import inspect
import subprocess
import sys
from typing import Literal

import pytest

import magstyle
from magstyle import options
from magstyle.errors import InputError
from magstyle.limits import ImageSize, Limits, Strength
from tests.places import ROOT

FIELDS = ["photo", "output", "strength", "format", "other", "image_size", "sheet"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Brush:
    """What jobs have in common.

    Args:
        strength: from 0
            to 1.5.
        format, other: two of a kind.
    """

    strength: Strength = 1.0
    format: Literal["png", "jpg"] = "png"
    other: bool | Literal["auto"] = "auto"

    def __post_init__(self):
        options.check(self)


@dataclasses.dataclass(frozen=True)
class Job(Brush):
    """A job.

    Args:
        photo: the photo.
        image_size: shorter side.
        sheet: whether to make a sheet.
    """

    photo: str
    output: str = "out"
    _: dataclasses.KW_ONLY
    image_size: ImageSize | None = None
    sheet: bool = False


@options.takes(Job)
def paint(job: Job) -> list[Job]:
    """Paints.

    More about it.

    Returns:
        The job.
    """
    return [job]


def test_a_function_of_a_job_is_called_with_what_the_job_is_made_of():
    assert paint("a.jpg", strength=0.5) == [Job("a.jpg", "out", strength=0.5)]
    assert list(inspect.signature(paint).parameters) == FIELDS
    assert list(paint.__annotations__) == [*FIELDS, "return"]
    with pytest.raises(TypeError, match=r"^paint\(\) .*'sizes'"):
        paint("a.jpg", sizes=3)
    with pytest.raises(TypeError, match=r"^paint\(\) .*'photo'"):
        paint()


def test_its_docstring_explains_the_options_before_what_it_returns():
    assert inspect.getdoc(paint) == (
        "Paints.\n\nMore about it.\n\nArgs:\n    photo: the photo.\n    strength: from 0 to 1.5.\n"
        "    format: two of a kind.\n    other: two of a kind.\n    image_size: shorter side.\n"
        "    sheet: whether to make a sheet.\n\nReturns:\n    The job."
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"strength": 2}, "strength=2 must be a number from 0 to 1.5"),
        ({"strength": float("nan")}, "strength=nan must be a number from 0 to 1.5"),
        ({"strength": True}, "strength=True must be a number from 0 to 1.5"),
        ({"image_size": 0}, "image_size=0 must be a whole number from 1 to 65500"),
        ({"image_size": 1.5}, "image_size=1.5 must be a whole number from 1 to 65500"),
        ({"format": "gif"}, "format=gif must be one of png, jpg"),
        ({"other": 3}, "other=3 must be one of auto, True, False"),
        ({"strength": None}, "strength=None must be a number from 0 to 1.5"),
        ({"format": None}, "format=None must be one of png, jpg"),
        ({"sheet": "no"}, "sheet=no must be True or False"),
    ],
)
def test_a_value_that_a_field_does_not_allow_is_one_sentence_with_its_name(given, sentence):
    with pytest.raises(InputError) as error:
        paint("a.jpg", **given)
    assert str(error.value) == sentence
    assert error.value.arguments == tuple(given)


def test_a_word_that_is_no_option_is_answered_by_the_nearest():
    with pytest.raises(TypeError, match=r"^train\(\) got .*'trainsteps'; did you mean train_steps\?$"):
        magstyle.train("styles.tfrecord", "folder", trainsteps=3)


@pytest.mark.parametrize(
    "work",
    [
        lambda: magstyle.deep_dream("a.jpg", "b.png", end_points=[]),
        lambda: magstyle.neural_style("a.jpg", "b.jpg", "c.png", style_end_points=()),
        lambda: magstyle.neural_style("a.jpg", "b.jpg", "c.png", content_end_points=""),
        lambda: magstyle.load_vgg("random:0", []),
        lambda: magstyle.stylize_photos("a.jpg", which_styles=[]),
    ],
)
def test_nothing_where_one_or_more_are_needed_is_one_sentence(work):
    with pytest.raises(magstyle.InputError, match=r"(end_points|which_styles) must not be empty$"):
        work()


def test_what_an_annotation_allows_is_read_off_it():
    assert options.limits_of(ImageSize | None) == Limits(1, 65500)
    assert options.limits_of(str) is None
    assert options.kinds(ImageSize | None) == {int}
    assert options.choices(Literal["a"] | None) == ["a"]


def test_type_checkers_see_every_option_of_the_public_functions(tmp_path):
    script = tmp_path / "user.py"
    script.write_text(
        "import magstyle\n\n"
        'paths = magstyle.stylize_photos("photo.jpg", strength=0.5, which_styles={"wave": 0.6, 7: 0.4})\n'
        "reveal_type(paths)\n"
        "photo = magstyle.read_image('photo.jpg')\n"
        'picture = magstyle.Stylizer("painters").stylize(photo, "wave", stroke_size=2)\n'
        "reveal_type(picture)\n"
        'magstyle.stylize_photos("photo.jpg", strenght=0.5)\n'
        'magstyle.stylize_photos("photo.jpg", format="gif")\n'
        'magstyle.train("styles.tfrecord", "out", train_steps="many")\n'
    )
    # What the package itself imports is not asked about.
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(script)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    for line in (
        ':4: note: Revealed type is "list[pathlib.Path]"',
        ':7: note: Revealed type is "numpy.ndarray',
        ':8: error: Unexpected keyword argument "strenght"',
        ':9: error: Argument "format" to "stylize_photos" has incompatible type "Literal',
        ':10: error: Argument "train_steps" to "train" has incompatible type "str"',
    ):
        assert line in found, found
    assert found.count("error:") == 3, found
