"""Configuration of the mask step, and of the combination of weight and flag maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from purepipe.config.fields import check, from_mapping, option

_MAGNITUDE = "mag"


@dataclass(frozen=True)
class HaloConfig:
    """Reflection halos of bright stars: a polygon scaled with the magnitude of the star."""

    make: bool = option(True, "Mask the halos of bright stars.", original="mask:HALO_MAKE")
    mag_limit: float = option(
        13.0, "Only stars brighter than this have a halo.", unit=_MAGNITUDE,
        original="mask:HALO_MAG_LIM",
    )  # fmt: skip
    scale: float = option(
        0.05, "Relative shrinking of the polygon for each magnitude.", unit="1/mag",
        original="mask:HALO_SCALE_FACTOR",
    )  # fmt: skip
    mag_pivot: float = option(
        13.8, "Magnitude at which the polygon has the size of the model.", unit=_MAGNITUDE,
        original="mask:HALO_MAG_PIVOT",
    )  # fmt: skip
    flag: int = option(
        2, "Value of the halo pixels.", minimum=0, maximum=2**31 - 1,
        original="mask:HALO_FLAG_VALUE",
    )  # fmt: skip
    polygon: tuple[tuple[float, float], ...] = option(
        (), "Offsets of the vertices from the star at the pivot magnitude; empty: MegaCam's.",
        unit="pixel", original="mask:HALO_MASKMODEL_PATH",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SpikeConfig:
    """Cores and diffraction spikes of stars: a polygon scaled with the magnitude of the star."""

    make: bool = option(True, "Mask the spikes of stars.", original="mask:SPIKE_MAKE")
    mag_limit: float = option(
        18.0, "Only stars brighter than this have spikes.", unit=_MAGNITUDE,
        original="mask:SPIKE_MAG_LIM",
    )  # fmt: skip
    scale: float = option(
        0.3, "Relative shrinking of the polygon for each magnitude.", unit="1/mag",
        original="mask:SPIKE_SCALE_FACTOR",
    )  # fmt: skip
    mag_pivot: float = option(
        13.8, "Magnitude at which the polygon has the size of the model.", unit=_MAGNITUDE,
        original="mask:SPIKE_MAG_PIVOT",
    )  # fmt: skip
    flag: int = option(
        128, "Value of the spike pixels.", minimum=0, maximum=2**31 - 1,
        original="mask:SPIKE_FLAG_VALUE",
    )  # fmt: skip
    polygon: tuple[tuple[float, float], ...] = option(
        (), "Offsets of the vertices from the star at the pivot magnitude; empty: MegaCam's.",
        unit="pixel", original="mask:SPIKE_MASKMODEL_PATH",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MessierConfig:
    """Messier objects: discs or ellipses."""

    make: bool = option(True, "Mask Messier objects.", original="mask:MESSIER_MAKE")
    catalogue: Path | None = option(
        None, "Table with ra, dec, major (and minor, angle); empty: the table that comes along.",
        original="mask:MESSIER_CAT_PATH",
    )  # fmt: skip
    size_plus: float = option(
        0.0, "Relative enlargement of the radius.", minimum=0, original="mask:MESSIER_SIZE_PLUS"
    )
    flag: int = option(
        16, "Value of the pixels of Messier objects.", minimum=0, maximum=2**31 - 1,
        original="mask:MESSIER_FLAG_VALUE",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class NGCConfig:
    """NGC and IC objects: discs or ellipses."""

    make: bool = option(False, "Mask NGC and IC objects.", original="mask:NGC_MAKE")
    catalogue: Path | None = option(
        None, "Table with ra, dec, major (and minor, angle); empty: the package pyongc.",
        original="mask:NGC_CAT_PATH",
    )  # fmt: skip
    size_plus: float = option(
        0.0, "Relative enlargement of the radius.", minimum=0, original="mask:NGC_SIZE_PLUS"
    )
    flag: int = option(
        32, "Value of the pixels of NGC objects.", minimum=0, maximum=2**31 - 1,
        original="mask:NGC_FLAG_VALUE",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MissingDataConfig:
    """Images without data in a part of their pixels."""

    make: bool = option(
        False, "Judge the image by its fraction of missing data.", original="mask:MD_MAKE"
    )
    flag_fraction: float = option(
        0.3, "From this fraction of missing pixels on the image is flagged in its header.",
        minimum=0, maximum=1, original="mask:MD_THRESH_FLAG",
    )  # fmt: skip
    remove: bool = option(
        False, "Refuse images with too many missing pixels.", original="mask:MD_REMOVE"
    )
    remove_fraction: float = option(
        0.75, "From this fraction of missing pixels on the image is refused.",
        minimum=0, maximum=1, original="mask:MD_THRESH_REMOVE",
    )  # fmt: skip
    mask_zeros: bool = option(False, "Mask pixels of exactly zero as missing data.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SkyMaskConfig:
    """A mask of the sky, as a healsparse map."""

    map: Path | None = option(
        None, "healsparse map of bits or truth values; empty: none. Needs the extra skymaps."
    )
    bits: int = option(
        -1, "Bits of the map that mask a pixel; -1 for any.", minimum=-1, maximum=2**31 - 1
    )
    outside: bool = option(False, "Mask the pixels of which the map says nothing, too.")
    flag: int = option(8, "Value of the masked pixels.", minimum=0, maximum=2**31 - 1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class WeightRangeConfig:
    """Which weights are good."""

    minimum: float = option(
        0.0, "Weights below are bad; negative and not finite ones are bad always.",
        original="ww:WEIGHT_MIN",
    )  # fmt: skip
    maximum: float = option(1e30, "Weights above are bad.", original="ww:WEIGHT_MAX")
    mask_zero: bool = option(True, "Mask pixels whose weight is exactly zero.")
    flag: int = option(
        1, "Value of the pixels with a bad weight.", minimum=0, maximum=2**31 - 1,
        original="ww:WEIGHT_OUTFLAGS",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MaskConfig:
    """Which pixels are masked, and with which bit."""

    border_make: bool = option(True, "Mask the border.", original="mask:BORDER_MAKE")
    border_width: int = option(
        50, "Width of the masked border.", unit="pixel", minimum=0, original="mask:BORDER_WIDTH"
    )
    border_flag: int = option(
        4, "Value of the border pixels.", minimum=0, maximum=2**31 - 1,
        original="mask:BORDER_FLAG_VALUE",
    )  # fmt: skip
    halo: HaloConfig = option(HaloConfig, "Halos of bright stars.")
    spike: SpikeConfig = option(SpikeConfig, "Cores and diffraction spikes of stars.")
    messier: MessierConfig = option(MessierConfig, "Messier objects.")
    ngc: NGCConfig = option(NGCConfig, "NGC and IC objects.")
    sky: SkyMaskConfig = option(SkyMaskConfig, "A mask of the sky.")
    missing: MissingDataConfig = option(MissingDataConfig, "Missing data.")
    weight: WeightRangeConfig = option(WeightRangeConfig, "The range of good weights.")
    saturated: bool = option(False, "Mask pixels at or above the saturation level.")
    external_bits: int = option(
        -1, "Bits of the external flag map that are taken over; -1 for all.",
        minimum=-1, maximum=2**31 - 1,
    )  # fmt: skip
    unknown_mag: float = option(
        12.0, "Magnitude assumed for stars without one, so that their mask is not lost.",
        unit=_MAGNITUDE,
    )  # fmt: skip
    compat: str = option(
        "none", "Reproduce the maps of ShapePipe to the pixel, with its known faults.",
        choices=("none", "shapepipe"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def exposure(cls, **changes: Any) -> MaskConfig:
        """For single CCDs; `changes` may be nested mappings."""
        return from_mapping(cls, changes)

    @classmethod
    def tile(cls, **changes: Any) -> MaskConfig:
        """For stacks, whose border needs no mask; `changes` may be nested mappings."""
        return from_mapping(cls, {"border_make": False, **changes})


@dataclass(frozen=True)
class CombineConfig:
    """How weight maps, flag maps and regions become one flag map and one weight map."""

    weight_min: tuple[float, ...] = option(
        (0.3,), "Weights below are flagged; one value for each map.",
        original="ww:WEIGHT_MIN",
    )  # fmt: skip
    weight_max: tuple[float, ...] = option(
        (1.3,), "Weights above are flagged; one value for each map.",
        original="ww:WEIGHT_MAX",
    )  # fmt: skip
    weight_out_flags: tuple[int, ...] = option(
        (1,), "Flag of the weights out of range; one value for each map.",
        minimum=0, maximum=2**31 - 1, original="ww:WEIGHT_OUTFLAGS",
    )  # fmt: skip
    flag_weight_masks: tuple[int, ...] = option(
        (0xFF,), "Bits that set the weight to zero; one value for each flag map.",
        minimum=0, maximum=2**32 - 1, original="ww:FLAG_WMASKS",
    )  # fmt: skip
    flag_masks: tuple[int, ...] = option(
        (1,), "Bits that are passed on; one value for each flag map.", minimum=0, maximum=2**31 - 1,
        original="ww:FLAG_MASKS",
    )  # fmt: skip
    flag_out_flags: tuple[int, ...] = option(
        (2,), "Output value of each bit passed on, from the lowest bit of the first map on.",
        minimum=0, maximum=2**31 - 1, original="ww:FLAG_OUTFLAGS",
    )  # fmt: skip
    region_out_flags: tuple[int, ...] = option(
        (), "Flag of each list of regions.", minimum=0, maximum=2**31 - 1,
        original="ww:POLY_OUTFLAGS",
    )  # fmt: skip
    region_out_weights: tuple[float, ...] = option(
        (0.0,), "Factor of the weight inside each list of regions; the last one is repeated.",
        original="ww:POLY_OUTWEIGHTS",
    )  # fmt: skip
    region_union: bool = option(
        True, "Regions of one list add up; otherwise their overlaps cancel.",
        original="ww:POLY_INTERSECT",
    )  # fmt: skip
    areas: bool = option(False, "Compute the unmasked areas.", original="ww:GETAREA")
    area_weight: float = option(
        0.0, "Pixels with a larger weight count as area.", original="ww:GETAREA_WEIGHT"
    )
    area_flags: tuple[int, ...] = option(
        (1,), "Pixels with one of these bits do not count as area.",
        minimum=0, maximum=2**31 - 1, original="ww:GETAREA_FLAGS",
    )  # fmt: skip
    compat: str = option(
        "none", "Reproduce the 16-bit fault of WeightWatcher, which loses flags from 256 on.",
        choices=("none", "weightwatcher"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
