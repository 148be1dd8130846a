"""Columns of the shapes step."""

from purepipe.catalogue.table import Column, register

TYPES = ("1M", "1P", "2M", "2P", "NOSHEAR")
_NGMIX = "ShapePipe, ngmix module"

_OBJECT = (
    Column("NGMIX_N_EPOCH", "i4", "", "Epochs used in the shape fit."),
    Column(
        "NGMIX_MOM_FAIL", "i2", "", "1 where the fit failed and weighted moments stand in.", _NGMIX
    ),
    Column("NGMIX_MCAL_FLAGS", "i4", "", "ShapeFlag bits of all five types together."),
    Column("NGMIX_FLAGS_EPOCH", "i4", "", "EpochFlag bits of the epochs that the fit left out."),
    Column(
        "NGMIX_ELL_ERR_PSFo", "f8", "", "Mean error of the shape of the original PSF.", length=2
    ),
    Column("NGMIX_T_ERR_PSFo", "f8", "arcsec", "Mean error of the size of the original PSF."),
    Column("R11", "f8", "", "Shear response d g1 / d gamma1."),
    Column("R12", "f8", "", "Shear response d g1 / d gamma2."),
    Column("R21", "f8", "", "Shear response d g2 / d gamma1."),
    Column("R22", "f8", "", "Shear response d g2 / d gamma2."),
)

# name, dtype, unit, definition; "radius" is 1.17741 det(C)^(1/4), with the sign of the trace
_PER_TYPE = (
    ("ELL", "f8", "", "Reduced shape g1, g2 before the PSF."),
    ("ELL_ERR", "f8", "", "Errors of g1, g2."),
    ("T", "f8", "arcsec", "Half-light radius of the round Gaussian of equal area."),
    ("T_ERR", "f8", "arcsec", "Error of the half-light radius."),
    ("T_TRACE", "f8", "arcsec**2", "Size T = Cuu + Cvv of the Gaussian."),
    ("Tpsf", "f8", "arcsec", "Half-light radius of the reconvolution PSF, mean over epochs."),
    ("SNR", "f8", "", "S/N of the round model against the pixel noise."),
    ("FLUX", "f8", "", "Flux on the scale of the tile."),
    ("FLUX_ERR", "f8", "", "Error of the flux."),
    ("MAG", "f8", "mag", "Magnitude of the flux."),
    ("MAG_ERR", "f8", "mag", "Error of the magnitude."),
    ("FLAGS", "i4", "", "ShapeFlag bits of the fit."),
    ("ELL_PSFo", "f8", "", "Reduced shape of the original PSF, mean over epochs."),
    ("T_PSFo", "f8", "arcsec", "Half-light radius of the original PSF, mean over epochs."),
)

COLUMNS: tuple[Column, ...] = _OBJECT + tuple(
    Column(
        f"NGMIX_{name}_{kind}",
        dtype,
        unit,
        f"{text[:-1]}, type {kind}.",
        _NGMIX,
        length=2 if name.startswith("ELL") else 1,
    )
    for kind in TYPES
    for name, dtype, unit, text in _PER_TYPE
)

register(COLUMNS)
