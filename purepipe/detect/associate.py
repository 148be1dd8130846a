"""Association of the objects with the entries of another catalogue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.config.detect import DetectConfig
from purepipe.errors import ConfigError, DataError
from purepipe.wcs import WCS

Numbers = NDArray[np.float64]
NO_MAGNITUDE = 99.0  # magnitudes from here on carry no flux


@dataclass(frozen=True, eq=False)
class Association:
    """What was found near the objects.

    Attributes
    ----------
    counts
        (objects,) number of entries that were taken into account; 0: none is near.
    vectors
        (objects, columns) their data, zero where there are none.
    """

    counts: NDArray[np.int32]
    vectors: Numbers

    def selected(self, which: str) -> NDArray[np.int64]:
        """Indices of the objects to keep: ``"all"``, ``"matched"`` or ``"-matched"``."""
        if which == "all":
            return np.arange(self.counts.size)
        return np.flatnonzero((self.counts > 0) == (which == "matched"))


def associate(
    x: Numbers,
    y: Numbers,
    catalogue: ArrayLike | None,
    config: DetectConfig,
    *,
    wcs: WCS | None = None,
    height: int | None = None,
) -> Association:
    """Entries of a catalogue within ``config.assoc_radius`` of 0-based positions.

    Parameters
    ----------
    x, y
        Barycentres, from 0.
    catalogue
        (entries, columns) numbers; ``config.assoc_params`` says which columns are the position
        (pixels from 1, or degrees) and the weight, ``config.assoc_data`` which are copied.
    config
        The columns, the radius, and the rule for several entries: the first along y, the nearest,
        the mean weighted with the third parameter or, for magnitudes, with the flux that it
        stands for, the sum of the data or of the fluxes they stand for, or the entry of the
        smallest or largest third parameter. Without a third parameter the means, the smallest and
        the largest are the first.
    wcs
        Needed for world coordinates.
    height
        Lines of the image: as in SExtractor, objects whose centre lies on the last one (within half
        a pixel, or beyond) are associated with nothing. Default: no such limit.

    Raises
    ------
    ConfigError
        No catalogue; a column that it does not have; world coordinates without a WCS.
    DataError
        The catalogue is not a table of numbers.
    """
    table = _table(catalogue)
    columns = _columns(config.assoc_data, table.shape[1], "detect.assoc_data")
    params = _columns(config.assoc_params, table.shape[1], "detect.assoc_params")
    if len(params) < 2:
        raise ConfigError(
            "at least two columns are needed, x and y", key="detect.assoc_params",
            got=config.assoc_params,
        )  # fmt: skip
    place = _pixels(table[:, params[0]], table[:, params[1]], config, wcs)
    good = np.flatnonzero(np.isfinite(place).all(axis=1))
    order = good[np.argsort(place[good, 1], kind="stable")]  # the first is the lowest in y
    place, data = place[order], table[order][:, columns]
    weights = table[order, params[2]] if len(params) > 2 else None
    counts = np.zeros(x.size, np.int32)
    vectors = np.zeros((x.size, len(columns)))
    for k, near in enumerate(_neighbours(x, y, place, config.assoc_radius)):
        if height is not None and y[k] >= height - 1.5:
            continue
        distance = np.square(place[near] - (x[k], y[k])).sum(axis=1)
        weight = None if weights is None else weights[near]
        values = _combined(data[near], distance, weight, config.assoc_type)
        if values is not None:
            vectors[k] = values
            counts[k] = 1 if config.assoc_type == "first" else near.size
    return Association(counts, vectors)


def _table(catalogue: ArrayLike | None) -> Numbers:
    if catalogue is None:
        raise ConfigError(
            "VECTOR_ASSOC and NUMBER_ASSOC need a catalogue", key="catalogue", got="none",
            remedy="Give the rows of a catalogue (ASSOC_NAME), or do not ask for these columns.",
        )  # fmt: skip
    try:
        table = np.asarray(catalogue, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("the associated catalogue holds something else than numbers") from error
    if table.size == 0:
        return table.reshape(0, table.shape[1] if table.ndim == 2 else 0)
    if table.ndim != 2:
        raise DataError(
            "the associated catalogue is not a table", got=f"shape {table.shape}",
            allowed="(entries, columns)",
        )  # fmt: skip
    return table


def _columns(numbers: tuple[int, ...], available: int, key: str) -> list[int]:
    """Indices of columns that are counted from 1; 0 stands for all of them."""
    if 0 in numbers:
        return list(range(available))
    if available and max(numbers, default=1) > available:
        raise ConfigError(
            "the associated catalogue has no such column", key=key, got=max(numbers),
            allowed=f"1 to {available}",
        )  # fmt: skip
    return [number - 1 for number in numbers]


def _pixels(first: Numbers, second: Numbers, config: DetectConfig, wcs: WCS | None) -> Numbers:
    """0-based pixel positions of the entries."""
    if config.assoc_coordinates == "pixel":
        return np.column_stack([first - 1, second - 1])
    if wcs is None:
        raise ConfigError(
            "the exposure has no world coordinates", key="detect.assoc_coordinates", got="world",
            remedy='Use "pixel", or an exposure with world coordinates.',
        )  # fmt: skip
    lon, lat = (first, second) if wcs.longitude_first else (second, first)
    return np.column_stack(wcs.sky_to_pixel(lon, lat))


def _neighbours(x: Numbers, y: Numbers, place: Numbers, radius: float) -> list[NDArray[np.int64]]:
    """For each object the entries nearer than the radius, in their order."""
    from scipy.spatial import KDTree

    if not len(place) or not x.size:
        return [np.empty(0, np.int64)] * x.size
    centres = np.column_stack([x, y])
    found = KDTree(place).query_ball_point(centres, radius)
    lists = []
    for centre, near in zip(centres, found, strict=True):
        rows = np.sort(np.array(near, np.int64))
        lists.append(rows[np.square(place[rows] - centre).sum(axis=1) < radius * radius])
    return lists


def _combined(
    rows: Numbers, distance: Numbers, weights: Numbers | None, kind: str
) -> Numbers | None:
    """Data of several entries; None if there are none, or none has a weight."""
    if not len(rows):
        return None
    if kind == "nearest":
        return np.asarray(rows[distance.argmin()])
    if kind == "sum":
        return np.asarray(rows.sum(axis=0))
    if kind == "mag_sum":
        total = _flux(rows).sum(axis=0)
        magnitude = -2.5 * np.log10(np.where(total > 0, total, 1))
        return np.where(total > 0, magnitude, NO_MAGNITUDE)
    if weights is None or kind == "first":
        return np.asarray(rows[0])
    if kind in ("min", "max"):
        return np.asarray(rows[weights.argmin() if kind == "min" else weights.argmax()])
    shares = _flux(weights) if kind == "mag_mean" else weights
    total = shares.sum()
    return np.asarray((rows * shares[:, None]).sum(axis=0) / total) if total != 0 else None


def _flux(magnitudes: Numbers) -> Numbers:
    """Fluxes that magnitudes stand for; zero from 99 on."""
    return np.where(
        magnitudes < NO_MAGNITUDE, 10.0 ** (-0.4 * np.minimum(magnitudes, NO_MAGNITUDE)), 0.0
    )
