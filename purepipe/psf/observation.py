"""The PSF of every epoch of every object, and observations from exposures in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFInterpolationConfig
from purepipe.detect import Background
from purepipe.display import brief
from purepipe.errors import DataError
from purepipe.exposure import Exposure, inverse_variance
from purepipe.flags import EpochFlag
from purepipe.psf.interpolate import PSFLike, psf_at
from purepipe.survey import CCD, CCDPlanes, Epochs, EpochStamps, find_epochs, gather_stamps

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass(frozen=True, eq=False)
class Epoch:
    """One CCD of one exposure with what was found out about it.

    Attributes
    ----------
    exposure
        Image, weight, mask planes and world coordinates.
    background
        As detected on it, or a constant (ADU).
    psf
        Its PSF model; None when there is none.
    name, ccd
        Exposure number and CCD number; without a name every entry is an exposure of its own.
    """

    exposure: Exposure
    background: Background | float
    psf: PSFLike | None
    name: str = ""
    ccd: int = 0

    __repr__ = brief


def observe(
    objects: Table,
    epochs: Sequence[Epoch],
    config: PSFInterpolationConfig = PSFInterpolationConfig(),  # noqa: B008 - frozen
    *,
    size: int = 51,
) -> EpochStamps:
    """Stamps and PSFs of all epochs of all objects, from exposures in memory.

    Parameters
    ----------
    objects
        Table with sky positions (degrees): XWIN_WORLD and YWIN_WORLD, or X_WORLD and Y_WORLD
        where those are missing.
    epochs
        The CCDs; an object is taken from those that cover it.
    config
        Which PSF models are good enough.
    size
        Side of the stamps, an odd number of pixels.

    Raises
    ------
    DataError
        An exposure has no world coordinates, or the objects have no sky positions.
    """
    ccds = [_ccd(epoch, epoch.name or f"{i:07d}") for i, epoch in enumerate(epochs)]
    found = find_epochs(*sky_positions(objects), ccds)
    stamps = gather_stamps(found, ccds, lambda index: _planes(epochs[index]), size=size)
    return attach_psfs(stamps, found, lambda index: epochs[index].psf, config)


def attach_psfs(
    stamps: EpochStamps,
    epochs: Epochs,
    models: Callable[[int], PSFLike | None],
    config: PSFInterpolationConfig = PSFInterpolationConfig(),  # noqa: B008 - frozen
) -> EpochStamps:
    """The stamps with the PSF of every usable epoch, and the flag NO_PSF where there is none.

    Parameters
    ----------
    stamps, epochs
        Stamps of all pairs of an object and a CCD, and the pairs.
    models
        Gives the PSF model of the CCD of an index; called once per CCD that saw an object.
    config
        Which models are good enough.
    """
    n = stamps.images.shape[-1]
    psfs = np.zeros((len(stamps.row), n, n), dtype=np.float32)
    sigma = np.full(len(stamps.row), np.nan)
    flags = stamps.flags.copy()
    for index in np.unique(epochs.ccd_index[flags == 0]):
        pairs = np.flatnonzero((epochs.ccd_index == index) & (stamps.flags == 0))
        drawn = psf_at(models(int(index)), stamps.x[pairs], stamps.y[pairs], config, shape=(n, n))
        usable = drawn.usable
        psfs[pairs[usable]] = drawn.images[usable]
        sigma[pairs[usable]] = drawn.sigma[usable]
        flags[pairs[~usable]] |= int(EpochFlag.NO_PSF)
    return replace(stamps, psfs=psfs, psf_sigma=sigma, flags=flags)


def sky_positions(objects: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Windowed sky positions (degrees), isophotal ones where the windowed are missing.

    Raises
    ------
    DataError
        The table has neither.
    """
    positions = []
    for axis in "XY":
        names = [name for name in (f"{axis}WIN_WORLD", f"{axis}_WORLD") if name in objects.colnames]
        if not names:
            raise DataError(
                "the objects have no sky positions", key=f"{axis}WIN_WORLD",
                remedy="Detect them on an exposure with world coordinates.",
            )  # fmt: skip
        position = np.asarray(objects[names[0]], dtype=np.float64)
        for name in names[1:]:
            position = np.where(np.isfinite(position), position, np.asarray(objects[name]))
        positions.append(position)
    return positions[0], positions[1]


def _ccd(epoch: Epoch, name: str) -> CCD:
    exposure = epoch.exposure
    if exposure.wcs is None:
        raise DataError(
            "the exposure has no world coordinates", file=exposure.name,
            remedy="Give them with exposure.replace(wcs=WCS.from_header(header)); for stamps of"
            " your own, metacal_fit takes Jacobians instead.",
        )  # fmt: skip
    return CCD(name, epoch.ccd, exposure.wcs, exposure.shape, exposure.flux_scale)


def _planes(epoch: Epoch) -> CCDPlanes:
    exposure = epoch.exposure
    level = epoch.background
    weight = None
    if exposure.weight is not None and exposure.weight_kind is not None:
        weight = inverse_variance(exposure.weight, exposure.weight_kind)
    return CCDPlanes(
        exposure.image, level.image() if isinstance(level, Background) else level, weight,
        exposure.flags,
    )  # fmt: skip
