"""ShapePipe's .mask files: which masks are made, and how."""

from __future__ import annotations

import configparser
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from purepipe.config.mask import MaskConfig
from purepipe.errors import ConfigError, InputFileError, did_you_mean_each
from purepipe.legacy.astromatic import read_settings
from purepipe.legacy.astromatic_files import read_text
from purepipe.legacy.originals import Setting, config_from_originals, original_keys

log = logging.getLogger(__name__)

# Keys of each section that switches itself on, and whether the section may be absent.
_SECTIONS = {
    "BORDER": (("WIDTH", "FLAG_VALUE"), False),
    "HALO": (("MASKMODEL_PATH", "MAG_LIM", "SCALE_FACTOR", "MAG_PIVOT", "FLAG_VALUE"), False),
    "SPIKE": (("MASKMODEL_PATH", "MAG_LIM", "SCALE_FACTOR", "MAG_PIVOT", "FLAG_VALUE"), False),
    "MESSIER": (("CAT_PATH", "SIZE_PLUS", "FLAG_VALUE"), False),
    "NGC": (("CAT_PATH", "SIZE_PLUS", "FLAG_VALUE"), True),
    "MD": (("THRESH_FLAG", "THRESH_REMOVE", "REMOVE"), False),
}

_NO_PROGRAM = "polygons are drawn without an outside program"
_NO_FILES = "no temporary files are made"

# Read, and ignored on purpose.
IGNORED: Mapping[str, str] = {
    "WW_PATH": _NO_PROGRAM,
    "WW_CONFIG_FILE": "its weight range is used",
    "CDSCLIENT_PATH": "no catalogue is fetched from the network; give a star catalogue",
    "HALO_REG_FILE": _NO_FILES,
    "SPIKE_REG_FILE": _NO_FILES,
    "MESSIER_PIXEL_SCALE": "the pixel scale comes from the world coordinates",
    "EF_MAKE": "the flag map of the exposure is used when there is one",
    "TEMP_DIRECTORY": _NO_FILES,
    "KEEP_REG_FILE": _NO_FILES,
    "KEEP_INDIVIDUAL_MASK": "every rule has a bit of its own in the mask",
}

# Files that ShapePipe ships and purepipe has built in, by the beginning of their names.
_SHIPPED_MODELS = {"HALO": "halo_mask.reg", "SPIKE": "MEGAPRIME_star_i_13.8.reg"}
_SHIPPED_CATALOGUES = {"MESSIER": "Messier_catalog", "NGC": "ngc_cat"}


def read_mask_config(
    path: str | os.PathLike[str], *, compat: str = "none", lenient: bool = False
) -> MaskConfig:
    """The configuration of the masks that a .mask file and its files ask for.

    Model polygons and the .ww file are found from the current folder, or beside the .mask file;
    those that ShapePipe ships need not exist, they are built in. A catalogue of Messier or NGC
    objects is not opened here: its path is in the configuration, unless it is the shipped one
    and does not exist, or a NumPy file.

    Parameters
    ----------
    path
        The file.
    compat
        ``"shapepipe"`` to reproduce ShapePipe's maps with their known faults.
    lenient
        Warn of unknown keys and pass over them.

    Raises
    ------
    InputFileError
        The file, a model polygon or the .ww file cannot be read.
    ConfigError
        An unknown or a missing key, or a value that is not understood or out of range.
    """
    return parse_mask_config(read_text(path), file=path, compat=compat, lenient=lenient)


def parse_mask_config(
    text: str, *, file: str | os.PathLike[str], compat: str = "none", lenient: bool = False
) -> MaskConfig:
    """As `read_mask_config`, from the text of the file."""
    path = file
    settings = _read_settings(text, str(path))
    _refuse_unknown(settings, str(path), lenient)
    given: dict[str, Any] = {"compat": compat}
    for name, (keys, optional) in _SECTIONS.items():
        make = settings.get(f"{name}_MAKE")
        if make is None and optional:
            make = settings[f"{name}_MAKE"] = Setting(f"{name}_MAKE", ("False",))
        if make is None:
            raise ConfigError(
                "a key is missing", file=path, key=f"[{name}_PARAMETERS] {name}_MAKE",
                allowed="True, False",
            )  # fmt: skip
        if make.values and make.values[0].casefold() in ("true", "yes", "on", "1"):
            _require_keys(settings, name, keys, path)
        else:
            # The keys of a section that is off are not read: they may be out of date.
            for key in keys:
                settings.pop(f"{name}_{key}", None)
    given |= _files_named(settings, path)
    given |= _weight_range(settings, path)
    return config_from_originals(MaskConfig, "mask", settings, given=given, file=path)


