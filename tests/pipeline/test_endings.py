"""Failures told by class."""

import pytest
from typer.testing import CliRunner

from purepipe.cli import app
from purepipe.pipeline.endings import ending_classes, failure_lines, remark_lines
from purepipe.pipeline.store import Outcome, exchange, open_store
from purepipe.pipeline.summary import summary_lines


def bad(name, message, status="data bad", kind="ccd"):
    return Outcome(name, kind, status, message)


def test_units_that_failed_alike_are_one_class():
    outcomes = [
        Outcome("ccd-1-0", "ccd", "done"),
        *(bad(f"ccd-{k}-0", f"image-{k}.fits: too few CCDs (got 4.5e{k})") for k in range(2, 7)),
        bad("ccd-8-0", "image-8.fits: too few CCDs (got 4)", status="failed"),
        bad("tile-8", "image-8.fits: too few CCDs (got 4)", kind="tile"),
        bad("ccd-9-0", "image-9.fits: no such file"),
    ]
    classes = ending_classes(outcomes[1:])
    assert [len(item.units) for item in classes] == [5, 1, 1, 1]
    assert classes[0].message == "image-2.fits: too few CCDs (got 4.5e2)"
    lines = failure_lines(outcomes)
    assert lines[1] == "not done: 8"
    text = " ".join(" ".join(lines).split())
    assert "ccd-2-0, ccd-3-0, ccd-4-0 and 2 more: data bad: (the first:) image-2.fits" in text
    assert "ccd-9-0: data bad: image-9.fits: no such file" in text
    assert all(len(line) <= 80 for line in lines)


def test_each_failure_is_named_where_it_is_asked_for():
    outcomes = [bad(f"ccd-{k}-0", f"image-{k}.fits: no such file") for k in range(4)]
    few = failure_lines(outcomes[:3], elsewhere="LIST names all")
    assert not any("LIST" in line for line in few)
    assert failure_lines(outcomes, elsewhere="LIST names all")[-1] == "  LIST names all"
    every = [f"  ccd-{k}-0: data bad: image-{k}.fits: no such file" for k in range(4)]
    assert failure_lines(outcomes, each=True, elsewhere="LIST names all")[2:] == every
    assert "status RUN --failures" in summary_lines(outcomes)[-1]
    assert summary_lines(outcomes, each=True)[-1].startswith("  ccd-3-0: data bad")


@pytest.mark.parametrize("value", ["-3", "+2.5e-7", "nan", "-inf", "12"])
def test_numbers_of_any_kind_do_not_part_a_class(value):
    (item,) = ending_classes(
        [bad("ccd-1", "seeing (got 0.7)"), bad("ccd-2", f"seeing (got {value})")]
    )
    assert item.told == "(the first:) seeing (got 0.7)"
    (item,) = ending_classes([bad("ccd-1", f"got {value}"), bad("ccd-2", f"got {value}")])
    assert item.told == f"got {value}"
    words = [bad("ccd-1", "too few channels"), bad("ccd-2", "too few inferences")]
    assert len(ending_classes(words)) == 2


def test_remarks_of_one_kind_are_told_once():
    outcomes = [
        Outcome(f"ccd-{k}", "ccd", "done", f"image-{k}.fits: no gain (GAIN)") for k in range(4)
    ]
    names = "  ccd-0, ccd-1, ccd-2 and 1 more"
    assert remark_lines(outcomes) == [
        "", "remarks: 4", f"{names}: (the first:) image-0.fits: no gain (GAIN)"
    ]  # fmt: skip
    many = [Outcome(word * 9, "ccd", "done", word) for word in "abcdefghijklm"]
    assert remark_lines(many)[-1] == "  ... and 3 of other kinds"


def test_nothing_is_said_without_failures():
    assert failure_lines([Outcome("ccd-1-0", "ccd", "done")]) == []
    assert remark_lines([Outcome("ccd-1-0", "ccd", "done"), bad("ccd-2-0", "no")]) == []


def test_names_within_messages_do_not_matter():
    outcomes = [bad(f"block {word}", f"unit block {word} has ended") for word in ("a", "b")]
    assert [item.units for item in ending_classes(outcomes)] == [("block a", "block b")]


def test_the_status_of_a_run_names_each_failure(tmp_path):
    store = open_store(tmp_path)
    exchange(store, [bad(f"ccd {k}-0", f"image-{k}.fits: no such file") for k in range(5)], {})
    store.close()
    short = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert "ccd 0-0, ccd 1-0, ccd 2-0 and 2 more: data bad: (the first:) image-0" in short.output
    assert "`purepipe status RUN --failures` names each of them." in short.output
    every = CliRunner().invoke(app, ["status", str(tmp_path), "--failures"])
    for k in range(5):
        assert f"  ccd {k}-0: data bad: image-{k}.fits: no such file\n" in every.output
    assert "--failures" not in every.output
