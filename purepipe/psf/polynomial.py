"""Polynomials of the contexts: order of the terms, their values, lowering of the degrees."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def exponents(groups: Sequence[int], degrees: Sequence[int]) -> NDArray[np.int64]:
    """Exponents of every term, in the order of the planes of a PSF model.

    Parameters
    ----------
    groups
        Group (from 1) of each context; the total degree is limited within a group, and groups
        multiply.
    degrees
        Largest total degree of each group.

    Returns
    -------
    (nc, number of contexts) array. The constant comes first, then the first context runs fastest:
    1, x, x^2, y, xy, y^2 for two contexts of degree 2.
    """
    power = [0] * len(groups)
    left = list(degrees)
    rows = [tuple(power)]
    while True:
        for i, group in enumerate(groups):
            if left[group - 1] > 0:
                left[group - 1] -= 1
                power[i] += 1
                rows.append(tuple(power))
                break
            left[group - 1] += power[i]
            power[i] = 0
        else:
            return np.array(rows, dtype=np.int64).reshape(len(rows), len(groups))


def term_count(groups: Sequence[int], degrees: Sequence[int]) -> int:
    """Number of terms: the product over the groups of C(contexts + degree, degree)."""
    count = 1
    for number, degree in enumerate(degrees, start=1):
        count *= math.comb(list(groups).count(number) + degree, degree)
    return count


def evaluate(contexts: ArrayLike, powers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values of all terms at normalised contexts (n, number of contexts), as (n, nc)."""
    values = np.asarray(contexts, dtype=np.float64)
    terms = np.ones((len(values), len(powers)))
    for i in range(powers.shape[1]):
        ladder = np.ones((int(powers[:, i].max(initial=0)) + 1, len(values)))
        for n in range(1, len(ladder)):
            ladder[n] = ladder[n - 1] * values[:, i]
        terms *= ladder[powers[:, i]].T
    return terms


def lowered(
    groups: Sequence[int], degrees: Sequence[int], rows: int, stars_per_term: float = 1.1
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Groups and degrees that `rows` stars can carry.

    While `stars_per_term` times the number of terms exceeds the number of rows, the degree of the
    last group goes down by one; at zero the group and its contexts are dropped (from PSFEx).

    Returns
    -------
    The group of each context that is left, and the degree of each group that is left.
    """
    groups, degrees = list(groups), list(degrees)
    while degrees and stars_per_term * term_count(groups, degrees) + 0.499 > rows:
        degrees[-1] -= 1
        if degrees[-1] <= 0:
            groups = [group for group in groups if group != len(degrees)]
            degrees.pop()
    return tuple(groups), tuple(degrees)
