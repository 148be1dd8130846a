"""Regions: shapes in pixels or on the sky, DS9 and WeightWatcher text, as polygons on an image."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.display import brief
from purepipe.errors import DataError, InputFileError
from purepipe.mask.raster import PackedPolygons, pack, paint
from purepipe.mask.sky import offset_positions, project
from purepipe.survey.headers import unit_vectors

if TYPE_CHECKING:
    from purepipe.wcs import WCS

log = logging.getLogger(__name__)

# The polygon of a curve departs from it by less than this many pixels.
_SAGITTA = 0.002
_TILE = re.compile(r"\s*#?\s*tile[\s;,()]+(\d+)")
_SEPARATORS = re.compile(r"[;,() \t]+")
SKY_FRAMES = ("fk4", "b1950", "fk5", "j2000", "icrs", "galactic", "ecliptic")


@dataclass(frozen=True, eq=False)
class Region:
    """One shape on an image.

    Attributes
    ----------
    contours
        (n, 2) arrays of 0-based vertices x, y; together they bound the shape (even-odd rule).
    include
        False for a region to be left out (a leading ``-`` in DS9).
    """

    contours: tuple[NDArray[np.float64], ...]
    include: bool = True

    __repr__ = brief


def polygon(vertices: ArrayLike, *, include: bool = True) -> Region:
    """The region inside a polygon; `vertices` is (n, 2), 0-based pixels."""
    return Region((np.asarray(vertices, dtype=np.float64).reshape(-1, 2),), include)


def ellipse(
    x: float, y: float, a: float, b: float, angle: float = 0.0, *, include: bool = True
) -> Region:
    """The region inside an ellipse of semi-axes a, b; `angle` in degrees from x towards y."""
    return Region((_placed(_ellipse(a, b, angle), x, y),), include)


def circle(x: float, y: float, radius: float, *, include: bool = True) -> Region:
    """The region inside a circle (pixels, 0-based)."""
    return ellipse(x, y, radius, radius, include=include)


def annulus(x: float, y: float, inner: float, outer: float, *, include: bool = True) -> Region:
    """The region between two circles around one centre (pixels, 0-based)."""
    rings = (_placed(_ellipse(outer, outer), x, y), _placed(_ellipse(inner, inner), x, y))
    return Region(rings, include)


def box(
    x: float, y: float, width: float, height: float, angle: float = 0.0, *, include: bool = True
) -> Region:
    """The region inside a box around its centre; `angle` in degrees from x towards y."""
    return Region((_placed(_box(width, height, angle), x, y),), include)


def point(x: float, y: float, *, include: bool = True) -> Region:
    """The one pixel that contains a position."""
    return Region((_placed(_box(1.0, 1.0), x, y),), include)


def draw_regions(
    regions: Sequence[Region],
    shape: tuple[int, int],
    *,
    rule: str = "centre",
    overlap: str = "union",
) -> NDArray[np.bool_]:
    """True inside the included regions and outside of all excluded ones.

    A list of excluded regions alone selects nothing.

    Parameters
    ----------
    regions
        Shapes in 0-based pixels.
    shape
        (ny, nx).
    rule, overlap
        As for `purepipe.mask.raster.rasterise`.
    """
    included, excluded = pack_regions(regions, rule=rule, overlap=overlap)
    return inside_regions((included, excluded), shape)


PackedRegions = tuple[PackedPolygons, PackedPolygons]


def pack_regions(regions: Sequence[Region], *, rule: str, overlap: str = "union") -> PackedRegions:
    """Included and excluded shapes, to be drawn part by part by `inside_regions`."""
    drawn = [item.contours for item in regions if item.include]
    holes = [item.contours for item in regions if not item.include]
    return pack(drawn, 1, rule=rule, overlap=overlap), pack(holes, 2, rule=rule)


def inside_regions(
    packed: PackedRegions, shape: tuple[int, int], first_row: int = 0
) -> NDArray[np.bool_]:
    """What `draw_regions` says of ``shape[0]`` rows of an image from `first_row` on."""
    drawn = np.zeros(shape, np.int32)
    for polygons in packed:
        paint(polygons, drawn, first_row)
    return np.equal(drawn, 1)


def regions_from_objects(objects: Iterable[Any], wcs: WCS | None = None) -> list[Region]:
    """Shapes on an image from objects of the package `regions`, in pixels or on the sky.

    Lines and texts have no area; they are left out with a warning in the log, and so are shapes
    of which a part lies on the other side of the sky.

    Parameters
    ----------
    objects
        Polygons, circles, ellipses, rectangles, their annuli, and points.
    wcs
        Needed for shapes given on the sky; all terms of its distortion are used.

    Raises
    ------
    DataError
        A shape on the sky and no `wcs`.
    """
    found = (region_from_object(item, wcs) for item in objects)
    return [region for region in found if region is not None]


def region_from_object(
    item: Any,
    wcs: WCS | None = None,
    *,
    include: bool | None = None,
    sector: tuple[float, float] | None = None,
) -> Region | None:
    """As `regions_from_objects`, of one object; None where there is nothing to mask.

    Parameters
    ----------
    item, wcs
        As there.
    include
        In place of what the object says.
    sector
        Angles, degrees, counted as the shape's own, between which it is kept.
    """
    name = type(item).__name__
    on_sky = name.endswith("SkyRegion")
    if hasattr(item, "vertices") and np.size(item.vertices) < 3:
        raise DataError("a polygon needs at least three vertices", got=np.size(item.vertices))
    if on_sky and wcs is None:
        raise DataError(
            f"{name}: a region on the sky needs the image's world coordinates",
            remedy="Give wcs=, or use regions in pixels.",
        )
    contours = _on_the_image(name, item, wcs, sector) if on_sky else _in_pixels(name, item, sector)
    if not contours:
        log.warning("a region of type %s has no area and masks nothing", name)
        return None
    if not all(np.isfinite(contour).all() for contour in contours):
        if not on_sky:
            raise DataError(f"{name}: positions and sizes must be finite")
        log.warning("a region of type %s is not wholly on this side of the sky", name)
        return None
    return Region(contours, bool(item.meta.get("include", True)) if include is None else include)


def polygons_from_weightwatcher(
    text: str, *, extension: int = 1, lasting: bool = False, file: object = None
) -> list[NDArray[np.float64]]:
    """The polygons that WeightWatcher would draw: (n, 2) arrays of 1-based image coordinates.

    Only ``polygon`` in image coordinates is known; other shapes are left out, with a warning
    (WeightWatcher leaves them out in silence). Lines may have any length; the original cuts them
    after 4095 characters, so longer ones are warned of.

    Parameters
    ----------
    text
        Content of the file.
    extension
        Number, from 1, of the image. Polygons are for the first image; a line ``tile N`` sends the
        next polygon to image N, but the one after it to image N - 1, and so on down to the first.
    lasting
        Let a line ``tile N`` send all polygons up to the next such line to image N, as DS9 does.
    file
        Shown in messages.

    Raises
    ------
    InputFileError
        An odd number of coordinates, a text instead of a number, or sky coordinates.
    """
    polygons = []
    tile_number, counted = 1, False
    for number, line in enumerate(text.splitlines(), start=1):
        tile = _TILE.match(line)
        if tile:
            # The original counts 0 as the first image too, and reads the word in comments.
            tile_number, counted = max(int(tile[1]), 1), False
            line = line[tile.end() :]
        words = [word for word in _SEPARATORS.split(line.split("#")[0]) if word]
        if words and words[0] == "image":
            words = words[1:]
        # The original takes no notice of the sign of an excluded region.
        if not words or words[0].lstrip("+-") != "polygon":
            _warn_of_skipped(words, number, file)
            continue
        if len(line) > 4095:
            log.warning(
                "%s line %d: WeightWatcher would cut this polygon after 4095 characters",
                file or "regions", number,
            )  # fmt: skip
        vertices = _vertices(words[1:], number, file)
        if counted:
            log.warning(
                "%s line %d: WeightWatcher takes another image for this polygon than for the one"
                " before it; repeat the line 'tile N' before each", file or "regions", number,
            )  # fmt: skip
        if tile_number == extension:
            polygons.append(vertices)
        counted = counted or tile_number > 1
        if not lasting:
            tile_number = max(tile_number - 1, 1)
    return polygons


def _vertices(words: list[str], number: int, file: object) -> NDArray[np.float64]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise InputFileError(
            f"line {number}: a coordinate is not a number", file=file, got=str(error)
        ) from error
    if not np.isfinite(values).all():
        raise InputFileError(f"line {number}: a coordinate is not finite", file=file)
    if len(values) % 2:
        raise InputFileError(
            f"line {number}: a polygon needs an even number of coordinates",
            file=file, got=len(values),
        )  # fmt: skip
    return np.array(values).reshape(-1, 2)


def format_ds9(polygons: Iterable[ArrayLike], *, origin: int = 0) -> str:
    """Text of a DS9 file with polygons; `origin` is the coordinate of the first pixel's centre."""
    lines = ["# Region file format: DS9 version 4.1", "image"]
    for vertices in polygons:
        values = (np.asarray(vertices, dtype=np.float64) + (1 - origin)).ravel().tolist()
        lines.append(f"polygon({','.join(map(repr, values))})")
    return "\n".join(lines) + "\n"


