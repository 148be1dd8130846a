"""Figures of the sky: where the survey has looked, and what was lost there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import NothingToDo
from purepipe.report import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_CELLS = 120  # along the longer side of a map
_FEWEST = 4  # objects of a cell, in the mean
_NARROWEST = 0.4  # of the axes of a map, in units of the longer side
_STEEPEST = 0.1  # cosine of the declination below which a map of the sky is stretched no more


@dataclass(frozen=True)
class Outline:
    """The corners (4, 2) of a CCD or tile on the sky, degrees, and whether it was processed."""

    name: str
    corners: NDArray[np.float64]
    done: bool


def unwrapped(ra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right ascensions (degrees) without a jump at 360, within 180 of their mean direction."""
    turns = np.exp(1j * np.radians(ra))
    middle = np.degrees(np.angle(turns.mean())) % 360
    return np.asarray(middle + (ra - middle + 180) % 360 - 180)


def footprint(ccds: Sequence[Outline], tiles: Sequence[Outline]) -> Callable[[Axes], None]:
    """Paint the CCDs, the darker the more of them lie on each other, and the tiles.

    Raises
    ------
    NothingToDo
        No CCD and no tile has a position.
    """
    shown = [*ccds, *tiles]
    if not shown:
        raise NothingToDo("No CCD and no tile has world coordinates that can be read.")
    corners = np.stack([outline.corners for outline in shown])
    corners[..., 0] = unwrapped(corners[..., 0])
    good, lost = _by_fate(ccds, corners)
    tiles_good, tiles_lost = _by_fate(tiles, corners[len(ccds) :])

    def paint(axes: Axes) -> None:
        from matplotlib.collections import PolyCollection

        looks = (
            (good, "CCDs", plots.BLUE, max(0.04, min(0.35, 6 / max(len(good), 1))), "none", 0.0),
            (lost, "CCDs not done", plots.RED, 0.0, plots.RED, 0.8),
            (tiles_good, "tiles", plots.BLACK, 0.0, plots.BLACK, 0.9),
            (tiles_lost, "tiles not done", plots.ORANGE, 0.0, plots.ORANGE, 1.6),
        )
        for members, name, colour, alpha, edge, width in looks:
            if len(members):
                face = (*_rgb(colour), alpha)
                axes.add_collection(
                    PolyCollection(list(members), facecolors=[face], edgecolors=edge,
                                   linewidths=width)
                )  # fmt: skip
                shade = colour if alpha else "none"
                axes.plot([], [], "s", mfc=shade, mec=colour, label=f"{name} ({len(members):,})")
        sky_axes(axes, corners.reshape(-1, 2))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=2, borderaxespad=0)

    return paint


def _by_fate(
    outlines: Sequence[Outline], corners: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The corners of those that are done, and of the others."""
    done = np.array([outline.done for outline in outlines], dtype=bool)
    own = corners[: len(outlines)]
    return own[done], own[~done]


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def sky_axes(axes: Axes, positions: NDArray[np.float64]) -> None:
    """East to the left, and a degree as long along both axes, about positions (n, 2)."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    stretch = max(float(np.cos(np.radians((low[1] + high[1]) / 2))), _STEEPEST)
    width = (high - low) * (stretch, 1)
    # A strip of the sky gets air about it, so that its axes have room for their numbers.
    margin = (0.03 * width + np.maximum(_NARROWEST * width.max() - width, 0) / 2 + 1e-4) / (
        stretch, 1,
    )  # fmt: skip
    axes.set(
        xlim=(high[0] + margin[0], low[0] - margin[0]),
        ylim=(low[1] - margin[1], high[1] + margin[1]),
        xlabel="right ascension (deg)", ylabel="declination (deg)",
    )  # fmt: skip
    axes.set_aspect(1 / stretch)
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(nbins=5)


def sky_map(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    label: str,
    limits: tuple[float, float] | None = None,
) -> Callable[[Axes], None]:
    """Paint the mean of a quantity over the objects in cells of the sky.

    Parameters
    ----------
    ra, dec, values
        (n,) positions in degrees; objects without a finite one or value are left out.
    label
        Of the colours.
    limits
        Of the colours; by default from the least to the largest mean.

    Raises
    ------
    NothingToDo
        No object is left.
    """  # fmt: skip
    good = np.isfinite(ra) & np.isfinite(dec) & np.isfinite(values)
    plots.finite(values[good], label)
    x, y, v = unwrapped(ra[good]), dec[good], values[good]
    edges = _cells(x, y)
    number, *_ = np.histogram2d(x, y, bins=edges)
    total, *_ = np.histogram2d(x, y, bins=edges, weights=v)
    with np.errstate(invalid="ignore"):
        mean = np.where(number > 0, total / number, np.nan)

    def paint(axes: Axes) -> None:
        low, high = limits or (float(np.nanmin(mean)), float(np.nanmax(mean)))
        # The pale end of the map cannot be seen on white.
        drawn = axes.pcolormesh(*edges, mean.T, cmap="viridis_r", vmin=low, vmax=high)
        sky_axes(axes, np.stack([x, y], axis=-1))
        axes.set_facecolor("#eeeeee")
        axes.figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.8, aspect=40, label=label)

    return paint


