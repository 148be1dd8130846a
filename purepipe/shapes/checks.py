"""Checks of the arrays that a shape measurement starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import DataError
from purepipe.rng import object_seeds


def check_stamps(
    images: ArrayLike, psfs: ArrayLike, jacobians: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Stamps and PSFs as contiguous float32, Jacobians as float64."""
    stamps = np.ascontiguousarray(images, dtype=np.float32)
    if stamps.ndim != 4 or stamps.shape[2] != stamps.shape[3]:
        raise DataError(
            "the stamps must be square", key="images", got=stamps.shape,
            allowed="(objects, epochs, n, n)",
        )  # fmt: skip
    if stamps.shape[2] < 9:
        raise DataError(
            "the stamps are too small", key="images", got=stamps.shape[2], allowed="from 9 pixels"
        )
    psf_stamps = np.ascontiguousarray(psfs, dtype=np.float32)
    if psf_stamps.ndim != 4 or psf_stamps.shape[2] != psf_stamps.shape[3]:
        raise DataError(
            "the PSF stamps must be square", key="psfs", got=psf_stamps.shape,
            allowed="(objects, epochs, m, m)",
        )  # fmt: skip
    if psf_stamps.shape[:2] != stamps.shape[:2]:
        raise DataError(
            "every stamp needs its PSF", key="psfs", got=psf_stamps.shape[:2],
            allowed=stamps.shape[:2],
        )  # fmt: skip
    return stamps, psf_stamps, shaped(jacobians, (*stamps.shape[:2], 2, 2), "jacobians")


def shaped(
    array: ArrayLike, shape: tuple[int, ...], key: str, dtype: type[np.generic] = np.float64
) -> NDArray[Any]:
    """A contiguous array of that shape, or DataError."""
    values = np.ascontiguousarray(array, dtype=dtype)
    if values.shape != shape:
        raise DataError("wrong shape", key=key, got=values.shape, allowed=shape)
    return values


def check_valid(
    valid: ArrayLike | None, epoch_counts: ArrayLike | None, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which epochs exist, (objects, epochs)."""
    if valid is not None:
        return shaped(valid, shape, "valid", np.bool_)
    if epoch_counts is not None:
        counts = shaped(epoch_counts, shape[:1], "epoch_counts", np.int64)
        return np.arange(shape[1]) < counts[:, None]
    return np.ones(shape, np.bool_)


def bad_pixels(
    weights: ArrayLike | None, masks: ArrayLike | None, shape: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Pixels without weight or with a mask; None when neither is given."""
    bad: NDArray[np.bool_] | None = None
    if weights is not None:
        bad = ~(shaped(weights, shape, "weights", np.float32) > 0)
    if masks is not None:
        masked = np.asarray(masks) != 0
        bad = shaped(masked, shape, "masks", np.bool_) | (False if bad is None else bad)
    return bad


def check_sigmas(
    sigmas: ArrayLike | None, weights: ArrayLike | None, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Noise of every stamp, from `sigmas` or from the weights."""
    if sigmas is not None:
        return np.array(np.broadcast_to(np.asarray(sigmas, np.float64), shape))
    if weights is None:
        raise DataError(
            "the noise is unknown", key="sigmas", got=None,
            remedy="Give sigmas, or inverse-variance maps as weights.",
        )  # fmt: skip
    weight = np.asarray(weights, np.float64)
    positive = np.where(weight > 0, weight, np.nan).reshape(*shape, -1)
    sigma = np.full(shape, np.nan)
    usable = np.isfinite(positive).any(axis=-1)
    sigma[usable] = 1.0 / np.sqrt(np.nanmedian(positive[usable], axis=-1))
    return sigma


def check_seed(seed: int | NDArray[np.uint64], nobj: int) -> tuple[NDArray[np.uint64], bool]:
    """One seed per object, and whether the noise changes its sign."""
    if isinstance(seed, (int, np.integer)):
        numbers = np.arange(nobj, dtype=np.float64)
        return object_seeds(abs(int(seed)), "metacal noise", numbers, np.zeros(nobj)), seed < 0
    seeds = np.asarray(seed)
    if seeds.shape != (nobj,) or seeds.dtype != np.uint64:
        raise DataError(
            "one seed per object is needed", key="seed", got=f"{seeds.dtype} {seeds.shape}",
            allowed=f"an int, or uint64 ({nobj},)",
            remedy="Make seeds with purepipe.rng.object_seeds.",
        )  # fmt: skip
    return np.ascontiguousarray(seeds), False
