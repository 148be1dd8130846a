"""What data show of themselves in a terminal, a notebook and a figure.

Matplotlib is imported when a picture is asked for, not before.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 160
PREVIEW_PIXELS = 560  # a side of an image in a report or a notebook
VEIL = (0.84, 0.37, 0.0, 0.6)  # of flagged pixels: seen on grey with every kind of colour vision
_COLOURS = 160
_MOST_ITEMS = 8
_LONGEST = 100  # characters of a dataclass inside another
_MOST_STAMPS = 24
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "savefig.facecolor": "white",
}
_CARD = (
    '<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start">'
    "<div><b>{title}</b><table>{rows}</table></div>{picture}</div>"
)


def brief(data: Any) -> str:
    """A dataclass on one line: arrays by type and shape, tables by their size.

    To be set as ``__repr__`` of dataclasses that hold arrays.
    """
    parts = [f"{f.name}={_value(getattr(data, f.name))}" for f in fields(data) if f.repr]
    return f"{type(data).__name__}({', '.join(parts)})"


def _value(value: Any) -> str:
    if isinstance(value, np.ndarray):
        if value.size <= 4:
            return np.array2string(value, precision=6, separator=", ")
        return f"<{value.dtype} {' x '.join(map(str, value.shape))}>"
    if hasattr(value, "colnames"):
        return f"<table of {len(value)} rows, {len(value.colnames)} columns>"
    if isinstance(value, float):
        return f"{value:.7g}"
    long = isinstance(value, tuple | list) and len(value) > _MOST_ITEMS
    if long or isinstance(value, Mapping):
        return f"<{len(value)} items>"
    text = repr(value)
    if is_dataclass(value) and len(text) > _LONGEST:
        return f"{type(value).__name__}(...)"
    return text


def card(
    title: str,
    facts: Iterable[tuple[str, object]],
    paint: Callable[[Axes], object] | None = None,
    *,
    size: tuple[float, float] = (3.8, 3.2),
) -> str:
    """A fragment of HTML for a notebook: a title, a table of facts, and a picture beside it.

    Parameters
    ----------
    title, facts
        Texts, escaped here; facts without a value are left out.
    paint
        Draws the picture into axes.
    size
        Of the picture, inches.
    """
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in facts
        if value not in (None, "")
    )
    picture = ""
    if paint is not None:
        image, width, height = png(paint, size=size)
        # The figures are drawn for screens of twice the usual resolution.
        picture = (
            f'<img alt="{escape(title)}" width="{width // 2}" height="{height // 2}"'
            f' src="data:image/png;base64,{image}">'
        )
    return _CARD.format(title=escape(title), rows=rows, picture=picture)


def png(
    paint: Callable[[Axes], object], *, size: tuple[float, float] = (3.8, 2.9)
) -> tuple[str, int, int]:
    """A painted figure as base64 PNG, with its width and height in pixels.

    The settings of matplotlib are replaced while it is drawn and put back afterwards; they belong
    to the whole process, so two threads must not draw at once. No figure of pyplot is made.

    Parameters
    ----------
    paint
        Draws into the axes; whatever it raises is passed on.
    size
        Width and height in inches; pictures with fixed aspect are cropped to what they need.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context():
        # A user's own style must not change what a report looks like.
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure.add_subplot())
        return _encode(figure)


