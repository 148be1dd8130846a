"""``purepipe ww``: weight maps, flag maps and regions combined, with WeightWatcher's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe import __version__
from purepipe.commands.console import guarded, say
from purepipe.config.mask import CombineConfig
from purepipe.errors import ConfigError, DataError, InputFileError
from purepipe.io.images import clean_header, list_ccds, read_header, read_image
from purepipe.io.layout import fits_layout
from purepipe.io.maps import image_writer
from purepipe.io.regions import read_regions
from purepipe.io.votable import write_report_xml
from purepipe.legacy.astromatic import (
    Settings,
    parse_arguments,
    read_combine_config,
    read_settings,
)
from purepipe.legacy.astromatic_keys import DEFAULTS
from purepipe.legacy.originals import original_keys
from purepipe.mask.combine import Combined, area_cards, combine, flag_dtype
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from astropy.io.fits import Header

USAGE = """\
purepipe ww [-c FILE] [-KEYWORD VALUE]... [--lenient] [--compat] [--rule RULE]

Combine weight maps, flag maps and regions into one flag map and one weight map.

-c FILE        configuration file; default: default.ww, if there is one
-KEYWORD VALUE overrides a keyword of the file, e.g. -WEIGHT_NAMES w.fits
-d, -dd        print a configuration file with all keywords
-v             print the version
--lenient      warn of unknown keywords instead of refusing them
--compat       reproduce WeightWatcher's faults: flags from 256 on are lost in 16-bit maps, bit 7
               of 8-bit maps counts as all higher ones, only polygons are drawn, and the
               number of a line tile N goes down with each polygon after it
--rule RULE    how regions meet pixels: weightwatcher (default) or centre

Exit status: 0 fine, 1 files or data cannot be used, 2 wrong configuration.
"""
RULES = ("weightwatcher", "centre")
_DEFAULT_FILE = "default.ww"
_NAMES = {"flag": "FLAG MAP", "weight": "WEIGHT MAP"}


@dataclass(frozen=True)
class Job:
    """What is to be combined, how, and where the maps go."""

    settings: Settings
    config: CombineConfig
    weights: tuple[Path, ...]
    flags: tuple[Path, ...]
    regions: tuple[Path, ...]
    rule: str
    compat: bool

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All input maps; the first one says how many images there are."""
        return (*self.weights, *self.flags)


def main(arguments: list[str]) -> int:
    """Combine the maps that the arguments name.

    Parameters
    ----------
    arguments
        As for WeightWatcher: ``-c default.ww -WEIGHT_NAMES w.fits ...``.

    Returns
    -------
    Exit status: 0 fine, 1 files or data cannot be used, 2 wrong configuration.
    """
    return guarded("ww", _run, arguments)


def _run(arguments: list[str]) -> int:
    if not arguments or {"-h", "--help"} & set(arguments):
        say(USAGE)
    elif {"-v", "--version"} & set(arguments):
        say(f"purepipe ww {__version__}")
    elif {"-d", "-dd"} & set(arguments):
        width = max(map(len, DEFAULTS["ww"]))
        say("\n".join(f"{key:{width}} {value}" for key, value in DEFAULTS["ww"].items()))
    else:
        job = read_job(arguments)
        rows = run_job(job)
        if job.settings.text("VERBOSE_TYPE").upper() != "QUIET":
            say("\n".join(_summary(row) for row in rows))
        if job.settings.flag("WRITE_XML"):
            _write_xml(job, rows)
    return 0


def read_job(arguments: Sequence[str]) -> Job:
    """The job that a command line and its configuration file ask for.

    Raises
    ------
    ConfigError
        An unknown keyword or option, a value that is not understood, or no input map.
    InputFileError
        The configuration file cannot be read.
    """
    switches, rule, rest = _options(arguments)
    files, path, overrides = parse_arguments(rest)
    if files:
        raise ConfigError(
            "WeightWatcher takes no files without a keyword", got=" ".join(files),
            remedy="Name the maps by -WEIGHT_NAMES and -FLAG_NAMES.",
        )  # fmt: skip
    if path is None and Path(_DEFAULT_FILE).is_file():
        path = _DEFAULT_FILE
    settings = read_settings(path, "ww", overrides=overrides, lenient="--lenient" in switches)
    weights, flags, regions = (
        tuple(map(Path, settings.texts(key)))
        for key in ("WEIGHT_NAMES", "FLAG_NAMES", "POLY_NAMES")
    )
    _require_names(settings, bool(weights or flags))
    config = _used(read_combine_config(settings), len(weights), len(flags), len(regions))
    compat = "--compat" in switches
    config = replace(config, compat="weightwatcher" if compat else "none")
    return Job(settings, config, weights, flags, regions, rule, compat)


