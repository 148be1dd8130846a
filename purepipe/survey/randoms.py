"""Random points in the unmasked area of a tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.catalogue import build_table
from purepipe.errors import ConfigError, DataError, NothingToDo
from purepipe.rng import generator
from purepipe.survey.merge import area_meta
from purepipe.survey.tiles import tile_area
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from astropy.table import Table

# Below this unmasked fraction the good pixels are listed, rather than hit by chance.
_FEW = 0.02


def random_points(
    mask: NDArray[np.integer],
    wcs: WCS,
    *,
    tile: str,
    number: int | None = None,
    density: float | None = None,
    bits: int | None = None,
    seed: int = 0,
) -> Table:
    """Uniformly distributed points on the unmasked pixels of a tile.

    Parameters
    ----------
    mask
        (ny, nx) `MaskFlag` bits of the tile; 0 is unmasked.
    wcs
        Its world coordinates.
    tile
        Tile number, such as ``"051-231"``.
    number, density
        How many points, or how many per square arcmin of unmasked area; one of the two.
    bits
        The mask bits that count; all by default.
    seed
        Seed of the survey; seed and tile fix the points.

    Returns
    -------
    Table with RA, DEC (degrees), x, y (from 1) and TILE_ID. ``meta`` has AREA and UNMASKED in
    square arcmin, and the outline of the tile, so that overlaps of tiles can be found. Points are
    uniform in pixels, which on the sky differs by the change of the pixel area over the tile.

    Raises
    ------
    ConfigError
        Not one of `number` and `density` is given, or it is not positive.
    DataError
        The mask is no image of integers, or not of the size of the world coordinates.
    NothingToDo
        Every pixel is masked.
    """
    _check(mask, wcs, tile, number, density)
    good = mask == 0 if bits is None else (mask & bits) == 0
    pixels = int(np.count_nonzero(good))
    if pixels == 0:
        raise NothingToDo("every pixel of the tile is masked", key=f"tile {tile}")
    pixel_area = wcs.pixel_scale**2 / 3600
    if number is None:
        assert density is not None  # noqa: S101 - checked
        number = round(density * pixels * pixel_area)
    x, y = _draw(good, pixels, number, generator(seed, "random catalogue", tile))
    ra, dec = wcs.pixel_to_sky(x, y)
    meta = {"TILE": tile, "AREA": mask.size * pixel_area, "UNMASKED": pixels * pixel_area}
    return build_table(
        {"RA": ra, "DEC": dec, "x": x + 1, "y": y + 1, "TILE_ID": tile}, rows=number,
        meta={**meta, **area_meta(tile_area(tile, wcs))},
    )  # fmt: skip


def _draw(
    good: NDArray[np.bool_], pixels: int, number: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """0-based positions: a good pixel, and a place within it."""
    ny, nx = good.shape
    if pixels < _FEW * good.size:
        chosen = np.flatnonzero(good)[rng.integers(0, pixels, number)]
        row, column = np.divmod(chosen, nx)
    else:
        rows, columns, found = [], [], 0
        while found < number:
            count = int(1.1 * (number - found) * good.size / pixels) + 16
            j, i = rng.integers(0, ny, count), rng.integers(0, nx, count)
            hit = good[j, i]
            rows.append(j[hit])
            columns.append(i[hit])
            found += int(np.count_nonzero(hit))
        row = np.concatenate([*rows, []])[:number].astype(np.int64)
        column = np.concatenate([*columns, []])[:number].astype(np.int64)
    return column + rng.uniform(-0.5, 0.5, number), row + rng.uniform(-0.5, 0.5, number)


def _check(
    mask: NDArray[np.integer], wcs: WCS, tile: str, number: int | None, density: float | None
) -> None:
    if (number is None) == (density is None):
        raise ConfigError("give either a number or a density of random points", key="randoms")
    wanted = number if number is not None else density
    if wanted is not None and not (wanted > 0 and np.isfinite(wanted)):
        raise ConfigError("must be positive", key="number" if density is None else "density",
                          got=wanted)  # fmt: skip
    if mask.ndim != 2 or mask.dtype.kind not in "iu":
        raise DataError(
            "a mask is an image of integers", key=f"tile {tile}",
            got=f"{mask.dtype} of shape {mask.shape}",
        )  # fmt: skip
    if wcs.shape != (0, 0) and wcs.shape != mask.shape:
        raise DataError("the mask is not of the size of the tile", key=f"tile {tile}",
                        got=mask.shape, allowed=str(wcs.shape))  # fmt: skip
