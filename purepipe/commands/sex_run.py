"""One image of ``purepipe sex``: from files to a table of objects and check-images."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.catalogue.requests import SPREAD_COLUMNS
from purepipe.commands.sex_checks import IDENTICAL, extracted_checks, write_checks
from purepipe.commands.sex_job import Job
from purepipe.commands.sex_read import Inputs, threads_of
from purepipe.detect import extract
from purepipe.detect.exact_engine import Continuation
from purepipe.errors import InputFileError
from purepipe.io.cards import find_card
from purepipe.io.sex_images import WriteCheck

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from purepipe.catalogue.table import Columns
    from purepipe.config import DetectConfig
    from purepipe.legacy.astromatic_files import RequestedColumn
    from purepipe.psf.model import PSFModel


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
    job: Job,
    number: int,
    inputs: Inputs,
    after: Continuation,
    writers: Mapping[str, WriteCheck],
) -> Found:
    """Find and measure the objects of one image, and write its check-images.

    Parameters
    ----------
    job
        Files and configuration.
    number
        Which image, from 0.
    inputs
        Its pixels, which are overwritten.
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
    detection = extract(
        inputs.measured, job.config, detection=inputs.sought, psf=_read_psf(job, number),
        network=job.network, catalogue=job.entries, flag_maps=inputs.flags,
        checks=extracted_checks(writers), after=after, overwrite_input=IDENTICAL not in writers,
        threads=threads_of(job),
    )  # fmt: skip
    write_checks(detection, inputs.measured, inputs.cards, writers)
    columns = wanted_columns(detection.columns, job.columns, job.config)
    if "EXT_NUMBER" in columns:
        columns["EXT_NUMBER"] = np.full_like(columns["EXT_NUMBER"], number + 1)
    return Found(
        columns=columns,
        meta=detection.meta,
        cards=inputs.cards,
        number=number + 1,
        total=len(job.measured.images),
        shape=inputs.measured.shape,
        external=inputs.external,
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
