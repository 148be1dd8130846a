"""Configuration of metadetection."""

from __future__ import annotations

from dataclasses import dataclass

from purepipe.config.fields import check, option
from purepipe.errors import ConfigError


@dataclass(frozen=True)
class MetadetectConfig:
    """How the cells of a tile are detected and measured on five sheared images each."""

    enabled: bool = option(False, "Whether tiles are searched by metadetection, too.")
    side: int = option(
        288, "Side of a cell; products of small primes are fast.", unit="pixel of the tile",
        minimum=96, maximum=2048,
    )  # fmt: skip
    margin: int = option(
        20, "Width of the rim of a cell that only serves its transforms.",
        unit="pixel of the tile", minimum=16,
    )  # fmt: skip
    guard: float = option(
        12.0, "Detections closer than this to a pixel that is bad in all epochs have no weight.",
        unit="pixel of the tile", minimum=0,
    )  # fmt: skip
    max_masked: float = option(
        0.1,
        "An epoch is left out of a cell when it lacks more than this fraction of the pixels that"
        " any epoch has.",
        minimum=0, maximum=1,
    )  # fmt: skip
    threshold: float = option(
        4.0, "Least height of a peak, in units of its noise.", minimum=1
    )  # fmt: skip
    step: float = option(0.01, "Size of the applied shears.", minimum=1e-4, maximum=0.1)
    weight_fwhm: float = option(
        1.2, "Width of the round weight of the moments.", unit="arcsec", minimum=0.1
    )
    detect_fwhm: float = option(0.6, "Width of the detection filter.", unit="arcsec", minimum=0.1)

    def __post_init__(self) -> None:
        check(self)
        if self.side - 2 * self.margin < 32:
            raise ConfigError(
                "the rim leaves too little of the cell", key="metadetect.margin", got=self.margin,
                allowed=f"up to {(self.side - 32) // 2}",
            )  # fmt: skip
