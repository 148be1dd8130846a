"""Other PSF models in the place of `PSFModel`: of Piff, of GalSim, or any function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import DataError

# (x, y, (dx, dy), (h, w)) -> image (h, w), see `FunctionPSF`.
DrawOne = Callable[[float, float, tuple[float, float], tuple[int, int]], NDArray[np.floating[Any]]]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class FunctionPSF:
    """A PSF drawn by a function, for `psf_at`, `observe` and all that follows (`PSFLike`).

    Attributes
    ----------
    function
        Gives the image (h, w) for a 0-based position x, y, the offset (dx, dy) of the star from
        the centre of the pixel ``(h // 2, w // 2)``, and the shape (h, w). Flux per image pixel,
        with the response of the pixels; it need not have unit sum.
    accepted
        Number of stars that the model rests on; compared with ``psf.min_stars``.
    chi2
        Mean reduced chi-square of the stars; compared with ``psf.max_chi2``.
    bounds
        (x0, x1, y0, y1) of the stars, 0-based; positions outside are flagged EXTRAPOLATED. None:
        none is.
    side
        Side of the images when no shape is asked for, pixels.
    """

    function: DrawOne
    accepted: int
    chi2: float = 1.0
    bounds: Bounds | None = None
    side: int = 51

    def draw(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        offset: tuple[ArrayLike, ArrayLike] | None = None,
        shape: tuple[int, int] | None = None,
        contexts: Mapping[str, ArrayLike] | None = None,
    ) -> NDArray[np.float32]:
        """Images (n, h, w) at 0-based positions; `contexts` are not used.

        Raises
        ------
        DataError
            The function gives an image of another shape.
        """
        x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
        shape = shape or (self.side, self.side)
        shifts = np.zeros((2, len(x)))
        if offset is not None:
            shifts[0], shifts[1] = offset[0], offset[1]
        images = np.empty((len(x), *shape), dtype=np.float32)
        for i in range(len(x)):
            shift = float(shifts[0, i]), float(shifts[1, i])
            image = np.asarray(self.function(float(x[i]), float(y[i]), shift, shape))
            if image.shape != shape:
                raise DataError(
                    "the function of the PSF gives an image of another shape",
                    got=image.shape, allowed=shape, remedy="Return (h, w) as asked.",
                )  # fmt: skip
            images[i] = image
        return images

    def extrapolated(
        self, x: ArrayLike, y: ArrayLike, *, contexts: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.bool_]:
        """Whether each 0-based position lies outside the stars of the fit."""
        x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
        if self.bounds is None:
            return np.zeros(len(x), dtype=bool)
        x0, x1, y0, y1 = self.bounds
        return np.asarray(~((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)))


def psf_from_piff(
    psf: Any, *, chipnum: int | None = None, chi2: float | None = None, **properties: float
) -> FunctionPSF:
    """A Piff model as the PSF of one CCD.

    Parameters
    ----------
    psf
        What ``piff.read`` or ``piff.process`` give: it has ``draw(x=, y=, chipnum=, stamp_size=,
        center=, offset=)`` with the first pixel centre at 1, and ``stars``.
    chipnum
        The CCD, for a model of several.
    chi2
        Mean reduced chi-square; by default that of the model (``chisq / dof``) where it knows it,
        else 1.
    properties
        Further properties of the interpolation, say a colour, the same for all objects.

    Raises
    ------
    DataError
        The model has no star on this CCD.
    """
    chips = [star.data.properties.get("chipnum") for star in psf.stars]
    # Where no star knows its CCD, those of all count.
    everywhere = chipnum is None or all(chip is None for chip in chips)
    stars = [s for s, chip in zip(psf.stars, chips, strict=True) if everywhere or chip == chipnum]
    used = [s for s in stars if not (getattr(s, "is_flagged", False) or s.is_reserve)]
    if not used:
        known = sorted({chip for chip in chips if chip is not None})
        raise DataError(
            "the Piff model has no star on this CCD", key="chipnum", got=chipnum,
            allowed=", ".join(map(str, known)) or None,
        )  # fmt: skip
    if chi2 is None:
        dof = getattr(psf, "dof", None)
        chi2 = float(psf.chisq) / dof if dof else 1.0
    x, y = (np.array([star[axis] for star in used]) - 1.0 for axis in "xy")

    def draw_one(
        x: float, y: float, offset: tuple[float, float], shape: tuple[int, int]
    ) -> NDArray[np.floating[Any]]:
        side = max(shape) | 1  # odd: the centre is a pixel
        # Piff's first pixel centre is 1.
        image = psf.draw(
            x=x + 1.0, y=y + 1.0, chipnum=chipnum, stamp_size=side, center=True, offset=offset,
            **properties,
        )  # fmt: skip
        return _cut(image.array, shape)

    return FunctionPSF(
        draw_one, len(used), chi2, (float(x.min()), float(x.max()), float(y.min()), float(y.max()))
    )


def psf_from_galsim(
    profile: Any,
    jacobian: ArrayLike,
    *,
    accepted: int = 10_000,
    bounds: Bounds | None = None,
    method: str = "auto",
) -> FunctionPSF:
    """A GalSim profile, constant or a function of the 0-based position, as the PSF of one CCD.

    Parameters
    ----------
    profile
        ``galsim.GSObject``, or ``(x, y) -> galsim.GSObject``, in arcsec on the sky.
    jacobian
        (2, 2) d(u, v)/d(x, y) in arcsec per pixel, u to the west, v to the north.
    accepted
        Number of stars that it stands for; the default passes any limit.
    bounds
        See `FunctionPSF`.
    method
        Of ``drawImage``: ``"auto"`` includes the pixel, ``"no_pixel"`` is for effective PSFs.
    """
    import galsim

    local = galsim.JacobianWCS(*np.asarray(jacobian, dtype=float).ravel())

    def draw_one(
        x: float, y: float, offset: tuple[float, float], shape: tuple[int, int]
    ) -> NDArray[np.floating[Any]]:
        here = profile(x, y) if callable(profile) else profile
        side = max(shape) | 1
        stamp = galsim.Image(side, side, wcs=local, dtype=float)
        return _cut(here.drawImage(stamp, offset=offset, method=method).array, shape)

    return FunctionPSF(draw_one, accepted, bounds=bounds)


def _cut(image: NDArray[np.floating[Any]], shape: tuple[int, int]) -> NDArray[np.floating[Any]]:
    """The part (h, w) of an odd square image about its centre, on pixel ``(h // 2, w // 2)``."""
    centre = len(image) // 2
    top, left = centre - shape[0] // 2, centre - shape[1] // 2
    return image[top : top + shape[0], left : left + shape[1]]
