"""``purepipe convert``: a survey in TOML from a set of pipeline files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from purepipe.config import SurveyConfig, from_mapping, to_mapping
from purepipe.errors import ConfigError
from purepipe.legacy.astromatic import Settings
from purepipe.shapepipe import originals
from purepipe.shapepipe.config import (
    MakeCatConfig,
    MaskModuleConfig,
    NgmixConfig,
    PSFExConfig,
    PSFInterpConfig,
    SextractorConfig,
    SplitExpConfig,
    VignetConfig,
    seconds,
)
from purepipe.shapepipe.inputs import input_patterns
from purepipe.shapepipe.settings import Pipeline, Step, load_pipeline

_KINDS = {"MAP_RMS": "rms", "MAP_VAR": "variance", "MAP_WEIGHT": "relative"}
_NUMBER = "{number}"

# Modules that a survey in TOML does by itself, or has no use for.
_WITHOUT = {
    "setools": "stars are found by the stellar locus: [ccd.stars]; the selections, plots and"
    " statistics of the .setools file are not carried over (purepipe setools makes them)",
    "merge_headers": "the headers of the CCDs are read when the run is planned",
    "spread_model": "the spread model is a part of the tile's steps",
    "get_images": "link or copy the images yourself",
    "find_exposures": "the exposures of a tile are found in its HISTORY",
    "uncompress_fits": "compressed images are read as they are",
    "merge_sep_cats": "objects are measured in blocks, and joined",
    "merge_starcat": "the report joins the stars of all CCDs",
    "random_cat": "make random catalogues with purepipe randoms",
    "match_external": "match catalogues with purepipe match",
    "pastecat": "the final catalogue holds all columns",
}


@dataclass
class _Survey:
    """The survey as far as the files have been gone through."""

    folder: Path
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def set(self, key: str, value: Any, source: str) -> None:
        """Put a value under a dotted key; a second, different one is noted."""
        *tables, name = key.split(".")
        place = self.values
        for table in tables:
            place = place.setdefault(table, {})
        if name in place and place[name] != value:
            self.note(f"{key} is {place[name]!r}; {source} has {value!r}, which is left out")
            return
        place[name] = value

    def note(self, text: str) -> None:
        """Keep a remark, once."""
        if text not in self.notes:
            self.notes.append(text)

    def path(self, path: Path) -> str:
        """A path as seen from the folder of the TOML file, where it lies in it."""
        text = os.path.relpath(path.resolve(), self.folder)
        return str(path.resolve()) if text.startswith("..") else text


def convert(files: Sequence[Path], folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The TOML content of the survey that a set of pipeline files describes, and what it lacks.

    Parameters
    ----------
    files
        Pipeline files, for instance one for the exposures and one for the tiles; relative paths
        in them start at the current folder.
    folder
        Where the TOML file will lie.

    Returns
    -------
    Nested values, only those that differ from the defaults; and one remark for each thing that a
    survey in TOML does in another way or not at all.

    Raises
    ------
    ConfigError
        A mistake in the files, or nothing in them that a survey could use.
    """
    survey = _Survey(folder.resolve())
    known = 0
    for file in files:
        pipeline = load_pipeline(Path(file))
        _general(pipeline, survey)
        for step in pipeline.steps:
            known += _step(step, pipeline, survey)
    if not known:
        raise ConfigError(
            "none of the modules has an equivalent in a survey", file=files[0] if files else None,
            remedy="Give the files with mask_runner, sextractor_runner and psfex_runner.",
        )  # fmt: skip
    _missing(survey)
    config = from_mapping(SurveyConfig, survey.values)
    return _changes(to_mapping(config), to_mapping(SurveyConfig())), survey.notes


def _general(pipeline: Pipeline, survey: _Survey) -> None:
    general = pipeline.general
    survey.values.setdefault("out", survey.path(pipeline.output_dir / "purepipe"))
    limit = seconds(general.timeout)
    if limit is not None:
        survey.set("run.timeout", limit, f"TIMEOUT of {pipeline.file.name}")
    if general.batch_size > 1:
        survey.note(
            f"SMP_BATCH_SIZE = {general.batch_size}: give the number of processes with -j;"
            " without, all cores are used"
        )
    if general.number_list:
        survey.note("NUMBER_LIST has no equivalent: all files that fit are used")


def _is_tile(step: Step, pipeline: Pipeline) -> bool:
    """Whether the numbers of a step are those of tiles: two groups of three digits."""
    scheme = step.inputs.scheme or pipeline.general.numbering_scheme or step.module.schemes[0]
    digits = re.findall(r"\d+", scheme) if not scheme.startswith("RE:") else []
    return [len(group) for group in digits] == [3, 3] or r"\d{3}-\d{3}" in scheme


