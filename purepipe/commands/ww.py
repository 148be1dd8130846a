"""``purepipe ww``: weight maps, flag maps and regions combined, with WeightWatcher's arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from purepipe import __version__
from purepipe.commands.console import guarded, say
from purepipe.commands.outputs import require_other_files
from purepipe.config.mask import CombineConfig
from purepipe.errors import ConfigError, InputFileError
from purepipe.legacy.astromatic import (
    Settings,
    parse_arguments,
    read_combine_config,
    read_settings,
)
from purepipe.legacy.astromatic_keys import DEFAULTS

USAGE = """\
purepipe ww [-c FILE] [-KEYWORD VALUE]... [--lenient] [--compat] [--rule RULE]

Combine weight maps, flag maps and regions into one flag map and one weight
map.

-c FILE        configuration file; default: default.ww, if there is one
-KEYWORD VALUE overrides a keyword of the file, e.g. -WEIGHT_NAMES w.fits
-d, -dd        print a configuration file with all keywords
-v             print the version
--lenient      warn of unknown keywords instead of refusing them
--compat       reproduce WeightWatcher's faults: flags from 256 on are lost in
               16-bit maps, bit 7 of 8-bit maps counts as all higher ones, only
               polygons are drawn, and the number of a line tile N goes down
               with each polygon after it
--rule RULE    how regions meet pixels: weightwatcher (default) or centre

Exit status: 0 fine, 1 files or data cannot be used, 2 wrong configuration.
"""
RULES = ("weightwatcher", "centre")
_DEFAULT_FILE = "default.ww"


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
        # Only now, so that help and complaints about arguments come at once.
        from purepipe.commands.ww_maps import run_job

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
        An unknown keyword or option, a value that is not understood, no input map, an output that
        is an input, or no configuration file where one is named.
    InputFileError
        The configuration file exists and cannot be read, or a map that is meant by default does
        not exist.
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
    if path is not None and not Path(path).is_file():
        raise ConfigError(
            "the configuration file does not exist", key="-c", file=path,
            remedy="Check the path; `purepipe ww -d` prints a file with all keywords.",
        )  # fmt: skip
    settings = read_settings(path, "ww", overrides=overrides, lenient="--lenient" in switches)
    weights, flags, regions = (
        tuple(map(Path, settings.texts(key)))
        for key in ("WEIGHT_NAMES", "FLAG_NAMES", "POLY_NAMES")
    )
    _require_names(settings, bool(weights or flags))
    _require_defaults(settings)
    require_other_files(settings, _outputs(settings), (*weights, *flags, *regions))
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


def _require_defaults(settings: Settings) -> None:
    """Say where the name of a missing map comes from; the original just fails to find it."""
    for key in ("WEIGHT_NAMES", "FLAG_NAMES"):
        for name in () if key in settings.entries else settings.texts(key):
            if not Path(name).is_file():
                raise InputFileError(
                    f"the file does not exist, and is the built-in value of {key}", file=name,
                    remedy=f'Name the maps by -{key}, or give -{key} "" for none.',
                )  # fmt: skip


def _outputs(settings: Settings) -> list[tuple[str, Path]]:
    keys = ["OUTWEIGHT_NAME", "OUTFLAG_NAME"]
    keys += ["XML_NAME"] if settings.flag("WRITE_XML") else []
    return [(key, Path(settings.text(key))) for key in keys if settings.text(key)]


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


def _summary(row: dict[str, Any]) -> str:
    what = "flagged" if row["type"] == "F" else "of weight 0 or less"
    text = f"{row['name']}[{row['extension']}]: {row['flagged']} of {row['pixels']} pixels {what}"
    return text if math.isnan(row["area"]) else f"{text}, effective area {row['area']:.6f}"


def _write_xml(job: Job, rows: list[dict[str, Any]]) -> None:
    from astropy.table import Table

    from purepipe.io.votable import write_report_xml

    fields = Table({
        "Output_Image_Name": [row["name"] for row in rows],
        "Output_Image_Type": [row["type"] for row in rows],
        "Extension": [row["extension"] for row in rows],
        "Effective_Area": [float(row["area"]) for row in rows],
    })  # fmt: skip
    settings = {key: " ".join(item.values) for key, item in job.settings.with_defaults().items()}
    write_report_xml(
        job.settings.text("XML_NAME"), "WeightWatcher", {"OutFields": fields}, settings=settings
    )
