"""Which CCDs of which exposures saw each object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.catalogue import column
from purepipe.config.survey import EpochConfig
from purepipe.display import brief
from purepipe.errors import DataError
from purepipe.survey.headers import CCD, unit_vectors

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass(frozen=True, eq=False)
class Epochs:
    """All pairs of an object and a CCD that saw it, sorted by object, then in order of the CCDs.

    Attributes
    ----------
    row
        (npair,) int64 index of the object.
    ccd_index
        (npair,) int64 index into the list of CCDs.
    x, y
        (npair,) float64 0-based position of the object on the CCD.
    n_objects
        Number of objects, also those that no CCD saw.
    units
        Exposure and CCD number of every CCD in the list.
    n_twice
        Number of objects that lie on several CCDs of one exposure, of which one was taken; 0 for
        the epochs of a part of the objects.
    """

    row: NDArray[np.int64]
    ccd_index: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    n_objects: int
    units: tuple[tuple[str, int], ...]
    n_twice: int = 0

    __repr__ = brief

    @property
    def n_epoch(self) -> NDArray[np.int32]:
        """(n_objects,) number of exposures that saw each object."""
        return np.bincount(self.row, minlength=self.n_objects).astype(np.int32)

    @property
    def exposures(self) -> tuple[str, ...]:
        """Exposure numbers, each once, in the order of the CCDs."""
        return tuple(dict.fromkeys(exposure for exposure, _ in self.units))

    def of_objects(self, start: int, stop: int) -> Epochs:
        """The pairs of the objects start, ..., stop - 1, whose rows then begin with 0."""
        first, last = np.searchsorted(self.row, [start, stop])
        part = slice(first, last)
        return Epochs(
            self.row[part] - start, self.ccd_index[part], self.x[part], self.y[part],
            min(stop, self.n_objects) - start, self.units,
        )  # fmt: skip


def find_epochs(
    ra: ArrayLike,
    dec: ArrayLike,
    ccds: Sequence[CCD],
    config: EpochConfig = EpochConfig(),  # noqa: B008 - frozen
) -> Epochs:
    """The CCDs that saw each object, and where.

    An object is on a CCD when its position lies on an exposed pixel, with 1-based coordinates
    x0 - 0.5 <= x < x1 + 0.5. An exposure counts once: where the areas of two of its CCDs overlap,
    the CCD on which the object lies farther from the edge is taken.

    Parameters
    ----------
    ra, dec
        (n,) positions, degrees. A position that is not finite has no epoch.
    ccds
        CCDs in the order that the epochs shall have.
    config
        Area of the CCDs and treatment of their edges.

    Returns
    -------
    Positions do not depend, to the last bit, on which other objects are asked for.

    Raises
    ------
    DataError
        `ra` and `dec` differ in length, a CCD comes twice, or its image has no exposed pixel.
    """
    ra = np.ascontiguousarray(ra, dtype=np.float64)
    dec = np.ascontiguousarray(dec, dtype=np.float64)
    if ra.ndim != 1 or ra.shape != dec.shape:
        raise DataError("ra and dec must be of one length", got=(ra.shape, dec.shape))
    units = tuple((ccd.exposure, ccd.ccd) for ccd in ccds)
    if len(set(units)) < len(units):
        twice = next(unit for unit in units if units.count(unit) > 1)
        raise DataError("the CCD comes twice in the list", got=f"{twice[0]}-{twice[1]}")
    finite = np.isfinite(ra) & np.isfinite(dec)
    vectors = unit_vectors(np.where(finite, ra, np.nan), np.where(finite, dec, np.nan))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(u[0] for u in units))}
    found: list[tuple[NDArray[Any], ...]] = []
    for index, ccd in enumerate(ccds):
        rows, x, y, depth = _on_ccd(ra, dec, vectors, ccd, config)
        same = np.ones(len(rows), dtype=np.int64)
        found.append((rows, index * same, numbers[ccd.exposure] * same, x, y, depth))
    if not found:
        none, nowhere = np.zeros(0, dtype=np.int64), np.zeros(0)
        return Epochs(none, none, nowhere, nowhere, len(ra), units)
    row, ccd_index, exposure, x, y, depth = (
        np.concatenate(parts) for parts in zip(*found, strict=True)
    )
    kept, n_twice = _deepest(row, ccd_index, exposure, depth)
    return Epochs(row[kept], ccd_index[kept], x[kept], y[kept], len(ra), units, n_twice)


def epoch_tables(epochs: Epochs, number: ArrayLike | None = None) -> list[Table]:
    """The tables EPOCH_0, EPOCH_1, ...: per exposure, the CCD of every object, or -1.

    Parameters
    ----------
    number
        (n,) NUMBER of the objects; 1, 2, ... when not given.

    Returns
    -------
    Tables with columns NUMBER (int32), EXP_NAME (text) and CCD_N (int32), in the order of the
    exposures; one row per object.
    """
    from astropy.table import Table

    numbers = np.arange(1, epochs.n_objects + 1) if number is None else np.asarray(number)
    ccd_numbers = np.array([ccd for _, ccd in epochs.units], dtype=np.int32)
    of_exposure = np.array([exposure for exposure, _ in epochs.units])
    tables = []
    for exposure in epochs.exposures:
        ccd = np.full(epochs.n_objects, -1, dtype=np.int32)
        pairs = of_exposure[epochs.ccd_index] == exposure
        ccd[epochs.row[pairs]] = ccd_numbers[epochs.ccd_index[pairs]]
        table = Table()
        table["NUMBER"] = numbers.astype(np.int32)
        table["EXP_NAME"] = np.full(epochs.n_objects, exposure)
        table["CCD_N"] = ccd
        for name in table.colnames:
            table[name].description = column(name).definition
        tables.append(table)
    return tables


def _on_ccd(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    vectors: NDArray[np.float64],
    ccd: CCD,
    config: EpochConfig,
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Rows of the objects on one CCD, their positions, and their depth (distance to the edge)."""
    if config.edges != "shapepipe":
        ccd = ccd.exposed(config.ccd_size)
    elif config.ccd_size is not None:  # as it is, also beyond the image
        ccd = replace(ccd, datasec=config.ccd_size)
    centre, radius = ccd.sky_circle
    near = np.flatnonzero(vectors @ centre >= np.cos(radius) - 1e-12)
    if len(near) == 0:
        return near, np.zeros(0), np.zeros(0), np.zeros(0)
    x, y = ccd.wcs.sky_to_pixel(ra[near], dec[near])
    left, right, bottom, top = ccd.area
    if config.edges == "shapepipe":
        # The original compares 0-based positions with the 1-based numbers, strictly.
        low = np.minimum(x - left, y - bottom)
        on = (low > 0) & (x < right) & (y < top)
        depth = np.minimum(low, np.minimum(right - x, top - y))
    else:
        low = np.minimum(x - (left - 1.5), y - (bottom - 1.5))
        high = np.minimum(right - 0.5 - x, top - 0.5 - y)
        on = (low >= 0) & (high > 0)
        depth = np.minimum(low, high)
    return near[on], x[on], y[on], depth[on]


def _deepest(
    row: NDArray[Any], index: NDArray[Any], exposure: NDArray[Any], depth: NDArray[Any]
) -> tuple[NDArray[np.int64], int]:
    """The pairs to keep, one per object and exposure, sorted by object, then by CCD.

    With them the number of objects that lose a pair.
    """
    # Rounding errors do not choose the CCD: of two as deep, the first one is taken.
    order = np.lexsort((index, -np.round(depth, 3), exposure, row))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (row[order][1:] != row[order][:-1]) | (exposure[order][1:] != exposure[order][:-1])
    kept = order[first]
    return kept[np.lexsort((index[kept], row[kept]))], len(np.unique(row[order[~first]]))
