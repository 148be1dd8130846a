"""What a worker does: read the files of one unit, run its steps in memory, write its products."""

from __future__ import annotations

import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.catalogue import assemble_catalogue, build_table
from purepipe.config import MaskConfig, PSFInterpolationConfig
from purepipe.config.survey import InputConfig
from purepipe.detect import extract
from purepipe.errors import AlgorithmError, DataError, PurepipeError, StoreError
from purepipe.exposure import Exposure
from purepipe.io.background import write_background
from purepipe.io.exposures import HeaderKeywords, read_exposure
from purepipe.io.images import card_text, read_header
from purepipe.io.ldac import read_ldac, write_ldac
from purepipe.io.mask_inputs import read_mask_inputs
from purepipe.io.masks import write_mask
from purepipe.io.psf_file import write_psf
from purepipe.io.stars import read_star_catalogue
from purepipe.io.tables import read_table, write_table
from purepipe.mask import build_mask, mask_summary
from purepipe.pipeline import objects as block
from purepipe.pipeline.cells import count_beyond, join_cells, measure_cells, write_cells
from purepipe.pipeline.keys import file_identity, fingerprint
from purepipe.pipeline.limits import collected_log, one_thread, within, write_log
from purepipe.pipeline.products import write_products
from purepipe.pipeline.store import Outcome, StepRecord
from purepipe.pipeline.units import (
    CatalogueTask,
    CCDTask,
    CellsTask,
    ShapesTask,
    Task,
    TileTask,
    Unit,
    WorkContext,
)
from purepipe.psf import PSFModel, attach_psfs, fit_psf, psf_summary, validate_psf
from purepipe.select import find_stars
from purepipe.shapes import measure_shapes
from purepipe.survey import Epochs, area_meta, epoch_tables, repeated_exposures, tile_area
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass
class Counts:
    """Counts of one step, filled in while it works."""

    n_in: int = 0
    n_out: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Recorder:
    """Collects what the steps of one unit did and wrote."""

    root: Path
    steps: list[StepRecord] = field(default_factory=list)
    products: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # why there was nothing to do
    remarks: list[str] = field(default_factory=list)  # what a user should know all the same

    @contextmanager
    def step(self, name: str, what: str, n_in: int = 0) -> Iterator[Counts]:
        """Time one step; the body sets the counts. A step that fails is recorded too."""
        counts = Counts(n_in)
        start = time.perf_counter()
        try:
            yield counts
        finally:
            seconds = time.perf_counter() - start
            self.steps.append(
                StepRecord(name, what, counts.n_in, counts.n_out, seconds, counts.facts)
            )

    def product(self, name: str) -> Path:
        """Register a product and give its path."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.products.append(path)
        return path


def _do(task: Task, context: WorkContext, recorder: Recorder) -> None:
    clear(task, context.root)
    _WORK[type(task)](task, context, recorder)


def execute(unit: Unit, context: WorkContext) -> Outcome:
    """Run one unit and say how it ended; never raises for what is wrong with its data."""
    start = time.perf_counter()
    recorder = Recorder(context.root)
    trace = ""
    with collected_log() as messages, one_thread():
        try:
            within(context.config.run.timeout, partial(_do, unit.task, context, recorder))
            status = "nothing to do" if recorder.notes else "done"
            message = " ".join([*recorder.notes, *recorder.remarks])
        except StoreError as error:
            # No room, or no permission, is no fault of this unit: the run has to stop.
            status = "not written" if isinstance(error.__cause__, OSError) else error.status
            message = str(error)
        except PurepipeError as error:
            _locate(error, unit.task)
            status, message = error.status, str(error)
        except Exception as error:
            # The one place where any fault of one unit is kept from ending the survey.
            status, message = "failed", f"{type(error).__name__}: {error} (see the log of the unit)"
            trace = traceback.format_exc()
    written = {
        str(path.relative_to(context.root)): path for path in recorder.products if path.is_file()
    }
    outcome = Outcome(
        name=unit.name, kind=unit.kind, status=status, message=message,
        products={name: path.stat().st_size for name, path in written.items()},
        digests={name: fingerprint(path, whole=True) for name, path in written.items()},
        times={name: path.stat().st_mtime_ns for name, path in written.items()},
        steps=tuple(recorder.steps), seconds=time.perf_counter() - start, peak_mb=_peak_memory(),
    )  # fmt: skip
    if context.config.run.logs == "all" or not outcome.done:
        write_log(context.root, outcome, messages, trace)
    return outcome


def run_ccd(task: CCDTask, context: WorkContext, recorder: Recorder) -> None:
    """Mask, detection, star selection, PSF model and its validation on one CCD."""
    config = context.config.ccd
    exposure = read_exposure(
        task.image, hdu=task.hdu, weight_path=task.weight, weight_hdu=task.weight_hdu,
        weight_kind=context.config.inputs.weight_kind, flag_path=task.flag,
        flag_hdu=task.flag_hdu, keywords=_keywords(context.config.inputs),
    )  # fmt: skip
    _remark_defaults(exposure, context.config.inputs, recorder)
    exposure = _on_tile_scale(exposure, context.config.inputs.zero_point)
    exposure.require_data()
    exposure = _mask(exposure, task, config.mask, context, recorder)
    with recorder.step("detect", "sources") as counts:
        detection = extract(exposure, config.detect)
        counts.n_in = counts.n_out = len(detection.table)
        counts.facts = {"background": detection.background.level, "rms": detection.background.rms}
        write_background(
            recorder.product(f"{task.folder}/background.fits"), detection.background,
            provenance=context.provenance,
        )  # fmt: skip
    sources = detection.table
    with recorder.step("stars", "stars", len(sources)) as counts:
        unit = f"{task.exposure}-{task.ccd}"
        selection = find_stars(sources, config.stars, seed=context.config.seed, unit=unit)
        counts.n_out = int(np.count_nonzero(selection.stars))
        counts.facts = {"fwhm": selection.fwhm, "width": selection.width}
        sources["FLAGS_STAR"] = selection.flags
        write_ldac(
            recorder.product(f"{task.folder}/sources.fits"), _without_vignet(sources),
            provenance=context.provenance,
        )  # fmt: skip
        if not selection.fit.any():
            raise AlgorithmError(
                "no star for the PSF model on this CCD", got=f"{len(sources)} sources",
                remedy="Look at FLAGS_STAR in sources.fits; lower ccd.detect.threshold or"
                " ccd.stars.min_snr, or leave the CCD out.",
            )  # fmt: skip
    with recorder.step("psf", "stars", int(np.count_nonzero(selection.fit))) as counts:
        model = fit_psf(sources[selection.fit], config.psf)
        counts.n_out = model.accepted
        counts.facts = {"chi2": model.chi2}
    with recorder.step("validate", "stars", int(np.count_nonzero(selection.stars))) as counts:
        table = validate_psf(
            model, sources[selection.stars], reserved=selection.reserved[selection.stars],
            response=context.config.tile.psf.interpolation_response,
        )  # fmt: skip
        counts.n_out = len(table)
        counts.facts = psf_summary(table)
        table.meta.update(context.provenance)
        write_table(recorder.product(f"{task.folder}/validation.fits"), table)
    # Last, because its presence tells the tiles that this CCD is complete.
    write_psf(recorder.product(f"{task.folder}/psf.psf"), model, provenance=context.provenance)
    _require_usable(model, context.config.tile.psf)


def run_tile(task: TileTask, context: WorkContext, recorder: Recorder) -> None:
    """Mask, detection and epochs of one tile."""
    config = context.config.tile
    exposure = read_exposure(
        task.image, weight_path=task.weight, flag_path=task.flag,
        weight_kind=context.config.inputs.tile_weight_kind,
        zero_point=context.config.inputs.zero_point,
        keywords=_keywords(context.config.inputs),
    )  # fmt: skip
    exposure.require_data()
    exposure = _mask(exposure, task, config.mask, context, recorder)
    with recorder.step("detect", "objects") as counts:
        detection = extract(exposure, config.detect, overwrite_input=True)
        objects = detection.table
        counts.n_in = counts.n_out = len(objects)
    with recorder.step("epochs", "objects", len(objects)) as counts:
        epochs = block.objects_epochs(objects, task, config.epochs)
        seen = build_table({"N_EPOCH": epochs.n_epoch}, rows=len(objects))
        objects["N_EPOCH"] = seen["N_EPOCH"]
        counts.n_out = int(np.count_nonzero(epochs.n_epoch))
        counts.facts = {"missing exposures": list(task.missing)}
        cards = card_text(read_header(task.image, None))  # its HISTORY names the exposures
        write_ldac(
            recorder.product(f"{task.folder}/objects.fits"), objects, cards,
            epochs=epoch_tables(epochs), provenance=context.provenance,
        )  # fmt: skip
    if not task.ccds:
        recorder.notes.append(_no_exposures(task))
    recorder.remarks += _epoch_remarks(task, epochs, repeated_exposures(cards, config.epochs))
    recorder.remarks += block.silent_headers(task, config.epochs)


def run_shapes(task: ShapesTask, context: WorkContext, recorder: Recorder) -> None:
    """Stamps, PSF, spread model and shapes of one block of a tile's objects."""
    table = measure_block(task, context, recorder)
    table.meta.update(context.provenance)
    _one_nan(table)
    write_table(recorder.product(task.product), table, extname="OBJECTS")


