"""Small files and pipeline files for the tests of the drop-in."""

from pathlib import Path

import numpy as np
from astropy.io import fits

GENERAL = """[DEFAULT]
RUN_NAME = {name}
RUN_DATETIME = False
[EXECUTION]
MODULE = {modules}
[FILE]
INPUT_DIR = {input}
OUTPUT_DIR = {output}
NUMBERING_SCHEME = {scheme}
[JOB]
SMP_BATCH_SIZE = 1
"""


def write_ini(folder: Path, sections: str = "", **changes: str) -> Path:
    """A pipeline file in `folder` that reads ``in`` and writes ``out`` beside it."""
    values = {
        "name": "run", "modules": "find_exposures_runner", "input": str(folder / "in"),
        "output": str(folder / "out"), "scheme": "-000-000",
    } | changes  # fmt: skip
    for name in ("in", "out"):
        (folder / name).mkdir(exist_ok=True)
    path = folder / f"{values['name']}.ini"
    path.write_text(GENERAL.format(**values) + sections)
    return path


def write_tile(path: Path, *exposures: str) -> None:
    """An image whose HISTORY names exposures."""
    hdu = fits.PrimaryHDU(np.zeros((4, 4), np.float32))
    for exposure in exposures:
        hdu.header.add_history(f"input image {exposure}p.fits 6 extension(s)")
    path.parent.mkdir(exist_ok=True)
    hdu.writeto(path)
