"""Units of work and what they carry: everything a worker needs, nothing it has to look up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from purepipe.config import MetadetectConfig, SurveyConfig
from purepipe.pipeline.cost import DEFAULT_COSTS, CostModel


@dataclass(frozen=True)
class CCDTask:
    """Mask, detection, stars and PSF of one CCD of one exposure.

    Attributes
    ----------
    exposure, ccd
        Exposure number and 0-based CCD number.
    hdu, weight_hdu, flag_hdu
        HDU number in each of the three files.
    image, weight, flag
        Files; `flag` may be None.
    stars
        Star catalogue of the survey, or None.
    """

    exposure: str
    ccd: int
    hdu: int
    weight_hdu: int
    flag_hdu: int | None
    image: Path
    weight: Path
    flag: Path | None
    stars: Path | None

    @property
    def folder(self) -> str:
        """Where the products go, relative to the store."""
        return f"ccd/{self.exposure}-{self.ccd}"


@dataclass(frozen=True)
class TileTask:
    """Mask, detection and epochs of one tile."""

    tile: str
    image: Path
    weight: Path
    flag: Path | None
    stars: Path | None
    ccds: tuple[CCDReference, ...]
    missing: tuple[str, ...]
    shape: tuple[int, int] = (0, 0)
    incomplete: tuple[str, ...] = ()  # exposures of which some CCDs cannot be used

    @property
    def folder(self) -> str:
        """Where the products go, relative to the store."""
        return f"tile/{self.tile}"


@dataclass(frozen=True)
class CCDReference:
    """What a tile must know of a CCD: its files' task and its header."""

    task: CCDTask
    cards: str
    shape: tuple[int, int]


@dataclass(frozen=True)
class ShapesTask:
    """PSF at objects, spread model and shapes of one block of a tile's objects."""

    tile: TileTask
    block: int
    start: int
    stop: int

    @property
    def product(self) -> str:
        """The table of the block, relative to the store."""
        return f"shapes/{self.tile.tile}/{self.block:05d}.fits"


@dataclass(frozen=True)
class CellsTask:
    """Metadetection of one row of a tile's cells."""

    tile: TileTask
    row: int

    @property
    def product(self) -> str:
        """The detections of the row, relative to the store."""
        return f"metadetect/{self.tile.tile}/{self.row:04d}.fits"


@dataclass(frozen=True)
class CatalogueTask:
    """The final catalogue of one tile, and its metadetections."""

    tile: TileTask
    blocks: tuple[ShapesTask, ...]
    cells: tuple[CellsTask, ...] = ()

    @property
    def detections(self) -> str:
        """The metadetections of the tile, relative to the store."""
        return f"metadetect/metadetect_cat-{self.tile.tile}.fits"

    @property
    def product(self) -> str:
        """The catalogue of the tile, relative to the store."""
        return f"catalogue/final_cat-{self.tile.tile}.fits"


Task = CCDTask | TileTask | ShapesTask | CellsTask | CatalogueTask


@dataclass(frozen=True)
class Unit:
    """A task with its name and the units that must have ended before it starts.

    A unit starts whatever the fate of those it waits for: a failed CCD leaves a flag at its
    objects, not a hole in the catalogue. `cost` is a guess of its CPU seconds.
    """

    name: str
    kind: str
    task: Task
    needs: tuple[str, ...] = ()
    cost: float = 1.0


@dataclass(frozen=True)
class WorkContext:
    """What is the same for all units of a run.

    Attributes
    ----------
    provenance
        Header cards of the tables: version, seed, configuration.
    """

    root: Path
    config: SurveyConfig
    provenance: Mapping[str, str | int] = field(default_factory=dict)


def ccd_unit(task: CCDTask, shape: tuple[int, int], costs: CostModel = DEFAULT_COSTS) -> Unit:
    """The unit of a CCD of (ny, nx) pixels."""
    return Unit(
        f"ccd {task.exposure}-{task.ccd}", "ccd", task, cost=costs.seconds("ccd", pixels(shape))
    )


def tile_unit(task: TileTask, costs: CostModel = DEFAULT_COSTS) -> Unit:
    """The unit of a tile's detection; the longest of all, so it starts first."""
    return Unit(f"tile {task.tile}", "tile", task, cost=costs.seconds("tile", pixels(task.shape)))


def object_units(
    task: TileTask, objects: int, config: SurveyConfig, costs: CostModel = DEFAULT_COSTS
) -> list[Unit]:
    """The units of a tile's shape measurement, metadetection and catalogue."""
    size = config.block_size
    before = (f"tile {task.tile}", *_ccd_names(task))
    blocks = tuple(
        ShapesTask(task, number, start, min(start + size, objects))
        for number, start in enumerate(range(0, objects, size))
    )
    units = [
        Unit(
            f"shapes {task.tile} {block.block:05d}",
            "shapes",
            block,
            needs=before,
            cost=costs.seconds("shapes", block.stop - block.start),
        )
        for block in blocks
    ]
    rows = cell_units(task, config.tile.metadetect, costs)
    catalogue = Unit(
        f"catalogue {task.tile}",
        "catalogue",
        CatalogueTask(task, blocks, tuple(row.task for row in rows)),  # type: ignore[misc]
        needs=(f"tile {task.tile}", *(unit.name for unit in (*units, *rows))),
        cost=costs.seconds("catalogue", objects),
    )
    return [*units, *rows, catalogue]


def cell_units(
    task: TileTask, config: MetadetectConfig, costs: CostModel = DEFAULT_COSTS
) -> list[Unit]:
    """The units of a tile's metadetection, one for each row of cells; none when it is off."""
    if not config.enabled:
        return []
    own = config.side - 2 * config.margin
    rows, columns = (math.ceil(n / own) for n in task.shape)
    return [
        Unit(
            f"cells {task.tile} {row:04d}",
            "cells",
            CellsTask(task, row),
            needs=_ccd_names(task),
            cost=costs.seconds("cells", columns),
        )
        for row in range(rows)
    ]


def _ccd_names(task: TileTask) -> tuple[str, ...]:
    return tuple(f"ccd {ref.task.exposure}-{ref.task.ccd}" for ref in task.ccds)


def pixels(shape: tuple[int, int]) -> float:
    """Megapixels of an image."""
    return shape[0] * shape[1] / 1e6
