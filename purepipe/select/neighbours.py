"""How much light of its neighbours a star has to bear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Light within so many FWHM counts in full; beyond, it falls off as the wings of a PSF do, to
# where no star of a CCD is bright enough to matter.
_FULL = 2.0
_SLOPE = 6
_FARTHEST = 10.0
# What is larger than so many times the seeing is no star, and need not look farther than stars do.
_LARGEST = 2.0
_BLOCK = 64  # objects at a time: each may have as many neighbours as there are objects


def neighbour_light(
    x: Floats, y: Floats, flux: Floats, fwhm: Floats, rows: NDArray[np.intp]
) -> Floats:
    """Light of the other detections around some, relative to their own.

    Parameters
    ----------
    x, y, fwhm
        (n,) positions and sizes, pixels. The median size of those asked for stands for the seeing.
    flux
        (n,) fluxes; those that are not positive or not finite count as none.
    rows
        The detections of which it is asked.

    Returns
    -------
    (len(rows),) sums of flux ratios; infinite where position, size or flux is not known.
    """
    light = np.full(len(rows), np.inf)
    flux = np.where(np.isfinite(flux) & (flux > 0), flux, 0.0)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    asked = np.flatnonzero((flux[rows] > 0) & (fwhm[rows] > 0) & np.isfinite(x[rows] + y[rows]))
    if not len(asked):
        return light
    tree = cKDTree(np.column_stack([x[known], y[known]]))
    reach = _FARTHEST * np.minimum(fwhm, _LARGEST * np.median(fwhm[rows[asked]]))
    for start in range(0, len(asked), _BLOCK):
        places = asked[start : start + _BLOCK]
        own = rows[places]
        near = tree.query_ball_point(np.column_stack([x[own], y[own]]), reach[own])
        for place, row, found in zip(places, own, near, strict=True):
            others = known[found]
            others = others[others != row]
            distance = np.hypot(x[others] - x[row], y[others] - y[row]) / fwhm[row]
            share = (_FULL / np.maximum(distance, _FULL)) ** _SLOPE
            light[place] = (flux[others] * share).sum() / flux[row]
    return light
