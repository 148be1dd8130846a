"""vignetmaker: stamps of objects on the tile, or on every CCD that saw them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from purepipe.errors import ConfigError, DataError, InputFileError, did_you_mean
from purepipe.flags import MaskFlag
from purepipe.io.images import read_header, read_image
from purepipe.io.ldac import read_ldac, write_ldac
from purepipe.io.stamp_store import write_stamp_store
from purepipe.shapepipe.config import VignetConfig
from purepipe.shapepipe.epochs import TileCatalogue, by_object, find_numbered_file, read_tile
from purepipe.shapepipe.job import Job, Record
from purepipe.survey import cut_stamps
from purepipe.wcs import WCS

_MASKED = -1e29  # the original writes -1e30 for masked pixels


def vignets(job: Job, config: VignetConfig, record: Record) -> None:
    """Stamps of all objects of a catalogue."""
    if config.masking:
        _masked(job, config, record)
    elif config.mode == "multi-epoch":
        _multi_epoch(job, config, record)
    else:
        _classic(job, config, record)


def _masked(job: Job, config: VignetConfig, record: Record) -> None:
    """VIGNET of the catalogue with another value at its masked pixels."""
    table = read_ldac(job.files[0])
    if "VIGNET" not in table.colnames:
        raise DataError("the catalogue has no VIGNET", file=job.files[0])
    stamps = np.asarray(table["VIGNET"], dtype=np.float64)
    stamps = np.where(stamps < _MASKED, config.mask_value, stamps)
    _write(record.product(f"cat_vignet{job.number}.fits"), stamps, table)


def _classic(job: Job, config: VignetConfig, record: Record) -> None:
    catalogue, *images = job.files
    prefixes = config.prefixes or ("",)
    if len(prefixes) != len(images):
        raise ConfigError(
            "each image needs one beginning of the output name", key="PREFIX", got=len(prefixes),
            allowed=f"{len(images)}, one for each pattern after the catalogue",
        )  # fmt: skip
    table = read_ldac(catalogue)
    first, second = _positions(table, config, catalogue)
    for prefix, path in zip(prefixes, images, strict=True):
        array, _ = read_image(path)
        x, y = first - 1, second - 1
        if config.coordinates == "sphe":
            x, y = WCS.from_header(read_header(path, None)).sky_to_pixel(first, second)
        stamps = cut_stamps(array, x, y, config.size, fill=0).astype(np.float64)
        _note_outside(x, y, array.shape, path, record)
        start = "" if not prefix or prefix.casefold() == "none" else f"{prefix}_"
        _write(record.product(f"{start}vignet{job.number}.fits"), stamps, table)


def _positions(
    table: Table, config: VignetConfig, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    for name in config.positions:
        if name not in table.colnames:
            raise ConfigError(
                "the catalogue lacks a column", file=path, key="POSITION_PARAMS", got=name,
                remedy=did_you_mean(name, table.colnames),
            )  # fmt: skip
    first, second = (np.asarray(table[name], dtype=np.float64) for name in config.positions)
    return first, second


def _note_outside(
    x: NDArray[Any], y: NDArray[Any], shape: tuple[int, ...], path: Path, record: Record
) -> None:
    ny, nx = shape
    inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
    if not inside.all():
        record.note(f"{path.name}: {np.count_nonzero(~inside)} objects lie off the image.")


def _write(path: Path, stamps: NDArray[np.float64], table: Table) -> None:
    write_ldac(path, Table({"VIGNET": stamps}), str(table.meta.get("header", "")))


def _multi_epoch(job: Job, config: VignetConfig, record: Record) -> None:
    """Stamps on all CCDs, one store for each kind of image."""
    assert config.wcs_log is not None  # noqa: S101 - checked with the configuration
    tile = read_tile(job.files[0], config.wcs_log, config.positions, record)
    folders = config.image_dirs
    if len(folders) == 1:
        folders = folders * len(config.image_patterns)
    for folder, pattern in zip(folders, config.image_patterns, strict=True):
        found = _epoch_stamps(tile, Path(folder), pattern, config.size, record)
        path = record.product(f"{pattern}_vignet{job.number}.sqlite")
        write_stamp_store(path, by_object(tile, found))


def _epoch_stamps(
    tile: TileCatalogue, folder: Path, pattern: str, size: int, record: Record
) -> dict[int, dict[str, Any]]:
    """Stamps by number of the pair; pairs whose object lies off the image have none."""
    # Beyond the image a flag map must not look good.
    fill = int(MaskFlag.OUTSIDE) if "flag" in pattern else 0
    found: dict[int, dict[str, Any]] = {}
    for index in np.unique(tile.epochs.ccd_index):
        ccd = tile.ccds[int(index)]
        try:
            path = find_numbered_file(folder, pattern, ccd.name, ".fits", record)
        except InputFileError as error:
            record.note(f"{error} Its objects lose this epoch.")
            continue
        array, _ = read_image(path)
        ny, nx = array.shape
        pairs = np.flatnonzero(tile.epochs.ccd_index == index)
        x, y = tile.epochs.x[pairs], tile.epochs.y[pairs]
        inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
        stamps = cut_stamps(array, x[inside], y[inside], size, fill=fill)
        for pair, stamp in zip(pairs[inside], stamps, strict=True):
            found[int(pair)] = {"VIGNET": stamp}
    return found
