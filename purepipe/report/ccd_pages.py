"""A page about one CCD: what each step did, its mask, sky, stars and PSF."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from purepipe.errors import PurepipeError
from purepipe.io.background import read_background
from purepipe.io.psf_file import read_psf
from purepipe.pipeline.store import Outcome
from purepipe.report.blocks import (
    Block,
    Gallery,
    Picture,
    Section,
    Text,
    cell,
    picture,
    sentence,
)
from purepipe.report.object_sections import mask_picture
from purepipe.report.pages import REPORT, Header, render
from purepipe.report.psf_section import histograms, in_words, selection_on, whiskers
from purepipe.report.records import (
    CCDRecord,
    Record,
    ccd_page,
    ccd_records,
    read_field,
    read_record,
)
from purepipe.report.unit_pages import step_blocks, write_pages

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_ccd_pages(root: Path, names: Iterable[str] | None = None) -> list[Path]:
    """Write a page about each of some CCDs of a run, and give the paths.

    The report links the pages that there are when it is written.

    Parameters
    ----------
    root
        Folder of the run.
    names
        Such as ``"2079614-9"``; by default all, at about two seconds and half a megabyte each.

    Raises
    ------
    DataError
        The run has no such CCD.
    StoreError
        The folder holds no run, its ledger is damaged, or a page cannot be written.
    """
    record = read_record(Path(root))
    known = {ccd.name: ccd for ccd in ccd_records(record)}
    outcomes = {o.name.split(maxsplit=1)[-1]: o for o in record.outcomes if o.kind == "ccd"}

    def page(name: str) -> tuple[Path, str]:
        return ccd_page(record.root, name), _page(record, known[name], outcomes[name])

    return write_pages(record, "CCD", known, names, page)


def _page(record: Record, ccd: CCDRecord, outcome: Outcome) -> str:
    tone = "good" if outcome.done else "bad"
    facts = [("run", str(record.root.resolve())), ("exposure", ccd.exposure)]
    for step in outcome.steps:
        if step.step != "mask":  # its planes have a picture
            facts += [(name, _in_short(value)) for name, value in step.facts.items()]
    top = Header(f"CCD {ccd.name}", outcome.status, tone, tuple(facts), back=f"../{REPORT}#psf")
    return render(top, _sections(record, ccd, outcome))


def _in_short(value: object) -> str:
    return cell(value, "{}" if isinstance(value, str) else "{:.4g}").text


def _sections(record: Record, ccd: CCDRecord, outcome: Outcome) -> list[Section]:
    image = (mask_picture("Mask over the image", record, ccd), _background(record, ccd))
    return [
        Section("steps", "Steps", tuple(step_blocks([outcome]))),
        Section("image", "Image and sky", (Gallery(image, wide=True),)),
        Section("stars", "Stars and PSF", tuple(_stars(record, ccd))),
    ]


def _background(record: Record, ccd: CCDRecord) -> Picture:
    def make() -> Callable[[Axes], object]:
        return read_background(record.root / "ccd" / ccd.name / "background.fits").plot

    return picture("Sky", "Level of the background in each mesh.", make, size=(4.2, 4.4))


def _stars(record: Record, ccd: CCDRecord) -> list[Block]:
    def model() -> Callable[[Axes], object]:
        return read_psf(record.root / "ccd" / ccd.name / "psf.psf").plot

    first = (
        selection_on(record, ccd, "size and magnitude"),
        picture(
            "PSF model", "At nine places spread over the range of the stars.", model,
            size=(3.4, 3.4),
        ),
    )  # fmt: skip
    try:
        field = read_field(record, [ccd])
    except PurepipeError as error:
        return [Gallery(first), Text(sentence(error))]
    kind = "stars, reserved ones included" if field.reserved.any() else "stars"
    return [
        Gallery(first), whiskers(record, [ccd]), Text(in_words(field, kind)),
        Gallery(histograms(field)),
    ]  # fmt: skip
