"""Remake psfex.npz, what psfex 3.21.1 writes for two small catalogues: run in this folder."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
from astropy.io import fits
from astropy.table import Table

from purepipe.io.ldac import write_ldac

HERE = Path(__file__).parent
CHECKS = {
    "CHI": "chi.fits", "PROTOTYPES": "proto.fits", "SAMPLES": "samp.fits",
    "RESIDUALS": "resi.fits", "SNAPSHOTS": "snap.fits", "SNAPSHOTS_IMRES": "snapim.fits",
    "MOFFAT": "moffat.fits", "-MOFFAT": "submoffat", "-SYMMETRICAL": "subsym.fits",
    "WEIGHTS": "weights.fits", "BASIS": "basis.fits", "SAMPLES_GRID": "sgrid.fits",
    "RESIDUALS_GRID": "rgrid.fits",
}  # fmt: skip
CONFIGURATION = {
    "BASIS_TYPE": "PIXEL", "BASIS_NUMBER": "10", "PSF_SAMPLING": "1.0", "PSF_SIZE": "17,17",
    "CENTER_KEYS": "XWIN_IMAGE,YWIN_IMAGE", "PHOTFLUX_KEY": "FLUX_AUTO",
    "PHOTFLUXERR_KEY": "FLUXERR_AUTO", "PSFVAR_KEYS": "XWIN_IMAGE,YWIN_IMAGE",
    "PSFVAR_GROUPS": "1,1", "PSFVAR_DEGREES": "1", "PSFVAR_NSNAP": "3",
    "SAMPLE_AUTOSELECT": "N", "OUTCAT_TYPE": "FITS_LDAC", "OUTCAT_NAME": "out.cat",
    "CHECKPLOT_TYPE": "NONE", "CHECKIMAGE_TYPE": ",".join(CHECKS),
    "CHECKIMAGE_NAME": ",".join(CHECKS.values()), "WRITE_XML": "Y", "XML_NAME": "psfex.xml",
}  # fmt: skip
# Enough to see that an image is the same, in a small file.
STORED = ("chi", "proto", "resi", "snap", "snapim", "moffat", "subsym", "basis", "rgrid")


def psf_reference() -> ModuleType:
    """The script that makes the catalogues of the PSF fit."""
    path = HERE.parent / "psf" / "make_reference.py"
    spec = importlib.util.spec_from_file_location("psf_catalogues", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def header(number: int) -> str:
    """Header cards of a CCD of 2048 x 4612 pixels of 0.19 arcsec."""
    cards = fits.Header()
    cards["SIMPLE"], cards["BITPIX"], cards["NAXIS"] = True, -32, 2
    cards["NAXIS1"], cards["NAXIS2"] = 2048, 4612
    cards["EXTNAME"] = f"CCD{number:02d}"
    for axis, (kind, value, pixel) in enumerate(
        (("RA---TAN", 150.0, 2500.0), ("DEC--TAN", 2.0, 2300.0)), start=1
    ):
        cards[f"CTYPE{axis}"], cards[f"CUNIT{axis}"] = kind, "deg"
        cards[f"CRVAL{axis}"], cards[f"CRPIX{axis}"] = value, pixel
    cards["CD1_1"], cards["CD1_2"] = -0.19 / 3600, 1e-6
    cards["CD2_1"], cards["CD2_2"] = 1e-6, 0.19 / 3600
    return str(cards.tostring(sep="", endcard=False, padding=False))


def write_catalogue(
    path: Path, extensions: int = 1, *, stars: int = 16, size: int = 19, seed: int = 70
) -> None:
    """A catalogue of simulated stars in each extension."""
    make = psf_reference().star_catalogue
    tables: list[Table] = [make(stars, seed + number, size=size) for number in range(extensions)]
    write_ldac(path, tables, [header(number) for number in range(extensions)])


def write_configuration(path: Path, **changes: str) -> None:
    """A configuration file."""
    keys = CONFIGURATION | changes
    path.write_text("".join(f"{key:16} {value}\n" for key, value in keys.items()))


def report_rows(path: Path, name: str) -> list[dict[str, str]]:
    """The rows of a table of psfex's XML file."""
    text = path.read_text()
    text = text[text.index(f'<TABLE ID="{name}"') :]
    text = text[: text.index("</TABLE>")]
    names = re.findall(r'<FIELD name="(\w+)"', text)
    rows = re.findall(r"<TR>(.*?)</TR>", text, re.S)
    return [dict(zip(names, re.findall(r"<TD>(.*?)</TD>", row), strict=True)) for row in rows]


def run_psfex(folder: Path, *arguments: str) -> None:
    """Run psfex in `folder`."""
    binary = shutil.which("psfex") or "psfex"
    subprocess.run([binary, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def main() -> None:
    """Write psfex.npz."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_catalogue(folder / "stars.cat")
        write_configuration(folder / "default.psfex")
        run_psfex(folder, "stars.cat", "-c", "default.psfex")
        stored = {
            f"image_{kind}": fits.getdata(folder / f"{kind}_stars.fits").astype(np.float32)
            for kind in STORED
        }
        stored["mask"] = fits.getdata(folder / "stars.psf")["PSF_MASK"][0].astype(np.float32)
        with fits.open(folder / "out.cat") as hdus:
            for column in hdus["LDAC_OBJECTS"].columns:
                values = hdus["LDAC_OBJECTS"].data[column.name]
                stored[f"column_{column.name}"] = values.astype(values.dtype.newbyteorder("="))
                form = [column.format, column.unit or "", column.disp]
                stored[f"format_{column.name}"] = np.array(form)
        (row,) = report_rows(folder / "psfex.xml", "PSF_Fields")
        stored["report_names"] = np.array(list(row))
        stored["report_values"] = np.array(list(row.values()))
    np.savez_compressed(HERE / "psfex.npz", **stored)


if __name__ == "__main__":
    main()
