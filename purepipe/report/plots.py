"""Figures of general use: one pair of axes each, drawn without any global state of matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import NothingToDo

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Distinguishable with every kind of colour vision (Okabe & Ito 2008).
BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY, LIGHT, GREY, BLACK = "#cc79a7", "#56b4e9", "#b8b8b8", "#888888", "#222222"


def finite(values: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """The finite ones among the values.

    Raises
    ------
    NothingToDo
        There are none; the message names `what`.
    """
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[np.isfinite(kept)]
    if not kept.size:
        raise NothingToDo(f"No {what} is known.")
    return kept


def span(values: NDArray[np.float64], *, tail: float = 0.5) -> tuple[float, float]:
    """Limits that hold all values but `tail` per cent at either end, with a margin."""
    low, high = np.percentile(values, [tail, 100 - tail])
    margin = 0.06 * (high - low) or 0.05 * abs(low) or 1.0
    return float(low - margin), float(high + margin)


def histogram(
    samples: Mapping[str, NDArray[np.float64]],
    *,
    label: str,
    what: str,
    limits: tuple[float, float] | None = None,
    zero: bool = False,
    bins: int = 40,
) -> Callable[[Axes], None]:
    """Paint histograms of one or several samples over a common range.

    Parameters
    ----------
    samples
        Name -> values; values that are not finite are left out.
    label, what
        Label of the axis, and the name of a value in a sentence.
    limits
        Range; by default that of nearly all values.
    zero
        Mark zero with a line.
    bins
        Number of bins.
    """
    kept = {
        name: values[np.isfinite(values)]
        for name, values in samples.items()
        if np.isfinite(values).any()
    }
    everything = finite(np.concatenate([*kept.values(), np.zeros(0)]), what)
    low, high = limits or span(everything)

    def paint(axes: Axes) -> None:
        edges = np.linspace(low, high, bins + 1)
        for (name, values), colour in zip(kept.items(), (BLUE, RED, GREEN, PURPLE), strict=False):
            axes.hist(
                values, bins=edges.tolist(), histtype="stepfilled" if len(kept) == 1 else "step",
                color=colour, alpha=0.75 if len(kept) == 1 else 1, linewidth=1.4, label=name,
            )  # fmt: skip
        if zero:
            axes.axvline(0, color=BLACK, linewidth=0.8, linestyle=":")
        outside = np.count_nonzero((everything < low) | (everything > high))
        if outside:
            note = f"{outside:,} beyond the axis"
            axes.annotate(
                note, (0.99, 1.01), xycoords="axes fraction", ha="right", va="bottom", fontsize=7
            )
        axes.set(xlabel=label, ylabel="number", xlim=(low, high))
        axes.locator_params(axis="x", nbins=6)
        if len(kept) > 1:
            axes.legend()

    return paint


def classes(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    groups: Sequence[tuple[str, NDArray[np.bool_], str, str]],
    *,
    labels: tuple[str, str],
    limits: tuple[tuple[float, float], tuple[float, float]],
    line: float | None = None,
) -> Callable[[Axes], None]:
    """Paint points by class, with the number in each class in the legend.

    Parameters
    ----------
    x, y
        (n,) positions.
    groups
        Name, (n,) membership, colour and marker of each class; later ones lie on top.
    labels, limits
        Of the two axes.
    line
        Height of a horizontal line.
    """

    def paint(axes: Axes) -> None:
        size = float(np.clip(3000 / max(len(x), 1), 2, 14))
        for name, members, colour, marker in groups:
            if members.any():
                axes.scatter(
                    x[members], y[members], s=size * (1 if marker == "o" else 2), c=colour,
                    marker=marker, linewidths=0 if marker == "o" else 0.7, alpha=0.8,
                    label=f"{name} ({np.count_nonzero(members):,})",
                )  # fmt: skip
        if line is not None:
            axes.axhline(line, color=BLACK, linewidth=0.8, linestyle=":")
        axes.set(xlabel=labels[0], ylabel=labels[1], xlim=limits[0], ylim=limits[1])
        legend = axes.legend(
            loc="upper left", bbox_to_anchor=(-0.1, -0.2), ncols=2, handletextpad=0.1,
            columnspacing=0.9, borderaxespad=0,
        )  # fmt: skip
        for handle in legend.legend_handles:
            handle.set_sizes([18])  # type: ignore[union-attr]

    return paint


def bars(counts: Mapping[str, int], *, label: str, what: str) -> Callable[[Axes], None]:
    """Paint one bar for each entry, with its number above."""
    if not sum(counts.values()):
        raise NothingToDo(f"No {what} is known.")

    def paint(axes: Axes) -> None:
        drawn = axes.bar(list(counts), list(counts.values()), color=BLUE, width=0.7)
        if len(counts) <= 15:
            axes.bar_label(drawn, fmt="{:,.0f}", fontsize=7)
        axes.set(xlabel=label, ylabel="number")
        axes.margins(y=0.12)

    return paint
