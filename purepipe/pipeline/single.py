"""One object of a finished run, measured again by itself: the same numbers, and their basis."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from purepipe.catalogue import assemble_catalogue
from purepipe.display import brief
from purepipe.errors import DataError
from purepipe.io.images import read_header
from purepipe.io.ldac import read_ldac
from purepipe.pipeline import objects as block
from purepipe.pipeline.keys import code_version
from purepipe.pipeline.plan import make_plan
from purepipe.pipeline.results import Run
from purepipe.pipeline.store import kept_headers, open_store
from purepipe.pipeline.units import ShapesTask, TileTask, WorkContext
from purepipe.pipeline.work import Recorder, measure_block
from purepipe.psf import attach_psfs
from purepipe.shapes.measure import prepare_epochs
from purepipe.survey import EpochStamps

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.table import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ObjectStamps:
    """What the measurement of one object rests on.

    Attributes
    ----------
    detection
        Its row in the detections of the tile, with VIGNET.
    stamps
        Image, weight, mask and PSF of every epoch.
    """

    detection: Table
    stamps: EpochStamps

    __repr__ = brief


def measure_one(run: Run, number: int, *, tile: str | None = None) -> Table:
    """The row of one object as in the catalogue of its tile, measured again by itself.

    Parameters
    ----------
    run
        A finished run, whose input files are still in their places.
    number
        NUMBER of the object in its tile.
    tile
        Tile number; may be left out when the run has one tile only.

    Returns
    -------
    One row, bit for bit that of ``catalogue/final_cat-<tile>.fits``. The log warns when another
    version of purepipe made the run, whose numbers may differ in their last digits.

    Raises
    ------
    DataError
        The run has no such tile, the tile no such object, or several tiles need a choice.
    """
    return _measure(*_task(run, number, tile))


def stamps_of(run: Run, number: int, *, tile: str | None = None) -> ObjectStamps:
    """The stamps and PSFs of one object of a run; arguments and errors as for `measure_one`.

    The flags of the epochs include what made the shape measurement leave one out.
    """
    return _gather(*_task(run, number, tile))


def row_and_stamps(run: Run, number: int, *, tile: str | None = None) -> tuple[Table, ObjectStamps]:
    """What `measure_one` and `stamps_of` give, with one plan of the survey for both."""
    task, context = _task(run, number, tile)
    return _measure(task, context), _gather(task, context)


def _measure(task: ShapesTask, context: WorkContext) -> Table:
    detection = block.read_objects(task, context.root)
    measured = measure_block(task, context, Recorder(context.root))
    return assemble_catalogue(
        detection, [measured], tile=task.tile.tile, columns=block.block_columns()
    )


def _gather(task: ShapesTask, context: WorkContext) -> ObjectStamps:
    config = context.config.tile
    detection = block.read_objects(task, context.root)
    epochs, stamps = block.gather(detection, task.tile, context)
    models = block.model_reader(task.tile, context.root)
    stamps = attach_psfs(stamps, epochs, models, config.psf)
    *_, flags = prepare_epochs(stamps, config.shapes, np.zeros(len(detection), np.uint64))
    return ObjectStamps(detection, replace(stamps, flags=flags))


def _task(run: Run, number: int, tile: str | None) -> tuple[ShapesTask, WorkContext]:
    with closing(open_store(run.root, create=False)) as store:
        plan = make_plan(run.config, known=lambda name: kept_headers(store, name))
    tiles = {unit.task.tile: unit.task for unit in plan.units if isinstance(unit.task, TileTask)}
    if tile is None and len(tiles) > 1:
        raise DataError(
            "the run has several tiles", key="tile", allowed=", ".join(list(tiles)[:10]),
            remedy="Name the one that holds the object.",
        )  # fmt: skip
    if tile is None and tiles:
        tile = next(iter(tiles))
    if tile not in tiles:
        raise DataError("the run has no such tile", key="tile", got=tile,
                        allowed=", ".join(list(tiles)[:10]) or "none")  # fmt: skip
    task = tiles[tile]
    row = _row(run, task, number)
    _warn_of_other_version(run.root / task.folder / "objects.fits")
    return ShapesTask(task, 0, row, row + 1), WorkContext(run.root, run.config)


def _warn_of_other_version(path: Path) -> None:
    made_by = read_header(path, 0).get("PIPEVERS")
    if made_by != code_version():
        log.warning(
            "%s was made by purepipe %s, this is %s: numbers measured now may differ from those"
            " of the catalogue in their last digits",
            path, made_by, code_version(),
        )  # fmt: skip


def _row(run: Run, task: TileTask, number: int) -> int:
    """The row of an object; its number is nearly always one more."""
    path = run.root / task.folder / "objects.fits"
    if number > 0:
        try:
            if read_ldac(path, rows=(number - 1, number))["NUMBER"][0] == number:
                return number - 1
        except DataError:  # fewer rows, or numbers with gaps
            pass
    numbers = np.asarray(read_ldac(path)["NUMBER"])
    rows = np.flatnonzero(numbers == number)
    if len(rows) == 0:
        raise DataError(
            "the tile has no such object", file=path, key="NUMBER", got=number,
            allowed=f"{numbers.min()} to {numbers.max()}" if len(numbers) else "none",
        )  # fmt: skip
    return int(rows[0])
