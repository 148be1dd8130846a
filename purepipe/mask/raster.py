"""From polygons to pixels, by WeightWatcher's rule or by the pixel centre."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import ConfigError, DataError, did_you_mean

RULES = ("weightwatcher", "centre")
# Beyond it single precision loses the pixel; no image is that large.
_FARTHEST = 1e9
# Pixels drawn at once: half a megabyte of mask, and as much of image and weight.
_STRIP = 2**17


def rasterise(
    polygons: Sequence[Any] | NDArray[np.float64],
    shape: tuple[int, int],
    *,
    rule: str = "weightwatcher",
    origin: int = 0,
    value: int | ArrayLike = 1,
    overlap: str = "union",
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """The map in which the pixels inside each polygon carry its value, bitwise OR-ed.

    Parameters
    ----------
    polygons
        Each an (n, 2) array of vertices x, y; or a tuple of such arrays, which together bound one
        polygon by the even-odd rule (a polygon with holes). Or one (m, n, 2) array. They are
        closed here; vertices may lie anywhere, also outside the image.
    shape
        (ny, nx) of the map.
    rule
        ``"weightwatcher"``: exactly as WeightWatcher 1.12 draws, in single precision, which tests
        a pixel on its centre line at its right edge, and so shifts a polygon half a pixel to the
        left. ``"centre"``: a pixel is inside when its centre is.
    origin
        0 or 1: the coordinates of the centre of the first pixel.
    value
        One value for all polygons, or one each.
    overlap
        ``"union"``: inside any polygon. ``"even-odd"``: inside an odd number of them
        (WeightWatcher's ``POLY_INTERSECT N``); needs a single value.
    out
        int32 map to OR into; a new one of zeros when not given.

    Returns
    -------
    (ny, nx) int32 array: `out`, or the new map.

    Raises
    ------
    ConfigError
        Unknown `rule` or `overlap`, or `origin` other than 0 or 1.
    DataError
        Vertices that are not finite (n, 2) arrays, a wrong number of values, or an `out` of
        another shape or type.
    """
    out = _output(shape, out)
    paint(pack(polygons, value, rule=rule, origin=origin, overlap=overlap), out)
    return out


@dataclass(frozen=True, eq=False)
class PackedPolygons:
    """Polygons as the compiled loop wants them; made by `pack`, drawn by `paint`."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    contours: NDArray[np.int64]
    polygons: NDArray[np.int64]
    bounds: NDArray[np.float64]
    values: NDArray[np.int32]
    weightwatcher: bool


def pack(
    polygons: Sequence[Any] | NDArray[np.float64],
    value: int | ArrayLike = 1,
    *,
    rule: str,
    origin: int = 0,
    overlap: str = "union",
) -> PackedPolygons:
    """Polygons checked once, to be painted part by part; all is as for `rasterise`."""
    for word, name, words in ((rule, "rule", RULES), (overlap, "overlap", ("union", "even-odd"))):
        if word not in words:
            raise ConfigError(
                "unknown word", key=name, got=repr(word), remedy=did_you_mean(word, words)
            )
    if origin not in (0, 1):
        raise ConfigError("unknown pixel origin", key="origin", got=origin, allowed="0, 1")
    rings: list[tuple[NDArray[np.float64], ...]]
    if isinstance(polygons, np.ndarray) and polygons.ndim == 3 and polygons.shape[2] == 2:
        rings = [(polygon,) for polygon in polygons.astype(np.float64, copy=False)]
    else:
        rings = [_contours(polygon, number) for number, polygon in enumerate(polygons)]
    _require_finite(rings)
    values = np.asarray(value, dtype=np.int32)
    if overlap == "even-odd":
        if values.ndim:
            raise DataError("polygons that cancel each other need one value", got=values.shape)
        rings = [tuple(ring for polygon in rings for ring in polygon)]
    if values.ndim and values.shape != (len(rings),):
        raise DataError(
            "one value for each polygon is needed", got=values.shape, allowed=len(rings)
        )
    return _packed(rings, np.broadcast_to(values, (len(rings),)), rule, origin)


def _packed(
    rings: Sequence[Sequence[NDArray[np.float64]]],
    values: NDArray[np.int32],
    rule: str,
    origin: int,
) -> PackedPolygons:
    contours = [contour for polygon in rings for contour in polygon]
    x, y = _pixels(np.concatenate([np.empty((0, 2)), *contours]), rule, origin).T
    contour_starts = _starts([len(contour) for contour in contours])
    polygon_starts = _starts([len(polygon) for polygon in rings])
    bounds = np.zeros((len(rings), 3))
    first = contour_starts[polygon_starts]
    drawn = np.flatnonzero(np.diff(first))
    if len(drawn):
        for column, (extreme, axis) in enumerate(
            ((np.minimum, y), (np.maximum, y), (np.minimum, x))
        ):
            bounds[drawn, column] = extreme.reduceat(axis, first[drawn])
    return PackedPolygons(
        np.ascontiguousarray(x),
        np.ascontiguousarray(y),
        contour_starts,
        polygon_starts,
        bounds,
        values.copy(),  # one value for all is read-only, for which kernels are compiled again
        rule == "weightwatcher",
    )


def paint(packed: PackedPolygons, out: NDArray[Any], first_row: int = 0) -> None:
    """OR the values of polygons into `out`, the rows of an image from `first_row` on."""
    from purepipe.mask.raster_nb import fill_polygons

    if len(packed.values):
        fill_polygons(
            packed.x, packed.y, packed.contours, packed.polygons, packed.bounds, packed.values,
            packed.weightwatcher, first_row, out,
        )  # fmt: skip


def strips(shape: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """First row, and row after the last, of the parts in which a mask is drawn."""
    ny, nx = shape
    step = max(_STRIP // nx, 1)
    for first in range(0, ny, step):
        yield first, min(first + step, ny)


def _output(shape: tuple[int, int], out: NDArray[np.int32] | None) -> NDArray[np.int32]:
    if out is None:
        return np.zeros(shape, np.int32)
    if out.shape != tuple(shape) or out.dtype != np.int32 or not out.flags.writeable:
        raise DataError(
            "the map to draw into must be a writable int32 array of the given shape",
            key="out", got=f"{out.dtype} {out.shape}", allowed=f"int32 {tuple(shape)}",
        )  # fmt: skip
    return out


def _contours(polygon: Any, number: int) -> tuple[NDArray[np.float64], ...]:
    """The closed lines of one polygon as (n, 2) float64 arrays."""
    lines = polygon if isinstance(polygon, tuple) and np.ndim(polygon[0]) == 2 else (polygon,)
    contours = tuple(np.asarray(line, dtype=np.float64) for line in lines)
    for vertices in contours:
        if vertices.ndim != 2 or vertices.shape[1] != 2:
            raise _bad_vertices(number, vertices)
    return contours


def _require_finite(rings: Sequence[Sequence[NDArray[np.float64]]]) -> None:
    contours = [contour for polygon in rings for contour in polygon]
    if not contours or np.isfinite(np.concatenate(contours)).all():
        return
    for number, polygon in enumerate(rings):
        for vertices in polygon:
            if not np.isfinite(vertices).all():
                raise _bad_vertices(number, vertices)


def _bad_vertices(number: int, vertices: NDArray[np.float64]) -> DataError:
    return DataError(
        f"polygon {number}: the vertices must be a finite (n, 2) array",
        got=f"shape {vertices.shape}",
        remedy="Leave out polygons whose sky position has no place on this image.",
    )


def _pixels(vertices: NDArray[np.float64], rule: str, origin: int) -> NDArray[np.float64]:
    """0-based vertices, rounded as the rule wants it."""
    vertices = vertices.clip(-_FARTHEST, _FARTHEST)
    if rule == "centre":
        return vertices - origin
    # The program reads 1-based numbers into single precision, then subtracts 1 and rounds.
    vertices = (vertices + (1 - origin)).astype(np.float32).astype(np.float64)
    return (vertices - 1.0).astype(np.float32).astype(np.float64)


def _starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