def _cells(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges of square cells that hold a few objects each."""
    stretch = max(float(np.cos(np.radians(y.mean()))), _STEEPEST)
    width, height = float(np.ptp(x)) * stretch or 1e-3, float(np.ptp(y)) or 1e-3
    side = max((width * height * _FEWEST / len(x)) ** 0.5, max(width, height) / _MAX_CELLS)
    columns, rows = max(1, int(np.ceil(width / side))), max(1, int(np.ceil(height / side)))
    return (
        x.min() + np.arange(columns + 1) * side / stretch,
        y.min() + np.arange(rows + 1) * side,
    )


def focal_plane(
    outlines: Sequence[NDArray[np.float64]], values: Sequence[float], *, label: str
) -> Callable[[Axes], None]:
    """Paint a number for each CCD position of the camera.

    Parameters
    ----------
    outlines
        Corners (4, 2) of each CCD relative to the pointing, towards west and north, arcmin.
    values
        The number of each.
    label
        Of the colours.

    Raises
    ------
    NothingToDo
        There is no CCD.
    """
    if not outlines:
        raise NothingToDo("No CCD has a position in the focal plane.")
    corners = np.stack(list(outlines))

    def paint(axes: Axes) -> None:
        from matplotlib.collections import PolyCollection

        drawn = axes.add_collection(
            PolyCollection(list(corners), array=np.asarray(values), cmap="viridis_r",
                           edgecolors="white", linewidths=0.6)
        )  # fmt: skip
        drawn.set_clim(0, max(*values, 1e-3))
        axes.autoscale_view()
        axes.set_aspect("equal")
        axes.set(xlabel="offset towards west (arcmin)", ylabel="offset towards north (arcmin)")
        axes.figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.8, aspect=40, label=label)

    return paint


def by_exposure(
    names: Sequence[str], samples: Sequence[Sequence[float]], *, label: str, limit: float = 0.0
) -> Callable[[Axes], None]:
    """Paint the median over the CCDs of each exposure, with the range, in order of the numbers.

    Parameters
    ----------
    names
        Of the exposures.
    samples
        The numbers of the CCDs of each; those that are not finite are left out.
    label
        Of the ordinate.
    limit
        Height of a line above which values are suspect; none when zero.

    Raises
    ------
    NothingToDo
        No exposure has a number.
    """
    kept = [
        (name, np.sort(finite))
        for name, sample in zip(names, samples, strict=True)
        if (finite := [value for value in sample if np.isfinite(value)])
    ]
    if not kept:
        raise NothingToDo("No exposure has a PSF that was judged.")
    middle = np.array([np.median(sample) for _, sample in kept])
    low, high = (np.array([sample[end] for _, sample in kept]) for end in (0, -1))

    def paint(axes: Axes) -> None:
        places = np.arange(len(kept))
        axes.vlines(places, low, high, color=plots.SKY, linewidth=min(4.0, 150 / len(kept)))
        axes.plot(places, middle, "o", color=plots.BLUE, markersize=min(4.5, 250 / len(kept) + 1))
        if limit:
            axes.axhline(limit, color=plots.RED, linewidth=0.8, linestyle=":")
        step = -(-len(kept) // 6)
        axes.set_xticks(
            places[::step], [name for name, _ in kept][::step], rotation=25, ha="right", fontsize=7
        )
        axes.set(ylabel=label)
        if limit:
            axes.set_ylim(bottom=0)

    return paint
