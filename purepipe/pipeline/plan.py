"""The plan of a run: which files there are, and the units of work that follow from them."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from purepipe.catalogue.requests import SPREAD_COLUMNS, requested_columns
from purepipe.config import MaskConfig, SurveyConfig, from_mapping
from purepipe.config.survey import InputConfig
from purepipe.errors import ConfigError, NothingToDo, PurepipeError
from purepipe.io.config_file import read_toml
from purepipe.io.exposures import check_ccd_files
from purepipe.io.images import header_at, select_image
from purepipe.io.layout import fits_layout
from purepipe.io.paths import safe_name
from purepipe.io.stars import read_star_catalogue
from purepipe.mask.sky_map import require_healsparse
from purepipe.pipeline.cost import DEFAULT_COSTS, CostModel
from purepipe.pipeline.headers import ExposureFiles, ExposureHeaders, read_headers
from purepipe.pipeline.store import Outcome
from purepipe.pipeline.units import CCDReference, CCDTask, TileTask, Unit, ccd_unit, tile_unit
from purepipe.survey import exposures_of_tile


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes
    ----------
    units
        CCDs and tiles; the units of a tile's objects follow when they are known.
    problems
        Files that cannot be used, as outcomes of units that never start.
    fresh
        Headers that were read, by exposure, for the next plan of the same files.
    """

    units: tuple[Unit, ...]
    problems: tuple[Outcome, ...]
    fresh: dict[str, tuple[str, str]] = field(default_factory=dict)


def load_survey(path: Path) -> SurveyConfig:
    """The survey configuration in a TOML file; its relative paths start at the file's folder.

    Raises
    ------
    ConfigError
        Syntax error, unknown key, value out of range; file and key are named.
    """
    config = from_mapping(SurveyConfig, read_toml(path), file=path)
    return resolve_paths(config, path.resolve().parent)


def resolve_paths(config: SurveyConfig, folder: Path) -> SurveyConfig:
    """The configuration with every relative path started at `folder`."""
    names = ("image", "weight", "flag", "tile_image", "tile_weight", "tile_flag", "stars")
    changes: dict[str, Any] = {
        name: str(folder / getattr(config.inputs, name))
        for name in names
        if getattr(config.inputs, name)
    }
    return replace(
        config, out=folder / config.out, inputs=replace(config.inputs, **changes),
        ccd=replace(config.ccd, mask=_resolved_mask(config.ccd.mask, folder)),
        tile=replace(config.tile, mask=_resolved_mask(config.tile.mask, folder)),
    )  # fmt: skip


def _resolved_mask(mask: MaskConfig, folder: Path) -> MaskConfig:
    for name in ("messier", "ngc"):
        rule = getattr(mask, name)
        if rule.catalogue is not None:
            rule = replace(rule, catalogue=folder / rule.catalogue)
            mask = replace(mask, **{name: rule})
    if mask.sky.map is not None:
        mask = replace(mask, sky=replace(mask.sky, map=folder / mask.sky.map))
    return mask


def make_plan(
    config: SurveyConfig,
    *,
    executor: Executor | None = None,
    known: Callable[[str], tuple[str, str] | None] | None = None,
    costs: CostModel = DEFAULT_COSTS,
) -> Plan:
    """Find the files of a survey and the units that they call for.

    Files that cannot be used become problems; the rest of the survey is planned without them.

    Parameters
    ----------
    executor
        Reads headers side by side.
    known
        Headers read before, as `read_headers` takes them.
    costs
        From which the cost of every unit is guessed.

    Raises
    ------
    ConfigError
        The star catalogue of the configuration does not exist, or a column of its catalogues is
        unknown or needs more than a run has.
    """
    inputs = config.inputs
    _check_columns(config)
    stars = Path(inputs.stars) if inputs.stars else None
    if stars is not None and not stars.is_file():
        raise ConfigError(
            "the star catalogue does not exist", file=stars, key="inputs.stars",
            remedy="Set it to the empty text to mask no stars.",
        )  # fmt: skip
    if stars is None:
        _refuse_star_masks(config)
    else:
        _require_star_catalogue(stars)
    _require_sky_maps(config)
    problems: list[Outcome] = []
    units: list[Unit] = []
    exposures = _exposures(inputs, problems)
    headers, fresh = read_headers(exposures, inputs, known=known, executor=executor)
    references: dict[str, list[CCDReference]] = {}
    for files in exposures:
        _plan_exposure(files, headers[files.number], stars, (units, problems, references), costs)
    broken = {number for number, found in headers.items() if any(c.problem for c in found.ccds)}
    for number, image in find_files(inputs.tile_image, inputs.tile_number).items():
        try:
            safe_name(number, file=image, key="inputs.tile_number")
            task = _tile_task(number, image, config, stars, (references, broken))
        except PurepipeError as error:
            problems.append(_problem(f"tile {number}", error))
            continue
        units.append(tile_unit(task, costs))
    return Plan(tuple(units), tuple(problems), fresh)


def _exposures(inputs: InputConfig, problems: list[Outcome]) -> list[ExposureFiles]:
    """The files of every exposure; numbers that cannot name a folder become problems."""
    found = []
    for number, image in find_files(inputs.image, inputs.exposure_number).items():
        try:
            safe_name(number, file=image, key="inputs.exposure_number")
        except PurepipeError as error:
            problems.append(_problem(f"exposure {number}", error))
            continue
        weight = Path(inputs.weight.replace("{number}", number))
        flag = Path(inputs.flag.replace("{number}", number)) if inputs.flag else None
        found.append(ExposureFiles(number, image, weight, flag))
    return found


