"""Fit of a PSF model to the stars of a catalogue, equal to PSFEx."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFConfig
from purepipe.errors import AlgorithmError, DataError
from purepipe.flags import PSFFlag
from purepipe.psf import polynomial
from purepipe.psf.basis import (
    Grid,
    Taps,
    edge_taper,
    fitted_to_grid,
    free_pixels,
    gauss_laguerre,
    principal_components,
)
from purepipe.psf.model import PSFModel
from purepipe.psf.samples import Samples, load_samples

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.psf.normal import NormalMatrix

log = logging.getLogger(__name__)

DEFAULT = PSFConfig()
# Accuracies of the clipping of the last guess and of the next first guess, pass by pass.
_CLEANINGS = (0.2, 0.1, 0.05)
_CLIP = 3.0


@dataclass(frozen=True, eq=False)
class _Problem:
    """Stars, their polynomial terms, and their geometry on the model grid.

    `values` (n, npix) are the vignettes on the model grid divided by the flux, `taps` the
    resampling matrices from the grid to the vignettes.
    """

    samples: Samples
    grid: Grid
    groups: tuple[int, ...]
    degrees: tuple[int, ...]
    terms: NDArray[np.float64]
    values: NDArray[np.float32]
    taps: Taps
    chi2: NDArray[np.float32]
    residual_index: NDArray[np.float32]

    @property
    def good(self) -> NDArray[np.bool_]:
        return self.samples.good

    @property
    def rows(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.good)


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


def fit_psf(
    stars: Table,
    config: PSFConfig = DEFAULT,
    *,
    basis_images: NDArray[np.floating[Any]] | None = None,
) -> PSFModel:
    """The PSF model of one image from its stars.

    Parameters
    ----------
    stars
        Detections with SExtractor's columns: VIGNET (n, h, w; bad pixels <= -1e30 or not finite),
        FLUX_RADIUS, SNR_WIN, and the centre, flux and context columns that `config` names
        (positions with the first pixel centre at 1). ``stars.meta`` holds SEXBKDEV, the noise of
        the background in ADU, and SEXGAIN, e-/ADU.
    config
        Selection, polynomial, basis and grid; the defaults are ShapePipe's.
    basis_images
        (nb, h, w) basis for ``config.basis = "file"``, centred on pixel ``(h // 2, w // 2)``.

    Returns
    -------
    The model; ``samples`` has one row per row of `stars` with FLAGS_PSF and CHI2_PSF from a last
    clipping with the final model. With few stars the degree of the polynomial is lower than
    `config` asks, see ``model.degrees``.

    Raises
    ------
    DataError
        A column or header value is missing or of the wrong shape, or there is no row.
    AlgorithmError
        No star passes the selection; the message counts the reasons.

    Notes
    -----
    Passes, weights, regularisation and clipping are those of PSFEx 3.21 (Bertin 2011, ADASS XX,
    ASP Conf. 442, 435). Bad vignette pixels take no part in the refinement.
    """
    return fit_samples(load_samples(stars, config), config, basis_images=basis_images)


@dataclass(frozen=True, eq=False)
class Fitted:
    """The planes of a model, the stars that they come from, and what the last pass left of them."""

    planes: NDArray[np.float32]
    coeffs: NDArray[np.float32] | None
    problem: _Problem
    left: _Problem


def fit_samples(
    samples: Samples,
    config: PSFConfig = DEFAULT,
    *,
    basis_images: NDArray[np.floating[Any]] | None = None,
) -> PSFModel:
    """The PSF model of prepared stars; see `fit_psf`."""
    fitted = fit_planes(samples, config, basis_images=basis_images)
    if config.new_basis != "none":
        images = principal_components(snapshots(fitted), config.new_basis_number)
        config = replace(config, basis="file", new_basis="none")
        fitted = fit_planes(samples, config, basis_images=images)
    return judge(fitted, samples, config)


def fit_planes(
    samples: Samples,
    config: PSFConfig,
    *,
    basis_images: NDArray[np.floating[Any]] | None = None,
) -> Fitted:
    """All passes of the fit and the edge taper, without the verdict on the stars.

    Raises
    ------
    AlgorithmError
        No star is left, or the result is not finite.
    """
    _require_good(samples)
    problem = _prepare(samples, config, *_polynomial(samples, config))
    basis = _basis(problem, config, basis_images)
    left, planes, coeffs = _all_passes(problem, basis, config)
    planes = (planes * edge_taper(problem.grid, samples.fwhm_set)).astype(np.float32)
    if not np.isfinite(planes).all():
        raise AlgorithmError(
            "the PSF model is not finite", got=f"{int(samples.good.sum())} stars",
            remedy="Look for absurd fluxes or pixel values among the stars.",
        )  # fmt: skip
    return Fitted(planes, coeffs, problem, left)


def judge(fitted: Fitted, samples: Samples, config: PSFConfig) -> PSFModel:
    """The model with the verdict on each star of `samples`, which starts from the selection.

    `samples` are the stars of the fit, or those of one of the images that were pooled for it.
    Their polynomial terms come from their own range of the contexts, as in the original, even
    where the model states that of the pool.
    """
    problem = fitted.problem
    if len(problem.samples) == 1:
        final, _ = _measure(fitted.left, fitted.planes, config.accuracy, config)
        loaded = 1
    else:
        own = _prepare(samples, config, problem.groups, problem.degrees, step=problem.grid.step)
        loaded = int(own.good.sum())
        final = _diagnose(own, fitted.planes, config)
    used = problem.samples
    return PSFModel(
        mask=fitted.planes,
        coeffs=fitted.coeffs,
        contexts=used.names,
        offsets=tuple(used.offsets.tolist()),
        scales=tuple(used.scales.tolist()),
        groups=problem.groups,
        degrees=problem.degrees,
        loaded=loaded,
        accepted=int(final.good.sum()),
        chi2=_mean_chi2(final),
        fwhm=used.fwhm_set,
        sampling=problem.grid.step,
        samples=samples_table(final, measured=len(problem.samples) > 1),
    )


def empty_model(samples: Samples | None, config: PSFConfig) -> PSFModel:
    """The model that psfex writes when no star is left: zeros, and the contexts as usual."""
    names: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    degrees: tuple[int, ...] = ()
    offsets: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    table = None
    if samples is not None:
        problem = _prepare(samples, config, *_polynomial(samples, config))
        used = problem.samples
        names, groups, degrees = used.names, problem.groups, problem.degrees
        offsets, scales = tuple(used.offsets.tolist()), tuple(used.scales.tolist())
        table = samples_table(problem, measured=False)
    planes = np.zeros((polynomial.term_count(groups, degrees), *config.size[::-1]), np.float32)
    return PSFModel(
        mask=planes, coeffs=None, contexts=names, offsets=offsets, scales=scales, groups=groups,
        degrees=degrees, loaded=0, accepted=0, chi2=0.0, fwhm=0.0, sampling=0.0, samples=table,
    )  # fmt: skip


def snapshots(fitted: Fitted, number: int = 5) -> NDArray[np.float64]:
    """Images (number^contexts, h, w) of the model on a regular grid of its contexts."""
    steps = (np.arange(number) + 0.5) / number - 0.5
    count = fitted.problem.samples.contexts.shape[1]
    grids = np.meshgrid(*[steps] * count, indexing="ij")
    contexts = np.stack([grid.ravel() for grid in reversed(grids)], axis=1) if count else None
    powers = polynomial.exponents(fitted.problem.groups, fitted.problem.degrees)
    terms = np.ones((1, 1)) if contexts is None else polynomial.evaluate(contexts, powers)
    return np.asarray(np.tensordot(terms, fitted.planes.astype(np.float64), axes=1))


def _require_good(samples: Samples) -> None:
    if samples.good.any():
        return
    reasons = [
        f"{member.name} {int((samples.flags & member.value != 0).sum())}"
        for member in PSFFlag
        if (samples.flags & member.value).any()
    ]
    raise AlgorithmError(
        "no star is left for the PSF model", got=f"{len(samples)} rows, rejected: "
        + ", ".join(reasons),
        remedy="Relax the star selection or the limits of psf.*, or leave this CCD out.",
    )  # fmt: skip


def _prepare(
    samples: Samples,
    config: PSFConfig,
    groups: tuple[int, ...],
    degrees: tuple[int, ...],
    *,
    step: float | None = None,
) -> _Problem:
    """Grid, polynomial terms and geometry of the stars."""
    step = step or config.sampling or samples.fwhm_set / 2.35 * 0.5
    width, height = config.size
    vignet_shape = (samples.vignets.shape[1], samples.vignets.shape[2])
    grid = Grid((height, width), vignet_shape, float(np.float32(step)))
    kept = [i for i, group in enumerate(config.context_groups) if group <= len(degrees)]
    kept = kept if groups else []
    samples = replace(
        samples,
        names=tuple(samples.names[i] for i in kept),
        contexts=samples.contexts[:, kept],
        offsets=samples.offsets[kept],
        scales=samples.scales[kept],
    )
    terms = polynomial.evaluate(samples.normalised, polynomial.exponents(groups, degrees))
    n = len(samples)
    values, taps = _geometry(samples, grid)
    zeros = np.zeros(n, np.float32)
    return _Problem(samples, grid, groups, degrees, terms, values, taps, zeros, zeros)


def _polynomial(samples: Samples, config: PSFConfig) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Groups and degrees that the number of stars allows."""
    if config.is_constant:
        return (), ()
    wanted = config.degrees[: max(config.context_groups)]
    groups, degrees = polynomial.lowered(config.context_groups, wanted, len(samples))
    if degrees != wanted:
        log.warning(
            "only %d stars: degrees of the PSF polynomial lowered from %s to %s",
            len(samples), wanted, degrees or "a constant",
        )  # fmt: skip
    return groups, degrees


def _geometry(samples: Samples, grid: Grid) -> tuple[NDArray[np.float32], Taps]:
    """Vignettes on the model grid divided by the flux; resampling matrices back."""
    from purepipe.psf.resample_nb import resample_stack

    n, good = len(samples), samples.good
    resampled = np.zeros((int(good.sum()), *grid.shape), np.float32)
    resample_stack(
        samples.vignets[good], samples.dx[good].astype(np.float64),
        samples.dy[good].astype(np.float64), grid.step, max(grid.step, 1.0), resampled,
    )  # fmt: skip
    values = np.zeros((n, grid.shape[0] * grid.shape[1]), np.float32)
    values[good] = resampled.reshape(-1, values.shape[1]) / samples.flux[good, None]
    return values, (*_axis(samples.dx, grid, 1), *_axis(samples.dy, grid, 0))


def _axis(
    shifts: NDArray[np.floating[Any]], grid: Grid, axis: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Resampling matrices of one axis from the model grid to the vignettes."""
    from purepipe.psf.fit_nb import star_taps
    from purepipe.psf.resample_nb import tap_width

    shape = len(shifts), grid.vignet_shape[axis]
    first, count = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    taps = np.zeros((*shape, tap_width(1.0)))
    star_taps(grid.shape[axis], shifts, grid.inverse_step, first, count, taps)
    return first, count, taps


def _basis(
    problem: _Problem, config: PSFConfig, images: NDArray[np.floating[Any]] | None
) -> NDArray[np.float32] | None:
    """Basis images (nb, h, w), or None for pixel bases."""
    if config.basis == "gauss-laguerre":
        return gauss_laguerre(problem.grid, config.basis_number, config.basis_scale)
    if config.basis != "file":
        return None
    if images is None or np.ndim(images) != 3 or not np.isfinite(images).all():
        raise DataError(
            "the basis must be a cube of finite images", key="basis_images",
            got=None if images is None else np.shape(images), allowed="(nb, h, w)",
            remedy="Pass basis_images, or choose another psf.basis.",
        )  # fmt: skip
    return fitted_to_grid(np.asarray(images), problem.grid)


def _all_passes(
    problem: _Problem, basis: NDArray[np.float32] | None, config: PSFConfig
) -> tuple[_Problem, NDArray[np.float32], NDArray[np.float32] | None]:
    """All passes: first guess, refinement, clipping of the stars."""
    planes = _first_guess(problem, _CLEANINGS[0])
    state = _Refinement(basis, _free(planes[0], problem, config), None, None)
    planes, state = _refine(problem, planes, state)
    for accuracy, next_accuracy in zip(_CLEANINGS, (*_CLEANINGS[1:], None), strict=True):
        if problem.good.sum() > 1:
            problem, moved = _clean(problem, planes, accuracy, config)
            if moved:
                problem, state = _moved(problem), replace(state, normal=None)
            if next_accuracy is not None:
                planes = _first_guess(problem, next_accuracy)
                planes, state = _refine(problem, planes, state)
    planes = _first_guess(problem, config.accuracy)
    planes, state = _refine(problem, planes, state)
    return problem, planes, state.coeffs


def _free(
    constant: NDArray[np.float32], problem: _Problem, config: PSFConfig
) -> NDArray[np.int64] | None:
    """Free pixels of the pixel basis; None for other bases and for no refinement."""
    kind = config.basis
    if kind == "pixel_auto":
        kind = "pixel" if problem.samples.fwhm_set < 3.0 else "none"
    if kind != "pixel":
        return None
    return free_pixels(constant, problem.grid, config.basis_number)


def _moved(problem: _Problem) -> _Problem:
    """The problem after its stars were centred again."""
    values, taps = _geometry(problem.samples, problem.grid)
    return replace(problem, values=values, taps=taps)


def _first_guess(problem: _Problem, accuracy: float) -> NDArray[np.float32]:
    from purepipe.psf.fit_nb import first_guess

    samples = problem.samples
    planes = np.empty((problem.terms.shape[1], problem.values.shape[1]), np.float32)
    first_guess(
        problem.values, problem.rows, samples.noise2, samples.gain, samples.flux, problem.terms,
        float(np.float32(accuracy**2)), planes,
    )  # fmt: skip
    return planes.reshape(-1, *problem.grid.shape)


def _refine(
    problem: _Problem, planes: NDArray[np.float32], state: _Refinement
) -> tuple[NDArray[np.float32], _Refinement]:
    """Correct the first guess by a fit to the vignettes."""
    if state.basis is not None:
        return _refine_basis(problem, planes, state, state.basis)
    if state.free is not None and len(state.free) > 0:
        return _refine_pixels(problem, planes, state, state.free)
    return planes, state


def _refine_pixels(
    problem: _Problem,
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
    problem: _Problem,
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


def _measure(
    problem: _Problem, planes: NDArray[np.float32], accuracy: float, config: PSFConfig
) -> tuple[_Problem, bool]:
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
        taps = (*_axis(x, problem.grid, 1), *_axis(y, problem.grid, 0))
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
    problem: _Problem, planes: NDArray[np.float32]
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


def _clean(
    problem: _Problem, planes: NDArray[np.float32], accuracy: float, config: PSFConfig
) -> tuple[_Problem, bool]:
    """Measure the residuals and flag the stars with too large ones; whether centres changed."""
    problem, moved = _measure(problem, planes, accuracy, config)
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


def _diagnose(problem: _Problem, planes: NDArray[np.float32], config: PSFConfig) -> _Problem:
    """One clipping of all selected stars with the final model."""
    cleaned, moved = _clean(problem, planes, config.accuracy, config)
    return _measure(cleaned, planes, config.accuracy, config)[0] if moved else cleaned


def _mean_chi2(problem: _Problem) -> float:
    """Sum over the good stars divided by their number less one, as the original does."""
    good = problem.good
    total = float(problem.chi2[good].astype(np.float64).sum())
    return total / max(int(good.sum()) - 1, 1)


def samples_table(problem: _Problem, *, measured: bool = True) -> Table:
    """One row per input row: flags, contexts, centre, flux and residuals of the stars."""
    from purepipe.catalogue import build_table

    samples = problem.samples
    n = len(samples)
    blank = np.zeros(n, np.float32)
    table = build_table(
        {
            "SOURCE_NUMBER": np.arange(1, n + 1),
            "EXTENSION": np.ones(n, np.int16),
            "CATALOG_NUMBER": np.ones(n, np.int32),
            "FLAGS_PSF": samples.flags,
            "VECTOR_CONTEXT": samples.contexts,
            "DELTAX_IMAGE": samples.dx,
            "DELTAY_IMAGE": samples.dy,
            "NORM_PSF": samples.flux,
            "FWHM_PSF": samples.fwhm,
            "ELLIP_PSF": samples.ellipticity,
            "SNR_PSF": samples.snr,
            "CHI2_PSF": problem.chi2 if measured else blank,
            "RESI_PSF": problem.residual_index if measured else blank,
        }
    )
    # In the column table X_IMAGE belongs to the detection, which stores it in single precision.
    place = table.colnames.index("DELTAX_IMAGE")
    for name, values in (("Y_IMAGE", samples.y), ("X_IMAGE", samples.x)):
        table.add_column(values.astype(np.float64), name=name, index=place)
        table[name].unit = "pix"
    if samples.contexts.shape[1] == 0:
        table.remove_column("VECTOR_CONTEXT")
    return table
