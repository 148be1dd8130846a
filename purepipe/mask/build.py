"""The mask of one CCD or tile: every rule drawn and OR-ed into one map of bits."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from purepipe.config.mask import (
    HaloConfig,
    MaskConfig,
    MessierConfig,
    NGCConfig,
    SpikeConfig,
)
from purepipe.errors import ConfigError, DataError, NothingToDo
from purepipe.exposure import Exposure, WeightKind
from purepipe.flags import MaskFlag
from purepipe.mask import nebulae, rules
from purepipe.mask.regions import Region, draw_regions
from purepipe.mask.stars import select_stars, star_column

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.wcs import WCS

log = logging.getLogger(__name__)

# Magnitudes beyond it, such as 99 or -99, stand for missing ones.
_FAINTEST = 50.0

Plane = tuple[str, NDArray[Any], int]


def build_mask(
    exposure: Exposure,
    stars: Table | None,
    config: MaskConfig | None = None,
    *,
    regions: Sequence[Region] = (),
    messier: Table | None = None,
    ngc: Table | None = None,
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

    Returns
    -------
    (ny, nx) int32 array.

    Raises
    ------
    ConfigError
        Halos or spikes are asked for and there are no stars, or a catalogue was configured by
        its file name and not passed.
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
    _refuse_missing(exposure, config)
    mask = np.zeros(exposure.shape, np.int32)
    planes = _compat_planes if config.compat == "shapepipe" else _planes
    combine = np.add if config.compat == "shapepipe" else np.bitwise_or
    for name, plane, value in planes(exposure, stars, config, messier, ngc):
        if plane.dtype == np.bool_:
            combine(mask, np.int32(value), out=mask, where=plane)
        else:
            combine(mask, plane, out=mask)
        log.debug("%s: %s drawn with value %d", exposure.name, name, value)
    if config.compat == "shapepipe":
        # The original adds 16-bit integers, which wrap.
        mask = mask.astype(np.int16).astype(np.int32)
    if regions:
        plane = draw_regions(regions, exposure.shape)
        np.bitwise_or(mask, np.int32(MaskFlag.EXTERNAL), out=mask, where=plane)
    return mask


def _refuse_missing(exposure: Exposure, config: MaskConfig) -> None:
    missing = config.missing
    if not (missing.make and missing.remove):
        return
    fraction = rules.missing_fraction(exposure.image)
    if fraction >= missing.remove_fraction:
        raise NothingToDo(
            "too much of the image is missing", file=exposure.name,
            got=f"{fraction:.3f}", allowed=f"less than {missing.remove_fraction}",
            remedy="Raise mask.missing.remove_fraction to keep it.",
        )  # fmt: skip


def _planes(
    exposure: Exposure,
    stars: Table | None,
    config: MaskConfig,
    messier: Table | None,
    ngc: Table | None,
) -> Iterator[Plane]:
    """Every rule's plane and value, in the right way."""
    if config.border_make and config.border_width:
        yield "border", rules.border(exposure.shape, config.border_width), config.border_flag
    yield from _star_planes(exposure, stars, config)
    yield from _nebula_planes(exposure, config, messier, ngc)
    if exposure.weight is not None:
        limits = config.weight
        plane = rules.bad_weight(
            exposure.weight, exposure.weight_kind or WeightKind.INVERSE_VARIANCE,
            minimum=limits.minimum, maximum=limits.maximum, mask_zero=limits.mask_zero,
        )  # fmt: skip
        yield "weight", plane, limits.flag
    zeros = config.missing.mask_zeros
    yield "missing data", rules.missing(exposure.image, zeros=zeros), int(MaskFlag.MISSING)
    if config.saturated:
        plane = rules.saturated(exposure.image, exposure.saturation)
        yield "saturation", plane, int(MaskFlag.SATURATED)
    if exposure.flags is not None:
        yield "external flags", rules.external(exposure.flags, bits=config.external_bits), 0


def _compat_planes(
    exposure: Exposure,
    stars: Table | None,
    config: MaskConfig,
    messier: Table | None,
    ngc: Table | None,
) -> Iterator[Plane]:
    """Every contribution as ShapePipe makes it, to be added."""
    if config.halo.make or config.spike.make:
        # WeightWatcher ORs the polygons and the weights, and loses bits 8 to 15 of its map.
        drawn = np.zeros(exposure.shape, np.int32)
        values = [item.flag for item in (config.halo, config.spike) if item.make]
        for _, plane, value in _star_planes(exposure, stars, config):
            np.bitwise_or(drawn, np.int32(value), out=drawn, where=plane)
        if exposure.weight is not None:
            plane = rules.outside_range(
                exposure.weight, config.weight.minimum, config.weight.maximum
            )
            np.bitwise_or(drawn, np.int32(config.weight.flag), out=drawn, where=plane)
            values.append(config.weight.flag)
        if 128 <= max(values) < 32768:
            drawn &= 255
        yield "stars and weight", drawn, 0
    if config.border_make:
        # The slice of -0 pixels is the whole axis; and the configured value is never read.
        width = config.border_width or max(exposure.shape)
        yield "border", rules.border(exposure.shape, width), 4
    yield from _nebula_planes(exposure, config, messier, ngc)
    if exposure.flags is not None:
        yield "external flags", exposure.flags, 0


