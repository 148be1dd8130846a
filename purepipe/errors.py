"""Errors that say what was wrong, where, and what to do next; and the exit codes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit status of every ``purepipe`` command."""

    OK = 0
    SOME_FAILED = 1
    CONFIGURATION = 2
    NOTHING_USABLE = 3


class PurepipeError(Exception):
    """Base of all errors that purepipe raises on purpose.

    Parameters
    ----------
    message
        What happened, one sentence.
    file, hdu, key
        Where: file name, HDU number or extension name, configuration key or column.
    got, allowed
        The offending value and what would have been accepted.
    remedy
        What to do next, one sentence.
    """

    status = "failed"

    def __init__(
        self,
        message: str,
        *,
        file: object = None,
        hdu: object = None,
        key: object = None,
        got: object = None,
        allowed: object = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.hdu = None if hdu is None else str(hdu)
        self.key = None if key is None else str(key)
        self.got = None if got is None else str(got)
        self.allowed = None if allowed is None else str(allowed)
        self.remedy = remedy
        super().__init__(message)

    def __str__(self) -> str:
        where = self.file or ""
        if self.hdu is not None:
            where += f"[HDU {self.hdu}]"
        if self.key is not None:
            where += f"{' ' if where else ''}{self.key}"
        text = f"{where}: {self.message}" if where else self.message
        facts = []
        if self.got is not None:
            facts.append(f"got {self.got}")
        if self.allowed is not None:
            facts.append(f"allowed: {self.allowed}")
        if facts:
            text += f" ({'; '.join(facts)})"
        if not text.endswith((".", "!", "?")):
            text += "."
        return f"{text} {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword arguments do not survive pickling by default,
        # and worker processes send theirs home that way.
        return (_rebuild, (type(self), self.message, dict(self.__dict__)))


def _rebuild(cls: type[PurepipeError], message: str, state: dict[str, Any]) -> PurepipeError:
    error = cls(message)
    error.__dict__.update(state)
    return error


class ConfigError(PurepipeError):
    """A configuration value is missing, unknown or out of range."""

    status = "configuration wrong"


class InputFileError(PurepipeError):
    """A file is missing, truncated, of the wrong format or of the wrong layout."""

    status = "data bad"


class DataError(PurepipeError):
    """The content of an image or a table cannot be used: all NaN, all weights zero, wrong shape."""

    status = "data bad"


class NothingToDo(PurepipeError):  # noqa: N818 - an outcome rather than a fault
    """There is legitimately nothing to process: a tile without exposures, a CCD without sources."""

    status = "nothing to do"


class AlgorithmError(PurepipeError):
    """Good data, but the method found no answer: too few stars, a singular fit."""

    status = "failed"


class StoreError(PurepipeError):
    """The run directory cannot be written, or what it holds is damaged."""

    status = "failed"


class MissingPackageError(PurepipeError):
    """An optional package is needed for what was asked."""

    status = "configuration wrong"


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `word`, or None when nothing is close."""
    names = list(candidates)
    folded = {name.casefold(): name for name in names}
    match = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[match[0]] if match else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """``Did you mean 'x'?``, or the list of valid names when nothing is close."""
    names = sorted(candidates)
    best = nearest(word, names)
    return f"Did you mean {best!r}?" if best else f"Valid names: {', '.join(names)}."


def did_you_mean_each(places: Mapping[str, str], candidates: Iterable[str]) -> str:
    """Unknown words by their places, each with its nearest name; the valid names once at most."""
    names = sorted(candidates)
    matches = {place: nearest(word, names) for place, word in places.items()}
    text = "; ".join(
        f"{place}: Did you mean {best!r}?" if best else place for place, best in matches.items()
    )
    return text if all(matches.values()) else f"{text}. Valid names: {', '.join(names)}."
