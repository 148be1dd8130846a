"""All check-images of PSFEx: those of `purepipe.psf.checks`, of profiles, grids and the basis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFConfig
from purepipe.errors import DataError
from purepipe.psf.checks import CHECK_IMAGES, check_image, mosaic, star_stamps
from purepipe.psf.diagnostics import SUBPIXELS, Diagnostics, profile_images
from purepipe.psf.fit import DEFAULT
from purepipe.psf.model import PSFModel

if TYPE_CHECKING:
    from astropy.table import Table

PROFILE_IMAGES = ("MOFFAT", "-MOFFAT")
GRID_IMAGES = ("SAMPLES_GRID", "RESIDUALS_GRID")
ALL_CHECK_IMAGES = (*CHECK_IMAGES, "SNAPSHOTS_IMRES", *PROFILE_IMAGES, *GRID_IMAGES, "BASIS")
# The original makes mosaics of these whatever is asked for.
_NEVER_CUBES = ("-SYMMETRICAL", *PROFILE_IMAGES)


def psfex_check_image(
    kind: str,
    model: PSFModel,
    stars: Table,
    config: PSFConfig = DEFAULT,
    *,
    cube: bool = False,
    diagnostics: Diagnostics | None = None,
    ccd_shape: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """One of psfex's check-images, as psfex lays it out.

    Parameters
    ----------
    kind
        One of `ALL_CHECK_IMAGES`: those of `check_image`, SNAPSHOTS_IMRES (snapshots in image
        pixels), MOFFAT and -MOFFAT (profiles before the pixels, snapshots minus them),
        SAMPLES_GRID and RESIDUALS_GRID (the brightest star in each cell of the CCD), BASIS (the
        images of which the refinement is made).
    model, stars, config
        See `star_stamps`.
    cube
        Stamps in an array of more than two axes, snapshots with at least two for the contexts.
    diagnostics
        Of the model; for the profiles.
    ccd_shape
        (ny, nx) of the CCD; for the grids.

    Raises
    ------
    ConfigError
        There is no such check-image.
    DataError
        The image cannot be made without `diagnostics` or `ccd_shape`.
    """
    cube = cube and kind not in _NEVER_CUBES
    number, count = config.snapshots, len(model.contexts)
    if kind in PROFILE_IMAGES:
        return mosaic(_profiles(kind, model, config, diagnostics), number if count else 1)
    if kind in GRID_IMAGES:
        stamps = _brightest(kind, model, stars, config, ccd_shape)
        height, width = stamps.shape[1:]
        return stamps.reshape(number, number, height, width) if cube else mosaic(stamps, number)
    if kind == "BASIS":
        stamps = _basis(model)
        return stamps if cube else mosaic(stamps, 10 * math.ceil(int(math.sqrt(len(stamps))) / 10))
    if kind == "SNAPSHOTS_IMRES":
        stamps = check_image("SNAPSHOTS", model, stars, config, cube=True)
        stamps = _in_image_pixels(stamps, model.sampling, stars["VIGNET"].shape[1:])
        if not cube:
            return mosaic(stamps, number if count else 1)
    else:
        stamps = check_image(kind, model, stars, config, cube=cube)
    if cube and kind in ("SNAPSHOTS", "SNAPSHOTS_IMRES"):
        # The original has two axes of contexts, whatever their number, and loses what is beyond.
        return stamps.reshape(*[1] * (2 - count), *[number] * count, *stamps.shape[1:])
    return stamps


def _profiles(
    kind: str, model: PSFModel, config: PSFConfig, found: Diagnostics | None
) -> NDArray[np.float32]:
    if found is None:
        raise DataError(
            "this check-image needs the diagnostics of the model", key=kind,
            remedy="Pass diagnostics=diagnose_psf(model, config).",
        )  # fmt: skip
    images = profile_images(
        found.pixel_free.parameters, model.shape, number=SUBPIXELS,
        width=config.pixel_size[0] / (model.sampling or 1.0),
    )  # fmt: skip
    if kind == "-MOFFAT":
        images = found.images - images
    return np.nan_to_num(images).astype(np.float32)


def _brightest(
    kind: str,
    model: PSFModel,
    stars: Table,
    config: PSFConfig,
    ccd_shape: tuple[int, int] | None,
) -> NDArray[np.float32]:
    """Stamps of the brightest accepted star of each cell, 0 in cells without any."""
    if ccd_shape is None:
        raise DataError(
            "this check-image needs the size of the CCD", key=kind,
            remedy="Keep NAXIS1 and NAXIS2 in the header of the catalogue, or pass ccd_shape.",
        )  # fmt: skip
    found = star_stamps(model, stars, config)
    stamps = found.samples if kind == "SAMPLES_GRID" else found.residuals
    number = config.snapshots
    result = np.zeros((number**2, *stamps.shape[1:]), np.float32)
    if model.samples is None or len(stamps) == 0:
        return result
    rows = model.samples[found.rows]
    cells = np.zeros(len(rows), np.int64)
    for key, size, stride in (("X_IMAGE", ccd_shape[1], 1), ("Y_IMAGE", ccd_shape[0], number)):
        index = np.floor((np.asarray(rows[key]) - 0.5) / size * number).astype(np.int64)
        cells += stride * np.clip(index, 0, number - 1)
    # Ascending, so that the brightest star of a cell is written last.
    order = np.argsort(np.asarray(rows["NORM_PSF"]), kind="stable")
    for i in order:
        result[cells[i]] = stamps[i]
    return result


def _basis(model: PSFModel) -> NDArray[np.float32]:
    """Basis images (nb, h, w); a blank one for a fit without refinement."""
    if model.basis is not None:
        return model.basis
    if model.free is None or len(model.free) == 0:
        return np.zeros((1, *model.shape), np.float32)
    pixels = np.zeros((len(model.free), *model.shape), np.float32)
    pixels[np.arange(len(model.free)), model.free[:, 0], model.free[:, 1]] = 1.0
    return pixels


def _in_image_pixels(
    images: NDArray[np.float32], sampling: float, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    from purepipe.psf.resample_nb import resample_stack

    inverse = float(np.float32(1.0 / (sampling or 1.0)))
    zeros = np.zeros(len(images))
    result = np.zeros((len(images), *shape), np.float32)
    resample_stack(np.ascontiguousarray(images), zeros, zeros, inverse, 1.0, result)
    return result