def _warn_of_skipped(words: list[str], number: int, file: object) -> None:
    if not words or words[0] in ("global", "physical"):
        return
    if words[0].lower() in SKY_FRAMES:
        raise InputFileError(
            f"line {number}: sky coordinates ({words[0]})", file=file,
            remedy="Read the file with regions_from_ds9 and the image's world coordinates.",
        )  # fmt: skip
    log.warning("%s line %d: %s masks nothing", file or "regions", number, " ".join(words)[:40])


def _placed(outline: NDArray[np.float64], x: Any, y: Any) -> NDArray[np.float64]:
    placed: NDArray[np.float64] = outline + np.array([float(x), float(y)])
    return placed


Sector = tuple[float, float] | None


def _in_pixels(name: str, item: Any, sector: Sector) -> tuple[NDArray[np.float64], ...]:
    if name == "PolygonPixelRegion":
        return (np.stack([item.vertices.x, item.vertices.y], axis=1).astype(np.float64),)
    outlines = _cut(_outlines(name.removesuffix("PixelRegion"), item, "", 1.0), sector)
    return tuple(_placed(line, item.center.x, item.center.y) for line in outlines)


def _on_the_image(
    name: str, item: Any, wcs: Any, sector: Sector
) -> tuple[NDArray[np.float64], ...]:
    """Contours of a shape on the sky, through all terms of the world coordinates."""
    frame = _frame(wcs)
    if name == "PolygonSkyRegion":
        sky = item.vertices.transform_to(frame)
        ra, dec = _along_great_circles(sky.spherical.lon.deg, sky.spherical.lat.deg)
        return (np.stack(project(wcs, ra, dec), axis=1),)
    if name == "PointSkyRegion":
        sky = item.center.transform_to(frame).spherical
        x, y = project(wcs, np.array([sky.lon.deg]), np.array([sky.lat.deg]))
        return (_placed(_box(1.0, 1.0), x[0], y[0]),)
    contours = []
    centre = item.center.spherical
    outlines = _outlines(name.removesuffix("SkyRegion"), item, "arcsec", wcs.pixel_scale)
    for line in _cut(outlines, sector):
        # The angle counts from the west, as on a north-up image, in the frame of the region.
        lon, lat = offset_positions(centre.lon.deg, centre.lat.deg, line[:, 0], line[:, 1])
        sky = _coordinates(lon, lat, item.center.frame, frame)
        contours.append(np.stack(project(wcs, sky.lon.deg, sky.lat.deg), axis=1))
    return tuple(contours)


