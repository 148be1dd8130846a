"""The Exposure: one calibrated image with everything that belongs to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from mmap import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.display import axes_or_new, brief, card, show_flagged, show_image, thinning
from purepipe.errors import DataError, nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from purepipe.wcs import WCS


_SHOWN_CARDS = ("OBJECT", "INSTRUME", "FILTER", "DATE-OBS", "EXPTIME", "AIRMASS")


class WeightKind(StrEnum):
    """What the numbers of a weight map mean."""

    MASK = "mask"  # zero is bad, anything else good
    RELATIVE = "relative"  # proportional to the inverse variance
    INVERSE_VARIANCE = "inverse variance"
    VARIANCE = "variance"
    RMS = "rms"


def known_kind(value: WeightKind | str | None) -> WeightKind:
    """The kind of weights of a name.

    Raises
    ------
    DataError
        There is none of this name.
    """
    for kind in WeightKind:
        if value == kind:
            return kind
    near = nearest(str(value), list(WeightKind))
    raise DataError(
        "unknown kind of weight map", key="weight_kind", got=repr(value),
        allowed=", ".join(WeightKind), remedy=f"Did you mean {str(near)!r}?" if near else None,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Exposure:
    """One CCD of an exposure, or one tile: checked once, read-only afterwards.

    Attributes
    ----------
    image
        (ny, nx) float32, ADU, background included unless it was subtracted before.
    weight
        (ny, nx) float32, or None; `weight_kind` says what the numbers mean.
    weight_kind
        Must be given with a weight.
    flags
        (ny, nx) int32 mask planes (`purepipe.flags.MaskFlag`), zero is good; or None.
    wcs
        World coordinates, or None.
    gain
        Electrons per ADU; 0 means no photon noise.
    saturation
        Level at which pixels saturate, ADU.
    zero_point
        Magnitude of one ADU.
    flux_scale
        Factor to the flux scale of the tile (FSCALE).
    name
        Shown in messages: file and HDU, or ``"2100001-3"``.
    header
        FITS header cards as text, to be copied into products; may be empty.
    """

    image: NDArray[np.float32]
    weight: NDArray[np.float32] | None = None
    weight_kind: WeightKind | None = None
    flags: NDArray[np.int32] | None = None
    wcs: WCS | None = None
    gain: float = 0.0
    saturation: float = float("inf")
    zero_point: float = 0.0
    flux_scale: float = 1.0
    name: str = "exposure"
    header: str = field(default="", repr=False)
    _own: frozenset[str] = field(default=frozenset(), init=False, repr=False)

    def __post_init__(self) -> None:
        own = set()
        image, may_write = _plane(self.image, np.float32, "image", self.name)
        own |= {"image"} if may_write else set()
        object.__setattr__(self, "image", image)
        if self.weight is not None:
            if self.weight_kind is None:
                raise DataError(
                    "a weight map needs its kind", file=self.name, key="weight_kind",
                    allowed=", ".join(WeightKind),
                    remedy="Say what the numbers mean; purepipe does not guess.",
                )  # fmt: skip
            object.__setattr__(self, "weight_kind", known_kind(self.weight_kind))
            weight, may_write = _plane(self.weight, np.float32, "weight", self.name, image.shape)
            own |= {"weight"} if may_write else set()
            object.__setattr__(self, "weight", weight)
        if self.flags is not None:
            flags, _ = _plane(self.flags, np.int32, "flags", self.name, image.shape)
            object.__setattr__(self, "flags", flags)
        object.__setattr__(self, "_own", frozenset(own))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.image.shape[0], self.image.shape[1]

    def replace(self, **changes: Any) -> Exposure:
        """A copy with some attributes changed, checked again."""
        copy = replace(self, **changes)
        same = {name for name in self._own if getattr(copy, name) is getattr(self, name)}
        object.__setattr__(copy, "_own", copy._own | same)
        return copy

    def overwritable(self, name: str) -> bool:
        """Whether the memory of ``"image"`` or ``"weight"`` may be used for something else.

        It may if the array that was given could be written to, or had to be converted, and is no
        mapped file.
        """
        return name in self._own

    def with_flags(self, flags: ArrayLike) -> Exposure:
        """A copy that carries `flags` as its mask planes."""
        return self.replace(flags=np.asarray(flags))

    __repr__ = brief

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the image in grey, flagged pixels veiled.

        Parameters
        ----------
        ax
            Matplotlib axes to draw into; new ones when not given.

        Returns
        -------
        The axes, in 0-based pixels, origin at the lower left.
        """
        ax = axes_or_new(ax)
        step = thinning(ax, self.shape)
        show_image(ax, self.image, step=step)
        if self.flags is not None:
            show_flagged(ax, self.flags, step=step)
        return ax

    def _repr_html_(self) -> str:
        return card(self.name, _facts(self), self.plot)

    def require_data(self) -> None:
        """Raise DataError when no pixel can be used.

        Raises
        ------
        DataError
            All pixels are NaN or infinite, or no pixel has a usable weight.
        """
        if not any(np.isfinite(rows).any() for rows in _pieces(self.image)):
            raise DataError(
                "no finite pixel in the image", file=self.name,
                remedy="The image is lost; take the CCD out of the survey or replace the file.",
            )  # fmt: skip
        if self.weight is None:
            return
        zero_is_usable = self.weight_kind in (WeightKind.VARIANCE, WeightKind.RMS)
        positive = np.greater_equal if zero_is_usable else np.greater
        if not any((np.isfinite(rows) & positive(rows, 0)).any() for rows in _pieces(self.weight)):
            raise DataError(
                "no pixel has a usable weight", file=self.name,
                remedy="Check that the weight file belongs to this image and that its kind"
                f" ({self.weight_kind}) is right.",
            )  # fmt: skip