def measure_block(task: ShapesTask, context: WorkContext, recorder: Recorder) -> Table:
    """The measured columns of a block of objects."""
    config = context.config.tile
    objects = block.read_objects(task, context.root)
    n = len(objects)
    with recorder.step("stamps", "stamps") as counts:
        epochs, stamps = block.gather(objects, task.tile, context)
        counts.n_in = len(stamps.row)
        counts.n_out = int(np.count_nonzero(stamps.flags == 0))
    with recorder.step("psf", "stamps", counts.n_out) as counts:
        stamps = attach_psfs(
            stamps, epochs, block.model_reader(task.tile, context.root), config.psf
        )
        counts.n_out = int(np.count_nonzero(stamps.flags == 0))
    with recorder.step("spread", "objects", n) as counts:
        spread = block.measure_spread(
            objects, stamps, task.tile, context.config.inputs, config.spread
        )
        counts.n_out = int(np.count_nonzero(np.isfinite(spread["SPREAD_MODEL"])))
    with recorder.step("shapes", "objects", n) as counts:
        settings = replace(config.shapes, zero_point=context.config.inputs.zero_point)
        shapes = measure_shapes(objects, stamps, settings, seed=context.config.seed)
        counts.n_out = int(np.count_nonzero(shapes["NGMIX_MCAL_FLAGS"] == 0))
        counts.facts = block.flag_counts(shapes["NGMIX_MCAL_FLAGS"])
    return block.block_table(objects, epochs, stamps, task.tile, spread, shapes)


