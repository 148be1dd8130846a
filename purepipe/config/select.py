"""Configuration of the star selection."""

from __future__ import annotations

from dataclasses import dataclass

from purepipe.config.fields import check, option


@dataclass(frozen=True)
class StarConfig:
    """How the stellar locus is found and which stars serve the PSF."""

    reserve_fraction: float = option(
        0.2, "Fraction of the stars kept out of the PSF fit for validation.", minimum=0, maximum=0.9
    )

    def __post_init__(self) -> None:
        check(self)
