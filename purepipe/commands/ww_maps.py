"""The work of ``purepipe ww``: maps combined some rows at a time, from files into files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe import __version__
from purepipe.commands.ww import Job
from purepipe.config.mask import CombineConfig
from purepipe.errors import ConfigError, DataError, InputFileError
from purepipe.io.images import clean_header, list_ccds
from purepipe.io.layout import fits_layout
from purepipe.io.regions import read_regions
from purepipe.io.rows import AddImage, ImageRows, images_by_rows, open_rows
from purepipe.legacy.astromatic import Settings
from purepipe.legacy.originals import original_keys
from purepipe.mask.combine import (
    Areas,
    CombinePlan,
    area_cards,
    areas,
    combine_rows,
    count_areas,
    flag_dtype,
    plan_combination,
)
from purepipe.mask.raster import strips

if TYPE_CHECKING:
    from astropy.io.fits import Header

_NAMES = {"flag": "FLAG MAP", "weight": "WEIGHT MAP"}
_KINDS = {"W": "WEIGHT", "F": "FLAG"}


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
    names = {kind: _output(job, f"OUT{name}_NAME") for kind, name in _KINDS.items()}
    with (
        images_by_rows(names["W"], extensions=extensions) as add_weight,
        images_by_rows(names["F"], extensions=extensions) as add_flags,
    ):
        for number in range(len(images[first])):
            hdus = {path: numbers[number] for path, numbers in images.items()}
            counts = _combine(job, hdus, number + 1, add_weight, add_flags)
            rows += _rows(counts, names, number + 1)
    return rows


@dataclass
class _Counts:
    """Pixels of the two maps of one image, counted while they are written."""

    n_pixels: int
    flagged: int = 0
    useless: int = 0
    areas: Areas | None = None


def _combine(
    job: Job, hdus: dict[Path, int], number: int, add_weight: AddImage, add_flags: AddImage
) -> _Counts:
    """Combine the maps of one image, some rows at a time."""
    with ExitStack() as stack:
        maps = [stack.enter_context(open_rows(path, hdus[path])) for path in job.inputs]
        _require_fit(job, maps)
        plan = _plan(job, maps[0], number)
        shape = maps[0].shape
        sources = {"weight": maps[0], "flag": maps[len(job.weights) if job.flags else 0]}
        headers = {kind: _header(source.header, kind) for kind, source in sources.items()}
        counts = _Counts(shape[0] * shape[1])
        _set_areas(headers, Areas(0.0, 0.0) if job.config.areas else None, job.config)
        write_weight = stack.enter_context(add_weight(shape, np.float32, headers["weight"]))
        write_flags = stack.enter_context(add_flags(shape, flag_dtype(job.config), headers["flag"]))
        area = np.zeros(2, np.int64)
        weight_wanted = _output(job, "OUTWEIGHT_NAME") is not None
        for first, last in strips(shape):
            flags = np.zeros((last - first, shape[1]), np.int32)
            weight = np.ones((last - first, shape[1]), np.float32) if weight_wanted else None
            combine_rows(
                plan, [_rows_of(job, item, first, last) for item in maps], first, flags, weight
            )
            counts.flagged += int(np.count_nonzero(flags))
            area += count_areas(flags, weight, job.config)
            if weight is not None:
                counts.useless += int(np.count_nonzero(weight <= 0))
                write_weight(weight)
            write_flags(flags)
        counts.areas = areas(area, counts.n_pixels, job.config)
        if counts.areas is not None and not weight_wanted:
            counts.areas = replace(counts.areas, weight=np.nan)  # no weight was combined
        _set_areas(headers, counts.areas, job.config)
    return counts


def _rows_of(job: Job, rows: ImageRows, first: int, last: int) -> NDArray[Any]:
    pixels = rows.read(first, last)
    # The original takes bit 7 of an 8-bit map for a sign, and so sets all higher bits with it.
    return pixels.view(np.int8) if job.compat and pixels.dtype == np.uint8 else pixels


def _plan(job: Job, frame: ImageRows, number: int) -> CombinePlan:
    wcs = frame.wcs if job.regions else None
    regions = [
        read_regions(path, extension=number, wcs=wcs, polygons_only=job.compat)
        for path in job.regions
    ]
    try:
        return plan_combination(
            len(job.weights), len(job.flags), regions, job.config, rule=job.rule, origin=1
        )
    except ConfigError as error:
        _name_keyword(error, job.settings)
        raise


def _require_fit(job: Job, maps: Sequence[ImageRows]) -> None:
    for number, (path, item) in enumerate(zip(job.inputs, maps, strict=True)):
        if item.shape != maps[0].shape:
            raise DataError(
                f"all maps must have the size of {job.inputs[0]}", file=path,
                got=f"{item.shape[1]} x {item.shape[0]}",
                allowed=f"{maps[0].shape[1]} x {maps[0].shape[0]}",
            )  # fmt: skip
        dtype = item.read(0, 1).dtype
        if number >= len(job.weights) and dtype.kind not in "iub":
            raise DataError("a flag map must hold integers", file=path, got=dtype)


def _extensions(path: Path, count: int) -> int:
    """Number of extensions of the outputs: 0 for one image, unless it is an extension itself."""
    layout = fits_layout(path)
    if count == 1 and (layout[0].image_shape or layout[1].kind == "compressed image"):
        return 0
    return count


def _output(job: Job, key: str) -> Path | None:
    return Path(job.settings.text(key)) if job.settings.text(key) else None


def _name_keyword(error: ConfigError, settings: Settings) -> None:
    """WeightWatcher's keyword, and its line, in place of the name of the field."""
    field = (error.key or "").removeprefix("combine.")
    for key, name in original_keys(CombineConfig, "ww").items():
        if name == field:
            error.key, error.file = settings[key].where, settings.file or None


def _header(source: Header, kind: str) -> Header:
    """The header of an input map, with the cards that say what made the new one."""
    header = clean_header(source)
    if "OBJECT" in header:
        header["OBJECT"] = _NAMES[kind]
    if "ORIGIN" in header:
        header["ORIGIN"] = "purepipe"
    for key in ("SOFTDATE", "SOFTINST", "EFF_AREA", "FLAGAREA", "WEIGAREA"):
        header.remove(key, ignore_missing=True)  # an earlier program's
    header["SOFTNAME"] = ("purepipe", "The software that processed those data")
    header["SOFTVERS"] = (__version__, "Version of the software")
    header["SOFTAUTH"] = ("The purepipe developers", "Maintainer of the software")
    return header


def _set_areas(headers: dict[str, Header], found: Areas | None, config: CombineConfig) -> None:
    for kind, cards in area_cards(found, config).items():
        for keyword, value, comment in cards:
            if not np.isnan(value):  # which a header cannot hold
                headers[kind][keyword] = (value, comment)


def _rows(counts: _Counts, names: dict[str, Path | None], number: int) -> list[dict[str, Any]]:
    found = counts.areas
    values = {"W": found.weight if found else np.nan, "F": found.flags if found else np.nan}
    flagged = {"W": counts.useless, "F": counts.flagged}
    return [
        {
            "name": str(name), "type": kind, "extension": number,
            "pixels": counts.n_pixels, "flagged": flagged[kind], "area": values[kind],
        }
        for kind, name in names.items()
        if name is not None
    ]  # fmt: skip
