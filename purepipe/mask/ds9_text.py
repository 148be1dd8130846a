"""The statements of region files as DS9 writes them, and as people do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from purepipe.errors import InputFileError, did_you_mean
from purepipe.mask.regions import SKY_FRAMES

IN_PIXELS = ("image", "physical")
FRAMES = (*IN_PIXELS, *SKY_FRAMES)
SHAPES = ("polygon", "circle", "ellipse", "box", "annulus", "point")
SECTORS = {"panda": "annulus", "epanda": "ellipse", "bpanda": "box"}
NO_AREA = ("line", "vector", "text", "ruler", "compass", "projection", "segment")
# Other programs' names of the same shapes.
_ALIASES = {"rotbox": "box", "cpanda": "panda"}
_KNOWN = (*SHAPES, *SECTORS, *NO_AREA, *_ALIASES)
_OTHER_FRAMES = re.compile(r"linear|wcs[a-z]?|amplifier|detector|tile\b.*", re.ASCII)
# DS9 writes these shapes behind the sign of a comment; a remark may begin with such a word, too.
_SECTOR = rf"(?:[-+!]\s*)?(?:{'|'.join((*SECTORS, 'cpanda'))})\s*\([^)]*\)?"
_BEHIND_HASH = re.compile(
    rf"\s*({_SECTOR}|(?:[-+!]\s*)?(?:{'|'.join(NO_AREA)})\s*\([^()]*\))(.*)",
    re.ASCII | re.IGNORECASE,
)
_HIDDEN_SECTOR = re.compile(rf"(?:^|[;\n])[ \t]*#[ \t]*{_SECTOR}", re.ASCII | re.IGNORECASE)
# A shape after the properties of another; any other semicolon there belongs to a remark.
_NEXT_SHAPE = re.compile(
    rf";(?=\s*(?:[-+!]\s*)?(?:{'|'.join(_KNOWN)})\s*\()", re.ASCII | re.IGNORECASE
)
_TEXTS = re.compile(r"\{[^}\n]*\}|=[ \t]*(?:\"[^\"\n]*\"|'[^'\n]*')")
_TILE = re.compile(
    r"\s*(?:tile[\s;,()]+(\d+)[\s)]*(?:;|$)|#\s*tile[\s;,()]+(\d+)\s*$)", re.ASCII | re.IGNORECASE
)
_STATEMENT = re.compile(
    r"(?P<sign>[-+!]?)\s*(?:\w+\s+(?=point\b))?(?P<shape>[a-z]+)\s*(?P<arguments>[^a-z].*)?",
    re.ASCII | re.IGNORECASE,
)
_INCLUDE = re.compile(r"\binclude\s*=\s*([01])")


@dataclass(frozen=True)
class Statement:
    """One shape of a file: its line, coordinate system, name and arguments."""

    line: int
    frame: str
    shape: str
    arguments: tuple[str, ...]
    include: bool

    def error(self, message: str, file: object, **facts: Any) -> InputFileError:
        """An error that names the line and the shape."""
        return InputFileError(f"line {self.line}: {self.shape}: {message}", file=file, **facts)


def statements(
    text: str, *, extension: int | None = None, file: object = None
) -> Iterator[Statement]:
    """The shapes of a file, in its order; texts in quotes or braces may hold anything.

    Those of other images than `extension` are read, and left out.

    Raises
    ------
    InputFileError
        A line is not understood, or a shape or coordinate system is not supported.
    """
    frame, included, image = "image", True, 1
    for number, line in enumerate(without_texts(text).splitlines(), start=1):
        tile = _TILE.match(line) if extension is not None else None
        if tile:
            image, line = max(int(tile[1] or tile[2]), 1), line[tile.end() :]
        for piece, properties in _pieces(line):
            words = piece.strip().rstrip("|&").rstrip()
            first, rest = [*words.split(None, 1), "", ""][:2]
            if first.lower() in FRAMES:
                frame, words = first.lower(), rest
            if first.lower() == "global":
                included = bool(_included(words, included))
            elif words and not re.match(r"composite\b", words, re.ASCII | re.IGNORECASE):
                found = _statement(words, number, frame, _included(properties, included), file)
                if extension in (None, image):
                    yield found


def without_texts(text: str) -> str:
    """The content of a file without what stands in quotes or braces."""
    return _TEXTS.sub("", text.removeprefix("\ufeff"))


def holds_more_than_lines_say(text: str) -> bool:
    """Whether what stands behind the signs of comments draws a shape, or excludes one."""
    behind = "\n".join(line.partition("#")[2] for line in text.splitlines())
    excluded = any(found[1] == "0" for found in _INCLUDE.finditer(behind))
    return excluded or _HIDDEN_SECTOR.search(text) is not None


def _pieces(line: str) -> Iterator[tuple[str, str]]:
    """The statements of a line, and the properties behind the sign of a comment."""
    while line:
        before, _, behind = line.partition("#")
        *whole, last = before.split(";")
        yield from ((piece, "") for piece in whole)
        if not last.strip() and (hidden := _BEHIND_HASH.match(behind)):
            last, behind = hidden.groups()
        following = _NEXT_SHAPE.search(behind) if last.strip() else None
        yield last, behind[: following.start()] if following else behind
        line = behind[following.end() :] if following else ""


def _included(properties: str, otherwise: bool) -> bool:
    found = _INCLUDE.search(properties)
    return found[1] == "1" if found else otherwise


def _statement(words: str, line: int, frame: str, included: bool, file: object) -> Statement:
    found = _STATEMENT.fullmatch(words)
    name = found["shape"].lower() if found else ""
    name = _ALIASES.get(name, name)
    if _OTHER_FRAMES.fullmatch(words.lower()):
        raise InputFileError(
            f"line {line}: this coordinate system is not supported", file=file, got=words[:60],
            allowed=", ".join(FRAMES), remedy="Save the regions from DS9 again.",
        )  # fmt: skip
    known = (*SHAPES, *SECTORS, *NO_AREA)
    if found is None or name not in known:
        raise InputFileError(
            f"line {line}: this is no shape or coordinate system of DS9", file=file,
            got=repr(words[:60]), remedy=did_you_mean(name, (*known, *FRAMES)),
        )  # fmt: skip
    inside, fault = _in_brackets((found["arguments"] or "").strip())
    if fault:
        raise InputFileError(f"line {line}: {name}: {fault}", file=file, got=repr(words[:60]))
    values = [word for word in re.split(r"[\s,]+", inside) if word]
    values = [word for word in values if not re.fullmatch(r"n=\d+", word)]
    # The sign of a shape goes before its properties, and these before what holds for all.
    included = included if not found["sign"] else found["sign"] == "+"
    return Statement(line, frame, name, tuple(values), included)


def _in_brackets(arguments: str) -> tuple[str, str]:
    """Arguments without their brackets, which may be missing; and what is wrong."""
    if re.search(r"[&|]", arguments):
        return "", "shapes joined by & or | are not supported; write each on a line, - excludes one"
    inside, closed, behind = arguments, "", ""
    if arguments.startswith("("):
        inside, closed, behind = arguments[1:].partition(")")
        if not closed:
            return "", "the closing bracket is missing"
    if re.search(r"[()]", inside):
        return "", "one pair of brackets is needed"
    if behind.strip():
        return "", f"nothing may follow the closing bracket, but {behind.strip()[:20]!r} does"
    return inside, ""
