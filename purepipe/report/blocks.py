"""What a page is made of: paragraphs, pictures, tables; the template turns them into HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from purepipe.display import png
from purepipe.errors import PurepipeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING = "–"


@dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is empty, ``"good"``, ``"warn"`` or ``"bad"``."""

    text: str
    tone: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Picture:
    """A picture with its caption, or a sentence why there is none (`png` is empty then)."""

    title: str
    caption: str
    png: str = ""
    width: int = 0
    height: int = 0
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, as many as the screen is wide; `full`: below each other."""

    pictures: tuple[Picture, ...]
    wide: bool = False
    full: bool = False
    kind: str = "gallery"


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, what the table is sorted by, and where it leads."""

    text: str
    order: float | str = ""
    tone: str = ""
    link: str = ""


@dataclass(frozen=True)
class Grid:
    """A table; columns named in `numeric` are aligned to the right."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[int] = frozenset()
    sortable: bool = False
    kind: str = "grid"


@dataclass(frozen=True)
class Verbatim:
    """Text as it stands, folded away under its title unless `unfolded`."""

    title: str
    text: str
    unfolded: bool = False
    kind: str = "verbatim"


Block = Text | Heading | Gallery | Grid | Verbatim


@dataclass(frozen=True)
class Section:
    """One section of the page."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


def picture(
    title: str,
    caption: str,
    make: Callable[[], Callable[[Axes], object]],
    *,
    size: tuple[float, float] = (3.8, 2.9),
) -> Picture:
    """A picture, or the sentence why it cannot be drawn.

    Parameters
    ----------
    title, caption
        Above and below the picture.
    make
        Reads what is to be shown and gives the function that paints it. Products that are missing,
        damaged or empty must not cost the rest of the report, so its errors become the sentence.
    size
        Width and height in inches.
    """
    try:
        data, width, height = png(make(), size=size)
    except PurepipeError as error:
        return Picture(title, "", note=sentence(error))
    except (OSError, KeyError, ValueError, ArithmeticError) as error:
        return Picture(title, "", note=f"Not shown: {type(error).__name__}: {error}")
    return Picture(title, caption, data, width, height)


def sentence(error: PurepipeError) -> str:
    """An error as one line."""
    return " ".join(str(error).split())


def cell(value: Any, form: str = "{}", tone: str = "") -> Cell:
    """A cell of a number or a text; what is missing or not a number becomes a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return Cell(MISSING, "", tone)
    if isinstance(value, int | float):
        return Cell(form.format(value).replace("-", "−"), float(value), tone)
    return Cell(form.format(value), str(value), tone)


def grid(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    text_columns: int = 1,
    last_text_columns: int = 0,
    sortable: bool = False,
) -> Grid:
    """A table of which all columns but the first and the last few hold numbers."""
    numeric = frozenset(range(text_columns, len(head) - last_text_columns))
    return Grid(caption, tuple(head), tuple(tuple(row) for row in rows), numeric, sortable)


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 0.001:
        return "< 1 ms"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def counted(n: int, noun: str) -> str:
    """``1 tile``, ``2 tiles``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
