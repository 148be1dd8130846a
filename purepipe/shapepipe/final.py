"""make_cat: the final catalogue of a tile, with ShapePipe's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from purepipe.config import SpreadConfig
from purepipe.errors import DataError, InputFileError
from purepipe.flags import NOT_ATTEMPTED_BIT
from purepipe.io.ldac import read_ldac
from purepipe.io.shape_tables import TYPES, read_shapes
from purepipe.io.stamp_store import StampStore
from purepipe.io.tables import write_table
from purepipe.psf import spread_class
from purepipe.psf.columns import epoch_psf_columns
from purepipe.shapepipe.config import MakeCatConfig
from purepipe.survey import tile_id

if TYPE_CHECKING:
    from purepipe.shapepipe.job import Job, Record

# Column of the final catalogue, columns of the shape catalogue, what stands for no measurement.
_PER_TYPE: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("T", ("T",), 0.0),
    ("Tpsf", ("Tpsf",), 0.0),
    ("SNR", ("s2n",), 0.0),
    ("FLUX", ("flux",), 0.0),
    ("MAG", ("mag",), 0.0),
    ("FLAGS", ("flags",), NOT_ATTEMPTED_BIT),
    ("T_PSFo", ("T_psfo_ngmix",), 0.0),
    ("FLUX_ERR", ("flux_err",), -1.0),
    ("MAG_ERR", ("mag_err",), -1.0),
    ("ELL", ("g1", "g2"), -10.0),
    ("ELL_ERR", ("g1_err", "g2_err"), -10.0),
    ("ELL_PSFo", ("g1_psfo_ngmix", "g2_psfo_ngmix"), -10.0),
    ("T_ERR", ("T_err",), 1e30),
)


def final_catalogue(job: Job, config: MakeCatConfig, record: Record) -> None:
    """One row for each object of the tile, with all that was measured of it.

    Missing values are those of the original, but flags: an object without shape has the bit
    NOT_ATTEMPTED in NGMIX_FLAGS and NGMIX_MCAL_FLAGS, where the original says 0, "good".
    """
    catalogue, spread, psf, shape = job.files
    objects = read_ldac(catalogue)
    final = _detections(objects)
    number = job.number.strip("-_")
    final["TILE_ID"] = np.full(len(final), tile_id(number))
    _add_spread(final, read_ldac(spread), config, str(spread))
    _add_shapes(final, read_shapes(shape), str(shape))
    if config.save_psf:
        with StampStore(psf) as store:
            counts = final["N_EPOCH"] if "N_EPOCH" in final.colnames else np.zeros(len(final), int)
            columns = epoch_psf_columns(final["NUMBER"], counts, lambda name: store.get(name, {}))
        final.add_columns(columns)
    final["TILE_NAME"] = np.full(len(final), number)
    write_table(record.product(f"final_cat{job.number}.fits"), final)


def _detections(objects: Table) -> Table:
    """The columns of the detection but VIGNET, floats in double precision, N_EPOCH last."""
    final = Table()
    names = [name for name in objects.colnames if name not in ("VIGNET", "N_EPOCH")]
    for name in [*names, *(["N_EPOCH"] if "N_EPOCH" in objects.colnames else [])]:
        values = np.asarray(objects[name])
        final[name] = values.astype(np.float64) if values.dtype.kind == "f" else values
        final[name].unit = objects[name].unit
        final[name].description = objects[name].description
    return final


def _rows(final: Table, numbers: NDArray[Any], file: str) -> NDArray[np.int64]:
    """Rows of the final catalogue that other objects are in, found by their numbers."""
    own = np.asarray(final["NUMBER"])
    order = np.argsort(own, kind="stable")
    place = np.minimum(np.searchsorted(own[order], numbers), max(len(own) - 1, 0))
    rows = order[place] if len(own) else place
    if len(np.unique(own)) < len(own) or len(np.unique(numbers)) < len(numbers):
        raise DataError("an object number comes twice", file=file, key="NUMBER")
    if len(numbers) and (not len(own) or (own[rows] != numbers).any()):
        raise DataError(
            "an object is not in the catalogue of the tile", file=file, key="NUMBER",
            remedy="The files belong to different detections; run the modules again.",
        )  # fmt: skip
    return rows


def _add_spread(final: Table, table: Table, config: MakeCatConfig, file: str) -> None:
    rows = _rows(final, np.asarray(table["NUMBER"]), file)
    values = np.full((2, len(final)), [[-1.0], [1.0]])
    values[0, rows], values[1, rows] = table["SPREAD_MODEL"], table["SPREADERR_MODEL"]
    final["SPREAD_MODEL"], final["SPREADERR_MODEL"] = values
    if config.classify:
        # (-1, 1) and (1, 1) stand for no spread model; the original takes them for galaxies.
        failed = (np.abs(values[0]) == 1) & (values[1] == 1)
        limits = SpreadConfig(star_limit=config.star_limit, galaxy_limit=config.galaxy_limit)
        known = np.where(failed, np.nan, values)
        final["SPREAD_CLASS"] = spread_class(known[0], known[1], limits).astype(np.int16)


def _add_shapes(final: Table, tables: Mapping[str, Table], file: str) -> None:
    n = len(final)
    ids = np.asarray(tables["NOSHEAR"]["id"])
    rows = _rows(final, ids, file)
    for name, table in tables.items():
        if not np.array_equal(np.asarray(table["id"]), ids):
            raise InputFileError("the types hold different objects", file=file, hdu=name)
    reference = tables["NOSHEAR"]
    _put(final, "NGMIX_N_EPOCH", rows, reference["n_epoch_model"], np.zeros(n, np.int32))
    _put(final, "NGMIX_MOM_FAIL", rows, reference["moments_fail"], np.zeros(n, np.int16))
    for column, sources, missing in _PER_TYPE:
        for kind in TYPES:
            table = tables[kind]
            dtype = np.int32 if column == "FLAGS" else np.float64
            if len(sources) == 1:
                values, blank = np.asarray(table[sources[0]]), np.full(n, missing, dtype)
            else:
                values = np.stack([np.asarray(table[source]) for source in sources], axis=1)
                blank = np.full((n, len(sources)), missing, dtype)
            _put(final, f"NGMIX_{column}_{kind}", rows, values, blank)
    blank = np.full(n, NOT_ATTEMPTED_BIT, np.int32)
    _put(final, "NGMIX_MCAL_FLAGS", rows, reference["mcal_flags"], blank)


def _put(final: Table, name: str, rows: Any, values: Any, blank: NDArray[Any]) -> None:
    blank[rows] = values
    final[name] = blank
