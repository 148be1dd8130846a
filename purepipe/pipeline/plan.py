"""The plan of a run: which files there are, and the units of work that follow from them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from purepipe.config import MaskConfig, SurveyConfig, from_mapping, to_mapping
from purepipe.config.survey import InputConfig
from purepipe.errors import ConfigError, PurepipeError
from purepipe.io.config_file import read_toml
from purepipe.io.exposures import check_ccd_files
from purepipe.io.images import list_ccds, read_header
from purepipe.io.stars import read_star_catalogue
from purepipe.pipeline.store import Outcome, content_key, file_identity
from purepipe.pipeline.units import (
    CCDReference,
    CCDTask,
    ShapesTask,
    TileTask,
    Unit,
    ccd_unit,
    tile_unit,
)
from purepipe.survey import CCD, exposures_of_tile

if TYPE_CHECKING:
    from astropy.io.fits import Header


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes
    ----------
    units
        CCDs and tiles; the units of a tile's objects follow when they are known.
    problems
        Files that cannot be used, as outcomes of units that never start.
    """

    units: tuple[Unit, ...]
    problems: tuple[Outcome, ...]


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
    return mask


def make_plan(config: SurveyConfig) -> Plan:
    """Find the files of a survey and the units that they call for.

    Files that cannot be used become problems; the rest of the survey is planned without them.

    Raises
    ------
    ConfigError
        The star catalogue of the configuration does not exist.
    """
    inputs = config.inputs
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
    problems: list[Outcome] = []
    references: dict[str, list[CCDReference]] = {}
    units: list[Unit] = []
    for number, image in find_files(inputs.image, inputs.exposure_number).items():
        try:
            ccds = _exposure_ccds(number, image, inputs, stars)
        except PurepipeError as error:
            problems.append(_problem(f"exposure {number}", error))
            continue
        for task in ccds:
            units.append(ccd_unit(task))
            try:
                references.setdefault(number, []).append(_reference(task, inputs))
            except PurepipeError as error:
                units.pop()
                problems.append(_problem(f"ccd {number}-{task.ccd}", error))
    for number, image in find_files(inputs.tile_image, inputs.tile_number).items():
        try:
            units.append(tile_unit(_tile_task(number, image, config, stars, references)))
        except PurepipeError as error:
            problems.append(_problem(f"tile {number}", error))
    return Plan(tuple(units), tuple(problems))


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


def unit_key(unit: Unit, config: SurveyConfig, needed: list[str]) -> str:
    """The content key of a unit: code, configuration of its steps, inputs, keys of its needs."""
    task, inputs = unit.task, config.inputs
    files: list[Path | None] = []
    settings: list[Any]
    if isinstance(task, CCDTask):
        files = [task.image, task.weight, task.flag, task.stars, *_nebulae(config.ccd.mask)]
        # The limits of the PSF's use decide whether the unit counts as done.
        settings = [to_mapping(config.ccd), to_mapping(config.tile.psf), inputs.weight_kind]
        settings += [_scales(inputs), task.hdu, task.weight_hdu, task.flag_hdu]
    elif isinstance(task, TileTask):
        files = [task.image, task.weight, task.flag, task.stars, *_nebulae(config.tile.mask)]
        headers = [(ref.task.exposure, ref.task.ccd, ref.cards) for ref in task.ccds]
        steps = [config.tile.mask, config.tile.detect, config.tile.epochs]
        settings = [[to_mapping(step) for step in steps], inputs.tile_weight_kind]
        settings += [_scales(inputs), headers, list(task.missing)]
    elif isinstance(task, ShapesTask):
        kinds = [inputs.weight_kind, inputs.tile_weight_kind]
        settings = [to_mapping(config.tile), _scales(inputs), kinds, task.start, task.stop]
    else:
        settings = [len(task.blocks)]
    return content_key(
        unit.name, config.seed, settings, [file_identity(file) for file in files], needed
    )


def _nebulae(mask: MaskConfig) -> list[Path | None]:
    return [mask.messier.catalogue, mask.ngc.catalogue]


def _scales(inputs: InputConfig) -> list[Any]:
    """What turns ADU into magnitudes and electrons."""
    return [
        inputs.zero_point, inputs.gain_keys, inputs.saturation_keys, inputs.flux_scale_keys
    ]  # fmt: skip


def _refuse_star_masks(config: SurveyConfig) -> None:
    for name, mask in (("ccd", config.ccd.mask), ("tile", config.tile.mask)):
        if mask.halo.make or mask.spike.make:
            raise ConfigError(
                "halos and spikes are to be masked, but there is no star catalogue",
                key=f"{name}.mask",
                remedy=f"Set inputs.stars, or halo.make and spike.make to false in [{name}.mask].",
            )


def _require_star_catalogue(path: Path) -> None:
    """Refuse it once, instead of in every unit."""
    try:
        read_star_catalogue(path)
    except PurepipeError as error:
        raise ConfigError(f"the star catalogue cannot be used: {error}", key="inputs.stars") from (
            error
        )


def _exposure_ccds(
    number: str, image: Path, inputs: InputConfig, stars: Path | None
) -> list[CCDTask]:
    """The CCDs of one exposure whose three files fit together."""
    weight = Path(inputs.weight.replace("{number}", number))
    flag = Path(inputs.flag.replace("{number}", number)) if inputs.flag else None
    ccds = check_ccd_files(image, weight, flag)
    weights = [hdu for hdu, _ in list_ccds(weight)]
    flags = [None] * len(ccds) if flag is None else [hdu for hdu, _ in list_ccds(flag)]
    return [
        CCDTask(number, index, hdu, weights[index], flags[index], image, weight, flag, stars)
        for index, (hdu, _) in enumerate(ccds)
    ]


def _reference(task: CCDTask, inputs: InputConfig) -> CCDReference:
    header = read_header(task.image, task.hdu)
    header["FSCALE"] = _flux_scale(header, task, inputs)
    cards = header.tostring(padding=False, endcard=False)
    try:
        ccd = CCD.from_header(task.exposure, task.ccd, cards)
    except PurepipeError as error:
        error.file, error.hdu = str(task.image), str(task.hdu)
        raise
    return CCDReference(task, cards, ccd.shape)


def _flux_scale(header: Header, task: CCDTask, inputs: InputConfig) -> float:
    """The scale as `read_exposure` finds it: in the HDU, else in the primary header, else 1."""
    for source in (header, read_header(task.image, 0)):
        for key in inputs.flux_scale_keys:
            if key in source:
                return float(source[key])
    return 1.0


def _tile_task(
    number: str,
    image: Path,
    config: SurveyConfig,
    stars: Path | None,
    references: dict[str, list[CCDReference]],
) -> TileTask:
    inputs = config.inputs
    weight = Path(inputs.tile_weight.replace("{number}", number))
    flag = Path(inputs.tile_flag.replace("{number}", number)) if inputs.tile_flag else None
    check_ccd_files(image, weight, flag)
    header = read_header(image, None)
    exposures = exposures_of_tile(header.tostring(padding=False), config.tile.epochs)
    ccds = tuple(ref for name in exposures for ref in references.get(name, ()))
    missing = tuple(name for name in exposures if name not in references)
    return TileTask(number, image, weight, flag, stars, ccds, missing)


def _problem(name: str, error: PurepipeError) -> Outcome:
    return Outcome(name, name.split(maxsplit=1)[0], error.status, str(error))