def _read_settings(text: str, file: str) -> dict[str, Setting]:
    parser = configparser.ConfigParser(interpolation=configparser.BasicInterpolation())
    try:
        parser.read_string(text, source=file)
        lines = {
            line.partition("=")[0].partition(":")[0].strip().upper(): number
            for number, line in enumerate(text.splitlines(), start=1)
            if not line.lstrip().startswith(("#", ";", "["))
        }
        return {
            key.upper(): Setting(key.upper(), (value,) if value else (), lines.get(key.upper(), 0))
            for section in parser.sections()
            for key, value in parser.items(section)
        }
    except configparser.Error as error:
        message = " ".join(str(error).split())
        raise InputFileError(
            f"this is not a .mask file: {message}", file=file,
            remedy="It needs sections in brackets and lines KEY = value.",
        ) from error  # fmt: skip


def _refuse_unknown(settings: dict[str, Setting], file: str, lenient: bool) -> None:
    known = {**original_keys(MaskConfig, "mask"), **IGNORED}
    unknown = [setting for key, setting in settings.items() if key not in known]
    if not unknown:
        return
    text = did_you_mean_each({item.where: item.key for item in unknown}, known)
    if not lenient:
        raise ConfigError(f"unknown keys: {text}", file=file)
    log.warning("%s: unknown keys: %s", file, text)


def _require_keys(
    settings: Mapping[str, Setting], name: str, keys: tuple[str, ...], file: object
) -> None:
    missing = [
        f"{name}_{key}"
        for key in keys
        if f"{name}_{key}" not in settings or not settings[f"{name}_{key}"].values
    ]
    if missing:
        raise ConfigError(
            f"keys are missing: {', '.join(missing)}", file=file, key=f"[{name}_PARAMETERS]",
            remedy=f"Give them, or set {name}_MAKE to False.",
        )  # fmt: skip


def _files_named(settings: Mapping[str, Setting], file: object) -> dict[str, Any]:
    """The model polygons, and the paths of the catalogues."""
    from purepipe.mask.rules import parse_polygon_model

    given: dict[str, Any] = {}
    for name, shipped in _SHIPPED_MODELS.items():
        key = f"{name}_MASKMODEL_PATH"
        if key not in settings:
            continue
        path = _find(settings[key], file)
        if path.exists() or path.name != shipped:
            model = parse_polygon_model(read_text(path), file=path)
            given[f"{name.lower()}.polygon"] = tuple(map(tuple, model.tolist()))
        else:
            log.info("%s: %s is not there; the built-in one is used", file, path)
            given[f"{name.lower()}.polygon"] = ()
    for name, shipped in _SHIPPED_CATALOGUES.items():
        key = f"{name}_CAT_PATH"
        if key not in settings:
            continue
        path = _find(settings[key], file)
        built_in = path.name.startswith(shipped)
        if path.suffix == ".npy" and not built_in:
            raise ConfigError(
                "NumPy files of objects are not read", file=file, key=settings[key].where,
                got=path, remedy="Give a FITS or ECSV table with ra, dec, major.",
            )  # fmt: skip
        use_built_in = built_in and (path.suffix == ".npy" or not path.exists())
        given[f"{name.lower()}.catalogue"] = None if use_built_in else path
    return given


def _weight_range(settings: Mapping[str, Setting], file: object) -> dict[str, Any]:
    """The weight range of the .ww file; that of the shipped one when it does not exist."""
    values: tuple[float, float, int] = (0.0, 1000.0, 1)
    if "WW_CONFIG_FILE" in settings and settings["WW_CONFIG_FILE"].values:
        path = _find(settings["WW_CONFIG_FILE"], file)
        if path.exists() or path.name != "default.ww":
            found = read_settings(path, "ww", lenient=True)
            values = (
                found.number("WEIGHT_MIN"),
                found.number("WEIGHT_MAX"),
                int(found.text("WEIGHT_OUTFLAGS") or "1", 0),
            )
        else:
            log.info("%s: %s is not there; weights from 0 to 1000 are good", file, path)
    return dict(zip(("weight.minimum", "weight.maximum", "weight.flag"), values, strict=True))


def _find(setting: Setting, file: Any) -> Path:
    """A path named by a key: from the current folder, else beside the file that names it."""
    path = Path(os.path.expandvars(setting.values[0]))
    beside = Path(file).parent / path
    return beside if not path.exists() and beside.exists() else path