def star_regions(
    exposure: Exposure, stars: Table | None, config: MaskConfig | None = None
) -> dict[str, list[NDArray[np.float64]]]:
    """The polygons around the stars that reach an image, under ``"halo"`` and ``"spike"``.

    Each is an (n, 2) array of 0-based vertices; `purepipe.mask.regions.format_ds9` writes them.
    Parameters and errors are those of `build_mask`.
    """
    config = config or MaskConfig()
    kinds: tuple[tuple[str, HaloConfig | SpikeConfig], ...] = (
        ("halo", config.halo),
        ("spike", config.spike),
    )
    asked = [(name, item) for name, item in kinds if item.make]
    if not asked:
        return {}
    if stars is None:
        raise ConfigError(
            f"{' and '.join(name + 's' for name, _ in asked)} are to be masked, but there is no"
            " star catalogue",
            file=exposure.name, key="mask.halo.make, mask.spike.make",
            remedy="Give a table with ra, dec and mag, or set both to false.",
        )  # fmt: skip
    wcs = _require_wcs(exposure, "the polygons of stars")
    ra, dec, mag = _usable_stars(stars, config, exposure.name)
    polygons = {}
    for name, item in asked:
        model = star_model(name, item)
        sizes = {"scale": item.scale, "mag_pivot": item.mag_pivot}
        bright = mag < item.mag_limit
        reach = rules.polygon_reach(model, mag[bright], **sizes)
        rows, x, y = select_stars(ra[bright], dec[bright], wcs, reach)
        invert = config.compat == "shapepipe"
        polygons[name] = rules.star_polygons(x, y, mag[bright][rows], model, invert=invert, **sizes)
    return polygons


def _star_planes(exposure: Exposure, stars: Table | None, config: MaskConfig) -> Iterator[Plane]:
    values = {"halo": config.halo.flag, "spike": config.spike.flag}
    compat = config.compat == "shapepipe"
    for name, polygons in star_regions(exposure, stars, config).items():
        yield name, rules.stars(exposure.shape, polygons, compat=compat), values[name]


def star_model(name: str, config: HaloConfig | SpikeConfig) -> NDArray[np.float64]:
    """The (n, 2) model polygon of ``"halo"`` or ``"spike"``: the configured one, or MegaCam's."""
    if not config.polygon:
        return rules.builtin_model(name)
    if len(config.polygon) < 3:
        raise ConfigError(
            "a polygon needs at least three vertices", key=f"mask.{name}.polygon",
            got=len(config.polygon),
        )  # fmt: skip
    return np.array(config.polygon, dtype=np.float64)


