"""Figures of the stars and of the PSF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import NothingToDo
from purepipe.flags import StarFlag
from purepipe.report import plots
from purepipe.report.records import FieldStars, column

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes

MAX_WHISKERS = 350
MAX_MEAN_WHISKERS = 150

# The first that applies names the reason.
_REASONS = (
    ("not measured", StarFlag.BAD_VALUE | StarFlag.NOT_ATTEMPTED, plots.BLACK, "+"),
    ("masked", StarFlag.MASKED, plots.ORANGE, "x"),
    ("bright", StarFlag.BRIGHT, plots.BLACK, "x"),
    ("faint", StarFlag.FAINT, plots.LIGHT, "o"),
    ("blended", StarFlag.BLENDED, plots.SKY, "x"),
    ("elongated", StarFlag.SHAPE, plots.PURPLE, "x"),
    ("off the locus", StarFlag.SIZE, plots.GREEN, "o"),
)


def size_magnitude(
    tables: Sequence[Table], loci: Sequence[float], *, relative: bool
) -> Callable[[Axes], None]:
    """Paint size against magnitude; colours tell stars and the reasons of rejection.

    Parameters
    ----------
    tables
        Sources of one or several CCDs.
    loci
        FWHM of the stellar locus of each, pixels.
    relative
        Divide the sizes by that of the locus.
    """
    sizes, magnitudes, flags = [], [], []
    for table, locus in zip(tables, loci, strict=True):
        scale = locus if relative else 1.0
        sizes.append(column(table, "FWHM_IMAGE") / scale)
        magnitudes.append(column(table, "MAG_AUTO"))
        flags.append(np.asarray(table["FLAGS_STAR"], dtype=np.int64))
    size, magnitude = np.concatenate(sizes), np.concatenate(magnitudes)
    flag = np.concatenate(flags)
    shown = np.isfinite(size) & (size > 0) & np.isfinite(magnitude) & (magnitude < 90)
    if not shown.any():
        raise NothingToDo("No source has a size and a magnitude.")
    size, magnitude, flag = size[shown], magnitude[shown], flag[shown]
    middle = 1.0 if relative else loci[0]
    if not np.isfinite(middle):
        middle = float(np.median(size))
    label = "FWHM / FWHM of the locus" if relative else "FWHM (pixel)"
    return plots.classes(
        magnitude, size, star_classes(flag), labels=("MAG_AUTO (mag)", label),
        limits=(plots.span(magnitude, tail=0.2), (0.5 * middle, 2.5 * middle)), line=middle,
    )  # fmt: skip


def star_classes(
    flags: NDArray[np.int64],
) -> list[tuple[str, NDArray[np.bool_], str, str]]:
    """Name, members, colour and marker of every class of FLAGS_STAR, the stars last."""
    groups = []
    left = np.ones(len(flags), dtype=bool)
    for name, bits, colour, marker in _REASONS:
        members = left & ((flags & int(bits)) != 0)
        left &= ~members
        groups.append((name, members, colour, marker))
    reserved = left & ((flags & int(StarFlag.RESERVED)) != 0)
    return [
        *groups,
        ("star in the fit", left & ~reserved, plots.BLUE, "o"),
        ("reserved star", reserved, plots.RED, "o"),
    ]


def whiskers(
    field: FieldStars, what: str, *, key: float | None = None, limit: int = MAX_WHISKERS
) -> Callable[[Axes], None]:
    """Paint ellipticity whiskers over the focal plane.

    Parameters
    ----------
    field
        Stars on the axes of the sky.
    what
        ``"star"``, ``"psf"`` or ``"residual"`` (star minus PSF).
    key
        Ellipticity of the whisker in the key; by default that of `whisker_key`.
    limit
        More stars than this are averaged in cells.
    """
    shear = {"star": field.star, "psf": field.psf, "residual": field.star - field.psf}[what]
    u, v, shear = _binned(field.u, field.v, shear, limit)
    size = np.hypot(shear[:, 0], shear[:, 1])
    key = key or whisker_key(shear)
    corners = np.concatenate(field.outlines)
    width = float(np.ptp(corners[:, 0])) or 1.0
    low, high = corners.min(axis=0) - 0.05 * width, corners.max(axis=0) + 0.05 * width

    def paint(axes: Axes) -> None:
        angle = 0.5 * np.arctan2(shear[:, 1], shear[:, 0])
        length = 0.06 * width * size / key
        du, dv = length * np.cos(angle) / 2, length * np.sin(angle) / 2
        for outline in field.outlines:
            axes.fill(*outline.T, facecolor="#f4f4f4", edgecolor="#bbbbbb", linewidth=0.5)
        colour = plots.RED if what == "residual" else plots.BLUE
        axes.plot(
            np.stack([u - du, u + du]), np.stack([v - dv, v + dv]), color=colour, linewidth=1.0,
            solid_capstyle="round",
        )  # fmt: skip
        axes.set_aspect("equal")
        axes.set(
            xlabel="offset towards west (arcmin)", ylabel="offset towards north (arcmin)",
            xlim=(low[0], high[0]), ylim=(low[1], high[1]),
        )  # fmt: skip
        _draw_key(axes, 0.06 * width, key, colour)

    return paint


def whisker_key(shear: NDArray[np.float64]) -> float:
    """A round ellipticity near the 80th percentile of the shears (n, 2), for the key.

    Raises
    ------
    NothingToDo
        There is no shear.
    """
    size = plots.finite(np.hypot(shear[:, 0], shear[:, 1]), "ellipticity of a star")
    return _round_down(float(np.percentile(size, 80)))


def _draw_key(axes: Axes, length: float, key: float, colour: str) -> None:
    """The whisker of the ellipticity `key`, above the axes."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import blended_transform_factory

    place = blended_transform_factory(axes.transData, axes.transAxes)
    left = axes.get_xlim()[0]
    axes.add_line(
        Line2D([left, left + length], [1.05, 1.05], transform=place, color=colour, clip_on=False)
    )
    axes.text(left + 1.4 * length, 1.05, f"|g| = {key:g}", transform=place, va="center", fontsize=8)


