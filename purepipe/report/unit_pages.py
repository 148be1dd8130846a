"""What pages about single CCDs and tiles have in common: names, folder, steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from purepipe.errors import DataError, StoreError, nearest
from purepipe.io.atomic import write_text
from purepipe.pipeline.store import Outcome
from purepipe.pipeline.summary import step_totals
from purepipe.report.blocks import Block, Cell, Text, grid
from purepipe.report.overview import step_cells
from purepipe.report.records import Record


def write_pages(
    record: Record,
    what: str,
    known: Iterable[str],
    names: Iterable[str] | None,
    page: Callable[[str], tuple[Path, str]],
) -> list[Path]:
    """Write the pages of some units, of all when `names` is None, and give the paths.

    Parameters
    ----------
    record
        The run.
    what
        ``"CCD"`` or ``"tile"``, for errors.
    known
        Names of the units that there are.
    names
        Those wanted; all are checked before the first page is written.
    page
        Path and content of the page of a unit.

    Raises
    ------
    DataError
        There is no unit of one of the names.
    StoreError
        A page cannot be written.
    """
    there = list(known)
    chosen = there if names is None else list(names)
    for name in chosen:
        if name not in there:
            near = nearest(name, there)
            raise DataError(
                f"the run has no such {what}", file=record.root, got=name,
                remedy=f"Did you mean {near!r}?" if near else "`purepipe status` lists the units.",
            )  # fmt: skip
    paths = []
    for name in chosen:
        path, content = page(name)
        _make_folder(path.parent)
        write_text(path, content)
        paths.append(path)
    return paths


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder of the pages cannot be made: {error.strerror or error}", file=folder,
            remedy="Move away what has its name, or make the run's folder writable.",
        ) from error  # fmt: skip


def step_blocks(outcomes: Iterable[Outcome]) -> list[Block]:
    """What each step of some units took in and gave, after the messages of those that ended ill."""
    found = list(outcomes)
    blocks: list[Block] = [
        Text(" ".join(outcome.message.split()), "bad") for outcome in found if outcome.message
    ]
    rows = [[Cell(total.step), *step_cells(total)] for _, total, _ in step_totals(found)]
    if not rows:
        return [*blocks, Text("No step is recorded.")]
    head = ("step", "counted", "in", "out", "out/in (%)", "time")
    return [*blocks, grid("What each step took in and gave.", head, rows, text_columns=2)]
