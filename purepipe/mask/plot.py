"""A mask as a picture: the image, every plane in its colour, and a legend of bits and fractions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.display import axes_or_new, show_image, show_pixels, thin_flags, thinning
from purepipe.errors import DataError
from purepipe.flags import MaskFlag
from purepipe.mask.report import mask_summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Distinguishable with every kind of colour vision, on grey (after Okabe and Ito).
_COLOURS = {
    MaskFlag.BAD_WEIGHT: "#000000",
    MaskFlag.HALO: "#56b4e9",
    MaskFlag.BORDER: "#0072b2",
    MaskFlag.EXTERNAL: "#cc79a7",
    MaskFlag.MESSIER: "#009e73",
    MaskFlag.NGC: "#b2df8a",
    MaskFlag.COSMIC_RAY: "#d55e00",
    MaskFlag.SPIKE: "#e69f00",
    MaskFlag.MISSING: "#882255",
    MaskFlag.SATURATED: "#f0e442",
    MaskFlag.OUTSIDE: "#5e3c99",
}
_OTHER = "#ff0000"


def plot_mask(
    mask: NDArray[np.int32],
    image: NDArray[np.float32] | None = None,
    *,
    ax: Axes | None = None,
    opacity: float = 0.55,
    largest: int | None = None,
) -> Axes:
    """Draw every plane of a mask over the image, with a legend of bits and fractions.

    Where planes overlap, the one that covers less of the image is on top.

    Parameters
    ----------
    mask
        (ny, nx) int32, `MaskFlag` bits.
    image
        (ny, nx), shown in grey below; nothing when not given.
    ax
        Matplotlib axes to draw into; new ones when not given.
    opacity
        Of the planes, 0 to 1.
    largest
        Larger images are thinned to at most this many pixels a side, by default to those that the
        axes have on the figure. A thinned pixel shows all bits of the pixels that it stands for,
        so that a single cosmic ray stays visible.

    Returns
    -------
    The axes, in 0-based pixels, origin at the lower left.

    Raises
    ------
    DataError
        Image and mask differ in shape.
    """
    if image is not None and image.shape != mask.shape:
        raise DataError("image and mask have different sizes", got=image.shape, allowed=mask.shape)
    ny, nx = mask.shape
    # Room for the legend beside an image of any shape.
    ax = axes_or_new(ax, (float(np.clip(8 * nx / ny, 3, 16)) + 3, 8.0))
    step = thinning(ax, (ny, nx), largest)
    if image is not None:
        show_image(ax, image, step=step)
    _draw_planes(ax, mask, step, opacity)
    ax.set(xlabel="x (pixel, 0-based)", ylabel="y (pixel, 0-based)")
    ax.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5))
    ax.set_aspect("equal")
    return ax


def _draw_planes(ax: Axes, mask: NDArray[np.int32], step: int, opacity: float) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    *rows, total = mask_summary(mask)
    thinned = thin_flags(mask, step)
    picture = np.zeros((*thinned.shape, 4))
    for row in sorted(rows, key=lambda row: -row.pixels):
        picture[(thinned & np.uint32(row.bit)) != 0] = to_rgba(plane_colour(row.bit), opacity)
    show_pixels(ax, picture, step)
    handles = [
        Patch(
            color=to_rgba(plane_colour(row.bit), 0.8),
            label=f"{row.bit} {row.name}: {100 * row.fraction:.3g}%",
        )
        for row in rows
    ]
    title = f"masked: {100 * total.fraction:.3g}%"
    ax.legend(
        handles=handles, title=title, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False
    )


def plane_colour(bit: int) -> str:
    """The colour of a plane in all pictures of masks."""
    return _COLOURS.get(MaskFlag(bit), _OTHER) if bit in set(map(int, MaskFlag)) else _OTHER
