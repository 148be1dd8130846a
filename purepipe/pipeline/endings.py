"""Failures and remarks by class: units that ended alike, told once."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from purepipe.pipeline.store import Outcome

_NUMBER = re.compile(r"[-+]?(\d+(\.\d+)?([eE][-+]?\d+)?|\b(nan|inf)\b)")
_NAMED = 3  # units of a class
_REMARKS = 10  # classes shown


@dataclass(frozen=True)
class EndingClass:
    """Units of one kind and status whose messages differ in numbers and names alone.

    Attributes
    ----------
    units
        Their names, in the order in which they were given.
    status, message
        Of the first.
    equal
        Whether all have the same message.
    """

    units: tuple[str, ...]
    status: str
    message: str
    equal: bool = True

    @property
    def names(self) -> str:
        """The first of the units, and how many more there are."""
        more = len(self.units) - _NAMED
        return ", ".join(self.units[:_NAMED]) + (f" and {more} more" if more > 0 else "")

    @property
    def told(self) -> str:
        """The message, marked as that of the first unit where the others have other numbers."""
        return self.message if self.equal else f"(the first:) {self.message}"


def ending_classes(outcomes: Iterable[Outcome]) -> list[EndingClass]:
    """The units by how they ended, in order of appearance."""
    classes: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        pattern = _NUMBER.sub("#", outcome.message.replace(outcome.name, "#"))
        classes.setdefault((outcome.kind, outcome.status, pattern), []).append(outcome)
    return [
        EndingClass(
            tuple(o.name for o in alike),
            alike[0].status,
            alike[0].message,
            all(o.message == alike[0].message for o in alike),
        )
        for alike in classes.values()
    ]


def failure_lines(
    outcomes: Iterable[Outcome], *, each: bool = False, elsewhere: str = ""
) -> list[str]:
    """How many units are not done, and a paragraph of at most 80 columns for each class.

    Parameters
    ----------
    each
        A paragraph for each unit instead.
    elsewhere
        Said where names are left out: who names them all.
    """
    failures = [outcome for outcome in outcomes if not outcome.done]
    if not failures:
        return []
    lines = ["", f"not done: {len(failures)}"]
    if each:
        for outcome in failures:
            lines += wrapped(f"{outcome.name}: {outcome.status}: {outcome.message}")
        return lines
    classes = ending_classes(failures)
    for item in classes:
        lines += wrapped(f"{item.names}: {item.status}: {item.told}")
    if elsewhere and any(len(item.units) > _NAMED for item in classes):
        lines += wrapped(elsewhere)
    return lines


def remark_lines(outcomes: Iterable[Outcome]) -> list[str]:
    """What units that are done remarked all the same, a paragraph for each class."""
    remarks = [outcome for outcome in outcomes if outcome.done and outcome.message]
    if not remarks:
        return []
    lines = ["", f"remarks: {len(remarks)}"]
    classes = ending_classes(remarks)
    for item in classes[:_REMARKS]:
        lines += wrapped(f"{item.names}: {item.told}")
    if len(classes) > _REMARKS:
        lines.append(f"  ... and {len(classes) - _REMARKS} of other kinds")
    return lines


def wrapped(text: str, indent: str = "  ") -> list[str]:
    """A paragraph of at most 80 columns; longer words, such as paths, stay whole."""
    return textwrap.wrap(
        " ".join(text.split()), 80, initial_indent=indent, subsequent_indent=indent + "  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
