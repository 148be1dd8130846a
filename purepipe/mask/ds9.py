"""Region files as DS9 writes them, and as people do.

The shapes themselves, and positions on the sky, are read by the package `regions`, one statement at
a time, so that every complaint has its line. What that package leaves out is done here: physical
coordinates, sizes in the units of the other kind of coordinates, and sectors (panda).
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import DataError, InputFileError, did_you_mean
from purepipe.gnomonic import CARD
from purepipe.mask.regions import SKY_FRAMES, Region, region_from_object

if TYPE_CHECKING:
    from purepipe.wcs import WCS

log = logging.getLogger(__name__)

_IN_PIXELS = ("image", "physical")
FRAMES = (*_IN_PIXELS, *SKY_FRAMES)
_OTHER_FRAMES = re.compile(r"linear|wcs[a-z]?|amplifier|detector|tile\b.*", re.ASCII)
_SHAPES = ("polygon", "circle", "ellipse", "box", "annulus", "point")
_SECTORS = {"panda": "annulus", "epanda": "ellipse", "bpanda": "box"}
_NO_AREA = ("line", "vector", "text", "ruler", "compass", "projection", "segment")
# Other programs' names of the same shapes.
_ALIASES = {"rotbox": "box", "cpanda": "panda"}
# DS9 writes these shapes behind the sign of a comment.
_BEHIND_HASH = re.compile(
    rf"\s*((?:{'|'.join((*_SECTORS, *_NO_AREA))})\s*\([^()]*\))(.*)", re.ASCII
)
_TEXTS = re.compile(r"\{[^}\n]*\}|=[ \t]*(?:\"[^\"\n]*\"|'[^'\n]*')")
_STATEMENT = re.compile(
    r"(?P<sign>[-+!]?)\s*(?:\w+\s+(?=point\b))?(?P<shape>[a-z]+)\s*(?P<arguments>[^a-z].*)?",
    re.ASCII | re.IGNORECASE,
)
_INCLUDE = re.compile(r"\binclude\s*=\s*([01])")
_PIXELS = re.compile(r"([-+.\deE]+)[pi]", re.IGNORECASE)
_ANGLE = re.compile(r"([-+.\deE]+?)(['\"dr])", re.IGNORECASE)
_ARCSEC = {"'": 60.0, '"': 1.0, "d": 3600.0, "r": float(np.degrees(3600.0))}
# Each argument is looked at by itself; no shape has so many.
_MOST_ARGUMENTS = 200_000


@dataclass(frozen=True)
class _Statement:
    """One shape of a file: its line, coordinate system, name and arguments."""

    line: int
    frame: str
    shape: str
    arguments: tuple[str, ...]
    include: bool

    def error(self, message: str, file: object, **facts: Any) -> InputFileError:
        return InputFileError(f"line {self.line}: {self.shape}: {message}", file=file, **facts)


def regions_from_ds9(text: str, wcs: WCS | None = None, *, file: object = None) -> list[Region]:
    """The regions of a DS9 file's text, as shapes on the image of `wcs`.

    Parameters
    ----------
    text
        Content of the file. Without a coordinate system the numbers are image coordinates;
        physical coordinates are those by LTMi_j and LTVi of the header, else image coordinates.
        Polygons, circles, ellipses, boxes, annuli, points and sectors (panda, epanda, bpanda) are
        read; what has no area, as lines and texts, is left out with a warning in the log.
    wcs
        Needed for shapes given on the sky, and for sizes in the units of the sky; all terms of its
        distortion are used.
    file
        Shown in messages.

    Raises
    ------
    InputFileError
        A line is not understood, or a shape or coordinate system is not supported.
    DataError
        A shape on the sky and no `wcs`.
    """
    shapes = []
    for statement in _statements(text, file):
        shapes += _regions(statement, wcs, file)
    return shapes


def _statements(text: str, file: object) -> Iterator[_Statement]:
    """The shapes of a file, in its order; texts in quotes or braces may hold anything."""
    frame, included = "image", True
    lines = _TEXTS.sub("", text.removeprefix("\ufeff")).splitlines()
    for number, line in enumerate(lines, start=1):
        for piece in line.split(";"):
            words, _, properties = piece.partition("#")
            hidden = _BEHIND_HASH.match(properties) if not words.strip() else None
            if hidden:
                words, properties = hidden.groups()
            words = words.strip().rstrip("|&").rstrip()
            first, _, rest = words.partition(" ")
            if first.lower() in FRAMES:
                frame, words = first.lower(), rest.strip()
            if first.lower() == "global":
                included = _included(words, included)
            elif words and first.lower() != "composite":
                yield _statement(words, number, frame, _included(properties, included), file)


def _included(properties: str, otherwise: bool) -> bool:
    found = _INCLUDE.search(properties)
    return found[1] == "1" if found else otherwise


def _statement(words: str, line: int, frame: str, included: bool, file: object) -> _Statement:
    found = _STATEMENT.fullmatch(words)
    name = found["shape"].lower() if found else ""
    name = _ALIASES.get(name, name)
    if _OTHER_FRAMES.fullmatch(words.lower()):
        raise InputFileError(
            f"line {line}: this coordinate system is not supported", file=file, got=words[:60],
            allowed=", ".join(FRAMES), remedy="Save the regions from DS9 again.",
        )  # fmt: skip
    known = (*_SHAPES, *_SECTORS, *_NO_AREA)
    if found is None or name not in known:
        raise InputFileError(
            f"line {line}: this is no shape or coordinate system of DS9", file=file,
            got=repr(words[:60]), remedy=did_you_mean(name, (*known, *FRAMES)),
        )  # fmt: skip
    arguments = (found["arguments"] or "").strip()
    inside = arguments.strip("()")
    if re.search(r"[&|!()]", inside):
        raise InputFileError(
            f"line {line}: one shape is needed; shapes joined by & or | are not supported",
            file=file, got=repr(words[:60]), remedy="Write each on a line; - excludes one.",
        )  # fmt: skip
    values = [word for word in re.split(r"[\s,]+", inside) if word]
    values = [word for word in values if not re.fullmatch(r"n=\d+", word)]
    return _Statement(line, frame, name, tuple(values), included and found["sign"] in ("", "+"))


def _regions(statement: _Statement, wcs: WCS | None, file: object) -> list[Region]:
    """The shapes of one statement: several for rings around rings, or none, as the log says."""
    if statement.shape in _NO_AREA:
        log.warning(
            "%s line %d: a %s has no area and masks nothing",
            file or "regions", statement.line, statement.shape,
        )  # fmt: skip
        return []
    shape, values, sector = _whole(statement, file)
    if shape == "polygon":
        _require_polygon(statement, file)
    values = _in_one_unit(shape, values, statement, wcs, file)
    try:
        found = [
            region_from_object(item, wcs, include=statement.include, sector=sector)
            for item in _parsed(shape, values, statement, file)
        ]
    except DataError as error:
        error.message = f"line {statement.line}: {error.message}"
        error.file = None if file is None else str(file)
        raise
    regions = [region for region in found if region is not None]
    if statement.frame == "physical":
        regions = [_from_physical(region, wcs) for region in regions]
    return regions


def _whole(
    statement: _Statement, file: object
) -> tuple[str, list[str], tuple[float, float] | None]:
    """The shape of which a sector is a part, its arguments, and the angles of the sector."""
    values = list(statement.arguments)
    if statement.shape not in _SECTORS:
        return statement.shape, values, None
    whole = _SECTORS[statement.shape]
    sizes = 1 if whole == "annulus" else 2
    needed = 6 + 2 * sizes  # position, two angles and their count, sizes, and their count
    if len(values) not in (needed, needed + sizes - 1):
        raise statement.error(
            "a sector needs a position, two angles, their number, the inner and the outer size, and"
            " their number", file, got=f"{len(values)} numbers", allowed=needed,
        )  # fmt: skip
    try:
        start, stop = float(values[2]), float(values[3])
        solid = float(values[5].rstrip("pi'\"dr")) == 0
    except ValueError as error:
        raise statement.error("an angle or a size is not a number", file, got=error) from error
    inner, outer = values[5 : 5 + sizes], values[5 + sizes : 5 + 2 * sizes]
    rest = values[needed:]
    if solid:
        whole, inner = "circle" if whole == "annulus" else whole, []
    span = stop - start if stop > start else stop - start + 360
    return whole, [*values[:2], *inner, *outer, *rest], (start, start + min(span, 360.0))


def _require_polygon(statement: _Statement, file: object) -> None:
    count = len(statement.arguments)
    if count % 2:
        raise statement.error("an even number of coordinates is needed", file, got=count)
    if count < 6:
        raise statement.error("at least three vertices are needed", file, got=count // 2)


def _in_one_unit(
    shape: str, values: Sequence[str], statement: _Statement, wcs: WCS | None, file: object
) -> list[str]:
    """Sizes in pixels of shapes in pixels, in angles of shapes on the sky."""
    in_pixels = statement.frame in _IN_PIXELS
    turns = shape in ("ellipse", "box")
    values = [*values, "0"] if turns and len(values) % 2 == 0 else values
    last = len(values) - turns
    first = len(values) if shape == "polygon" else 2
    changed = []
    for place, value in enumerate(values):
        as_pixels, as_angle = _PIXELS.fullmatch(value), _ANGLE.fullmatch(value)
        is_size = first <= place < last
        if in_pixels and as_pixels:
            value = as_pixels[1]
        elif is_size and (as_angle if in_pixels else as_pixels):
            value = _converted(as_pixels, as_angle, in_pixels, statement, wcs, file)
        elif place >= last:
            value = value.rstrip("dD")
        changed.append(value)
    return changed


def _converted(
    as_pixels: re.Match[str] | None,
    as_angle: re.Match[str] | None,
    in_pixels: bool,
    statement: _Statement,
    wcs: WCS | None,
    file: object,
) -> str:
    """A size by the size of the pixels at the image's centre."""
    if wcs is None:
        raise statement.error(
            "a size in the units of the other coordinates needs the image's world coordinates",
            file, remedy="Give wcs=.",
        )  # fmt: skip
    try:
        if in_pixels and as_angle:
            return repr(float(as_angle[1]) * _ARCSEC[as_angle[2].lower()] / wcs.pixel_scale)
        return f'{float(as_pixels[1] if as_pixels else 0) * wcs.pixel_scale!r}"'
    except ValueError as error:
        raise statement.error("a size is not a number", file, got=error) from error


