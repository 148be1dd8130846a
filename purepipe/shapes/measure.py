"""The step: shapes of catalogued objects from the stamps of all their epochs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe._threads import each_in_threads
from purepipe.catalogue import build_table
from purepipe.catalogue.table import require_table
from purepipe.config.shapes import ShapeConfig
from purepipe.errors import DataError
from purepipe.flags import EpochFlag, ShapeFlag
from purepipe.rng import object_seeds
from purepipe.shapes.metacal import (
    R50_OF_SIGMA,
    FitOptions,
    Pairs,
    by_object,
    draw_noise,
    fill_with_model,
    measure_pairs,
)
from purepipe.shapes.metacal_result import MetacalResult

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.survey import EpochStamps

# Column names of the types, in the order of `MetacalResult`.
TYPE_NAMES = ("NOSHEAR", "1P", "1M", "2P", "2M")
_POSITIONS = (("XWIN_WORLD", "YWIN_WORLD"), ("X_WORLD", "Y_WORLD"))
_BATCH = 128  # stamps prepared at a time
_START_WIDTH = 2.5  # pixels, of the search for the object's extent


def measure_shapes(
    objects: Table,
    epochs: EpochStamps,
    config: ShapeConfig = ShapeConfig(),  # noqa: B008 - frozen
    *,
    seed: int,
    threads: int = 1,
) -> Table:
    """Shapes, sizes, fluxes and shear responses, one row per object.

    Parameters
    ----------
    objects
        Detections with NUMBER and sky positions (XWIN_WORLD, YWIN_WORLD or X_WORLD, Y_WORLD,
        degrees). The added noise of an object follows from `seed` and its position alone.
    epochs
        Stamps with PSFs; ``epochs.row`` counts the rows of `objects`.
    config
        Choices of the measurement.
    seed
        The survey's seed.
    threads
        Number of threads; the result does not depend on it.

    Returns
    -------
    Table with ShapePipe's NGMIX_* columns (``NGMIX_ELL_NOSHEAR`` and so on) and the responses R11,
    R12, R21, R22. What was not measured is NaN and has NGMIX_MCAL_FLAGS set: NO_EPOCH where no
    usable epoch exists, and NGMIX_FLAGS_EPOCH then says why.

    Raises
    ------
    DataError
        Columns are missing, the stamps carry no PSF, or their rows do not belong to `objects`.
    MissingPackageError
        The engine is ngmix, which is not installed.

    Notes
    -----
    The noise of a stamp is measured from its pixels outside the object (median absolute deviation);
    of the weight only the pattern of zeros counts, as in ShapePipe. Unlike there, masked pixels are
    filled with the expected light of the object besides noise (``config.fill``), and stamps are
    aligned at the object's position (``config.align_epochs``).
    """
    require_table(objects, "the objects")
    ra, dec = _check_objects(objects)
    _check_epochs(epochs, len(objects))
    seeds = object_seeds(seed, "metacal noise", ra, dec)
    options = FitOptions(
        engine=config.engine,
        noise=config.noise,
        target=config.target,
        profile=config.profile,
        step=config.step,
        shape_prior=config.shape_prior,
        centre_prior=config.centre_prior,
        max_iterations=config.max_iterations,
        moments_fwhm=config.moments_fwhm,
    )
    pairs, bad, good, flags = _prepare(epochs, config, seeds, options, threads)
    if config.fill == "model":
        pairs = fill_with_model(pairs, bad, options, threads=threads)
    out = measure_pairs(pairs, options, threads=threads)
    use = np.arange(max(1, np.diff(pairs.start).max(initial=0))) < np.diff(pairs.start)[:, None]
    weight = np.zeros(use.shape)
    weight[use] = good / pairs.sigmas**2
    result = by_object(out, use, weight, options)
    return _table(np.asarray(objects["NUMBER"]), flags, result, config)


def prepare_epochs(
    epochs: EpochStamps, config: ShapeConfig, seeds: NDArray[np.uint64], *, threads: int = 1
) -> tuple[
    NDArray[np.float32],
    NDArray[np.bool_],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.int32],
]:
    """Scaled stamps filled with noise, bad pixels, noise, fraction of good pixels, and flags.

    The flags are those of `epochs` and what the stamps themselves say: `EpochFlag` MASKED, NO_DATA,
    NO_PSF. The noise is NaN where a flag is set.
    """
    from purepipe.shapes.stamps_nb import prepare_stamps

    flags = epochs.flags.astype(np.int32)
    scale = np.asarray(epochs.flux_scale, np.float64)
    flags[~(np.isfinite(scale) & (scale > 0))] |= EpochFlag.NO_DATA
    assert epochs.psfs is not None  # noqa: S101 - checked by the public function
    total = epochs.psfs.sum(axis=(1, 2), dtype=np.float64)
    flags[~(np.isfinite(total) & (total > 0))] |= EpochFlag.NO_PSF
    start = np.full(len(flags), _START_WIDTH)
    if epochs.psf_sigma is not None:
        known = np.isfinite(epochs.psf_sigma) & (epochs.psf_sigma > 0.5)
        start[known] = 1.5 * epochs.psf_sigma[known]
    images = np.empty_like(epochs.images, dtype=np.float32)
    bad = np.zeros(images.shape, np.bool_)
    sigma = np.full(len(flags), np.nan)
    good = np.zeros(len(flags))
    given: tuple[NDArray[Any], ...] = (
        np.ascontiguousarray(epochs.images, np.float32),
        np.ascontiguousarray(epochs.weights, np.float32),
        np.ascontiguousarray(epochs.masks, np.int32), scale, start, seeds[epochs.row],
        _order_in_object(epochs.row),
    )  # fmt: skip
    made: tuple[NDArray[Any], ...] = (images, bad, sigma, good, flags)

    prepare: Callable[..., None] = prepare_stamps

    def work(first: int) -> None:
        part = slice(first, first + _BATCH)
        before: list[Any] = [array[part] for array in given]
        after: list[Any] = [array[part] for array in made]
        prepare(*before, config.masked_fraction, *after)

    each_in_threads(work, range(0, len(flags), _BATCH), threads)
    return images, bad, sigma, good, flags


def _prepare(
    epochs: EpochStamps,
    config: ShapeConfig,
    seeds: NDArray[np.uint64],
    options: FitOptions,
    threads: int,
) -> tuple[Pairs, NDArray[np.bool_], NDArray[np.float64], NDArray[np.int32]]:
    """The usable pairs, their bad pixels and fraction of good ones, and flags of the objects."""
    images, bad, sigma, good, flags = prepare_epochs(epochs, config, seeds, threads=threads)
    use = flags == 0
    rows = np.asarray(epochs.row, np.int64)[use]
    chosen = slice(None) if use.all() else use  # views rather than copies where possible
    assert epochs.psfs is not None  # noqa: S101
    offsets = np.zeros((int(use.sum()), 2))
    if config.align_epochs:
        # the centre of a stamp is the pixel nearest to the object, ties to the even one
        offsets[:, 0] = (epochs.x - np.round(epochs.x))[use]
        offsets[:, 1] = (epochs.y - np.round(epochs.y))[use]
    start = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(seeds)))])
    pairs = Pairs(
        images[chosen],
        np.ascontiguousarray(epochs.psfs[chosen], np.float32),
        np.ascontiguousarray(epochs.jacobian[use], np.float64),
        offsets,
        sigma[use],
        np.zeros(len(rows)),
        start.astype(np.int64),
        seeds,
        draw_noise(options, images[chosen], sigma[use], seeds[rows], _order_in_object(rows)),
    )
    flags_of_object = np.zeros(len(seeds), np.int32)
    np.bitwise_or.at(flags_of_object, epochs.row, flags)
    return pairs, bad[chosen], good[use], flags_of_object


def _order_in_object(rows: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """0, 1, 2 ... within each run of equal rows."""
    first = np.searchsorted(rows, rows, side="left")
    return (np.arange(len(rows)) - first).astype(np.int64)


def _check_objects(objects: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    names = objects.colnames
    for ra, dec in _POSITIONS:
        if "NUMBER" in names and ra in names and dec in names:
            return np.asarray(objects[ra], np.float64), np.asarray(objects[dec], np.float64)
    raise DataError(
        "the objects need a number and a sky position", key="objects", got=", ".join(names),
        allowed="NUMBER and XWIN_WORLD, YWIN_WORLD or X_WORLD, Y_WORLD",
    )  # fmt: skip


def _check_epochs(epochs: EpochStamps, nobj: int) -> None:
    if epochs.psfs is None:
        raise DataError(
            "the stamps carry no PSF", key="epochs.psfs",
            remedy="Draw the PSF at every stamp first (EpochStamps.with_psfs).",
        )  # fmt: skip
    row = np.asarray(epochs.row)
    if row.size and (row[0] < 0 or row[-1] >= nobj or (np.diff(row) < 0).any()):
        raise DataError(
            "the stamps must be sorted by object", key="epochs.row",
            got=f"{row.min()} to {row.max()}", allowed=f"0 to {nobj - 1}, never falling",
        )  # fmt: skip
    side = epochs.images.shape[1:]
    if side[0] != side[1] or side[0] < 9:
        raise DataError(
            "the stamps must be square", key="epochs.images", got=side, allowed="from 9 x 9"
        )


def half_light_radius(
    pars: NDArray[np.float64], cov: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half-light radius of the round Gaussian of equal area, with its error.

    Parameters
    ----------
    pars
        (..., 6) with g1, g2, T in places 2, 3, 4; a negative T gives a negative radius.
    cov
        (..., 6, 6); without it the error is NaN.

    Notes
    -----
    ``r50 = 1.17741 sqrt(T/2 (1 - g^2)/(1 + g^2))``, the column T of ShapePipe's catalogues.
    """
    g1, g2, size = pars[..., 2], pars[..., 3], pars[..., 4]
    g = g1**2 + g2**2
    with np.errstate(invalid="ignore", divide="ignore"):
        area = 0.5 * size * (1 - g) / (1 + g)
        radius = R50_OF_SIGMA * np.sign(area) * np.sqrt(np.abs(area))
        if cov is None:
            return radius, np.full_like(radius, np.nan)
        # d ln r50 along g1, g2, T
        slope = np.stack([*(-2 * c / ((1 - g) * (1 + g)) for c in (g1, g2)), 0.5 / size], axis=-1)
        block = cov[..., 2:5, 2:5]
        # the moments that stand in for a failed fit have variances only
        block = np.where(np.isnan(block) & np.isfinite(cov[..., 2:3, 2:3]), 0.0, block)
        variance = np.einsum("...i,...ij,...j->...", slope, block, slope)
        return radius, np.abs(radius) * np.sqrt(variance)


