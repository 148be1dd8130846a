"""Region files: WeightWatcher's polygons, and DS9's shapes in pixels or on the sky."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from purepipe.errors import DataError
from purepipe.legacy.astromatic_files import read_text
from purepipe.mask.ds9 import regions_from_ds9
from purepipe.mask.ds9_text import holds_more_than_lines_say, without_texts
from purepipe.mask.regions import Region, polygons_from_weightwatcher

if TYPE_CHECKING:
    from purepipe.wcs import WCS

log = logging.getLogger(__name__)

_SKY = re.compile(r"(^|;)[ \t]*(fk4|b1950|fk5|j2000|icrs|galactic|ecliptic|wcs)\b", re.M | re.I)
# What WeightWatcher understands of a line, or passes over without losing anything.
_PLAIN = re.compile(
    r"\s*((image[\s;]*)?(\+?polygon\b([^a-df-zA-DF-Z|&()]*|\s*\([^a-df-zA-DF-Z|&()]*\)[\s;]*))?"
    r"|physical|global\b(?!.*\binclude\s*=\s*0)[^;]*|tile\b.*)"
)


def read_regions(
    path: str | os.PathLike[str],
    *,
    extension: int = 1,
    wcs: WCS | None = None,
    polygons_only: bool = False,
) -> list[NDArray[Any]] | list[Region]:
    """The regions of a file, as `purepipe.mask.combine.combine` takes them with ``origin=1``.

    A file of nothing but polygons in image coordinates is read as WeightWatcher reads it, and
    gives (n, 2) arrays of 1-based vertices. Any other is read as a DS9 file, with all its shapes,
    coordinate systems and excluded regions, and gives `Region` objects (0-based).

    Parameters
    ----------
    path
        Region file, from DS9 4 on, or of polygons alone.
    extension
        Number, from 1, of the image; regions after a line ``tile N`` are for image N, those
        before any such line for the first image. With `polygons_only` the number goes down by one
        with each polygon, as it does in WeightWatcher.
    wcs
        World coordinates of the image, for regions on the sky.
    polygons_only
        Draw from DS9 files what WeightWatcher draws: polygons, the excluded ones too.

    Raises
    ------
    InputFileError
        The file is missing, or a line is not understood.
    DataError
        Regions on the sky, and no `wcs`.
    """
    text = read_text(path)
    lines = [line.partition("#")[0] for line in without_texts(text).splitlines()]
    on_sky = _SKY.search("\n".join(lines)) is not None
    plain = all(_PLAIN.fullmatch(line) for line in lines) and not holds_more_than_lines_say(text)
    if not on_sky and (polygons_only or plain):
        return polygons_from_weightwatcher(
            text, extension=extension, lasting=not polygons_only, file=path
        )
    log.warning(
        "%s holds more than polygons in pixels; all shapes are drawn, where WeightWatcher draws"
        " polygons alone", path,
    )  # fmt: skip
    try:
        return regions_from_ds9(text, wcs, extension=extension, file=path)
    except DataError as error:
        error.file = str(path)
        raise