def _parsed(shape: str, values: Sequence[str], statement: _Statement, file: object) -> list[Any]:
    """What the package `regions` makes of one shape; it warns of what it does not know."""
    from astropy.utils.exceptions import AstropyUserWarning
    from regions import Regions

    frame = "image" if statement.frame == "physical" else statement.frame
    reason = "too many numbers"
    if len(values) <= _MOST_ARGUMENTS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", AstropyUserWarning)
                found = list(Regions.parse(f"{frame}\n{shape}({','.join(values)})", format="ds9"))
            if found:
                return found
            reason = "nothing is left of it"
        except (ValueError, KeyError, TypeError, IndexError, AstropyUserWarning) as error:
            reason = str(error).partition(f": {shape}(")[0]
    raise statement.error(
        f"this is not understood: {reason}", file,
        got=f"{statement.shape}({','.join(statement.arguments)})"[:80],
    )  # fmt: skip


def _from_physical(region: Region, wcs: WCS | None) -> Region:
    """A region in physical coordinates on the image: image = LTM physical + LTV."""
    cards = wcs.cards if wcs is not None else ""
    names = ("LTM1_1", "LTM1_2", "LTM2_1", "LTM2_2", "LTV1", "LTV2")
    found = {name: _card_value(cards, name) for name in names}
    if all(value is None for value in found.values()):
        return region
    defaults = dict(zip(names, (1.0, 0.0, 0.0, 1.0, 0.0, 0.0), strict=True))
    a, b, c, d, e, f = (defaults[name] if value is None else value for name, value in found.items())
    matrix, shift = np.array([[a, b], [c, d]]), np.array([e, f])
    contours: tuple[NDArray[np.float64], ...] = tuple(
        (contour + 1) @ matrix.T + shift - 1 for contour in region.contours
    )
    return Region(contours, region.include)


def _card_value(cards: str, name: str) -> float | None:
    for start in range(0, len(cards), CARD):
        if cards[start : start + 9] == f"{name:8}=":
            found = re.match(r" *([-+.\dEeDd]+)", cards[start + 9 : start + CARD])
            return float(found[1].replace("D", "E")) if found else None
    return None
