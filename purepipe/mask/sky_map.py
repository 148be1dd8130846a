"""Masks on the sky: HEALPix maps as flags of pixels or objects, and the maps of a survey's masks.

The maps are those of the package healsparse. Only the parts of the sky that are needed are held.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import ConfigError, DataError, MissingPackageError
from purepipe.mask.raster import strips
from purepipe.survey.headers import unit_vectors

if TYPE_CHECKING:
    from purepipe.wcs import WCS

# Distance of the positions that are computed; between them unit vectors are nearly linear.
_NODES = 32
_LARGEST_BITS = 31


def flag_pixels(sky_map: Any, wcs: WCS, *, outside: int = 0) -> NDArray[np.int32]:
    """The value of a sky map at every pixel of an image, as flags.

    They go into `purepipe.mask.build_mask` as the external flags of the exposure, or are OR-ed
    into a mask.

    Parameters
    ----------
    sky_map
        healsparse map of integers (bits), of truth values (1 where true), or a wide mask of at
        most 31 bits.
    wcs
        World coordinates of the image, with its shape.
    outside
        Flags of the pixels of which the map says nothing.

    Returns
    -------
    (ny, nx) int32.

    Raises
    ------
    DataError
        The map holds neither integers nor truth values, or more than 31 bits.
    ConfigError
        `outside` is not a set of flags.
    """
    _check(sky_map, outside)
    placed = place_map(sky_map, wcs)
    flags = np.empty(wcs.shape, np.int32)
    for first, last in strips(wcs.shape):
        flags[first:last] = flag_rows(placed, first, last, outside=outside)
    return flags


@dataclass(frozen=True, eq=False)
class PlacedMap:
    """A map of the sky over one image: unit vectors at the nodes of a grid of its pixels."""

    sky_map: Any
    nodes: NDArray[np.float64]
    width: int


def place_map(sky_map: Any, wcs: WCS) -> PlacedMap:
    """A map of the sky over an image, for `flag_rows`.

    Raises
    ------
    DataError
        The map holds neither integers nor truth values, or more than 31 bits.
    """
    _check(sky_map, 0)
    return PlacedMap(sky_map, _node_vectors(wcs), wcs.shape[1])


def flag_rows(placed: PlacedMap, first: int, last: int, *, outside: int) -> NDArray[np.int32]:
    """The value of a map at the pixels of the rows [first, last); all is as for `flag_pixels`."""
    rows, columns = np.arange(first, last), np.arange(placed.width)
    numbers = _pixels(placed.sky_map.nside_sparse, _interpolate(placed.nodes, rows, columns))
    return _values(placed.sky_map, numbers, outside)


def flag_objects(
    sky_map: Any, ra: ArrayLike, dec: ArrayLike, *, outside: int = 0
) -> NDArray[np.int32]:
    """The value of a sky map at the positions of objects, as flags.

    Parameters
    ----------
    ra, dec
        Degrees; of a position that is not finite the map says nothing.
    sky_map, outside
        As for `flag_pixels`, which lists the errors too.
    """
    _check(sky_map, outside)
    vectors = unit_vectors(ra, dec)
    placed = np.isfinite(vectors).all(axis=-1)
    flags = np.full(placed.shape, outside, np.int32)
    flags[placed] = _values(sky_map, _pixels(sky_map.nside_sparse, vectors[placed]), outside)
    return flags


@dataclass(frozen=True, eq=False)
class SurveyMaps:
    """What the images of a survey cover, as healsparse maps of float64.

    Attributes
    ----------
    coverage
        Mean number of images over each HEALPix pixel.
    masked
        Fraction of their pixels that is masked.
    """

    coverage: Any
    masked: Any


def map_masks(
    masks: Iterable[tuple[NDArray[np.int32], WCS]],
    *,
    nside: int = 4096,
    nside_coverage: int = 32,
    bits: int = -1,
    block: int = 8,
) -> SurveyMaps:
    """Maps of how many images cover the sky, and of how much of them is masked.

    Parameters
    ----------
    masks
        Mask and world coordinates of every image; taken one at a time.
    nside, nside_coverage
        Resolution of the maps, and of the parts in which they are stored: powers of two.
    bits
        Bits of the masks that count; -1 for all.
    block
        Image pixels are counted in squares of so many a side, all at the place of the middle.

    Raises
    ------
    ConfigError
        A resolution that is not a power of two, or a block of no pixel.
    MissingPackageError
        healsparse is not installed.
    """
    for name, value in (("nside", nside), ("nside_coverage", nside_coverage)):
        if value < 1 or value & (value - 1) or value > 2**20:
            raise ConfigError("not a resolution of HEALPix", key=name, got=value,
                              allowed="1, 2, 4, 8, ... 1048576")  # fmt: skip
    if nside_coverage > nside:
        raise ConfigError("the parts of a map cannot be smaller than its pixels",
                          key="nside_coverage", got=nside_coverage, allowed=nside)  # fmt: skip
    if block < 1:
        raise ConfigError("the block needs a pixel", key="block", got=block, allowed="1 or more")
    healsparse = require_healsparse()
    covered, masked = (
        healsparse.HealSparseMap.make_empty(nside_coverage, nside, np.float64, sentinel=0.0)
        for _ in range(2)
    )
    sky_pixel = 4 * np.pi * np.degrees(1) ** 2 * 3600**2 / (12 * nside**2)
    for mask, wcs in masks:
        n_pixels, n_masked = _block_counts((mask & np.int32(bits)) != 0, block)
        shape = n_pixels.shape
        rows, columns = (np.arange(n) * block + (block - 1) / 2 for n in shape)
        numbers = _pixels(nside, _interpolate(_node_vectors(wcs), rows, columns)).ravel()
        area = wcs.pixel_scale**2 / sky_pixel
        for target, counts in ((covered, n_pixels), (masked, n_masked)):
            target.update_values_pix(numbers, counts.ravel() * area, operation="add")
    numbers = covered.valid_pixels
    masked_fraction = healsparse.HealSparseMap.make_empty(nside_coverage, nside, np.float64)
    if len(numbers):
        masked_fraction.update_values_pix(
            numbers, masked.get_values_pix(numbers) / covered.get_values_pix(numbers)
        )
    return SurveyMaps(covered, masked_fraction)


def require_healsparse() -> Any:
    """The package healsparse.

    Raises
    ------
    MissingPackageError
        It is not installed.
    """
    try:
        return import_module("healsparse")
    except ImportError:
        raise MissingPackageError(
            "maps of the sky need the package healsparse",
            remedy="Run `pip install purepipe[skymaps]`.",
        ) from None


def _check(sky_map: Any, outside: int) -> None:
    if not 0 <= outside < 2**_LARGEST_BITS:
        raise ConfigError("not a set of flags", key="outside", got=outside,
                          allowed="0 to 2147483647")  # fmt: skip
    if sky_map.is_wide_mask_map:
        if sky_map.wide_mask_maxbits > 32:
            raise DataError("the map has more bits than a mask can hold",
                            got=sky_map.wide_mask_maxbits, allowed=_LARGEST_BITS)  # fmt: skip
    elif np.dtype(sky_map.dtype).kind not in "iub":
        raise DataError(
            "the map of a mask must hold integers or truth values", got=sky_map.dtype,
            remedy="Compare it with a limit first: healsparse makes maps of truth values.",
        )  # fmt: skip


def _node_vectors(wcs: WCS) -> NDArray[np.float64]:
    """Unit vectors of the sky at every `_NODES` pixels, to the far edges of an image or beyond."""
    ny, nx = wcs.shape
    y, x = (np.arange(0, n + _NODES, _NODES, dtype=np.float64) for n in (ny, nx))
    return unit_vectors(*wcs.pixel_to_sky(*np.meshgrid(x, y)))


def _interpolate(
    nodes: NDArray[np.float64], rows: NDArray[Any], columns: NDArray[Any]
) -> NDArray[np.float64]:
    """Unit vectors, nearly, at rows and columns of an image; linear between the nodes."""
    row, column = (np.floor(index / _NODES).astype(np.int64) for index in (rows, columns))
    fy = (rows / _NODES - row)[:, None, None]
    fx = (columns / _NODES - column)[None, :, None]
    line = nodes[row] * (1 - fy) + nodes[row + 1] * fy
    between: NDArray[np.float64] = line[:, column] * (1 - fx) + line[:, column + 1] * fx
    return between


def _pixels(nside: int, vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers of the HEALPix pixels (nested) at unit vectors."""
    from hpgeom import vector_to_pixel

    x, y, z = np.moveaxis(vectors, -1, 0)
    numbers: NDArray[np.int64] = vector_to_pixel(nside, x, y, z, nest=True)
    return numbers


