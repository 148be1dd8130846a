"""Configuration of the star selection."""

from __future__ import annotations

from dataclasses import dataclass

from purepipe.config.fields import check, option
from purepipe.errors import ConfigError


@dataclass(frozen=True)
class StarConfig:
    """How the stellar locus is found and which stars serve the PSF."""

    min_snr: float = option(
        50.0, "Fainter objects are not considered: FLUX_AUTO over FLUXERR_AUTO.", minimum=0
    )
    magnitudes: tuple[float, float] = option(
        (-99.0, 99.0), "Brightest and faintest MAG_AUTO considered.", unit="mag"
    )
    saturation_fraction: float = option(
        0.9, "Peaks above this fraction of the saturation level are too bright.",
        minimum=0, maximum=1,
    )  # fmt: skip
    reject_flags: int = option(
        0xFF, "Bits of the detection flags that exclude an object.", minimum=0, maximum=0xFFFF
    )
    neighbour_light: float = option(
        0.05, "Light of the neighbours, relative to its own, up to which a star that the detection"
        " flags call crowded or deblended is taken; beyond 2 FWHM it counts less. 0: none is.",
        minimum=0,
    )  # fmt: skip
    reject_image_flags: int = option(
        0x7FFFFFFF, "Bits of IMAFLAGS_ISO that exclude an object.", minimum=0, maximum=0x7FFFFFFF
    )
    max_ellipticity: float = option(
        0.3, "Largest ELLIPTICITY, 1 - b/a, of a star.", minimum=0, maximum=1
    )
    fwhm_range: tuple[float, float] = option(
        (1.2, 30.0), "Smallest and largest FWHM that the seeing can have.", unit="pixel", minimum=0
    )
    method: str = option(
        "locus", "How stars are told from galaxies: by a locus that follows the PSF over the CCD,"
        " or by a mixture of normal distributions in size and S/N.",
        choices=("locus", "mixture"),
    )  # fmt: skip
    clip: float = option(
        3.0, "Half-width of the stellar locus in units of its dispersion.", unit="sigma",
        minimum=0.5, maximum=10,
    )  # fmt: skip
    min_stars: int = option(
        5, "Fewest stars; with fewer the selection of the CCD fails.", minimum=0
    )
    reserve_fraction: float = option(
        0.2, "Fraction of the stars kept out of the PSF fit for validation.",
        minimum=0, maximum=0.9, original="setools:RATIO",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
        for key in ("magnitudes", "fwhm_range"):
            low, high = getattr(self, key)
            if low >= high:
                raise ConfigError(
                    "the first value must be below the second", key=f"star.{key}", got=(low, high)
                )
