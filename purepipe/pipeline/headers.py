"""What a plan must know of an exposure's files: its CCDs and their coordinates, read once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from purepipe.config.survey import InputConfig
from purepipe.errors import PurepipeError
from purepipe.io.exposures import check_ccd_files
from purepipe.io.header_cards import read_cards
from purepipe.io.images import header_at
from purepipe.io.layout import HDULayout, fits_layout
from purepipe.pipeline.keys import code_version, content_hash, file_identity
from purepipe.survey import CCD

if TYPE_CHECKING:
    from astropy.io.fits import Header

log = logging.getLogger(__name__)

_CHUNK = 8  # exposures read by one call of a worker

# The cards that a CCD's coordinates, scale and exposed area are made from.
_KEPT = (
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "WCSAXES", "WCSNAME", "CTYPE", "CRVAL", "CRPIX",
    "CDELT", "CUNIT", "CROTA", "CD1_", "CD2_", "PC1_", "PC2_", "PC00", "PV1_", "PV2_", "PS1_",
    "PS2_", "A_", "B_", "AP_", "BP_", "LONPOLE", "LATPOLE", "RADESYS", "RADECSYS", "EQUINOX",
    "EPOCH", "MJD-OBS", "DATE-OBS", "DATASEC",
)  # fmt: skip


@dataclass(frozen=True)
class CCDHeader:
    """One CCD of an exposure: its HDU in each file, its coordinates, or why it cannot be used."""

    hdu: int
    weight_hdu: int
    flag_hdu: int | None
    cards: str = ""
    shape: tuple[int, int] = (0, 0)
    status: str = ""
    problem: str = ""


@dataclass(frozen=True)
class ExposureHeaders:
    """The CCDs of an exposure, or why none of them can be used."""

    number: str
    ccds: tuple[CCDHeader, ...] = ()
    status: str = ""
    problem: str = ""


@dataclass(frozen=True)
class ExposureFiles:
    """The three files of an exposure; `flag` may be None."""

    number: str
    image: Path
    weight: Path
    flag: Path | None

    def identity(self, inputs: InputConfig) -> str:
        """Changes with any of the files, the keywords that are looked for, and the code."""
        files = [file_identity(path) for path in (self.image, self.weight, self.flag)]
        return content_hash(files, inputs.flux_scale_keys, code_version())


def read_headers(
    exposures: Iterable[ExposureFiles],
    inputs: InputConfig,
    *,
    known: Callable[[str], tuple[str, str] | None] | None = None,
    executor: Executor | None = None,
) -> tuple[dict[str, ExposureHeaders], dict[str, tuple[str, str]]]:
    """The headers of exposures by number, and what is worth keeping for the next time.

    Parameters
    ----------
    known
        Gives for a number the (identity, text) returned before, or None; the headers of unchanged
        files are not read again.
    executor
        Reads side by side.

    Returns
    -------
    headers, fresh
        One entry per exposure; what `known` should give from now on, for those that were read.
    """
    found: dict[str, ExposureHeaders] = {}
    wanted: list[ExposureFiles] = []
    identities: dict[str, str] = {}
    for exposure in exposures:
        identity = identities[exposure.number] = exposure.identity(inputs)
        kept = None if known is None else known(exposure.number)
        if kept is not None and kept[0] == identity:
            found[exposure.number] = _from_text(exposure.number, kept[1])
        else:
            wanted.append(exposure)
    fresh = {}
    for headers in _read_all(wanted, inputs, executor):
        found[headers.number] = headers
        if not headers.problem and not any(ccd.problem for ccd in headers.ccds):
            fresh[headers.number] = (identities[headers.number], _to_text(headers))
    return found, fresh


def _read_all(
    exposures: list[ExposureFiles], inputs: InputConfig, executor: Executor | None
) -> Iterable[ExposureHeaders]:
    chunks = [exposures[i : i + _CHUNK] for i in range(0, len(exposures), _CHUNK)]
    if executor is not None:
        try:
            futures = [executor.submit(read_chunk, chunk, inputs) for chunk in chunks]
            return [headers for future in futures for headers in future.result()]
        except BrokenExecutor:
            log.warning("a worker died while headers were read: they are read without workers")
    return [headers for chunk in chunks for headers in read_chunk(chunk, inputs)]


def read_chunk(exposures: list[ExposureFiles], inputs: InputConfig) -> list[ExposureHeaders]:
    """The headers of some exposures; what is wrong with one does not stop the others."""
    return [_read(exposure, inputs) for exposure in exposures]


def _read(exposure: ExposureFiles, inputs: InputConfig) -> ExposureHeaders:
    try:
        check_ccd_files(exposure.image, exposure.weight, exposure.flag)
        layout = fits_layout(exposure.image)
        images = [item for item in layout if item.image_shape]
        weights = [item.index for item in fits_layout(exposure.weight) if item.image_shape]
        flags: list[int | None] = [None] * len(images)
        if exposure.flag is not None:
            flags = [item.index for item in fits_layout(exposure.flag) if item.image_shape]
        primary = header_at(exposure.image, layout[0])
    except PurepipeError as error:
        return ExposureHeaders(exposure.number, status=error.status, problem=str(error))
    places = zip(images, weights, flags, strict=True)
    return ExposureHeaders(
        exposure.number,
        tuple(
            _read_ccd(exposure, index, (item, weight, flag), primary, inputs)
            for index, (item, weight, flag) in enumerate(places)
        ),
    )


def _read_ccd(
    exposure: ExposureFiles,
    index: int,
    place: tuple[HDULayout, int, int | None],
    primary: Header,
    inputs: InputConfig,
) -> CCDHeader:
    item, weight, flag = place
    try:
        kept = read_cards(exposure.image, item, (*_KEPT, *inputs.flux_scale_keys))
        scale = _flux_scale((kept, primary), inputs)
        for key in inputs.flux_scale_keys:
            kept.remove(key, ignore_missing=True, remove_all=True)
        if scale is not None:  # a missing card is told with the tile; it counts as 1
            kept["FSCALE"] = scale
        cards = kept.tostring(padding=False, endcard=False)
        ccd = CCD.from_header(exposure.number, index, cards)
    except PurepipeError as error:
        error.file, error.hdu = str(exposure.image), str(item.index)
        return CCDHeader(item.index, weight, flag, status=error.status, problem=str(error))
    return CCDHeader(item.index, weight, flag, cards, ccd.shape)


def _flux_scale(headers: Iterable[Header], inputs: InputConfig) -> Any:
    """The scale as `read_exposure` finds it: in the HDU, else in the primary header, else None."""
    for source in headers:
        for key in inputs.flux_scale_keys:
            if key in source:
                return source[key]
    return None


def _to_text(headers: ExposureHeaders) -> str:
    rows = [[c.hdu, c.weight_hdu, c.flag_hdu, c.cards, c.shape] for c in headers.ccds]
    return json.dumps(rows)


def _from_text(number: str, text: str) -> ExposureHeaders:
    ccds = tuple(
        CCDHeader(hdu, weight, flag, cards, (shape[0], shape[1]))
        for hdu, weight, flag, cards, shape in json.loads(text)
    )
    return ExposureHeaders(number, ccds)
