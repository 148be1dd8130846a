"""The cards with which SExtractor describes a run in its FITS catalogues."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from purepipe import __version__
from purepipe.io.cards import card
from purepipe.legacy.astromatic import Settings

EXPONENT = "20.12E"
FIXED = "20.8f"


def image_cards(
    settings: Settings, meta: Mapping[str, Any], *, file: str, number: int, total: int,
    columns: int, seconds: float, now: datetime | None = None,
) -> list[str]:  # fmt: skip
    """The cards that follow the image header in FITS_LDAC.

    Parameters
    ----------
    settings
        Keywords of the run.
    meta
        Values of the detection, ``table.meta``.
    file
        Name of the image file.
    number, total
        Which image of how many, from 1.
    columns
        Number of catalogue columns.
    seconds
        Time taken.
    now
        Date of the cards; default: the present.
    """
    now = now or datetime.now(UTC)
    return [
        card("FITSFILE", file, "image file"),
        card("FITSEXT", number, "image in the file, from 1"),
        card("FITSNEXT", total, "images in the file"),
        card("SEXVERS", f"purepipe {__version__}", "software"),
        card("SEXDATE", f"{now:%d/%m/%Y}", "date (UTC)"),
        card("SEXTIME", f"{now:%H:%M:%S}", "time (UTC)"),
        card("SEXELAPS", seconds, "time taken (s)", form=FIXED),
        *_levels(meta, columns),
        *_detection(settings, meta),
        *_photometry(settings, meta),
        *_background(settings, meta),
    ]


def run_cards(
    settings: Settings, meta: Mapping[str, Any], shape: tuple[int, int], *, file: str, total: int,
    columns: int,
) -> list[str]:  # fmt: skip
    """The cards of the primary header of FITS_1.0; `meta` and `shape` of the last image."""
    absolute = settings.text("THRESH_TYPE").upper() == "ABSOLUTE"
    number = settings.number
    return [
        card("ORIGIN", "purepipe"),
        card("FITSFILE", file, "image file"),
        card("FITSEXT", 0, "all images of the file"),
        card("FITSNEXT", total, "images in the file"),
        card("SEXIMASX", shape[1], "width (pixels)"),
        card("SEXIMASY", shape[0], "height (pixels)"),
        card("SEXPIXS", meta["SEXPXSCL"], "pixel scale (arcsec)", form=EXPONENT),
        card("SEXSFWHM", number("SEEING_FWHM"), "FWHM of stars (arcsec)", form=EXPONENT),
        card("SEXNNWF", settings.text("STARNNW_NAME"), "neural network"),
        card("SEXGAIN", meta["SEXGAIN"], "gain (e-/ADU)", form=EXPONENT),
        card("SEXBKGND", meta["SEXBKGND"], "median background (ADU)", form=EXPONENT),
        card("SEXBKDEV", meta["SEXBKDEV"], "median rms of the background (ADU)", form=EXPONENT),
        card("SEXBKTHD", meta["SEXTHLD"], "detection threshold (ADU)", form=EXPONENT),
        card("SEXCONFF", settings.file, "configuration file"),
        card("SEXDETT", "CCD", "kind of detector"),
        card("SEXTHLDT", "ADU" if absolute else "SIGMA", "unit of SEXTHLD"),
        card("SEXTHLD", number("DETECT_THRESH"), "detection threshold", form=EXPONENT),
        card("SEXMINAR", meta["SEXMINAR"], "least area (pixels)"),
        card("SEXCONV", settings.flag("FILTER"), "filtered"),
        card("SEXCONVF", settings.text("FILTER_NAME"), "filter"),
        card("SEXDBLDN", meta["SEXDBLDN"], "deblending levels"),
        card("SEXDBLDC", meta["SEXDBLDC"], "deblending contrast", form=FIXED),
        card("SEXCLN", meta["SEXCLN"], "cleaned"),
        card("SEXCLNPA", meta["SEXCLNPA"], "strength of cleaning", form=FIXED),
        card("SEXAPERD", meta.get("SEXAPED1", 0.0), "first aperture (pixels)", form=FIXED),
        card("SEXAPEK1", meta["SEXAUTP1"], "Kron factor", form=FIXED),
        card("SEXAPEK3", meta["SEXAUTP2"], "smallest Kron radius", form=FIXED),
        card("SEXSATLV", meta["SEXSATLV"], "saturation (ADU)", form=EXPONENT),
        card("SEXMGZPT", meta["SEXMGZPT"], "magnitude zero-point", form=FIXED),
        card("SEXMGGAM", number("MAG_GAMMA"), "gamma of plates", form=FIXED),
        card("SEXBKGSX", meta["SEXBKGSX"], "width of background meshes"),
        card("SEXBKGSY", meta["SEXBKGSY"], "height of background meshes"),
        card("SEXBKGFX", meta["SEXBKGFX"], "width of the background filter"),
        card("SEXBKGFY", meta["SEXBKGFY"], "height of the background filter"),
        card("SEXPBKGT", settings.text("BACKPHOTO_TYPE").upper(), "background of photometry"),
        card("SEXPBKGS", int(number("BACKPHOTO_THICK")), "its width (pixels)"),
        card("SEXPIXSK", int(number("MEMORY_PIXSTACK")), "MEMORY_PIXSTACK"),
        card("SEXFBUFS", int(number("MEMORY_BUFSIZE")), "MEMORY_BUFSIZE"),
        card("SEXNDET", meta["SEXNDET"], "detections before cleaning"),
        card("SEXNFIN", meta["SEXNFIN"], "objects"),
        card("SEXNPARA", columns, "columns"),
    ]


def _levels(meta: Mapping[str, Any], columns: int) -> list[str]:
    return [
        card("SEXBKGND", meta["SEXBKGND"], "median background (ADU)", form=EXPONENT),
        card("SEXBKDEV", meta["SEXBKDEV"], "median rms of the background (ADU)", form=EXPONENT),
        card("SEXTHLD", meta["SEXTHLD"], "detection threshold (ADU)", form=EXPONENT),
        card("SEXATHLD", meta["SEXATHLD"], "analysis threshold (ADU)", form=EXPONENT),
        card("SEXNDET", meta["SEXNDET"], "detections before cleaning"),
        card("SEXNFIN", meta["SEXNFIN"], "objects"),
        card("SEXNPARA", columns, "columns"),
    ]


def _detection(settings: Settings, meta: Mapping[str, Any]) -> list[str]:
    number = settings.number
    return [
        card("SEXPXSCL", meta["SEXPXSCL"], "pixel scale (arcsec)", form=EXPONENT),
        card("SEXSFWHM", number("SEEING_FWHM"), "FWHM of stars (arcsec)", form=EXPONENT),
        card("SEXNNWF", settings.text("STARNNW_NAME"), "neural network"),
        card("SEXGAIN", meta["SEXGAIN"], "gain (e-/ADU)", form=EXPONENT),
        card("SEXFLTR", settings.flag("FILTER"), "filtered"),
        card("SEXFILTN", settings.text("FILTER_NAME"), "filter"),
        card("SEXMINAR", meta["SEXMINAR"], "least area (pixels)"),
        card("SEXDBLDN", meta["SEXDBLDN"], "deblending levels"),
        card("SEXDBLDC", meta["SEXDBLDC"], "deblending contrast", form=FIXED),
        card("SEXCLN", meta["SEXCLN"], "cleaned"),
        card("SEXCLNPA", meta["SEXCLNPA"], "strength of cleaning", form=FIXED),
        card("SEXCLNST", int(number("MEMORY_OBJSTACK")), "MEMORY_OBJSTACK"),
    ]


def _photometry(settings: Settings, meta: Mapping[str, Any]) -> list[str]:
    apertures = [
        card(f"SEXAPED{k}", meta.get(f"SEXAPED{k}", 0.0), f"aperture {k} (pixels)", form=FIXED)
        for k in range(1, 5)
    ]
    # The original writes the values of AUTO for those of PETRO; readers expect what was used.
    petro = [float(word) for word in settings.texts("PHOT_PETROPARAMS")]
    return [
        *apertures,
        card("SEXAUTP1", meta["SEXAUTP1"], "Kron factor", form=FIXED),
        card("SEXAUTP2", meta["SEXAUTP2"], "smallest Kron radius", form=FIXED),
        card("SEXPETP1", petro[0], "Petrosian factor", form=FIXED),
        card("SEXPETP2", petro[-1], "smallest Petrosian radius", form=FIXED),
        card("SEXSATLV", meta["SEXSATLV"], "saturation (ADU)", form=EXPONENT),
        card("SEXMGZPT", meta["SEXMGZPT"], "magnitude zero-point", form=FIXED),
        card("SEXMGGAM", settings.number("MAG_GAMMA"), "gamma of plates", form=FIXED),
    ]


def _background(settings: Settings, meta: Mapping[str, Any]) -> list[str]:
    number = settings.number
    return [
        card("SEXBKGSX", meta["SEXBKGSX"], "width of background meshes"),
        card("SEXBKGSY", meta["SEXBKGSY"], "height of background meshes"),
        card("SEXBKGFX", meta["SEXBKGFX"], "width of the background filter"),
        card("SEXBKGFY", meta["SEXBKGFY"], "height of the background filter"),
        card("SEXPBKGS", int(number("BACKPHOTO_THICK")), "width of local backgrounds (pixels)"),
        card("SEXPIXSK", int(number("MEMORY_PIXSTACK")), "MEMORY_PIXSTACK"),
        card("SEXFBUFS", int(number("MEMORY_BUFSIZE")), "MEMORY_BUFSIZE"),
        card("SEXMWSCL", meta["SEXMWSCL"], "scale of the weights, measurement", form=EXPONENT),
        card("SEXDWSCL", meta["SEXDWSCL"], "scale of the weights, detection", form=EXPONENT),
    ]
