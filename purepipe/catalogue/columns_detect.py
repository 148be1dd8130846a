"""Columns of the detect step."""

from purepipe.catalogue.table import Column, register

_MANUAL = "SExtractor manual"
_BERTIN = "Bertin & Arnouts (1996), A&AS 117, 393"

_ISO = "isophotal footprint"
_SYSTEMS = (
    ("SKY", ", in the system of the header"),
    ("J2000", ", FK5 J2000"),
    ("B1950", ", FK4 B1950"),
)


def _f4(name: str, unit: str, definition: str, source: str = "") -> Column:
    return Column(name, "f4", unit, definition, source)


def _f8(name: str, unit: str, definition: str, source: str = "") -> Column:
    return Column(name, "f8", unit, definition, source)


def _photometry(kind: str, what: str, source: str) -> tuple[Column, ...]:
    """Flux, magnitude and their errors within one kind of aperture."""
    return (
        _f4(f"FLUX_{kind}", "adu", f"Flux {what}.", source),
        _f4(f"FLUXERR_{kind}", "adu", f"RMS error of FLUX_{kind}.", source),
        _f4(f"MAG_{kind}", "mag", f"Magnitude {what}; 99 for a flux of zero or less.", source),
        _f4(f"MAGERR_{kind}", "mag", f"RMS error of MAG_{kind}; 99 likewise.", source),
    )


def _moments(suffix: str, what: str, source: str) -> tuple[Column, ...]:
    return tuple(
        _f8(f"{axes}{suffix}_IMAGE", "pix2", f"{words} of the {what}.", source)
        for axes, words in (
            ("X2", "Variance along x"),
            ("Y2", "Variance along y"),
            ("XY", "Covariance of x and y"),
        )
    )


def _position_errors(suffix: str, what: str, source: str) -> tuple[Column, ...]:
    return tuple(
        _f8(f"ERR{axes}{suffix}_IMAGE", "pix2", f"{words} of the {what}.", source)
        for axes, words in (
            ("X2", "Variance of x"),
            ("Y2", "Variance of y"),
            ("XY", "Covariance of x and y"),
        )
    )


_SHAPE = tuple(
    _f4(name, unit, sentence, f"{_MANUAL}, 'Basic shape parameters'")
    for name, unit, sentence in (
        ("A_IMAGE", "pix", "Rms along the major axis."),
        ("B_IMAGE", "pix", "Rms along the minor axis."),
        ("THETA_IMAGE", "deg", "Position angle of the major axis, from x towards y."),
        ("CXX_IMAGE", "pix-2", "Ellipse coefficient of dx^2."),
        ("CYY_IMAGE", "pix-2", "Ellipse coefficient of dy^2."),
        ("CXY_IMAGE", "pix-2", "Ellipse coefficient of dx dy."),
        ("POLAR_IMAGE", "", "(A^2 - B^2) / (A^2 + B^2)."),
        ("POLAR_WORLD", "", "The same on the sky."),
        ("POLARWIN_IMAGE", "", "The same of the windowed moments."),
        ("POLARWIN_WORLD", "", "The same of the windowed moments, on the sky."),
        ("ELONGATION", "", "A_IMAGE / B_IMAGE."),
        ("ELLIPTICITY", "", "1 - B_IMAGE / A_IMAGE."),
    )
)


def _ellipses(before: str, after: str, what: str) -> tuple[Column, ...]:
    """The ellipse of one set of moments, in pixels (not for the isophotal one) and on the sky."""
    rows: list[Column] = []
    if before or after:
        rows += [
            _f4(f"{before}A{after}_IMAGE", "pix", f"Rms along the major axis of the {what}."),
            _f4(f"{before}B{after}_IMAGE", "pix", f"Rms along the minor axis of the {what}."),
            _f4(f"{before}THETA{after}_IMAGE", "deg", f"Position angle of the {what}."),
            *_coefficients(before, after, "IMAGE", "pix-2", what),
        ]
    rows += [
        _f8(f"{before}{name}{after}_WORLD", "deg2", f"Second moment {name} of the {what}.")
        for name in ("X2", "Y2", "XY")
    ]
    rows += [
        _f4(f"{before}A{after}_WORLD", "deg", f"Rms along the major axis of the {what}."),
        _f4(f"{before}B{after}_WORLD", "deg", f"Rms along the minor axis of the {what}."),
        _f4(f"{before}THETA{after}_WORLD", "deg", f"Position angle of the {what}, from axis 1."),
        *_coefficients(before, after, "WORLD", "deg-2", what),
    ]
    rows += [
        _f4(
            f"{before}THETA{after}_{system}", "deg",
            f"Position angle of the {what}, east of north{words}.",
        )
        for system, words in _SYSTEMS
    ]  # fmt: skip
    return tuple(rows)


def _coefficients(before: str, after: str, system: str, unit: str, what: str) -> tuple[Column, ...]:
    return tuple(
        _f4(f"{before}{name}{after}_{system}", unit, f"Ellipse coefficient of the {what}.")
        for name in ("CXX", "CYY", "CXY")
    )


