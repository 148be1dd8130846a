"""What a metacalibration fit gives: five fits of every object, their responses and flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.display import axes_or_new, brief, card

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class MetacalResult:
    """Five fits of every object, types in the order noshear, 1p, 1m, 2p, 2m.

    Attributes
    ----------
    pars
        (nobj, 5, 6): u0, v0 (arcsec), g1, g2, T (trace of the covariance, arcsec^2), flux. T of
        profiles other than the Gaussian is that of the Gaussian with the same half-light radius.
        The profile "bdf" adds the bulge's fraction of the flux, (nobj, 5, 7).
    cov
        (nobj, 5, 6, 6): inverse of the normal matrix, priors included.
    s2n
        (nobj, 5): S/N of the round model, from pixel noise.
    flags
        (nobj, 5) int32 `purepipe.flags.ShapeFlag`; 0 is good.
    evaluations
        (nobj, 5): evaluations of the likelihood.
    sigma_target
        (nobj, nepoch): width of the reconvolution PSF, arcsec; NaN for epochs not used.
    epoch_flags
        (nobj, nepoch) int32 `ShapeFlag`: why an epoch was not used; 0 for those used.
    psf_pars, psf_err
        (nobj, nepoch, 6): Gaussian fit to the original PSF, parameters as `pars`, and its errors.
    psf_flags
        (nobj, nepoch) int32 `ShapeFlag` of that fit.
    weight
        (nobj, nepoch): weight of each epoch in means over epochs; 0 for epochs not used.
    step
        Size of the applied shears.
    implicit_response
        (nobj, 2, 2): responses by the implicit function theorem, NaN where not asked for.
    responses
        `FitOptions.responses`.
    """

    pars: NDArray[np.float64]
    cov: NDArray[np.float64]
    s2n: NDArray[np.float64]
    flags: NDArray[np.int32]
    evaluations: NDArray[np.int32] = field(repr=False)
    sigma_target: NDArray[np.float64] = field(repr=False)
    epoch_flags: NDArray[np.int32] = field(repr=False)
    psf_pars: NDArray[np.float64] = field(repr=False)
    psf_err: NDArray[np.float64] = field(repr=False)
    psf_flags: NDArray[np.int32] = field(repr=False)
    weight: NDArray[np.float64] = field(repr=False)
    step: float
    implicit_response: NDArray[np.float64] = field(repr=False)
    responses: str = "types"

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.pars)

    @property
    def shapes(self) -> NDArray[np.float64]:
        """(nobj, 5, 2) reduced shapes g1, g2."""
        return self.pars[:, :, 2:4]

    @property
    def response(self) -> NDArray[np.float64]:
        """(nobj, 2, 2): R_ij = d g_i / d gamma_j."""
        if self.responses == "implicit":
            return self.implicit_response
        g = self.shapes
        return np.stack([g[:, 1] - g[:, 2], g[:, 3] - g[:, 4]], axis=-1) / (2.0 * self.step)

    @property
    def errors(self) -> NDArray[np.float64]:
        """(nobj, 5, 6): square roots of the diagonal of `cov`."""
        with np.errstate(invalid="ignore"):
            errors: NDArray[np.float64] = np.sqrt(np.einsum("otii->oti", self.cov))
        return errors

    @property
    def good(self) -> NDArray[np.bool_]:
        """(nobj,): no fit that was asked for has a flag."""
        fits = self.flags[:, :1] if self.responses == "implicit" else self.flags
        good: NDArray[np.bool_] = (fits == 0).all(axis=1)
        return good

    @property
    def target_size(self) -> NDArray[np.float64]:
        """(nobj,): T of the reconvolution PSF, weighted mean over epochs, arcsec^2."""
        return self._mean(2.0 * self.sigma_target**2)

    @property
    def psf_shape(self) -> NDArray[np.float64]:
        """(nobj, 3): g1, g2, T of the original PSF, weighted mean over epochs."""
        return np.stack([self._psf_mean(self.psf_pars[..., k]) for k in (2, 3, 4)], axis=-1)

    @property
    def psf_shape_error(self) -> NDArray[np.float64]:
        """(nobj, 3): weighted mean over epochs of the errors of g1, g2, T of the original PSF."""
        return np.stack([self._psf_mean(self.psf_err[..., k]) for k in (2, 3, 4)], axis=-1)

    def _psf_mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._mean(np.where(self.psf_flags == 0, values, np.nan))

    def _mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        weight = np.where(np.isfinite(values), self.weight, 0.0)
        total = weight.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: NDArray[np.float64] = np.where(weight > 0, values * weight, 0.0).sum(1) / total
        return mean

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the unsheared shapes of the good objects, with their mean, and give the axes.

        Parameters
        ----------
        ax
            Matplotlib axes to draw into; new ones when not given.
        """
        ax = axes_or_new(ax, (5.0, 5.0))
        g = self.shapes[self.good, 0]
        ax.plot(*g.T, ".", markersize=float(np.clip(200 / max(len(g), 1) ** 0.5, 1, 8)))
        if len(g):
            ax.plot(*g.mean(axis=0), "+", color="black", markersize=12, label="mean")
            ax.legend()
        ax.set(xlabel="g1", ylabel="g2", xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
        return ax

    def _repr_html_(self) -> str:
        good = self.good
        facts = [
            ("objects", f"{len(self):,}"),
            ("good", f"{np.count_nonzero(good):,}"),
            ("epochs", f"{self.epoch_flags.shape[-1]}"),
        ]
        if good.any():
            g, r = self.shapes[good, 0].mean(axis=0), self.response[good].mean(axis=0)
            facts.append(("mean shape", f"{g[0]:+.5f}, {g[1]:+.5f} (not calibrated)"))
            facts.append(("mean R11, R22", f"{r[0, 0]:.4f}, {r[1, 1]:.4f}"))
            facts.append(("median S/N", f"{np.median(self.s2n[good, 0]):.1f}"))
        return card("Metacalibration", facts, self.plot if good.any() else None)
