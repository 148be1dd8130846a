"""psfex and psfex_interp: PSF models, and the PSF at stars and objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from purepipe.config import PSFInterpolationConfig
from purepipe.errors import AlgorithmError, ConfigError, InputFileError, did_you_mean
from purepipe.flags import PSFFlag
from purepipe.io.ldac import read_ldac, write_ldac
from purepipe.io.psf_catalogue import write_psf_catalogue
from purepipe.io.psf_file import read_psf, write_psf
from purepipe.io.psf_images import write_check_images
from purepipe.io.stamp_store import write_stamp_store
from purepipe.psf import PSFModel, PSFStamps, fit_psf, psf_at, validate_psf
from purepipe.psf.checkimages import ALL_CHECK_IMAGES, psfex_check_image
from purepipe.shapepipe.config import PSFExConfig, PSFInterpConfig
from purepipe.shapepipe.epochs import by_object, find_numbered_file, read_tile
from purepipe.shapepipe.job import Job, Record
from purepipe.shapepipe.originals import psf_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray


def psfex(job: Job, config: PSFExConfig, record: Record) -> None:
    """The PSF model of a CCD, and the catalogue of its stars."""
    assert config.psfex_file is not None  # noqa: S101 - it is required
    kinds = [kind.upper() for kind in config.check_images if kind.upper() != "NONE"]
    for kind in kinds:
        if kind not in ALL_CHECK_IMAGES:
            raise ConfigError(
                "unknown check-image", key="CHECKIMAGE", got=kind,
                remedy=did_you_mean(kind, ALL_CHECK_IMAGES),
            )  # fmt: skip
    _, settings = psf_settings(config.psfex_file)
    stars = read_ldac(job.files[0])
    if len(stars) == 0:
        raise AlgorithmError(
            "the catalogue has no star", file=job.files[0],
            remedy="Look at the selection that made it.",
        )  # fmt: skip
    model = fit_psf(stars, settings)
    if model.is_empty:
        raise AlgorithmError(
            "no star is left for the PSF model", file=job.files[0], got=f"{len(stars)} stars",
            remedy="Look at FLAGS_PSF; lower SAMPLE_MINSN or widen SAMPLE_FWHMRANGE.",
        )  # fmt: skip
    header = str(stars.meta.get("header", ""))
    for kind in kinds:
        image = psfex_check_image(kind, model, stars, settings)
        path = record.product(f"{_check_name(kind)}{job.number}.fits")
        write_check_images(path, [image], sampling=[model.sampling], headers=[header])
    samples = [] if model.samples is None else [model.samples]
    write_psf_catalogue(record.product(f"psfex_cat{job.number}.cat"), samples)
    write_psf(record.product(f"{job.files[0].stem}.psf"), [model])


def _check_name(kind: str) -> str:
    return kind.casefold().replace("-", "minus_") if kind.startswith("-") else kind.casefold()


def interpolate(job: Job, config: PSFInterpConfig, record: Record) -> None:
    """The PSF at the objects or the stars of a CCD, or at the objects of a tile on every CCD."""
    if config.mode == "multi-epoch":
        _multi_epoch(job, config, record)
    elif config.mode == "validation":
        _validation(job, config, record)
    else:
        _classic(job, config, record)


def _limits(config: PSFInterpConfig) -> PSFInterpolationConfig:
    return PSFInterpolationConfig(min_stars=config.min_stars, max_chi2=config.max_chi2)


def _positions(table: Table, config: PSFInterpConfig, path: Path) -> list[NDArray[np.float64]]:
    for name in config.positions:
        if name not in table.colnames:
            raise ConfigError(
                "the catalogue lacks a column", file=path, key="POSITION_PARAMS", got=name,
                remedy=did_you_mean(name, table.colnames),
            )  # fmt: skip
    return [np.asarray(table[name], dtype=np.float64) for name in config.positions]


def _need_files(job: Job, count: int, what: str) -> None:
    if len(job.files) != count:
        raise ConfigError(
            "the mode needs other files", key="FILE_PATTERN", got=f"{len(job.files)} patterns",
            allowed=what,
        )  # fmt: skip


def _classic(job: Job, config: PSFInterpConfig, record: Record) -> None:
    _need_files(job, 2, "the model (.psf) and the catalogue")
    model = read_psf(job.files[0])
    table = read_ldac(job.files[1])
    x, y = _positions(table, config, job.files[1])
    drawn = psf_at(
        model, x - 1, y - 1, _limits(config), shape=_odd(model), moments=config.get_shapes
    )
    _note_rejected(model, config, record, job.files[0])
    values: dict[str, Any] = {"VIGNET": drawn.images.astype(np.float64)}
    if config.get_shapes:
        values |= _shapes(drawn)
    write_ldac(
        record.product(f"galaxy_psf{job.number}.fits"), Table(values),
        str(table.meta.get("header", "")),
    )  # fmt: skip


def _odd(model: PSFModel) -> tuple[int, int]:
    """The size of the model in image pixels, made odd."""
    ny, nx = (max(int(side * model.sampling), 1) for side in model.shape)
    return ny - 1 + ny % 2, nx - 1 + nx % 2


def _shapes(drawn: PSFStamps) -> dict[str, NDArray[Any]]:
    """The original's columns; an unusable PSF or failed moments have flag 1 and NaN."""
    failed = ~drawn.usable | ((drawn.flags & int(PSFFlag.MOMENTS)) != 0)
    values: dict[str, NDArray[Any]] = {}
    for name, column in (
        ("E1_PSF_HSM", drawn.e1), ("E2_PSF_HSM", drawn.e2), ("SIGMA_PSF_HSM", drawn.sigma)
    ):  # fmt: skip
        values[name] = np.where(failed, np.nan, column)
    return values | {"FLAG_PSF_HSM": failed.astype(np.int64)}


