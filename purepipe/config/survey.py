"""Configuration of a survey run: where the files are, and the steps' own configurations."""

from __future__ import annotations

from dataclasses import dataclass

from purepipe.config.fields import check, option


@dataclass(frozen=True)
class EpochConfig:
    """Which CCDs saw an object."""

    history_pattern: str = option(
        r"(\d{7})p?\.fits",
        "Regular expression whose first group is the exposure number in a tile's HISTORY card.",
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SurveyConfig:
    """One run over a survey."""

    seed: int = option(0, "Seed of all random numbers of the run.")
    epochs: EpochConfig = option(EpochConfig, "Which CCDs saw an object.")

    def __post_init__(self) -> None:
        check(self)
