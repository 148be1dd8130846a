"""spread_model, ngmix, merge_sep_cats and make_cat: the objects of a tile."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table, vstack
from numpy.typing import NDArray

from purepipe.config import ShapeConfig
from purepipe.errors import ConfigError, InputFileError
from purepipe.flags import EpochFlag
from purepipe.io.ldac import read_ldac, write_ldac
from purepipe.io.shape_tables import read_shapes
from purepipe.io.stamp_store import StampStore
from purepipe.io.tables import write_tables
from purepipe.psf import sky_positions, spread_model
from purepipe.shapepipe import final
from purepipe.shapepipe.config import MakeCatConfig, NgmixConfig, SpreadModuleConfig
from purepipe.shapepipe.config_small import MergeSepCatsConfig
from purepipe.shapepipe.headers import read_wcs_log
from purepipe.shapepipe.job import Job, Record, prefixed
from purepipe.shapes import measure_shapes, shapes_hdus
from purepipe.survey import CCD, EpochStamps

if TYPE_CHECKING:
    from contextlib import ExitStack

Entries = Mapping[str, Mapping[str, Any]]
_DATE = r"(_\d{4}-\d\d-\d\d_.*)?"  # what RUN_DATETIME appends to a run's name


def spread(job: Job, config: SpreadModuleConfig, record: Record) -> None:
    """Spread model of every object, with the mean width of its PSF over the epochs."""
    _need(job, 3, "catalogue, galaxy_psf and weight_vignet")
    table = read_ldac(job.files[0])
    weights = np.asarray(read_ldac(job.files[2])["VIGNET"], dtype=np.float32)
    if "VIGNET" not in table.colnames or len(weights) != len(table):
        raise InputFileError(
            "the catalogue needs VIGNET and one weight stamp for each object", file=job.files[2],
            got=f"{len(weights)} stamps", allowed=f"{len(table)}",
        )  # fmt: skip
    with StampStore(job.files[1]) as store:
        sigma = np.array([_mean_sigma(store.get(str(n), {})) for n in table["NUMBER"].tolist()])
    values, errors, _ = spread_model(
        np.asarray(table["VIGNET"], dtype=np.float32), weights, sigma, original_sentinels=True
    )
    if config.output_mode == "new":
        out = Table({"NUMBER": table["NUMBER"], "MAG": np.asarray(table["MAG_AUTO"], np.float64)})
    else:
        out = table.copy(copy_data=False)
    out["SPREAD_MODEL"], out["SPREADERR_MODEL"] = values, errors
    name = prefixed(config.prefix, "sexcat_sm", job.number)
    write_ldac(record.product(name), out, str(table.meta.get("header", "")))


def _need(job: Job, count: int, what: str) -> None:
    if len(job.files) != count:
        raise ConfigError(
            "the module needs other files", key="FILE_PATTERN", got=f"{len(job.files)} patterns",
            allowed=what,
        )  # fmt: skip


def _mean_sigma(epochs: Entries) -> float:
    """Mean width in pixels over the epochs whose PSF could be measured; NaN without any."""
    widths = [
        float(entry["SHAPES"]["SIGMA_PSF_HSM"])
        for entry in epochs.values()
        if "SHAPES" in entry and entry["SHAPES"]["FLAG_PSF_HSM"] == 0
    ]
    return float(np.mean(widths)) if widths else float("nan")


def shapes(job: Job, config: NgmixConfig, record: Record) -> None:
    """Shapes of all objects by metacalibration, in the five tables of ngmix."""
    _need(job, 6, "catalogue, then image, background, PSF, weight and flag stamps (.sqlite)")
    assert config.wcs_log is not None  # noqa: S101 - it is required
    table = read_ldac(job.files[0])
    number = np.asarray(table["NUMBER"])
    chosen = np.ones(len(table), dtype=bool)
    if config.first > 0:
        chosen &= number >= config.first
    if config.last > 0:
        chosen &= number <= config.last
    table = table[chosen]
    log = read_wcs_log(config.wcs_log)
    ccds = {ccd.name: ccd for group in log.values() for ccd in group}
    stamps = read_stamps(table, job.files[1:], ccds, record)
    # The original seeds its noise by the digits of the tile's number.
    seed = int("".join(re.findall(r"\d", job.number)) or "0")
    settings = ShapeConfig(stamp_size=stamps.images.shape[-1], zero_point=config.zero_point)
    measured = measure_shapes(table, stamps, settings, seed=seed)
    lost = int(np.count_nonzero(np.asarray(measured["NGMIX_N_EPOCH"]) == 0))
    if lost:
        record.note(f"{lost} of {len(table)} objects have no usable epoch and so no shape.")
    write_tables(record.product(f"ngmix{job.number}.fits"), shapes_hdus(measured))


def read_stamps(
    table: Table, files: Sequence[Path], ccds: Mapping[str, CCD], record: Record
) -> EpochStamps:
    """The stamps of all objects and epochs from their stores.

    An epoch without PSF is flagged NO_PSF; one without image, background, weight or flags
    NO_DATA.
    """
    from contextlib import ExitStack

    with ExitStack() as stack:
        stores = _open(files, stack)
        pairs: list[tuple[int, CCD, list[Mapping[str, Any] | None]]] = []
        unknown: set[str] = set()
        for row, number in enumerate(np.asarray(table["NUMBER"]).tolist()):
            entries = [store.get(str(number), {}) for store in stores]
            for name in entries[0]:
                if name in ccds:
                    pairs.append((row, ccds[name], [item.get(name) for item in entries]))
                else:
                    unknown.add(name)
    if unknown:
        record.note(f"no world coordinates of {', '.join(sorted(unknown))}; they are left out.")
    ra, dec = sky_positions(table)
    return _stamps(pairs, ra, dec)


def _open(files: Sequence[Path], stack: ExitStack) -> list[StampStore]:
    return [stack.enter_context(StampStore(path)) for path in files]


def _stamps(
    pairs: list[tuple[int, CCD, list[Mapping[str, Any] | None]]],
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
) -> EpochStamps:
    n = len(pairs)
    first = next((entries[0] for _, _, entries in pairs if entries[0] is not None), None)
    size = 51 if first is None else first["VIGNET"].shape[0]
    planes = [np.zeros((n, size, size), np.float32) for _ in range(4)]
    masks = np.zeros((n, size, size), np.int32)
    flags = np.zeros(n, np.int32)
    sigma = np.full(n, np.nan)
    for place, (_, _, entries) in enumerate(pairs):
        image, background, psf, weight, flag = entries
        if image is None or background is None or weight is None or flag is None:
            flags[place] |= int(EpochFlag.NO_DATA)
            continue
        planes[0][place] = image["VIGNET"] - background["VIGNET"]
        planes[1][place] = np.where(np.isfinite(weight["VIGNET"]), weight["VIGNET"], 0)
        masks[place] = flag["VIGNET"]
        if psf is None:
            flags[place] |= int(EpochFlag.NO_PSF)
            continue
        planes[2][place] = psf["VIGNET"]
        if "SHAPES" in psf and psf["SHAPES"]["FLAG_PSF_HSM"] == 0:
            sigma[place] = psf["SHAPES"]["SIGMA_PSF_HSM"]
    rows = np.array([row for row, _, _ in pairs], dtype=np.int64)
    x, y, jacobian, scale = _geometry(pairs, rows, ra, dec)
    return EpochStamps(
        row=rows,
        exposure=np.array([ccd.exposure for _, ccd, _ in pairs], dtype=str),
        ccd=np.array([ccd.ccd for _, ccd, _ in pairs], dtype=np.int32),
        x=x, y=y, flags=flags, jacobian=jacobian, flux_scale=scale, images=planes[0],
        weights=planes[1], masks=masks, psfs=planes[2], psf_sigma=sigma,
    )  # fmt: skip


def _geometry(
    pairs: list[tuple[int, CCD, list[Mapping[str, Any] | None]]],
    rows: NDArray[np.int64],
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
) -> tuple[NDArray[np.float64], ...]:
    """Position on the CCD, Jacobian and flux scale of every pair."""
    n = len(pairs)
    x, y, jacobian, scale = np.zeros(n), np.zeros(n), np.zeros((n, 2, 2)), np.ones(n)
    places: dict[str, list[int]] = {}
    for place, (_, ccd, _) in enumerate(pairs):
        places.setdefault(ccd.name, []).append(place)
    for own in places.values():
        ccd = pairs[own[0]][1]
        at = rows[own]
        x[own], y[own] = ccd.wcs.sky_to_pixel(ra[at], dec[at])
        jacobian[own] = ccd.wcs.jacobian(x[own], y[own])
        scale[own] = ccd.flux_scale
    return x, y, jacobian, scale


def merge_slices(job: Job, config: MergeSepCatsConfig, record: Record) -> None:
    """The shapes of slices of objects, from runs whose folders differ in the slice's number."""
    parts = []
    for number in range(1, config.splits + 1):
        path = _slice(job.files[0], number)
        if path.is_file():
            parts.append(read_shapes(path))
        elif config.warning.casefold() == "error":
            raise InputFileError("a slice is missing", file=path, key="N_SPLIT_MAX")
        else:
            record.note(f"slice {number} is missing: {path}")
    if not parts:
        raise InputFileError("there is no slice at all", file=job.files[0])
    joined = {
        name: vstack([part[name] for part in parts], metadata_conflicts="silent")
        for name in parts[0]
    }
    write_tables(record.product(f"ngmix{job.number}.fits"), joined)


def _slice(path: Path, number: int) -> Path:
    """The file of another slice: its run's folder ends in the slice's number."""
    if number == 1:
        return path
    parts = list(path.parts)
    for place in range(len(parts) - 2, -1, -1):
        match = re.fullmatch(rf"(.*?)1(u?){_DATE}", parts[place])
        if match and "run" in parts[place]:
            wanted = re.compile(rf"{re.escape(match[1])}{number}{match[2]}{_DATE}")
            runs = sorted(p for p in Path(*parts[:place]).iterdir() if wanted.fullmatch(p.name))
            if runs:
                return runs[-1].joinpath(*parts[place + 1 :])
    return path.with_name(f"{path.name}.slice{number}")


def final_catalogue(job: Job, config: MakeCatConfig, record: Record) -> None:
    """One row for each object of the tile, with all that was measured of it."""
    _need(job, 4, "catalogue, spread model, galaxy_psf and ngmix")
    final.final_catalogue(job, config, record)
