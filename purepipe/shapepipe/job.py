"""One unit of a module: what it reads, where it writes, what it has to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """One unit of a module, with everything that its worker needs.

    Attributes
    ----------
    step
        Name of the step's folder: ``"mask_runner_run_1"``.
    module
        Current name of the module.
    number
        Number of the unit with its leading dash; ``""`` for a serial module.
    files
        Its files, in the order of the patterns.
    table
        Of a serial module: all numbers and their files.
    config
        Configuration of the module.
    out, log
        Output folder of the step, and the log file of the unit.
    limit
        Time limit in seconds.
    """

    step: str
    module: str
    number: str
    files: tuple[Path, ...]
    table: tuple[tuple[str, tuple[Path, ...]], ...]
    config: Any
    out: Path
    log: Path
    limit: float | None = None

    @property
    def name(self) -> str:
        """Step and number, as in messages and in the ledger."""
        return f"{self.step} {self.number}" if self.number else self.step


@dataclass
class Record:
    """What a unit has written and remarked so far."""

    folder: Path
    products: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def product(self, name: str, *, folder: Path | None = None) -> Path:
        """Register a product and give its path."""
        path = (folder or self.folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.products.append(path)
        return path

    def note(self, text: str) -> None:
        """Keep a remark for the log and the summary, once."""
        if text not in self.notes:
            self.notes.append(text)


def prefixed(prefix: str, name: str, number: str, extension: str = ".fits") -> str:
    """``<prefix>_<name><number>.fits``; without prefix, or with the word none, without its dash."""
    start = "" if not prefix or prefix.casefold() == "none" else f"{prefix}_"
    return f"{start}{name}{number}{extension}"
