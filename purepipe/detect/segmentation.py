"""The segmentation map: which pixel belongs to which catalogue row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.display import axes_or_new, brief, card, show_pixels, thinning
from purepipe.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Pixels of the detected objects.

    Attributes
    ----------
    data
        (ny, nx) int32: NUMBER of the object, 0 for the sky. Pixels of an object merged into a
        neighbour by cleaning carry the neighbour's number.
    """

    data: NDArray[np.int32]

    def __post_init__(self) -> None:
        data = np.ascontiguousarray(self.data, np.int32)
        if data.ndim != 2 or (data.size and data.min() < 0):
            raise DataError(
                "a segmentation map is two-dimensional, with numbers of zero and above",
                got=f"shape {data.shape}",
            )
        view = data.view()
        view.flags.writeable = False
        object.__setattr__(self, "data", view)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.data.shape[0], self.data.shape[1]

    __repr__ = brief

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the objects, neighbours in different colours, on white; and give the axes.

        Parameters
        ----------
        ax
            Matplotlib axes to draw into; new ones when not given.
        """
        ax = axes_or_new(ax)
        step = thinning(ax, self.shape)
        thinned = self.data[::step, ::step]
        # Twenty colours in an order in which consecutive numbers are far apart.
        colours = np.ma.masked_equal(thinned * 7 % 20 + np.where(thinned > 0, 1, 0), 0)
        show_pixels(ax, colours, step, cmap="tab20", vmin=1, vmax=20)
        ax.set(xlabel="x (pixel, 0-based)", ylabel="y (pixel, 0-based)")
        return ax

    def _repr_html_(self) -> str:
        ny, nx = self.shape
        covered = np.count_nonzero(self.data) / max(self.data.size, 1)
        facts = (
            ("size", f"{nx:,} x {ny:,} pixels"),
            ("largest number", f"{self.data.max(initial=0):,}"),
            ("covered", f"{100 * covered:.3g} % of the pixels"),
        )
        return card("Segmentation", facts, self.plot)

    def areas(self, numbers: ArrayLike) -> NDArray[np.int64]:
        """Number of pixels of each of the given objects."""
        wanted = np.asarray(numbers, np.int64)
        counts = np.bincount(self.data.ravel(), minlength=int(wanted.max(initial=0)) + 1)
        return counts[wanted].astype(np.int64)

    def to_photutils(self) -> Any:
        """The same map as a photutils SegmentationImage.

        Raises
        ------
        DataError
            No object was detected; photutils has no empty segmentation.
        """
        from photutils.segmentation import SegmentationImage

        if not self.data.any():
            raise DataError("no object in the segmentation map")
        return SegmentationImage(self.data.copy())

    @classmethod
    def from_photutils(cls, segmentation: Any) -> Segmentation:
        """The segmentation held by a photutils SegmentationImage."""
        return cls(np.asarray(segmentation.data))