def _sky_positions(kind: str, what: str) -> tuple[Column, ...]:
    """Celestial and focal-plane coordinates of one kind of position."""
    return (
        _f8(f"X{kind}_WORLD", "deg", f"{what}, first world axis.", _MANUAL),
        _f8(f"Y{kind}_WORLD", "deg", f"{what}, second world axis.", _MANUAL),
        *(
            _f8(f"{name}{kind}_{system}", "deg", f"{angle} of the {what.lower()}{words}.", _MANUAL)
            for system, words in _SYSTEMS
            for name, angle in (("ALPHA", "Right ascension"), ("DELTA", "Declination"))
        ),
        _f8(f"X{kind}_FOCAL", "", f"{what}, first coordinate of the tangent plane.", _MANUAL),
        _f8(f"Y{kind}_FOCAL", "", f"{what}, second coordinate of the tangent plane.", _MANUAL),
    )


_COUNTS = tuple(
    Column(name, "i4", unit, sentence, _MANUAL)
    for name, unit, sentence in (
        ("NUMBER", "", "Running number of the object in this catalogue, from 1."),
        ("NUMBER_ASSOC", "", "Number of catalogue entries associated with the object."),
        ("ID_PARENT", "", "Running number of the component before deblending."),
        ("ISOAREA_IMAGE", "pix2", "Pixels of the footprint above the analysis threshold."),
        ("ISOAREAF_IMAGE", "pix2", "Pixels of the footprint."),
        ("XPEAK_IMAGE", "pix", "x of the brightest filtered pixel, from 1."),
        ("YPEAK_IMAGE", "pix", "y of the brightest filtered pixel, from 1."),
        ("XMIN_IMAGE", "pix", "Smallest x of the footprint, from 1."),
        ("XMAX_IMAGE", "pix", "Largest x of the footprint, from 1."),
        ("YMIN_IMAGE", "pix", "Smallest y of the footprint, from 1."),
        ("YMAX_IMAGE", "pix", "Largest y of the footprint, from 1."),
        ("IMAFLAGS_ISO", "", "Flag maps (MaskFlag) combined over the footprint."),
        ("NIMAFLAGS_ISO", "", "Pixels of the footprint that IMAFLAGS_ISO stands for."),
        ("NLOWWEIGHT_ISO", "pix2", "Pixels of the footprint without weight."),
        ("NLOWDWEIGHT_ISO", "pix2", "Pixels at or beside one without weight for the detection."),
        *((f"ISO{k}", "pix2", f"Pixels above isophote {k} of eight.") for k in range(8)),
    )
)

_SHORTS = tuple(
    Column(name, "i2", "", sentence, _MANUAL)
    for name, sentence in (
        ("EXT_NUMBER", "Number of the FITS extension; 1 for a single image."),
        ("FLAGS", "Extraction flags (DetectFlag)."),
        ("FLAGS_WEIGHT", "1: pixels without weight; 2: pixels at or beside one in detection."),
        (
            "FLAGS_WIN",
            "1 negative determinant, 2 negative moment, 4 negative flux, 8 wandered off: the"
            " windowed quantities are the isophotal ones.",
        ),
        ("NITER_WIN", "Passes of the windowed centring; 17 if it did not converge."),
    )
)

