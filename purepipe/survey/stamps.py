"""Stamps of objects on the exposures that saw them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from purepipe.display import axes_or_new, brief, card, show_stamps
from purepipe.errors import ConfigError, DataError
from purepipe.flags import EpochFlag, MaskFlag
from purepipe.survey.epochs import Epochs
from purepipe.survey.headers import CCD

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T = TypeVar("T", bound=np.number[Any])


@dataclass(frozen=True, eq=False)
class CCDPlanes:
    """The pixels of one CCD.

    Attributes
    ----------
    image
        (ny, nx), ADU of the exposure.
    background
        (ny, nx) level to subtract, ADU; a number for a constant one.
    weight
        (ny, nx) inverse variance or 0/1, zero is bad; None when every pixel is alike.
    mask
        (ny, nx) `MaskFlag` bits; None when no pixel is masked.
    first_row, first_column
        Where on the CCD the planes begin, when they hold only the part that the stamps need: see
        `part_needed`.
    """

    image: NDArray[np.float32]
    background: NDArray[np.float32] | float = 0.0
    weight: NDArray[np.float32] | None = None
    mask: NDArray[np.int32] | None = None
    first_row: int = 0
    first_column: int = 0

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class EpochStamps:
    """Stamps of all pairs of an object and an epoch, sorted by object, then by exposure.

    All arrays have the length npair; n is the side of the stamps. The centre of a stamp,
    pixel (n // 2, n // 2), is the pixel of the CCD nearest to the object.

    Attributes
    ----------
    row
        Index of the object.
    exposure, ccd
        Exposure number (text) and CCD number (int32).
    x, y
        0-based float64 position on the CCD.
    flags
        int32 `EpochFlag` bits; 0 is usable.
    jacobian
        (npair, 2, 2) d(u, v)/d(x, y) in arcsec per pixel; u to the west, v to the north.
    flux_scale
        Factor to the flux scale of the tile.
    images
        (npair, n, n) float32, background subtracted, ADU of the exposure; 0 without data.
    weights
        (npair, n, n) float32; 0 where the map says so and where there are no data. A mask bit alone
        leaves the weight as it is.
    masks
        (npair, n, n) int32 `MaskFlag` bits; 0 is good.
    psfs
        (npair, n, n) float32, or None before the PSFs are drawn.
    psf_sigma
        Width of the PSFs by adaptive moments, pixels, NaN without PSF; or None.
    """

    row: NDArray[np.int64]
    exposure: NDArray[np.str_]
    ccd: NDArray[np.int32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flags: NDArray[np.int32]
    jacobian: NDArray[np.float64]
    flux_scale: NDArray[np.float64]
    images: NDArray[np.float32]
    weights: NDArray[np.float32]
    masks: NDArray[np.int32]
    psfs: NDArray[np.float32] | None = None
    psf_sigma: NDArray[np.float64] | None = None

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.row)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the first of the images into the axes, or into new ones."""
        ax = axes_or_new(ax)
        show_stamps(ax, self.images)
        return ax

    def _repr_html_(self) -> str:
        facts = (
            ("stamps", f"{len(self):,} of {self.images.shape[-1]} pixels a side"),
            ("objects", f"{len(np.unique(self.row)):,}"),
            ("exposures", f"{len(np.unique(self.exposure)):,}"),
            ("usable", f"{np.count_nonzero(self.flags == 0):,}"),
            ("PSFs", "none yet" if self.psfs is None else "drawn"),
        )
        return card("Stamps of all epochs", facts, self.plot if len(self) else None)

    def with_psfs(
        self, psfs: NDArray[np.float32], sigma: ArrayLike, *, flags: ArrayLike | int = 0
    ) -> EpochStamps:
        """A copy with PSF stamps, their widths (pixels), and flag bits added.

        Raises
        ------
        DataError
            The arrays do not fit the stamps.
        """
        sigma = np.asarray(sigma, dtype=np.float64)
        if len(psfs) != len(self) or psfs.ndim != 3 or sigma.shape != (len(self),):
            raise DataError(
                "each stamp needs one PSF and one width", got=(psfs.shape, sigma.shape),
                allowed=f"({len(self)}, h, w) and ({len(self)},)",
            )  # fmt: skip
        bits = (self.flags | np.asarray(flags)).astype(np.int32)
        return replace(
            self, psfs=np.ascontiguousarray(psfs, dtype=np.float32), psf_sigma=sigma, flags=bits
        )

    def select(self, pairs: NDArray[np.bool_] | NDArray[np.integer] | slice) -> EpochStamps:
        """Some of the pairs; `row` still counts the same objects."""
        changes: dict[str, Any] = {}
        for field in fields(self):
            array = getattr(self, field.name)
            changes[field.name] = None if array is None else array[pairs]
        return replace(self, **changes)


def cut_stamps(
    image: NDArray[T], x: ArrayLike, y: ArrayLike, size: int, *, fill: float
) -> NDArray[T]:
    """Square stamps around positions on an image, (n, size, size) of the image's type.

    Parameters
    ----------
    image
        (ny, nx).
    x, y
        (n,) 0-based positions. The central pixel is the nearest one, ties to the even number;
        there is no shift by a fraction of a pixel.
    size
        Side of the stamps, an odd number.
    fill
        Value of pixels beyond the image. A position that is not finite gives a stamp of them.

    Raises
    ------
    ConfigError
        The size is even or not positive.
    DataError
        `x` and `y` differ in length.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if size < 1 or size % 2 == 0:
        raise ConfigError("the side of a stamp must be odd", got=size, allowed="1, 3, 5, ...")
    if x.ndim != 1 or x.shape != y.shape:
        raise DataError("x and y must be of one length", got=(x.shape, y.shape))
    return _cut(image, *_centres(x, y), size, fill)


def gather_stamps(
    epochs: Epochs,
    ccds: Sequence[CCD],
    planes: Callable[[int], CCDPlanes | None],
    *,
    size: int,
) -> EpochStamps:
    """Stamps of all pairs of an object and a CCD.

    Parameters
    ----------
    epochs
        Pairs found by `find_epochs`.
    ccds
        The same list of CCDs.
    planes
        Gives the pixels of the CCD of an index, or None when its processing failed; called once
        per CCD that saw an object, in order.
    size
        Side of the stamps, an odd number.

    Returns
    -------
    Flags: FAILED_CCD without pixels, OFF_IMAGE when the central pixel is not on the image, NO_DATA
    when no pixel has a positive weight. Pixels beyond the image have image 0, weight 0 and the mask
    bit OUTSIDE; pixels that are not finite have image 0, weight 0 and the bit MISSING.

    Raises
    ------
    ConfigError
        The size is even or not positive.
    DataError
        The planes of a CCD have different sizes.
    """
    if size < 1 or size % 2 == 0:
        raise ConfigError("the side of a stamp must be odd", got=size, allowed="1, 3, 5, ...")
    stamps = _blank(epochs, ccds, size)
    for index in np.unique(epochs.ccd_index):
        pairs = np.flatnonzero(epochs.ccd_index == index)
        ccd = ccds[int(index)]
        stamps.flux_scale[pairs] = ccd.flux_scale
        stamps.jacobian[pairs] = ccd.wcs.jacobian(epochs.x[pairs], epochs.y[pairs])
        pixels = planes(int(index))
        if pixels is None:
            stamps.flags[pairs] = EpochFlag.FAILED_CCD
        else:
            _check_planes(pixels, ccd)
            _fill_stamps(stamps, pairs, pixels, size)
    return stamps


def part_needed(
    epochs: Epochs, index: int, shape: tuple[int, int], size: int
) -> tuple[int, int, int, int]:
    """The smallest part [y0:y1, x0:x1] of one CCD of a shape (ny, nx) that holds its stamps."""
    xc, yc = _centres(*(axis[epochs.ccd_index == index] for axis in (epochs.x, epochs.y)))
    return *_reach(yc, shape[0], size), *_reach(xc, shape[1], size)


def _reach(centres: NDArray[np.int64], length: int, size: int) -> tuple[int, int]:
    """First and last pixel (exclusive) along one axis."""
    radius = size // 2
    first = int(np.clip(centres.min(initial=length) - radius, 0, length - 1))
    last = int(np.clip(centres.max(initial=0) + radius + 1, first + 1, length))
    return first, last


def _blank(epochs: Epochs, ccds: Sequence[CCD], size: int) -> EpochStamps:
    """Stamps without data, every flag NOT_ATTEMPTED."""
    n = len(epochs.row)
    names = np.array([ccd.exposure for ccd in ccds], dtype=str)
    numbers = np.array([ccd.ccd for ccd in ccds], dtype=np.int32)
    return EpochStamps(
        row=epochs.row,
        exposure=names[epochs.ccd_index],
        ccd=numbers[epochs.ccd_index],
        x=epochs.x,
        y=epochs.y,
        flags=np.full(n, int(EpochFlag.NOT_ATTEMPTED), dtype=np.int32),
        jacobian=np.full((n, 2, 2), np.nan),
        flux_scale=np.full(n, np.nan),
        images=np.zeros((n, size, size), dtype=np.float32),
        weights=np.zeros((n, size, size), dtype=np.float32),
        masks=np.full((n, size, size), int(MaskFlag.OUTSIDE), dtype=np.int32),
    )


def _check_planes(pixels: CCDPlanes, ccd: CCD) -> None:
    for what in ("background", "weight", "mask"):
        plane = getattr(pixels, what)
        if plane is not None and np.ndim(plane) != 0 and plane.shape != pixels.image.shape:
            raise DataError(
                f"the {what} has another size than the image", file=ccd.name, got=plane.shape,
                allowed=str(pixels.image.shape),
            )  # fmt: skip


def _fill_stamps(
    stamps: EpochStamps, pairs: NDArray[np.int64], pixels: CCDPlanes, size: int
) -> None:
    """Write the stamps of one CCD into the arrays of all."""
    xc, yc = _centres(stamps.x[pairs], stamps.y[pairs])
    xc -= pixels.first_column
    yc -= pixels.first_row
    image = _cut(pixels.image, xc, yc, size, 0).astype(np.float32)
    if np.ndim(pixels.background) == 0:
        image -= np.float32(pixels.background)
    else:
        image -= _cut(np.asarray(pixels.background), xc, yc, size, 0)
    weight, mask = _weight_and_mask(pixels, xc, yc, size)
    outside = mask == int(MaskFlag.OUTSIDE)
    missing = ~np.isfinite(image) & ~outside
    mask[missing] |= int(MaskFlag.MISSING)
    image[missing | outside] = 0
    weight[missing | outside | ~np.isfinite(weight) | (weight < 0)] = 0
    ny, nx = pixels.image.shape
    off = (xc < 0) | (yc < 0) | (xc >= nx) | (yc >= ny)
    flags = np.where(off, int(EpochFlag.OFF_IMAGE), 0)
    flags |= np.where((weight > 0).any(axis=(1, 2)), 0, int(EpochFlag.NO_DATA))
    stamps.images[pairs], stamps.weights[pairs], stamps.masks[pairs] = image, weight, mask
    stamps.flags[pairs] = flags


def _weight_and_mask(
    pixels: CCDPlanes, xc: NDArray[np.int64], yc: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    mask = pixels.mask
    if mask is None:
        mask = np.zeros(pixels.image.shape, dtype=np.int32)
    masks = _cut(mask, xc, yc, size, int(MaskFlag.OUTSIDE)).astype(np.int32)
    if pixels.weight is None:
        weights = np.ones(masks.shape, dtype=np.float32)
    else:
        weights = _cut(pixels.weight, xc, yc, size, 0).astype(np.float32)
    return weights, masks


def _centres(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Nearest pixels, ties to even; a position that is not finite goes far off any image."""
    far = -(2.0**40)
    good = np.isfinite(x) & np.isfinite(y) & (np.abs(x) < 2.0**40) & (np.abs(y) < 2.0**40)
    xc = np.rint(np.where(good, x, far)).astype(np.int64)
    yc = np.rint(np.where(good, y, far)).astype(np.int64)
    return xc, yc


def _cut(
    image: NDArray[T],
    xc: NDArray[np.int64],
    yc: NDArray[np.int64],
    size: int,
    fill: float,
) -> NDArray[T]:
    ny, nx = image.shape
    radius = size // 2
    stamps = np.full((len(xc), size, size), fill, dtype=image.dtype)
    x0, y0 = xc - radius, yc - radius
    inside = (x0 >= 0) & (y0 >= 0) & (x0 + size <= nx) & (y0 + size <= ny)
    if inside.any():
        stamps[inside] = sliding_window_view(image, (size, size))[y0[inside], x0[inside]]
    cut = (x0 < nx) & (y0 < ny) & (x0 + size > 0) & (y0 + size > 0) & ~inside
    for i in np.flatnonzero(cut):
        left, right = max(x0[i], 0), min(x0[i] + size, nx)
        low, high = max(y0[i], 0), min(y0[i] + size, ny)
        part = image[low:high, left:right]
        stamps[i, low - y0[i] : high - y0[i], left - x0[i] : right - x0[i]] = part
    return stamps