def _note_rejected(model: PSFModel, config: PSFInterpConfig, record: Record, path: Path) -> bool:
    """Say that a model is below the limits; its objects then carry a flag."""
    reasons = []
    if model.accepted < config.min_stars:
        reasons.append(f"{model.accepted} stars, STAR_THRESH is {config.min_stars}")
    if not model.chi2 <= config.max_chi2:
        reasons.append(f"chi2 {model.chi2:.3g}, CHI2_THRESH is {config.max_chi2:g}")
    if reasons:
        record.note(f"{path.name}: the model is not used ({'; '.join(reasons)}).")
    return bool(reasons)


def _validation(job: Job, config: PSFInterpConfig, record: Record) -> None:
    _need_files(job, 3, "the model (.psf), the star catalogue and psfex_cat (.cat)")
    model = read_psf(job.files[0])
    stars = read_ldac(job.files[1])
    _positions(stars, config, job.files[1])
    # The catalogue of the fit says which stars the model rests on, at which positions.
    model = replace(model, samples=read_ldac(job.files[2]))
    table = validate_psf(model, stars, position_keys=config.positions)
    table["RESERVED"] = (_reserved(model, stars, config)).astype(np.int16)
    if _note_rejected(model, config, record, job.files[0]):
        table["FLAG_PSF_HSM"] = np.int32(1)
    for kind in ("PSF", "STAR"):
        table[f"FLAG_{kind}_HSM"] = table[f"FLAG_{kind}_HSM"].astype(np.int64)
    write_ldac(
        record.product(f"validation_psf{job.number}.fits"), table,
        str(stars.meta.get("header", "")),
    )  # fmt: skip


def _reserved(model: PSFModel, stars: Table, config: PSFInterpConfig) -> NDArray[np.bool_]:
    """Whether a star is not among those that the fit was given."""
    assert model.samples is not None  # noqa: S101 - just attached
    places = (np.asarray(model.samples[name]).tolist() for name in ("X_IMAGE", "Y_IMAGE"))
    given = set(zip(*places, strict=True))
    x, y = (np.asarray(stars[name], dtype=np.float64) for name in config.positions)
    return np.array([pair not in given for pair in zip(x, y, strict=True)], dtype=bool)


def _multi_epoch(job: Job, config: PSFInterpConfig, record: Record) -> None:
    _need_files(job, 1, "the catalogue of the tile")
    assert config.wcs_log is not None  # noqa: S101 - checked with the configuration
    tile = read_tile(job.files[0], config.wcs_log, config.positions, record)
    limits = _limits(config)
    found: dict[int, dict[str, Any]] = {}
    for index in np.unique(tile.epochs.ccd_index):
        ccd = tile.ccds[int(index)]
        try:
            path = find_numbered_file(
                Path(config.psf_dir), config.psf_pattern, ccd.name, ".psf", record
            )
        except InputFileError:
            record.note(f"{ccd.name}: there is no PSF model; its objects lose this epoch.")
            continue
        model = read_psf(path)
        if _note_rejected(model, config, record, path):
            continue
        pairs = np.flatnonzero(tile.epochs.ccd_index == index)
        drawn = psf_at(
            model, tile.epochs.x[pairs], tile.epochs.y[pairs], limits, shape=_odd(model),
            moments=config.get_shapes,
        )  # fmt: skip
        shapes = _shapes(drawn)
        for place in np.flatnonzero(drawn.usable):
            entry: dict[str, Any] = {"VIGNET": drawn.images[place]}
            if config.get_shapes:
                entry["SHAPES"] = {
                    name: column[place].item() for name, column in shapes.items()
                }  # fmt: skip
            found[int(pairs[place])] = entry
    objects = by_object(tile, found)
    without = sum(not epochs for epochs in objects.values())
    if without:
        record.note(f"{without} of {len(objects)} objects have no PSF.")
    write_stamp_store(record.product(f"galaxy_psf{job.number}.sqlite"), objects)
