"""The mean shear of a final catalogue, and its comparison with a known truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.config.survey import ShearConfig
from purepipe.shapes import ShearEstimate, bias, calibrate

if TYPE_CHECKING:
    from astropy.table import Table

Pair = tuple[float, float]
_PATCHES = 6  # of a tile, along each axis, for the jackknife


@dataclass(frozen=True)
class ShearRow:
    """Recovered shear of one tile beside the true one; errors are 1 sigma."""

    tile: str
    objects: int
    true: Pair
    recovered: Pair
    error: Pair


@dataclass(frozen=True)
class ShearComparison:
    """All tiles, and the bias of the recovered shear: g = (1 + m) g_true + c, per component.

    Attributes
    ----------
    selection
        The cut, in words.
    m, m_error, c, c_error
        Per component; NaN where the true shears of the tiles do not differ.
    """

    rows: tuple[ShearRow, ...]
    selection: str
    m: Pair
    m_error: Pair
    c: Pair
    c_error: Pair


def mean_shear(table: Table, config: ShearConfig, *, seed: int = 0) -> ShearEstimate:
    """Calibrated mean shear of the objects of a final catalogue that pass the configured cuts.

    Objects that touch a masked pixel are left out first, which does not depend on the shear; the
    cuts on signal-to-noise ratio and size act on every metacalibration type alike.

    Raises
    ------
    NothingToDo
        No object passes.
    """
    return calibrate(_selected(table, config), cut=selection(config), seed=seed)


def selection(config: ShearConfig) -> str:
    """The cut of `config` as an expression of per-type quantities."""
    limits = [f"s2n > {config.min_s2n}", f"T/Tpsf > {config.min_size_ratio}"]
    if config.max_s2n is not None:
        limits.insert(1, f"s2n < {config.max_s2n}")
    return " and ".join(limits)


def compare_shear(
    table: Table,
    truth: Mapping[str, Pair],
    config: ShearConfig,
    *,
    weights: str | None = None,
    seed: int = 0,
) -> ShearComparison:
    """The mean shear of every tile beside its true shear, and the bias over all tiles.

    Parameters
    ----------
    table
        Merged final catalogue.
    truth
        Tile number -> true shear (g1, g2); first axis west, second axis north.
    config
        The cuts.
    weights
        As for `calibrate`.
    seed
        Seed of the jackknife groups.

    Raises
    ------
    NothingToDo
        No object of a tile passes the cuts.
    """
    tiles = np.asarray(table["TILE_ID"]).astype(str)
    names = [tile for tile in sorted(truth) if np.any(tiles == tile)]
    parts = [_selected(table[tiles == tile], config) for tile in names]
    estimates = [
        calibrate(
            part, cut=selection(config), weights=weights,
            groups=_patches(part, "X_IMAGE", "Y_IMAGE"), seed=seed,
        )
        for part in parts
    ]  # fmt: skip
    words = selection(config) + (" and no masked pixel" if config.unmasked else "")
    return _comparison(names, estimates, truth, words)


def compare_metadetections(
    table: Table, truth: Mapping[str, Pair], *, cut: str | None = None, seed: int = 0
) -> ShearComparison:
    """The mean shear of every tile by metadetection beside its true shear, and the bias.

    Parameters
    ----------
    table
        Merged metadetections.
    truth
        Tile number -> true shear (g1, g2); first axis west, second axis north.
    cut
        As for `calibrate_detections`, on top of the weights.
    seed
        Seed of the jackknife groups.

    Raises
    ------
    NothingToDo
        A type has no detection with a weight in a tile.
    """
    tiles = np.asarray(table["TILE_ID"]).astype(str)
    names = [tile for tile in sorted(truth) if np.any(tiles == tile)]
    primary = np.asarray(table["PRIMARY"]) == 1
    parts = [table[(tiles == tile) & primary] for tile in names]
    estimates = [
        calibrate(part, cut=cut, groups=_patches(part, "MDET_X", "MDET_Y"), seed=seed)
        for part in parts
    ]
    words = "weights of metadetection" + (f" and {cut}" if cut else "")
    return _comparison(names, estimates, truth, words)


def _comparison(
    names: Sequence[str],
    estimates: Sequence[ShearEstimate],
    truth: Mapping[str, Pair],
    words: str,
) -> ShearComparison:
    rows = tuple(
        ShearRow(
            tile, estimate.number, truth[tile], _pair(estimate.g), _pair(estimate.errors)
        )
        for tile, estimate in zip(names, estimates, strict=True)
    )  # fmt: skip
    unknown = (float("nan"), float("nan"))
    m, m_error, c, c_error = unknown, unknown, unknown, unknown
    gamma = np.array([truth[tile] for tile in names]).reshape(-1, 2)
    if len(names) > 1 and (np.ptp(gamma, axis=0) > 0).all():
        m, m_error, c, c_error = _joint_bias(estimates, gamma)
    return ShearComparison(rows, words, m, m_error, c, c_error)


def comparison_lines(comparison: ShearComparison) -> list[str]:
    """The comparison as lines of at most 80 characters."""
    lines = [
        "shear, errors are 1 sigma",
        f"  {'tile':<9}{'objects':>8}{'':4}{'true':>8}{'recovered':>12}{'error':>9}{'sigma':>7}",
    ]
    for row in comparison.rows:
        for i, (true, found, error) in enumerate(
            zip(row.true, row.recovered, row.error, strict=True)
        ):
            head = f"{row.tile:<9}{row.objects:>8,}" if i == 0 else " " * 17
            lines.append(
                f"  {head}  g{i + 1}{true:>+8.4f}{found:>+12.4f}{error:>9.4f}"
                f"{(found - true) / error:>+7.1f}"
            )
    lines += ["", "bias: recovered = (1 + m) true + c"]
    for i in range(2):
        m, c = comparison.m[i], comparison.c[i]
        lines.append(
            f"  g{i + 1}: m = {m:+.4f} +- {comparison.m_error[i]:.4f}"
            f"   c = {c:+.5f} +- {comparison.c_error[i]:.5f}"
        )
    return [*lines, f"selection: {comparison.selection}"]


def _selected(table: Table, config: ShearConfig) -> Table:
    use = np.ones(len(table), dtype=np.bool_)
    if "PRIMARY" in table.colnames:  # in overlaps of tiles every object counts once
        use &= np.asarray(table["PRIMARY"]) == 1
    if config.unmasked:
        use &= np.asarray(table["IMAFLAGS_ISO"]) == 0
    return table[use]


def _patches(table: Table, *names: str) -> NDArray[np.int64]:
    """The patch of its tile in which each row lies, on a grid from edge to edge.

    `names` are the columns of the position.
    """
    axes = []
    for name in names:
        position = np.asarray(table[name], dtype=np.float64)
        edge = position.max(initial=1.0) + 1.0
        axes.append(np.clip(position / edge * _PATCHES, 0, _PATCHES - 1).astype(np.int64))
    return np.asarray(axes[1] * _PATCHES + axes[0])


def _joint_bias(
    estimates: Sequence[ShearEstimate], gamma: NDArray[np.float64]
) -> tuple[Pair, Pair, Pair, Pair]:
    """Bias with errors from leaving out the same patch of all tiles at a time.

    Tiles that show the same sky under different shears share its shape noise, which then cancels
    in m. Tiles with different numbers of patches are taken as independent.
    """
    counts = {len(estimate.replicas) for estimate in estimates}
    if len(counts) > 1:
        fitted = bias(estimates, gamma)
        return _pair(fitted.m), _pair(fitted.m_err), _pair(fitted.c), _pair(fitted.c_err)
    shears = np.stack([np.vstack([e.g[None], e.replicas]) for e in estimates])
    slopes, offsets = np.empty(shears.shape[1:]), np.empty(shears.shape[1:])
    for i in range(2):
        slopes[:, i], offsets[:, i] = np.polyfit(gamma[:, i], shears[:, :, i], 1)
    k = len(slopes) - 1
    errors = [
        np.sqrt((k - 1) * np.mean((values[1:] - values[1:].mean(axis=0)) ** 2, axis=0))
        for values in (slopes, offsets)
    ]
    return _pair(slopes[0] - 1.0), _pair(errors[0]), _pair(offsets[0]), _pair(errors[1])


def _pair(values: NDArray[np.float64]) -> Pair:
    return float(values[0]), float(values[1])
