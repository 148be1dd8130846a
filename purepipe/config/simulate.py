"""Configuration of simulated surveys."""

from __future__ import annotations

from dataclasses import dataclass

from purepipe.config.fields import check, option


@dataclass(frozen=True)
class SimulateConfig:
    """A small survey with known shear."""

    seed: int = option(1, "Seed of all random numbers.")

    def __post_init__(self) -> None:
        check(self)