def _encode(figure: Figure) -> tuple[str, int, int]:
    """PNG with a palette: a third of the size of one with full colours."""
    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.05)
    picture = Image.open(raw).convert("RGB")
    small = picture.quantize(_COLOURS, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    small.save(packed, format="PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode("ascii"), picture.width, picture.height


def axes_or_new(ax: Axes | None, size: tuple[float, float] = (6.0, 5.0)) -> Axes:
    """The axes, or those of a new figure of pyplot when there are none."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def thinning(ax: Axes, shape: tuple[int, int], largest: int | None = None) -> int:
    """How many pixels of an image a drawn pixel stands for.

    Parameters
    ----------
    ax
        Its size on the figure decides, the narrower side, since the aspect of the image is kept.
    shape
        Of the image.
    largest
        At most this many drawn pixels a side; in the place of the size of the axes.
    """
    if largest is not None:
        step = math.ceil(max(shape) / largest)
    else:
        place = ax.get_window_extent()
        step = math.ceil(max(shape[0] / place.height, shape[1] / place.width))
    return max(1, min(step, *shape))


def show_image(ax: Axes, image: NDArray[Any], *, step: int | None = None) -> None:
    """Draw an image in grey, from two deviations below its median to eight above.

    Parameters
    ----------
    ax
        Axes; they get 0-based pixels, origin at the lower left.
    image
        (ny, nx).
    step
        Blocks of step x step pixels are averaged, without those that are not finite; by default as
        many as the axes cannot show.
    """
    step = step or thinning(ax, (image.shape[0], image.shape[1]))
    ny, nx = (size // step for size in image.shape)
    blocks = _block_means(image[: ny * step, : nx * step], step)
    low, high = display_range(blocks)
    show_pixels(ax, blocks, step, cmap="gray_r", vmin=low, vmax=high)
    ax.set(xlabel="x (pixel, 0-based)", ylabel="y (pixel, 0-based)")


def _block_means(image: NDArray[Any], step: int) -> NDArray[np.float64]:
    """Means of the finite pixels of blocks; NaN where there is none."""
    ny, nx = (size // step for size in image.shape)
    pixels = image.reshape(ny, step, nx, step)
    good = np.isfinite(pixels)
    totals = np.where(good, pixels, 0).sum(axis=(1, 3), dtype=np.float64)
    counts = good.sum(axis=(1, 3))
    means: NDArray[np.float64] = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
    return means


def show_flagged(ax: Axes, flags: NDArray[np.int32], *, step: int | None = None) -> None:
    """Veil the pixels of which a flag is set, over whatever is drawn already."""
    step = step or thinning(ax, (flags.shape[0], flags.shape[1]))
    thinned = thin_flags(flags, step)
    veil = np.zeros((*thinned.shape, 4))
    veil[thinned != 0] = VEIL
    show_pixels(ax, veil, step)


def show_pixels(ax: Axes, pixels: NDArray[Any], step: int = 1, **options: Any) -> None:
    """Draw an array of which each element stands for step x step pixels, as it is."""
    extent = (-0.5, pixels.shape[1] * step - 0.5, -0.5, pixels.shape[0] * step - 0.5)
    ax.imshow(pixels, origin="lower", extent=extent, interpolation="nearest", **options)


def thin_flags(flags: NDArray[np.int32], step: int) -> NDArray[np.uint32]:
    """Blocks of step x step pixels OR-ed, so that a single flagged pixel stays visible."""
    ny, nx = (-(-size // step) * step for size in flags.shape)
    padded = np.zeros((ny, nx), np.uint32)
    padded[: flags.shape[0], : flags.shape[1]] = flags.view(np.uint32)
    blocks = padded.reshape(ny // step, step, nx // step, step)
    thinned: NDArray[np.uint32] = np.bitwise_or.reduce(blocks, axis=(1, 3))
    return thinned


def show_stamps(ax: Axes, stamps: NDArray[Any], *, columns: int = 6) -> None:
    """Draw the first stamps of a stack side by side, from the upper left, each on its own scale.

    Parameters
    ----------
    ax
        Axes; their frame is taken away.
    stamps
        (n, ny, nx), of which the first 24 are shown.
    columns
        Number in a row.
    """
    shown = np.asarray(stamps[:_MOST_STAMPS], dtype=np.float64)
    n, height, width = shown.shape
    columns = max(1, min(columns, n))
    rows = max(1, -(-n // columns))
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for i, stamp in enumerate(shown):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        peak = np.nanmax(np.abs(stamp), initial=0.0)
        # The first row of an image is its lowest.
        sheet[top : top + height, left : left + width] = stamp[::-1] / (peak or 1.0)
    ax.imshow(sheet, cmap="gray_r", vmin=-0.05, vmax=1.0, interpolation="nearest")
    ax.set_axis_off()
    if n < len(stamps):
        ax.set_title(f"{n} of {len(stamps):,}", fontsize=8)


def display_range(image: NDArray[Any]) -> tuple[float, float]:
    """From two deviations below the median to eight above, by the central half of the pixels."""
    finite = image[np.isfinite(image)]
    if not finite.size:
        return 0.0, 1.0
    low, middle, high = (float(value) for value in np.percentile(finite, [25, 50, 75]))
    sigma = (high - low) / 1.349 or 1.0
    return middle - 2 * sigma, middle + 8 * sigma