def _table(
    number: NDArray[Any], flags_epoch: NDArray[np.int32], result: MetacalResult, config: ShapeConfig
) -> Table:
    flags = np.bitwise_or.reduce(result.flags, axis=1)
    response = result.response
    psf = result.psf_shape
    psf_radius = half_light_radius(_as_pars(psf))[0]
    psf_error = result.psf_shape_error
    values: dict[str, Any] = {
        "NUMBER": number,
        "NGMIX_N_EPOCH": (result.weight > 0).sum(axis=1),
        "NGMIX_MOM_FAIL": (flags & int(ShapeFlag.FALLBACK)) != 0,
        "NGMIX_MCAL_FLAGS": flags,
        "NGMIX_FLAGS_EPOCH": flags_epoch,
        "NGMIX_ELL_ERR_PSFo": psf_error[:, :2],
        "NGMIX_T_ERR_PSFo": psf_radius * 0.5 * psf_error[:, 2] / psf[:, 2],
    }
    for i in range(2):
        for j in range(2):
            values[f"R{i + 1}{j + 1}"] = response[:, i, j]
    target_radius = R50_OF_SIGMA * np.sqrt(0.5 * result.target_size)
    for kind, name in enumerate(TYPE_NAMES):
        of_type = _type_columns(result, kind, config.zero_point)
        of_type |= {"Tpsf": target_radius, "ELL_PSFo": psf[:, :2], "T_PSFo": psf_radius}
        values |= {f"NGMIX_{column}_{name}": array for column, array in of_type.items()}
    meta = {
        "SHPNOISE": config.noise,
        "SHPTARGT": config.target,
        "SHPPROF": config.profile,
        "SHPSTEP": config.step,
        "SHPZP": config.zero_point,
    }
    return build_table(values, rows=len(flags), meta=meta)


