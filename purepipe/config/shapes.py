"""Configuration of spread model and shape measurement."""

from __future__ import annotations

from dataclasses import dataclass

from purepipe.config.fields import check, option
from purepipe.errors import ConfigError


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
    engine: str = option(
        "purepipe",
        "What fits: 'purepipe', or 'ngmix' for cross-checks where that package is installed, with"
        " noise = 'rot90' or 'none' and the Gaussian profile.",
        choices=("purepipe", "ngmix"),
    )  # fmt: skip
    noise: str = option(
        "min",
        "Noise added so that the noise of all types is alike: 'min' adds least, 'double' and"
        " 'rot90' double the variance as the original does, 'none' leaves shears biased.",
        choices=("min", "double", "rot90", "none"),
    )  # fmt: skip
    target: str = option(
        "azgauss", "Rule for the width of the round Gaussian that replaces the PSF.",
        choices=("azgauss", "gauss", "fitgauss"),
    )  # fmt: skip
    profile: str = option(
        "gauss",
        "Profile that is fitted: Gaussian, exponential disc, de Vaucouleurs, or disc and bulge; the"
        " last two need stamps of twenty half-light radii, and all but the first more time.",
        choices=("gauss", "exp", "dev", "bdf"),
    )  # fmt: skip
    step: float = option(0.01, "Size of the applied shears.", minimum=1e-4, maximum=0.1)
    shape_prior: float = option(0.4, "Width of the prior of the shape.", minimum=0.05)
    centre_prior: float | None = option(
        None, "Width of the prior of the centre; without it, one pixel.", unit="arcsec",
        minimum=1e-3,
    )  # fmt: skip
    align_epochs: bool = option(
        True,
        "Whether the stamps of an object are aligned at its sky position; the original puts their"
        " central pixels on top of each other.",
    )
    masked_fraction: float = option(
        1 / 3, "An epoch is left out when more than this fraction of its stamp is masked.",
        minimum=0, maximum=1,
    )  # fmt: skip
    fill: str = option(
        "model",
        "What replaces masked pixels: 'model', the light expected there and noise; 'noise' alone,"
        " as the original does, which loses the light.",
        choices=("model", "noise"),
    )  # fmt: skip
    moments_fwhm: float = option(
        1.2,
        "Width of the round weight whose moments stand in where a fit fails; 0 for none.",
        unit="arcsec", minimum=0,
    )  # fmt: skip
    max_iterations: int = option(60, "Steps of a fit before it is given up.", minimum=1)
    zero_point: float = option(
        30.0, "Magnitude of unit flux on the scale of the tile.", unit="mag",
        original="shapepipe:MAG_ZP",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
        if self.engine == "ngmix" and (
            self.noise not in ("rot90", "none") or self.profile != "gauss"
        ):
            raise ConfigError(
                "ngmix has neither this noise nor this profile", key="engine",
                got=f"noise {self.noise!r}, profile {self.profile!r}",
                allowed="noise 'rot90' or 'none', profile 'gauss'",
            )  # fmt: skip
