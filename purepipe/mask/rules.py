"""The rules of the mask, each alone: a boolean plane, True where the rule masks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import DataError, InputFileError
from purepipe.exposure import WeightKind, known_kind
from purepipe.mask.raster import PackedPolygons, pack, paint

# A variance from here on means no information (SExtractor's limit).
_BIG = 1e30
# Bits of a single-precision number: infinities and NaN have all of the first, zeros none of the
# second.
_EXPONENT, _MAGNITUDE = np.uint32(0x7F800000), np.uint32(0x7FFFFFFF)
# What a weight that is not a finite number counts as.
_NOT_A_WEIGHT = -1e30


def border(shape: tuple[int, int], width: int) -> NDArray[np.bool_]:
    """True in the first and last `width` rows and columns; nowhere for a width of zero.

    Raises
    ------
    DataError
        A negative width.
    """
    if width < 0:
        raise DataError(
            "the border cannot be negative", key="width", got=width, allowed="0 or more"
        )
    plane = np.zeros(shape, bool)
    for part in border_parts(plane, width, n_rows=shape[0]):
        part[...] = True
    return plane


def border_parts(
    rows: NDArray[Any], width: int, *, n_rows: int, first_row: int = 0
) -> Iterator[NDArray[Any]]:
    """Views, without overlap, of the border in the `rows` from `first_row` on of `n_rows`."""
    count, nx = rows.shape
    below = min(max(width - first_row, 0), count)
    above = max(min(n_rows - width - first_row, count), below)
    yield rows[:below]
    yield rows[above:]
    yield rows[below:above, :width]
    yield rows[below:above, max(nx - width, width) :]


def star_polygons(
    x: ArrayLike,
    y: ArrayLike,
    mag: ArrayLike,
    model: ArrayLike,
    *,
    scale: float,
    mag_pivot: float,
    invert: bool = False,
) -> NDArray[np.float64]:
    """The model polygon around each star, scaled with its magnitude.

    The size is ``s = 1 - scale (mag - mag_pivot)`` times the model. Stars so faint that s is not
    positive get no polygon; with `invert` they get the model reflected at the star and scaled by
    -s, as ShapePipe draws it.

    Parameters
    ----------
    x, y
        0-based positions of the stars.
    mag
        Magnitudes.
    model
        (n, 2) offsets of the vertices from the star, pixels, at the pivot magnitude.
    scale
        Relative shrinking for each magnitude.
    mag_pivot
        Magnitude of the model.

    Returns
    -------
    (stars, n, 2) array of 0-based vertices, of the stars that have a polygon.
    """
    offsets = np.asarray(model, dtype=np.float64)
    size = 1.0 - scale * (np.asarray(mag, dtype=np.float64) - mag_pivot)
    centres = np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], axis=-1)
    usable = np.isfinite(centres).all(axis=-1) & (np.isfinite(size) if invert else size > 0)
    return centres[usable, None, :] + size[usable, None, None] * offsets


def polygon_reach(model: ArrayLike, mag: ArrayLike, *, scale: float, mag_pivot: float) -> float:
    """The largest distance, pixels, from any of the stars to a vertex of its polygon."""
    size = np.abs(1.0 - scale * (np.asarray(mag, dtype=np.float64) - mag_pivot))
    radius = np.hypot(*np.asarray(model, dtype=np.float64).T).max()
    return float(radius * size.max(initial=0.0))


def stars(
    shape: tuple[int, int], polygons: NDArray[np.float64], *, compat: bool = False
) -> NDArray[np.bool_]:
    """True inside the polygons of `star_polygons`.

    A pixel is inside when its centre is. With `compat` the polygons are drawn as ShapePipe does
    with WeightWatcher: shifted by one pixel to the left and half a pixel down.
    """
    drawn = np.zeros(shape, np.int32)
    paint(pack_stars(polygons, 1, compat=compat), drawn)
    return drawn > 0


def pack_stars(polygons: NDArray[np.float64], value: int, *, compat: bool) -> PackedPolygons:
    """The polygons of stars, to be painted as `stars` says."""
    if compat:
        # 0-based position + 0.5 is written to a file that is read as 1-based.
        return pack(np.asarray(polygons) + 0.5, value, rule="weightwatcher", origin=1)
    return pack(polygons, value, rule="centre")


def bad_weight(
    weight: NDArray[np.float32],
    kind: WeightKind | str = WeightKind.INVERSE_VARIANCE,
    *,
    minimum: float = 0.0,
    maximum: float = _BIG,
    mask_zero: bool = True,
) -> NDArray[np.bool_]:
    """True where the weight says that the pixel is useless.

    That is: not finite, negative, zero (unless `mask_zero` is False), below `minimum` or above
    `maximum`. Of a variance or rms map only not finite or negative values and those from 1e30 on
    are useless: the range does not apply.
    """
    return outside_range(weight, *good_range(kind, minimum, maximum, mask_zero=mask_zero))


def outside_range(weight: NDArray[np.float32], minimum: float, maximum: float) -> NDArray[np.bool_]:
    """True where the weight is below or above the range, as WeightWatcher compares.

    What is not finite counts as -1e30; single-precision pixels are compared with
    double-precision limits.
    """
    plane = np.zeros(weight.shape, np.uint8)
    or_outside(weight, minimum, maximum, 1, plane)
    return plane.view(np.bool_)


def good_range(
    kind: WeightKind | str, minimum: float, maximum: float, *, mask_zero: bool
) -> tuple[float, float]:
    """The range of weights that are good, both ends included; all is as for `bad_weight`."""
    if known_kind(kind) in (WeightKind.VARIANCE, WeightKind.RMS):
        return 0.0, float(np.nextafter(_BIG, 0))
    smallest = float(np.finfo(np.float32).smallest_subnormal) if mask_zero else 0.0
    return max(minimum, smallest), min(maximum, _BIG)


def or_outside(
    weight: NDArray[np.float32],
    minimum: float,
    maximum: float,
    value: int,
    out: NDArray[Any],
    *,
    fresh: bool = False,
) -> None:
    """OR `value` into `out`, or into zeros if it is `fresh`, where `outside_range` is true.

    The bytes of the weight may have either order.
    """
    from purepipe.mask.raster_nb import or_outside_range

    if minimum <= _NOT_A_WEIGHT <= maximum:
        weight = np.where(np.isfinite(weight), weight, np.float32(_NOT_A_WEIGHT))
    words, swapped = _words(weight)
    or_outside_range(words, swapped, *_single_precision(minimum, maximum), value, fresh, out)


def _words(pixels: NDArray[Any]) -> tuple[NDArray[np.uint32], bool]:
    """The bits of single-precision numbers as they lie in memory, and if their bytes are swapped.

    So the pixels of a file can be looked at as they come.
    """
    if pixels.dtype.newbyteorder("=") != np.float32:
        pixels = pixels.astype(np.float32)
    return np.ascontiguousarray(pixels).view(np.uint32), not pixels.dtype.isnative


@cache
def _single_precision(minimum: float, maximum: float) -> tuple[np.float32, np.float32]:
    """The smallest and the largest finite single-precision number in a range."""
    largest = float(np.finfo(np.float32).max)
    low = np.float32(min(max(minimum, -largest), largest))
    high = np.float32(min(max(maximum, -largest), largest))
    # As Python numbers, or the comparison would itself be made in single precision.
    if float(low) < minimum:
        low = np.nextafter(low, np.float32(np.inf))
    if float(high) > maximum:
        high = np.nextafter(high, np.float32(-np.inf))
    return low, high


def missing(image: NDArray[np.float32], *, zeros: bool = False) -> NDArray[np.bool_]:
    """True where the image pixel is not finite; with `zeros` also where it is exactly zero."""
    plane = np.zeros(image.shape, np.uint8)
    or_missing(image, 1, plane, zeros=zeros)
    return plane.view(np.bool_)


def or_missing(
    image: NDArray[np.float32], value: int, out: NDArray[Any], *, zeros: bool = False
) -> None:
    """OR `value` into `out` where `missing` is true; bytes may have either order."""
    from purepipe.mask.raster_nb import or_same_bits

    words, swapped = _words(image)
    exponent, magnitude = (bits.byteswap() if swapped else bits for bits in (_EXPONENT, _MAGNITUDE))
    or_same_bits(words, exponent, exponent, value, out)
    if zeros:
        or_same_bits(words, magnitude, np.uint32(0), value, out)


def missing_fraction(image: NDArray[np.float32], *, compat: bool = False) -> float:
    """The fraction of pixels that are zero or not finite; with `compat` of those that are zero."""
    return float(np.count_nonzero(missing(image, zeros=True) if not compat else image == 0)) / (
        image.size
    )


def saturated(image: NDArray[np.float32], level: float) -> NDArray[np.bool_]:
    """True where the image reaches the saturation level."""
    return np.asarray(image >= level)


def external(flags: NDArray[np.int32], *, bits: int = -1) -> NDArray[np.int32]:
    """The chosen bits of an external flag map; EXTERNAL is added to those without a name.

    Bits that `purepipe.flags.MaskFlag` names keep their meaning, so the external map must follow
    the same convention or be translated before.
    """
    from purepipe.flags import MaskFlag

    named = 0
    for member in MaskFlag:
        named |= member.value
    chosen = flags & np.int32(bits)
    chosen[(chosen & np.int32(~named)) != 0] |= MaskFlag.EXTERNAL.value
    return chosen


@cache
def builtin_model(name: str) -> NDArray[np.float64]:
    """The (n, 2) polygon of MegaCam's ``"halo"`` or ``"spike"`` at magnitude 13.8, pixels."""
    text = (files("purepipe.mask") / "data" / f"{name}_polygon.csv").read_text(encoding="ascii")
    model = parse_polygon_model(text, file=f"{name}_polygon.csv")
    model.flags.writeable = False
    return model


def parse_polygon_model(text: str, *, file: object = None) -> NDArray[np.float64]:
    """The (n, 2) vertex offsets of a model file: two columns dx, dy, in pixels.

    Columns are separated by blanks or commas; lines that start with ``#`` and a line of column
    names at the top are passed over.

    Raises
    ------
    InputFileError
        A line without two numbers, or fewer than three vertices.
    """
    vertices: list[tuple[float, float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words or (not vertices and words[0] == "dx_pix"):
            continue
        try:
            dx, dy = map(float, words)
        except ValueError:
            raise InputFileError(
                f"line {number}: two numbers dx dy are needed", file=file, got=repr(line.strip())
            ) from None
        vertices.append((dx, dy))
    if len(vertices) < 3:
        raise InputFileError(
            "a polygon needs at least three vertices", file=file, got=len(vertices)
        )
    return np.array(vertices)
