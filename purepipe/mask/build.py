"""The mask of one CCD or tile: every rule drawn and OR-ed into one map of bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.mask import MaskConfig
from purepipe.errors import NothingToDo
from purepipe.exposure import Exposure, WeightKind
from purepipe.mask import rules
from purepipe.mask.plan import PixelRows, draw_rows, plan_mask
from purepipe.mask.raster import strips
from purepipe.mask.regions import Region

if TYPE_CHECKING:
    from astropy.table import Table


def build_mask(
    exposure: Exposure,
    stars: Table | None,
    config: MaskConfig | None = None,
    *,
    regions: Sequence[Region] = (),
    messier: Table | None = None,
    ngc: Table | None = None,
    sky_map: Any = None,
) -> NDArray[np.int32]:
    """The mask planes of an image: `MaskFlag` bits, zero where the pixel is good.

    Border, halos and spikes of bright stars, Messier and NGC objects, bad weights, missing data,
    and the flag map that the exposure brings, bitwise OR-ed.

    Parameters
    ----------
    exposure
        Image with its weight, external flags and world coordinates, as far as there are any.
    stars
        Columns ra, dec (degrees) and mag; stars without a magnitude are masked as if they had
        ``config.unknown_mag``. A column class, if there is one, must be 0 for stars. None when
        neither halos nor spikes are asked for.
    config
        Which rules, and how; the defaults are those of MegaCam exposures.
    regions
        Further shapes to mask, with the bit EXTERNAL.
    messier, ngc
        Tables in place of the built-in ones: ra, dec (degrees), major, minor (arcmin), angle.
    sky_map
        healsparse map of integers or truth values that ``config.sky`` speaks of.

    Returns
    -------
    (ny, nx) int32 array.

    Raises
    ------
    ConfigError
        Halos or spikes are asked for and there are no stars, or a catalogue or a map of the
        sky was configured by its file name and not passed.
    DataError
        World coordinates are needed and missing, or a table lacks columns.
    NothingToDo
        ``config.missing.remove`` is set and too much of the image is missing.

    Notes
    -----
    With ``config.compat == "shapepipe"`` the map equals that of ShapePipe 1 with WeightWatcher
    1.12, its known faults included (the border's value and width 0, shifted and inverted polygons,
    discs of twice the size that must cover a corner, zero weights, contributions added instead of
    OR-ed). Its inverted removal of images with missing data is not reproduced.
    """
    config = config or MaskConfig()
    if config.missing.remove:
        refuse_missing(rules.missing_fraction(exposure.image), config, name=exposure.name)
    plan = plan_mask(
        exposure.shape, exposure.wcs, stars, config,
        regions=regions, messier=messier, ngc=ngc, sky_map=sky_map, name=exposure.name,
    )  # fmt: skip
    mask = np.empty(exposure.shape, np.int32)
    for first, last in strips(exposure.shape):
        draw_rows(plan, _rows(exposure, first, last), mask[first:last])
    return mask


def _rows(exposure: Exposure, first: int, last: int) -> PixelRows:
    weight, flags = exposure.weight, exposure.flags
    return PixelRows(
        first=first,
        image=exposure.image[first:last],
        weight=None if weight is None else weight[first:last],
        weight_kind=exposure.weight_kind or WeightKind.INVERSE_VARIANCE,
        flags=None if flags is None else flags[first:last],
        saturation=exposure.saturation,
    )


def refuse_missing(fraction: float, config: MaskConfig, *, name: str) -> None:
    """Refuse an image of which too much is missing.

    Raises
    ------
    NothingToDo
        ``config.missing.remove`` is set and the fraction reaches its limit.
    """
    missing = config.missing
    if missing.make and missing.remove and fraction >= missing.remove_fraction:
        raise NothingToDo(
            "too much of the image is missing", file=name,
            got=f"{fraction:.3f}", allowed=f"less than {missing.remove_fraction}",
            remedy="Raise mask.missing.remove_fraction to keep it.",
        )  # fmt: skip


def storage_dtype(mask: NDArray[np.int32]) -> type[np.generic]:
    """The type in which a mask is stored: int16, as ShapePipe's, or int32 for bits above 14."""
    fits = mask.size == 0 or (mask.min() >= 0 and mask.max() < 2**15)
    return np.int16 if fits else np.int32
