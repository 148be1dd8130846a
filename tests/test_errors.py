import ast
import pickle
import re
from pathlib import Path

import pytest

from purepipe import errors
from purepipe.config import SurveyConfig
from purepipe.errors import InputFileError, PurepipeError, did_you_mean, did_you_mean_each, nearest


def every_class():
    return [PurepipeError, *PurepipeError.__subclasses__()]


@pytest.mark.parametrize("cls", every_class())
def test_survives_pickling(cls):
    error = cls("it broke", file="a.fits", hdu=3, key="K", got=5, allowed="1 to 3", remedy="Mend.")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert copy.status == cls.status


def test_message_names_place_value_and_remedy():
    error = InputFileError(
        "truncated", file="a.fits", hdu=3, got="5 bytes", allowed="7", remedy="Copy it again."
    )
    assert str(error) == "a.fits[HDU 3]: truncated (got 5 bytes; allowed: 7). Copy it again."


def test_message_without_place():
    assert str(PurepipeError("it broke")) == "it broke."
    assert str(PurepipeError("really?")) == "really?"
    assert str(PurepipeError("out of range", key="mask.border_width")) == (
        "mask.border_width: out of range."
    )


def test_nearest():
    assert nearest("DETECT_TRESH", ["DETECT_THRESH", "FILTER"]) == "DETECT_THRESH"
    assert nearest("xyz", ["DETECT_THRESH"]) is None
    assert did_you_mean("tresh", ["thresh", "x"]) == "Did you mean 'thresh'?"
    assert did_you_mean("q", ["thresh", "size"]) == "Valid names: size, thresh."


def test_exit_codes():
    assert [int(code) for code in errors.ExitCode] == [0, 1, 2, 3]


def test_the_keys_that_remedies_name_exist():
    """``ccd.stars.min_stars`` and the like, in the remedies of all modules."""
    key = re.compile(r"\b(?:ccd|tile|shear|inputs|run|star)(?:\.[a-z_]+)+")
    named = set()
    for path in Path(errors.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "remedy":
                named |= set(key.findall(ast.unparse(node.value)))
    assert "ccd.stars.min_stars" in named
    for name in named:
        place = SurveyConfig()
        for part in name.split("."):
            assert hasattr(place, part), name
            place = getattr(place, part)


def test_many_unknown_words_list_the_valid_names_once():
    names = ["thresh", "size"]
    near = did_you_mean_each({"line 1 tresh": "tresh", "line 2 siz": "siz"}, names)
    assert near == "line 1 tresh: Did you mean 'thresh'?; line 2 siz: Did you mean 'size'?"
    far = did_you_mean_each({"line 1 q": "q", "line 2 w": "w", "line 3 siz": "siz"}, names)
    assert far == "line 1 q; line 2 w; line 3 siz: Did you mean 'size'?. Valid names: size, thresh."