def _frame(wcs: WCS) -> str:
    """The equatorial frame of an image; FK5 and ICRS differ by some hundredths of an arcsec."""
    from astropy.io.fits import Header

    name = str(Header.fromstring(wcs.cards).get("RADESYS", "ICRS")).strip().lower()
    return name if name in ("fk4", "fk5") else "icrs"


def _coordinates(lon: Any, lat: Any, source: Any, target: str) -> Any:
    from astropy.coordinates import SkyCoord, UnitSphericalRepresentation
    from astropy.units import deg

    data = UnitSphericalRepresentation(lon * deg, lat * deg)
    return SkyCoord(source.realize_frame(data)).transform_to(target).spherical


def _outlines(kind: str, item: Any, unit: str, scale: float) -> list[NDArray[np.float64]]:
    """Contours around the centre, in pixels or `unit`; `scale` is the size of a pixel."""

    def size(name: str) -> float:
        value = getattr(item, name)
        return float(value.to_value(unit) if unit else value)

    angle = float(item.angle.to_value("deg")) if hasattr(item, "angle") else 0.0
    if kind == "Point":
        return [_box(1.0, 1.0)]
    if kind in ("Circle", "CircleAnnulus"):
        names = ("radius",) if kind == "Circle" else ("outer_radius", "inner_radius")
        return [_ellipse(size(name), size(name), scale=scale) for name in names]
    shape = kind.removesuffix("Annulus")
    if shape not in ("Ellipse", "Rectangle"):
        return []
    prefixes = ("",) if kind == shape else ("outer_", "inner_")
    sizes = [(size(prefix + "width"), size(prefix + "height")) for prefix in prefixes]
    if shape == "Rectangle":
        return [_box(width, height, angle, pieces=16 if unit else 1) for width, height in sizes]
    return [_ellipse(width / 2, height / 2, angle, scale=scale) for width, height in sizes]


