"""What decided about an object: each flag bit, class and cut, with the configuration behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config import SurveyConfig
from purepipe.flags import DetectFlag, DocumentedFlag, EpochFlag, MaskFlag, ShapeFlag, decode

if TYPE_CHECKING:
    from astropy.table import Table

# Column -> its flags.
FLAG_COLUMNS: dict[str, type[DocumentedFlag]] = {
    "FLAGS": DetectFlag,
    "IMAFLAGS_ISO": MaskFlag,
    "NGMIX_FLAGS_EPOCH": EpochFlag,
    "NGMIX_MCAL_FLAGS": ShapeFlag,
}
# Bit -> the keys that set it or could avoid it. By family, since bits of several are equal
# numbers. Those of masks lie below ``tile.`` or ``ccd.``.
_KEYS: dict[type[DocumentedFlag], dict[DocumentedFlag, tuple[str, ...]]] = {
    MaskFlag: {
        MaskFlag.BAD_WEIGHT: (
            "mask.weight.minimum",
            "mask.weight.maximum",
            "mask.weight.mask_zero",
        ),
        MaskFlag.HALO: ("mask.halo.mag_limit", "mask.halo.scale"),
        MaskFlag.BORDER: ("mask.border_width",),
        MaskFlag.EXTERNAL: ("mask.external_bits",),
        MaskFlag.MESSIER: ("mask.messier.make", "mask.messier.size_plus"),
        MaskFlag.NGC: ("mask.ngc.make", "mask.ngc.size_plus"),
        MaskFlag.COSMIC_RAY: ("mask.external_bits",),
        MaskFlag.SPIKE: ("mask.spike.mag_limit", "mask.spike.scale"),
        MaskFlag.MISSING: ("mask.missing.mask_zeros",),
        MaskFlag.SATURATED: ("mask.saturated", "mask.external_bits"),
    },
    DetectFlag: {
        DetectFlag.CROWDED: ("tile.detect.kron_factor", "tile.detect.kron_min_radius"),
        DetectFlag.BLENDED: ("tile.detect.deblend_contrast", "tile.detect.deblend_levels"),
        DetectFlag.SATURATED: ("inputs.saturation_keys",),
        DetectFlag.APERTURE_CUT: ("tile.detect.apertures", "tile.detect.kron_factor"),
        DetectFlag.ISOPHOTE_CUT: ("tile.detect.buffer_lines",),
        DetectFlag.DEBLEND_OVERFLOW: ("tile.detect.deblend_levels",),
        DetectFlag.MEMORY_OVERFLOW: ("tile.detect.buffer_pixels",),
    },
    EpochFlag: {
        EpochFlag.OFF_IMAGE: ("tile.epochs.ccd_size",),
        EpochFlag.NO_PSF: ("tile.psf.min_stars", "tile.psf.max_chi2"),
        EpochFlag.MASKED: ("tile.shapes.masked_fraction",),
        EpochFlag.NO_DATA: ("tile.shapes.stamp_size",),
        EpochFlag.MISSING_FILE: ("inputs.image", "tile.epochs.history_pattern"),
        EpochFlag.FAILED_CCD: ("ccd.stars.method", "tile.psf.min_stars"),
    },
    ShapeFlag: {
        ShapeFlag.MAX_ITERATIONS: ("tile.shapes.max_iterations",),
        ShapeFlag.NO_EPOCH: ("tile.shapes.masked_fraction", "tile.psf.min_stars"),
        ShapeFlag.BAD_INPUT: ("tile.shapes.masked_fraction", "tile.psf.max_sum_error"),
        ShapeFlag.BAD_PSF: ("tile.shapes.target",),
        ShapeFlag.FALLBACK: ("tile.shapes.moments_fwhm", "tile.shapes.max_iterations"),
    },
}
EPOCH_MASKS = "masks of the epochs"
_CLASSES = {0: "star", 1: "galaxy", 2: "between star and galaxy"}


@dataclass(frozen=True)
class Decision:
    """One thing that was decided about an object.

    Attributes
    ----------
    subject
        Column, or exposure and CCD.
    verdict
        In words: the bit and what it means, or the class.
    keys
        The keys of the configuration behind it, with the values of the run: ``key = value``.
    """

    subject: str
    verdict: str
    keys: tuple[str, ...] = ()


def decisions(row: Table, masks: NDArray[np.int32], config: SurveyConfig) -> list[Decision]:
    """All that was decided about the object of a row: flags, class, whether the shear uses it.

    `masks` are those of the stamps of its epochs.
    """
    found = [
        decision
        for name, family in FLAG_COLUMNS.items()
        if name in row.colnames
        for decision in _flagged(name, family, int(row[name][0]), config)
    ]
    planes = int(np.bitwise_or.reduce(masks, axis=None))
    found += _flagged(EPOCH_MASKS, MaskFlag, planes, config, unit="ccd.")
    return [*found, *_star_or_galaxy(row, config), *_in_the_shear(row, config)]


def _flagged(
    subject: str,
    family: type[DocumentedFlag],
    value: int,
    config: SurveyConfig,
    *,
    unit: str = "tile.",
) -> Iterator[Decision]:
    """A decision for each bit that is set; `unit` is where the keys of a mask begin."""
    start = unit if family is MaskFlag else ""
    for bit in family:
        if value & bit.value:
            keys = [f"{start}{key}" for key in _KEYS[family].get(bit, ())]
            yield _decision(subject, f"{bit.name}: {bit.meaning}", keys, config)
    unknown = [name for name in decode(family, value) if name.startswith("BIT_")]
    if unknown:
        yield Decision(subject, f"{', '.join(unknown)}: unknown.")


def _decision(subject: str, verdict: str, keys: Iterable[str], config: SurveyConfig) -> Decision:
    return Decision(subject, verdict, tuple(_with_value(key, config) for key in keys))


def _with_value(key: str, config: SurveyConfig) -> str:
    value: Any = reduce(getattr, key.split("."), config)
    items = value if isinstance(value, tuple) else (value,)
    return f"{key} = {', '.join(f'{v:.4g}' if isinstance(v, float) else str(v) for v in items)}"


def _star_or_galaxy(row: Table, config: SurveyConfig) -> list[Decision]:
    names = ("SPREAD_CLASS", "SPREAD_MODEL", "SPREADERR_MODEL")
    if any(name not in row.colnames for name in names):
        return []
    kind, value, error = (float(row[name][0]) for name in names)
    if int(kind) not in _CLASSES:
        return [Decision("SPREAD_CLASS", "not known: no spread model.")]
    text = f"{_CLASSES[int(kind)]}: SPREAD_MODEL + 2 SPREADERR_MODEL is {value + 2 * error:.4f}."
    keys = ("tile.spread.star_limit", "tile.spread.galaxy_limit")
    return [_decision("SPREAD_CLASS", text, keys, config)]


def _in_the_shear(row: Table, config: SurveyConfig) -> list[Decision]:
    """Whether the mean shear uses the unsheared measurement; else the first reason why not."""
    names = ("NGMIX_MCAL_FLAGS", "IMAFLAGS_ISO", "NGMIX_SNR_NOSHEAR", "NGMIX_T_NOSHEAR",
             "NGMIX_Tpsf_NOSHEAR")  # fmt: skip
    if any(name not in row.colnames for name in names):
        return []
    flags, masked, s2n, size, psf = (float(row[name][0]) for name in names)
    ratio = size / psf if psf > 0 else float("nan")
    shear = config.shear
    home = "PRIMARY" not in row.colnames or int(row["PRIMARY"][0]) == 1
    reasons = (
        (not home, "it belongs to another tile", ""),
        (flags != 0, "its shape has flags", ""),
        (shear.unmasked and masked != 0, "it touches a masked pixel", "shear.unmasked"),
        (not s2n > shear.min_s2n, f"S/N {s2n:.1f} is too low", "shear.min_s2n"),
        (shear.max_s2n is not None and not s2n < np.float64(shear.max_s2n),
         f"S/N {s2n:.1f} is too high", "shear.max_s2n"),
        (not ratio > shear.min_size_ratio, f"T/Tpsf {ratio:.2f} is too small",
         "shear.min_size_ratio"),
    )  # fmt: skip
    for applies, why, key in reasons:
        if applies:
            return [_decision("mean shear", f"not used: {why}.", [key] if key else [], config)]
    used = f"used: S/N {s2n:.1f}, T/Tpsf {ratio:.2f}."
    return [_decision("mean shear", used, ("shear.min_s2n", "shear.min_size_ratio"), config)]
