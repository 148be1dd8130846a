"""SETools recipes (.setools): the text of the sections, parsed and checked before any data.

A recipe names masks, and what is made of them: random splits, statistics, new catalogues, plots.
Everything that can be wrong without looking at a catalogue is found here, with line and column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from purepipe.errors import ConfigError, did_you_mean
from purepipe.select.language import (
    Condition,
    Expression,
    Place,
    parse_condition,
    parse_expression,
)

MAX_LINES = 10_000
SECTION_TYPES = ("MASK", "PLOT", "NEW_CAT", "RAND_SPLIT", "STAT")
PLOT_TYPES = ("plot", "scatter", "hist")
PLOT_KEYS = (
    "TYPE", "X", "Y", "SCATTER", "LABEL", "TITLE", "XLABEL", "YLABEL", "COLOR", "ALPHA", "MARKER",
    "MARKERSIZE", "LINE", "XLIM", "YLIM", "BIN", "HTYPE", "LOG", "FORMAT",
)  # fmt: skip
CATALOGUE_FORMATS = ("fits", "SEx_cat", "txt", "ascii")

T = TypeVar("T")


@dataclass(frozen=True)
class MaskRecipe:
    """Rows that meet all conditions, starting from those of the inherited masks."""

    name: str
    inherits: tuple[tuple[str, Place], ...]
    conditions: tuple[tuple[str, Condition], ...]
    save: bool


@dataclass(frozen=True)
class SplitRecipe:
    """A random split of the rows that are in all masks; `ratio` is the fraction drawn."""

    name: str
    ratio: float
    masks: tuple[tuple[str, Place], ...]


@dataclass(frozen=True)
class StatRecipe:
    """Numbers with labels."""

    name: str
    lines: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class CatalogueRecipe:
    """New columns."""

    name: str
    format: str
    columns: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class Text:
    """Text with expressions between ``@`` signs, whose values replace them."""

    parts: tuple[str | Expression, ...]


@dataclass(frozen=True)
class PlotRecipe:
    """A figure: X, Y, SCATTER by curve, and all other keys as written, by (key, curve)."""

    name: str
    type: str
    expressions: Mapping[tuple[str, str], Expression]
    texts: Mapping[tuple[str, str], Text]
    options: Mapping[tuple[str, str], str]
    place: Place

    @property
    def curves(self) -> tuple[str, ...]:
        """Indices of the curves, in the order of the Y lines."""
        return tuple(index for key, index in self.expressions if key == "Y")


@dataclass(frozen=True)
class Recipe:
    """All sections of a file, by type, in the order of the file."""

    masks: tuple[MaskRecipe, ...] = ()
    plots: tuple[PlotRecipe, ...] = ()
    catalogues: tuple[CatalogueRecipe, ...] = ()
    splits: tuple[SplitRecipe, ...] = ()
    stats: tuple[StatRecipe, ...] = ()


@dataclass(frozen=True)
class _Line:
    """One line without its comment: the raw text, and where it begins."""

    text: str
    place: Place

    def after(self, index: int) -> _Line:
        place = Place(self.place.line, self.place.column + index, self.place.file)
        return _Line(self.text[index:], place)


def parse_recipe(text: str, *, file: object = None) -> Recipe:
    """The recipe that a .setools text spells.

    Parameters
    ----------
    text
        Content of the file.
    file
        Its name, for messages.

    Raises
    ------
    ConfigError
        The first mistake, with file, line, column and the nearest valid name.
    """
    sections = _sections(text, None if file is None else str(file))

    def parsed(kind: str, parse: Callable[[str, list[_Line], Place], T]) -> tuple[T, ...]:
        return tuple(
            parse(name, lines, place)
            for (section, name), (place, lines) in sections.items()
            if section == kind
        )

    return Recipe(
        masks=parsed("MASK", _mask),
        plots=parsed("PLOT", _plot),
        catalogues=parsed("NEW_CAT", _catalogue),
        splits=parsed("RAND_SPLIT", _split),
        stats=parsed("STAT", _stat),
    )


def _sections(text: str, file: str | None) -> dict[tuple[str, str], tuple[Place, list[_Line]]]:
    """Lines by (type, name); a repeated section keeps its first place and its last lines."""
    sections: dict[tuple[str, str], tuple[Place, list[_Line]]] = {}
    counts = dict.fromkeys(SECTION_TYPES, 0)
    current: list[_Line] | None = None
    for line in _lines(text, file):
        if line.text.startswith("["):
            kind, name = _section_name(line)
            counts[kind] += 1
            current = []
            key = (kind, name or f"{kind.lower()}_{counts[kind]}")
            sections[key] = (line.place, current)
        elif current is None:
            raise _error(line.place, "text before the first section", got=line.text,
                         remedy="Begin with a line such as [MASK:stars].")  # fmt: skip
        else:
            current.append(line)
    return sections


def _lines(text: str, file: str | None) -> Iterator[_Line]:
    """Lines that say something, without comments and outer blanks."""
    rows = text.splitlines()
    if len(rows) > MAX_LINES:
        raise ConfigError("the file is too long", file=file, got=f"{len(rows)} lines",
                          allowed=f"at most {MAX_LINES}")  # fmt: skip
    for number, row in enumerate(rows, start=1):
        place = Place(number, 1, file)
        content, closed = _without_comment(row.replace("\t", " "))
        if not closed:
            raise _error(place, "a quotation mark is not closed", got=row.strip())
        stripped = content.lstrip()
        if stripped.strip():
            start = len(content) - len(stripped)
            yield _Line(stripped.rstrip(), Place(number, start + 1, file))


def _without_comment(row: str) -> tuple[str, bool]:
    """The row up to a ``#`` outside quotes, and whether its quotes are closed."""
    quoted = False
    for index, character in enumerate(row):
        if character == '"':
            quoted = not quoted
        elif character == "#" and not quoted:
            return row[:index], True
    return row, not quoted