def _step(step: Step, pipeline: Pipeline, survey: _Survey) -> int:
    """Take over what a step says; 1 when a survey has something like it."""
    place = "tile" if _is_tile(step, pipeline) else "ccd"
    source = f"{pipeline.file.name} [{step.section}]"
    config = step.config
    if isinstance(config, SplitExpConfig):
        _exposures(step, pipeline, survey)
    elif isinstance(config, MaskModuleConfig) and config.config_path is not None:
        mask = to_mapping(originals.mask_config(config.config_path))
        for key, value in mask.items():
            survey.set(f"{place}.mask.{key}", value, source)
        if place == "tile":
            _tiles(step, pipeline, survey)
        if config.use_ext_star:
            survey.note(
                "star catalogues of single images: a survey has one for all; set inputs.stars"
            )
    elif isinstance(config, SextractorConfig):
        _detection(config, place, survey, source)
    elif isinstance(config, PSFExConfig) and config.psfex_file is not None:
        psf = to_mapping(originals.psf_settings(config.psfex_file)[1])
        for key, value in psf.items():
            survey.set(f"ccd.psf.{key}", value, source)
    elif isinstance(config, PSFInterpConfig):
        survey.set("tile.psf.min_stars", config.min_stars, source)
        survey.set("tile.psf.max_chi2", config.max_chi2, source)
    elif isinstance(config, VignetConfig):
        survey.set("tile.shapes.stamp_size", config.size, source)
    elif isinstance(config, NgmixConfig):
        survey.set("inputs.zero_point", config.zero_point, source)
        if config.first > 0 or config.last > 0:
            survey.note("ID_OBJ_MIN, ID_OBJ_MAX: all objects are measured, in blocks")
    elif isinstance(config, MakeCatConfig):
        survey.set("tile.spread.star_limit", config.star_limit, source)
        survey.set("tile.spread.galaxy_limit", config.galaxy_limit, source)
    else:
        survey.note(f"{step.name}: {_WITHOUT.get(step.module.name, 'no equivalent')}")
        return 0
    return 1


def _detection(config: SextractorConfig, place: str, survey: _Survey, source: str) -> None:
    settings, detect = originals.detect_settings(config)
    values = to_mapping(detect)
    # A survey needs columns of its own choice; the usual ones of ShapePipe are among them.
    values.pop("columns", None)
    for key, value in values.items():
        survey.set(f"{place}.detect.{key}", value, source)
    kind = _KINDS.get(settings.text("WEIGHT_TYPE").upper())
    if kind is not None:
        name = "inputs.tile_weight_kind" if place == "tile" else "inputs.weight_kind"
        survey.set(name, kind, source)
    if place == "tile":
        survey.set("inputs.zero_point", settings.number("MAG_ZEROPOINT"), source)
    _keywords(settings, survey, source)
    if config.ccd_size is not None:
        survey.set("tile.epochs.ccd_size", list(config.ccd_size), source)
    if config.check_images:
        survey.note(f"{source}: check-images are not written; purepipe sex makes them")


def _keywords(settings: Settings, survey: _Survey, source: str) -> None:
    survey.set("inputs.gain_keys", [settings.text("GAIN_KEY")], source)
    survey.set("inputs.saturation_keys", [settings.text("SATUR_KEY")], source)


def _exposures(step: Step, pipeline: Pipeline, survey: _Survey) -> None:
    assert isinstance(step.config, SplitExpConfig)  # noqa: S101 - the caller has looked
    paths = _patterns(step, pipeline, survey)
    for prefix, path in zip(step.config.prefixes, paths, strict=False):
        for name in ("image", "weight", "flag"):
            if name in prefix:
                survey.set(f"inputs.{name}", path, f"[{step.section}]")


def _tiles(step: Step, pipeline: Pipeline, survey: _Survey) -> None:
    """Image and weight of the tiles, in the order in which the mask takes them."""
    paths = _patterns(step, pipeline, survey)
    for name, path in zip(("tile_image", "tile_weight"), paths, strict=False):
        survey.set(f"inputs.{name}", path, f"[{step.section}]")


def _patterns(step: Step, pipeline: Pipeline, survey: _Survey) -> list[str]:
    """The files of a step as patterns of a survey, in the first folder of its INPUT_DIR."""
    folders = [
        Path(item)
        for item in (step.inputs.input_dir or pipeline.general.input_dir)
        if Path(item).is_dir()
    ]
    if not folders:
        survey.note(f"[{step.section}]: the folder of its input files is not known; set [inputs]")
        return []
    patterns, extensions = input_patterns(step, pipeline)
    start = survey.path(folders[0])
    scheme = step.inputs.scheme or pipeline.general.numbering_scheme or step.module.schemes[0]
    dash = scheme[0] if scheme and not scheme[0].isdigit() and not scheme.startswith("RE:") else "-"
    return [
        f"{start}/{pattern}{dash}{_NUMBER}{extension}"
        for pattern, extension in zip(patterns, extensions, strict=True)
    ]


def _missing(survey: _Survey) -> None:
    """Remarks about what a survey needs and the files do not say."""
    inputs = survey.values.get("inputs", {})
    for name in ("image", "weight", "tile_image", "tile_weight"):
        if name not in inputs:
            survey.note(f"inputs.{name}: no module says where these files are")
    if "flag" not in inputs and "image" in inputs:
        survey.set("inputs.flag", "", "")
    survey.note("inputs.stars: name the star catalogue of the survey (ra, dec, mag)")


def _changes(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The values that differ from the defaults."""
    changed = {}
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict):
            inner = _changes(value, default)
            if inner:
                changed[key] = inner
        elif value != default:
            changed[key] = value
    return changed