def _require_names(settings: Settings, any_input: bool) -> None:
    if not any_input:
        raise ConfigError(
            "no input map", file=settings.file or None, key="WEIGHT_NAMES, FLAG_NAMES",
            remedy="Name at least one weight map or flag map.",
        )  # fmt: skip
    outputs = [settings.text(f"OUT{kind}_NAME") for kind in ("FLAG", "WEIGHT")]
    if outputs[0] and outputs[0] == outputs[1]:
        raise ConfigError(
            "the two outputs have one name", file=settings.file or None,
            key="OUTFLAG_NAME, OUTWEIGHT_NAME", got=outputs[0],
            remedy='Change one, or give it as "" if it is not wanted.',
        )  # fmt: skip


def _options(arguments: Sequence[str]) -> tuple[set[str], str, list[str]]:
    """Purepipe's own switches, the rule of drawing, and all other words."""
    switches: set[str] = set()
    rest: list[str] = []
    rule = RULES[0]
    words = iter(arguments)
    for word in words:
        if word in ("--lenient", "--compat"):
            switches.add(word)
        elif word == "--rule":
            rule = next(words, "")
            if rule not in RULES:
                raise ConfigError("unknown rule", key=word, got=rule, allowed=", ".join(RULES))
        elif word.startswith("--"):
            raise ConfigError(
                "unknown option", key=word, allowed="--lenient, --compat, --rule, --help"
            )
        else:
            rest.append(word)
            # The value of a keyword may begin with dashes.
            if word.startswith("-") and word != "-" and (value := next(words, None)) is not None:
                rest.append(value)
    return switches, rule, rest


def _used(config: CombineConfig, weights: int, flags: int, regions: int) -> CombineConfig:
    """The configuration without output values that no input needs: they would widen the map."""
    bits = sum(mask.bit_count() for mask in config.flag_masks[:flags])
    return replace(
        config,
        weight_out_flags=config.weight_out_flags[:weights],
        flag_out_flags=config.flag_out_flags[:bits],
        region_out_flags=config.region_out_flags[:regions],
    )


def run_job(job: Job) -> list[dict[str, Any]]:
    """Combine the maps, image by image, and write the results.

    Returns
    -------
    One row for each map that was written and each image in it: name, type (``"W"`` or ``"F"``),
    extension, pixels, flagged pixels, effective area (NaN when it was not asked for).

    Raises
    ------
    InputFileError, DataError
        A file is missing, or files do not fit together.
    ConfigError
        Fewer values than maps.
    StoreError
        An output cannot be written.
    """
    images = {path: [number for number, _ in list_ccds(path)] for path in job.inputs}
    first = job.inputs[0]
    for path, numbers in images.items():
        if len(numbers) < max(len(images[first]), 1):
            raise InputFileError(
                "too few images", file=path, got=len(numbers),
                allowed=f"{max(len(images[first]), 1)}, as in {first}",
            )  # fmt: skip
    extensions = _extensions(first, len(images[first]))
    rows: list[dict[str, Any]] = []
    flag_name, weight_name = (_output(job, f"OUT{kind}_NAME") for kind in ("FLAG", "WEIGHT"))
    with (
        image_writer(weight_name, extensions=extensions) as write_weight,
        image_writer(flag_name, extensions=extensions) as write_flags,
    ):
        for number in range(len(images[first])):
            hdus = {path: numbers[number] for path, numbers in images.items()}
            combined = _combine(job, hdus, number + 1)
            cards = area_cards(combined, job.config)
            weight_source = (*job.weights, *job.flags)[0]
            flag_source = (*job.flags, *job.weights)[0]
            header = _header(weight_source, hdus[weight_source], "weight", cards["weight"])
            write_weight(combined.weight_map, header)
            header = _header(flag_source, hdus[flag_source], "flag", cards["flag"])
            write_flags(combined.flag_map.astype(flag_dtype(job.config)), header)
            rows += _rows(combined, {"W": weight_name, "F": flag_name}, number + 1)
    return rows


def _extensions(path: Path, count: int) -> int:
    """Number of extensions of the outputs: 0 for one image, unless it is an extension itself."""
    layout = fits_layout(path)
    if count == 1 and (layout[0].image_shape or layout[1].kind == "compressed image"):
        return 0
    return count


def _output(job: Job, key: str) -> Path | None:
    return Path(job.settings.text(key)) if job.settings.text(key) else None