def _section_name(line: _Line) -> tuple[str, str]:
    match = re.fullmatch(r"\[\s*([^:\]]*?)\s*(?::\s*([^\]]*?)\s*)?\]", line.text)
    if match is None:
        raise _error(line.place, "malformed section", got=line.text, allowed="[TYPE:name]")
    kind, name = match.group(1), match.group(2) or ""
    if kind not in SECTION_TYPES:
        raise _error(line.place, "unknown type of section", got=kind,
                     remedy=did_you_mean(kind, SECTION_TYPES))  # fmt: skip
    if name and not re.fullmatch(r"[A-Za-z0-9_.+-]+", name):
        raise _error(line.place, "the name of a section becomes a file name", got=name,
                     allowed="letters, digits and _ . + -")  # fmt: skip
    return kind, name


def _mask(name: str, lines: list[_Line], place: Place) -> MaskRecipe:
    inherits, conditions = [], []
    save = True
    for line in lines:
        text = "".join(line.text.split())
        if text == "NO_SAVE":
            save = False
        elif text.startswith("{") and text.endswith("}"):
            inherits.append((text[1:-1], line.place))
        else:
            conditions.append((line.text, parse_condition(line.text, place=line.place)))
    return MaskRecipe(name, tuple(inherits), tuple(conditions), save)


def _split(name: str, lines: list[_Line], place: Place) -> SplitRecipe:
    ratio = None
    masks: tuple[tuple[str, Place], ...] = ()
    for line in lines:
        key, value = _key_value(line)
        word = "".join(value.text.split())
        if key == "RATIO":
            ratio = _ratio(word, value.place)
        elif key == "MASK":
            masks = tuple((item, value.place) for item in word.split(",") if item)
        else:
            raise _unknown_key(key, line.place, ("RATIO", "MASK"))
    if ratio is None:
        raise _error(place, "RATIO is missing", got=f"[RAND_SPLIT:{name}]")
    return SplitRecipe(name, ratio, masks)


def _ratio(word: str, place: Place) -> float:
    try:
        number = float(word)
    except ValueError:
        number = float("nan")
    fraction = number / 100 if number >= 1 else number
    if not 0 < fraction < 1:
        raise _error(place, "RATIO must be a percentage or a fraction", got=word,
                     allowed="1 to 99, or above 0 and below 1")  # fmt: skip
    return fraction


