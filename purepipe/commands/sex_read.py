"""What ``purepipe sex`` reads for one image: pixels, weights, flags, header.

Nothing here needs compiled code, so that files can be read while it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.commands.sex_job import ImageFile, Job, WeightFile
from purepipe.errors import DataError, InputFileError
from purepipe.exposure import Exposure
from purepipe.io.cards import change_card, find_card
from purepipe.io.sex_images import (
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

    from purepipe.io.layout import HDULayout

_KINDS = {"MAP_RMS": "rms", "MAP_VAR": "variance", "MAP_WEIGHT": "relative"}


@dataclass(frozen=True, eq=False)
class Inputs:
    """What belongs to one image.

    Attributes
    ----------
    measured
        The image to measure.
    sought
        The image to search, if it or its weights are others.
    flags
        Flag maps, each read when it is taken, so that no two of them are in memory.
    cards
        Header of the measured image.
    external
        Whether an external header has changed it.
    """

    measured: Exposure
    sought: Exposure | None
    flags: Iterator[NDArray[np.integer]]
    cards: list[str]
    external: bool


def read_inputs(job: Job, number: int) -> Inputs:
    """Read what belongs to image `number` (from 0).

    Raises
    ------
    InputFileError
        A file cannot be read, a map has another size, a header value is not a number.
    """
    measured, cards, external = _read_measured(job, number)
    sought = _read_sought(job, number, measured)
    return Inputs(measured, sought, _read_flags(job, number, measured.shape), cards, external)


def _read_measured(job: Job, number: int) -> tuple[Exposure, list[str], bool]:
    """The image to measure, its header, and whether an external header has changed it."""
    file = job.measured
    item = file.images[number]
    cards = read_image_cards(file.name, item)
    extra = read_external_header(file.name.path, job.settings.text("HEADER_SUFFIX"), number)
    cards = override_cards(cards, extra)
    image = read_float_image(file.name, item, threads=threads_of(job))
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
        image = read_float_image(job.sought.name, item, threads=threads_of(job))
        _require_size(job.sought, image.shape, measured.shape)
    if job.sought is not None and len(job.settings.texts("WEIGHT_IMAGE")) == 1 and _one_kind(job):
        weight, kind = measured.weight, measured.weight_kind  # one map that both images share
    else:
        weight, kind = _read_weight(job, job.weights[0], number, measured.shape)
    return measured.replace(
        image=image, weight=weight, weight_kind=kind,
        name=measured.name if job.sought is None else str(job.sought.name),
    )  # fmt: skip


def _one_kind(job: Job) -> bool:
    return job.weights[0].kind == job.weights[1].kind


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
    array = read_float_image(weight.file.name, item, threads=threads_of(job))
    _require_size(weight.file, array.shape, shape)
    return array, _KINDS[weight.kind]


def _read_flags(job: Job, number: int, shape: tuple[int, ...]) -> Iterator[NDArray[np.integer]]:
    for file in job.flags:
        item = _companion(job, file, number)
        _require_size(file, item.image_shape or (0, 0), shape)
        yield read_flag_image(file.name, item, threads=threads_of(job))


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


def threads_of(job: Job) -> int:
    """NTHREADS, or the number of processors."""
    return int(job.settings.number("NTHREADS")) or os.cpu_count() or 1
