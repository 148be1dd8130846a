"""The configuration files of the modules."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from purepipe.config import DetectConfig, MaskConfig, PSFConfig, to_mapping
from purepipe.legacy.astromatic import Settings, read_detect_config, read_psf_config, read_settings
from purepipe.legacy.mask import read_mask_config
from purepipe.legacy.originals import Setting
from purepipe.legacy.setools import read_setools
from purepipe.select.recipe import Recipe
from purepipe.shapepipe.config import (
    MaskModuleConfig,
    PSFExConfig,
    SetoolsConfig,
    SextractorConfig,
)


def mask_config(path: Path) -> MaskConfig:
    """The masks that a .mask file asks for."""
    return read_mask_config(path)


def detect_settings(config: SextractorConfig) -> tuple[Settings, DetectConfig]:
    """The keywords of a .sex file, and the detection they stand for with the .param file."""
    settings = read_settings(config.sex_file, "sex")
    entries = dict(settings.entries)
    for key, path in (("PARAMETERS_NAME", config.param_file), ("FILTER_NAME", config.conv_file)):
        if path is not None:
            entries[key] = Setting(key, (str(path),), 0)
    settings = dataclasses.replace(settings, entries=entries)
    return settings, read_detect_config(settings)


def psf_settings(path: Path) -> tuple[Settings, PSFConfig]:
    """The keywords of a .psfex file, and the fit they stand for."""
    settings = read_settings(path, "psfex")
    return settings, read_psf_config(settings)


def recipe(path: Path) -> Recipe:
    """The selections of a .setools file."""
    return read_setools(path)


def contents(config: Any) -> Any:
    """What the files that a module's configuration names say, as plain values.

    Raises
    ------
    ConfigError
        A mistake in one of the files.
    InputFileError
        A file cannot be read.
    """
    if isinstance(config, MaskModuleConfig) and config.config_path is not None:
        return to_mapping(mask_config(config.config_path))
    if isinstance(config, SextractorConfig) and config.sex_file is not None:
        settings, detect = detect_settings(config)
        return [
            {key: item.values for key, item in settings.with_defaults().items()},
            to_mapping(detect),
        ]
    if isinstance(config, PSFExConfig) and config.psfex_file is not None:
        return to_mapping(psf_settings(config.psfex_file)[1])
    if isinstance(config, SetoolsConfig) and config.config_path is not None:
        return repr(recipe(config.config_path))
    return None
