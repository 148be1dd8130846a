"""One image of ``purepipe sex``: from files to a table of objects and check-images."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.commands.sex_checks import IDENTICAL, extracted_checks, write_checks
from purepipe.commands.sex_job import ImageFile, Job, WeightFile
from purepipe.detect import extract
from purepipe.detect.columns import SPREAD_COLUMNS
from purepipe.detect.exact_engine import Continuation
from purepipe.errors import DataError, InputFileError
from purepipe.exposure import Exposure
from purepipe.io.cards import change_card, find_card
from purepipe.io.sex_images import (
    WriteCheck,
    companion_of,
    override_cards,
    read_external_header,
    read_flag_image,
    read_float_image,
    read_image_cards,
)
from purepipe.wcs import WCS, leading_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from purepipe.catalogue.table import Columns
    from purepipe.config import DetectConfig
    from purepipe.io.layout import HDULayout
    from purepipe.legacy.astromatic_files import RequestedColumn
    from purepipe.psf.model import PSFModel

_KINDS = {"MAP_RMS": "rms", "MAP_VAR": "variance", "MAP_WEIGHT": "relative"}


@dataclass(frozen=True, eq=False)
class Found:
    """The objects of one image.

    Attributes
    ----------
    columns
        The columns that are wanted, in their order.
    meta
        The SEX* values.
    cards
        Header of the measured image.
    number, total
        Which image of how many, from 1.
    shape
        Lines and columns of the image.
    external
        Whether an external header was used.
    finished
        When.
    seconds
        Time taken.
    """

    columns: Columns
    meta: Mapping[str, Any]
    cards: Sequence[str]
    number: int
    total: int
    shape: tuple[int, int]
    external: bool
    finished: datetime
    seconds: float

    @property
    def identity(self) -> str:
        """OBJECT of the header, or an empty text."""
        place = find_card(self.cards, "OBJECT")
        if place is None:
            return ""
        return self.cards[place][10:].strip().strip("'").partition("'")[0].strip()


def process_image(
    job: Job, number: int, after: Continuation, writers: Mapping[str, WriteCheck]
) -> Found:
    """Find and measure the objects of one image, and write its check-images.

    Parameters
    ----------
    job
        Files and configuration.
    number
        Which image, from 0.
    after
        Where the images before have left off; it is moved on.
    writers
        Of check-images, by type.

    Raises
    ------
    PurepipeError
        A file cannot be read, or the data cannot be used.
    """
    start = time.monotonic()
    measured, cards, external = read_measured(job, number)
    sought = _read_sought(job, number, measured)
    detection = extract(
        measured, job.config, detection=sought, psf=_read_psf(job, number), network=job.network,
        catalogue=job.entries,
        flag_maps=_read_flags(job, number, measured.shape),
        checks=extracted_checks(writers), after=after, overwrite_input=IDENTICAL not in writers,
        threads=_threads(job),
    )  # fmt: skip
    write_checks(detection, measured, cards, writers)
    columns = wanted_columns(detection.columns, job.columns, job.config)
    if "EXT_NUMBER" in columns:
        columns["EXT_NUMBER"] = np.full_like(columns["EXT_NUMBER"], number + 1)
    return Found(
        columns=columns,
        meta=detection.meta,
        cards=cards,
        number=number + 1,
        total=len(job.measured.images),
        shape=measured.shape,
        external=external,
        finished=datetime.now(UTC),
        seconds=time.monotonic() - start,
    )


def _read_psf(job: Job, number: int) -> PSFModel | None:
    """The PSF model of an image: that of its number, or the only one of the file."""
    if job.psf is None:
        return None
    from purepipe.io.psf_file import count_models, read_psf

    count = count_models(job.psf)
    item = job.measured.images[number]
    if count not in (0, 1, len(job.measured.images)):
        raise InputFileError(
            "the file holds another number of PSF models than there are images", file=job.psf,
            got=count, allowed=f"1 or {len(job.measured.images)}",
            remedy=f"Give the model of {item.label} alone.",
        )  # fmt: skip
    return read_psf(job.psf, number if count > 1 else 0)


def _threads(job: Job) -> int:
    import os

    return int(job.settings.number("NTHREADS")) or os.cpu_count() or 1


def read_measured(job: Job, number: int) -> tuple[Exposure, list[str], bool]:
    """The image to measure, its header, and whether an external header has changed it.

    Raises
    ------
    InputFileError
        A file cannot be read, a map has another size, a header value is not a number.
    """
    file = job.measured
    item = file.images[number]
    cards = read_image_cards(file.name, item)
    extra = read_external_header(file.name.path, job.settings.text("HEADER_SUFFIX"), number)
    cards = override_cards(cards, extra)
    image = read_float_image(file.name, item, threads=_threads(job))
    weight, kind = _read_weight(job, job.weights[1], number, image.shape)
    exposure = Exposure(
        image=image,
        weight=weight,
        weight_kind=kind,
        wcs=_coordinates(cards, image.shape),
        gain=_calibration(job, cards, "GAIN"),
        saturation=_calibration(job, cards, "SATUR"),
        zero_point=job.settings.number("MAG_ZEROPOINT"),
        name=f"{file.name.path}[{item.label}]",
    )
    return exposure, cards, bool(extra)


def _read_sought(job: Job, number: int, measured: Exposure) -> Exposure | None:
    """The image to search: None if it is the measured one, with the same weights."""
    if job.sought is None and job.weights[0] == job.weights[1]:
        return None
    if job.sought is None:
        image = measured.image
    else:
        item = _companion(job, job.sought, number)
        image = read_float_image(job.sought.name, item, threads=_threads(job))
        _require_size(job.sought, image.shape, measured.shape)
    if job.sought is not None and len(job.settings.texts("WEIGHT_IMAGE")) == 1:
        weight, kind = measured.weight, measured.weight_kind  # one map that both images share
    else:
        weight, kind = _read_weight(job, job.weights[0], number, measured.shape)
    return measured.replace(
        image=image, weight=weight, weight_kind=kind,
        name=measured.name if job.sought is None else str(job.sought.name),
    )  # fmt: skip


def _companion(job: Job, file: ImageFile, number: int) -> HDULayout:
    return companion_of(file.name, file.images, number, job.measured.name, len(job.measured.images))


def _require_size(file: ImageFile, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if shape != wanted:
        raise InputFileError(
            "the map has another size than the image", file=file.name,
            got=f"{shape[1]} x {shape[0]} pixels", allowed=f"{wanted[1]} x {wanted[0]} pixels",
            remedy="Give the map that belongs to this image.",
        )  # fmt: skip


def _read_weight(
    job: Job, weight: WeightFile, number: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32] | None, Any]:
    if weight.file is None:
        return None, None
    item = _companion(job, weight.file, number)
    array = read_float_image(weight.file.name, item, threads=_threads(job))
    _require_size(weight.file, array.shape, shape)
    return array, _KINDS[weight.kind]


def _read_flags(job: Job, number: int, shape: tuple[int, ...]) -> Iterator[NDArray[np.integer]]:
    """The flag maps; only who takes them keeps them in memory."""
    for file in job.flags:
        item = _companion(job, file, number)
        flags = read_flag_image(file.name, item, threads=_threads(job))
        _require_size(file, flags.shape, shape)
        yield flags


def _coordinates(cards: Sequence[str], shape: tuple[int, ...]) -> WCS | None:
    """World coordinates; None where the header has none."""
    flat = [leading_number(line) for line in cards if not line.startswith("NAXIS3")]
    change_card(flat, "NAXIS", 2)  # axes of length 1 are left out
    try:
        return WCS.from_header("".join(flat), (shape[0], shape[1]))
    except DataError:
        return None


def _calibration(job: Job, cards: Sequence[str], what: str) -> float:
    """Gain or saturation: from the header of the image, else the keyword's value."""
    keyword = job.settings.text(f"{what}_KEY")
    place = find_card(cards, keyword) if keyword else None
    if place is None:
        return job.settings.number("GAIN" if what == "GAIN" else "SATUR_LEVEL")
    text = cards[place][10:].partition("/")[0].strip().strip("'").strip()
    try:
        return float(text.replace("D", "E"))
    except ValueError:
        raise InputFileError(
            "the header value must be a number", file=job.measured.name, key=keyword,
            got=repr(text), remedy=f"Correct the header, or name another keyword by {what}_KEY.",
        ) from None  # fmt: skip


def wanted_columns(
    found: Columns, columns: Sequence[RequestedColumn], config: DetectConfig
) -> dict[str, NDArray[Any]]:
    """The catalogue in the order and with the lengths that are asked for.

    Elements for which no aperture or fraction is configured are 0, as in the original.
    """
    wanted = {}
    for item in columns:
        values = found[item.name]
        given = _configured(item.name, config)
        if given is not None and values.ndim > 1 and values.shape[1] > given:
            values = values.copy()
            values[:, given:] = 0
        if item.name in SPREAD_COLUMNS:  # the original writes 1 where there is no result
            values = np.nan_to_num(values, nan=1.0).astype(np.float32)
        wanted[item.name] = values
    return wanted


def _configured(name: str, config: DetectConfig) -> int | None:
    """How many elements of an array the configuration provides; None for other columns."""
    if name.endswith("_APER"):
        return len(config.apertures)
    return len(config.flux_fraction) if name == "FLUX_RADIUS" else None
