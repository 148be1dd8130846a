"""Figures of tiles, objects, shapes and the shear."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.display import PREVIEW_PIXELS, show_image, thinning
from purepipe.errors import NothingToDo
from purepipe.report import plots
from purepipe.report.records import column

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes
    from matplotlib.colors import BoundaryNorm, Colormap

    from purepipe.pipeline.shear import ShearComparison

MAX_RINGS = 5000
_NO_IMAGE = "the file of the image is not there any more"
_SPREAD_CLASSES = (
    (-1, "no spread model", plots.GREY),
    (2, "between", plots.ORANGE),
    (1, "galaxy", plots.BLUE),
    (0, "star", plots.RED),
)


def detections(objects: Table, image: NDArray[np.float32] | None) -> Callable[[Axes], None]:
    """Paint the detections of a tile over its image, coloured by their number of epochs."""
    x, y = column(objects, "X_IMAGE") - 1, column(objects, "Y_IMAGE") - 1
    shown = np.isfinite(x) & np.isfinite(y)
    if not shown.any():
        raise NothingToDo("The tile has no detections.")
    x, y = x[shown], y[shown]
    known = "N_EPOCH" in objects.colnames
    epochs = np.nan_to_num(column(objects, "N_EPOCH")[shown]) if known else np.zeros(len(x))

    def paint(axes: Axes) -> None:
        _show(axes, image)
        colours, norm, ticks = _epoch_colours(int(epochs.min()), int(epochs.max()))
        shades = colours(norm(epochs))
        if len(x) > MAX_RINGS:
            axes.scatter(x, y, s=20000 / len(x), linewidths=0, c=shades)
        else:
            size = float(np.clip(20000 / len(x), 4, 18))
            width = 0.12 * np.sqrt(size) + 0.3
            axes.scatter(x, y, s=size, linewidths=width, facecolors="none", edgecolors=shades)
        axes.set_aspect("equal")
        axes.set(xlabel="x (pixel, 0-based)", ylabel="y (pixel, 0-based)")
        if known:
            _colour_bar(axes, colours, norm, ticks)

    return paint


def _epoch_colours(low: int, high: int) -> tuple[Colormap, BoundaryNorm, list[int]]:
    """One colour for each number of epochs, or for each of twenty ranges; ticks for the legend."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap

    count = min(high - low + 1, 20)
    # The yellow end of the map cannot be seen on a light image.
    shades = colormaps["viridis"](np.linspace(0, 0.8, count))
    norm = BoundaryNorm(np.linspace(low - 0.5, high + 0.5, count + 1), count)
    ticks = list(range(low, high + 1, 1 + (high - low) // 8))
    return ListedColormap(shades), norm, ticks


def _colour_bar(axes: Axes, colours: Colormap, norm: BoundaryNorm, ticks: list[int]) -> None:
    from matplotlib.cm import ScalarMappable

    bar = axes.figure.colorbar(
        ScalarMappable(norm, colours), ax=axes, shrink=0.6, ticks=ticks, pad=0.02
    )
    bar.ax.minorticks_off()
    bar.set_label("epochs")


def mask_preview(
    mask: NDArray[np.int32], image: NDArray[np.float32] | None
) -> Callable[[Axes], None]:
    """Paint every plane of a mask over the image, with a legend of bits and fractions."""
    from purepipe.mask.plot import plot_mask

    shown = image if image is not None and image.shape == mask.shape else None

    def paint(axes: Axes) -> None:
        plot_mask(mask, shown, ax=axes, largest=PREVIEW_PIXELS)
        if shown is None:
            axes.set_title(_NO_IMAGE, fontsize=8)
        _legend_below(axes)

    return paint


def _legend_below(axes: Axes) -> None:
    """Move the legend from the side to below the axes, so that a narrow page shows more image."""
    legend = axes.get_legend()
    if legend is None:
        return
    handles = [handle for handle in legend.legend_handles if handle is not None]
    axes.legend(
        handles=handles, title=legend.get_title().get_text(), loc="upper left", ncols=1,
        bbox_to_anchor=(-0.05, -0.14), borderaxespad=0, alignment="left",
    )  # fmt: skip


def _show(axes: Axes, image: NDArray[np.float32] | None) -> None:
    """A preview in grey, or a sentence in its place."""
    if image is None:
        axes.set_title(_NO_IMAGE, fontsize=8)
        return
    show_image(axes, image, step=thinning(axes, (len(image), image.shape[1]), PREVIEW_PIXELS))


def spread_magnitude(catalogue: Table) -> Callable[[Axes], None]:
    """Paint the spread model against magnitude, by class."""
    magnitude, spread = column(catalogue, "MAG_AUTO"), column(catalogue, "SPREAD_MODEL")
    good = np.isfinite(spread) & np.isfinite(magnitude) & (magnitude < 90)
    plots.finite(spread[good], "spread model")
    kind = np.asarray(catalogue["SPREAD_CLASS"])[good]
    groups = [(name, kind == value, colour, "o") for value, name, colour in _SPREAD_CLASSES]
    low, high = plots.span(spread[good], tail=1.0)
    return plots.classes(
        magnitude[good], spread[good], groups, labels=("MAG_AUTO (mag)", "SPREAD_MODEL"),
        limits=(plots.span(magnitude[good], tail=0.2), (min(low, -0.01), max(high, 0.02))),
        line=0.0,
    )  # fmt: skip


def epoch_counts(catalogue: Table) -> Callable[[Axes], None]:
    """Paint the number of objects by number of epochs."""
    epochs = plots.finite(column(catalogue, "N_EPOCH"), "number of epochs").astype(np.int64)
    values, counts = np.unique(epochs, return_counts=True)
    pairs = zip(values, counts, strict=True)
    return plots.bars(
        {str(value): int(count) for value, count in pairs}, label="epochs", what="number of epochs"
    )


def log_histogram(
    samples: dict[str, NDArray[np.float64]], *, label: str, what: str
) -> Callable[[Axes], None]:
    """Paint histograms of positive values in logarithmic bins."""
    logs = {name: np.log10(values[values > 0]) for name, values in samples.items()}
    inner = plots.histogram(logs, label=label, what=what)

    def paint(axes: Axes) -> None:
        inner(axes)
        low, high = axes.get_xlim()
        ticks = [
            value
            for power in range(int(np.floor(low)), int(np.ceil(high)) + 1)
            for value in (10.0**power, 3 * 10.0**power)
            if low <= np.log10(value) <= high
        ]
        axes.set_xticks(np.log10(ticks), [f"{value:,g}" for value in ticks])

    return paint


def shear_comparison(comparison: ShearComparison) -> Callable[[Axes], None]:
    """Paint the recovered against the true shear of every tile, both components."""
    rows = comparison.rows
    true = np.array([row.true for row in rows], dtype=np.float64).reshape(-1, 2)
    found = np.array([row.recovered for row in rows], dtype=np.float64).reshape(-1, 2)
    error = np.array([row.error for row in rows], dtype=np.float64).reshape(-1, 2)
    if not (np.isfinite(true) & np.isfinite(found)).any():
        raise NothingToDo("No tile has a recovered shear.")

    def paint(axes: Axes) -> None:
        ends = np.array(plots.span(true[np.isfinite(true)], tail=0))
        axes.plot(ends, ends, color=plots.GREY, linewidth=0.9, label="recovered = true")
        looks = ((0, "g1", plots.BLUE, "o"), (1, "g2", plots.RED, "s"))
        for component, name, colour, marker in looks:
            yerr = np.where(np.isfinite(error[:, component]), error[:, component], 0)
            axes.errorbar(
                true[:, component], found[:, component], yerr=yerr, fmt=marker, color=colour,
                markersize=4.5, linewidth=1.1, capsize=2, label=name,
            )  # fmt: skip
        axes.set(xlabel="true shear", ylabel="recovered shear")
        axes.legend()

    return paint
