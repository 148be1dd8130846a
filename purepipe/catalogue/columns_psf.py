"""Columns of the psf step."""

from purepipe.catalogue.table import Column, register

_HSM = "Hirata & Seljak 2003, MNRAS 343, 459"
_RHO = "Rowe 2010, MNRAS 404, 350; Jarvis et al. 2016, MNRAS 460, 2245"
_RHO_MEANINGS = (
    "Correlation of the ellipticity residuals",
    "Correlation of ellipticity and ellipticity residual",
    "Correlation of the ellipticities times relative size residual",
    "Correlation of ellipticity residual and ellipticity times relative size residual",
    "Correlation of ellipticity and ellipticity times relative size residual",
)


def _moments(kind: str, name: str) -> tuple[Column, ...]:
    return (
        Column(f"E1_{kind}_HSM", "f8", "", f"First component of the shear of the {name}.", _HSM),
        Column(f"E2_{kind}_HSM", "f8", "", f"Second component of the shear of the {name}.", _HSM),
        Column(f"SIGMA_{kind}_HSM", "f8", "pix", f"Adaptive-moments size of the {name}.", _HSM),
    )


COLUMNS: tuple[Column, ...] = (
    Column("SOURCE_NUMBER", "i4", "", "Row in the input table, from 1."),
    Column("EXTENSION", "i2", "", "Extension of the input catalogue, from 1."),
    Column("CATALOG_NUMBER", "i4", "", "Number of the input catalogue, from 1."),
    Column("FLAGS_PSF", "i4", "", "Why the row is not a star of the PSF model; see PSFFlag."),
    Column("VECTOR_CONTEXT", "f8", "", "Values that the PSF depends on."),
    Column("DELTAX_IMAGE", "f4", "pix", "Centre in x relative to the central pixel."),
    Column("DELTAY_IMAGE", "f4", "pix", "Centre in y relative to the central pixel."),
    Column("NORM_PSF", "f4", "adu", "Flux that normalises the star."),
    Column("FWHM_PSF", "f4", "pix", "Twice FLUX_RADIUS."),
    Column("ELLIP_PSF", "f4", "", "(E-1)/(E+1) with E = ELONGATION."),
    Column("SNR_PSF", "f4", "", "SNR_WIN."),
    Column("CHI2_PSF", "f4", "", "Reduced chi-square of the model at the star; 0 if rejected."),
    Column("RESI_PSF", "f4", "", "Relative residual of the model at the star; 0 if rejected."),
    *_moments("PSF", "PSF model"),
    Column("FLAG_PSF_HSM", "i4", "", "1 where the moments of the PSF model failed."),
    *_moments("STAR", "star"),
    Column("FLAG_STAR_HSM", "i4", "", "1 where the moments of the star failed."),
    Column("X", "f8", "pix", "Windowed position in x, from 1."),
    Column("Y", "f8", "pix", "Windowed position in y, from 1."),
    Column("RA", "f8", "deg", "Right ascension."),
    Column("DEC", "f8", "deg", "Declination."),
    Column("MAG", "f8", "mag", "MAG_AUTO."),
    Column("SNR", "f8", "", "SNR_WIN."),
    Column("ACCEPTED", "i2", "", "1: kept by the PSF fit; 0: not; -1: unknown."),
    Column("RESERVED", "i2", "", "1 where the star was kept out of the fit for validation."),
    Column("THETA", "f8", "arcmin", "Mean separation of the pairs of stars."),
    Column("NPAIRS", "i8", "", "Number of pairs of stars."),
    *(
        column
        for k, meaning in enumerate(_RHO_MEANINGS, start=1)
        for column in (
            Column(f"RHO{k}", "f8", "", f"{meaning}.", _RHO),
            Column(f"RHO{k}_ERR", "f8", "", f"Shot noise of RHO{k}.", _RHO),
        )
    ),
)

register(COLUMNS)
