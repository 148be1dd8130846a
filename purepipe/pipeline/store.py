"""The store of a run: one folder with a ledger (SQLite) and the products of every unit.

Only the main process writes the ledger; workers write products, each under a temporary name
first. A unit is valid when its key (inputs, configuration, code) is unchanged and all its products
are there with their recorded sizes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from purepipe.errors import StoreError

LEDGER = "ledger.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS unit (
    name TEXT PRIMARY KEY, kind TEXT, key TEXT, status TEXT, message TEXT,
    seconds REAL, peak_mb REAL, products TEXT);
CREATE TABLE IF NOT EXISTS step (
    unit TEXT, position INTEGER, step TEXT, what TEXT, n_in INTEGER, n_out INTEGER, seconds REAL,
    facts TEXT, PRIMARY KEY (unit, position));
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT);
"""


@dataclass(frozen=True)
class StepRecord:
    """What one step of a unit did.

    Attributes
    ----------
    step
        Name of the step.
    what
        What is counted: objects, stars, stamps.
    n_in, n_out
        Counts into and out of the step.
    seconds
        Wall-clock time.
    facts
        Further numbers worth keeping, for the report.
    """

    step: str
    what: str
    n_in: int
    n_out: int
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a unit ended.

    Attributes
    ----------
    name, kind
        The unit.
    status
        ``"done"``, ``"nothing to do"``, ``"data bad"``, ``"configuration wrong"`` or ``"failed"``.
    message
        For people; empty when done.
    key
        Content key of the unit.
    products
        File name relative to the store -> size in bytes.
    steps
        One record for each step that ran.
    seconds, peak_mb
        Wall-clock time, and the largest memory of the worker so far in megabytes.
    """

    name: str
    kind: str
    status: str
    message: str = ""
    key: str = ""
    products: dict[str, int] = field(default_factory=dict)
    steps: tuple[StepRecord, ...] = ()
    seconds: float = 0.0
    peak_mb: float = 0.0

    @property
    def done(self) -> bool:
        """True when the unit gave all its products and there is nothing to say about it."""
        return self.status == "done"

    @property
    def complete(self) -> bool:
        """True when the unit gave all that its input can give; another attempt gives the same."""
        return self.status in ("done", "nothing to do")


@dataclass(frozen=True)
class Store:
    """A run's folder and its open ledger; use `open_store`."""

    root: Path
    ledger: sqlite3.Connection
    lock: IO[str] | None = None

    def close(self) -> None:
        """Close the ledger and give the folder free."""
        self.ledger.close()
        if self.lock is not None:
            self.lock.close()


def open_store(root: Path, *, create: bool = True, lock: bool = False) -> Store:
    """Open the store in the folder `root`, and make it if asked.

    Parameters
    ----------
    root
        Folder of the run.
    create
        Make the folder and the ledger when missing.
    lock
        Keep other runs out until the store is closed.

    Raises
    ------
    StoreError
        The folder cannot be written, holds no run, is in use by another run, or its ledger is
        damaged.
    """
    path = root / LEDGER
    if not create and not path.exists():
        raise StoreError("no run here", file=root, remedy=f"A run's folder holds {LEDGER}.")
    try:
        root.mkdir(parents=True, exist_ok=True)
        ledger = sqlite3.connect(path)
        ledger.executescript(_SCHEMA)
        ledger.commit()
    except OSError as error:
        raise StoreError(
            f"the folder of the run cannot be written: {error.strerror}", file=root,
            remedy="Choose another folder with --out.",
        ) from error  # fmt: skip
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"the ledger cannot be used: {error}", file=path,
            remedy="Move the file away; the next run makes a new ledger and redoes all units.",
        ) from error  # fmt: skip
    try:
        return Store(root, ledger, _lock(root) if lock else None)
    except StoreError:
        ledger.close()
        raise


def _lock(root: Path) -> IO[str]:
    """Hold the folder until the file is closed; the system gives it free when a run dies."""
    handle = (root / ".lock").open("w")
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # no such locks on this system
        return handle
    except OSError as error:
        handle.close()
        raise StoreError(
            "another run works in this folder", file=root,
            remedy="Wait for it to end, or choose another folder with --out.",
        ) from error  # fmt: skip
    return handle


