import io

from purepipe.pipeline.progress import Lines, failure_line
from purepipe.pipeline.store import Outcome


def test_failures_at_once_and_every_tenth_of_the_work():
    stream = io.StringIO()
    with Lines(stream) as progress:
        progress.total(40)
        progress.skipped(10)
        progress.skipped(5)
        for i in range(25):
            status = "failed" if i == 3 else "done"
            progress.ended(Outcome(f"ccd {i}", "ccd", status, "no\nstars" if i == 3 else ""))
    lines = stream.getvalue().splitlines()
    assert lines[1] == "ccd 3: failed: no stars"
    assert any(line.startswith("40/40 units, 1 not done, ") for line in lines)
    assert lines[-1] == "15 of 40 units stood, from an earlier run or shard"
    assert len(lines) < 12


def test_every_unit_when_verbose():
    stream = io.StringIO()
    with Lines(stream, verbose=True) as progress:
        progress.total(20)
        progress.ended(Outcome("ccd 1", "ccd", "done", seconds=2.0))
    assert stream.getvalue().splitlines() == ["ccd 1: done in 2.0 s"]


def test_a_failure_is_one_line():
    outcome = Outcome("tile 1", "tile", "data bad", "a\n  long   message.")
    assert failure_line(outcome) == "tile 1: data bad: a long message."