def _usable_stars(
    stars: Table, config: MaskConfig, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Positions and magnitudes of the stars; those without a magnitude get the assumed one."""
    ra, dec, mag = (star_column(stars, key) for key in ("ra", "dec", "mag"))
    keep = np.ones(len(ra), bool)
    if "class" in (column.casefold() for column in stars.colnames):
        keep &= star_column(stars, "class") == 0
    placed = np.isfinite(ra) & np.isfinite(dec)
    if not placed[keep].all():
        log.warning(
            "%s: %d star(s) have no position and cannot be masked", name, (~placed & keep).sum()
        )
    keep &= placed
    unknown = keep & ~np.isfinite(mag)
    if config.compat == "none":
        unknown |= keep & (np.abs(mag) > _FAINTEST)
    if config.compat == "shapepipe":
        keep &= ~unknown
    elif unknown.any():
        mag = np.where(unknown, config.unknown_mag, mag)
        log.warning(
            "%s: %d star(s) have no magnitude; masked as if of magnitude %g",
            name, unknown.sum(), config.unknown_mag,
        )  # fmt: skip
    return ra[keep], dec[keep], mag[keep]


def _nebula_planes(
    exposure: Exposure, config: MaskConfig, messier: Table | None, ngc: Table | None
) -> Iterator[Plane]:
    kinds: tuple[tuple[str, MessierConfig | NGCConfig, Table | None], ...] = (
        ("messier", config.messier, messier),
        ("ngc", config.ngc, ngc),
    )
    for name, item, table in kinds:
        if not item.make:
            continue
        if table is None and item.catalogue is not None:
            raise ConfigError(
                "the catalogue is named but was not passed", key=f"mask.{name}.catalogue",
                got=item.catalogue, remedy=f"Read it and give it as {name}=table.",
            )  # fmt: skip
        wcs = _require_wcs(exposure, f"the {name} objects")
        if table is None:
            table = nebulae.messier() if name == "messier" else nebulae.ngc()
        plane = nebulae.nebula_mask(
            table, wcs, size_plus=item.size_plus, compat=config.compat == "shapepipe", name=name
        )
        yield name, plane, item.flag


def _require_wcs(exposure: Exposure, what: str) -> WCS:
    if exposure.wcs is None:
        raise DataError(
            f"{what} cannot be placed: the image has no world coordinates", file=exposure.name,
            remedy="Give the exposure its WCS, or switch the rule off.",
        )  # fmt: skip
    if exposure.wcs.shape == exposure.shape:
        return exposure.wcs
    return replace(exposure.wcs, shape=exposure.shape)


def storage_dtype(mask: NDArray[np.int32]) -> type[np.generic]:
    """The type in which a mask is stored: int16, as ShapePipe's, or int32 for bits above 14."""
    fits = mask.size == 0 or (mask.min() >= 0 and mask.max() < 2**15)
    return np.int16 if fits else np.int32


class PlaneSummary(NamedTuple):
    """How many pixels carry one bit of a mask."""

    bit: int
    name: str
    pixels: int
    fraction: float


def mask_summary(mask: NDArray[np.int32]) -> list[PlaneSummary]:
    """Value, name, number and fraction of pixels of every bit in a mask; last ``ANY`` (value 0).

    Parameters
    ----------
    mask
        (ny, nx) int32, `MaskFlag` bits.
    """
    from purepipe.mask.raster_nb import count_bits

    counts = count_bits(np.ascontiguousarray(mask, dtype=np.int32))
    names = {int(member): member.name or "" for member in MaskFlag}
    rows = [
        PlaneSummary(1 << bit, names.get(1 << bit, f"BIT_{bit}"), int(n), float(n) / mask.size)
        for bit, n in enumerate(counts[:32])
        if n
    ]
    return [*rows, PlaneSummary(0, "ANY", int(counts[32]), float(counts[32]) / mask.size)]


def mask_cards(
    mask: NDArray[np.int32], config: MaskConfig, *, image: NDArray[np.float32] | None = None
) -> list[tuple[str, Any, str]]:
    """Header cards (keyword, value, comment): each rule's value and pixels; the missing fraction.

    Parameters
    ----------
    mask
        (ny, nx) int32, made with `config`.
    config
        The configuration.
    image
        The image, when ``config.missing.make`` is set: its fraction of missing pixels is stored
        in MRATIO, and in MFLAG whether it reaches the limit.
    """
    cards: list[tuple[str, Any, str]] = []
    for number, (name, value) in enumerate(_rule_values(config), start=1):
        pixels = int(np.count_nonzero(mask & value)) if value else 0
        cards.append((f"MASKRUL{number}", name, "rule of the mask"))
        cards.append((f"MASKVAL{number}", value, f"value of {name} pixels"))
        cards.append((f"MASKPIX{number}", pixels, "pixels with a bit of this value"))
    cards.append(("MASKFRAC", float(np.count_nonzero(mask)) / mask.size, "fraction masked"))
    cards.append(("MASKMODE", config.compat, "fault-for-fault reproduction of"))
    if image is not None and config.missing.make:
        fraction = rules.missing_fraction(image, compat=config.compat == "shapepipe")
        limit = config.missing.flag_fraction
        cards.append(("MRATIO", fraction, "fraction of missing pixels"))
        cards.append(("MFLAG", fraction >= limit, f"threshold value {limit:g}"))
    return cards


def _rule_values(config: MaskConfig) -> list[tuple[str, int]]:
    """Name and value of every rule that is on."""
    compat = config.compat == "shapepipe"
    rows = [
        ("border", config.border_make, 4 if compat else config.border_flag),
        ("halo", config.halo.make, config.halo.flag),
        ("spike", config.spike.make, config.spike.flag),
        ("Messier", config.messier.make, config.messier.flag),
        ("NGC", config.ngc.make, config.ngc.flag),
        ("weight", True, config.weight.flag),
        ("missing data", not compat, int(MaskFlag.MISSING)),
        ("saturation", config.saturated and not compat, int(MaskFlag.SATURATED)),
        ("external", True, int(MaskFlag.EXTERNAL)),
    ]
    return [(name, value) for name, on, value in rows if on]
