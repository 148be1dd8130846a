"""What a PSF fit works on: stars, polynomial terms and the geometry of the model grid."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFConfig
from purepipe.psf import polynomial
from purepipe.psf.basis import Grid, Taps
from purepipe.psf.samples import Samples

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Problem:
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
        """(n,) stars without any flag."""
        return self.samples.good

    @property
    def rows(self) -> NDArray[np.intp]:
        """Indices of the good stars."""
        return np.flatnonzero(self.good)


def prepare(
    samples: Samples,
    config: PSFConfig,
    groups: tuple[int, ...],
    degrees: tuple[int, ...],
    *,
    step: float | None = None,
) -> Problem:
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
    return Problem(samples, grid, groups, degrees, terms, values, taps, zeros, zeros)


def choose_polynomial(
    samples: Samples, config: PSFConfig
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Groups and degrees that the number of stars allows."""
    if config.is_constant:
        return (), ()
    wanted = config.degrees[: max(config.context_groups)]
    groups, degrees = polynomial.lowered(
        config.context_groups, wanted, len(samples), config.stars_per_term
    )
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
    return values, (*axis_geometry(samples.dx, grid, 1), *axis_geometry(samples.dy, grid, 0))


def axis_geometry(
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


def with_geometry(problem: Problem) -> Problem:
    """The problem after its stars were centred again."""
    values, taps = _geometry(problem.samples, problem.grid)
    return replace(problem, values=values, taps=taps)
