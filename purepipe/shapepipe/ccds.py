"""split_exp, merge_headers, mask and setools: one exposure, or one CCD or tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from purepipe.errors import ConfigError, InputFileError
from purepipe.exposure import Exposure
from purepipe.io.ccd_files import list_units
from purepipe.io.exposures import read_exposure, whole_numbers
from purepipe.io.images import read_image, write_image
from purepipe.io.layout import open_input
from purepipe.io.ldac import read_ldac
from purepipe.io.masks import mask_name, write_mask
from purepipe.io.nebulae import read_configured_nebulae
from purepipe.io.selection import write_products
from purepipe.io.stars import read_star_catalogue
from purepipe.mask import build_mask
from purepipe.select.products import apply_recipe
from purepipe.shapepipe import originals
from purepipe.shapepipe.config import (
    MaskModuleConfig,
    MergeHeadersConfig,
    SetoolsConfig,
    SplitExpConfig,
)
from purepipe.shapepipe.headers import LOG_NAME, read_headers, write_headers, write_wcs_log
from purepipe.shapepipe.job import Job, Record
from purepipe.survey import flag_type


def split(job: Job, config: SplitExpConfig, record: Record) -> None:
    """One file for each CCD and map, and the headers of all CCDs."""
    if len(config.prefixes) != len(job.files):
        raise ConfigError(
            "each input needs one output name", key="OUTPUT_SUFFIX", got=len(config.prefixes),
            allowed=f"{len(job.files)}, as in FILE_PATTERN",
        )  # fmt: skip
    exposure = job.number.strip("-_")
    for prefix, path in zip(config.prefixes, job.files, strict=True):
        units = list_units(path, exposure)
        if len(units) < config.n_hdu:
            raise InputFileError(
                "the exposure has too few CCDs", file=path, got=len(units),
                allowed=f"{config.n_hdu} (N_HDU)",
                remedy="Fetch the file again, or correct N_HDU.",
            )  # fmt: skip
        if len(units) > config.n_hdu:
            record.note(f"{path.name}: {len(units) - config.n_hdu} HDUs beyond N_HDU are left out.")
        units = units[: config.n_hdu]
        for unit in units:
            array, _ = read_image(path, unit.hdu)
            if "flag" in prefix:
                flags = whole_numbers(array, path)
                array = flags.astype(flag_type(flags))
            name = f"{prefix}{job.number}-{unit.ccd}.fits"
            write_image(record.product(name), array, fits.Header.fromstring(unit.header))
        if "image" in prefix:
            write_headers(
                record.product(f"headers{job.number}.npy"), [unit.header for unit in units]
            )


def merge_headers(job: Job, config: MergeHeadersConfig, record: Record) -> None:
    """The headers of all CCDs of all exposures in one file."""
    headers = {number.strip("-_"): read_headers(files[0]) for number, files in job.table}
    write_wcs_log(record.product(LOG_NAME, folder=config.output_path), headers)


def mask(job: Job, config: MaskModuleConfig, record: Record) -> None:
    """The flag map of a CCD or a tile."""
    assert config.config_path is not None  # noqa: S101 - it is required
    rules = originals.mask_config(config.config_path)
    image, weight, flag, stars = _mask_files(job, config)
    exposure = _read(image, weight, flag, config.hdu)
    table = None if stars is None else _stars(stars, record)
    if table is None and (rules.halo.make or rules.spike.make):
        raise ConfigError(
            "halos and spikes are to be masked, but there is no star catalogue",
            file=config.config_path, key="HALO_MAKE, SPIKE_MAKE",
            remedy="Write star catalogues by purepipe stars, set USE_EXT_STAR = True and add"
            " star_cat to FILE_PATTERN; nothing is fetched from the network.",
        )  # fmt: skip
    planes = build_mask(exposure, table, rules, **read_configured_nebulae(rules))
    name = mask_name(job.number, config.prefix)
    write_mask(record.product(str(name)), planes, exposure, rules, compress=False)


def _mask_files(job: Job, config: MaskModuleConfig) -> tuple[Path, Path, Path | None, Path | None]:
    """Image, weight, flag map and star catalogue; which the last ones are, the options say."""
    if not 2 <= len(job.files) <= 4:
        raise ConfigError(
            "the mask needs image and weight, and if wanted flag map and star catalogue",
            key="FILE_PATTERN", got=f"{len(job.files)} files", allowed="2 to 4",
        )  # fmt: skip
    image, weight, *rest = job.files
    wanted = [config.use_ext_flag, config.use_ext_star]
    if len(rest) > sum(wanted) or (len(rest) == 2 and not all(wanted)):
        raise ConfigError(
            "the options do not say what the further files are", key="USE_EXT_FLAG, USE_EXT_STAR",
            got=f"{len(rest)} further files, {sum(wanted)} options true",
        )  # fmt: skip
    if len(rest) == 1 and all(wanted):
        # The tutorial's tiles: both options, but no flag map.
        return (
            (image, weight, rest[0], None) if _is_fits(rest[0]) else (image, weight, None, rest[0])
        )
    flag = rest.pop(0) if rest and config.use_ext_flag else None
    stars = rest.pop(0) if rest and config.use_ext_star else None
    return image, weight, flag, stars


def _is_fits(path: Path) -> bool:
    with open_input(path) as stream:
        return stream.read(9) == b"SIMPLE  ="


def _read(image: Path, weight: Path, flag: Path | None, hdu: int) -> Exposure:
    exposure = read_exposure(
        image, weight_path=weight, weight_kind="relative", flag_path=flag,
        flag_hdu=None if flag is None or hdu == 0 else hdu,
    )  # fmt: skip
    exposure.require_data()
    return exposure


def _stars(path: Path, record: Record) -> Table:
    table = read_star_catalogue(path)
    if table.meta["n_without_mag"]:
        record.note(f"{path.name}: {table.meta['n_without_mag']} stars have no magnitude.")
    return table


def setools(job: Job, config: SetoolsConfig, record: Record) -> None:
    """Selections, splits, statistics and plots of one catalogue."""
    assert config.config_path is not None  # noqa: S101 - it is required
    recipe = originals.recipe(config.config_path)
    table = read_ldac(job.files[0])
    products = apply_recipe(recipe, table, seed=0, unit=job.number)
    record.products += write_products(job.out, products, table, number=job.number)
    for note in products.notes:
        record.note(note)
    for item in products.masks.values():
        if item.save and not np.any(item.rows):
            record.note(f"{item.name} is empty: {item.report()}")