def _as_pars(shape: NDArray[np.float64]) -> NDArray[np.float64]:
    pars = np.zeros((len(shape), 6))
    pars[:, 2:5] = shape
    return pars


def _type_columns(result: MetacalResult, kind: int, zero_point: float) -> dict[str, Any]:
    """Columns of one type, by their names without prefix and type."""
    pars, cov, errors = result.pars[:, kind], result.cov[:, kind], result.errors[:, kind]
    radius, radius_error = half_light_radius(pars, cov)
    flux, flux_error = pars[:, 5], errors[:, 5]
    with np.errstate(invalid="ignore", divide="ignore"):
        magnitude = zero_point - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
        magnitude_error = np.abs(2.5 * flux_error / (flux * math.log(10.0)))
    return {
        "ELL": pars[:, 2:4],
        "ELL_ERR": errors[:, 2:4],
        "T": radius,
        "T_ERR": radius_error,
        "T_TRACE": pars[:, 4],
        "SNR": result.s2n[:, kind],
        "FLUX": flux,
        "FLUX_ERR": flux_error,
        "MAG": magnitude,
        "MAG_ERR": magnitude_error,
        "FLAGS": result.flags[:, kind],
    }


_HDU_COLUMNS = (
    ("g1", "ELL", 0), ("g1_err", "ELL_ERR", 0), ("g2", "ELL", 1), ("g2_err", "ELL_ERR", 1),
    ("T", "T", None), ("T_err", "T_ERR", None), ("Tpsf", "Tpsf", None),
    ("flux", "FLUX", None), ("flux_err", "FLUX_ERR", None), ("s2n", "SNR", None),
    ("mag", "MAG", None), ("mag_err", "MAG_ERR", None), ("flags", "FLAGS", None),
)  # fmt: skip


