"""Figures of tiles, objects, shapes and the shear."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import NothingToDo
from purepipe.report import plots
from purepipe.report.records import column

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes

    from purepipe.pipeline.shear import ShearComparison

PREVIEW_PIXELS = 560
_SPREAD_CLASSES = (
    (-1, "no spread model", plots.GREY),
    (2, "between", plots.ORANGE),
    (1, "galaxy", plots.BLUE),
    (0, "star", plots.RED),
)


def detections(objects: Table, image: NDArray[np.float32] | None) -> Callable[[Axes], None]:
    """Paint the detections of a tile over its image, coloured by their number of epochs."""
    x, y = column(objects, "X_IMAGE") - 1, column(objects, "Y_IMAGE") - 1
    if not np.isfinite(x).any():
        raise NothingToDo("The tile has no detections.")
    known = "N_EPOCH" in objects.colnames
    epochs = column(objects, "N_EPOCH") if known else np.zeros(len(objects))

    def paint(axes: Axes) -> None:
        from matplotlib.colors import BoundaryNorm

        if image is not None:
            _show(axes, image)
        low, high = int(epochs.min()), int(epochs.max())
        edges = np.unique(np.linspace(low - 0.5, high + 0.5, min(high - low + 2, 12)))
        points = axes.scatter(
            x, y, s=float(np.clip(20000 / len(x), 1, 18)), c=epochs, cmap="viridis",
            norm=BoundaryNorm(edges, 256), linewidths=0.3, edgecolors="white",
        )  # fmt: skip
        axes.set_aspect("equal")
        axes.set(xlabel="x (pixel, 0-based)", ylabel="y (pixel, 0-based)")
        if known and axes.figure is not None:
            ticks = np.unique(np.round((edges[:-1] + edges[1:]) / 2))
            bar = axes.figure.colorbar(points, ax=axes, shrink=0.7, ticks=ticks, pad=0.02)
            bar.set_label("epochs")

    return paint


def mask_preview(
    mask: NDArray[np.int32], image: NDArray[np.float32] | None
) -> Callable[[Axes], None]:
    """Paint every plane of a mask over the image, with a legend of bits and fractions."""
    from purepipe.mask.plot import plot_mask

    shown = image if image is not None and image.shape == mask.shape else None

    def paint(axes: Axes) -> None:
        plot_mask(mask, shown, axes=axes, largest=PREVIEW_PIXELS)

    return paint


def _show(axes: Axes, image: NDArray[np.float32]) -> None:
    """A preview in grey: means of blocks of pixels, from two deviations below to eight above."""
    step = max(1, -(-max(image.shape) // PREVIEW_PIXELS))
    ny, nx = (size // step * step for size in image.shape)
    preview = image[:ny, :nx].reshape(ny // step, step, nx // step, step).mean(axis=(1, 3))
    kept = preview[np.isfinite(preview)]
    if not kept.size:
        return
    low, middle, high = np.percentile(kept, [25, 50, 75])
    sigma = float(high - low) / 1.349 or 1.0
    axes.imshow(
        preview, cmap="gray_r", vmin=middle - 2 * sigma, vmax=middle + 8 * sigma, origin="lower",
        extent=(-0.5, nx - 0.5, -0.5, ny - 0.5), interpolation="nearest",
    )  # fmt: skip


def spread_magnitude(catalogue: Table, limits: dict[str, Any]) -> Callable[[Axes], None]:
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
    epochs = column(catalogue, "N_EPOCH").astype(np.int64)
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
        from matplotlib.ticker import FuncFormatter

        inner(axes)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:.3g}"))

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
