"""Configuration of a survey run: where the files are, and the steps' own configurations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from purepipe.config.detect import DetectConfig
from purepipe.config.fields import check, option
from purepipe.config.mask import MaskConfig
from purepipe.config.metadetect import MetadetectConfig
from purepipe.config.psf import PSFConfig, PSFInterpolationConfig
from purepipe.config.select import StarConfig
from purepipe.config.shapes import ShapeConfig, SpreadConfig
from purepipe.errors import ConfigError

_KINDS = ("mask", "relative", "inverse variance", "variance", "rms")


@dataclass(frozen=True)
class EpochConfig:
    """Which CCDs saw an object."""

    history_pattern: str = option(
        r"(?<!\d)(\d{7})p?\.fits",
        "Regular expression whose first group is the exposure number in a tile's HISTORY card.",
    )
    ccd_size: tuple[int, int, int, int] | None = option(
        None,
        "Exposed pixels of every CCD as x0, x1, y0, y1, 1-based, ends included; without it, the"
        " DATASEC card, or the whole image.",
        unit="pixel", minimum=1, original="shapepipe:CCD_SIZE",
    )  # fmt: skip
    edges: str = option(
        "pixel",
        "Edges of a CCD: 'pixel' counts every exposed pixel in full; 'shapepipe' compares 0-based"
        " positions with the 1-based numbers, as the original does.",
        choices=("pixel", "shapepipe"),
    )

    def __post_init__(self) -> None:
        check(self)
        try:
            groups = re.compile(self.history_pattern).groups
        except re.error as error:
            raise ConfigError(
                f"not a regular expression: {error}", key="epoch.history_pattern",
                got=self.history_pattern,
            ) from error  # fmt: skip
        if groups < 1:
            raise ConfigError(
                "the expression needs a group for the exposure number", key="epoch.history_pattern",
                got=self.history_pattern, remedy=r"Put the number in brackets, as in (\d{7})p.",
            )  # fmt: skip
        if self.ccd_size is not None:
            x0, x1, y0, y1 = self.ccd_size
            if x0 > x1 or y0 > y1:
                raise ConfigError(
                    "the first pixel lies behind the last", key="epoch.ccd_size",
                    got=self.ccd_size, allowed="x0, x1, y0, y1 with x0 <= x1 and y0 <= y1",
                )  # fmt: skip


@dataclass(frozen=True)
class InputConfig:
    """The files of a survey.

    A pattern holds ``{number}`` where the exposure or tile number stands; relative paths start
    at the folder of the configuration file.
    """

    image: str = option(
        "exposures/image-{number}.fits", "Exposures: multi-extension FITS files, one HDU per CCD."
    )
    weight: str = option("exposures/weight-{number}.fits", "Weight maps of the exposures.")
    flag: str = option(
        "exposures/flag-{number}.fits", "Flag maps of the exposures; an empty text for none."
    )
    tile_image: str = option("tiles/CFIS_image-{number}.fits", "Tiles: stacked images.")
    tile_weight: str = option("tiles/CFIS_weight-{number}.fits", "Weight maps of the tiles.")
    tile_flag: str = option("", "Flag maps of the tiles; an empty text for none.")
    stars: str = option(
        "stars.fits", "Star catalogue (ra, dec, mag) for the masks; an empty text for none."
    )
    exposure_number: str = option(r"\d{7}", "Regular expression of an exposure number.")
    tile_number: str = option(r"\d{3}-\d{3}", "Regular expression of a tile number.")
    weight_kind: str = option(
        "inverse variance", "What the numbers of the exposures' weight maps mean.", choices=_KINDS
    )
    tile_weight_kind: str = option(
        "inverse variance", "What the numbers of the tiles' weight maps mean.", choices=_KINDS
    )
    zero_point: float = option(
        30.0, "Magnitude of one ADU on the tiles, and of the exposures after FSCALE.", unit="mag"
    )
    gain_keys: tuple[str, ...] = option(
        ("GAIN",), "Header keywords of the gain (electrons per ADU), the first found counts."
    )
    saturation_keys: tuple[str, ...] = option(
        ("SATURATE",), "Header keywords of the saturation level (ADU)."
    )
    flux_scale_keys: tuple[str, ...] = option(
        ("FSCALE", "FLXSCALE"), "Header keywords of the factor to the flux scale of the tiles."
    )

    def __post_init__(self) -> None:
        check(self)
        for name in ("image", "weight", "flag", "tile_image", "tile_weight", "tile_flag"):
            pattern = getattr(self, name)
            optional = name in ("flag", "tile_flag")
            if pattern.count("{number}") != 1 and not (optional and not pattern):
                raise ConfigError(
                    "the pattern must hold {number} once", key=f"inputs.{name}", got=repr(pattern)
                )
        for name in ("exposure_number", "tile_number"):
            try:
                re.compile(getattr(self, name))
            except re.error as error:
                raise ConfigError(
                    f"not a regular expression: {error}", key=f"inputs.{name}"
                ) from error


@dataclass(frozen=True)
class CCDConfig:
    """The steps on one CCD of one exposure."""

    mask: MaskConfig = option(MaskConfig, "Which pixels are masked.")
    detect: DetectConfig = option(DetectConfig.exposure, "How sources are found and measured.")
    stars: StarConfig = option(StarConfig, "How stars are selected.")
    # Crowded and deblended stars are judged by the selection.
    psf: PSFConfig = option(lambda: PSFConfig(flag_mask=0xFC), "How the PSF model is fitted.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class TileConfig:
    """The steps on one tile."""

    mask: MaskConfig = option(lambda: MaskConfig(border_width=0), "Which pixels are masked.")
    detect: DetectConfig = option(DetectConfig.tile, "How sources are found and measured.")
    epochs: EpochConfig = option(EpochConfig, "Which CCDs saw an object.")
    psf: PSFInterpolationConfig = option(
        PSFInterpolationConfig, "Which PSF models are good enough."
    )
    spread: SpreadConfig = option(SpreadConfig, "Star-galaxy separation by the spread model.")
    shapes: ShapeConfig = option(ShapeConfig, "How shapes are measured.")
    metadetect: MetadetectConfig = option(
        MetadetectConfig, "Detection and measurement on sheared images of cells."
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ShearConfig:
    """Which objects enter the mean shear; all cuts apply to each metacalibration type alike."""

    min_s2n: float = option(10.0, "Smallest signal-to-noise ratio.", minimum=0)
    max_s2n: float | None = option(
        None, "Largest signal-to-noise ratio; no limit when not given.", minimum=0
    )
    min_size_ratio: float = option(
        0.5, "Smallest half-light radius, in units of that of the reconvolution PSF.", minimum=0
    )
    unmasked: bool = option(True, "Leave out objects that touch a masked pixel of the tile.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RunConfig:
    """How a run goes about its work; nothing here changes a result."""

    timeout: float | None = option(
        None, "Longest time of one unit; no limit when not given.", unit="s", minimum=0.1,
        original="shapepipe:TIMEOUT",
    )  # fmt: skip
    max_failed_units: float = option(
        0.5, "Share of the units of one kind that may fail before the run counts as failed.",
        minimum=0, maximum=1,
    )  # fmt: skip
    max_failed_objects: float = option(
        0.5, "Share of its objects that a step may lose before the run counts as failed.",
        minimum=0, maximum=1,
    )  # fmt: skip
    max_merged_objects: int = option(
        5_000_000, "Most objects whose tiles are joined in one catalogue.",
        minimum=0,
    )  # fmt: skip
    logs: str = option(
        "all", "Which units leave a log file.", choices=("all", "failed")
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SurveyConfig:
    """One run over a survey."""

    seed: int = option(0, "Seed of all random numbers of the run.")
    out: Path = option(Path("purepipe-run"), "Folder of the run: ledger, products, report.")
    block_size: int = option(
        500, "Objects per unit of the shape measurement; has no effect on the results.", minimum=1
    )
    inputs: InputConfig = option(InputConfig, "The files of the survey.")
    ccd: CCDConfig = option(CCDConfig, "The steps on one CCD.")
    tile: TileConfig = option(TileConfig, "The steps on one tile.")
    shear: ShearConfig = option(ShearConfig, "Which objects enter the mean shear.")
    products: tuple[str, ...] = option(
        (),
        "Further products of every tile under ShapePipe's names: 'vignets' (stamps of image,"
        " weight, flag and background on every exposure, and of the tile's weight), 'psf' (the PSF"
        " of every epoch with its shape), 'ngmix' (a table per metacalibration type), 'spread'"
        " (spread model alone), 'v1' (the final catalogue as make_cat writes it).",
        choices=("vignets", "psf", "ngmix", "spread", "v1"),
    )  # fmt: skip
    run: RunConfig = option(RunConfig, "How the run goes about its work.")

    def __post_init__(self) -> None:
        check(self)
