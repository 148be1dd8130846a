"""TOML files are read with errors that name the line, and written so that they read the same."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purepipe.errors import ConfigError
from purepipe.exposure import WeightKind
from purepipe.io.config_file import format_toml, read_toml, write_toml

SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**60), 2**60), st.text(max_size=8),
    st.floats(allow_nan=False), st.dates(),
)  # fmt: skip
TABLES = st.recursive(
    st.dictionaries(st.text(max_size=5), st.one_of(SCALARS, st.lists(SCALARS, max_size=3))),
    lambda inner: st.dictionaries(
        st.text(max_size=5), st.one_of(SCALARS, inner, st.lists(inner, max_size=2)), max_size=4
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(TABLES)
def test_what_is_written_reads_the_same(mapping):
    import tomllib

    assert tomllib.loads(format_toml(mapping)) == mapping


def test_round_trip(tmp_path):
    mapping = {
        "detect": {"threshold": 1.5, "nested": {"x": [1, 2]}}, "seed": 3,
        "epoch": [{"a": 1}, {"b": "é\n\x7f"}], "kind": WeightKind.RMS, "path": Path("a/b"),
    }  # fmt: skip
    write_toml(tmp_path / "c.toml", mapping)
    back = read_toml(tmp_path / "c.toml")
    assert back == {**mapping, "kind": "rms", "path": "a/b"}
    assert (tmp_path / "c.toml").read_text(encoding="utf-8").startswith("seed = 3\n")


def test_not_a_number():
    import tomllib

    assert math.isnan(tomllib.loads(format_toml({"x": math.nan}))["x"])


@pytest.mark.parametrize("value", [None, 1j, b"x"])
def test_what_has_no_form(tmp_path, value):
    with pytest.raises(ConfigError, match=r"a\.b: the value has no form in TOML"):
        write_toml(tmp_path / "c.toml", {"a": {"b": [value]}})
    assert not list(tmp_path.iterdir())


def test_syntax_error_names_file_and_line(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[detect]\nthreshold = 1.5\nengine = sep\n")
    with pytest.raises(ConfigError, match=r"c\.toml, line 3, column 10: not valid TOML.*quotes"):
        read_toml(path)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.toml: the configuration file does not exist"):
        read_toml(tmp_path / "no.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)


def test_other_encoding(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"a = 1\nb = '\xe9'\n")
    with pytest.raises(ConfigError, match=r"c\.toml, line 2: the text is not UTF-8"):
        read_toml(tmp_path / "c.toml")
