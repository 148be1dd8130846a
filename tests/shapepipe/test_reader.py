"""Pipeline files: what configparser reads, with the line of every key."""

import pytest

from purepipe.errors import ConfigError, InputFileError
from purepipe.legacy.shapepipe import parse_pipeline_file, read_pipeline_file

TEXT = """# comment
[DEFAULT]
RUN_NAME = run_%(WHAT)s
what = x
[FILE]
Input_Dir = a, $HOME/b,
            c

; another comment
FILE_EXT : .fits
NUMBER = 5 %%
EMPTY =
[MASK_RUNNER]
PREFIX = p  # said here
PATH = a#b
"""


def test_sections_keys_lines_and_lists(monkeypatch):
    monkeypatch.setenv("HOME", "/home/x")
    file = parse_pipeline_file(TEXT, file="a.ini")
    assert list(file.sections) == ["DEFAULT", "FILE", "MASK_RUNNER"]
    entry = file.sections["FILE"]["INPUT_DIR"]
    assert entry.words == ("a", "/home/x/b", "c")
    assert entry.where == "line 6 [FILE] INPUT_DIR"
    assert file.sections["FILE"]["NUMBER"].text == "5 %"
    assert file.sections["FILE"]["FILE_EXT"].text == ".fits"
    assert file.sections["FILE"]["EMPTY"].words == ()
    assert file.get("DEFAULT", "RUN_NAME").text == "run_x"


def test_keys_of_default_are_seen_in_all_sections():
    file = parse_pipeline_file(TEXT)
    assert file.get("MASK_RUNNER", "WHAT").text == "x"
    assert file.get("MASK_RUNNER", "NUMBER") is None


def test_a_comment_on_the_line_is_no_part_of_the_value():
    file = parse_pipeline_file(TEXT)
    entry = file.sections["MASK_RUNNER"]["PREFIX"]
    assert (entry.text, entry.comment) == ("p", "# said here")
    assert file.sections["MASK_RUNNER"]["PATH"].text == "a#b"


def test_unknown_variables_stay_as_written(monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    file = parse_pipeline_file("[FILE]\nINPUT_DIR = $NOWHERE/a\n")
    assert file.sections["FILE"]["INPUT_DIR"].words == ("$NOWHERE/a",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[A]\nX = 1\nX = 2\n", r"line 3 \[A\] X: the key comes twice .*line 2"),
        ("[A]\nX = 1\n[A]\n", r"line 3 \[A\]: the section comes twice.*line 1"),
        ("X = 1\n", "line 1 X: a key before the first section"),
        ("[A]\nnonsense\n", "line 2: this is neither a section nor KEY = value"),
        ("[A]\nX = 5 %\n", r"line 2 \[A\] X: a percent sign must be doubled"),
    ],
)
def test_mistakes_are_named_with_their_line(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_pipeline_file(text)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.ini").write_text("# nothing\n")
    with pytest.raises(InputFileError, match="it has no section"):
        read_pipeline_file(tmp_path / "a.ini")
    with pytest.raises(InputFileError, match="cannot be read"):
        read_pipeline_file(tmp_path / "b.ini")