def run_cells(task: CellsTask, context: WorkContext, recorder: Recorder) -> None:
    """Detection and measurement on the sheared images of one row of a tile's cells."""
    with recorder.step("metadetect", "cells") as counts:
        cells = measure_cells(task, context)
        flags = [cell.summary["MDET_FLAGS"] for cell in cells]
        beyond = count_beyond(flags)  # nothing is lost where no exposure has looked
        counts.n_in, counts.n_out = len(cells) - beyond, flags.count(0)
        counts.facts = {"detections": sum(cell.summary["MDET_DETECTIONS"] for cell in cells),
                        "cells beyond the exposures": beyond}  # fmt: skip
        write_cells(recorder.product(task.product), cells, task.tile, context)


def run_catalogue(task: CatalogueTask, context: WorkContext, recorder: Recorder) -> None:
    """Join what is known about every object of a tile."""
    objects = read_ldac(context.root / task.tile.folder / "objects.fits")
    with recorder.step("catalogue", "objects", len(objects)) as counts:
        paths = [context.root / item.product for item in task.blocks]
        measured = [read_table(path) for path in paths if path.is_file()]
        final = assemble_catalogue(
            objects, measured, tile=task.tile.tile, columns=block.block_columns()
        )
        area = tile_area(task.tile.tile, WCS.from_header(read_header(task.tile.image, None)))
        final.meta.update(area_meta(area))
        counts.n_out = len(final)
        counts.facts = {"objects of failed blocks": int(np.count_nonzero(final["FLAGS_UNIT"]))}
        final.meta.update(context.provenance)
        _one_nan(final)
        write_table(recorder.product(task.product), final)
    if task.cells:
        with recorder.step("metadetect", "peaks") as counts:
            found, cells = join_cells(task, context, recorder.product)
            unsheared = np.asarray(found["MDET_TYPE"]) == "NOSHEAR"
            counts.n_in = int(np.count_nonzero(unsheared))
            counts.n_out = int(np.count_nonzero(np.asarray(found["MDET_WEIGHT"])[unsheared] > 0))
            lost, beyond = np.count_nonzero(cells["MDET_FLAGS"]), count_beyond(cells["MDET_FLAGS"])
            counts.facts = {"cells": len(cells), "cells lost": int(lost) - beyond,
                            "cells beyond the exposures": beyond}  # fmt: skip
            if beyond:
                recorder.remarks.append(
                    f"{beyond} of {len(cells)} cells have nothing to find: no exposure reaches them"
                )
    if context.config.products:
        with recorder.step("products", "files") as counts:
            paths = write_products(task, final, context, recorder.product)
            counts.n_in = counts.n_out = len(paths)


