"""Remake the stored outputs of psfex: ``python make_reference.py [case ...]``, in this folder.

The catalogues are simulated by `star_catalogue`, from the seed of the case alone; stored are the
model, the flags and the chi-squares that psfex 3.21.1 gives for them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

HERE = Path(__file__).parent
NOISE, GAIN = 10.0, 1.5
SHAPEPIPE = {
    "BASIS_TYPE": "PIXEL", "BASIS_NUMBER": "20", "PSF_SAMPLING": "1.0", "PSF_SIZE": "51,51",
    "CENTER_KEYS": "XWIN_IMAGE,YWIN_IMAGE", "PHOTFLUX_KEY": "FLUX_AUTO",
    "PHOTFLUXERR_KEY": "FLUXERR_AUTO", "PSFVAR_KEYS": "XWIN_IMAGE,YWIN_IMAGE",
    "PSFVAR_GROUPS": "1,1", "PSFVAR_DEGREES": "2", "PSFVAR_NSNAP": "1",
    "SAMPLE_AUTOSELECT": "N", "BADPIXEL_FILTER": "N",
}  # fmt: skip
# Case: stars, seed, changes of the ShapePipe configuration.
CASES = {
    "crowded": (60, 1, {}),
    "few": (7, 2, {"PSF_SIZE": "41,41"}),
    "small": (40, 3, {"PSF_SIZE": "31,25", "BASIS_NUMBER": "12", "PSFVAR_DEGREES": "1"}),
    "fine": (40, 4, {"PSF_SAMPLING": "0.6", "PSF_SIZE": "32,32", "PSFVAR_DEGREES": "1"}),
    "coarse": (40, 5, {"PSF_SAMPLING": "1.3", "PSF_SIZE": "25,25", "PSFVAR_DEGREES": "1"}),
    "recenter": (40, 6, {"PSF_RECENTER": "Y", "PSF_SIZE": "31,31", "PSFVAR_DEGREES": "1"}),
    "gauss_laguerre": (
        40, 7,
        {"BASIS_TYPE": "GAUSS-LAGUERRE", "BASIS_NUMBER": "6", "PSF_SIZE": "31,31",
         "PSFVAR_DEGREES": "1"},
    ),
    "autoselect": (
        60, 8, {"SAMPLE_AUTOSELECT": "Y", "PSF_SAMPLING": "0", "PSF_SIZE": "31,31",
                "PSFVAR_DEGREES": "1", "BADPIXEL_FILTER": "Y", "BADPIXEL_NMAX": "9"},
    ),
    "groups": (
        50, 9, {"PSFVAR_KEYS": "XWIN_IMAGE,YWIN_IMAGE,SNR_WIN", "PSFVAR_GROUPS": "1,1,2",
                "PSFVAR_DEGREES": "1,1", "PSF_SIZE": "31,31"},
    ),
    "constant": (30, 10, {"PSFVAR_DEGREES": "0", "BASIS_TYPE": "NONE"}),
}  # fmt: skip

# Two exposures of two extensions, fitted together in several ways.
SMALL = {"PSF_SIZE": "17,17", "PSFVAR_DEGREES": "1", "BASIS_NUMBER": "12"}
SEVERAL = {
    "common": {"MEF_TYPE": "COMMON", "SAMPLE_AUTOSELECT": "Y", "PSF_SAMPLING": "0"},
    "sequence": {"STABILITY_TYPE": "SEQUENCE", "SAMPLE_AUTOSELECT": "Y"},
    "all": {"MEF_TYPE": "COMMON", "STABILITY_TYPE": "SEQUENCE", "SAMPLEVAR_TYPE": "NONE",
            "SAMPLE_AUTOSELECT": "Y"},
    "components": {"NEWBASIS_TYPE": "PCA_COMMON", "NEWBASIS_NUMBER": "4"},
    "components_auto": {"NEWBASIS_TYPE": "PCA_INDEPENDENT", "NEWBASIS_NUMBER": "3",
                        "SAMPLE_AUTOSELECT": "Y", "PSF_SAMPLING": "0"},
    "components_pooled": {"NEWBASIS_TYPE": "PCA_INDEPENDENT", "NEWBASIS_NUMBER": "4",
                          "MEF_TYPE": "COMMON"},
}  # fmt: skip


# Four exposures of one extension in changing seeing, with contexts that the models find.
HIDDEN_KEYS = {"PSFVAR_KEYS": "XWIN_IMAGE,YWIN_IMAGE,HIDDEN1", "STABILITY_TYPE": "SEQUENCE"}
HIDDEN = {
    "hidden": {"PSFVAR_GROUPS": "1,1,2", "PSFVAR_DEGREES": "1,1"},
    "hidden_crossed": {"PSFVAR_GROUPS": "1,1,1", "PSFVAR_DEGREES": "2", "PSF_SAMPLING": "0",
                       "SAMPLE_AUTOSELECT": "Y"},
    "hidden_components": {"PSFVAR_GROUPS": "1,1,2", "PSFVAR_DEGREES": "1,1",
                          "NEWBASIS_TYPE": "PCA_COMMON", "NEWBASIS_NUMBER": "4"},
    "hidden_common": {"PSFVAR_GROUPS": "1,1,2", "PSFVAR_DEGREES": "1,1", "MEF_TYPE": "COMMON"},
}  # fmt: skip


def moffat(x: np.ndarray, y: np.ndarray, fwhm: float, e1: float, e2: float) -> np.ndarray:
    """Moffat profile (beta 3) of unit flux at offsets x, y."""
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1))
    det = 1 - e1**2 - e2**2
    r2 = ((1 - e1) * x**2 - 2 * e2 * x * y + (1 + e1) * y**2) / np.sqrt(det)
    return 2 / (np.pi * alpha**2) * (1 + r2 / alpha**2) ** -3.0


def star_catalogue(n: int, seed: int, size: int = 51, *, seeing: float = 1.0) -> Table:
    """Stars of a varying PSF with neighbours, bad pixels, faint and flagged ones among them."""
    rng = np.random.Generator(np.random.PCG64(seed))
    table = Table()
    x, y = rng.uniform(30, 2018, n), rng.uniform(30, 4582, n)
    flux = 10 ** rng.uniform(3.6, 5.6, n)
    vignets = rng.normal(0, NOISE, (n, size, size))
    fwhm = seeing * (3.6 + 0.6 * (x / 2048) + 0.3 * (y / 4612) ** 2)
    for i in range(n):
        grid_y, grid_x = np.mgrid[:size, :size] - float(size // 2)
        dx, dy = x[i] - np.rint(x[i]), y[i] - np.rint(y[i])
        e1, e2 = 0.05 * (x[i] / 1024 - 1), 0.04 * (y[i] / 2306 - 1)
        star = flux[i] * moffat(grid_x - dx, grid_y - dy, fwhm[i], e1, e2)
        if rng.uniform() < 0.12:  # a neighbour
            ax, ay = rng.uniform(-20, 20, 2)
            star = star + 0.5 * flux[i] * moffat(grid_x - ax, grid_y - ay, fwhm[i], e1, e2)
        vignets[i] += star + rng.normal(0, 1, star.shape) * np.sqrt(star / GAIN)
        if rng.uniform() < 0.3:  # a bad column
            vignets[i, :, rng.integers(0, size)] = -1e30
        if rng.uniform() < 0.3:
            vignets[i, : rng.integers(1, 12), : rng.integers(1, 12)] = -1e30
    table["XWIN_IMAGE"] = np.round(x + rng.normal(0, 0.02, n), 6)
    table["YWIN_IMAGE"] = np.round(y + rng.normal(0, 0.02, n), 6)
    table["FLUX_AUTO"] = (0.95 * flux).astype(np.float32)
    table["FLUXERR_AUTO"] = np.sqrt(flux).astype(np.float32)
    table["FLUX_RADIUS"] = (0.62 * fwhm * (1 + rng.normal(0, 0.02, n))).astype(np.float32)
    table["SNR_WIN"] = (flux / 150).astype(np.float32)
    table["ELONGATION"] = (1 + np.abs(rng.normal(0, 0.08, n))).astype(np.float32)
    table["FLAGS"] = np.where(rng.uniform(size=n) < 0.05, 2, 0).astype(np.int16)
    # A coarse grid of values keeps the catalogue the same on every machine.
    table["VIGNET"] = np.where(vignets < -1e29, -1e30, np.round(vignets, 2)).astype(np.float32)
    table.meta.update(SEXBKDEV=NOISE, SEXGAIN=GAIN)
    return table


def exposures() -> list[list[Table]]:
    """Two exposures of two extensions."""
    return [[star_catalogue(26, 40 + 10 * i + j) for j in range(2)] for i in range(2)]


def sequence() -> list[list[Table]]:
    """Four exposures of one extension, in changing seeing."""
    seeing = (1.0, 1.1, 0.95, 1.22)
    return [[star_catalogue(30, 100 + i, 25, seeing=s)] for i, s in enumerate(seeing)]


def write_ldac(tables: list[Table], path: Path) -> None:
    """FITS_LDAC file with a minimal header."""
    hdus = fits.HDUList([fits.PrimaryHDU()])
    texts = []
    for table in tables:
        header = fits.Header()
        header["SIMPLE"], header["BITPIX"], header["NAXIS"] = True, -32, 2
        header["NAXIS1"], header["NAXIS2"] = 2048, 4612
        header["SEXBKDEV"], header["SEXGAIN"] = table.meta["SEXBKDEV"], table.meta["SEXGAIN"]
        text = header.tostring(padding=False).encode()
        texts.append(text)
        column = fits.Column(
            "Field Header Card", format=f"{len(text)}A", dim=f"(80,{len(text) // 80})",
            array=np.frombuffer(text.replace(b" ", b"~"), dtype="S80").reshape(1, -1),
        )  # fmt: skip
        hdus.append(fits.BinTableHDU.from_columns([column], name="LDAC_IMHEAD"))
        hdus.append(fits.BinTableHDU(Table(table, meta={}), name="LDAC_OBJECTS"))
    hdus.writeto(path, overwrite=True)
    # astropy ends strings with zeros instead of blanks, which psfex does not survive.
    content = path.read_bytes()
    for text in texts:
        content = content.replace(text.replace(b" ", b"~"), text)
    path.write_bytes(content)


def run_psfex(
    exposures: list[list[Table]] | Table, changes: dict[str, str], binary: str = "psfex"
) -> list[list[dict[str, np.ndarray]]]:
    """Model, flags and chi-squares that psfex gives, by exposure (or one table) and extension."""
    exposures = [[exposures]] if isinstance(exposures, Table) else exposures
    settings = SHAPEPIPE | {
        "CHECKIMAGE_TYPE": "NONE", "CHECKPLOT_TYPE": "NONE", "OUTCAT_TYPE": "FITS_LDAC",
        "OUTCAT_NAME": "out.cat", "WRITE_XML": "N", "VERBOSE_TYPE": "QUIET", "NTHREADS": "1",
    } | changes  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [f"stars{number}.cat" for number in range(len(exposures))]
        for catalogue, tables in zip(names, exposures, strict=True):
            write_ldac(tables, folder / catalogue)
        (folder / "empty.psfex").write_text("# built-in defaults\n")
        command = [shutil.which(binary) or binary, *names, "-c", "empty.psfex"]
        for key, value in settings.items():
            command += [f"-{key}", value]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        rows = fits.getdata(folder / "out.cat", "LDAC_OBJECTS")
        return [
            _read_models(folder / f"stars{i}.psf", rows[rows["CATALOG_NUMBER"] == i + 1])
            for i in range(len(exposures))
        ]


def _read_models(path: Path, catalogue: fits.FITS_rec) -> list[dict[str, np.ndarray]]:
    results = []
    with fits.open(path) as psf:
        for extension, hdu in enumerate(psf[1:], start=1):
            rows = catalogue[catalogue["EXTENSION"] == extension]
            result = {
                key.lower(): hdu.header[key]
                for key in ("LOADED", "ACCEPTED", "CHI2", "PSF_FWHM", "PSF_SAMP", "POLNAXIS")
            }
            result["mask"] = np.array(hdu.data["PSF_MASK"][0], dtype=np.float32)
            for name in ("FLAGS_PSF", "CHI2_PSF", "RESI_PSF", "DELTAX_IMAGE", "DELTAY_IMAGE"):
                result[name] = np.array(rows[name]).astype(rows[name].dtype.newbyteorder("="))
            if "PSF_COEFFS" in hdu.columns.names:
                result["coeffs"] = np.array(hdu.data["PSF_COEFFS"][0], dtype=np.float32)
            results.append(result)
    return results


def main(names: list[str]) -> None:
    """Write ``<case>.npz`` for each case."""
    together = SEVERAL | HIDDEN
    for name in names or together:
        if name in together:
            tables, fixed = (sequence(), HIDDEN_KEYS) if name in HIDDEN else (exposures(), {})
            results = run_psfex(tables, SMALL | fixed | together[name])
            values = {
                f"{key}_{i}_{j}": value
                for i, models in enumerate(results)
                for j, model in enumerate(models)
                for key, value in model.items()
                if key not in ("RESI_PSF", "DELTAX_IMAGE", "DELTAY_IMAGE", "polnaxis", "coeffs")
            }
            np.savez_compressed(HERE / f"several_{name}.npz", **values)
    for name in names or CASES:
        if name not in CASES:
            continue
        n, seed, changes = CASES[name]
        ((result,),) = run_psfex(star_catalogue(n, seed), changes)
        np.savez_compressed(HERE / f"{name}.npz", **result)


if __name__ == "__main__":
    main(sys.argv[1:])
