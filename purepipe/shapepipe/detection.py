"""sextractor: sources of a CCD or a tile, check-images, and the epochs of a tile's objects."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.catalogue import build_table
from purepipe.config import DetectConfig, EpochConfig
from purepipe.detect import extract
from purepipe.detect.checks import CHECKS
from purepipe.errors import ConfigError, DataError, did_you_mean
from purepipe.exposure import Exposure
from purepipe.io.exposures import HeaderKeywords, read_exposure
from purepipe.io.images import read_header, write_image
from purepipe.io.ldac import write_ldac
from purepipe.legacy.astromatic import Settings, find_file
from purepipe.legacy.astromatic_files import read_neural_network
from purepipe.shapepipe.config import SextractorConfig
from purepipe.shapepipe.headers import read_wcs_log
from purepipe.shapepipe.job import Job, Record, prefixed
from purepipe.shapepipe.originals import detect_settings
from purepipe.survey import epoch_tables, exposures_of_tile, find_epochs, repeated_exposures

if TYPE_CHECKING:
    from astropy.table import Table

_KINDS = {"MAP_RMS": "rms", "MAP_VAR": "variance", "MAP_WEIGHT": "relative"}


@dataclass(frozen=True)
class _Files:
    """The input files of one unit, by what they are."""

    image: Path
    weight: Path | None = None
    flag: Path | None = None
    detection: Path | None = None
    detection_weight: Path | None = None


def sextractor(job: Job, config: SextractorConfig, record: Record) -> None:
    """Catalogue and check-images of one image; for a tile, the epochs of its objects."""
    settings, detect = detect_settings(config)
    kinds = _check_images(config)
    files = _files(job, config)
    detect = _adapted(detect, files, settings, config)
    exposure = _read(files.image, files.weight, files.flag, settings, config)
    sought = None
    if files.detection is not None:
        sought = _read(files.detection, files.detection_weight, None, settings, config)
    exposure.require_data()
    network = None
    if "CLASS_STAR" in detect.columns:
        network = read_neural_network(find_file(settings, "STARNNW_NAME"))
    found = extract(exposure, detect, detection=sought, checks=kinds, network=network)
    for kind in kinds:
        name = prefixed(config.prefix, kind.casefold(), job.number)
        header = "" if kind.startswith("MINI") else exposure.header
        write_image(record.product(name), found.checks[kind], header)
    table, epochs = found.table, None
    if config.post_process:
        table, epochs = _with_epochs(table, exposure.header, config, record, files.image)
    name = prefixed(config.prefix, "sexcat", job.number)
    write_ldac(record.product(name), table, exposure.header, epochs)


def _files(job: Job, config: SextractorConfig) -> _Files:
    """The files in the order in which the options announce them."""
    if config.psf_file:
        raise ConfigError(
            "detection does not use a PSF model", key="PSF_FILE", got="True", allowed="False",
            remedy="Set PSF_FILE = False; the spread model has a module of its own.",
        )  # fmt: skip
    wanted = ["image"]
    wanted += ["weight"] if config.weight_image else []
    wanted += ["flag"] if config.flag_image else []
    wanted += ["detection"] if config.detection_image else []
    wanted += ["detection_weight"] if config.detection_weight else []
    if len(wanted) != len(job.files):
        raise ConfigError(
            "the number of patterns does not fit the options", key="FILE_PATTERN",
            got=len(job.files), allowed=f"{len(wanted)}: {', '.join(wanted)}",
            remedy="Check WEIGHT_IMAGE, FLAG_IMAGE, DETECTION_IMAGE and DETECTION_WEIGHT.",
        )  # fmt: skip
    return _Files(**dict(zip(wanted, job.files, strict=True)))


def _check_images(config: SextractorConfig) -> list[str]:
    kinds = [kind.upper() for kind in config.check_images if kind.upper() != "NONE"]
    for kind in kinds:
        if kind not in CHECKS:
            raise ConfigError(
                "unknown check-image", key="CHECKIMAGE", got=kind,
                remedy=did_you_mean(kind, CHECKS),
            )  # fmt: skip
    return kinds


def _adapted(
    detect: DetectConfig, files: _Files, settings: Settings, config: SextractorConfig
) -> DetectConfig:
    """The detection with what the options say about weight and background."""
    changes: dict[str, Any] = {
        "columns": tuple(re.sub(r"\(.*\)", "", name) for name in detect.columns)
    }
    if files.weight is None and settings.text("WEIGHT_TYPE").upper() != "BACKGROUND":
        changes["weight_type"] = "none"
    if config.background_from_header:
        level = _header_number(files.image, config.background_key)
        changes |= {"back_type": "manual", "back_value": level}
    return replace(detect, **changes)


def _header_number(path: Path, key: str) -> float:
    value = read_header(path, None).get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(
            "the header value must be a number", file=path, key=key, got=repr(value),
            remedy="Correct the header, or give the value in the .sex file.",
        )  # fmt: skip
    return float(value)


def _read(
    image: Path, weight: Path | None, flag: Path | None, settings: Settings,
    config: SextractorConfig,
) -> Exposure:  # fmt: skip
    kind = settings.text("WEIGHT_TYPE").upper()
    zero_point = settings.number("MAG_ZEROPOINT")
    if config.zero_point_from_header:
        zero_point = _header_number(image, config.zero_point_key)
    exposure = read_exposure(
        image, weight_path=weight,
        weight_kind=None if weight is None else _KINDS.get(kind, "relative"),
        flag_path=flag, zero_point=zero_point,
        keywords=HeaderKeywords(
            gain=(settings.text("GAIN_KEY"),), saturation=(settings.text("SATUR_KEY"),)
        ),
    )  # fmt: skip
    # Where the header is silent, the .sex file decides, as in the original.
    if exposure.gain == 0:
        exposure = exposure.replace(gain=settings.number("GAIN"))
    if not np.isfinite(exposure.saturation):
        exposure = exposure.replace(saturation=settings.number("SATUR_LEVEL"))
    return exposure


def _with_epochs(
    table: Table, header: str, config: SextractorConfig, record: Record, image: Path
) -> tuple[Table, list[Table]]:
    """The catalogue with N_EPOCH, and a table for each exposure of the tile."""
    assert config.wcs_log is not None  # noqa: S101 - checked with the configuration
    log = read_wcs_log(config.wcs_log)
    names = exposures_of_tile(header)
    missing = [name for name in names if name not in log]
    if not names:
        record.note(f"{image.name}: no HISTORY card names an exposure; no object has an epoch.")
    if missing:
        record.note(
            f"{image.name}: exposures of its HISTORY are not in {config.wcs_log.name}:"
            f" {', '.join(missing)}."
        )
    repeated = repeated_exposures(header)
    if repeated:
        record.note(
            f"{image.name}: its HISTORY names exposures more than once, which count once:"
            f" {', '.join(repeated)}."
        )
    ccds = [ccd for name in names if name in log for ccd in log[name]]
    for name in config.world_position:
        if name not in table.colnames:
            raise ConfigError(
                "the catalogue lacks a column", file=config.param_file, key="WORLD_POSITION",
                got=name, remedy="Add it to the .param file.",
            )  # fmt: skip
    ra, dec = (np.asarray(table[name], dtype=np.float64) for name in config.world_position)
    epochs = find_epochs(ra, dec, ccds, EpochConfig(ccd_size=config.ccd_size))
    table = table.copy(copy_data=False)
    table["N_EPOCH"] = build_table({"N_EPOCH": epochs.n_epoch}, rows=len(table))["N_EPOCH"]
    return table, epoch_tables(epochs, table["NUMBER"])
