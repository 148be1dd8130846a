"""The passes of a PSF fit: first guess, refinement, residuals, clipping of the stars."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFConfig
from purepipe.flags import PSFFlag
from purepipe.psf.basis import free_pixels
from purepipe.psf.problem import Problem, axis_geometry, with_geometry
from purepipe.psf.samples import Samples

if TYPE_CHECKING:
    from purepipe.psf.normal import NormalMatrix

log = logging.getLogger(__name__)

# Accuracies of the clipping of the last guess and of the next first guess, pass by pass.
_CLEANINGS = (0.2, 0.1, 0.05)
_CLIP = 3.0


@dataclass(frozen=True, eq=False)
class _Refinement:
    """What the refinement works on, and what it keeps from pass to pass.

    `basis` (nb, h, w) are the images of the model, or None; `free` the free pixels of the pixel
    basis, or None; `normal` the last normal matrix; `coeffs` those of the basis images.
    """

    basis: NDArray[np.float32] | None
    free: NDArray[np.int64] | None
    normal: NormalMatrix | None
    coeffs: NDArray[np.float32] | None


def all_passes(
    problem: Problem, basis: NDArray[np.float32] | None, config: PSFConfig
) -> tuple[Problem, NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.int64] | None]:
    """All passes: first guess, refinement, clipping of the stars.

    Returns
    -------
    The stars that are left, the planes of the model, the coefficients of the basis images, and the
    rows and columns (nb, 2) of the free pixels; the last two None for bases without them.
    """
    planes = _first_guess(problem, _CLEANINGS[0])
    state = _Refinement(basis, _free(planes[0], problem, config), None, None)
    planes, state = _refine(problem, planes, state)
    for accuracy, next_accuracy in zip(_CLEANINGS, (*_CLEANINGS[1:], None), strict=True):
        if problem.good.sum() > 1:
            problem, moved = clean(problem, planes, accuracy, config)
            if moved:
                problem, state = with_geometry(problem), replace(state, normal=None)
            if next_accuracy is not None:
                planes = _first_guess(problem, next_accuracy)
                planes, state = _refine(problem, planes, state)
    planes = _first_guess(problem, config.accuracy)
    planes, state = _refine(problem, planes, state)
    return problem, planes, state.coeffs, state.free


def _free(
    constant: NDArray[np.float32], problem: Problem, config: PSFConfig
) -> NDArray[np.int64] | None:
    """Free pixels of the pixel basis; None for other bases and for no refinement."""
    kind = config.basis
    if kind == "pixel_auto":
        kind = "pixel" if problem.samples.fwhm_set < 3.0 else "none"
    if kind != "pixel":
        return None
    return free_pixels(constant, problem.grid, config.basis_number)


def _first_guess(problem: Problem, accuracy: float) -> NDArray[np.float32]:
    from purepipe.psf.fit_nb import first_guess

    samples = problem.samples
    planes = np.empty((problem.terms.shape[1], problem.values.shape[1]), np.float32)
    first_guess(
        problem.values, problem.rows, samples.noise2, samples.gain, samples.flux, problem.terms,
        float(np.float32(accuracy**2)), planes,
    )  # fmt: skip
    return planes.reshape(-1, *problem.grid.shape)


def _refine(
    problem: Problem, planes: NDArray[np.float32], state: _Refinement
) -> tuple[NDArray[np.float32], _Refinement]:
    """Correct the first guess by a fit to the vignettes."""
    if state.basis is not None:
        return _refine_basis(problem, planes, state, state.basis)
    if state.free is not None and len(state.free) > 0:
        return _refine_pixels(problem, planes, state, state.free)
    return planes, state


def _refine_pixels(
    problem: Problem,
    planes: NDArray[np.float32],
    state: _Refinement,
    free: NDArray[np.int64],
) -> tuple[NDArray[np.float32], _Refinement]:
    """Correct the free pixels by a regularised fit to the residuals of the vignettes."""
    from purepipe.psf.fit_nb import right_side
    from purepipe.psf.normal import normal_matrix

    samples, terms = problem.samples, problem.terms
    normal = normal_matrix(
        free, problem.good, samples.weights, samples.flux, terms, problem.taps,
        previous=state.normal,
    )  # fmt: skip
    right = np.zeros((len(free), terms.shape[1]))
    right_side(
        problem.rows, samples.vignets, samples.weights, samples.flux, terms, planes,
        *problem.taps, free, right,
    )  # fmt: skip
    state = replace(state, normal=normal)
    solution = normal.solve(right)
    if solution is None:
        log.warning("the refinement of the PSF model has no finite solution: skipped")
        return planes, state
    refined = planes.copy()
    refined[:, free[:, 0], free[:, 1]] += solution.T
    return refined, state


def _refine_basis(
    problem: Problem,
    planes: NDArray[np.float32],
    state: _Refinement,
    basis: NDArray[np.float32],
) -> tuple[NDArray[np.float32], _Refinement]:
    """Replace the model by the best sum of basis images."""
    from purepipe.psf.normal import solve_basis

    samples = problem.samples
    coeffs = solve_basis(
        basis, problem.grid, problem.rows, samples.vignets, samples.weights, samples.flux,
        samples.dx, samples.dy, problem.terms,
    )  # fmt: skip
    if coeffs is None:
        log.warning("the fit of the PSF basis has no finite solution: skipped")
        return planes, state
    refined = np.tensordot(coeffs.T, basis.astype(np.float64), axes=1).astype(np.float32)
    return refined, replace(state, coeffs=coeffs.astype(np.float32))


def measure(
    problem: Problem, planes: NDArray[np.float32], accuracy: float, config: PSFConfig
) -> tuple[Problem, bool]:
    """Chi-square and residual index of the good stars, the others keep theirs.

    Returns
    -------
    The problem with them and, with `config.recenter`, with fitted centres; whether the centres
    changed. The geometry on the model grid is left as it was.
    """
    from purepipe.psf.fit_nb import residuals

    samples, taps = problem.samples, problem.taps
    if config.recenter:
        samples, x, y = _fit_centres(problem, planes)
        # The residuals belong to the last position tried, kept or not.
        taps = (*axis_geometry(x, problem.grid, 1), *axis_geometry(y, problem.grid, 0))
    chi2, index = problem.chi2.copy(), problem.residual_index.copy()
    residuals(
        problem.rows, samples.vignets, samples.weights, samples.flux, problem.terms, planes,
        *taps, samples.dx, samples.dy,
        float(np.float32(problem.grid.step * problem.grid.half_size)),
        accuracy**2, chi2, index,
    )  # fmt: skip
    measured = replace(problem, samples=samples, chi2=chi2, residual_index=index)
    return measured, config.recenter


def _fit_centres(
    problem: Problem, planes: NDArray[np.float32]
) -> tuple[Samples, NDArray[np.float64], NDArray[np.float64]]:
    """Stars with centres fitted by the model, and the last positions tried."""
    from purepipe.psf.fit_nb import fit_centres

    samples, grid = problem.samples, problem.grid
    size = int(2 * samples.fwhm_set + 1)
    height, width = (min(size, side) for side in grid.vignet_shape)
    dx, dy = samples.dx.copy(), samples.dy.copy()
    x, y = dx.astype(np.float64), dy.astype(np.float64)
    fit_centres(
        problem.rows, samples.vignets, samples.weights, problem.terms, planes,
        grid.inverse_step, width, height, dx, dy, x, y,
    )  # fmt: skip
    return samples.with_centres(dx, dy), x, y


def clean(
    problem: Problem, planes: NDArray[np.float32], accuracy: float, config: PSFConfig
) -> tuple[Problem, bool]:
    """Measure the residuals and flag the stars with too large ones; whether centres changed."""
    problem, moved = measure(problem, planes, accuracy, config)
    cut = np.float64(np.float32(clipping_limit(np.sqrt(problem.chi2[problem.good]))))
    flags = problem.samples.flags.copy()
    flags[problem.chi2.astype(np.float64) > cut * cut] |= PSFFlag.CHI2
    return replace(problem, samples=problem.samples.with_flags(flags)), moved


def clipping_limit(values: NDArray[np.floating[Any]]) -> float:
    """Upper limit by iterative 3-sigma clipping about the median (from PSFEx).

    The median is taken before the values outside of the last limits are dropped; dropped values
    do not come back.
    """
    kept = np.sort(np.asarray(values, dtype=np.float64))
    low, high = -1e30, 1e30
    sigma, previous = 1e30, 1.0
    for _ in range(100):
        if not (sigma >= 0.1 and abs(sigma / previous - 1.0) > 1e-4) or len(kept) == 0:
            break
        previous = sigma
        centre = float(np.median(kept))
        kept = kept[(kept > low) & (kept < high)]
        sigma = float(np.std(kept, ddof=1)) if len(kept) > 1 else 0.0
        low, high = centre - _CLIP * sigma, centre + _CLIP * sigma
    return high


def mean_chi2(problem: Problem) -> float:
    """Sum over the good stars divided by their number less one, as the original does."""
    good = problem.good
    total = float(problem.chi2[good].astype(np.float64).sum())
    return total / max(int(good.sum()) - 1, 1)
