"""The section about the survey as a whole: footprint, losses, PSF over the exposures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import NothingToDo, PurepipeError
from purepipe.io.images import list_ccds, read_header
from purepipe.report import sky_plots
from purepipe.report.blocks import Block, Gallery, Picture, Section, Text, counted, picture
from purepipe.report.records import (
    ELLIPTICITY_LIMIT,
    Catalogues,
    CCDRecord,
    Record,
    column,
    evenly,
    number,
    pointing_of,
    tangent_plane,
)
from purepipe.report.sky_plots import Outline
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_OUTLINES = 3000


def survey_section(record: Record, ccds: Sequence[CCDRecord], catalogues: Catalogues) -> Section:
    """Where the survey has looked, what was lost there, and the PSF of all exposures."""
    shown = evenly(ccds, MAX_OUTLINES)
    pictures = [
        picture(
            "Footprint", "CCDs and tiles; the darker, the more exposures.",
            lambda: sky_plots.footprint(_ccd_outlines(record, shown), _tile_outlines(record)),
            size=(4.2, 3.9),
        ),
        _sky_picture(
            catalogues, "Epochs over the sky", "Exposures that cover an object, in the mean.",
            "epochs", lambda values: values("N_EPOCH"),
        ),
        _sky_picture(
            catalogues, "Objects lost over the sky", "Share of detections without a usable shape.",
            "lost (%)", lambda values: 100.0 * (values("NGMIX_MCAL_FLAGS") != 0),
        ),
        picture(
            "Pixels lost over the focal plane",
            "Share of the pixels that are masked, or of CCDs that failed, over all exposures.",
            lambda: _lost_pixels(record, shown), size=(4.2, 3.9),
        ),
    ]  # fmt: skip
    if not ccds:
        pictures = pictures[:3]
    text = f"{counted(len(ccds), 'CCD')} of {counted(len({c.exposure for c in ccds}), 'exposure')}."
    if len(shown) < len(ccds):
        text += f" The maps of CCDs show {len(shown):,} of them."
    if catalogues.read < catalogues.total:
        tiles = counted(catalogues.total, "tile")
        text += f" The maps of objects show those of {catalogues.read:,} of {tiles}."
    blocks: list[Block] = [Text(text), Gallery(tuple(pictures), wide=True)]
    if ccds:
        blocks.append(Gallery(_over_exposures(ccds)))
    return Section("survey", "Survey", tuple(blocks))


def _sky_picture(
    catalogues: Catalogues,
    title: str,
    caption: str,
    label: str,
    quantity: Callable[[Callable[[str], NDArray[np.float64]]], NDArray[np.float64]],
) -> Picture:
    def make() -> Callable[[Axes], None]:
        catalogue = catalogues.joined()
        ra, dec = column(catalogue, "XWIN_WORLD"), column(catalogue, "YWIN_WORLD")
        return sky_plots.sky_map(
            ra, dec, quantity(lambda name: column(catalogue, name)), label=label
        )

    return picture(title, caption, make, size=(4.2, 3.9))


def _ccd_outlines(record: Record, ccds: Sequence[CCDRecord]) -> list[Outline]:
    """The corners of the CCDs whose world coordinates can be read."""
    found = []
    for ccd in ccds:
        corners, _ = _place(record, ccd)
        if corners is not None:
            found.append(Outline(ccd.name, corners, ccd.status == "done"))
    return found


def _tile_outlines(record: Record) -> list[Outline]:
    found = []
    for outcome in record.outcomes:
        if outcome.kind != "tile":
            continue
        name = outcome.name.split(maxsplit=1)[-1]
        image = Path(record.input("tile_image").replace("{number}", name))
        for path, hdu in ((record.root / "tile" / name / "mask.fits", 1), (image, None)):
            try:
                corners = WCS.from_header(read_header(path, hdu)).footprint()
            except PurepipeError:
                continue
            found.append(Outline(name, corners, outcome.done))
            break
    return found


def _place(
    record: Record, ccd: CCDRecord
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Corners on the sky and pointing of a CCD: from its mask, else from the exposure itself."""
    nowhere = np.full(2, np.nan)
    for read in (_mask_header, _image_header):
        try:
            header = read(record, ccd)
            return WCS.from_header(header).footprint(), np.array(pointing_of(header))
        except (PurepipeError, IndexError):
            continue
    return None, nowhere


def _mask_header(record: Record, ccd: CCDRecord) -> object:
    return read_header(record.root / "ccd" / ccd.name / "mask.fits", 1)


def _image_header(record: Record, ccd: CCDRecord) -> object:
    path = Path(record.input("image").replace("{number}", ccd.exposure))
    return read_header(path, list_ccds(path)[ccd.ccd][0])


def _lost_pixels(record: Record, ccds: Sequence[CCDRecord]) -> Callable[[Axes], None]:
    """The loss at each position of the camera, over all exposures."""
    lost: dict[int, list[float]] = defaultdict(list)
    places: dict[int, NDArray[np.float64]] = {}
    for ccd in ccds:
        lost[ccd.ccd].append(_lost_share(ccd))
        if ccd.ccd not in places:
            corners, centre = _place(record, ccd)
            if corners is not None:
                offsets = tangent_plane(corners[:, 0], corners[:, 1], centre)
                places[ccd.ccd] = np.stack(offsets, axis=-1)
    chips = sorted(places)
    if not chips:
        raise NothingToDo("No CCD has world coordinates that can be read.")
    shares = [100 * float(np.mean(lost[chip])) for chip in chips]
    return sky_plots.focal_plane([places[chip] for chip in chips], shares, label="lost (%)")


def _lost_share(ccd: CCDRecord) -> float:
    """Share of a CCD's pixels that are masked; all of a CCD that failed."""
    pixels = number(ccd.facts.get("mask in"))
    if ccd.status != "done" or not pixels > 0:
        return 1.0
    return 1.0 - number(ccd.facts.get("mask out")) / pixels


def _over_exposures(ccds: Sequence[CCDRecord]) -> tuple[Picture, ...]:
    """Seeing, residuals and stars of each exposure."""
    members: dict[str, list[CCDRecord]] = defaultdict(list)
    for ccd in ccds:
        members[ccd.exposure].append(ccd)
    names = sorted(members)

    def over(title: str, caption: str, label: str, key: str, limit: float = 0.0) -> Picture:
        samples = [list(_numbers(members[name], key)) for name in names]
        return picture(
            title, caption,
            lambda: sky_plots.by_exposure(names, samples, label=label, limit=limit),
        )  # fmt: skip

    return (
        over("Seeing by exposure", "FWHM of the stars: median and range of the CCDs.",
             "FWHM (pixel)", "fwhm"),
        over("PSF residuals by exposure",
             "Modulus of the mean ellipticity residual of the CCDs: median and range; dotted: where"
             " a model is suspect.", "|mean δg|", "mean_de", ELLIPTICITY_LIMIT),
        over("Stars by exposure", "Stars that the PSF fit accepted: median and range of the CCDs.",
             "stars", "psf out"),
    )  # fmt: skip


def _numbers(ccds: Sequence[CCDRecord], key: str) -> Iterator[float]:
    for ccd in ccds:
        if key == "mean_de":
            first, second = number(ccd.facts.get("mean_de1")), number(ccd.facts.get("mean_de2"))
            yield float(np.hypot(first, second))
        else:
            yield number(ccd.facts.get(key))
