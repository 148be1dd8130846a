"""Failures by class: units that ended alike, told once."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from purepipe.pipeline.store import Outcome

_NUMBER = re.compile(r"\d+(\.\d+)?([eE][-+]?\d+)?")
_NAMED = 3  # units of a class


@dataclass(frozen=True)
class FailureClass:
    """Units of one kind and status whose messages differ in numbers and names alone.

    Attributes
    ----------
    units
        Their names, in the order in which they were given.
    status, message
        Of the first.
    """

    units: tuple[str, ...]
    status: str
    message: str


def failure_classes(outcomes: Iterable[Outcome]) -> list[FailureClass]:
    """The classes of the units that gave less than they should, in order of appearance."""
    classes: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        if not outcome.done:
            pattern = _NUMBER.sub("#", outcome.message.replace(outcome.name, "#"))
            classes.setdefault((outcome.kind, outcome.status, pattern), []).append(outcome)
    return [
        FailureClass(tuple(o.name for o in alike), alike[0].status, alike[0].message)
        for alike in classes.values()
    ]


def failure_lines(outcomes: Iterable[Outcome]) -> list[str]:
    """How many units are not done, and a paragraph of at most 80 columns for each class."""
    classes = failure_classes(outcomes)
    if not classes:
        return []
    lines = ["", f"not done: {sum(len(item.units) for item in classes)}"]
    for item in classes:
        names = ", ".join(item.units[:_NAMED])
        if len(item.units) > _NAMED:
            names += f" and {len(item.units) - _NAMED} more"
        lines += wrapped(f"{names}: {item.status}: {item.message}")
    return lines


def wrapped(text: str, indent: str = "  ") -> list[str]:
    """A paragraph of at most 80 columns; longer words, such as paths, stay whole."""
    return textwrap.wrap(
        " ".join(text.split()), 80, initial_indent=indent, subsequent_indent=indent + "  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
