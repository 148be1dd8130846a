"""What units cost: seconds, memory and disk, from measured units; for plans and for the order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from purepipe.pipeline.store import Outcome

_MIN_UNITS = 3  # of a kind, to believe its measured cost
# By which step the size of a unit is told: its count goes in, divided by the number.
_SIZES = {
    "ccd": ("mask", 1e6), "tile": ("mask", 1e6), "shapes": ("shapes", 1.0),
    "cells": ("metadetect", 1.0), "catalogue": ("catalogue", 1.0),
}  # fmt: skip


@dataclass(frozen=True)
class KindCost:
    """Cost of one kind of unit.

    Attributes
    ----------
    seconds, megabytes
        CPU time and products on disk, per megapixel (CCD, tile), per object (shapes,
        catalogue) or per cell.
    peak_mb
        Memory of a worker, megabytes.
    files
        Products of one unit.
    units
        Units that the numbers were fitted to; 0 for shipped ones.
    """

    seconds: float
    megabytes: float
    peak_mb: float
    files: int
    units: int = 0


@dataclass(frozen=True)
class CostModel:
    """Costs of every kind of unit, and the objects that a tile is expected to hold.

    Attributes
    ----------
    kinds
        By kind: ccd, tile, shapes, cells, catalogue.
    density
        Objects per megapixel of a tile.
    """

    kinds: Mapping[str, KindCost]
    density: float

    def seconds(self, kind: str, size: float) -> float:
        """CPU seconds of a unit of `size` megapixels or objects."""
        return self.kinds[kind].seconds * size if kind in self.kinds else 0.0


# Measured with benchmarks/bench_run.py on the survey of the demo (CCDs of 1, tiles of 4 megapixels,
# 4 epochs), one core of a shared server.
DEFAULT_COSTS = CostModel(
    {
        "ccd": KindCost(seconds=0.26, megabytes=0.19, peak_mb=500, files=5),
        "tile": KindCost(seconds=0.16, megabytes=3.1, peak_mb=500, files=2),
        "shapes": KindCost(seconds=0.0022, megabytes=0.0009, peak_mb=500, files=1),
        "cells": KindCost(seconds=0.25, megabytes=0.06, peak_mb=500, files=1),
        "catalogue": KindCost(seconds=0.00026, megabytes=0.0011, peak_mb=500, files=1),
    },
    density=290.0,
)


def unit_size(outcome: Outcome) -> float:
    """Megapixels or objects of a unit that has ended; 0 when it did not come that far."""
    if outcome.kind not in _SIZES:
        return 0.0
    name, divisor = _SIZES[outcome.kind]
    return next((step.n_in / divisor for step in outcome.steps if step.step == name), 0.0)


def fit_costs(outcomes: Iterable[Outcome], base: CostModel = DEFAULT_COSTS) -> CostModel:
    """The costs that the units of a run had; kinds with too few of them keep those of `base`."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.done and unit_size(outcome) > 0:
            groups.setdefault(outcome.kind, []).append(outcome)
    kinds = dict(base.kinds)
    for kind, group in groups.items():
        if len(group) < _MIN_UNITS:
            continue
        size = sum(unit_size(outcome) for outcome in group)
        disk = sum(sum(outcome.products.values()) for outcome in group) / 1e6
        kinds[kind] = KindCost(
            seconds=sum(outcome.seconds for outcome in group) / size,
            megabytes=disk / size,
            peak_mb=max(outcome.peak_mb for outcome in group),
            files=round(sum(len(outcome.products) for outcome in group) / len(group)),
            units=len(group),
        )
    tiles = groups.get("tile", [])
    density = base.density
    if len(tiles) >= _MIN_UNITS:
        density = sum(_objects(tile) for tile in tiles) / sum(unit_size(tile) for tile in tiles)
    return replace(base, kinds=kinds, density=density)


def _objects(tile: Outcome) -> int:
    return next((step.n_out for step in tile.steps if step.step == "detect"), 0)
