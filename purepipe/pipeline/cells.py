"""Metadetection of one row of a tile's cells, and the detections of all its rows joined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.exposure import inverse_variance
from purepipe.flags import MetadetectFlag
from purepipe.io.background import read_background
from purepipe.io.images import FitsFile, open_fits, read_header, section_of
from purepipe.io.psf_file import read_psf
from purepipe.io.tables import read_table, write_tables
from purepipe.pipeline.objects import tile_ccds
from purepipe.pipeline.units import CatalogueTask, CellsTask, TileTask, WorkContext
from purepipe.psf import psf_at
from purepipe.shapes.cell_epochs import CellArea, CellEpoch, gather_cell, tile_cells
from purepipe.shapes.detections import (
    CellDetections,
    cells_table,
    detections_table,
    lost_cell,
    measure_cell,
)
from purepipe.survey import CCD, area_meta, tile_area
from purepipe.survey.headers import unit_vectors
from purepipe.wcs import ARCSEC, WCS

if TYPE_CHECKING:
    from astropy.table import Table

_RIM = 8  # pixels around a cell that its interpolation reaches
_STRIPE = 64  # rows of a CCD that are read together
_BANDS = 48  # pieces of CCDs in memory, of 3 MB each on large ones

ReadEpochs = Callable[[CellArea, WCS], list[CellEpoch]]


def measure_cells(task: CellsTask, context: WorkContext) -> list[CellDetections]:
    """The detections of one row of a tile's cells."""
    config = context.config.tile.metadetect
    wcs = WCS.from_header(read_header(task.tile.image, None))
    found = []
    ccds = _exposed_ccds(task.tile, context)
    known = not (task.tile.missing or task.tile.incomplete)
    with epoch_reader(task.tile, ccds, context) as read:
        for area in row_of_cells(task, context):
            jacobian = wcs.jacobian(*area.centre)
            cell = gather_cell(area, read(area, wcs), jacobian, max_masked=config.max_masked)
            key = f"{task.tile.tile} {area.number}"
            measured = measure_cell(cell, area, wcs, config, seed=context.config.seed, key=key)
            # Where an epoch was found an exposure has looked.
            empty = measured.summary["MDET_FLAGS"] == int(MetadetectFlag.NO_EPOCH)
            beyond = known and empty and not _reached(ccds, area, wcs)
            found.append(_beyond(measured) if beyond else measured)
    return found


def _beyond(cell: CellDetections) -> CellDetections:
    """A cell that no exposure reaches, marked as such."""
    flags = cell.summary["MDET_FLAGS"] | int(MetadetectFlag.BEYOND)
    return CellDetections(cell.detections, {**cell.summary, "MDET_FLAGS": flags})


def count_beyond(flags: ArrayLike) -> int:
    """Number of cells, by their MDET_FLAGS, that no exposure reaches: nothing is lost there."""
    return int(np.count_nonzero(np.asarray(flags) & int(MetadetectFlag.BEYOND)))


def row_of_cells(task: CellsTask, context: WorkContext) -> list[CellArea]:
    """The cells of a unit."""
    config = context.config.tile.metadetect
    return tile_cells(task.tile.shape, config.side, config.margin)[task.row]


def write_cells(
    path: Path, cells: list[CellDetections], tile: TileTask, context: WorkContext
) -> None:
    """Write the detections of some cells, and the table of the cells."""
    step = context.config.tile.metadetect.step
    tables = {
        "RESULTS": detections_table(cells, tile=tile.tile, step=step),
        "CELLS": cells_table(cells, tile=tile.tile),
    }
    _write(path, tables, context)


def join_cells(
    task: CatalogueTask, context: WorkContext, product: Callable[[str], Path]
) -> tuple[Table, Table]:
    """Write and give the detections of a tile and its cells; those of failed units are blank."""
    from astropy.table import vstack

    tile = task.tile
    wcs = WCS.from_header(read_header(tile.image, None))
    detections, cells = [], []
    for row in task.cells:
        path = context.root / row.product
        if path.is_file():
            detections.append(read_table(path))
            cells.append(read_table(path, "CELLS"))
            continue
        lost = [lost_cell(area, wcs) for area in row_of_cells(row, context)]
        cells.append(cells_table(lost, tile=tile.tile))
        step = context.config.tile.metadetect.step
        detections.append(detections_table(lost, tile=tile.tile, step=step))
    joined, summary = (vstack(part, metadata_conflicts="silent") for part in (detections, cells))
    joined.meta.update(area_meta(tile_area(tile.tile, wcs)))
    joined.meta["TILE"] = tile.tile
    _write(product(task.detections), {"RESULTS": joined, "CELLS": summary}, context)
    return joined, summary


def _write(path: Path, tables: dict[str, Table], context: WorkContext) -> None:
    for table in tables.values():
        table.meta.update(context.provenance)
    write_tables(path, tables)