def _plan_exposure(
    files: ExposureFiles,
    headers: ExposureHeaders,
    stars: Path | None,
    into: tuple[list[Unit], list[Outcome], dict[str, list[CCDReference]]],
    costs: CostModel,
) -> None:
    """Add the units of an exposure, the CCDs that tiles may refer to, and what is wrong."""
    units, problems, references = into
    if headers.problem:
        problems.append(
            Outcome(f"exposure {files.number}", "exposure", headers.status, headers.problem)
        )
    for index, ccd in enumerate(headers.ccds):
        if ccd.problem:
            name = f"ccd {files.number}-{index}"
            problems.append(Outcome(name, "ccd", ccd.status, ccd.problem))
            continue
        task = CCDTask(
            files.number, index, ccd.hdu, ccd.weight_hdu, ccd.flag_hdu, files.image, files.weight,
            files.flag, stars,
        )  # fmt: skip
        units.append(ccd_unit(task, ccd.shape, costs))
        reference = CCDReference(task, ccd.cards, ccd.shape)
        references.setdefault(files.number, []).append(reference)


def require_units(plan: Plan, config: SurveyConfig) -> None:
    """Refuse a plan of nothing.

    Raises
    ------
    NothingToDo
        No exposure and no tile matches the patterns.
    """
    if not plan.units and not plan.problems:
        raise NothingToDo(
            "no exposure and no tile found", key="inputs",
            got=f"{config.inputs.image}, {config.inputs.tile_image}",
            remedy="Check the folders and patterns in [inputs].",
        )  # fmt: skip


def find_files(pattern: str, number: str) -> dict[str, Path]:
    """Number -> file for all files that match a pattern with ``{number}``, sorted by number."""
    path = Path(pattern)
    before, after = path.name.split("{number}")
    expression = re.compile(f"{re.escape(before)}({number}){re.escape(after)}")
    found = {}
    if path.parent.is_dir():
        for file in path.parent.iterdir():
            match = expression.fullmatch(file.name)
            if match:
                found[match.group(1)] = file
    return dict(sorted(found.items()))


def _check_columns(config: SurveyConfig) -> None:
    """Refuse columns that no unit could measure, instead of in every unit."""
    spread = "Leave it out: the final catalogue of a tile has the spread model anyway."
    remedies = dict.fromkeys(SPREAD_COLUMNS, spread) | dict.fromkeys(
        ("CLASS_STAR", "VECTOR_ASSOC", "NUMBER_ASSOC"),
        "Leave it out, or ask `purepipe sex` or `purepipe.detect.extract` for it.",
    )
    for name, detect in (("ccd", config.ccd.detect), ("tile", config.tile.detect)):
        key = f"{name}.detect.columns"
        try:
            requests = requested_columns(detect)
        except ConfigError as error:
            error.key = key
            raise
        for request in requests:
            if request.name in remedies:
                raise ConfigError(
                    "the detection of a run does not have this column", key=key,
                    got=request.name, remedy=remedies[request.name],
                )  # fmt: skip


def _refuse_star_masks(config: SurveyConfig) -> None:
    for name, mask in (("ccd", config.ccd.mask), ("tile", config.tile.mask)):
        if mask.halo.make or mask.spike.make:
            raise ConfigError(
                "halos and spikes are to be masked, but there is no star catalogue",
                key=f"{name}.mask",
                remedy=f"Set inputs.stars, or halo.make and spike.make to false in [{name}.mask].",
            )


def _require_sky_maps(config: SurveyConfig) -> None:
    for name, mask in (("ccd", config.ccd.mask), ("tile", config.tile.mask)):
        if mask.sky.map is None:
            continue
        require_healsparse()
        if not mask.sky.map.is_file():
            raise ConfigError(
                "the map of the sky does not exist", file=mask.sky.map, key=f"{name}.mask.sky.map",
                remedy="Leave the key out to mask without a map.",
            )  # fmt: skip


def _require_star_catalogue(path: Path) -> None:
    """Refuse it once, instead of in every unit."""
    try:
        read_star_catalogue(path)
    except PurepipeError as error:
        raise ConfigError(f"the star catalogue cannot be used: {error}", key="inputs.stars") from (
            error
        )


def _tile_task(
    number: str,
    image: Path,
    config: SurveyConfig,
    stars: Path | None,
    known: tuple[dict[str, list[CCDReference]], set[str]],
) -> TileTask:
    inputs = config.inputs
    references, broken = known
    weight = Path(inputs.tile_weight.replace("{number}", number))
    flag = Path(inputs.tile_flag.replace("{number}", number)) if inputs.tile_flag else None
    check_ccd_files(image, weight, flag)
    item = select_image(fits_layout(image), None, image)
    header = header_at(image, item)
    exposures = exposures_of_tile(header.tostring(padding=False), config.tile.epochs)
    ccds = tuple(ref for name in exposures for ref in references.get(name, ()))
    missing = tuple(name for name in exposures if name not in references)
    shape = item.image_shape or (0, 0)
    incomplete = tuple(name for name in exposures if name in broken)
    return TileTask(number, image, weight, flag, stars, ccds, missing, shape, incomplete)


def _problem(name: str, error: PurepipeError) -> Outcome:
    return Outcome(name, name.split(maxsplit=1)[0], error.status, str(error))
