"""Region files as DS9 writes them, and as people do.

The shapes themselves, and positions on the sky, are read by the package `regions`, one statement at
a time, so that every complaint has its line. What that package leaves out is done here: physical
coordinates, sizes in the units of the other kind of coordinates, and sectors (panda).
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import DataError
from purepipe.gnomonic import CARD
from purepipe.mask.ds9_text import IN_PIXELS, NO_AREA, SECTORS, Statement, statements
from purepipe.mask.regions import Region, region_from_object

if TYPE_CHECKING:
    from purepipe.wcs import WCS

log = logging.getLogger(__name__)

# Numbers that a shape needs, whether it may have more (rings, an angle), and what they are.
_NUMBERS = {
    "circle": (3, False, "a position and a radius"),
    "point": (2, False, "two coordinates"),
    "annulus": (4, True, "a position and two radii"),
    "ellipse": (4, True, "a position and two semi-axes"),
    "box": (4, True, "a position, a width and a height"),
}
# Sexagesimal angles and units included; whether it makes sense is for the package to say.
_NUMBER = re.compile(r"[-+]?(?:[\d.][-+\d.:hmsdripe'\"]*|nan|inf(?:inity)?)", re.A | re.I)
_PIXELS = re.compile(r"([-+.\deE]+)[pi]", re.IGNORECASE)
_ANGLE = re.compile(r"([-+.\deE]+?)(['\"dr])", re.IGNORECASE)
_ARCSEC = {"'": 60.0, '"': 1.0, "d": 3600.0, "r": float(np.degrees(3600.0))}
# Each argument is looked at by itself; no shape has so many.
_MOST_ARGUMENTS = 200_000


def regions_from_ds9(
    text: str, wcs: WCS | None = None, *, extension: int | None = None, file: object = None
) -> list[Region]:
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
    extension
        Number, from 1, of the image in a file with lines ``tile N``: the shapes after such a line
        are for image N, those before any for the first. Without it such lines are refused.
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
    for statement in statements(text, extension=extension, file=file):
        shapes += _regions(statement, wcs, file)
    return shapes


def _regions(statement: Statement, wcs: WCS | None, file: object) -> list[Region]:
    """The shapes of one statement: several for rings around rings, or none, as the log says."""
    if statement.shape in NO_AREA:
        log.warning(
            "%s line %d: a %s has no area and masks nothing",
            file or "regions", statement.line, statement.shape,
        )  # fmt: skip
        return []
    shape, values, sector = _whole(statement, file)
    _require_numbers(statement, shape, values, file)
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


def _whole(statement: Statement, file: object) -> tuple[str, list[str], tuple[float, float] | None]:
    """The shape of which a sector is a part, its arguments, and the angles of the sector."""
    values = list(statement.arguments)
    if statement.shape not in SECTORS:
        return statement.shape, values, None
    whole = SECTORS[statement.shape]
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


def _require_numbers(statement: Statement, shape: str, values: Sequence[str], file: object) -> None:
    """What the shape needs; the package `regions` complains of calls of its own."""
    count = len(values)
    if shape == "polygon":
        if count % 2:
            raise statement.error("an even number of coordinates is needed", file, got=count)
        if count < 6:
            raise statement.error("at least three vertices are needed", file, got=count // 2)
    else:
        needed, more, meaning = _NUMBERS[shape]
        if count < needed or (count > needed and not more):
            raise statement.error(
                f"{meaning} are needed", file, got=f"{count} numbers",
                allowed=f"{needed} or more" if more else needed,
            )  # fmt: skip
    for value in values:
        if not _NUMBER.fullmatch(value):
            raise statement.error("this is not a number", file, got=repr(value[:40]))


def _in_one_unit(
    shape: str, values: Sequence[str], statement: Statement, wcs: WCS | None, file: object
) -> list[str]:
    """Sizes in pixels of shapes in pixels, in angles of shapes on the sky."""
    in_pixels = statement.frame in IN_PIXELS
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
    statement: Statement,
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


def _parsed(shape: str, values: Sequence[str], statement: Statement, file: object) -> list[Any]:
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