def shapes_hdus(table: Table) -> dict[str, Table]:
    """The five tables of ShapePipe's ``ngmix<number>.fits`` by extension name, in its order.

    Parameters
    ----------
    table
        From `measure_shapes`.

    Returns
    -------
    Tables 1M, 1P, 2M, 2P and NOSHEAR with lower-case columns and the same rows in all: the objects
    that had an epoch. id is int32, other integers are int64, all else float64.

    Notes
    -----
    T, T_psfo_ngmix and Tpsf are half-light radii, as there; T_trace is added. s2n is the S/N of the
    round model against the pixel noise, which the original overstates.
    """
    from astropy.table import Table

    measured = table[np.asarray(table["NGMIX_N_EPOCH"]) > 0]
    hdus = {}
    for name in ("1M", "1P", "2M", "2P", "NOSHEAR"):
        hdu = Table()
        hdu["id"] = np.asarray(measured["NUMBER"], np.int32)
        hdu["n_epoch_model"] = np.asarray(measured["NGMIX_N_EPOCH"], np.int64)
        hdu["moments_fail"] = np.asarray(measured["NGMIX_MOM_FAIL"], np.float64)
        hdu["ntry_fit"] = np.ones(len(measured), np.int64)
        shape = np.asarray(measured[f"NGMIX_ELL_PSFo_{name}"])
        shape_error = np.asarray(measured["NGMIX_ELL_ERR_PSFo"])
        hdu["g1_psfo_ngmix"], hdu["g2_psfo_ngmix"] = shape[:, 0], shape[:, 1]
        hdu["T_psfo_ngmix"] = np.asarray(measured[f"NGMIX_T_PSFo_{name}"])
        hdu["g1_err_psfo_ngmix"], hdu["g2_err_psfo_ngmix"] = shape_error[:, 0], shape_error[:, 1]
        hdu["T_err_psfo_ngmix"] = np.asarray(measured["NGMIX_T_ERR_PSFo"])
        for lower, upper, component in _HDU_COLUMNS:
            source = measured[f"NGMIX_{upper}_{name}"]
            values = np.asarray(source)
            hdu[lower] = values if component is None else values[:, component]
            hdu[lower].unit = source.unit
            if lower == "Tpsf":  # the target is round
                hdu["g1_psf"] = np.zeros(len(measured))
                hdu["g2_psf"] = np.zeros(len(measured))
        hdu["flags"] = hdu["flags"].astype(np.int64)
        hdu["mcal_flags"] = np.asarray(measured["NGMIX_MCAL_FLAGS"], np.int64)
        hdu["T_trace"] = np.asarray(measured[f"NGMIX_T_TRACE_{name}"])
        hdus[name] = hdu
    return hdus
