"""Normal equations of a pixel-basis PSF fit: banded, and updated when stars are dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from purepipe.psf.basis import Grid, Taps
from purepipe.psf.fit_nb import REACH, fill_band, gram_blocks

RIDGE = 1e4  # 1 / 0.01^2, added to the diagonal
_CHUNK = 64  # stars at a time; bounds the memory


@dataclass(frozen=True, eq=False)
class NormalMatrix:
    """Normal matrix over (free pixel, polynomial term), the term running faster.

    Attributes
    ----------
    free
        (nb, 2) row and column of the free pixels.
    pairs
        (npairs, 2) pairs p <= q of free pixels whose projections may overlap.
    index
        (npairs,) place of each pair in the blocks of `gram_blocks`.
    sums
        (npairs, nc (nc + 1) / 2) sums over the stars.
    members
        (n,) the stars in the sums.
    factor
        Banded Cholesky factor, LAPACK's lower storage, or None when it failed.
    """

    free: NDArray[np.int64]
    pairs: NDArray[np.int64]
    index: NDArray[np.int64]
    sums: NDArray[np.float64]
    members: NDArray[np.bool_]
    factor: NDArray[np.float64] | None

    def solve(self, right: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Solution (nb, nc) for a right side (nb, nc); None when there is no finite one."""
        from scipy.linalg.lapack import dpbtrs

        if self.factor is None:
            return None
        solution, info = dpbtrs(self.factor, right.reshape(-1), lower=1)
        if info != 0 or not np.isfinite(solution).all():
            return None
        return np.asarray(solution).reshape(right.shape)


def normal_matrix(
    free: NDArray[np.int64],
    members: NDArray[np.bool_],
    weights: NDArray[np.float32],
    flux: NDArray[np.float32],
    terms: NDArray[np.float64],
    taps: Taps,
    *,
    previous: NormalMatrix | None = None,
) -> NormalMatrix:
    """The factorised normal matrix of the stars in `members`.

    The inner products of a star do not change between passes, so from a `previous` matrix only
    the dropped stars are taken out; the factor is reused when none was.
    """
    if previous is not None and np.array_equal(previous.members, members):
        return previous
    if previous is None:
        pairs, index = _pairs(free)
        empty = np.zeros((len(pairs), terms.shape[1] * (terms.shape[1] + 1) // 2))
        previous = NormalMatrix(free, pairs, index, empty, np.zeros_like(members), None)
    sums = previous.sums.copy()
    for sign, rows in (
        (1.0, np.flatnonzero(members & ~previous.members)),
        (-1.0, np.flatnonzero(previous.members & ~members)),
    ):
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            sums += sign * _sums(previous, part, weights, flux, terms, taps)
    matrix = replace(previous, sums=sums, members=members.copy(), factor=None)
    return replace(matrix, factor=_factor(matrix, terms.shape[1]))


def _box(free: NDArray[np.int64]) -> NDArray[np.int64]:
    (y0, x0), (y1, x1) = free.min(axis=0), free.max(axis=0)
    return np.array([y0, y1, x0, x1])


def _pairs(free: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of free pixels (row-major order) within reach, and their place in the blocks."""
    y0, y1, x0, x1 = _box(free)
    height, width = y1 - y0 + 1, x1 - x0 + 1
    number = np.full((height + REACH, width + 2 * REACH), -1)
    number[free[:, 0] - y0, free[:, 1] - x0 + REACH] = np.arange(len(free))
    pairs, places = [], []
    for dy in range(REACH + 1):
        for dx in range(-REACH if dy else 0, REACH + 1):
            q = number[free[:, 0] - y0 + dy, free[:, 1] - x0 + REACH + dx]
            p = np.flatnonzero(q >= 0)
            pairs.append(np.stack([p, q[p]], axis=1))
            column = free[p, 1] - x0 + min(dx, 0)
            row = free[p, 0] - y0
            places.append(((dy * height + row) * (REACH + 1) + abs(dx)) * width + column)
    return np.concatenate(pairs), np.concatenate(places)


def _sums(
    matrix: NormalMatrix,
    rows: NDArray[np.intp],
    weights: NDArray[np.float32],
    flux: NDArray[np.float32],
    terms: NDArray[np.float64],
    taps: Taps,
) -> NDArray[np.float64]:
    """Sum over some stars of inner products times products of polynomial terms."""
    blocks = np.empty((len(rows), len(matrix.pairs)))
    gram_blocks(rows, weights, flux, *taps, _box(matrix.free), matrix.index, blocks)
    i, j = np.tril_indices(terms.shape[1])
    products = terms[rows][:, i] * terms[rows][:, j]
    return np.asarray(blocks.T @ products)


def _factor(matrix: NormalMatrix, nc: int) -> NDArray[np.float64] | None:
    from scipy.linalg.lapack import dpbtrf

    bandwidth = int((matrix.pairs[:, 1] - matrix.pairs[:, 0]).max() + 1) * nc
    band = np.zeros((len(matrix.free) * nc, bandwidth))
    fill_band(matrix.sums, matrix.pairs, nc, RIDGE, band)
    factor, info = dpbtrf(band.T, lower=1, overwrite_ab=1)
    return np.asarray(factor) if info == 0 else None


def solve_basis(
    basis: NDArray[np.float32],
    grid: Grid,
    rows: NDArray[np.intp],
    vignets: NDArray[np.float32],
    weights: NDArray[np.float32],
    flux: NDArray[np.float32],
    dx: NDArray[np.float32],
    dy: NDArray[np.float32],
    terms: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """Coefficients (nb, nc) of basis images (nb, h, w) that fit the vignettes best, or None."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    from purepipe.psf.resample_nb import resample_stack

    nb, nc = len(basis), terms.shape[1]
    normal, right = np.zeros((nb, nc, nb, nc)), np.zeros((nb, nc))
    projected = np.empty((nb, *grid.vignet_shape), np.float32)
    ones, inverse = np.ones(nb), grid.inverse_step
    for s in rows:
        shift_x, shift_y = -float(dx[s]) * inverse, -float(dy[s]) * inverse
        resample_stack(basis, shift_x * ones, shift_y * ones, inverse, 1.0, projected)
        root = np.sqrt(weights[s].astype(np.float64)).ravel()
        design = projected.reshape(nb, -1) * (float(flux[s]) * root)
        gram = design @ design.T
        products = np.outer(terms[s], terms[s])
        normal += gram[:, None, :, None] * products[None, :, None, :]
        right += np.outer(design @ (root * vignets[s].ravel()), terms[s])
    try:
        factor = cho_factor(normal.reshape(nb * nc, nb * nc), lower=True, overwrite_a=True)
        solution = np.asarray(cho_solve(factor, right.ravel())).reshape(nb, nc)
    except (LinAlgError, ValueError):
        return None
    return solution if np.isfinite(solution).all() else None
