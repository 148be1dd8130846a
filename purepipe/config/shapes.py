"""Configuration of spread model and shape measurement."""

from __future__ import annotations

from dataclasses import dataclass

from purepipe.config.fields import check, option


@dataclass(frozen=True)
class SpreadConfig:
    """Star-galaxy separation by the spread model."""

    star_limit: float = option(
        0.003, "Below this value of SPREAD_MODEL + 2 SPREADERR_MODEL (absolute) lies a star.",
        minimum=0, original="shapepipe:SM_STAR_THRESH",
    )  # fmt: skip
    galaxy_limit: float = option(
        0.01, "Above this value of SPREAD_MODEL + 2 SPREADERR_MODEL lies a galaxy.",
        minimum=0, original="shapepipe:SM_GAL_THRESH",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ShapeConfig:
    """How shapes are measured and calibrated."""

    stamp_size: int = option(51, "Side of the stamps.", unit="pixel", minimum=15)

    def __post_init__(self) -> None:
        check(self)
