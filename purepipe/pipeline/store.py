"""The store of a run: one folder with a ledger (SQLite) and the products of every unit.

Only main processes write the ledger; workers write products, each under a temporary name first. A
unit is valid when its key (inputs, configuration, code) is unchanged and all its products are as it
wrote them: of the same size, and of the same content where the time of change differs. Before a
unit starts, its earlier entry is struck out and the attempt is noted, in one transaction.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from purepipe.errors import StoreError
from purepipe.pipeline.keys import changes, fingerprint
from purepipe.pipeline.locks import Hold, Shard, hold_store, lives

LEDGER = "ledger.sqlite"
_PATIENCE = 120.0  # seconds that a shard waits for another one's transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS unit (
    name TEXT PRIMARY KEY, kind TEXT, key TEXT, status TEXT, message TEXT,
    seconds REAL, peak_mb REAL, products TEXT);
CREATE TABLE IF NOT EXISTS step (
    unit TEXT, position INTEGER, step TEXT, what TEXT, n_in INTEGER, n_out INTEGER, seconds REAL,
    facts TEXT, PRIMARY KEY (unit, position));
CREATE TABLE IF NOT EXISTS attempt (
    unit TEXT PRIMARY KEY, owner TEXT, campaign INTEGER, started REAL, ended REAL, serial INTEGER);
CREATE INDEX IF NOT EXISTS attempt_serial ON attempt (serial);
CREATE TABLE IF NOT EXISTS origin (unit TEXT PRIMARY KEY, parts TEXT);
CREATE TABLE IF NOT EXISTS digest (product TEXT PRIMARY KEY, unit TEXT, digest TEXT);
CREATE TABLE IF NOT EXISTS written (product TEXT PRIMARY KEY, unit TEXT, mtime INTEGER);
CREATE TABLE IF NOT EXISTS input (path TEXT PRIMARY KEY, identity TEXT, digest TEXT);
CREATE TABLE IF NOT EXISTS header (name TEXT PRIMARY KEY, identity TEXT, content TEXT);
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
        ``"done"``, ``"nothing to do"``, ``"data bad"``, ``"configuration wrong"``,
        ``"failed"``, ``"timed out"`` or ``"not written"`` (the store has no room or refuses).
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
    digests, times
        File name -> hash of the product, and time of its change in ns; written to the ledger, not
        read back with the outcome.
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
    digests: dict[str, str] = field(default_factory=dict, compare=False)
    times: dict[str, int] = field(default_factory=dict, compare=False)

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
    """A run's folder and its open ledger; use `open_store`.

    Attributes
    ----------
    campaign
        Number of the present run; shards that work beside each other share it.
    """

    root: Path
    ledger: sqlite3.Connection
    hold: Hold | None = None
    campaign: int = 0

    @property
    def owner(self) -> str:
        """In whose name units are attempted."""
        return "" if self.hold is None else self.hold.owner

    def close(self) -> None:
        """Close the ledger and give the folder free."""
        self.ledger.close()
        if self.hold is not None:
            self.hold.close()


def open_store(
    root: Path, *, create: bool = True, lock: bool = False, shard: Shard | None = None
) -> Store:
    """Open the store in the folder `root`, and make it if asked.

    Parameters
    ----------
    root
        Folder of the run.
    create
        Make the folder and the ledger when missing.
    lock
        Keep other runs out until the store is closed.
    shard
        With `lock`: let the other shards work beside this one.

    Raises
    ------
    StoreError
        The folder cannot be written, holds no run, is in use by another run, or its ledger is
        damaged.
    """
    path = root / LEDGER
    if not create and not path.exists():
        raise StoreError("no run here", file=root, remedy=f"A run's folder holds {LEDGER}.")
    hold = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        if lock:
            hold = hold_store(root, shard)
        _refuse_emptied(path)
        ledger = _connect(path, check=lock)
    except OSError as error:
        raise _unwritable(root, error) from error
    except StoreError:
        if hold is not None:
            hold.close()
        raise
    store = Store(root, ledger, hold)
    if hold is None:
        return store
    try:
        return Store(root, ledger, hold, _join(store, hold))
    except BaseException:
        store.close()
        raise


def _unwritable(root: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the folder of the run cannot be written: {error.strerror}", file=root,
        remedy="Choose another folder with --out.",
    )  # fmt: skip


def _refuse_emptied(path: Path) -> None:
    """SQLite takes an empty file for a new ledger; beside products it is a lost one."""
    if not path.exists() or path.stat().st_size > 0:
        return
    if any((path.parent / folder).is_dir() for folder in ("ccd", "tile", "shapes", "catalogue")):
        raise StoreError(
            "the ledger cannot be used: it is empty, although there are products", file=path,
            remedy="Move the file away; the next run makes a new ledger and redoes all units.",
        )  # fmt: skip


def _connect(path: Path, *, check: bool) -> sqlite3.Connection:
    ledger = None
    try:
        ledger = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
        ledger.executescript(_SCHEMA)
        problem = ledger.execute("PRAGMA quick_check(1)").fetchone()[0] if check else "ok"
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)
    except sqlite3.DatabaseError as error:
        if ledger is not None:
            ledger.close()
        raise _ledger_error(error, path) from error
    return ledger


def _ledger_error(error: sqlite3.DatabaseError, path: Path) -> StoreError:
    """What a fault of the ledger means, and what to do."""
    text = " ".join(str(error).split())
    if "full" in text or "disk I/O" in text:
        return StoreError(
            f"the ledger cannot be written: {text}", file=path,
            remedy="Free space on the disk and run the same command again; it resumes.",
        )  # fmt: skip
    if "readonly" in text or "unable to open" in text:
        return StoreError(
            f"the folder of the run cannot be written: {text}", file=path,
            remedy="Check its permissions, or choose another folder with --out.",
        )  # fmt: skip
    if "locked" in text:
        return StoreError(
            f"the ledger is in use: {text}", file=path,
            remedy="Another program keeps it open for writing; end that, then resume.",
        )  # fmt: skip
    return StoreError(
        f"the ledger cannot be used: {text}", file=path,
        remedy="Move the file away; the next run makes a new ledger and redoes all units.",
    )  # fmt: skip


@contextmanager
def transaction(store: Store) -> Iterator[sqlite3.Connection]:
    """Write to the ledger: all of the block or, after an error or a crash, nothing of it.

    Raises
    ------
    StoreError
        The disk is full, the folder is read-only, or the ledger is damaged.
    """
    try:
        store.ledger.execute("BEGIN IMMEDIATE")
        yield store.ledger
        store.ledger.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        raise _ledger_error(error, store.root / LEDGER) from error
    finally:
        if store.ledger.in_transaction:
            store.ledger.execute("ROLLBACK")


def _join(store: Store, hold: Hold) -> int:
    """The number of the campaign: a new one, or that of the shards at work."""
    with transaction(store) as ledger:
        campaign = int(fact(store, "campaign", 0))
        if hold.alone:
            campaign += 1
            ledger.execute("DELETE FROM attempt WHERE ended IS NULL")
            _set_fact(ledger, "campaign", campaign)
        else:  # what this shard began before it died
            ledger.execute("DELETE FROM attempt WHERE ended IS NULL AND owner = ?", (hold.owner,))
    hold.share()
    # Where a lock is freed to change its kind, another shard may have begun a campaign meanwhile.
    return int(fact(store, "campaign", campaign))


def record(store: Store, outcome: Outcome) -> None:
    """Write how a unit ended, replacing an earlier entry."""
    exchange(store, [outcome], {})


@dataclass(frozen=True)
class Claims:
    """What became of the units that were wanted.

    Attributes
    ----------
    mine
        Units that this process may start now.
    taken
        Units that another shard works on.
    ended
        Units that another shard has ended meanwhile.
    """

    mine: frozenset[str]
    taken: frozenset[str]
    ended: dict[str, Outcome]


def exchange(
    store: Store,
    ended: Iterable[Outcome],
    wanted: Mapping[str, str],
    *,
    parts: Mapping[str, Mapping[str, Any]] | None = None,
) -> Claims:
    """Record outcomes and claim units (name -> key), in one transaction.

    Parameters
    ----------
    parts
        What the keys of the ended units were made of, to name what changed at the next run.
    """
    mine, taken, stand = set(), set(), {}
    with transaction(store) as ledger:
        for outcome in ended:
            _record(store, outcome, (parts or {}).get(outcome.name))
        for name, key in wanted.items():
            row = ledger.execute(
                "SELECT owner, campaign, ended FROM attempt WHERE unit = ?", (name,)
            ).fetchone()
            if row is not None and row[2] is None and row[0] != store.owner:
                taken.add(name)
                continue
            if row is not None and row[2] is not None and row[1] == store.campaign:
                outcome_then = outcome_of(store, name)
                if outcome_then is not None and not _spoiled(store, outcome_then, key):
                    stand[name] = outcome_then
                    continue
            strike_out(ledger, [name])
            ledger.execute(
                "INSERT INTO attempt VALUES (?,?,?,?,NULL,NULL)",
                (name, store.owner, store.campaign, time.time()),
            )
            mine.add(name)
    return Claims(frozenset(mine), frozenset(taken), stand)


def strike_out(ledger: sqlite3.Connection, names: Iterable[str]) -> None:
    """Drop all that the ledger has about units; inside a transaction."""
    rows = [(name,) for name in names]
    for table, column in (
        ("unit", "name"), ("step", "unit"), ("attempt", "unit"), ("digest", "unit"),
        ("written", "unit"),
    ):  # fmt: skip
        ledger.executemany(f"DELETE FROM {table} WHERE {column} = ?", rows)


def _record(store: Store, outcome: Outcome, parts: Mapping[str, Any] | None) -> None:
    ledger, now = store.ledger, time.time()
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
    ledger.executemany(
        "INSERT OR REPLACE INTO digest VALUES (?,?,?)",
        [(product, outcome.name, digest) for product, digest in outcome.digests.items()],
    )
    ledger.executemany(
        "INSERT OR REPLACE INTO written VALUES (?,?,?)",
        [(product, outcome.name, changed) for product, changed in outcome.times.items()],
    )
    if parts is not None:
        ledger.execute(
            "INSERT OR REPLACE INTO origin VALUES (?,?)", (outcome.name, json.dumps(parts))
        )
    ledger.execute(
        "INSERT OR REPLACE INTO attempt VALUES (?,?,?,COALESCE((SELECT started FROM attempt"
        " WHERE unit = ?), ?),?,(SELECT COALESCE(MAX(serial), 0) + 1 FROM attempt))",
        (outcome.name, store.owner, store.campaign, outcome.name, now, now),
    )


def ended_since(store: Store, serial: int) -> tuple[dict[str, str], int]:
    """Units (with the owner) that ended after a serial number, and the latest serial number."""
    rows = store.ledger.execute(
        "SELECT unit, owner, serial FROM attempt WHERE serial > ? ORDER BY serial", (serial,)
    ).fetchall()
    return {row[0]: row[1] for row in rows}, rows[-1][2] if rows else serial


def abandon(store: Store) -> None:
    """Note that no unit of this process is at work any more."""
    with transaction(store) as ledger:
        ledger.execute("DELETE FROM attempt WHERE ended IS NULL AND owner = ?", (store.owner,))


def release_dead(store: Store) -> list[str]:
    """Give free what dead shards had begun; the names of its units."""
    owners = [
        row[0]
        for row in store.ledger.execute("SELECT DISTINCT owner FROM attempt WHERE ended IS NULL")
    ]
    dead = [
        owner for owner in owners if owner != store.owner and not lives(store.root, owner)
    ]  # fmt: skip
    names: list[str] = []
    if dead:
        with transaction(store) as ledger:
            for owner in dead:
                rows = ledger.execute(
                    "DELETE FROM attempt WHERE ended IS NULL AND owner = ? RETURNING unit", (owner,)
                ).fetchall()
                names += [row[0] for row in rows]
    return names


def confirm(store: Store, names: Iterable[str]) -> None:
    """Note that the outcomes of units from earlier campaigns stand in the present one."""
    rows = [(store.campaign, name) for name in names]
    if rows:
        with transaction(store) as ledger:
            ledger.executemany("UPDATE attempt SET campaign = ? WHERE unit = ?", rows)


def ended_now(store: Store) -> set[str]:
    """Units that ended in the latest campaign, or stand in it."""
    rows = store.ledger.execute(
        "SELECT unit FROM attempt WHERE ended IS NOT NULL AND campaign = ?",
        (fact(store, "campaign", 0),),
    )
    return {row[0] for row in rows}


def attempts(store: Store) -> list[tuple[str, str, float]]:
    """Units that work now, or did when the run died: name, owner, time of the start."""
    return store.ledger.execute(
        "SELECT unit, owner, started FROM attempt WHERE ended IS NULL ORDER BY started"
    ).fetchall()


def outcome_of(store: Store, name: str) -> Outcome | None:
    """The recorded outcome of a unit, or None."""
    found = _outcomes(store, "WHERE name = ?", "WHERE unit = ?", (name,))
    return found[0] if found else None


def outcomes(store: Store) -> list[Outcome]:
    """All recorded outcomes, by name."""
    return _outcomes(store, "", "", ())


def _outcomes(store: Store, of_units: str, of_steps: str, values: tuple[str, ...]) -> list[Outcome]:
    try:
        rows = store.ledger.execute(
            "SELECT name, kind, status, message, key, products, seconds, peak_mb FROM unit"
            f" {of_units} ORDER BY name",
            values,
        ).fetchall()
        records = store.ledger.execute(
            f"SELECT unit, step, what, n_in, n_out, seconds, facts FROM step {of_steps}"
            " ORDER BY unit, position",
            values,
        ).fetchall()
        steps: dict[str, list[StepRecord]] = {}
        for unit, step, what, n_in, n_out, seconds, facts in records:
            entry = StepRecord(step, what, n_in, n_out, seconds, json.loads(facts))
            steps.setdefault(unit, []).append(entry)
        return [
            Outcome(
                name=row[0], kind=row[1], status=row[2], message=row[3], key=row[4],
                products=json.loads(row[5]), seconds=row[6], peak_mb=row[7],
                steps=tuple(steps.get(row[0], ())),
            )
            for row in rows
        ]  # fmt: skip
    except sqlite3.DatabaseError as error:
        raise _ledger_error(error, store.root / LEDGER) from error


def still_valid(
    store: Store, name: str, key: str, parts: Mapping[str, Any] | None = None
) -> tuple[Outcome | None, str]:
    """The recorded outcome when it can stand, else None with the reason for doing it again."""
    outcome = outcome_of(store, name)
    if outcome is None:
        return None, "not done before"
    if not outcome.complete:
        return None, f"ended as '{outcome.status}' before"
    if outcome.key != key:
        row = store.ledger.execute("SELECT parts FROM origin WHERE unit = ?", (name,)).fetchone()
        earlier = None if row is None else json.loads(row[0])
        return None, changes(earlier, parts)
    spoiled = _spoiled(store, outcome, key)
    return (None, spoiled) if spoiled else (outcome, "")


def _spoiled(store: Store, outcome: Outcome, key: str) -> str:
    """Why an outcome is not that of this key, or what happened to its products; else empty."""
    if outcome.key != key:
        return "another key"
    for product, size in outcome.products.items():
        path = store.root / product
        if not path.is_file():
            return f"product {product} is missing"
        if path.stat().st_size != size:
            return f"product {product} changed size"
        if not _as_written(store, product, path):
            return f"product {product} changed content"
    return ""


def _as_written(store: Store, product: str, path: Path) -> bool:
    """Whether a product has its time of change; of a copy, or one that was touched, its content."""
    row = store.ledger.execute(
        "SELECT mtime, digest FROM written JOIN digest USING (product) WHERE product = ?",
        (product,),
    ).fetchone()
    if row is None or path.stat().st_mtime_ns == row[0]:
        return True
    changed = path.stat().st_mtime_ns
    if fingerprint(path, whole=True) != row[1]:
        return False
    with suppress(sqlite3.OperationalError):  # without it the content is compared again
        store.ledger.execute("UPDATE written SET mtime=? WHERE product=?", (changed, product))
    return True


def digests(store: Store) -> dict[str, dict[str, str]]:
    """Unit -> product -> hash of its content."""
    found: dict[str, dict[str, str]] = {}
    rows = store.ledger.execute("SELECT unit, product, digest FROM digest ORDER BY unit, product")
    for unit, product, digest in rows:
        found.setdefault(unit, {})[product] = digest
    return found


def kept_headers(store: Store, name: str) -> tuple[str, str] | None:
    """The headers of an exposure that `keep_headers` kept: identity of the files, and text."""
    row = store.ledger.execute(
        "SELECT identity, content FROM header WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else (row[0], row[1])


def keep_headers(store: Store, fresh: Mapping[str, tuple[str, str]]) -> None:
    """Keep the headers of exposures for later plans."""
    if fresh:
        with transaction(store) as ledger:
            ledger.executemany(
                "INSERT OR REPLACE INTO header VALUES (?,?,?)",
                [(name, identity, content) for name, (identity, content) in fresh.items()],
            )


def set_facts(store: Store, values: Mapping[str, Any]) -> None:
    """Keep several named values about the run as a whole."""
    with transaction(store) as ledger:
        for name, value in values.items():
            _set_fact(ledger, name, value)


def set_fact(store: Store, name: str, value: Any) -> None:
    """Keep one named value about the run as a whole."""
    with transaction(store) as ledger:
        _set_fact(ledger, name, value)


def _set_fact(ledger: sqlite3.Connection, name: str, value: Any) -> None:
    ledger.execute("INSERT OR REPLACE INTO fact VALUES (?,?)", (name, json.dumps(value)))


def fact(store: Store, name: str, default: Any = None) -> Any:
    """A value kept by `set_fact`."""
    row = store.ledger.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
    return default if row is None else json.loads(row[0])