def _binned(
    u: NDArray[np.float64], v: NDArray[np.float64], shear: NDArray[np.float64], limit: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The stars themselves, or their means in square cells where they are too many to draw."""
    if len(u) <= limit:
        return u, v, shear
    side = np.sqrt(np.ptp(u) * np.ptp(v) / limit) or 1.0
    column_index = ((u - u.min()) / side).astype(np.int64)
    row_index = ((v - v.min()) / side).astype(np.int64)
    _, cell = np.unique(row_index * (column_index.max() + 1) + column_index, return_inverse=True)
    count = np.bincount(cell)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(cell, weights=values) / count)

    return mean(u), mean(v), np.stack([mean(shear[:, 0]), mean(shear[:, 1])], axis=-1)


def _round_down(value: float) -> float:
    """1, 2 or 5 times a power of ten, not above the value."""
    if not value > 0:
        return 0.01
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(step for step in (1, 2, 5) if step * power <= value * (1 + 1e-9)))


def residual_sample(field: FieldStars) -> tuple[FieldStars, str]:
    """The reserved stars of a field, or all stars where none is reserved; and what they are.

    Raises
    ------
    NothingToDo
        There are no stars.
    """
    rows = field.reserved if field.reserved.any() else np.ones(len(field.u), dtype=bool)
    if not rows.any():
        raise NothingToDo("No star has good moments.")
    kind = "reserved stars" if field.reserved.any() else "stars of the fit (none is reserved)"
    sample = FieldStars(
        field.u[rows], field.v[rows], field.star[rows], field.psf[rows], field.dsize[rows],
        field.ra[rows], field.dec[rows], field.reserved[rows], field.outlines,
    )  # fmt: skip
    return sample, kind


def rho(table: Table) -> Callable[[Axes], None]:
    """Paint the rho statistics over separation; hollow where they are negative.

    Raises
    ------
    NothingToDo
        No bin has pairs.
    """
    theta = np.asarray(table["THETA"])
    filled = np.asarray(table["NPAIRS"]) > 0
    if not filled.any():
        raise NothingToDo("No pair of stars is within the range of the separations.")
    colours = (plots.BLUE, plots.RED, plots.GREEN, plots.ORANGE, plots.PURPLE)

    def paint(axes: Axes) -> None:
        for k, colour in enumerate(colours):
            values = np.asarray(table[f"RHO{k + 1}"])[filled]
            errors = np.asarray(table[f"RHO{k + 1}_ERR"])[filled]
            x = theta[filled] * (1 + 0.03 * (k - 2))  # side by side
            axes.errorbar(
                x, np.abs(values), errors, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.5
            )
            for rows, face in ((values >= 0, colour), (values < 0, "white")):
                axes.plot(x[rows], np.abs(values[rows]), "o", color=colour, mfc=face, ms=4)
            axes.plot([], [], "o", color=colour, ms=4, label=f"ρ{k + 1}")
        axes.set_xscale("log")
        axes.set_yscale("log", nonpositive="clip")
        axes.set(xlabel="separation (arcmin)", ylabel="|ρ|")
        axes.legend(ncol=5, fontsize=7, handletextpad=0.1, columnspacing=0.8, loc="upper right")

    return paint