def _combine(job: Job, hdus: dict[Path, int], number: int) -> Combined:
    """The maps of one image; the order of the arrays is that of the names."""
    weights = [read_image(path, hdus[path])[0] for path in job.weights]
    flags = [read_image(path, hdus[path])[0] for path in job.flags]
    _require_fit(job, [*weights, *flags], len(weights))
    if job.compat:
        # The original takes bit 7 of an 8-bit map for a sign, and so sets all higher bits with it.
        flags = [item.view(np.int8) if item.dtype == np.uint8 else item for item in flags]
    source = job.inputs[0]
    wcs = _coordinates(source, hdus[source])
    regions = [
        read_regions(path, extension=number, wcs=wcs, polygons_only=job.compat)
        for path in job.regions
    ]
    try:
        return combine(weights, flags, regions, job.config, rule=job.rule, origin=1)
    except ConfigError as error:
        _name_keyword(error, job.settings)
        raise


def _require_fit(job: Job, maps: Sequence[Any], n_weights: int) -> None:
    for path, item, is_flag in zip(
        job.inputs, maps, np.arange(len(maps)) >= n_weights, strict=True
    ):
        if item.shape != maps[0].shape:
            raise DataError(
                f"all maps must have the size of {job.inputs[0]}", file=path,
                got=f"{item.shape[1]} x {item.shape[0]}",
                allowed=f"{maps[0].shape[1]} x {maps[0].shape[0]}",
            )  # fmt: skip
        if is_flag and item.dtype.kind not in "iub":
            raise DataError("a flag map must hold integers", file=path, got=item.dtype)


def _coordinates(path: Path, hdu: int) -> WCS | None:
    """World coordinates of the first map, for regions on the sky; None where it has none."""
    try:
        return WCS.from_header(read_header(path, hdu))
    except DataError:
        return None


def _name_keyword(error: ConfigError, settings: Settings) -> None:
    """WeightWatcher's keyword, and its line, in place of the name of the field."""
    field = (error.key or "").removeprefix("combine.")
    for key, name in original_keys(CombineConfig, "ww").items():
        if name == field:
            error.key, error.file = settings[key].where, settings.file or None


def _header(path: Path, hdu: int, kind: str, cards: list[tuple[str, Any, str]]) -> Header:
    """The header of an input map, with the cards that say what the new map is."""
    header = clean_header(read_header(path, hdu))
    if "OBJECT" in header:
        header["OBJECT"] = _NAMES[kind]
    if "ORIGIN" in header:
        header["ORIGIN"] = "purepipe"
    for key in ("SOFTDATE", "SOFTINST", "EFF_AREA", "FLAGAREA", "WEIGAREA"):
        header.remove(key, ignore_missing=True)  # an earlier program's
    header["SOFTNAME"] = ("purepipe", "The software that processed those data")
    header["SOFTVERS"] = (__version__, "Version of the software")
    header["SOFTAUTH"] = ("The purepipe developers", "Maintainer of the software")
    for keyword, value, comment in cards:
        header[keyword] = (value, comment)
    return header


def _rows(combined: Combined, names: dict[str, Path | None], number: int) -> list[dict[str, Any]]:
    areas = combined.areas
    values = {"W": areas.weight if areas else np.nan, "F": areas.flags if areas else np.nan}
    counts = {
        "W": np.count_nonzero(combined.weight_map <= 0),
        "F": np.count_nonzero(combined.flag_map),
    }
    return [
        {
            "name": str(name), "type": kind, "extension": number,
            "pixels": combined.flag_map.size, "flagged": int(counts[kind]), "area": values[kind],
        }
        for kind, name in names.items()
        if name is not None
    ]  # fmt: skip


def _summary(row: dict[str, Any]) -> str:
    what = "flagged" if row["type"] == "F" else "of weight 0 or less"
    text = f"{row['name']}[{row['extension']}]: {row['flagged']} of {row['pixels']} pixels {what}"
    return text if np.isnan(row["area"]) else f"{text}, effective area {row['area']:.6f}"


def _write_xml(job: Job, rows: list[dict[str, Any]]) -> None:
    columns = {
        "Output_Image_Name": [row["name"] for row in rows],
        "Output_Image_Type": [row["type"] for row in rows],
        "Extension": [row["extension"] for row in rows],
        "Effective_Area": [float(row["area"]) for row in rows],
    }
    settings = {key: " ".join(item.values) for key, item in job.settings.with_defaults().items()}
    write_report_xml(
        job.settings.text("XML_NAME"), "WeightWatcher", table="OutFields", columns=columns,
        settings=settings,
    )  # fmt: skip
