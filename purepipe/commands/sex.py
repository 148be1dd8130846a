"""``purepipe sex``: catalogues of images, with SExtractor's arguments."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

from purepipe import __version__
from purepipe.commands.console import guarded, say
from purepipe.commands.sex_job import Job, read_job
from purepipe.commands.sex_read import read_inputs
from purepipe.errors import ExitCode
from purepipe.legacy.astromatic_keys import DEFAULTS

if TYPE_CHECKING:
    from purepipe.commands.sex_run import Found

USAGE = """\
purepipe sex IMAGE[,IMAGE2] [-c FILE] [-KEYWORD VALUE]... [--lenient]

Find and measure the sources of an image; with two images, find them on the
first one and measure them on the second one. Every image of a multi-extension
file is processed in turn; IMAGE.fits[2] chooses one HDU.

-c FILE        configuration file; default: default.sex, if there is one
-KEYWORD VALUE overrides a keyword of the file, e.g. -CATALOG_NAME out.cat
-d, -dd        print a configuration file with the common keywords, or with all
-dp            print the names of all columns, as a parameter file
-v             print the version
--lenient      warn of unknown keywords and columns instead of refusing them

Exit status: 0 fine, 1 files or data cannot be used, 2 wrong configuration.
"""


def main(arguments: list[str]) -> int:
    """Make the catalogue that the arguments ask for.

    Parameters
    ----------
    arguments
        As for SExtractor: ``image.fits -c default.sex -CATALOG_NAME out.cat ...``.

    Returns
    -------
    Exit status: 0 fine, 1 files or data cannot be used, 2 wrong configuration.
    """
    return guarded("sex", _run, arguments)


def _run(arguments: list[str]) -> int:
    if not arguments or {"-h", "--help"} & set(arguments):
        say(USAGE)
    elif {"-v", "--version"} & set(arguments):
        say(f"purepipe sex {__version__}")
    elif {"-d", "-dd"} & set(arguments):
        from purepipe.legacy.astromatic_comments import sex_configuration

        say(f"# Configuration of purepipe sex {__version__}")
        say(sex_configuration(dict(DEFAULTS["sex"]), extended="-dd" in arguments))
    elif "-dp" in arguments:
        say("\n".join(column_lines()))
    else:
        run_job(read_job(arguments))
    return int(ExitCode.OK)


def column_lines() -> list[str]:
    """A parameter file with all columns, each commented out."""
    from purepipe.catalogue.columns_detect import COLUMNS
    from purepipe.io.sex_formats import comment_of, unit_of

    return [
        f"#{item.name:24} {comment_of(item.name):57.57}"
        + (f" [{unit_of(item.name)}]" if unit_of(item.name) else "")
        for item in COLUMNS
    ]


def run_job(job: Job) -> None:
    """Process all images and write the catalogue, the check-images and the report.

    Raises
    ------
    PurepipeError
        A file cannot be read or written, or the data cannot be used. Nothing is left half
        written.
    """
    start = time.monotonic()
    verbose = job.settings.text("VERBOSE_TYPE").upper() != "QUIET"
    if verbose:
        _tell(f"----- purepipe sex {__version__} (SExtractor 2.25)")
    found: list[Found] = []
    with ThreadPoolExecutor(1) as reader, ExitStack() as stack:
        ahead = reader.submit(read_inputs, job, 0)
        # Here, because loading the compiled code takes as long as reading an image.
        from purepipe.commands.sex_products import check_writers, write_catalogue, write_report
        from purepipe.commands.sex_run import process_image
        from purepipe.detect.exact_engine import Continuation

        after, writers = Continuation(), check_writers(job, stack)
        for number in range(len(job.measured.images)):
            inputs = ahead.result()
            if number + 1 < len(job.measured.images):
                ahead = reader.submit(read_inputs, job, number + 1)
            result = process_image(job, number, inputs, after, writers)
            found.append(result)
            if verbose:
                _tell("\n".join(_lines(job, result)))
    write_catalogue(job, found)
    seconds = time.monotonic() - start
    write_report(job, found, seconds)
    if verbose:
        lines = sum(item.shape[0] for item in found) / max(seconds, 1e-3)
        objects = sum(item.meta["SEXNFIN"] for item in found) / max(seconds, 1e-3)
        _tell(f"> All done (in {seconds:.1f} s: {lines:.1f} lines/s , {objects:.1f} detections/s)")


def _lines(job: Job, result: Found) -> Sequence[str]:
    """What the terminal shows about one image."""
    meta = result.meta
    height, width = result.shape
    extension = f" [{result.number}/{len(job.measured.images)}]"
    rows = [f"----- Measuring from: {job.measured.name}{extension if result.total > 1 else ''}"]
    if job.sought is not None:
        rows.append(f"      detecting from: {job.sought.name}")
    rows.append(f'      "{result.identity}" / {width}x{height}')
    rows.append(
        f"      Background: {meta['SEXBKGND']:<10.6g} RMS: {meta['SEXBKDEV']:<10.6g}"
        f" / Threshold: {meta['SEXTHLD']:.6g}"
    )
    rows.append(f"      Objects: detected {meta['SEXNDET']:<8} / sextracted {meta['SEXNFIN']}")
    return rows


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