COLUMNS: tuple[Column, ...] = (
    *_COUNTS,
    *_SHORTS,
    *_photometry("AUTO", "within the Kron ellipse", "Kron (1980), ApJS 43, 305"),
    *_photometry("WIN", "under the Gaussian window", f"{_MANUAL}, 'Windowed positions'"),
    *_photometry("APER", "within the circular apertures", f"{_MANUAL}, 'Aperture flux'"),
    *_photometry("ISO", f"within the {_ISO}", f"{_MANUAL}, 'Isophotal flux'"),
    *_photometry("ISOCOR", "within the footprint, corrected for the wings", _BERTIN),
    *_photometry("BEST", "AUTO, or ISOCOR where crowded", _BERTIN),
    *_photometry("PETRO", "within the Petrosian ellipse", "Petrosian (1976), ApJ 209, L1"),
    _f4("KRON_RADIUS", "", "Size of the AUTO ellipse in units of A_IMAGE or B_IMAGE.", _MANUAL),
    _f4("PETRO_RADIUS", "", "Size of the PETRO ellipse in units of A_IMAGE or B_IMAGE.", _MANUAL),
    _f4("FLUX_RADIUS", "pix", "Radius that holds a fraction of FLUX_AUTO.", _MANUAL),
    _f4("FLUX_MAX", "adu", "Brightest pixel above the background.", _MANUAL),
    _f4("SNR_WIN", "", "FLUX_WIN / FLUXERR_WIN.", _MANUAL),
    _f4("BACKGROUND", "adu", "Background at the barycentre.", _MANUAL),
    _f4("THRESHOLD", "adu", "Detection threshold above the background.", _MANUAL),
    _f4("THRESHOLDMAX", "adu", "Highest threshold at which it would be detected.", _MANUAL),
    _f4("FLUX_GROWTH", "adu", "Flux within circles of growing radius, up to 6 A_IMAGE.", _MANUAL),
    _f4("FLUX_GROWTHSTEP", "pix", "Step of the radii of FLUX_GROWTH.", _MANUAL),
    _f4("MAG_GROWTH", "mag", "Magnitude within circles of growing radius; 99 likewise.", _MANUAL),
    _f4("MAG_GROWTHSTEP", "pix", "Step of the radii of MAG_GROWTH.", _MANUAL),
    _f4("X_IMAGE", "pix", "Barycentre in x, from 1.", _BERTIN),
    _f4("Y_IMAGE", "pix", "Barycentre in y, from 1.", _BERTIN),
    _f8("X_IMAGE_DBL", "pix", "Barycentre in x, from 1, in double precision.", _BERTIN),
    _f8("Y_IMAGE_DBL", "pix", "Barycentre in y, from 1, in double precision.", _BERTIN),
    *_sky_positions("", "Barycentre"),
    *_sky_positions("WIN", "Windowed position"),
    *_sky_positions("PEAK", "Brightest pixel"),
    _f8("XWIN_IMAGE", "pix", "Windowed position in x, from 1.", f"{_MANUAL}, 'Windowed positions'"),
    _f8("YWIN_IMAGE", "pix", "Windowed position in y, from 1.", f"{_MANUAL}, 'Windowed positions'"),
    *_moments("", _ISO, _BERTIN),
    *_moments("WIN", "windowed profile", f"{_MANUAL}, 'Windowed positions'"),
    *_position_errors("", "barycentre", _MANUAL),
    *_position_errors("WIN", "windowed position", _MANUAL),
    *_SHAPE,
    *_ellipses("", "", _ISO),
    *_ellipses("ERR", "", "error of the barycentre"),
    *_ellipses("", "WIN", "windowed profile"),
    *_ellipses("ERR", "WIN", "error of the windowed position"),
    _f4("MU_THRESHOLD", "mag/arcsec2", "Surface brightness of the analysis threshold.", _MANUAL),
    _f4("MU_MAX", "mag/arcsec2", "Surface brightness of the brightest pixel.", _MANUAL),
    _f4("FWHM_IMAGE", "pix", "Full width at half maximum of a Gaussian core.", _MANUAL),
    _f4("FWHM_WORLD", "deg", "Full width at half maximum of a Gaussian core.", _MANUAL),
    _f4("CLASS_STAR", "", "Output of the star/galaxy network: 1 star, 0 galaxy.", _BERTIN),
    _f4("ISOAREA_WORLD", "deg2", "ISOAREA_IMAGE on the sky.", _MANUAL),
    _f4("ISOAREAF_WORLD", "deg2", "ISOAREAF_IMAGE on the sky.", _MANUAL),
    _f4("DURATION_ANALYSIS", "s", "Mean time that the measurement of an object took."),
    _f8("VECTOR_ASSOC", "", "Data of the catalogue entry associated with the object.", _MANUAL),
    _f4("VIGNET", "adu", "Stamp around the object; -1e30 where masked or off the image.", _MANUAL),
    _f4(
        "VIGNET_SHIFT", "adu", "VIGNET resampled so that the barycentre is at its centre.", _MANUAL
    ),
)

# What ShapePipe asks of SExtractor, in its order (example/cfis/default.param, names only).
SHAPEPIPE_COLUMNS = (
    "NUMBER", "EXT_NUMBER", "FLUX_AUTO", "FLUXERR_AUTO", "MAG_AUTO", "MAGERR_AUTO", "FLUX_WIN",
    "FLUXERR_WIN", "MAG_WIN", "MAGERR_WIN", "FLUX_APER", "FLUXERR_APER", "FLUX_RADIUS", "SNR_WIN",
    "BACKGROUND", "THRESHOLD", "X_IMAGE", "Y_IMAGE", "X_WORLD", "Y_WORLD", "X2_IMAGE", "Y2_IMAGE",
    "XY_IMAGE", "ERRX2_IMAGE", "ERRY2_IMAGE", "ERRXY_IMAGE", "XWIN_IMAGE", "YWIN_IMAGE",
    "XWIN_WORLD", "YWIN_WORLD", "X2WIN_IMAGE", "Y2WIN_IMAGE", "XYWIN_IMAGE", "ERRX2WIN_IMAGE",
    "ERRY2WIN_IMAGE", "ERRXYWIN_IMAGE", "MU_THRESHOLD", "MU_MAX", "FLAGS", "FLAGS_WIN",
    "IMAFLAGS_ISO", "FWHM_IMAGE", "FWHM_WORLD", "ELONGATION", "ELLIPTICITY", "VIGNET",
)  # fmt: skip

register(COLUMNS)
