"""The PSF model: images of a PSF that varies as a polynomial of position and other contexts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.display import axes_or_new, brief, card, show_stamps
from purepipe.errors import ConfigError, DataError, did_you_mean
from purepipe.psf import polynomial

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes

    from purepipe.psf.moments import Moments
    from purepipe.wcs import WCS

_POSITION = re.compile(r"([XY])(WIN|PEAK|MODEL|PSF)?_IMAGE(_DBL)?")


@dataclass(frozen=True, eq=False)
class PSFModel:
    """Images of the PSF as polynomials of contexts, as PSFEx tabulates them.

    Contexts are normalised, u = (value - offset) / scale, and lie in [-0.5, 0.5] for the stars of
    the fit. Positions as contexts follow SExtractor: the centre of the first pixel is 1.

    Attributes
    ----------
    mask
        (nc, h, w) float32 image of each polynomial term, in flux per image pixel. Order: 1, x,
        x^2, y, xy, y^2 for two contexts of degree 2. The centre is pixel ``(h // 2, w // 2)``.
    coeffs
        (nb, nc) coefficients of the basis images, or None for pixel bases.
    contexts
        Column (or header) name of each context.
    offsets, scales
        Zero point and scale of each context.
    groups
        Polynomial group of each context, from 1.
    degrees
        Degree of each group.
    loaded, accepted
        Number of stars before and after the clipping.
    chi2
        Mean reduced chi-square of the accepted stars.
    fwhm
        Full width at half maximum that steered the fit (not a measured one), image pixels.
    sampling
        Size of a model pixel, in image pixels; 0 when no star was left.
    samples
        One row per input star: flags, chi-square, centre; None for a model read from a file.
    basis
        (nb, h, w) images that the coefficients refer to; None for pixel bases, or from a file.
    free
        (nb, 2) rows and columns of the pixels that the fit refined; None for other bases, or from
        a file.
    """

    mask: NDArray[np.float32]
    coeffs: NDArray[np.float32] | None
    contexts: tuple[str, ...]
    offsets: tuple[float, ...]
    scales: tuple[float, ...]
    groups: tuple[int, ...]
    degrees: tuple[int, ...]
    loaded: int
    accepted: int
    chi2: float
    fwhm: float
    sampling: float
    samples: Table | None = None
    basis: NDArray[np.float32] | None = None
    free: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        mask = np.array(self.mask, dtype=np.float32, order="C", ndmin=3)
        mask.flags.writeable = False
        object.__setattr__(self, "mask", mask)
        if self.coeffs is not None:
            coeffs = np.array(self.coeffs, dtype=np.float32, order="C")
            coeffs.flags.writeable = False
            object.__setattr__(self, "coeffs", coeffs)
        for name in ("contexts", "offsets", "scales", "groups", "degrees"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check()

    def _check(self) -> None:
        lengths = {len(self.contexts), len(self.offsets), len(self.scales), len(self.groups)}
        if len(lengths) != 1:
            raise DataError(
                "contexts, offsets, scales and groups of a PSF model must be of one length",
                got=[len(self.contexts), len(self.offsets), len(self.scales), len(self.groups)],
            )
        if any(not 1 <= group <= len(self.degrees) for group in self.groups):
            raise DataError(
                "a polynomial group has no degree", got=self.groups,
                allowed=f"1 to {len(self.degrees)}",
            )  # fmt: skip
        needed = polynomial.term_count(self.groups, self.degrees)
        if self.mask.ndim != 3 or len(self.mask) != needed:
            raise DataError(
                "the number of planes of the PSF model does not fit its polynomial",
                got=self.mask.shape, allowed=f"({needed}, h, w)",
            )  # fmt: skip

    __repr__ = brief

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the PSF at nine places spread over the range of its stars, and give the axes.

        The places lie as on the image, its first pixel at the lower left; contexts other than
        positions have their middle values. A constant model is drawn once.

        Parameters
        ----------
        ax
            Matplotlib axes to draw into; new ones when not given.
        """
        ax = axes_or_new(ax)
        show_stamps(ax, self._samples(3 if self.contexts else 1), columns=3)
        return ax

    def _samples(self, n: int) -> NDArray[np.float32]:
        """(n * n, h, w) images on a grid of positions, upper left first."""
        middle = dict(zip(self.contexts, self.offsets, strict=True))
        steps = (np.arange(n) - (n - 1) / 2) / n
        down, right = (grid.ravel() for grid in np.meshgrid(-steps, steps, indexing="ij"))
        values: dict[str, ArrayLike] = dict(middle)
        for name, scale in zip(self.contexts, self.scales, strict=True):
            position = _POSITION.fullmatch(name)
            if position:
                values[name] = middle[name] + scale * (right if position[1] == "X" else down)
        images = self.draw(np.zeros(n * n), np.zeros(n * n), contexts=values)
        # The wings are too faint to be seen: the core is shown larger instead.
        reach = int(3 * self.fwhm) + 1 if self.fwhm > 0 else max(self.shape)
        rows, columns = (
            slice(max(0, size // 2 - reach), size // 2 + reach + 1) for size in images.shape[1:]
        )
        return images[:, rows, columns]

    def _repr_html_(self) -> str:
        degrees = ", ".join(map(str, self.degrees))
        facts = (
            ("stars", f"{self.accepted:,} of {self.loaded:,}"),
            ("reduced chi2", f"{self.chi2:.4g}"),
            ("FWHM of the fit", f"{self.fwhm:.3f} pixels"),
            ("grid", f"{self.shape[1]} x {self.shape[0]}, {self.sampling:.4g} image pixels each"),
            ("varies with", f"{', '.join(self.contexts)} (degree {degrees})"
             if self.contexts else "nothing"),
        )  # fmt: skip
        return card("PSF model", facts, None if self.is_empty else self.plot)

    def __reduce__(self) -> tuple[Any, ...]:
        # The arrays come back read-only in a worker process too.
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns of the model grid."""
        return self.mask.shape[1], self.mask.shape[2]

    @property
    def is_empty(self) -> bool:
        """Whether no star was left, so that the model holds nothing."""
        return not self.sampling > 0 or not np.any(self.mask[0])

    @cached_property
    def powers(self) -> NDArray[np.int64]:
        """(nc, number of contexts) exponents of the polynomial terms."""
        return polynomial.exponents(self.groups, self.degrees)

    @cached_property
    def _planes_with_response(self) -> NDArray[np.float32]:
        from purepipe.psf.response import with_mean_response

        return with_mean_response(self.mask)

    def normalised(
        self, x: ArrayLike, y: ArrayLike, *, contexts: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.float64]:
        """Normalised contexts (n, number of contexts) at 0-based image positions.

        Parameters
        ----------
        x, y
            0-based positions, image pixels.
        contexts
            Values of the contexts that are not image positions, by name.

        Raises
        ------
        DataError
            A context of the model is not given, or the lengths differ.
        """
        x, y = _positions(x, y)
        values = dict(contexts or {})
        columns = []
        for name, offset, scale in zip(self.contexts, self.offsets, self.scales, strict=True):
            position = _POSITION.fullmatch(name)
            if name in values:
                value = np.broadcast_to(np.asarray(values.pop(name), dtype=np.float64), x.shape)
            elif position:
                value = (x if position[1] == "X" else y) + 1.0
            else:
                raise DataError(
                    "the PSF model depends on a context that was not given", key=name,
                    remedy=f"Pass contexts={{{name!r}: values}}.",
                )  # fmt: skip
            # All stars at one place leave no scale: the model is constant in that direction.
            columns.append((value - offset) / scale if scale != 0 else np.zeros(len(x)))
        if values:
            name = next(iter(values))
            raise DataError(
                "the PSF model has no such context", key=name,
                remedy=did_you_mean(name, self.contexts),
            )  # fmt: skip
        return np.stack(columns, axis=1) if columns else np.zeros((len(x), 0))

    def draw(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        offset: tuple[ArrayLike, ArrayLike] | None = None,
        shape: tuple[int, int] | None = None,
        contexts: Mapping[str, ArrayLike] | None = None,
        response: bool = False,
    ) -> NDArray[np.float32]:
        """Images of the PSF at 0-based image positions, (n, h, w) float32 in image pixels.

        Parameters
        ----------
        x, y
            (n,) 0-based positions on the CCD.
        offset
            (dx, dy) of the star relative to the centre of the central pixel, image pixels,
            each a number or (n,). The resampling is PSFEx's (Lanczos-3, normalised weights), by
            which the fit saw the stars too; it moves a centroid by up to 0.02 pixel less than
            asked. Without an offset, and with model pixels as large as image pixels,
            the images are the model's own, without any resampling.
        shape
            (h, w) of the images; by default the area of the model. The centre is pixel
            ``(h // 2, w // 2)``.
        contexts
            Values of the contexts that are not positions, by name.
        response
            Include the mean response of the interpolation that the fit assumes (see
            `purepipe.psf.response`), which removes a size bias of up to 0.7 %. Only for images
            without offset of a model with one pixel per image pixel; elsewhere it has no effect,
            because resampling includes it.

        Returns
        -------
        Values as fitted: the sum is 1 as far as the flux column of the fit was a total flux.
        Outside the model grid the images are 0. Positions outside the range of the stars are
        extrapolated without any limit: see `extrapolated`. An image depends on its own position
        only, to the last bit, not on how many are drawn at once.

        Raises
        ------
        DataError
            The lengths of the arguments differ, or a context is missing.
        """
        with_response = offset is None and response and self.sampling == 1.0
        planes = self._planes_with_response if with_response else self.mask
        images = self._combined(planes, self.normalised(x, y, contexts=contexts))
        own_grid = self.sampling in (0.0, 1.0) and shape in (None, self.shape)
        if offset is None and own_grid:
            return images
        return self._resampled(images, (0.0, 0.0) if offset is None else offset, shape)

    def tabulated(
        self, x: ArrayLike, y: ArrayLike, *, contexts: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.float32]:
        """Images of the PSF on the grid of the model, (n, h, w) float32, at 0-based positions.

        Parameters
        ----------
        x, y
            (n,) 0-based positions on the CCD.
        contexts
            Values of the contexts that are not positions, by name.

        Returns
        -------
        Values as fitted, in flux per image pixel, at points that are `sampling` image pixels
        apart; the centre is point ``(h // 2, w // 2)``.

        Raises
        ------
        DataError
            The lengths of the arguments differ, or a context is missing.
        """
        return self._combined(self.mask, self.normalised(x, y, contexts=contexts))

    def _combined(self, planes: NDArray[np.float32], u: NDArray[np.float64]) -> NDArray[np.float32]:
        """The sums of planes times polynomial terms at normalised contexts."""
        from purepipe.psf.resample_nb import combine_planes

        images = np.empty((len(u), *self.shape), dtype=np.float32)
        npix = self.shape[0] * self.shape[1]
        terms = polynomial.evaluate(u, self.powers)
        combine_planes(terms, planes.reshape(-1, npix), images.reshape(-1, npix))
        return images

    def _resampled(
        self,
        images: NDArray[np.float32],
        offset: tuple[ArrayLike, ArrayLike],
        shape: tuple[int, int] | None,
    ) -> NDArray[np.float32]:
        from purepipe.psf.resample_nb import resample_stack

        step = self.sampling or 1.0
        if shape is None:
            height, width = (n if step == 1.0 else 2 * int((n // 2) * step) + 1 for n in self.shape)
            shape = height, width
        if min(shape) < 1:
            raise ConfigError("the size of a PSF image must be positive", got=shape)
        inverse = float(np.float32(1.0 / step))
        try:
            shifts = [
                np.array(np.broadcast_to(np.asarray(d, dtype=np.float64), (len(images),)))
                for d in offset
            ]
        except ValueError:
            raise DataError(
                "offset must be two numbers, or two arrays as long as x",
                got=[np.shape(d) for d in offset],
            ) from None
        out = np.zeros((len(images), *shape), dtype=np.float32)
        resample_stack(images, -shifts[0] * inverse, -shifts[1] * inverse, inverse, 1.0, out)
        return out

    def moments(
        self, x: ArrayLike, y: ArrayLike, *, contexts: Mapping[str, ArrayLike] | None = None
    ) -> Moments:
        """Adaptive moments of the PSF at 0-based image positions, see `adaptive_moments`."""
        from purepipe.psf.moments import adaptive_moments

        return adaptive_moments(self.draw(x, y, contexts=contexts))

    def extrapolated(
        self, x: ArrayLike, y: ArrayLike, *, contexts: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.bool_]:
        """Whether each 0-based position lies outside the range of the stars of the fit."""
        u = self.normalised(x, y, contexts=contexts)
        return np.asarray(~(np.abs(u) <= 0.5 + 1e-9).all(axis=1))

    def as_galsim(
        self,
        x: float,
        y: float,
        wcs: WCS | None = None,
        *,
        contexts: Mapping[str, ArrayLike] | None = None,
    ) -> Any:
        """The PSF at one 0-based position as a ``galsim.InterpolatedImage`` of unit flux.

        The pixel response is included: draw products with ``method="no_pixel"``.

        Parameters
        ----------
        x, y
            Position, image pixels.
        wcs
            Gives the profile in arcsec on the sky (u to the west, v to the north); without it
            the profile is in pixels.

        Raises
        ------
        DataError
            The model has no positive flux at this position.
        """
        import galsim

        u = self.normalised(x, y, contexts=contexts)
        image = np.tensordot(
            polynomial.evaluate(u, self.powers)[0], self.mask.astype(np.float64), axes=1
        )
        if not image.sum() > 0:
            raise DataError("the PSF has no positive flux at this position", got=(x, y))
        jacobian = np.eye(2) if wcs is None else wcs.jacobian(x, y)
        local = galsim.JacobianWCS(*(jacobian * (self.sampling or 1.0)).ravel())
        height, width = self.shape
        stamp = galsim.Image(image, wcs=local)
        # GalSim centres an image between pixels when its size is even; the model does not.
        centre = galsim.PositionD(width // 2 + 1.0, height // 2 + 1.0)
        stamp.setOrigin(1, 1)
        return galsim.InterpolatedImage(
            stamp, flux=1.0, x_interpolant="lanczos5", use_true_center=True,
            offset=centre - stamp.true_center,
        )  # fmt: skip


def _positions(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x = np.atleast_1d(np.asarray(x, dtype=np.float64))
    y = np.atleast_1d(np.asarray(y, dtype=np.float64))
    if x.ndim != 1 or x.shape != y.shape:
        raise DataError("x and y must be of one length", got=[x.shape, y.shape])
    return x, y