def record(store: Store, outcome: Outcome) -> None:
    """Write how a unit ended, replacing an earlier entry."""
    with store.ledger as ledger:
        ledger.execute(
            "INSERT OR REPLACE INTO unit VALUES (?,?,?,?,?,?,?,?)",
            (
                outcome.name, outcome.kind, outcome.key, outcome.status, outcome.message,
                outcome.seconds, outcome.peak_mb, json.dumps(outcome.products, sort_keys=True),
            ),
        )  # fmt: skip
        ledger.execute("DELETE FROM step WHERE unit = ?", (outcome.name,))
        ledger.executemany(
            "INSERT INTO step VALUES (?,?,?,?,?,?,?,?)",
            [
                (
                    outcome.name, position, step.step, step.what, step.n_in, step.n_out,
                    step.seconds, json.dumps(step.facts, sort_keys=True),
                )
                for position, step in enumerate(outcome.steps)
            ],
        )  # fmt: skip


def forget_others(store: Store, names: Iterable[str]) -> None:
    """Drop units that the present plan does not hold, with their products."""
    kept = set(names)
    known = [row[0] for row in store.ledger.execute("SELECT name FROM unit")]
    gone = [(name,) for name in known if name not in kept]
    for (name,) in gone:
        outcome = outcome_of(store, name)
        for product in outcome.products if outcome else ():
            (store.root / product).unlink(missing_ok=True)
    with store.ledger as ledger:
        ledger.executemany("DELETE FROM unit WHERE name = ?", gone)
        ledger.executemany("DELETE FROM step WHERE unit = ?", gone)


def outcome_of(store: Store, name: str) -> Outcome | None:
    """The recorded outcome of a unit, or None."""
    row = store.ledger.execute(
        "SELECT name, kind, status, message, key, products, seconds, peak_mb FROM unit"
        " WHERE name = ?",
        (name,),
    ).fetchone()
    if row is None:
        return None
    steps = store.ledger.execute(
        "SELECT step, what, n_in, n_out, seconds, facts FROM step WHERE unit = ? ORDER BY position",
        (name,),
    ).fetchall()
    return Outcome(
        name=row[0], kind=row[1], status=row[2], message=row[3], key=row[4],
        products=json.loads(row[5]), seconds=row[6], peak_mb=row[7],
        steps=tuple(
            StepRecord(step, what, n_in, n_out, seconds, json.loads(facts))
            for step, what, n_in, n_out, seconds, facts in steps
        ),
    )  # fmt: skip


def outcomes(store: Store) -> list[Outcome]:
    """All recorded outcomes, by name."""
    names = [row[0] for row in store.ledger.execute("SELECT name FROM unit ORDER BY name")]
    return [outcome for name in names if (outcome := outcome_of(store, name)) is not None]


def still_valid(store: Store, name: str, key: str) -> tuple[Outcome | None, str]:
    """The recorded outcome when it can stand, else None with the reason for doing it again."""
    outcome = outcome_of(store, name)
    if outcome is None:
        return None, "not done before"
    if not outcome.complete:
        return None, f"ended as '{outcome.status}' before"
    if outcome.key != key:
        return None, "inputs, configuration or code changed"
    for product, size in outcome.products.items():
        path = store.root / product
        if not path.is_file():
            return None, f"product {product} is missing"
        if path.stat().st_size != size:
            return None, f"product {product} changed size"
    return outcome, ""


def set_fact(store: Store, name: str, value: Any) -> None:
    """Keep one named value about the run as a whole."""
    with store.ledger as ledger:
        ledger.execute("INSERT OR REPLACE INTO fact VALUES (?,?)", (name, json.dumps(value)))


def fact(store: Store, name: str, default: Any = None) -> Any:
    """A value kept by `set_fact`."""
    row = store.ledger.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
    return default if row is None else json.loads(row[0])


def content_key(*parts: Any) -> str:
    """A short hash of plain nested values; equal parts give equal keys on every machine."""
    text = json.dumps([code_version(), *parts], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def file_identity(path: Path | None) -> list[Any] | None:
    """Name, size and time of change of a file: what makes a unit's key change with its input."""
    if path is None:
        return None
    try:
        stat = path.stat()
    except OSError:
        return [path.name, None, None]
    return [path.name, stat.st_size, stat.st_mtime_ns]


@lru_cache(maxsize=1)
def code_version() -> str:
    """The version and a hash of purepipe's own sources."""
    from purepipe import __version__

    digest = hashlib.blake2b(digest_size=8)
    package = Path(__file__).parent.parent
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"