def _one_nan(table: Table) -> None:
    """Give every NaN the same bits: its sign may depend on the length of a vectorised loop."""
    for name in table.colnames:
        values = np.asarray(table[name])
        if values.dtype.kind == "f":
            values[np.isnan(values)] = np.nan


def _mask(
    exposure: Exposure,
    task: CCDTask | TileTask,
    config: MaskConfig,
    context: WorkContext,
    recorder: Recorder,
) -> Exposure:
    """The exposure with its mask planes, which are written as a product."""
    with recorder.step("mask", "pixels") as counts:
        stars = None
        if task.stars is not None:
            stars = _star_catalogue(task.stars, str(file_identity(task.stars)))
        mask = build_mask(exposure, stars, config, **read_mask_inputs(config, exposure.wcs))
        counts.n_in = mask.size
        counts.n_out = int(np.count_nonzero(mask == 0))
        counts.facts = {row.name: row.pixels for row in mask_summary(mask)}
        path = recorder.product(f"{task.folder}/mask.fits")
        write_mask(path, mask, exposure, config, provenance=context.provenance)
    return exposure.with_flags(mask)


def _on_tile_scale(exposure: Exposure, zero_point: float) -> Exposure:
    """Give a CCD the zero-point of its own ADU, from that of the tile and FSCALE."""
    if not (np.isfinite(exposure.flux_scale) and exposure.flux_scale > 0):
        raise DataError(
            "the flux scale must be a positive number", file=exposure.name, key="FSCALE",
            got=exposure.flux_scale, remedy="Correct the header of the CCD.",
        )  # fmt: skip
    return exposure.replace(zero_point=zero_point - 2.5 * np.log10(exposure.flux_scale))


@lru_cache(maxsize=1)
def _star_catalogue(path: Path, identity: str) -> Table:
    """Read once per worker; `identity` changes with the file."""
    return read_star_catalogue(path)


def _keywords(inputs: InputConfig) -> HeaderKeywords:
    return HeaderKeywords(
        gain=inputs.gain_keys,
        saturation=inputs.saturation_keys,
        flux_scale=inputs.flux_scale_keys,
    )


