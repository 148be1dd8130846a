"""How SExtractor prints each column: display format and unit, as found in its catalogues."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from purepipe.catalogue.table import all_columns

# The first pattern that fits the name counts; other columns follow their type.
_DISPLAYS = tuple(
    (re.compile(pattern), display)
    for pattern, display in (
        (r"NUMBER(_ASSOC)?|ID_PARENT|[XY](MIN|MAX|PEAK)_IMAGE", "I10"),
        (r"EXT_NUMBER|NITER_\w+|FLAGS|FLAGS_WIN", "I3"),
        (r"FLAGS_WEIGHT", "I1"),
        (r"ISO\d", "I8"),
        (r"ISOAREAF?_IMAGE|N?IMAFLAGS_ISO|NLOWD?WEIGHT_ISO", "I9"),
        (r"(ALPHA|DELTA)\w*_(SKY|J2000|B1950)", "F11.7"),
        (r"(ERR)?THETA\w*", "F6.2"),
        (r"\w+_GROWTHSTEP|FLUX_RADIUS", "F10.3"),
        (r"(MAG|MAGERR|MU)_\w+", "F8.4"),
        (r"[XY](WIN)?_IMAGE(_DBL)?", "F11.4"),
        (r"[AB](WIN)?_IMAGE", "F9.3"),
        (r"ERR[AB](WIN)?_IMAGE", "F9.5"),
        (r"C(XX|YY|XY)(WIN)?_\w+", "E15.7"),
        (r"(ERR)?(X2|Y2|XY)(WIN)?_\w+|[XY](WIN|PEAK)?_(WORLD|FOCAL)", "E18.10"),
        (r"KRON_RADIUS|PETRO_RADIUS", "F5.2"),
        (r"CLASS_STAR", "F6.3"),
        (r"POLAR\w*", "F7.5"),
        (r"[XY]_MAMA", "F8.1"),
        (r"FWHM_IMAGE", "F8.2"),
        (r"ELONGATION|ELLIPTICITY", "F8.3"),
        (r"SNR_WIN", "G10.4"),
        (r"DURATION_ANALYSIS", "G9.4"),
        (r"SPREAD(ERR)?_MODEL", "G11.5"),
    )
)
# Position angles and declinations on the sky are printed with their sign.
_SIGNED = re.compile(r"(DELTA|THETA)\w*_(SKY|J2000|B1950)")
_UNITS = {
    "adu": "count",
    "pix": "pixel",
    "pix2": "pixel**2",
    "pix-2": "pixel**(-2)",
    "deg2": "deg**2",
    "deg-2": "deg**(-2)",
    "mag/arcsec2": "mag * arcsec**(-2)",
}
# The same in the words of VOTable.
_VO_UNITS = {
    "adu": "ct",
    "mag/arcsec2": "mag.arcsec-2",
}


def display_format(name: str, dtype: np.dtype[Any]) -> str:
    """The format of a column as FITS states it in TDISP: ``"F8.4"``."""
    for pattern, display in _DISPLAYS:
        if pattern.fullmatch(name):
            return display
    return "I10" if dtype.kind in "iu" else "G12.7"


def print_format(name: str, dtype: np.dtype[Any]) -> str:
    """The format of a column for the operator %: ``"%8.4f"``."""
    display = display_format(name, dtype)
    letter = {"I": "d", "F": "f", "E": "e", "G": "g"}[display[0]]
    sign = "+" if _SIGNED.fullmatch(name) else ""
    return f"%{sign}{display[1:]}{letter}"


def unit_of(name: str) -> str:
    """The unit of a column in SExtractor's words; empty for pure numbers."""
    if name.endswith("WEIGHT_ISO"):  # counts without a unit there
        return ""
    unit = all_columns()[name].unit
    return _UNITS.get(unit, unit)


def vo_unit_of(name: str) -> str:
    """The unit of a column in the words of VOTable."""
    unit = all_columns()[name].unit
    return _VO_UNITS.get(unit, unit)


def comment_of(name: str) -> str:
    """What a column is, in a few words."""
    return all_columns()[name].definition.partition(";")[0].rstrip(".")
