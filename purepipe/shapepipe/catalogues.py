"""merge_starcat, random_cat, match_external and pastecat: small steps on catalogues."""

from __future__ import annotations

import math
import re

import numpy as np
from astropy.table import Table, vstack

from purepipe.errors import ConfigError, DataError, NothingToDo, did_you_mean
from purepipe.io.images import read_header
from purepipe.io.ldac import read_epochs
from purepipe.io.masks import read_mask
from purepipe.io.tables import read_table, write_tables
from purepipe.shapepipe.config_small import (
    MatchExternalConfig,
    MergeStarcatConfig,
    PastecatConfig,
    RandomCatConfig,
)
from purepipe.shapepipe.job import Job, Record
from purepipe.survey import copy_neighbours, nearest_neighbours, random_points, tile_id
from purepipe.wcs import WCS

_STARS = (
    "X", "Y", "RA", "DEC", "E1_PSF_HSM", "E2_PSF_HSM", "SIGMA_PSF_HSM", "E1_STAR_HSM",
    "E2_STAR_HSM", "SIGMA_STAR_HSM", "FLAG_PSF_HSM", "FLAG_STAR_HSM", "MAG", "SNR", "ACCEPTED",
)  # fmt: skip


def merge_stars(job: Job, config: MergeStarcatConfig, record: Record) -> None:
    """The stars of all CCDs with the number of their CCD."""
    parts = []
    for number, files in job.table:
        table = read_table(files[0], config.hdu)
        part = _ellipticities(table) if config.psf_model == "setools" else table
        names = [name for name in _STARS if name in part.colnames]
        part = part[names]
        part["CCD_NB"] = np.full(len(part), re.findall(r"\d+", number)[-1])
        parts.append(part)
    if not parts:
        raise NothingToDo("there is no catalogue of stars")
    merged = vstack(parts, metadata_conflicts="silent")
    write_tables(record.product("full_starcat-0000000.fits"), {"RESULTS": merged})


def _ellipticities(table: Table) -> Table:
    """Shapes of stars, (Q11 - Q22 + 2i Q12) / (Q11 + Q22 + 2 sqrt(det Q)), by windowed moments."""
    q11, q22, q12 = (
        np.asarray(table[name], dtype=np.float64)
        for name in ("X2WIN_IMAGE", "Y2WIN_IMAGE", "XYWIN_IMAGE")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        size = q11 + q22 + 2 * np.sqrt(q11 * q22 - q12**2)
        e1, e2 = (q11 - q22) / size, 2 * q12 / size
    return Table(
        {
            "X": table["XWIN_IMAGE"], "Y": table["YWIN_IMAGE"], "RA": table["XWIN_WORLD"],
            "DEC": table["YWIN_WORLD"], "E1_STAR_HSM": e1, "E2_STAR_HSM": e2,
            "SIGMA_STAR_HSM": table["FLUX_RADIUS"],
            "FLAG_STAR_HSM": (~np.isfinite(e1 + e2)).astype(np.int64),
            "MAG": table["MAG_WIN"], "SNR": table["SNR_WIN"],
        }
    )  # fmt: skip


def randoms(job: Job, config: RandomCatConfig, record: Record) -> None:
    """Random points, uniform over the unmasked pixels of a tile."""
    if len(job.files) != 2:
        raise ConfigError(
            "an image and its flag map are needed", key="FILE_PATTERN", got=len(job.files),
            allowed="2",
        )  # fmt: skip
    tile = job.number.strip("-_")
    wanted = (
        {"density": config.number / 3600} if config.density else {"number": round(config.number)}
    )
    wcs = WCS.from_header(read_header(job.files[0], None))
    table = random_points(read_mask(job.files[1]), wcs, tile=tile, **wanted)
    area, unmasked = table.meta["AREA"] / 3600, table.meta["UNMASKED"] / 3600
    record.note(f"{area:.6f} square degrees, {unmasked:.6f} unmasked.")
    table["TILE_ID"] = np.full(len(table), tile_id(tile))
    table["TILE_NAME"] = np.full(len(table), tile)
    path = record.product(f"{config.output_pattern}{job.number}.fits")
    write_tables(path, {"RANDOM": table})


def match(job: Job, config: MatchExternalConfig, record: Record) -> None:
    """The objects with columns of their nearest neighbours in an external catalogue."""
    assert config.external is not None  # noqa: S101 - it is required
    table = read_table(job.files[0], config.hdu)
    external = read_table(config.external, config.external_hdu)
    for source, names in ((table, config.columns), (external, config.external_columns)):
        _require(source, names)
    _require(external, config.copied)
    nearest, distance = nearest_neighbours(
        *(table[name] for name in config.columns),
        *(external[name] for name in config.external_columns), tolerance=math.inf,
    )  # fmt: skip
    matched = distance < config.tolerance
    rows = np.ones(len(table), dtype=bool) if config.mark is not None else matched
    record.note(f"{np.count_nonzero(matched)} of {len(table)} objects have a neighbour.")
    out = table[rows]
    new = {name: f"{name}_external" if name in out.colnames else name for name in config.copied}
    index = np.where(matched, nearest, -1)[rows]
    copy_neighbours(out, external, index, names=new, missing=config.mark)
    if config.distance:
        out["distance"] = distance[rows]
    tables = {"MATCHED": out}
    if config.mode == "multi-epoch":
        for place, epoch in enumerate(read_epochs(job.files[0])):
            tables[f"EPOCH_{place}"] = epoch[rows]
    write_tables(record.product(f"{config.prefix}{job.number}.fits"), tables)


def _require(table: Table, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in table.colnames:
            raise DataError(
                "the catalogue lacks a column", key=name, remedy=did_you_mean(name, table.colnames)
            )


def paste(job: Job, config: PastecatConfig, record: Record) -> None:
    """Catalogues of the same objects as tables of one file."""
    hdus = config.hdus * len(job.files) if len(config.hdus) == 1 else config.hdus
    names = config.names or tuple(path.stem.partition(job.number)[0] for path in job.files)
    if len(hdus) != len(job.files) or len(names) != len(job.files):
        raise ConfigError(
            "HDU and EXT_NAME need one item for each catalogue", key="HDU, EXT_NAME",
            got=f"{len(hdus)} and {len(names)}", allowed=len(job.files),
        )  # fmt: skip
    tables = {
        name.upper(): read_table(path, hdu)
        for name, path, hdu in zip(names, job.files, hdus, strict=True)
    }
    if len(tables) < len(names):
        raise ConfigError("two tables have one name", key="EXT_NAME", got=", ".join(names))
    if config.check_column:
        first = next(iter(tables.values()))
        for name, table in tables.items():
            _require(table, (config.check_column,))
            same = np.array_equal(
                np.asarray(table[config.check_column]), np.asarray(first[config.check_column])
            )
            if not same:
                raise DataError(
                    "the catalogues hold different objects", key=config.check_column, got=name,
                    remedy="They must be of the same detections, in the same order.",
                )  # fmt: skip
    write_tables(record.product(f"{config.prefix}{job.number}.fits"), tables)