@contextmanager
def epoch_reader(task: TileTask, ccds: list[CCD], context: WorkContext) -> Iterator[ReadEpochs]:
    """A function that reads what the exposures show of a cell.

    CCDs whose units failed, or whose PSF models are not good enough, are left out. Every file is
    opened once, and closed at the end of the unit.
    """
    inputs, psf_config = context.config.inputs, context.config.tile.psf
    size = context.config.tile.shapes.stamp_size
    with ExitStack() as stack:
        held: dict[Path, FitsFile] = {}

        @cache
        def model(folder: Path) -> Any:
            return read_psf(folder / "psf.psf")

        @cache
        def background(folder: Path) -> Any:
            return read_background(folder / "background.fits")

        @lru_cache(maxsize=_BANDS)
        def band(path: Path, hdu: int | None, y0: int, y1: int, nx: int) -> NDArray[Any]:
            if path not in held:
                held[path] = stack.enter_context(open_fits(path))
            return section_of(held[path], hdu, y0, y1, 0, nx)

        def part(
            path: Path, hdu: int | None, window: tuple[int, int, int, int], shape: tuple[int, int]
        ) -> NDArray[Any]:
            # Neighbouring cells want nearly the same rows, and compressed rows come as a whole.
            y0, y1, x0, x1 = window
            low, high = y0 // _STRIPE * _STRIPE, min(-(-y1 // _STRIPE) * _STRIPE, shape[0])
            return band(path, hdu, low, high, shape[1])[y0 - low : y1 - low, x0:x1]

        def read_one(index: int, x: NDArray[Any], y: NDArray[Any]) -> CellEpoch | None:
            ccd, unit = ccds[index], task.ccds[index].task
            folder = context.root / unit.folder
            window = _window(ccd, x, y)
            if window is None or not (folder / "psf.psf").is_file():
                return None
            y0, y1, x0, x1 = window
            place = (np.clip(x[-1], 0, ccd.shape[1] - 1), np.clip(y[-1], 0, ccd.shape[0] - 1))
            psf = psf_at(
                model(folder), *place, psf_config, shape=(size, size), moments=False
            )  # fmt: skip
            if not psf.usable[0]:
                return None
            pixels = part(unit.image, unit.hdu, window, ccd.shape)
            weight = part(unit.weight, unit.weight_hdu, window, ccd.shape)
            bad = inverse_variance(weight, inputs.weight_kind) == 0
            bad |= part(folder / "mask.fits", None, window, ccd.shape) != 0
            bad |= _unexposed(ccd.area, window)
            level = background(folder).rows(y0, y1)[:, x0:x1]
            image = (pixels.astype(np.float32) - level) * np.float32(ccd.flux_scale)
            return CellEpoch(
                image.astype(np.float32), bad | ~np.isfinite(image), psf.images[0],
                ccd.wcs.jacobian(*place), x[:-1] - x0, y[:-1] - y0, ccd.name,
            )  # fmt: skip

        def read(area: CellArea, wcs: WCS) -> list[CellEpoch]:
            places = _places(ccds, area, wcs, *area.nodes())
            found = [read_one(index, *place) for index, place in places]
            return [epoch for epoch in found if epoch is not None]

        yield read


def _exposed_ccds(task: TileTask, context: WorkContext) -> list[CCD]:
    """All CCDs of a tile's exposures, without their unexposed rims."""
    area = context.config.tile.epochs.ccd_size
    return [ccd.exposed(area) for ccd in tile_ccds(task)]


def _places(
    ccds: list[CCD], area: CellArea, wcs: WCS, x: NDArray[np.float64], y: NDArray[np.float64]
) -> Iterator[tuple[int, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    """The CCDs near a cell, with the positions there of x, y and, last, of the cell's centre."""
    ra, dec = wcs.pixel_to_sky(np.append(x, area.centre[0]), np.append(y, area.centre[1]))
    reach = math.radians(area.side * wcs.pixel_scale / ARCSEC)
    for index in _near(ccds, float(ra[-1]), float(dec[-1]), reach):
        yield index, ccds[index].wcs.sky_to_pixel(ra, dec)


def _reached(ccds: list[CCD], area: CellArea, wcs: WCS) -> bool:
    """Whether exposed pixels of any CCD show a part of a cell, whatever became of its unit."""
    edges = np.array([-0.5, area.side - 0.5])
    x, y = (corner.ravel() for corner in np.meshgrid(area.x0 + edges, area.y0 + edges))
    return any(
        _overlap(ccds[index].area, *place) for index, place in _places(ccds, area, wcs, x, y)
    )


def _overlap(
    area: tuple[int, int, int, int], x: NDArray[np.float64], y: NDArray[np.float64]
) -> bool:
    """Whether some positions span a part of an exposed area (1-based, ends included)."""
    columns = area[0] - 1.5 < x.max() and x.min() < area[1] - 0.5
    rows = area[2] - 1.5 < y.max() and y.min() < area[3] - 0.5
    return bool(columns and rows)


def _near(ccds: list[CCD], ra: float, dec: float, reach: float) -> list[int]:
    """The CCDs within a distance (radians) of a position."""
    here = unit_vectors(np.array([ra]), np.array([dec]))[0]
    near = []
    for index, ccd in enumerate(ccds):
        centre, radius = ccd.sky_circle
        if np.linalg.norm(here - centre) < radius + reach:
            near.append(index)
    return near


def _window(
    ccd: CCD, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[int, int, int, int] | None:
    """Rows y0, y1 and columns x0, x1 of a CCD around some positions; None when there is none."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    ny, nx = ccd.shape
    y0, y1 = max(math.floor(y.min()) - _RIM, 0), min(math.ceil(y.max()) + _RIM + 1, ny)
    x0, x1 = max(math.floor(x.min()) - _RIM, 0), min(math.ceil(x.max()) + _RIM + 1, nx)
    return (y0, y1, x0, x1) if y1 > y0 and x1 > x0 else None


def _unexposed(
    area: tuple[int, int, int, int], window: tuple[int, int, int, int]
) -> NDArray[np.bool_]:
    """Pixels of a window beyond the exposed area (1-based, ends included)."""
    y0, y1, x0, x1 = window
    columns, rows = np.arange(x0, x1) + 1, np.arange(y0, y1) + 1
    good_x = (columns >= area[0]) & (columns <= area[1])
    good_y = (rows >= area[2]) & (rows <= area[3])
    return ~(good_y[:, None] & good_x)