def _cut(outlines: list[NDArray[np.float64]], sector: Sector) -> list[NDArray[np.float64]]:
    """The part of a shape, or of a ring, around the origin that lies between two angles."""
    if sector is None or sector[1] - sector[0] >= 360:
        return outlines
    outer, *inner = (_arc(outline, *sector) for outline in outlines)
    back = inner[0][::-1] if inner else np.zeros((1, 2))
    return [np.concatenate([outer, back])]


def _arc(outline: NDArray[np.float64], start: float, stop: float) -> NDArray[np.float64]:
    """The vertices of an outline, counterclockwise, from one angle to another (degrees)."""
    x, y = outline.T
    angle = (np.degrees(np.arctan2(y, x)) - start) % 360
    order = np.argsort(angle)
    # An outline is star-shaped, so that its vertices lie in the order of their angles.
    closed = np.append(angle[order], angle[order[0]] + 360)
    points = outline[np.append(order, order[0])]
    ends = []
    for along in (0.0, stop - start):
        after = int(np.searchsorted(closed, along, side="right")) % len(order)
        (x0, y0), (x1, y1) = points[after - 1 if after else -2], points[after]
        cos, sin = np.cos(np.radians(start + along)), np.sin(np.radians(start + along))
        before, beyond = x0 * sin - y0 * cos, x1 * sin - y1 * cos
        share = before / (before - beyond) if before != beyond else 0.0
        ends.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
    between = order[(angle[order] > 0) & (angle[order] < stop - start)]
    return np.concatenate([[ends[0]], outline[between], [ends[1]]])


def _ellipse(a: float, b: float, angle: float = 0.0, *, scale: float = 1.0) -> NDArray[np.float64]:
    """Vertices of an ellipse around the origin, close enough to the curve for pixels of `scale`."""
    radius = max(a, b) / scale
    count = 32
    if radius > 4 * _SAGITTA:
        count = int(np.clip(np.ceil(np.pi / np.arccos(1 - _SAGITTA / radius)), 32, 100_000))
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return _turned(a * np.cos(t), b * np.sin(t), angle)


def _box(width: float, height: float, angle: float = 0.0, *, pieces: int = 1) -> NDArray[Any]:
    """Corners of a box around the origin, and the points that cut its sides into `pieces`."""
    corners = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]) / 2
    step = np.arange(pieces)[:, None] / pieces
    sides = [a + step * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)]
    points = np.concatenate(sides)
    return _turned(points[:, 0] * width, points[:, 1] * height, angle)


def _turned(dx: NDArray[Any], dy: NDArray[Any], angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.stack([cos * dx - sin * dy, sin * dx + cos * dy], axis=1)


def _along_great_circles(lon: Any, lat: Any, pieces: int = 16) -> tuple[NDArray[Any], NDArray[Any]]:
    """Points along the sides of a polygon on the sky: with distortion they are not straight."""
    corners = unit_vectors(lon, lat)
    step = np.arange(pieces)[:, None] / pieces
    sides = [a + step * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)]
    x, y, z = np.concatenate(sides).T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))
