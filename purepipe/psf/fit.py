"""Fit of a PSF model to the stars of a catalogue, equal to PSFEx."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.catalogue.table import require_table
from purepipe.config.psf import PSFConfig
from purepipe.errors import AlgorithmError, DataError
from purepipe.flags import PSFFlag
from purepipe.psf import polynomial
from purepipe.psf.basis import edge_taper, fitted_to_grid, gauss_laguerre, principal_components
from purepipe.psf.hidden import drop_hidden
from purepipe.psf.model import PSFModel
from purepipe.psf.passes import all_passes, clean, mean_chi2, measure
from purepipe.psf.problem import Problem, choose_polynomial, prepare
from purepipe.psf.samples import Samples, load_samples

if TYPE_CHECKING:
    from astropy.table import Table

DEFAULT = PSFConfig()


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
    require_table(stars, "the stars")
    config = drop_hidden(config)
    return fit_samples(load_samples(stars, config), config, basis_images=basis_images)


@dataclass(frozen=True, eq=False)
class Fitted:
    """The planes of a model, the stars that they come from, and what the last pass left of them.

    `basis` (nb, h, w) are the images that `coeffs` refer to, `free` (nb, 2) the pixels that were
    refined; None for bases without them.
    """

    planes: NDArray[np.float32]
    coeffs: NDArray[np.float32] | None
    basis: NDArray[np.float32] | None
    free: NDArray[np.int64] | None
    problem: Problem
    left: Problem


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
    problem = prepare(samples, config, *choose_polynomial(samples, config))
    basis = _basis(problem, config, basis_images)
    left, planes, coeffs, free = all_passes(problem, basis, config)
    planes = (planes * edge_taper(problem.grid, samples.fwhm_set)).astype(np.float32)
    if not np.isfinite(planes).all():
        raise AlgorithmError(
            "the PSF model is not finite", got=f"{int(samples.good.sum())} stars",
            remedy="Look for absurd fluxes or pixel values among the stars.",
        )  # fmt: skip
    return Fitted(planes, coeffs, basis, free, problem, left)


def judge(fitted: Fitted, samples: Samples, config: PSFConfig) -> PSFModel:
    """The model with the verdict on each star of `samples`, which starts from the selection.

    `samples` are the stars of the fit, or those of one of the images that were pooled for it.
    Their polynomial terms come from their own range of the contexts, as in the original, even
    where the model states that of the pool.
    """
    problem = fitted.problem
    if len(problem.samples) == 1:
        final, _ = measure(fitted.left, fitted.planes, config.accuracy, config)
        loaded = 1
    else:
        own = prepare(samples, config, problem.groups, problem.degrees, step=problem.grid.step)
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
        chi2=mean_chi2(final),
        fwhm=used.fwhm_set,
        sampling=problem.grid.step,
        samples=samples_table(final, measured=len(problem.samples) > 1),
        basis=fitted.basis,
        free=fitted.free,
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
        problem = prepare(samples, config, *choose_polynomial(samples, config))
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


def _basis(
    problem: Problem, config: PSFConfig, images: NDArray[np.floating[Any]] | None
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


def _diagnose(problem: Problem, planes: NDArray[np.float32], config: PSFConfig) -> Problem:
    """One clipping of all selected stars with the final model."""
    cleaned, moved = clean(problem, planes, config.accuracy, config)
    return measure(cleaned, planes, config.accuracy, config)[0] if moved else cleaned


def samples_table(problem: Problem, *, measured: bool = True) -> Table:
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