def inverse_variance(
    weight: NDArray[np.floating[Any]], kind: WeightKind | str
) -> NDArray[np.float32]:
    """The weight map as inverse variances, zero for bad pixels.

    Parameters
    ----------
    weight
        Map of any shape.
    kind
        What its numbers mean. A mask gives ones and zeros; relative weights stay as they are.
    """
    kind = known_kind(kind)
    values = np.asarray(weight, dtype=np.float32)
    with np.errstate(all="ignore"):
        if kind is WeightKind.MASK:
            values = (values != 0).astype(np.float32)
        elif kind is WeightKind.VARIANCE:
            values = np.float32(1) / values
        elif kind is WeightKind.RMS:
            values = np.float32(1) / (values * values)
        return np.where(np.isfinite(values) & (values > 0), values, np.float32(0))


def _pieces(plane: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Some rows at a time: the first ones mostly tell, and large temporary arrays cost time."""
    return (plane[first : first + 64] for first in range(0, plane.shape[0], 64))


def _facts(exposure: Exposure) -> Iterator[tuple[str, object]]:
    """What a notebook shows beside the picture of an exposure."""
    ny, nx = exposure.shape
    yield "size", f"{nx:,} x {ny:,} pixels"
    if exposure.weight is not None:
        yield "weight", f"{exposure.weight_kind}"
    if exposure.flags is not None:
        yield "flagged", f"{100 * np.count_nonzero(exposure.flags) / (nx * ny):.3g} % of the pixels"
    if exposure.wcs is not None:
        ra, dec = exposure.wcs.pixel_to_sky((nx - 1) / 2, (ny - 1) / 2)
        yield "centre", f"{float(ra):.5f}, {float(dec):+.5f} deg"
        yield "pixel", f"{exposure.wcs.pixel_scale:.4f} arcsec"
    yield "gain", f"{exposure.gain:g} e/ADU" if exposure.gain else "no photon noise"
    if np.isfinite(exposure.saturation):
        yield "saturation", f"{exposure.saturation:g} ADU"
    yield "zero point", f"{exposure.zero_point:g} mag"
    if exposure.header:
        from astropy.io.fits import Header

        header = Header.fromstring(exposure.header)
        yield from ((key, header.get(key)) for key in _SHOWN_CARDS)


def _is_mapped(array: NDArray[Any]) -> bool:
    memory: object = array
    while isinstance(memory, np.ndarray | memoryview):
        memory = memory.base if isinstance(memory, np.ndarray) else memory.obj
    return isinstance(memory, mmap)


def _plane(
    array: ArrayLike,
    dtype: type[np.generic],
    what: str,
    name: str,
    shape: tuple[int, ...] | None = None,
) -> tuple[NDArray[Any], bool]:
    """A contiguous, native-endian, read-only 2-D view or copy of `array`.

    And whether its memory may be written: that of a copy, or of a writable array in no mapped file.
    """
    plane = np.asarray(array)
    if plane.ndim != 2 or 0 in plane.shape:
        raise DataError(
            f"the {what} must be a two-dimensional, non-empty array", file=name, got=plane.shape
        )
    if shape is not None and plane.shape != shape:
        raise DataError(
            f"the {what} has another size than the image", file=name,
            got=f"{plane.shape[1]} x {plane.shape[0]}", allowed=f"{shape[1]} x {shape[0]}",
            remedy="Image, weight and flag files must belong to the same CCD.",
        )  # fmt: skip
    plane = np.ascontiguousarray(plane, dtype=dtype)
    may_write = plane.flags.writeable and not _is_mapped(plane)
    if plane.flags.writeable:
        plane = plane.view()
        plane.flags.writeable = False
    return plane, may_write