def _remark_defaults(exposure: Exposure, inputs: InputConfig, recorder: Recorder) -> None:
    """Say when the header is silent about what the noise and the flags need."""
    if exposure.gain == 0:
        keys = ", ".join(inputs.gain_keys)
        recorder.remarks.append(f"{exposure.name}: no gain ({keys}), photon noise is neglected.")
    if not np.isfinite(exposure.saturation):
        keys = ", ".join(inputs.saturation_keys)
        recorder.remarks.append(f"{exposure.name}: no saturation level ({keys}).")


def _without_vignet(table: Table) -> Table:
    kept = table.copy(copy_data=False)
    kept.remove_column("VIGNET")
    return kept


def _require_usable(model: PSFModel, config: PSFInterpolationConfig) -> None:
    """Say it here when no object will be given this model, not only in their flags."""
    if model.accepted < config.min_stars:
        raise AlgorithmError(
            "the PSF model rests on too few stars to be used", key="tile.psf.min_stars",
            got=model.accepted, allowed=f"{config.min_stars} or more",
            remedy="Its objects lose this epoch; lower the limit or ccd.psf.degrees to use it.",
        )  # fmt: skip
    if not model.chi2 <= config.max_chi2:
        raise AlgorithmError(
            "the PSF model fits its stars too badly to be used", key="tile.psf.max_chi2",
            got=f"{model.chi2:.3g}", allowed=f"{config.max_chi2} or less",
            remedy="Its objects lose this epoch; look at the stars of this CCD in the report.",
        )  # fmt: skip


def _locate(error: PurepipeError, task: Task) -> None:
    """Name the file of the unit in an error that a step on arrays has raised."""
    if error.file is None and isinstance(task, CCDTask | TileTask):
        error.file = task.image.name
        error.hdu = str(task.hdu) if isinstance(task, CCDTask) else None


def clear(task: Task, root: Path) -> None:
    """Remove what an earlier attempt of the same unit left, so that nothing stale is read."""
    if isinstance(task, CCDTask | TileTask):
        shutil.rmtree(root / task.folder, ignore_errors=True)
    else:
        (root / task.product).unlink(missing_ok=True)
    if isinstance(task, CatalogueTask):
        (root / task.detections).unlink(missing_ok=True)
        shutil.rmtree(root / "products" / task.tile.tile, ignore_errors=True)


def _epoch_remarks(task: TileTask, epochs: Epochs, repeated: Sequence[str]) -> Iterator[str]:
    """What a user should know of the exposures of a tile."""
    name = task.image.name
    if task.ccds and task.missing:
        yield (
            f"{name}: exposures named in its HISTORY are not in the survey or cannot be used:"
            f" {', '.join(task.missing)}."
        )
    if repeated:
        yield (
            f"{name}: its HISTORY names exposures more than once, which count once:"
            f" {', '.join(repeated)}."
        )
    if epochs.n_twice:
        yield (
            f"{name}: {epochs.n_twice} objects lie on several CCDs of one exposure; the CCD is"
            " taken on which they are farther from the edge. Look at the coordinates of the"
            " CCDs if they should not overlap."
        )


def _no_exposures(task: TileTask) -> str:
    """Why the objects of a tile have no epochs, and what to do."""
    if task.missing:
        return (
            f"{task.image}: none of the exposures named in its HISTORY is in the survey"
            f" ({', '.join(task.missing)}). Add their files, or correct [inputs]."
        )
    return f"{task.image}: no HISTORY card names an exposure. Check tile.epochs.history_pattern."


def _peak_memory() -> float:
    """Largest memory of this process so far, MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


_WORK: dict[type, Callable[[Any, WorkContext, Recorder], None]] = {
    CCDTask: run_ccd,
    TileTask: run_tile,
    ShapesTask: run_shapes,
    CellsTask: run_cells,
    CatalogueTask: run_catalogue,
}
