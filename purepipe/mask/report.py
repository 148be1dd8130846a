"""What a mask holds: pixels by bit and by rule, for logs, headers and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from purepipe.config.mask import MaskConfig
from purepipe.flags import MaskFlag
from purepipe.mask import rules

_ANY = 2**32 - 1


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
    counts = count_pixels(mask, [*(1 << bit for bit in range(32)), _ANY]).tolist()
    names = {int(member): member.name or "" for member in MaskFlag}
    rows = [
        PlaneSummary(1 << bit, names.get(1 << bit, f"BIT_{bit}"), n, n / mask.size)
        for bit, n in enumerate(counts[:32])
        if n
    ]
    return [*rows, PlaneSummary(0, "ANY", counts[32], counts[32] / mask.size)]


def count_pixels(mask: NDArray[Any], values: Sequence[int]) -> NDArray[np.int64]:
    """Number of pixels of a mask that share a bit with each of the values."""
    from purepipe.mask.raster_nb import count_values

    narrow = mask.dtype == np.int16
    pixels = np.ascontiguousarray(mask, dtype=np.int16 if narrow else np.int32)
    return count_values(pixels, np.array(values, dtype=np.uint32).view(np.int32))


@dataclass(frozen=True)
class RuleCount:
    """What one rule of a mask did: its name, its value, and the pixels with a bit of the value."""

    name: str
    value: int
    pixels: int


@dataclass(frozen=True)
class MaskReport:
    """What every rule of a mask did, for the header of its file.

    Attributes
    ----------
    rules
        Those that are on. A pixel may have got a bit from several, so that the numbers may add up
        to more than are masked.
    n_pixels, n_masked
        Of the image, and of those with any bit.
    missing
        Fraction of missing pixels; None when the mask does not judge it.
    missing_limit
        From this fraction on the image is flagged.
    compat
        Whose faults were reproduced, or ``"none"``.
    """

    rules: tuple[RuleCount, ...]
    n_pixels: int
    n_masked: int
    missing: float | None
    missing_limit: float
    compat: str

    def cards(self) -> list[tuple[str, Any, str]]:
        """Header cards: keyword, value, comment."""
        cards: list[tuple[str, Any, str]] = []
        for number, rule in enumerate(self.rules, start=1):
            cards.append((f"MASKRUL{number}", rule.name, "rule of the mask"))
            cards.append((f"MASKVAL{number}", rule.value, f"value of {rule.name} pixels"))
            cards.append((f"MASKPIX{number}", rule.pixels, "pixels with a bit of this value"))
        cards.append(("MASKFRAC", self.n_masked / self.n_pixels, "fraction masked"))
        cards.append(("MASKMODE", self.compat, "fault-for-fault reproduction of"))
        if self.missing is not None:
            flagged = self.missing >= self.missing_limit
            cards.append(("MRATIO", self.missing, "fraction of missing pixels"))
            cards.append(("MFLAG", flagged, f"threshold value {self.missing_limit:g}"))
        return cards


def report_mask(
    mask: NDArray[np.int32], config: MaskConfig, *, image: NDArray[np.float32] | None = None
) -> MaskReport:
    """What every rule of a mask did.

    Parameters
    ----------
    mask
        (ny, nx) int32, made with `config`.
    config
        The configuration.
    image
        The image, when ``config.missing.make`` is set: the report then says how much of it is
        missing.
    """
    missing = None
    if image is not None and config.missing.make:
        missing = rules.missing_fraction(image, compat=config.compat == "shapepipe")
    counts = count_pixels(mask, rule_values(config))
    return report_counts(counts, mask.size, config, missing=missing)


def report_counts(
    counts: NDArray[np.int64], n_pixels: int, config: MaskConfig, *, missing: float | None
) -> MaskReport:
    """The report of a mask whose pixels were counted, by `rule_values`, while it was drawn."""
    *pixels, n_masked = counts.tolist()
    named = zip(_rules(config), pixels, strict=True)
    return MaskReport(
        rules=tuple(RuleCount(name, value, n) for (name, value), n in named),
        n_pixels=n_pixels, n_masked=n_masked, missing=missing,
        missing_limit=config.missing.flag_fraction, compat=config.compat,
    )  # fmt: skip


def rule_values(config: MaskConfig) -> list[int]:
    """The value of every rule that is on, and last that of any bit."""
    return [*(value for _, value in _rules(config)), _ANY]


def _rules(config: MaskConfig) -> list[tuple[str, int]]:
    """Name and value of every rule that is on."""
    compat = config.compat == "shapepipe"
    rows = [
        ("border", config.border_make, 4 if compat else config.border_flag),
        ("halo", config.halo.make, config.halo.flag),
        ("spike", config.spike.make, config.spike.flag),
        ("Messier", config.messier.make, config.messier.flag),
        ("NGC", config.ngc.make, config.ngc.flag),
        ("sky map", config.sky.map is not None, config.sky.flag),
        ("weight", True, config.weight.flag),
        ("missing data", not compat, int(MaskFlag.MISSING)),
        ("saturation", config.saturated and not compat, int(MaskFlag.SATURATED)),
        ("external", True, int(MaskFlag.EXTERNAL)),
    ]
    return [(name, value) for name, on, value in rows if on]
