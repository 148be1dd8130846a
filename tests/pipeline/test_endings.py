"""Failures told by class."""

from purepipe.pipeline.endings import ending_classes, failure_lines, remark_lines
from purepipe.pipeline.store import Outcome


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
    assert lines[2].startswith("  ccd-2-0, ccd-3-0, ccd-4-0 and 2 more: data bad: image-2.fits")
    assert all(len(line) <= 80 for line in lines)


def test_remarks_of_one_kind_are_told_once():
    outcomes = [
        Outcome(f"ccd-{k}", "ccd", "done", f"image-{k}.fits: no gain (GAIN)") for k in range(4)
    ]
    assert remark_lines(outcomes) == [
        "", "remarks: 4", "  ccd-0, ccd-1, ccd-2 and 1 more: image-0.fits: no gain (GAIN)"
    ]  # fmt: skip
    many = [Outcome(word * 9, "ccd", "done", word) for word in "abcdefghijklm"]
    assert remark_lines(many)[-1] == "  ... and 3 of other kinds"


def test_nothing_is_said_without_failures():
    assert failure_lines([Outcome("ccd-1-0", "ccd", "done")]) == []
    assert remark_lines([Outcome("ccd-1-0", "ccd", "done"), bad("ccd-2-0", "no")]) == []


def test_names_within_messages_do_not_matter():
    outcomes = [bad(f"block {word}", f"unit block {word} has ended") for word in ("a", "b")]
    assert [item.units for item in ending_classes(outcomes)] == [("block a", "block b")]
