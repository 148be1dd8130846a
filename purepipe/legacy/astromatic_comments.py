"""What each keyword of SExtractor is for, in the order of a default configuration file."""

from __future__ import annotations

# Title of the section, and keyword with its remark.
SEX_SECTIONS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Catalogue",
        (
            ("CATALOG_NAME", "file to write; STDOUT for the terminal"),
            ("CATALOG_TYPE", "NONE, ASCII, ASCII_HEAD, ASCII_SKYCAT, ASCII_VOTABLE, FITS_LDAC,"
             " FITS_1.0, PARQUET"),
            ("PARAMETERS_NAME", "file with the names of the columns"),
        ),
    ),
    (
        "Detection",
        (
            ("DETECT_TYPE", "only CCD: linear images"),
            ("DETECT_MINAREA", "fewest pixels of a detection"),
            ("DETECT_MAXAREA", "most pixels of a detection; 0: any number"),
            ("THRESH_TYPE", "RELATIVE (to the noise) or ABSOLUTE (in ADU)"),
            ("DETECT_THRESH", "threshold, or surface brightness and zero-point"),
            ("ANALYSIS_THRESH", "the same for isophotal measurements"),
            ("FILTER", "smooth the image before detection (Y/N)"),
            ("FILTER_NAME", "file of the filter"),
            ("FILTER_THRESH", "for retina filters, which purepipe has not"),
            ("DEBLEND_NTHRESH", "levels of deblending, 1 to 64"),
            ("DEBLEND_MINCONT", "least share of the flux of a deblended object"),
            ("CLEAN", "merge detections in the wings of others (Y/N)"),
            ("CLEAN_PARAM", "strength of cleaning, 0.1 to 10; small is strong"),
            ("MASK_TYPE", "neighbours in apertures: NONE, BLANK or CORRECT"),
        ),
    ),
    (
        "Weights",
        (
            ("WEIGHT_TYPE", "NONE, BACKGROUND, MAP_RMS, MAP_VAR or MAP_WEIGHT"),
            ("RESCALE_WEIGHTS", "scale the map to the measured noise (Y/N)"),
            ("WEIGHT_IMAGE", "file of the map; a second one for the second image"),
            ("WEIGHT_GAIN", "photon noise follows the map (Y/N)"),
            ("WEIGHT_THRESH", "limit of bad pixels; empty: those without weight"),
        ),
    ),
    (
        "Flags",
        (
            ("FLAG_IMAGE", "file(s) of integer flags, for IMAFLAGS_ISO"),
            ("FLAG_TYPE", "OR, AND, MIN, MAX or MOST over the pixels of an object"),
        ),
    ),
    (
        "Differential geometry",
        (
            ("DGEO_TYPE", "only NONE"),
            ("DGEO_IMAGE", "not read"),
        ),
    ),
    (
        "Photometry",
        (
            ("PHOT_APERTURES", "diameters of APER, in pixels"),
            ("PHOT_AUTOPARAMS", "factor on the Kron radius, smallest radius"),
            ("PHOT_PETROPARAMS", "factor on the Petrosian radius, smallest radius"),
            ("PHOT_AUTOAPERS", "smallest diameters of AUTO: to estimate, to measure"),
            ("PHOT_FLUXFRAC", "share(s) of the flux within FLUX_RADIUS"),
            ("SATUR_LEVEL", "saturation in ADU, where the header has none"),
            ("SATUR_KEY", "header keyword of the saturation"),
            ("MAG_ZEROPOINT", "magnitude of one ADU"),
            ("MAG_GAMMA", "for photographic plates, which purepipe refuses"),
            ("GAIN", "electrons per ADU, where the header has none; 0: infinite"),
            ("GAIN_KEY", "header keyword of the gain"),
            ("PIXEL_SCALE", "arcsec per pixel; 0: from the world coordinates"),
        ),
    ),
    (
        "Stars and galaxies",
        (
            ("SEEING_FWHM", "width of stars in arcsec, for CLASS_STAR"),
            ("STARNNW_NAME", "file of the neural network, for CLASS_STAR"),
        ),
    ),
    (
        "Background",
        (
            ("BACK_TYPE", "AUTO (measured) or MANUAL (constant)"),
            ("BACK_VALUE", "the constant, in ADU"),
            ("BACK_SIZE", "size of the meshes: one value, or width and height"),
            ("BACK_FILTERSIZE", "median filter in meshes: size, or width and height"),
            ("BACKPHOTO_TYPE", "GLOBAL, or LOCAL: measured again around each object"),
            ("BACKPHOTO_THICK", "width of the frame for LOCAL, in pixels"),
            ("BACK_FILTTHRESH", "smallest change that the median filter makes, ADU"),
        ),
    ),
    (
        "Check-images",
        (
            ("CHECKIMAGE_TYPE", "NONE, IDENTICAL, BACKGROUND, BACKGROUND_RMS, MINIBACKGROUND,"
             " MINIBACK_RMS, -BACKGROUND, FILTERED, OBJECTS, -OBJECTS, SEGMENTATION, APERTURES"),
            ("CHECKIMAGE_NAME", "a file for each of them"),
        ),
    ),
    (
        "Memory (sets the order of the catalogue)",
        (
            ("MEMORY_OBJSTACK", "objects held at a time"),
            ("MEMORY_PIXSTACK", "pixels of unfinished objects"),
            ("MEMORY_BUFSIZE", "lines of the image held at a time"),
        ),
    ),
    (
        "Association",
        (
            ("ASSOC_NAME", "text file of positions"),
            ("ASSOC_DATA", "columns to copy into VECTOR_ASSOC; 0: all"),
            ("ASSOC_PARAMS", "columns of x, y and magnitude"),
            ("ASSOCCOORD_TYPE", "PIXEL or WORLD"),
            ("ASSOC_RADIUS", "largest distance, in pixels"),
            ("ASSOC_TYPE", "FIRST, NEAREST, MEAN, MAG_MEAN, SUM, MAG_SUM, MIN or MAX"),
            ("ASSOCSELEC_TYPE", "objects to keep: ALL, MATCHED or -MATCHED"),
        ),
    ),
    (
        "Miscellaneous",
        (
            ("VERBOSE_TYPE", "QUIET, NORMAL, WARN or FULL"),
            ("HEADER_SUFFIX", "ending of external headers, image.head"),
            ("WRITE_XML", "write a VOTable about the run (Y/N)"),
            ("XML_NAME", "its name"),
            ("XSL_URL", "style sheet named in it"),
            ("NTHREADS", "threads; 0: all cores; results do not depend on it"),
            ("FITS_UNSIGNED", "integer images always follow BZERO here"),
            ("INTERP_MAXXLAG", "widest gap of bad pixels bridged in x"),
            ("INTERP_MAXYLAG", "widest gap of bad pixels bridged in y"),
            ("INTERP_TYPE", "NONE, VAR_ONLY or ALL"),
        ),
    ),
    (
        "Models",
        (
            ("PSF_NAME", "PSF model, for SPREAD_MODEL"),
            ("PSF_NMAX", "not acted on: PSFs are not fitted here"),
            ("PATTERN_TYPE", "not acted on"),
            ("SOM_NAME", "not acted on"),
        ),
    ),
)  # fmt: skip
# Left out of the short default file.
SEX_RARE = frozenset(
    {
        "DETECT_MAXAREA", "THRESH_TYPE", "FILTER_THRESH", "WEIGHT_TYPE", "WEIGHT_IMAGE",
        "RESCALE_WEIGHTS", "WEIGHT_GAIN", "WEIGHT_THRESH", "FLAG_IMAGE", "FLAG_TYPE", "BACK_TYPE",
        "BACK_VALUE",
        "DGEO_TYPE", "DGEO_IMAGE", "PHOT_AUTOAPERS", "PHOT_FLUXFRAC", "MAG_GAMMA",
        "BACKPHOTO_THICK", "BACK_FILTTHRESH", "ASSOC_NAME", "ASSOC_DATA", "ASSOC_PARAMS",
        "ASSOCCOORD_TYPE", "ASSOC_RADIUS", "ASSOC_TYPE", "ASSOCSELEC_TYPE", "XSL_URL", "NTHREADS",
        "FITS_UNSIGNED", "INTERP_MAXXLAG", "INTERP_MAXYLAG", "INTERP_TYPE", "PSF_NAME", "PSF_NMAX",
        "PATTERN_TYPE", "SOM_NAME",
    }
)  # fmt: skip


def sex_configuration(defaults: dict[str, str], *, extended: bool) -> str:
    """A default configuration file, with every keyword or the common ones.

    Parameters
    ----------
    defaults
        Built-in value of every keyword.
    extended
        With the rare keywords.
    """
    lines: list[str] = []
    for title, rows in SEX_SECTIONS:
        chosen = [(key, remark) for key, remark in rows if extended or key not in SEX_RARE]
        if not chosen:
            continue
        lines += ["", f"#{f' {title} ':-^77}", ""]
        lines += [f"{key:16} {defaults[key]:14} # {remark}" for key, remark in chosen]
    return "\n".join(lines)
