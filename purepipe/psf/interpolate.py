"""The PSF at the positions of objects, checked, normalised and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.config.psf import PSFInterpolationConfig
from purepipe.display import axes_or_new, brief, card, show_stamps
from purepipe.errors import ConfigError, DataError
from purepipe.flags import PSFFlag
from purepipe.psf.model import PSFModel
from purepipe.psf.moments import adaptive_moments
from purepipe.psf.resample_nb import normalise

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEFAULT = PSFInterpolationConfig()


@runtime_checkable
class PSFLike(Protocol):
    """What `psf_at` needs of a PSF model; `PSFModel` is one."""

    @property
    def accepted(self) -> int:
        """Number of stars that the model rests on."""

    @property
    def chi2(self) -> float:
        """Mean reduced chi-square of the stars."""

    def draw(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        offset: tuple[ArrayLike, ArrayLike] | None = None,
        shape: tuple[int, int] | None = None,
        contexts: Mapping[str, ArrayLike] | None = None,
    ) -> NDArray[np.floating[Any]]:
        """Images (n, h, w) in image pixels, centred on pixel ``(h // 2, w // 2)``."""

    def extrapolated(
        self, x: ArrayLike, y: ArrayLike, *, contexts: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.bool_]:
        """Whether each position lies outside the range of the stars."""


@dataclass(frozen=True, eq=False)
class PSFStamps:
    """The PSF at n positions.

    Attributes
    ----------
    images
        (n, h, w) float32 of sum 1, centred on the pixel ``((h - 1) / 2, (w - 1) / 2)``; NaN where
        there is no model or it is unusable here.
    flags
        (n,) int32 PSFFlag. EXTRAPOLATED and MOMENTS are information, the others mean that the
        PSF should not be used.
    sums
        (n,) float64 sum of the model over the image before the normalisation.
    e1, e2
        (n,) reduced shear (a - b)/(a + b) from adaptive moments, in pixel axes; NaN if failed.
    sigma
        (n,) size det(M)^(1/4) from adaptive moments, pixels; NaN if failed.
    """

    images: NDArray[np.float32]
    flags: NDArray[np.int32]
    sums: NDArray[np.float64]
    e1: NDArray[np.float64]
    e2: NDArray[np.float64]
    sigma: NDArray[np.float64]

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.flags)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the first of the images into the axes, or into new ones."""
        ax = axes_or_new(ax)
        show_stamps(ax, self.images)
        return ax

    def _repr_html_(self) -> str:
        facts = (
            ("positions", f"{len(self):,}"),
            ("usable", f"{np.count_nonzero(self.usable):,}"),
            ("median sigma", f"{np.nanmedian(self.sigma):.3f} pixels" if len(self) else ""),
        )
        return card("PSFs", facts, self.plot if len(self) else None)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Whether each PSF may be used."""
        return np.asarray((self.flags & ~_INFORMATION) == 0)


_INFORMATION = int(PSFFlag.EXTRAPOLATED | PSFFlag.MOMENTS)


def psf_at(
    model: PSFLike | None,
    x: ArrayLike,
    y: ArrayLike,
    config: PSFInterpolationConfig = DEFAULT,
    *,
    shape: tuple[int, int] = (51, 51),
    offset: tuple[ArrayLike, ArrayLike] | None = None,
    contexts: Mapping[str, ArrayLike] | None = None,
    moments: bool = True,
) -> PSFStamps:
    """The PSF at 0-based image positions: unit-sum images, flags, ellipticity and size.

    Parameters
    ----------
    model
        The model of the CCD, or None if there is none.
    x, y
        (n,) positions, image pixels.
    config
        Which models are good enough; a model below the limits is drawn and flagged.
    shape
        (h, w) of the images, odd numbers.
    offset
        Sub-pixel shift of the PSF, pixels; without it the PSF is centred on the central pixel.
    contexts
        Values of contexts of the model that are not positions.
    moments
        Whether to measure e1, e2 and sigma.

    Raises
    ------
    DataError
        x and y differ in length.
    ConfigError
        `shape` is not odd.
    """
    if any(n < 1 or n % 2 == 0 for n in shape):
        raise ConfigError("the sides of a PSF stamp must be odd", got=shape)
    x, y = np.atleast_1d(np.asarray(x, np.float64)), np.atleast_1d(np.asarray(y, np.float64))
    if x.ndim != 1 or x.shape != y.shape:
        raise DataError("x and y must be of one length", got=[x.shape, y.shape])
    if model is None:
        return _no_model(len(x), shape)
    flags = np.full(len(x), _verdict(model, config), dtype=np.int32)
    flags[np.asarray(model.extrapolated(x, y, contexts=contexts))] |= PSFFlag.EXTRAPOLATED
    if isinstance(model, PSFModel):
        response = config.interpolation_response
        images = model.draw(
            x, y, offset=offset, shape=shape, contexts=contexts, response=response
        )  # fmt: skip
    else:
        drawn = model.draw(x, y, offset=offset, shape=shape, contexts=contexts)
        images = np.array(drawn, dtype=np.float32)  # a copy, to be normalised in place
    sums, bad = np.empty(len(x)), np.empty(len(x), dtype=np.bool_)
    normalise(images.reshape(-1, shape[0] * shape[1]), config.max_sum_error, sums, bad)
    flags[bad] |= PSFFlag.BAD_MODEL
    shapes = np.full((3, len(x)), np.nan)
    if moments and not bad.all():
        measured = adaptive_moments(images)
        shapes[:] = measured.g1, measured.g2, measured.sigma
        flags[(measured.flags != 0) & ~bad] |= PSFFlag.MOMENTS
    return PSFStamps(images, flags, sums, *shapes)


def _verdict(model: PSFLike, config: PSFInterpolationConfig) -> int:
    """Flags of the model as a whole; values equal to a limit pass."""
    flags = 0
    if model.accepted < config.min_stars:
        flags |= PSFFlag.TOO_FEW_STARS
    if not model.chi2 <= config.max_chi2:
        flags |= PSFFlag.BAD_CHI2
    return int(flags)


def _no_model(n: int, shape: tuple[int, int]) -> PSFStamps:
    missing = [np.full(n, np.nan) for _ in range(4)]
    flags = np.full(n, PSFFlag.NO_MODEL.value, dtype=np.int32)
    return PSFStamps(np.full((n, *shape), np.nan, dtype=np.float32), flags, *missing)
