"""Keywords of SExtractor, PSFEx and WeightWatcher: built-in values, and why some are not acted on.

Which keywords set which field of a configuration is said by the fields themselves (``original``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# As SExtractor 2.25 prints them.
_SEX = {
    "CATALOG_NAME": "test.cat",
    "CATALOG_TYPE": "ASCII_HEAD",
    "PARAMETERS_NAME": "default.param",
    "DETECT_TYPE": "CCD",
    "DETECT_MINAREA": "5",
    "DETECT_MAXAREA": "0",
    "THRESH_TYPE": "RELATIVE",
    "DETECT_THRESH": "1.5",
    "ANALYSIS_THRESH": "1.5",
    "FILTER": "Y",
    "FILTER_NAME": "default.conv",
    "FILTER_THRESH": "",
    "DEBLEND_NTHRESH": "32",
    "DEBLEND_MINCONT": "0.005",
    "CLEAN": "Y",
    "CLEAN_PARAM": "1.0",
    "MASK_TYPE": "CORRECT",
    "WEIGHT_TYPE": "NONE",
    "RESCALE_WEIGHTS": "Y",
    "WEIGHT_IMAGE": "weight.fits",
    "WEIGHT_GAIN": "Y",
    "WEIGHT_THRESH": "",
    "FLAG_IMAGE": "flag.fits",
    "FLAG_TYPE": "OR",
    "DGEO_TYPE": "NONE",
    "DGEO_IMAGE": "dgeo.fits",
    "PHOT_APERTURES": "5",
    "PHOT_AUTOPARAMS": "2.5, 3.5",
    "PHOT_PETROPARAMS": "2.0, 3.5",
    "PHOT_AUTOAPERS": "0.0,0.0",
    "PHOT_FLUXFRAC": "0.5",
    "SATUR_LEVEL": "50000.0",
    "SATUR_KEY": "SATURATE",
    "MAG_ZEROPOINT": "0.0",
    "MAG_GAMMA": "4.0",
    "GAIN": "0.0",
    "GAIN_KEY": "GAIN",
    "PIXEL_SCALE": "1.0",
    "SEEING_FWHM": "1.2",
    "STARNNW_NAME": "default.nnw",
    "BACK_TYPE": "AUTO",
    "BACK_VALUE": "0.0",
    "BACK_SIZE": "64",
    "BACK_FILTERSIZE": "3",
    "BACKPHOTO_TYPE": "GLOBAL",
    "BACKPHOTO_THICK": "24",
    "BACK_FILTTHRESH": "0.0",
    "CHECKIMAGE_TYPE": "NONE",
    "CHECKIMAGE_NAME": "check.fits",
    "MEMORY_OBJSTACK": "3000",
    "MEMORY_PIXSTACK": "300000",
    "MEMORY_BUFSIZE": "1024",
    "ASSOC_NAME": "sky.list",
    "ASSOC_DATA": "2,3,4",
    "ASSOC_PARAMS": "2,3,4",
    "ASSOCCOORD_TYPE": "PIXEL",
    "ASSOC_RADIUS": "2.0",
    "ASSOC_TYPE": "NEAREST",
    "ASSOCSELEC_TYPE": "MATCHED",
    "VERBOSE_TYPE": "NORMAL",
    "HEADER_SUFFIX": ".head",
    "WRITE_XML": "N",
    "XML_NAME": "sex.xml",
    "XSL_URL": "",
    "NTHREADS": "1",
    "FITS_UNSIGNED": "N",
    "INTERP_MAXXLAG": "16",
    "INTERP_MAXYLAG": "16",
    "INTERP_TYPE": "ALL",
    "PSF_NAME": "default.psf",
    "PSF_NMAX": "1",
    "PATTERN_TYPE": "RINGS-HARMONIC",
    "SOM_NAME": "default.som",
}

# As PSFEx 3.21 prints them.
_PSFEX = {
    "BASIS_TYPE": "PIXEL_AUTO",
    "BASIS_NUMBER": "20",
    "BASIS_NAME": "basis.fits",
    "BASIS_SCALE": "1.0",
    "NEWBASIS_TYPE": "NONE",
    "NEWBASIS_NUMBER": "8",
    "PSF_SAMPLING": "0.0",
    "PSF_PIXELSIZE": "1.0",
    "PSF_ACCURACY": "0.01",
    "PSF_SIZE": "25,25",
    "PSF_DGEOCORRECT": "N",
    "PSF_RECENTER": "N",
    "MEF_TYPE": "INDEPENDENT",
    "CENTER_KEYS": "X_IMAGE,Y_IMAGE",
    "PHOTFLUX_KEY": "FLUX_APER(1)",
    "PHOTFLUXERR_KEY": "FLUXERR_APER(1)",
    "PSFVAR_KEYS": "X_IMAGE,Y_IMAGE",
    "PSFVAR_GROUPS": "1,1",
    "PSFVAR_DEGREES": "2",
    "PSFVAR_NSNAP": "9",
    "HIDDENMEF_TYPE": "COMMON",
    "STABILITY_TYPE": "EXPOSURE",
    "SAMPLE_AUTOSELECT": "Y",
    "SAMPLEVAR_TYPE": "SEEING",
    "SAMPLE_FWHMRANGE": "2.0,10.0",
    "SAMPLE_VARIABILITY": "0.2",
    "SAMPLE_MINSN": "20",
    "SAMPLE_MAXELLIP": "0.3",
    "SAMPLE_FLAGMASK": "0x00fe",
    "SAMPLE_WFLAGMASK": "0x0000",
    "SAMPLE_IMAFLAGMASK": "0x0",
    "BADPIXEL_FILTER": "N",
    "BADPIXEL_NMAX": "0",
    "HOMOBASIS_TYPE": "NONE",
    "HOMOBASIS_NUMBER": "10",
    "HOMOBASIS_SCALE": "1.0",
    "HOMOPSF_PARAMS": "2.0, 3.0",
    "HOMOKERNEL_DIR": "",
    "HOMOKERNEL_SUFFIX": ".homo.fits",
    "OUTCAT_TYPE": "NONE",
    "OUTCAT_NAME": "psfex_out.cat",
    "CHECKPLOT_DEV": "PNG",
    "CHECKPLOT_RES": "0",
    "CHECKPLOT_ANTIALIAS": "Y",
    "CHECKPLOT_TYPE": "SELECTION_FWHM,FWHM,ELLIPTICITY,COUNTS,COUNT_FRACTION,CHI2, RESIDUALS",
    "CHECKPLOT_NAME": "selfwhm,fwhm,ellipticity,counts,countfrac,chi2,resi",
    "CHECKIMAGE_TYPE": "CHI,PROTOTYPES,SAMPLES,RESIDUALS,SNAPSHOTS",
    "CHECKIMAGE_NAME": "chi.fits,proto.fits,samp.fits,resi.fits,snap.fits",
    "CHECKIMAGE_CUBE": "N",
    "PSF_DIR": "",
    "PSF_SUFFIX": ".psf",
    "VERBOSE_TYPE": "NORMAL",
    "WRITE_XML": "Y",
    "XML_NAME": "psfex.xml",
    "XSL_URL": "",
    "NTHREADS": "1",
}

# As WeightWatcher 1.12 prints them.
_WW = {
    "WEIGHT_NAMES": "weightin.fits",
    "WEIGHT_MIN": "0.3",
    "WEIGHT_MAX": "1.30",
    "WEIGHT_OUTFLAGS": "1",
    "FLAG_NAMES": "flagin.fits",
    "FLAG_WMASKS": "0xff",
    "FLAG_MASKS": "0x01",
    "FLAG_OUTFLAGS": "2",
    "POLY_NAMES": "",
    "POLY_OUTFLAGS": "",
    "POLY_OUTWEIGHTS": "0.0",
    "POLY_INTERSECT": "Y",
    "OUTWEIGHT_NAME": "weight.fits",
    "OUTFLAG_NAME": "flag.fits",
    "GETAREA": "N",
    "GETAREA_WEIGHT": "0.0",
    "GETAREA_FLAGS": "1",
    "MEMORY_BUFSIZE": "256",
    "VERBOSE_TYPE": "NORMAL",
    "WRITE_XML": "Y",
    "XML_NAME": "ww.xml",
    "XSL_URL": "",
    "NTHREADS": "1",
}

DEFAULTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "sex": MappingProxyType(_SEX),
        "psfex": MappingProxyType(_PSFEX),
        "ww": MappingProxyType(_WW),
    }
)

# Acted on where files are read and written rather than by a step's configuration.
FILES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "sex": frozenset(
            {
                "CATALOG_NAME", "CATALOG_TYPE", "PARAMETERS_NAME", "FILTER", "FILTER_NAME",
                "WEIGHT_IMAGE", "FLAG_IMAGE", "PSF_NAME", "STARNNW_NAME", "CHECKIMAGE_TYPE",
                "CHECKIMAGE_NAME", "SATUR_LEVEL", "SATUR_KEY", "MAG_ZEROPOINT", "GAIN", "GAIN_KEY",
                "HEADER_SUFFIX", "ASSOC_NAME", "VERBOSE_TYPE", "WRITE_XML", "XML_NAME", "XSL_URL",
                "NTHREADS",
            }
        ),
        "psfex": frozenset(
            {
                "OUTCAT_TYPE", "OUTCAT_NAME", "PSF_DIR", "PSF_SUFFIX", "CHECKIMAGE_TYPE",
                "CHECKIMAGE_NAME", "CHECKIMAGE_CUBE", "HOMOKERNEL_DIR", "HOMOKERNEL_SUFFIX",
                "WRITE_XML", "XML_NAME", "VERBOSE_TYPE",
            }
        ),
        "ww": frozenset(
            {
                "WEIGHT_NAMES", "FLAG_NAMES", "POLY_NAMES", "OUTWEIGHT_NAME", "OUTFLAG_NAME",
                "VERBOSE_TYPE", "WRITE_XML", "XML_NAME",
            }
        ),
    }
)  # fmt: skip

# Keywords of the .sex file that may stand without a value; the original wants one for the others.
MAY_BE_EMPTY = frozenset(
    {
        "FILTER_THRESH", "WEIGHT_TYPE", "WEIGHT_IMAGE", "WEIGHT_THRESH", "FLAG_IMAGE", "FLAG_TYPE",
        "CHECKIMAGE_TYPE", "CHECKIMAGE_NAME", "PSF_NAME", "XSL_URL",
    }
)  # fmt: skip

_THREADS = "one image is processed by one thread"
_PLOTS = "plots are made by the report"

# Read, and ignored on purpose.
IGNORED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "sex": MappingProxyType(
            {
                "FILTER_THRESH": "for retina files only", "MAG_GAMMA": "for plates only",
                "FITS_UNSIGNED": "integer images follow BZERO",
            }
        ),
        "psfex": MappingProxyType(
            {
                "XSL_URL": "the XML report has no style sheet", "NTHREADS": _THREADS,
                "CHECKPLOT_DEV": _PLOTS, "CHECKPLOT_RES": _PLOTS, "CHECKPLOT_ANTIALIAS": _PLOTS,
                "CHECKPLOT_TYPE": _PLOTS, "CHECKPLOT_NAME": _PLOTS,
            }
        ),
        "ww": MappingProxyType(
            {
                "XSL_URL": "no style sheet is named in the XML file", "NTHREADS": _THREADS,
                "MEMORY_BUFSIZE": "maps are held in memory as a whole",
            }
        ),
    }
)  # fmt: skip
