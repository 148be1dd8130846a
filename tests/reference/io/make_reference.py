"""Remake the stored catalogues of SExtractor 2.25 and PSFEx 3.21: run in this folder.

A small random field goes through the original programs. Only the catalogues are kept.
"""

import subprocess

import numpy as np
from astropy.io import fits

SIZE, STARS = 160, 16
COLUMNS = (
    "NUMBER EXT_NUMBER X_IMAGE Y_IMAGE XWIN_WORLD YWIN_WORLD FLUX_APER(1) FLUXERR_APER(1) FLUX_AUTO"
    " FLUX_RADIUS SNR_WIN ELONGATION MU_MAX MU_THRESHOLD X2_IMAGE ERRX2_IMAGE FLAGS IMAFLAGS_ISO"
    " FWHM_IMAGE VIGNET(25,25)"
)


def field() -> fits.PrimaryHDU:
    """A few stars on a flat background."""
    rng = np.random.default_rng(3)
    image = rng.normal(1000, 5, (SIZE, SIZE))
    y, x = np.mgrid[:SIZE, :SIZE]
    for number in range(STARS):
        x0 = 20 + 40 * (number % 4) + rng.uniform(-3, 3)
        y0 = 20 + 40 * (number // 4) + rng.uniform(-3, 3)
        flux = 10 ** rng.uniform(3.7, 4.5)
        image += flux * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 5.12) / (5.12 * np.pi)
    hdu = fits.PrimaryHDU(image.astype(np.float32))
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0,
        "CRPIX1": 80.0, "CRPIX2": 80.0, "CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0,
        "CD2_2": 5e-5, "GAIN": 1.5, "SATURATE": 60000.0,
    }  # fmt: skip
    hdu.header.update(cards)
    return hdu


def main() -> None:
    """Run both programs."""
    field().writeto("field.fits", overwrite=True)
    fits.PrimaryHDU(np.zeros((SIZE, SIZE), np.int16)).writeto("flag.fits", overwrite=True)
    with open("columns.param", "w") as stream:
        stream.write("\n".join(COLUMNS.split()) + "\n")
    sextractor = (
        "source-extractor field.fits -CATALOG_NAME sextractor.ldac -CATALOG_TYPE FITS_LDAC"
        " -PARAMETERS_NAME columns.param -FILTER N -DETECT_MINAREA 9 -FLAG_IMAGE flag.fits"
        " -VERBOSE_TYPE QUIET"
    )
    psfex = (
        "psfex sextractor.ldac -PSF_SIZE 15,15 -PSF_SAMPLING 1 -CHECKPLOT_TYPE NONE"
        " -CHECKIMAGE_TYPE NONE -WRITE_XML N -CENTER_KEYS X_IMAGE,Y_IMAGE -SAMPLE_MINSN 5"
        " -PSFVAR_KEYS X_IMAGE,Y_IMAGE -PSFVAR_DEGREES 1 -VERBOSE_TYPE QUIET -NTHREADS 1"
    )
    subprocess.run(sextractor.split(), check=True)
    for name, options in (
        ("pixels", []),
        ("constant", ["-PSFVAR_DEGREES", "0"]),
        ("basis", ["-BASIS_TYPE", "GAUSS-LAGUERRE", "-BASIS_NUMBER", "4"]),
    ):
        subprocess.run([*psfex.split(), "-PSF_SUFFIX", f".{name}.psf", *options], check=True)


if __name__ == "__main__":
    main()
