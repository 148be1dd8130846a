"""How well a PSF model reproduces the stars, above all those that it was not fitted to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import DataError, did_you_mean
from purepipe.psf.interpolate import PSFLike
from purepipe.psf.model import PSFModel
from purepipe.psf.moments import Moments, adaptive_moments
from purepipe.psf.samples import BAD_PIXEL

if TYPE_CHECKING:
    from astropy.table import Table

# S/N beyond which a star weighs no more: the model, not the noise, limits the residual.
_SNR_CAP = 100.0


@dataclass(frozen=True)
class PSFResiduals:
    """Residuals of size and ellipticity, star minus model, over the stars of one CCD.

    Attributes
    ----------
    stars
        ``"reserved"`` when the stars took no part in the fit, ``"fit"`` when only such stars
        exist, ``"none"``.
    n
        Number of stars with good moments.
    mean_de1, mean_de2, rms_de1, rms_de2
        Of the reduced shear, mean and root mean square.
    mean_dsize, rms_dsize
        Of (T_star - T_model) / T_star, with T = 2 sigma^2.
    weighted_de1, weighted_de2, weighted_dsize
        Means with weights SNR^2 / (1 + (SNR/100)^2).
    error_de, error_dsize
        Standard errors of the plain means; `error_de` is the larger of the two components.
    verdict
        ``"good"``; ``"suspect"`` when a mean exceeds its limit by more than its error explains;
        ``"unknown"`` with fewer than 3 stars.
    """

    stars: str
    n: int
    mean_de1: float
    mean_de2: float
    rms_de1: float
    rms_de2: float
    mean_dsize: float
    rms_dsize: float
    weighted_de1: float
    weighted_de2: float
    weighted_dsize: float
    error_de: float
    error_dsize: float
    verdict: str


def validate_psf(
    model: PSFLike,
    stars: Table,
    *,
    reserved: ArrayLike | None = None,
    position_keys: tuple[str, str] = ("XWIN_IMAGE", "YWIN_IMAGE"),
    response: bool = True,
) -> Table:
    """Shapes of the stars beside those of the PSF model at their positions, one row per star.

    Parameters
    ----------
    model
        PSF model of the CCD; one of another kind (`PSFLike`) is drawn as it is.
    stars
        Detections with VIGNET (n, h, w; bad pixels <= -1e30 or not finite), NUMBER, the position
        columns (1-based), XWIN_WORLD, YWIN_WORLD, MAG_AUTO and SNR_WIN.
    reserved
        (n,) whether a star was kept out of the fit.
    position_keys
        Columns of the positions.
    response
        Compare with the PSF that `psf_at` gives; without, with the images as tabulated, as
        ShapePipe does.

    Returns
    -------
    ShapePipe's validation columns: E1, E2 (reduced shear in pixel axes), SIGMA (pixels) and FLAG
    of model (_PSF_HSM) and star (_STAR_HSM), NUMBER, X, Y, RA, DEC, MAG, SNR, ACCEPTED (1 where
    the fit kept the star, 0 where not, -1 where the model does not know its stars), and RESERVED.
    A failed measurement has FLAG 1 and NaN.

    Raises
    ------
    DataError
        A column is missing, or `reserved` is not as long as `stars`.
    """
    from purepipe.catalogue import build_table

    wanted = ("VIGNET", "NUMBER", *position_keys, "XWIN_WORLD", "YWIN_WORLD", "MAG_AUTO", "SNR_WIN")
    _require_columns(stars, wanted)
    n = len(stars)
    kept_out = np.zeros(n, bool) if reserved is None else np.asarray(reserved, dtype=bool)
    if kept_out.shape != (n,):
        raise DataError(
            "reserved must say yes or no for each star", key="reserved",
            got=kept_out.shape, allowed=f"({n},)",
        )  # fmt: skip
    x, y = (np.asarray(stars[key], dtype=np.float64) for key in position_keys)
    psf = adaptive_moments(_draw(model, stars, x - 1.0, y - 1.0, response=response))
    images = np.asarray(stars["VIGNET"], dtype=np.float32)
    usable = np.isfinite(images) & (images > BAD_PIXEL)
    star = adaptive_moments(np.where(usable, images, np.float32(0)), weights=usable)
    values = {
        **_moment_columns("PSF", psf),
        **_moment_columns("STAR", star),
        "NUMBER": stars["NUMBER"],
        "X": x,
        "Y": y,
        "RA": stars["XWIN_WORLD"],
        "DEC": stars["YWIN_WORLD"],
        "MAG": stars["MAG_AUTO"],
        "SNR": stars["SNR_WIN"],
        "ACCEPTED": _accepted(model, x, y),
        "RESERVED": kept_out.astype(np.int16),
    }
    return build_table(values, rows=n)


def _draw(
    model: PSFLike,
    stars: Table,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    response: bool,
) -> NDArray[np.float32]:
    if not isinstance(model, PSFModel):
        return np.ascontiguousarray(model.draw(x, y), dtype=np.float32)
    contexts = {
        key: np.asarray(stars[key], dtype=np.float64)
        for key in model.contexts
        if key in stars.colnames
    }
    return model.draw(x, y, contexts=contexts, response=response)


def _require_columns(stars: Table, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in stars.colnames:
            raise DataError(
                "the star catalogue lacks a column", key=name,
                remedy=did_you_mean(name, stars.colnames),
            )  # fmt: skip


def _moment_columns(kind: str, moments: Moments) -> dict[str, NDArray[Any]]:
    return {
        f"E1_{kind}_HSM": moments.g1,
        f"E2_{kind}_HSM": moments.g2,
        f"SIGMA_{kind}_HSM": moments.sigma,
        f"FLAG_{kind}_HSM": (moments.flags != 0).astype(np.int32),
    }


def _accepted(model: PSFLike, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int16]:
    """Whether the fit kept the star at each position."""
    if not isinstance(model, PSFModel) or model.samples is None:
        return np.full(len(x), -1, dtype=np.int16)
    kept = np.asarray(model.samples["FLAGS_PSF"]) == 0
    centres = zip(model.samples["X_IMAGE"][kept], model.samples["Y_IMAGE"][kept], strict=True)
    known = {(float(a), float(b)) for a, b in centres}
    return np.array([(a, b) in known for a, b in zip(x, y, strict=True)], dtype=np.int16)


def psf_residuals(
    table: Table, *, max_ellipticity: float = 0.01, max_size: float = 0.03
) -> PSFResiduals:
    """Means and scatters of the residuals of a validation table, and a verdict.

    Parameters
    ----------
    table
        From `validate_psf`. The reserved stars count when there are any, else the others that
        the fit did not reject.
    max_ellipticity, max_size
        Limits on the means of the ellipticity and relative size residuals.
    """
    good = (table["FLAG_PSF_HSM"] == 0) & (table["FLAG_STAR_HSM"] == 0)
    good = np.asarray(good & (table["SNR"] > 0))
    held_back = good & (np.asarray(table["RESERVED"]) != 0)
    rows = held_back if held_back.any() else good & (np.asarray(table["ACCEPTED"]) != 0)
    kind = "reserved" if held_back.any() else "fit" if rows.any() else "none"
    size_star = np.asarray(table["SIGMA_STAR_HSM"][rows]) ** 2
    residuals = np.stack(
        [
            np.asarray(table["E1_STAR_HSM"] - table["E1_PSF_HSM"])[rows],
            np.asarray(table["E2_STAR_HSM"] - table["E2_PSF_HSM"])[rows],
            (size_star - np.asarray(table["SIGMA_PSF_HSM"][rows]) ** 2) / size_star,
        ]
    )
    mean, rms, weighted, error = _statistics(residuals, np.asarray(table["SNR"], float)[rows])
    limits = np.array([max_ellipticity, max_ellipticity, max_size])
    return PSFResiduals(
        stars=kind, n=residuals.shape[1],
        mean_de1=mean[0], mean_de2=mean[1], rms_de1=rms[0], rms_de2=rms[1],
        mean_dsize=mean[2], rms_dsize=rms[2],
        weighted_de1=weighted[0], weighted_de2=weighted[1], weighted_dsize=weighted[2],
        error_de=max(error[0], error[1]), error_dsize=error[2],
        verdict=_judge(residuals.shape[1], np.abs(mean), np.array(error), limits),
    )  # fmt: skip


def psf_summary(table: Table) -> dict[str, Any]:
    """The residuals of a validation table as plain named values, see `PSFResiduals`."""
    return asdict(psf_residuals(table))


def _statistics(
    residuals: NDArray[np.float64], snr: NDArray[np.float64]
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Mean, rms, weighted mean and error of the mean of each row; NaN where undefined."""
    n = residuals.shape[1]
    undefined = [float("nan")] * len(residuals)
    if n == 0:
        return undefined, undefined, undefined, undefined
    weights = snr**2 / (1.0 + (snr / _SNR_CAP) ** 2)
    mean = residuals.mean(axis=1)
    rms = np.sqrt((residuals**2).mean(axis=1))
    weighted = (residuals * weights).sum(axis=1) / weights.sum()
    error = residuals.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.array(undefined)
    return mean.tolist(), rms.tolist(), weighted.tolist(), error.tolist()


def _judge(
    n: int, means: NDArray[np.float64], errors: NDArray[np.float64], limits: NDArray[np.float64]
) -> str:
    if n < 3:
        return "unknown"
    return "suspect" if np.any(means > limits + 2 * errors) else "good"
