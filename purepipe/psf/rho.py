"""Correlations of the PSF residuals over the sky: the rho statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import ConfigError, DataError, NothingToDo
from purepipe.psf.validate import _SNR_CAP

if TYPE_CHECKING:
    from astropy.table import Table

ARCMIN = np.pi / 180 / 60
_COLUMNS = (
    "RA", "DEC", "SNR", "RESERVED", "FLAG_PSF_HSM", "FLAG_STAR_HSM", "E1_PSF_HSM", "E2_PSF_HSM",
    "SIGMA_PSF_HSM", "E1_STAR_HSM", "E2_STAR_HSM", "SIGMA_STAR_HSM",
)  # fmt: skip
# Which two of (residual, ellipticity, ellipticity times size residual) each statistic correlates.
_PAIRS = ((0, 0), (1, 0), (2, 2), (0, 2), (1, 2))


def rho_statistics(
    tables: Sequence[Table],
    *,
    min_separation: float = 0.5,
    max_separation: float = 60.0,
    bins: int = 12,
) -> Table:
    """The rho statistics of the PSF model, one row per bin of separation.

    Parameters
    ----------
    tables
        Validation tables of the CCDs of a survey, see `validate_psf`. The reserved stars count,
        or all stars where no table has any.
    min_separation, max_separation
        Range of the separations, arcmin; `bins` logarithmic steps.

    Returns
    -------
    THETA (mean separation, arcmin), NPAIRS, RHO1 to RHO5 and their shot noise RHO1_ERR to
    RHO5_ERR; NaN in bins without pairs. With e the ellipticity (reduced shear) of the stars, de =
    e_star - e_model and q = e (T_star - T_model) / T_star, the statistics are the xi_plus of
    (de, de), (e, de), (q, q), (de, q) and (e, q).

    Raises
    ------
    ConfigError
        The range of the separations is empty.
    DataError
        A table lacks a column.
    NothingToDo
        Fewer than two stars have good moments.

    Notes
    -----
    Rowe 2010, MNRAS 404, 350; Jarvis et al. 2016, MNRAS 460, 2245. The ellipticities are in pixel
    axes, so all images must have one orientation on the sky.
    """
    from purepipe.catalogue import build_table
    from purepipe.psf.rho_nb import pair_sums

    if not 0 < min_separation < max_separation or bins < 1:
        raise ConfigError(
            "the range of the separations is empty",
            got=(min_separation, max_separation, bins),
            allowed="0 < min_separation < max_separation, and at least one bin",
        )
    position, weight, values = _stars(tables)
    edges = np.geomspace(min_separation, max_separation, bins + 1) * ARCMIN
    sums, moments = np.zeros((bins, 5)), np.zeros((bins, 3))
    pair_sums(position, weight, values, (2 * np.sin(edges / 2)) ** 2, sums, moments)
    pairs, total, separation = moments.T
    filled = pairs > 0
    rho = np.full((bins, 5), np.nan)
    rho[filled] = sums[filled] / total[filled, None]
    theta = np.sqrt(edges[1:] * edges[:-1]) / ARCMIN
    theta[filled] = separation[filled] / total[filled] / ARCMIN
    columns = {"THETA": theta, "NPAIRS": pairs.astype(np.int64)}
    noise = _shot_noise(weight, values, pairs)
    for k in range(5):
        columns[f"RHO{k + 1}"] = rho[:, k]
        columns[f"RHO{k + 1}_ERR"] = noise[:, k]
    return build_table(columns)


def _stars(
    tables: Sequence[Table],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors (n, 3) sorted by the last component, weights, and (n, 3, 2) quantities."""
    column = {}
    for name in _COLUMNS:
        if any(name not in table.colnames for table in tables):
            raise DataError("a validation table lacks a column", key=name)
        parts = [np.asarray(table[name], dtype=np.float64) for table in tables]
        column[name] = np.concatenate([np.zeros(0), *parts])
    good = (column["FLAG_PSF_HSM"] == 0) & (column["FLAG_STAR_HSM"] == 0) & (column["SNR"] > 0)
    if (column["RESERVED"] != 0).any():
        good &= column["RESERVED"] != 0
    if good.sum() < 2:
        raise NothingToDo(
            "no pair of stars with good moments", got=f"{int(good.sum())} stars",
            remedy="Reserve more stars, or pass the tables of more CCDs.",
        )  # fmt: skip
    column = {name: values[good] for name, values in column.items()}
    star = np.stack([column["E1_STAR_HSM"], column["E2_STAR_HSM"]], axis=1)
    model = np.stack([column["E1_PSF_HSM"], column["E2_PSF_HSM"]], axis=1)
    size = 1 - (column["SIGMA_PSF_HSM"] / column["SIGMA_STAR_HSM"]) ** 2
    values = np.stack([star - model, star, star * size[:, None]], axis=1)
    ra, dec = np.radians(column["RA"]), np.radians(column["DEC"])
    position = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    weight = column["SNR"] ** 2 / (1 + (column["SNR"] / _SNR_CAP) ** 2)
    order = np.argsort(position[:, 2], kind="stable")
    return position[order], weight[order] / weight.max(), np.ascontiguousarray(values[order])


def _shot_noise(
    weight: NDArray[np.float64], values: NDArray[np.float64], pairs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Standard deviations (bins, 5) from the scatter of the stars and the number of pairs."""
    # Weights make fewer pairs count.
    effective = pairs * ((weight.sum() ** 2) / (weight**2).sum() / len(weight)) ** 2
    mean = np.average(values, axis=0, weights=weight)
    # Per component.
    variance = np.average((values - mean) ** 2, axis=0, weights=weight).mean(axis=1)
    result = np.full((len(pairs), len(_PAIRS)), np.nan)
    filled = pairs > 0
    for k, (a, b) in enumerate(_PAIRS):
        # A sum of two components; a symmetrised product of different quantities scatters less.
        factor = 2.0 if a == b else 1.0
        result[filled, k] = np.sqrt(factor * variance[a] * variance[b] / effective[filled])
    return result
