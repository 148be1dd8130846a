"""Numbers of exposures, CCDs and tiles, as they stand in file names."""

from __future__ import annotations

import math
import os
import re
from pathlib import PurePath

from purepipe.errors import ConfigError, InputFileError

# Schemes of the original pipeline: a run of n > 1 digits stands for exactly n digits, a single
# digit for any number of them.
EXPOSURE_SCHEME = "-0000000"
CCD_SCHEME = "-0000000-0"
TILE_SCHEME = "-000-000"


def numbering_pattern(scheme: str) -> re.Pattern[str]:
    """The regular expression of a numbering scheme; its match is the number string.

    Parameters
    ----------
    scheme
        ``"-0000000-0"``: a run of n > 1 digits means exactly n digits, a single digit one or more,
        other characters mean themselves. ``"RE:..."`` is a regular expression as it stands.

    Raises
    ------
    ConfigError
        The regular expression is not valid.

    Notes
    -----
    Unlike in the original, a run never matches a part of a longer run of digits:
    ``-000-000`` does not find ``-231-234`` in ``-231-2345``.
    """
    if scheme.startswith("RE:"):
        try:
            return re.compile(scheme[3:])
        except re.error as error:
            raise ConfigError(
                f"not a regular expression: {error}", key="numbering scheme", got=scheme
            ) from error
    pieces = []
    for run, other in re.findall(r"(\d+)|(\D+)", scheme):
        if other:
            pieces.append(re.escape(other))
        elif len(run) == 1:
            pieces.append(r"(?<!\d)\d+")
        else:
            pieces.append(rf"(?<!\d)\d{{{len(run)}}}(?!\d)")
    return re.compile("".join(pieces))


def number_string(path: str | os.PathLike[str], scheme: str) -> str | None:
    """The number of a file with its leading dash, e.g. ``"-2079614-9"``; None without any.

    The first match in the file name counts, as in the original.
    """
    match = numbering_pattern(scheme).search(PurePath(path).name)
    return match.group() if match else None


def number_of(path: str | os.PathLike[str], scheme: str = EXPOSURE_SCHEME) -> str:
    """The number of an exposure, CCD or tile in a file name.

    ``image-2079614.fits`` gives ``"2079614"``; with `TILE_SCHEME`, ``CFIS_image-000-000.fits``
    gives ``"000-000"``.

    Raises
    ------
    InputFileError
        The name holds no such number.
    """
    found = number_string(path, scheme)
    if found is None:
        raise InputFileError(
            "the file name holds no number of the expected form", file=path, allowed=scheme,
            remedy="Rename the file, or configure the numbering.",
        )  # fmt: skip
    return found.strip("-_")


def unit_name(exposure: str, ccd: int) -> str:
    """Name of one CCD of one exposure: ``"2079614-9"``."""
    return f"{exposure}-{ccd}"


def split_unit_name(name: str) -> tuple[str, int]:
    """Exposure and CCD number of a unit name.

    Raises
    ------
    ConfigError
        The name is not of the form ``exposure-ccd``.
    """
    exposure, dash, ccd = name.rpartition("-")
    if not (dash and exposure and ccd.isascii() and ccd.isdigit()):
        raise ConfigError(
            "not the name of a CCD", got=repr(name), allowed="exposure-ccd, such as 2079614-9"
        )
    return exposure, int(ccd)


def tile_id(number: str) -> float:
    """The tile number as the original's TILE_ID column has it: ``"051-231"`` gives 51.231.

    Trailing zeros are lost in this form (231.280 equals 231.28): keep the text beside it.

    Raises
    ------
    ConfigError
        The number is not of two groups of digits.
    """
    return float(".".join(_groups(number)))


def tile_centre(number: str) -> tuple[float, float]:
    """Right ascension and declination (degrees) of the centre of a tile of UNIONS (CFIS).

    Tile ``"iii-jjj"`` lies at declination jjj / 2 - 90 and right ascension (iii / 2) / cos(dec):
    rows of tiles of half a degree.

    Raises
    ------
    ConfigError
        The number is not of two groups of digits, or there is no such tile.
    """
    i, j = (int(group) for group in _groups(number))
    dec = j / 2 - 90
    width = math.cos(math.radians(dec))
    if not (abs(dec) <= 90 and i / 2 < 360 * width):
        raise ConfigError(
            "there is no such tile", got=repr(number),
            allowed="declination jjj / 2 - 90 within -90 to 90, right ascension below 360",
        )  # fmt: skip
    return i / 2 / width, dec


def tile_at(ra: float, dec: float) -> str:
    """The tile of UNIONS (CFIS) whose centre is near a position (degrees): ``"231-285"``.

    The inverse of `tile_centre` at its positions. Tiles overlap: near their edges several of them
    hold a position, see ``purepipe find``.

    Raises
    ------
    ConfigError
        There is no such position.
    """
    if not (math.isfinite(ra) and -90 <= dec <= 90):
        raise ConfigError("not a position on the sky", got=(ra, dec),
                          allowed="right ascension and declination in degrees")  # fmt: skip
    j = round(2 * (dec + 90))
    width = math.cos(math.radians(j / 2 - 90))
    i = round(2 * (ra % 360) * width)
    return f"{i if i < 720 * width else 0:03d}-{j:03d}"


def _groups(number: str) -> list[str]:
    groups = re.findall(r"\d+", number)
    if len(groups) != 2:
        raise ConfigError("not the number of a tile", got=repr(number), allowed="such as 051-231")
    return groups
