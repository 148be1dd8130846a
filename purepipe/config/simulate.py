"""Configuration of simulated surveys."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from purepipe.config.fields import check, option
from purepipe.errors import ConfigError


@dataclass(frozen=True)
class GalaxyConfig:
    """The galaxies of a simulated sky."""

    density: float = option(
        20.0, "Galaxies per unit of area, all magnitudes.", unit="arcmin^-2", minimum=0
    )
    magnitudes: tuple[float, float] = option((19.0, 24.5), "Brightest and faintest galaxy.")
    count_slope: float = option(0.3, "Slope of the counts, log10(dN/dm) per magnitude.", minimum=0)
    half_light_radius: float = option(
        0.4, "Median half-light radius at magnitude 23.", unit="arcsec", minimum=0.01, maximum=10
    )
    size_slope: float = option(-0.08, "Change of log10(half-light radius) per magnitude.")
    size_scatter: float = option(0.12, "Scatter of log10(half-light radius).", minimum=0)
    dev_fraction: float = option(
        0.2, "Fraction with a de Vaucouleurs profile; the rest is exponential.",
        minimum=0, maximum=1,
    )  # fmt: skip
    shape_noise: float = option(
        0.2, "Dispersion of each component of the intrinsic ellipticity g (Rayleigh in |g|).",
        minimum=0, maximum=0.5,
    )  # fmt: skip
    max_ellipticity: float = option(0.7, "Largest intrinsic |g|.", minimum=0, maximum=0.95)
    pairs: bool = option(
        True, "Make galaxies in pairs that differ only by a rotation of 90 degrees."
    )

    def __post_init__(self) -> None:
        check(self)
        _increasing(self, "magnitudes")


@dataclass(frozen=True)
class StarFieldConfig:
    """The stars of a simulated sky."""

    density: float = option(
        8.0, "Stars per unit of area between the magnitudes 17 and 21.5.", unit="arcmin^-2",
        minimum=0,
    )  # fmt: skip
    magnitudes: tuple[float, float] = option((10.0, 22.5), "Brightest and faintest star.")
    count_slope: float = option(0.15, "Slope of the counts fainter than 17, log10(dN/dm).")
    bright_slope: float = option(0.4, "Slope of the counts brighter than 17, log10(dN/dm).")
    halo_magnitude: float = option(14.0, "Stars brighter than this have a reflection halo.")
    halo_fraction: float = option(
        0.02, "Light of a star that ends in its halo.", minimum=0, maximum=0.5
    )
    spike_magnitude: float = option(15.0, "Stars brighter than this have diffraction spikes.")
    spike_fraction: float = option(
        0.01, "Light of a star that ends in its spikes.", minimum=0, maximum=0.5
    )
    catalogue_limit: float = option(18.0, "Faintest star in the star catalogue.")
    catalogue_error: float = option(
        0.1, "Position error of the star catalogue, per axis.", unit="arcsec", minimum=0
    )

    def __post_init__(self) -> None:
        check(self)
        _increasing(self, "magnitudes")


@dataclass(frozen=True)
class SeeingConfig:
    """The point-spread function: a Moffat profile that varies over the field of view."""

    fwhm: float = option(
        0.7, "Mean full width at half maximum, before the pixel.", unit="arcsec",
        minimum=0.4, maximum=1.3,
    )  # fmt: skip
    beta: float = option(3.5, "Exponent of the Moffat profile.", minimum=2, maximum=10)
    scatter: float = option(
        0.05, "Relative scatter of the seeing from exposure to exposure.", minimum=0, maximum=0.5
    )
    variation: float = option(
        0.02, "Relative variation of the seeing over the field of view.", minimum=0, maximum=0.3
    )
    ellipticity: float = option(
        0.02, "Dispersion of the mean ellipticity (each component of g) between exposures.",
        minimum=0, maximum=0.2,
    )  # fmt: skip
    ellipticity_variation: float = option(
        0.02, "Variation of the ellipticity over the field of view.", minimum=0, maximum=0.2
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class CameraConfig:
    """The detectors, their defects and the distortion of the optics."""

    pixel_scale: float = option(
        0.187, "Size of a pixel on the axis.", unit="arcsec", minimum=0.01, maximum=10
    )
    gain: float = option(1.6, "Electrons per ADU.", unit="e-/ADU", minimum=1e-3)
    read_noise: float = option(4.0, "Read noise.", unit="e-", minimum=0)
    saturation: float = option(60000.0, "Level at which pixels saturate.", unit="ADU", minimum=1)
    zero_point: float = option(31.5, "Mean magnitude of one ADU in an exposure.")
    zero_point_scatter: float = option(
        0.05, "Scatter of the zero-point between exposures.", unit="mag", minimum=0, maximum=1
    )
    sky: float = option(600.0, "Mean sky background.", unit="ADU", minimum=0)
    sky_slope: float = option(
        0.02, "Relative change of the background from the axis to the edge of the field.",
        minimum=0, maximum=0.5,
    )  # fmt: skip
    gap: int = option(40, "Gap between neighbouring CCDs.", unit="pixel", minimum=0)
    distortion: str = option(
        "alternate", "Distortion terms of the headers; alternate: SIP and TPV in turn."
        " SExtractor reads TPV only.",
        choices=("alternate", "sip", "tpv", "none"),
    )  # fmt: skip
    distortion_size: float = option(
        4.0, "Displacement by the distortion at the corner of the field.", unit="pixel",
        minimum=0, maximum=50,
    )  # fmt: skip
    bad_columns: int = option(1, "Bad columns per CCD.", minimum=0)
    dead_pixels: float = option(1e-4, "Fraction of dead pixels.", minimum=0, maximum=0.5)
    cosmic_rays: float = option(
        20.0, "Cosmic rays per million pixels in one exposure.", minimum=0, maximum=1e5
    )
    bleeding: bool = option(True, "Let saturated pixels bleed along the columns.")
    noise: bool = option(True, "Add photon and read noise; off for tests of the drawing alone.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SimulateConfig:
    """A small survey with known shear; the defaults are the demonstration survey."""

    seed: int = option(1, "Seed of all random numbers.")
    fields: int = option(4, "Number of fields; each has its exposures and one tile.", minimum=1)
    exposures: int = option(4, "Exposures per field.", minimum=1, maximum=100)
    ccds: int = option(4, "CCDs per exposure, arranged in a square.", minimum=1, maximum=100)
    ccd_size: tuple[int, int] = option(
        (1024, 1024), "Width and height of a CCD.", unit="pixel", minimum=64, maximum=20000
    )
    tile_size: tuple[int, int] = option(
        (2000, 2000), "Width and height of a tile.", unit="pixel", minimum=64, maximum=40000
    )
    centre: tuple[float, float] = option(
        (150.0, 32.0), "Right ascension and declination of the first field.", unit="deg"
    )
    spacing: float = option(
        0.5, "Distance between neighbouring fields, along right ascension.", unit="deg", minimum=0
    )
    shears: tuple[tuple[float, float], ...] = option(
        ((0.05, -0.03), (-0.05, 0.03)),
        "Shear (g1, g2) of the fields, in turn; first axis west, second axis north.",
    )
    repeat_sky: bool = option(
        True,
        "Give the fields of one turn of shears the same galaxies, stars, seeing and noise,"
        " so that their difference measures the response to shear without shape noise.",
    )
    shear_grid: bool = option(
        False,
        "Let positions and pixel grids follow the shear of their field: the pixels of fields of"
        " opposite shear then differ by the PSF alone, which takes most of the noise out of their"
        " difference. Distortions must not be TPV.",
    )
    minimum_separation: float = option(
        3.0, "Smallest distance between two objects; 0 allows blends of any kind.",
        unit="arcsec", minimum=0,
    )  # fmt: skip
    dither: float = option(
        15.0, "Largest offset of an exposure from the centre of its field.",
        unit="arcsec", minimum=0,
    )  # fmt: skip
    rotation: float = option(
        2.0, "Largest rotation of an exposure.", unit="deg", minimum=0, maximum=180
    )
    half_turns: bool = option(False, "Turn every other exposure by 180 degrees.")
    galaxies: GalaxyConfig = option(GalaxyConfig, "The galaxies.")
    stars: StarFieldConfig = option(StarFieldConfig, "The stars.")
    seeing: SeeingConfig = option(SeeingConfig, "The point-spread function.")
    camera: CameraConfig = option(CameraConfig, "The detectors and the optics.")

    def __post_init__(self) -> None:
        check(self)
        if not self.shears:
            raise ConfigError("at least one shear is needed", key="simulate.shears")
        if self.shear_grid and self.camera.distortion in ("alternate", "tpv"):
            raise ConfigError(
                "distortions of the sky do not follow the pixel grid", key="simulate.shear_grid",
                got=self.camera.distortion, allowed="camera.distortion 'sip' or 'none'",
            )  # fmt: skip
        for shear in self.shears:
            if not math.hypot(*shear) < 0.5:
                raise ConfigError("out of range", key="simulate.shears", got=shear,
                                  allowed="|g| below 0.5")  # fmt: skip
        ra, dec = self.centre
        if not (math.isfinite(ra) and -85 <= dec <= 85):
            raise ConfigError("out of range", key="simulate.centre", got=self.centre,
                              allowed="declination from -85 to 85 degrees")  # fmt: skip

    @classmethod
    def small(cls, **changes: Any) -> SimulateConfig:
        """One field of two exposures with two small CCDs, for tests; `changes` come on top."""
        values: dict[str, Any] = {
            "fields": 1, "exposures": 2, "ccds": 2, "ccd_size": (512, 640),
            "tile_size": (900, 560), "shears": ((0.03, 0.0),),
            "stars": StarFieldConfig(density=10.0),
        }  # fmt: skip
        return cls(**(values | changes))


def _increasing(config: Any, name: str) -> None:
    low, high = getattr(config, name)
    if not low < high:
        raise ConfigError(
            "the first value must be smaller than the second",
            key=f"{type(config).__name__.removesuffix('Config').lower()}.{name}",
            got=(low, high),
        )
