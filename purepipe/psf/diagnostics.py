"""Widths and shapes of a PSF model: Moffat profiles, asymmetry, noise area, over its snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFConfig
from purepipe.psf import polynomial
from purepipe.psf.fit import DEFAULT

if TYPE_CHECKING:
    from purepipe.psf.model import PSFModel

# Points per axis over which a profile is averaged to allow for the size of the pixels.
SUBPIXELS = 5


@dataclass(frozen=True, eq=False)
class MoffatFits:
    """Elliptical Moffat profiles fitted to n images; NaN where the fit failed.

    Attributes
    ----------
    parameters
        (n, 7) as in `purepipe.psf.diagnostics_nb`, model pixels.
    fwhm
        (n,) mean of the full widths at half maximum along the two axes, image pixels.
    fwhm_round
        (n,) geometric mean of the two: that of the circle of the same area, image pixels.
    ellipticity, e1, e2
        (n,) (a - b) / (a + b) of the axes, and times cos and sin of twice the position angle.
    beta
        (n,) exponent of the profile.
    residuals
        (n,) 2 sum (P + M) |P - M| / sum (P + M)^2 of image P and profile M.
    """

    parameters: NDArray[np.float64]
    fwhm: NDArray[np.float64]
    fwhm_round: NDArray[np.float64]
    ellipticity: NDArray[np.float64]
    e1: NDArray[np.float64]
    e2: NDArray[np.float64]
    beta: NDArray[np.float64]
    residuals: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """What the snapshots of a PSF model look like, the first context fastest.

    Attributes
    ----------
    contexts
        (n, number of contexts) normalised contexts of the snapshots.
    images
        (n, h, w) float32 snapshots.
    moffat, pixel_free
        Profiles as seen, and before the average over the pixels of the detector.
    asymmetry
        (n,) difference index, as that of the residuals, to the image rotated by 180 degrees.
    noise_area
        (n,) (sum P)^2 / sum P^2, image pixels squared.
    central
        Index of the snapshot that stands for the whole model; as in PSFEx, it lies beside the
        centre when there are two contexts or more.
    """

    contexts: NDArray[np.float64]
    images: NDArray[np.float32]
    moffat: MoffatFits
    pixel_free: MoffatFits
    asymmetry: NDArray[np.float64]
    noise_area: NDArray[np.float64]
    central: int


def diagnose_psf(model: PSFModel, config: PSFConfig = DEFAULT) -> Diagnostics:
    """Widths, shapes and noise of a PSF model over a grid of its contexts.

    Parameters
    ----------
    model
        A model; an empty one gives NaN.
    config
        ``snapshots`` per context and ``pixel_size``.

    Notes
    -----
    The quantities are PSFEx's. Its own minimiser stops slightly before the minimum: widths agree to
    about 2e-5 pixel, ellipticities to 1e-5, beta to 1e-3.
    """
    contexts, images = snapshot_images(model, config.snapshots)
    step = model.sampling or 1.0
    fwhm = (model.fwhm or 2.0) / step
    width = config.pixel_size[0] / step
    plain = fit_profiles(images, fwhm=fwhm)
    free = fit_profiles(images, fwhm=fwhm, number=SUBPIXELS, width=width, start=plain)
    count = len(model.contexts)
    pixels = images.reshape(len(images), -1).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = step**2 * pixels.sum(axis=1) ** 2 / (pixels**2).sum(axis=1)
    return Diagnostics(
        contexts=contexts,
        images=images,
        moffat=_measured(plain, images, step, 1, 0.0),
        pixel_free=_measured(free, images, step, SUBPIXELS, width),
        asymmetry=difference_index(images, images[:, ::-1, ::-1]),
        noise_area=area,
        central=_central(config.snapshots, count),
    )


def snapshot_images(
    model: PSFModel, number: int
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Normalised contexts and images of a model on a regular grid, the first context fastest."""
    count = len(model.contexts)
    steps = (np.arange(number) + 0.5) / number - 0.5
    grids = np.meshgrid(*[steps] * count, indexing="ij")
    points = np.stack([g.ravel() for g in reversed(grids)], axis=1) if grids else np.zeros((1, 0))
    terms = polynomial.evaluate(points, model.powers)
    images = np.tensordot(terms, model.mask.astype(np.float64), axes=1)
    return points, images.astype(np.float32)


def fit_profiles(
    images: NDArray[np.float32],
    *,
    fwhm: float,
    number: int = 1,
    width: float = 0.0,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Parameters (n, 7) of the Moffat profiles that fit images best; NaN where there is none.

    Parameters
    ----------
    images
        (n, h, w).
    fwhm
        First guess, pixels of the images.
    number, width
        The profile is averaged over ``number**2`` points of a square of `width` pixels.
    start
        (n, 7) first guesses instead.
    """
    from purepipe.psf.diagnostics_nb import PARAMETERS, fit_moffat

    height, breadth = images.shape[1:]
    guess = np.array(
        [1 / fwhm**2, (breadth - 1) / 2, (height - 1) / 2, 1 / fwhm**2, 0.0, 1 / fwhm**2, 3.0]
    )
    found = np.full((len(images), PARAMETERS), np.nan)
    for i, image in enumerate(images):
        row = guess.copy() if start is None or np.isnan(start[i]).any() else start[i].copy()
        if np.isfinite(image).all() and image.any() and fit_moffat(image, row, number, width):
            found[i] = row
    return found


def profile_images(
    parameters: NDArray[np.float64], shape: tuple[int, int], *, number: int = 1, width: float = 0.0
) -> NDArray[np.float64]:
    """Images (n, h, w) of Moffat profiles, see `fit_profiles`."""
    from purepipe.psf.diagnostics_nb import moffat_image

    images = np.full((len(parameters), *shape), np.nan)
    for row, image in zip(parameters, images, strict=True):
        if np.isfinite(row).all():
            moffat_image(row, number, width, image)
    return images


def difference_index(
    first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """2 sum (P + M) |P - M| / sum (P + M)^2 of images (n, h, w)."""
    total = first.astype(np.float64) + second
    apart = np.abs(first.astype(np.float64) - second)
    with np.errstate(invalid="ignore", divide="ignore"):
        index = 2.0 * (total * apart).sum(axis=(1, 2)) / (total**2).sum(axis=(1, 2))
    return np.asarray(index)


def _measured(
    parameters: NDArray[np.float64],
    images: NDArray[np.float32],
    step: float,
    number: int,
    width: float,
) -> MoffatFits:
    _, _, _, qxx, qxy, qyy, beta = parameters.T
    mean, half = (qxx + qyy) / 2, np.hypot((qxx - qyy) / 2, qxy)
    with np.errstate(invalid="ignore"):
        major, minor = 1 / np.sqrt(mean - half), 1 / np.sqrt(mean + half)
    ellipticity = (major - minor) / (major + minor)
    # The long axis lies where Q is smallest.
    angle2 = np.arctan2(-2 * qxy, qyy - qxx)
    profiles = profile_images(
        parameters, (images.shape[1], images.shape[2]), number=number, width=width
    )
    return MoffatFits(
        parameters=parameters,
        fwhm=step * (major + minor) / 2,
        fwhm_round=step * np.sqrt(major * minor),
        ellipticity=ellipticity,
        e1=ellipticity * np.cos(angle2),
        e2=ellipticity * np.sin(angle2),
        beta=beta,
        residuals=difference_index(images, profiles),
    )


def _central(number: int, contexts: int) -> int:
    index = 0
    for _ in range(contexts):
        index += index * number + (number - 1) // 2
    return index
