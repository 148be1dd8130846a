"""A mask as a picture: the image, every plane in its colour, and a legend of bits and fractions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
    axes: Axes | None = None,
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
    axes
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
    if axes is None:
        from matplotlib import pyplot as plt

        # Room for the legend beside an image of any shape.
        width = float(np.clip(8 * mask.shape[1] / mask.shape[0], 3, 16))
        _, axes = plt.subplots(figsize=(width + 3, 8), layout="constrained")
    ny, nx = mask.shape
    step = _step(axes, (ny, nx), largest)
    extent = (-0.5, nx - 0.5, -0.5, ny - 0.5)
    options: dict[str, Any] = {"origin": "lower", "extent": extent, "interpolation": "nearest"}
    if image is not None:
        grey = image[::step, ::step]
        low, high = _display_range(grey)
        axes.imshow(grey, cmap="gray_r", vmin=low, vmax=high, **options)
    _draw_planes(axes, mask, step, opacity, options)
    axes.set(xlabel="x (pixel, 0-based)", ylabel="y (pixel, 0-based)")
    axes.set_aspect("equal")
    return axes


def _step(axes: Axes, shape: tuple[int, int], largest: int | None) -> int:
    """How many pixels of the mask a drawn pixel stands for."""
    if largest is not None:
        return max(1, math.ceil(max(shape) / largest))
    place = axes.get_window_extent()
    # The narrower side decides: the aspect of the image is kept.
    return max(1, math.ceil(max(shape[0] / place.height, shape[1] / place.width)))


def _draw_planes(
    axes: Axes, mask: NDArray[np.int32], step: int, opacity: float, options: dict[str, Any]
) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    *rows, total = mask_summary(mask)
    thinned = _thinned(mask, step)
    picture = np.zeros((*thinned.shape, 4))
    for row in sorted(rows, key=lambda row: -row.pixels):
        picture[(thinned & np.uint32(row.bit)) != 0] = to_rgba(_colour(row.bit), opacity)
    axes.imshow(picture, **options)
    handles = [
        Patch(
            color=to_rgba(_colour(row.bit), 0.8),
            label=f"{row.bit} {row.name}: {100 * row.fraction:.3g}%",
        )
        for row in rows
    ]
    title = f"masked: {100 * total.fraction:.3g}%"
    axes.legend(
        handles=handles, title=title, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False
    )


def _thinned(mask: NDArray[np.int32], step: int) -> NDArray[np.uint32]:
    """Blocks of step x step pixels OR-ed."""
    ny, nx = (-(-size // step) * step for size in mask.shape)
    padded = np.zeros((ny, nx), np.uint32)
    padded[: mask.shape[0], : mask.shape[1]] = mask.view(np.uint32)
    blocks = padded.reshape(ny // step, step, nx // step, step)
    thinned: NDArray[np.uint32] = np.bitwise_or.reduce(blocks, axis=(1, 3))
    return thinned


def _colour(bit: int) -> str:
    return _COLOURS.get(MaskFlag(bit), _OTHER) if bit in set(map(int, MaskFlag)) else _OTHER


def _display_range(image: NDArray[np.float32]) -> tuple[float, float]:
    """From two deviations below the median to eight above, by the central half of the pixels."""
    finite = image[np.isfinite(image)]
    if not finite.size:
        return 0.0, 1.0
    low, middle, high = np.percentile(finite, [25, 50, 75])
    sigma = (high - low) / 1.349 or 1.0
    return float(middle - 2 * sigma), float(middle + 8 * sigma)
