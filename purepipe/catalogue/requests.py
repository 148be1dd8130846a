"""The columns of a detection that a configuration asks for, names and sizes checked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from purepipe.catalogue.columns_detect import COLUMNS, SHAPEPIPE_COLUMNS
from purepipe.config.detect import DetectConfig
from purepipe.errors import ConfigError, did_you_mean

_REQUEST = re.compile(r"([A-Za-z_]\w*)(?:\(\s*(\d+(?:\s*,\s*\d+)*)\s*\))?")
# Arrays: the number of their dimensions.
_ARRAYS = {
    **{f"{what}_APER": 1 for what in ("FLUX", "FLUXERR", "MAG", "MAGERR")},
    "FLUX_RADIUS": 1, "FLUX_GROWTH": 1, "MAG_GROWTH": 1, "VECTOR_ASSOC": 1, "IMAFLAGS_ISO": 1,
    "NIMAFLAGS_ISO": 1, "VIGNET": 2, "VIGNET_SHIFT": 2,
}  # fmt: skip
# Those that need a PSF; the final catalogue has them, too, with a PSF of several epochs.
SPREAD_COLUMNS = ("SPREAD_MODEL", "SPREADERR_MODEL")
# Columns of SExtractor that purepipe has no use for: what they are of, and what exists instead.
_REFUSED = (
    (r".*SOMFIT", "self-organising maps", "FLUX_WIN or FLUX_AUTO"),
    (r".*DGEO.*", "maps of differential geometry", "X_IMAGE and Y_IMAGE with the header's WCS"),
    (r"[XY]_MAMA", "coordinates of the MAMA scanning machine", "X_WORLD and Y_WORLD"),
    (
        r".*PSF.*", "fits of point sources",
        "SPREAD_MODEL, FLUX_WIN and XWIN_IMAGE here, and the PSF at the objects from purepipe.psf",
    ),
    (
        r".*(MODEL|DISK|SPHEROID|HYBRID|BACKOFFSET|POINTSOURCE).*|[XY]FOCAL_WORLD",
        "fits of galaxy models",
        "FLUX_AUTO here, and fitted shapes from purepipe.shapes",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One column that is asked for, with the size of an array (x first) if one was given."""

    name: str
    size: tuple[int, ...] = ()


def requested_columns(config: DetectConfig) -> tuple[Request, ...]:
    """The columns of the catalogue in their order, names and sizes checked.

    Raises
    ------
    ConfigError
        A column is unknown, belongs to a part of SExtractor that purepipe does not have, or a
        size does not fit it.
    """
    return tuple(map(read_request, config.columns or SHAPEPIPE_COLUMNS))


def read_request(text: str) -> Request:
    """The column that a text asks for, as in a parameter file; see `requested_columns`."""
    match = _REQUEST.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            "not a column", key="detect.columns", got=repr(text), allowed="NAME, NAME(n), NAME(w,h)"
        )
    name = match[1].upper()
    size = tuple(int(number) for number in match[2].split(",")) if match[2] else ()
    _check_name(name)
    if size and (len(size) > _ARRAYS.get(name, 0) or min(size) < 1):
        raise ConfigError(
            "the size does not fit the column", key="detect.columns", got=text,
            allowed={1: f"{name}(n)", 2: f"{name}(w,h)"}.get(_ARRAYS.get(name, 0), name),
        )  # fmt: skip
    return Request(name, size)


def _check_name(name: str) -> None:
    known = [item.name for item in COLUMNS] + list(SPREAD_COLUMNS)
    if name in known:
        return
    for pattern, what, instead in _REFUSED:
        if re.fullmatch(pattern, name):
            raise ConfigError(
                f"purepipe does not have SExtractor's {what}", key="detect.columns", got=name,
                remedy=f"Ask for {instead}.",
            )  # fmt: skip
    raise ConfigError(
        "unknown column", key="detect.columns", got=name, remedy=did_you_mean(name, known)
    )
