"""The form in which every benchmark hands on what it measured: rows, written with ``--json FILE``.

`run_all.py` joins them into one table. A benchmark times with `take_turns`, so that other work
on the machine disturbs purepipe and its rival alike.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class Row:
    """One comparison.

    `step` says what was done, with its size; `rival` what it is compared with: a program and its
    version, ``"truth"`` or ``"itself"``. `agreement` says how far apart the answers are, `figures`
    the same in numbers. `seconds` are those of purepipe, run by run, per `item` where one is named;
    `rival_seconds` were taken in turn with them. The `clock` is ``"CPU"`` or ``"wall"``.
    """

    step: str
    rival: str
    agreement: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: Sequence[float] = ()
    rival_seconds: Sequence[float] = ()
    item: str = ""
    threads: int = 1
    clock: str = "CPU"


class Spent(NamedTuple):
    """Seconds of one call."""

    cpu: float
    wall: float


def processor_seconds() -> float:
    """CPU seconds, user and system, of this process and of the children that it waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def take_turns(
    jobs: Mapping[str, Callable[[], object]], repeats: int, *, warm: Collection[str] | None = None
) -> dict[str, list[Spent]]:
    """Seconds of every job, run by run.

    The jobs take turns. A first run of those in `warm` (all when None), which compiles and fills
    caches, is not counted.
    """
    for name, job in jobs.items():
        if warm is None or name in warm:
            job()
    spent: dict[str, list[Spent]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            cpu, wall = processor_seconds(), time.perf_counter()
            job()
            seconds = Spent(processor_seconds() - cpu, time.perf_counter() - wall)
            spent[name].append(seconds)
    return spent


def cpu_of(spent: Sequence[Spent], items: int = 1) -> tuple[float, ...]:
    """The CPU seconds of some runs, per item."""
    return tuple(seconds.cpu / items for seconds in spent)


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """The option ``--json FILE``."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows of run_all.py")


def write_rows(path: Path | None, rows: Sequence[Row]) -> None:
    """Write rows to a file, if one is wanted."""
    if path is not None:
        path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file."""
    return [Row(**row) for row in json.loads(path.read_text())]


def program_version(program: str) -> str:
    """Version of an installed program, from what ``--version`` prints; empty if it has none."""
    if shutil.which(program) is None:
        return ""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\S+)", done.stdout + done.stderr)
    return found.group(1) if found else ""


def faster(row: Row) -> tuple[float, float, float] | None:
    """How many times faster purepipe is: median, least and most of the runs taken in turn."""
    if not row.seconds or not row.rival_seconds:
        return None
    ratios = [b / a for a, b in zip(row.seconds, row.rival_seconds, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def number(value: float) -> str:
    """A figure with two digits, or three where the first is a one; never an exponent."""
    digits = 3 if f"{value:e}"[0] == "1" else 2
    rounded = float(f"{value:.{digits - 1}e}")
    return f"{rounded:.0f}" if rounded >= 10 ** (digits - 1) else f"{rounded:.{digits}g}"


def tiny(value: float) -> str:
    """A small difference with one digit: 2e-8."""
    return f"{value:.0e}".replace("e-0", "e-")


def duration(seconds: float) -> str:
    """Seconds with the unit that fits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 0.0995 or unit == "us":
            return f"{number(seconds * factor)} {unit}"
    raise AssertionError


def cells(row: Row) -> tuple[str, ...]:
    """The cells of a row: step, rival, agreement, times faster, time of purepipe, threads."""
    ratios, times, spent = faster(row), "", ""
    if ratios is not None:
        median, least, most = map(number, ratios)
        times = median if least == most else f"{median} ({least} to {most})"
    if row.seconds:
        spent = duration(statistics.median(row.seconds))
        spent += f" per {row.item}" if row.item else ""
        spent += " wall" if row.clock == "wall" else ""
    threads = str(row.threads) if spent else ""
    return row.step, row.rival, row.agreement, times, spent, threads
