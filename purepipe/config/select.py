"""Configuration of the star selection and of the star-galaxy classification."""

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


@dataclass(frozen=True)
class SpreadConfig:
    """Limits of the spread model between stars and galaxies."""

    star_limit: float = option(
        0.003, "An object is a star when |SPREAD_MODEL + 2 SPREADERR_MODEL| is below this.",
        minimum=0, original="shapepipe:SM_STAR_THRESH",
    )  # fmt: skip
    galaxy_limit: float = option(
        0.01, "An object is a galaxy when SPREAD_MODEL + 2 SPREADERR_MODEL is above this.",
        minimum=0, original="shapepipe:SM_GAL_THRESH",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
