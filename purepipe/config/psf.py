"""Configuration of the PSF model and of its evaluation at objects."""

from __future__ import annotations

from dataclasses import dataclass

from purepipe.config.fields import check, option


@dataclass(frozen=True)
class PSFConfig:
    """How the PSF model is fitted; the keys stand for PSFEx's."""

    degree: int = option(
        2, "Degree of the polynomial in x and y.", minimum=0, maximum=40,
        original="psfex:PSFVAR_DEGREES",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PSFInterpolationConfig:
    """Which models are good enough to be evaluated at objects."""

    min_stars: int = option(
        20, "Fewest accepted stars of a usable model.", minimum=0, original="shapepipe:STAR_THRESH"
    )
    max_chi2: float = option(
        2.0, "Largest chi-square of a usable model.", minimum=0, original="shapepipe:CHI2_THRESH"
    )

    def __post_init__(self) -> None:
        check(self)
