"""The report of a run: one HTML file that holds everything it shows."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from purepipe.io.atomic import write_text
from purepipe.pipeline.shear import ShearComparison
from purepipe.report.blocks import Section, counted
from purepipe.report.object_sections import masks_section, objects_section
from purepipe.report.overview import (
    configuration_section,
    fate_section,
    shear_section,
    steps_section,
)
from purepipe.report.psf_section import psf_section
from purepipe.report.records import Record, ccd_records, read_catalogues, read_record
from purepipe.report.sky_section import survey_section
from purepipe.report.tile_section import tiles_section

REPORT = "report.html"
_LIBRARIES = ("numpy", "scipy", "numba", "astropy")


@dataclass(frozen=True)
class Header:
    """What stands at the top of a page; `back` is the link to the page that leads here."""

    name: str
    verdict: str
    tone: str
    facts: tuple[tuple[str, str], ...]
    back: str = ""


def write_report(root: Path, *, comparison: ShearComparison | None = None) -> Path:
    """Write the report of a run, and give the path of the HTML file.

    Products that are missing, damaged or empty are named in a sentence where their picture would
    stand, so that a run of which everything failed has a report too. Equal runs give equal reports.

    Parameters
    ----------
    root
        Folder of the run.
    comparison
        The recovered shear beside the true one, for simulated surveys.

    Raises
    ------
    StoreError
        The folder holds no run, its ledger is damaged, or the report cannot be written.
    """
    root = Path(root)
    record = read_record(root)
    path = root / REPORT
    write_text(path, render(header(record), sections(record, comparison)))
    return path


def sections(record: Record, comparison: ShearComparison | None) -> list[Section]:
    """All sections in the order of the page."""
    ccds, catalogues = ccd_records(record), read_catalogues(record)
    return [
        fate_section(record),
        shear_section(record, comparison),
        steps_section(record),
        survey_section(record, ccds, catalogues),
        psf_section(record, ccds),
        masks_section(record, ccds),
        tiles_section(record),
        objects_section(record, ccds, catalogues),
        configuration_section(record),
    ]


def header(record: Record) -> Header:
    """What run this is, and how it ended in one sentence."""
    bad = sum(not outcome.done for outcome in record.outcomes)
    total = len(record.outcomes)
    if not total:
        verdict, tone = "nothing ran", "warn"
    elif bad:
        verdict, tone = f"{bad:,} of {counted(total, 'unit')} not done", "bad"
    else:
        verdict, tone = f"all {counted(total, 'unit')} done", "good"
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES)
    python = ".".join(str(part) for part in sys.version_info[:3])
    facts = (
        ("folder", str(record.root.resolve())),
        ("last change", f"{record.changed:%Y-%m-%d %H:%M} UTC"),
        ("code", f"purepipe {record.code}"),
        ("libraries", f"Python {python}, {libraries}"),
        ("seed", str(record.config.get("seed", "unknown"))),
        ("objects in the final catalogue", f"{_objects(record):,}"),
    )
    return Header(record.root.resolve().name, verdict, tone, facts)


def _objects(record: Record) -> int:
    """Rows of the final catalogues of all tiles."""
    return sum(
        step.n_out
        for outcome in record.outcomes
        for step in outcome.steps
        if outcome.kind == step.step == "catalogue" and outcome.done
    )


def render(top: Header, content: list[Section]) -> str:
    """The page as HTML; every text in it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("purepipe.report"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=StrictUndefined,
    )  # fmt: skip
    return environment.get_template("report.html").render(top=top, sections=content)
