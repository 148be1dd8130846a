"""The most frequent value of a sample: SETools' mode, and the half-sample mode."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_ACCURACY = 0.001
_MAX_ITERATIONS = 1000
# Below this number of values the mode is the median (the documentation of SETools says 10).
_FEWEST = 20


def mode(values: ArrayLike) -> Any:
    """The mode by repeated histograms, bit for bit as SETools computes it.

    The fullest bin of an equal-width histogram is cut out and binned again, until it is no wider
    than 0.001. The estimate is noisy: it takes the first of equally full bins. `half_sample_mode`
    is the robust alternative.

    Parameters
    ----------
    values
        One-dimensional; a float32 sample is treated in float32. Values that are not finite are
        left out.

    Returns
    -------
    The mode; the median of fewer than 20 values, -1 of none. Where SETools gives up (values that
    are equal or rounded), the centre of the last bin that held values, with a warning.
    """
    data = np.asarray(values)
    if data.dtype.kind == "f":
        data = data[np.isfinite(data)]
    n = len(data)
    if n == 0:
        return -1
    if n < _FEWEST:
        return np.median(data)
    bins = n // 5 if n <= 100 else n // 10
    low, high = data.min(), data.max()
    for _ in range(_MAX_ITERATIONS):
        counts, edges = np.histogram(data, bins)
        if counts.max() == 1:
            break
        fullest = int(np.argmax(counts))
        low, high = edges[fullest], edges[fullest + 1]
        inside = data[(data > low) & (data < high)]
        if high - low <= _ACCURACY:
            break
        # Equal values sit on an edge and leave the bin empty, or never let it shrink.
        if len(inside) == 0 or (len(inside) == len(data) and np.all(inside == inside[0])):
            warnings.warn(
                "the mode did not converge: values are repeated or rounded; "
                "use mode_hsm for such data",
                RuntimeWarning,
                stacklevel=2,
            )
            break
        data = inside
    return (low + high) / 2


def half_sample_mode(values: ArrayLike) -> float:
    """The half-sample mode: the densest half, of the densest half, and so on.

    Robust against any tail of less than half the sample, and without a bin width
    (Bickel & Fruehwirth 2006, Comput. Stat. Data Anal. 50, 3500).

    Parameters
    ----------
    values
        One-dimensional; values that are not finite are left out.

    Returns
    -------
    The mode, NaN of no value.
    """
    data = np.asarray(values, dtype=np.float64)
    data = np.sort(data[np.isfinite(data)])
    while len(data) > 3:
        half = (len(data) + 1) // 2
        data = _densest(data, half)
    if len(data) == 0:
        return float("nan")
    if len(data) == 3:
        left, right = data[1] - data[0], data[2] - data[1]
        if left == right:
            return float(data[1])
        data = data[:2] if left < right else data[1:]
    return float(data.mean())


def _densest(data: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The `size` neighbouring values of sorted `data` that span the least; of ties the middle."""
    spans = data[size - 1 :] - data[: len(data) - size + 1]
    ties = np.flatnonzero(spans == spans.min())
    start = int(ties[len(ties) // 2])
    return data[start : start + size]
