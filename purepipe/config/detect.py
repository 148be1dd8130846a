"""Configuration of the detection step."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from purepipe.config.fields import check, option
from purepipe.errors import ConfigError, did_you_mean

# Rows of the 3 x 3 pyramid, full width 2 pixels, which SExtractor ships as its default.
PYRAMID = ((1.0, 2.0, 1.0), (2.0, 4.0, 2.0), (1.0, 2.0, 1.0))


@dataclass(frozen=True)
class DetectConfig:
    """How sources are found and measured; the keys stand for SExtractor's."""

    threshold: float = option(
        1.5, "Detection threshold.", unit="sigma, or ADU if absolute", minimum=0,
        original="sex:DETECT_THRESH",
    )  # fmt: skip
    analysis_threshold: float = option(
        1.5, "Threshold of the isophotal measurements and of the FWHM.",
        unit="sigma, or ADU if absolute", minimum=0, original="sex:ANALYSIS_THRESH",
    )  # fmt: skip
    threshold_zero_point: float | None = option(
        None, "Zero-point that makes the detection threshold a surface brightness.", unit="mag"
    )
    analysis_zero_point: float | None = option(
        None, "Zero-point that makes the analysis threshold a surface brightness.", unit="mag"
    )
    threshold_type: str = option(
        "relative", "Whether the detection threshold is a multiple of the noise or in ADU.",
        choices=("relative", "absolute"), original="sex:THRESH_TYPE",
    )  # fmt: skip
    analysis_threshold_type: str | None = option(
        None, "The same for the analysis threshold; None: as for the detection threshold.",
        choices=("relative", "absolute"), original="sex:THRESH_TYPE",
    )  # fmt: skip
    min_area: int = option(
        10, "Fewest pixels of a detection.", unit="pixel", minimum=1,
        original="sex:DETECT_MINAREA",
    )  # fmt: skip
    max_area: int = option(
        0, "Most pixels of a detection; 0 means no limit.", unit="pixel", minimum=0,
        original="sex:DETECT_MAXAREA",
    )  # fmt: skip
    filter: tuple[tuple[float, ...], ...] | None = option(
        PYRAMID, "Rows of the detection filter, or None for none.", original="sex:FILTER_NAME"
    )
    filter_normalised: bool = option(
        True, "Divide the filter by the sum of its absolute values.", original="sex:FILTER_NAME"
    )
    deblend_levels: int = option(
        32, "Number of deblending levels.", minimum=1, maximum=64,
        original="sex:DEBLEND_NTHRESH",
    )  # fmt: skip
    deblend_contrast: float = option(
        0.0005, "Smallest share of the flux that makes a branch an object.", minimum=0, maximum=1,
        original="sex:DEBLEND_MINCONT",
    )  # fmt: skip
    clean: bool = option(
        True, "Merge faint detections into the wings of bright neighbours.", original="sex:CLEAN"
    )
    clean_efficiency: float = option(
        1.0, "Steepness of the wings assumed by cleaning.", minimum=0.1, maximum=10,
        original="sex:CLEAN_PARAM",
    )  # fmt: skip
    mask_type: str = option(
        "correct", "What apertures see in place of neighbours: them, zero, or the mirrored pixel.",
        choices=("none", "blank", "correct"), original="sex:MASK_TYPE",
    )  # fmt: skip
    detection_weight_type: str | None = option(
        None, "As weight_type, for the detection image; None: the same, and shared if it is one.",
        choices=("map", "background", "none"), original="sex:WEIGHT_TYPE",
    )  # fmt: skip
    weight_type: str = option(
        "map", "Use the weight map of the exposure, the rms map of the background, or nothing.",
        choices=("map", "background", "none"), original="sex:WEIGHT_TYPE",
    )  # fmt: skip
    detection_rescale_weights: bool | None = option(
        None, "As rescale_weights, for the detection image; None: the same.",
        original="sex:RESCALE_WEIGHTS",
    )  # fmt: skip
    rescale_weights: bool = option(
        True, "Scale the weight map to the measured noise.", original="sex:RESCALE_WEIGHTS"
    )
    weight_gain: bool = option(
        True, "Scale the photon noise by the weight map.", original="sex:WEIGHT_GAIN"
    )
    detection_weight_threshold: float | None = option(
        None, "As weight_threshold, for the weights of the detection; None: the same.", minimum=0,
        original="sex:WEIGHT_THRESH",
    )  # fmt: skip
    weight_threshold: float | None = option(
        None, "Weights from here down (variance or rms: from here up) are bad; None: zero weight.",
        minimum=0, original="sex:WEIGHT_THRESH",
    )  # fmt: skip
    interpolate: bool = option(
        True, "Replace bad pixels by good ones to the left or above.", original="sex:INTERP_TYPE"
    )
    interpolate_image: bool = option(
        True, "Replace the values of bad pixels, not only their variances."
    )
    interpolate_max: tuple[int, int] = option(
        (16, 16), "Largest gap in x and y that is interpolated.", unit="pixel", minimum=0,
        original="sex:INTERP_MAXXLAG",
    )  # fmt: skip
    apertures: tuple[float, ...] = option(
        (5.0,), "Diameters of the circular apertures.", unit="pixel", minimum=0,
        original="sex:PHOT_APERTURES",
    )  # fmt: skip
    kron_factor: float = option(
        2.5, "Factor from the first-moment radius to the AUTO aperture.", minimum=0,
        original="sex:PHOT_AUTOPARAMS",
    )  # fmt: skip
    kron_min_radius: float = option(
        3.5, "Smallest AUTO aperture, in units of the object's axes.", minimum=0,
        original="sex:PHOT_AUTOPARAMS",
    )  # fmt: skip
    petro_factor: float = option(
        2.0, "Factor from the Petrosian radius to the PETRO aperture.", minimum=0,
        original="sex:PHOT_PETROPARAMS",
    )  # fmt: skip
    petro_min_radius: float = option(
        3.5, "Smallest PETRO aperture, in units of the object's axes.", minimum=0,
        original="sex:PHOT_PETROPARAMS",
    )  # fmt: skip
    auto_apertures: tuple[float, float] = option(
        (0.0, 0.0), "Smallest diameters for estimating and for measuring AUTO and PETRO.",
        unit="pixel", minimum=0, original="sex:PHOT_AUTOAPERS",
    )  # fmt: skip
    flux_fraction: tuple[float, ...] = option(
        (0.5,), "Fractions of the flux whose radii FLUX_RADIUS gives.", minimum=0, maximum=1,
        original="sex:PHOT_FLUXFRAC",
    )  # fmt: skip
    flag_type: tuple[str, ...] = option(
        ("or",),
        "How the flags of an object's pixels combine, one word per flag map; the rest: or.",
        choices=("or", "and", "min", "max", "most"), original="sex:FLAG_TYPE",
    )  # fmt: skip
    detection_back_type: str | None = option(
        None, "As back_type, for the detection image; None: the same.", choices=("auto", "manual"),
        original="sex:BACK_TYPE",
    )  # fmt: skip
    back_type: str = option(
        "auto", "Subtract the measured background, or a constant.", choices=("auto", "manual"),
        original="sex:BACK_TYPE",
    )  # fmt: skip
    detection_back_value: float | None = option(
        None, "The constant background of the detection image; None: the same.", unit="ADU",
        original="sex:BACK_VALUE",
    )  # fmt: skip
    back_value: float = option(
        0.0, "The constant background.", unit="ADU", original="sex:BACK_VALUE"
    )
    back_size: tuple[int, int] = option(
        (64, 64), "Width and height of the background meshes.", unit="pixel", minimum=1,
        original="sex:BACK_SIZE",
    )  # fmt: skip
    back_filter_size: tuple[int, int] = option(
        (3, 3), "Width and height of the median filter of the background map.", unit="mesh",
        minimum=1, maximum=11, original="sex:BACK_FILTERSIZE",
    )  # fmt: skip
    back_filter_threshold: float = option(
        0.0, "Smallest change for which the median filter acts.", unit="ADU", minimum=0,
        original="sex:BACK_FILTTHRESH",
    )  # fmt: skip
    back_photometry: str = option(
        "global", "Photometry above the background, or above its local value around each object.",
        choices=("global", "local"), original="sex:BACKPHOTO_TYPE",
    )  # fmt: skip
    back_thickness: int = option(
        24, "Thickness of the frame in which the local background is measured.", unit="pixel",
        minimum=1, maximum=256, original="sex:BACKPHOTO_THICK",
    )  # fmt: skip
    seeing: float = option(
        1.2, "Full width at half maximum of stars, for CLASS_STAR.", unit="arcsec", minimum=1e-10,
        original="sex:SEEING_FWHM",
    )  # fmt: skip
    assoc_params: tuple[int, ...] = option(
        (2, 3, 4), "Columns of the associated catalogue that hold x, y and, if given, the weight.",
        minimum=1, original="sex:ASSOC_PARAMS",
    )  # fmt: skip
    assoc_data: tuple[int, ...] = option(
        (2, 3, 4), "Columns of the associated catalogue that VECTOR_ASSOC copies; 0: all.",
        minimum=0, original="sex:ASSOC_DATA",
    )  # fmt: skip
    assoc_coordinates: str = option(
        "pixel", "Whether its positions are pixels (from 1) or world coordinates (degrees).",
        choices=("pixel", "world"), original="sex:ASSOCCOORD_TYPE",
    )  # fmt: skip
    assoc_radius: float = option(
        2.0, "Largest distance of an associated entry.", unit="pixel", minimum=0,
        original="sex:ASSOC_RADIUS",
    )  # fmt: skip
    assoc_type: str = option(
        "nearest", "Which of several associated entries counts, or how they are combined.",
        choices=("first", "nearest", "mean", "mag_mean", "sum", "mag_sum", "min", "max"),
        original="sex:ASSOC_TYPE",
    )  # fmt: skip
    assoc_select: str = option(
        "matched", "Which objects are kept: all, those associated, or the others.",
        choices=("all", "matched", "-matched"), original="sex:ASSOCSELEC_TYPE",
    )  # fmt: skip
    pixel_scale: float = option(
        0.0, "Pixel scale; 0 takes it from the world coordinates.", unit="arcsec", minimum=0,
        original="sex:PIXEL_SCALE",
    )  # fmt: skip
    vignet: tuple[int, int] = option(
        (51, 51), "Width and height of VIGNET.", unit="pixel", minimum=1, original="param:VIGNET"
    )
    columns: tuple[str, ...] = option(
        (), "Columns of the catalogue; none named: those of ShapePipe.",
        original="sex:PARAMETERS_NAME",
    )  # fmt: skip
    buffer_lines: int = option(
        1024, "Lines of the image that SExtractor holds at a time; sets the order of the output.",
        unit="pixel", minimum=8, original="sex:MEMORY_BUFSIZE",
    )  # fmt: skip
    buffer_objects: int = option(
        3000, "Objects that SExtractor holds at a time; sets the order of the output.", minimum=16,
        original="sex:MEMORY_OBJSTACK",
    )  # fmt: skip
    buffer_pixels: int | None = option(
        None, "Pixels of unfinished objects that SExtractor holds at a time; more cut the largest "
        "(FLAGS 128). None: no limit.", minimum=1000, original="sex:MEMORY_PIXSTACK",
    )  # fmt: skip
    engine: str = option(
        "exact", "Segmentation as SExtractor does it, to the bit, or by the library sep.",
        choices=("exact", "sep"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
        rows = self.filter
        if rows is not None and (not rows or not rows[0] or len({len(row) for row in rows}) > 1):
            raise ConfigError(
                "the rows of the filter must have the same length", key="detect.filter", got=rows
            )
        if min(self.vignet) < 1 or not self.apertures:
            raise ConfigError("at least one aperture is needed", key="detect.apertures", got="none")

    @classmethod
    def exposure(cls, **changes: Any) -> DetectConfig:
        """For single exposures: high threshold, background measured and subtracted."""
        return _preset(cls, {"threshold": 2.0, "deblend_contrast": 0.001}, changes)

    @classmethod
    def tile(cls, **changes: Any) -> DetectConfig:
        """For background-subtracted stacks: low threshold, background held at zero."""
        return _preset(cls, {"back_type": "manual", "back_value": 0.0}, changes)


def _preset(
    cls: type[DetectConfig], values: dict[str, Any], changes: dict[str, Any]
) -> DetectConfig:
    names = [field.name for field in fields(cls)]
    for name in changes:
        if name not in names:
            raise ConfigError("unknown key", key=f"detect.{name}", remedy=did_you_mean(name, names))
    return cls(**{**values, **changes})
