"""The stars among sizes as one part of a mixture of normal distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from purepipe.select.locus import Locus, Sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_MOST_PARTS = 5
# So many objects are needed for each part of the mixture.
_OBJECTS_PER_PART = 5
# Wider ones in ln(size) are galaxies; the scale that makes sizes and ln(S/N) comparable.
_WIDEST = 0.08
_SCALE = 0.05
_LEAST_WIDTH = 0.004
# Parts whose means of ln(size) differ by less are both of stars.
_SAME = 0.03


def fit_mixture(sizes: Sizes, *, seed: int) -> tuple[Locus, Floats]:
    """The stellar locus, and the probability of each object to be a star.

    A mixture of normal distributions in ln(size) and ln(S/N) is fitted, with as many parts as the
    Bayesian information criterion asks for. The stars are the part of the smallest mean size
    among those that are narrow, with all of nearly the same mean.

    Parameters
    ----------
    sizes
        Clean objects.
    seed
        Of the starting points of the fit.
    """
    from sklearn.mixture import GaussianMixture

    points = np.column_stack([sizes.size / _SCALE, np.log(sizes.snr)])
    most = max(
        1, min(_MOST_PARTS, len(points) // _OBJECTS_PER_PART, len(np.unique(points, axis=0)))
    )
    fits = [
        GaussianMixture(n, reg_covar=(_LEAST_WIDTH / _SCALE) ** 2, n_init=3, random_state=seed).fit(
            points
        )
        for n in range(1, most + 1)
    ]
    best = min(fits, key=lambda fit: fit.bic(points)) if len(points) > 1 else fits[0]
    width = np.sqrt(best.covariances_[:, 0, 0]) * _SCALE
    mean = best.means_[:, 0] * _SCALE
    narrow = (width < _WIDEST) & (best.weights_ * len(points) >= 2)
    first = int(np.argmin(np.where(narrow, mean, np.inf)) if narrow.any() else np.argmin(width))
    # Stars of low and of high S/N may make two parts, one wide and one narrow.
    stars = np.flatnonzero((narrow & (np.abs(mean - mean[first]) < _SAME)) | (mean == mean[first]))
    core = int(stars[np.argmin(width[stars])])
    coefficients = np.zeros(sizes.terms.shape[1])
    coefficients[0] = mean[core]
    probability: Floats = best.predict_proba(points)[:, stars].sum(axis=1)
    return Locus(coefficients, float(width[core])), probability
