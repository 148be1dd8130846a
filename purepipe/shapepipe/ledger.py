"""How the units of a run ended: one line of JSON for each, so that a run can be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from purepipe.errors import StoreError
from purepipe.pipeline.keys import code_version
from purepipe.pipeline.store import Outcome

_FIELDS = ("name", "kind", "status", "message", "key", "products", "seconds")
LEDGER = "units.jsonl"


@dataclass(frozen=True)
class Ledger:
    """The open ledger of a run, which no other process can open meanwhile."""

    root: Path
    stream: IO[str]
    ended: dict[str, Outcome] = field(default_factory=dict)

    def record(self, outcome: Outcome) -> None:
        """Write how a unit ended; the last line of a unit counts."""
        line = json.dumps({name: getattr(outcome, name) for name in _FIELDS}, sort_keys=True)
        self.stream.write(line + "\n")
        self.stream.flush()
        self.ended[outcome.name] = outcome

    def standing(self, name: str, key: str) -> tuple[Outcome | None, str]:
        """The earlier outcome of a unit when it can stand, else None and why it cannot."""
        outcome = self.ended.get(name)
        if outcome is None:
            return None, ""
        if not outcome.done:
            return None, f"it ended as '{outcome.status}'"
        if outcome.key != key:
            return None, "its input files, its configuration or the version changed"
        for product, size in outcome.products.items():
            path = self.root / product
            if not path.is_file() or path.stat().st_size != size:
                return None, f"its product {product} is missing or changed size"
        return outcome, ""


@contextmanager
def open_ledger(root: Path) -> Iterator[Ledger]:
    """The ledger of the run in a folder; a line that a killed run left unfinished is passed over.

    Raises
    ------
    StoreError
        Another process works in the folder, or it cannot be written.
    """
    import fcntl

    path = root / "logs" / LEDGER
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise not_writable(root, error) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                "another run works in this folder", file=root,
                remedy="Wait for it to end, or change RUN_NAME.",
            ) from error  # fmt: skip
        stream.seek(0)
        lines = stream.read().split("\n")
        if lines[-1]:
            stream.write("\n")
        yield Ledger(root, stream, _outcomes(lines))


def not_writable(root: Path, error: OSError) -> StoreError:
    """What is said when the system refuses to write in the folder of a run."""
    return StoreError(
        f"the folder of the run cannot be written: {error.strerror}", file=root,
        remedy="Choose another OUTPUT_DIR.",
    )  # fmt: skip


def _outcomes(lines: list[str]) -> dict[str, Outcome]:
    ended = {}
    for line in lines:
        try:
            values = json.loads(line)
            ended[str(values["name"])] = Outcome(**values)
        except (ValueError, TypeError, KeyError):
            continue
    return ended


def content_key(*parts: Any) -> str:
    """A short hash of plain nested values and of the code."""
    text = json.dumps([code_version(), *parts], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def identity(path: Path) -> Any:
    """What changes when a file, or a file in a folder, changes: names, sizes, times of change."""
    if path.is_dir():
        return [identity(item) for item in sorted(path.iterdir()) if item.is_file()]
    try:
        stat = path.stat()
    except OSError:
        return [path.name, None, None]
    return [path.name, stat.st_size, stat.st_mtime_ns]