def _values(sky_map: Any, pixels: NDArray[np.int64], outside: int) -> NDArray[np.int32]:
    flat = pixels.ravel()
    values = sky_map.get_values_pix(flat)
    parts = (sky_map.nside_sparse // sky_map.nside_coverage) ** 2
    known = sky_map.coverage_mask[flat // parts]
    if sky_map.is_wide_mask_map:
        packed = np.zeros((len(flat), 4), np.uint8)
        packed[:, : values.shape[1]] = values
        bits = packed.view("<u4")[:, 0].astype(np.int64)
    else:
        bits = values.astype(np.int64)
        if values.dtype.kind != "b":
            # In a map of truth values "false" and "unknown" look the same.
            known &= values != sky_map.sentinel
    if (bits[known] >> _LARGEST_BITS).any():
        raise DataError("the map has a bit that a mask cannot hold", allowed="bits 0 to 30")
    return np.where(known, bits, outside).astype(np.int32).reshape(pixels.shape)


def _block_counts(marked: NDArray[np.bool_], block: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Number of pixels, and of marked ones, in squares of pixels; those at the edges are cut."""
    starts = [np.arange(0, size, block) for size in marked.shape]
    counts = np.add.reduceat(marked.astype(np.int32), starts[0], axis=0)
    counts = np.add.reduceat(counts, starts[1], axis=1)
    sizes = [np.diff(np.append(s, n)) for s, n in zip(starts, marked.shape, strict=True)]
    return np.outer(*sizes).astype(np.float64), counts.astype(np.float64)
