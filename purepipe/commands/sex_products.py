"""What ``purepipe sex`` writes beside check-images: the catalogue and the report of the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from purepipe import __version__
from purepipe.commands.console import standard_output
from purepipe.commands.sex_header import image_cards, run_cards
from purepipe.commands.sex_job import Job
from purepipe.io.sex_fits import write_sex_fits
from purepipe.io.sex_images import WriteCheck, check_writer
from purepipe.io.sex_text import text_lines, write_sex_text

if TYPE_CHECKING:
    from purepipe.commands.sex_run import Found
    from purepipe.io.sex_votable import RunReport


def check_writers(job: Job, stack: ExitStack) -> dict[str, WriteCheck]:
    """A writer for each type of check-image; the stack closes the files."""
    total = len(job.measured.images)
    extensions = total if total > 1 else 0
    return {
        kind: stack.enter_context(check_writer(path, extensions=extensions))
        for kind, path in job.checks
    }


def write_catalogue(job: Job, found: Sequence[Found]) -> None:
    """Write the objects of all images in the format that CATALOG_TYPE names.

    Raises
    ------
    StoreError
        The file cannot be written.
    MissingPackageError
        Parquet without pyarrow.
    """
    kind, name = job.catalogue
    tables = [item.columns for item in found]
    if kind == "NONE":
        return
    if kind.startswith("FITS"):
        headers = [[*item.cards, *_image_cards(job, item)] for item in found]
        last = found[-1]
        run = run_cards(
            job.settings, last.meta, last.shape, file=_file_name(job), total=last.total,
            columns=len(job.columns),
        )  # fmt: skip
        write_sex_fits(name, kind, tables, headers, run)
    elif kind == "ASCII_VOTABLE":
        from purepipe.io.sex_votable import write_sex_votable

        seconds = sum(item.seconds for item in found)
        write_sex_votable(name, _report(job, found, seconds), tables, with_rows=True)
    elif kind == "PARQUET":
        _write_parquet(name, found)
    elif name.upper() in ("STDOUT", "PIPE"):
        with standard_output() as stream:
            stream.writelines(text_lines(kind, tables))
    else:
        write_sex_text(name, kind, tables)


def write_report(job: Job, found: Sequence[Found], seconds: float) -> None:
    """Write the XML report if WRITE_XML asks for it."""
    if not job.settings.flag("WRITE_XML"):
        return
    from purepipe.io.sex_votable import write_sex_votable

    kind, name = job.catalogue
    report = _report(job, found, seconds, catalogue=name if kind.startswith("FITS") else "")
    tables = [item.columns for item in found]
    write_sex_votable(job.settings.text("XML_NAME"), report, tables, with_rows=False)


def _file_name(job: Job) -> str:
    return job.measured.name.path.name


def _image_cards(job: Job, item: Found) -> list[str]:
    return image_cards(
        job.settings, item.meta, file=_file_name(job), number=item.number, total=item.total,
        columns=len(job.columns), seconds=item.seconds, now=item.finished,
    )  # fmt: skip


def _write_parquet(name: str, found: Sequence[Found]) -> None:
    from astropy.table import vstack

    from purepipe.catalogue.table import build_table
    from purepipe.io.tables import write_table

    tables = [build_table(item.columns, meta=item.meta) for item in found]
    whole = vstack(tables, metadata_conflicts="silent") if len(tables) > 1 else tables[0]
    write_table(name, whole)


def _report(job: Job, found: Sequence[Found], seconds: float, catalogue: str = "") -> RunReport:
    from purepipe.io.sex_votable import RunReport

    finished = found[-1].finished
    settings = {key: ",".join(item.values) for key, item in job.settings.with_defaults().items()}
    software = {
        "Software": "purepipe",
        "Version": __version__,
        "NThreads": job.settings.text("NTHREADS"),
        "Date": f"{finished:%Y-%m-%d}",
        "Time": f"{finished:%H:%M:%S}",
        "Duration": f"{seconds:.1f}",
        "Path": os.fspath(Path.cwd()),
        "Image_Name": _file_name(job),
    }
    return RunReport(
        image=_file_name(job),
        software=software,
        images=[_image_row(item) for item in found],
        settings=settings,
        style_sheet=job.settings.text("XSL_URL"),
        catalogue=catalogue,
    )


def _image_row(item: Found) -> dict[str, Any]:
    meta = item.meta
    return {
        "Extension": item.number,
        "External_Header": item.external,
        "Date": f"{item.finished:%d/%m/%Y}",
        "Time": f"{item.finished:%H:%M:%S}",
        "Duration": float(item.seconds),
        "NDetect": meta["SEXNDET"],
        "NSextracted": meta["SEXNFIN"],
        "Image_Ident": item.identity,
        "Background_Mean": meta["SEXBKGND"],
        "Background_StDev": meta["SEXBKDEV"],
        "Threshold": meta["SEXTHLD"],
        "Weight_Scaling": meta["SEXMWSCL"],
        "Pixel_Scale": meta["SEXPXSCL"],
        "Epoch": 0.0,
        "Gain": meta["SEXGAIN"],
        "Satur_Level": meta["SEXSATLV"],
    }