def _stat(name: str, lines: list[_Line], place: Place) -> StatRecipe:
    values = []
    for line in lines:
        label, value = _key_value(line)
        values.append((label, parse_expression(value.text, place=value.place)))
    return StatRecipe(name, tuple(values))


def _catalogue(name: str, lines: list[_Line], place: Place) -> CatalogueRecipe:
    format_ = "fits"
    columns = []
    for line in lines:
        key, value = _key_value(line)
        if key == "OUTPUT_FORMAT":
            format_ = _one_of(_unquoted(value.text), CATALOGUE_FORMATS, value.place)
        else:
            columns.append((key, parse_expression(value.text, place=value.place)))
    return CatalogueRecipe(name, format_, tuple(columns))


def _plot(name: str, lines: list[_Line], place: Place) -> PlotRecipe:
    expressions: dict[tuple[str, str], Expression] = {}
    texts: dict[tuple[str, str], Text] = {}
    options: dict[tuple[str, str], str] = {}
    for line in lines:
        full, value = _key_value(line)
        key, _, index = full.partition("_")
        if key not in PLOT_KEYS:
            raise _unknown_key(key, line.place, PLOT_KEYS)
        where = (key, index or "0")
        if key in ("X", "Y", "SCATTER"):
            expressions[where] = parse_expression(value.text, place=value.place)
        elif key in ("LABEL", "TITLE"):
            texts[where] = _text(_unquoted(value.text), value.place)
        else:
            options[where] = _unquoted(value.text)
    type_ = options.get(("TYPE", "0"), "").lower().replace("histogram", "hist")
    type_ = _one_of(type_, PLOT_TYPES, place)
    _require(expressions, {"plot": "XY", "scatter": "XY", "hist": "Y"}[type_], type_, place)
    if type_ == "scatter":
        _require(expressions, ("SCATTER",), type_, place)
    return PlotRecipe(name, type_, expressions, texts, options, place)


def _require(
    expressions: Mapping[tuple[str, str], Expression],
    keys: str | tuple[str, ...],
    type_: str,
    place: Place,
) -> None:
    for key in keys:
        if not any(found == key for found, _ in expressions):
            raise _error(place, f"a {type_} needs {key}")


def _text(text: str, place: Place) -> Text:
    """Split at ``@``: every second part is an expression."""
    parts = text.split("@")
    if len(parts) % 2 == 0:
        raise _error(place, "an @ is not closed", got=text)
    return Text(
        tuple(
            parse_expression(part, place=place) if index % 2 else part
            for index, part in enumerate(parts)
        )
    )


def _key_value(line: _Line) -> tuple[str, _Line]:
    """Split at the first ``=`` outside quotes; blanks of an unquoted key are dropped."""
    quoted = False
    for index, character in enumerate(line.text):
        if character == '"':
            quoted = not quoted
        elif character == "=" and not quoted:
            rest = line.text[index + 1 :]
            key = _unquoted(line.text[:index])
            if not key:
                raise _error(line.place, "a name is needed before the =", got=line.text)
            if not rest.strip():
                raise _error(line.place, "a value is needed after the =", got=line.text)
            return key, line.after(index + 1 + len(rest) - len(rest.lstrip()))
    raise _error(line.place, "a line of the form KEY = value is needed", got=line.text)


def _unquoted(text: str) -> str:
    """Blanks stay inside quotes and are dropped outside; the quotes go."""
    parts = text.split('"')
    return "".join(part if index % 2 else "".join(part.split()) for index, part in enumerate(parts))


def _one_of(word: str, words: tuple[str, ...], place: Place) -> str:
    for item in words:
        if item.casefold() == word.casefold():
            return item
    raise _error(place, "unknown word", got=word or "nothing", remedy=did_you_mean(word, words))


def _unknown_key(key: str, place: Place, keys: tuple[str, ...]) -> ConfigError:
    return _error(place, "unknown key", got=key, remedy=did_you_mean(key, keys))


def _error(place: Place, message: str, **details: Any) -> ConfigError:
    return ConfigError(message, file=place.file, key=str(place), **details)
