"""Every flag bit of every catalogue: number, name, one sentence.

A flag starts as NOT_ATTEMPTED and only a success clears it, so that the absence of a measurement
never looks like a good one.
"""

from __future__ import annotations

from enum import IntFlag

NOT_ATTEMPTED_BIT = 1 << 30


class DocumentedFlag(IntFlag):
    """An IntFlag whose members carry a sentence in ``.meaning``."""

    meaning: str

    def __new__(cls, value: int, meaning: str = "") -> DocumentedFlag:
        """Make a member from its bit and its sentence."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class MaskFlag(DocumentedFlag):
    """Mask planes of a CCD or a tile; the first eight bits follow ShapePipe's convention."""

    BAD_WEIGHT = 1, "The weight is zero, negative, not finite or out of the configured range."
    HALO = 2, "Inside the reflection halo of a bright star."
    BORDER = 4, "Within the configured border of the image."
    EXTERNAL = 8, "Flagged by the external map in a bit that this list does not name."
    MESSIER = 16, "Inside a Messier object."
    NGC = 32, "Inside an NGC or IC object."
    COSMIC_RAY = 64, "Hit by a cosmic ray, according to the external map."
    SPIKE = 128, "Inside the diffraction spikes or the core of a bright star."
    MISSING = 256, "The image pixel is not finite, or the detector delivered no data."
    SATURATED = 512, "The image pixel reaches the saturation level."
    OUTSIDE = 1024, "A stamp pixel beyond the edge of the image."


class DetectFlag(DocumentedFlag):
    """SExtractor's FLAGS."""

    CROWDED = 1, "More than a tenth of the AUTO aperture is unusable or belongs to a neighbour."
    BLENDED = 2, "The object was deblended from another one."
    SATURATED = 4, "At least one pixel is at the saturation level."
    TRUNCATED = 8, "A pixel of the object lies on the image border."
    APERTURE_CUT = 16, "An aperture is cut by the image border."
    ISOPHOTE_CUT = 32, "The footprint is incomplete."
    DEBLEND_OVERFLOW = 64, "Deblending gave up: too many branches."
    MEMORY_OVERFLOW = 128, "The detection buffer was full."
    NOT_ATTEMPTED = NOT_ATTEMPTED_BIT, "Not measured."


class StarFlag(DocumentedFlag):
    """Why a detection is not in the star sample (column FLAGS_STAR)."""

    FAINT = 1, "Signal-to-noise ratio below the limit, or magnitude too faint."
    BRIGHT = 2, "Brighter than the limit, or saturated."
    SIZE = 4, "Size off the stellar locus."
    BLENDED = 8, "SExtractor FLAGS set: truncated, or crowded or blended by bright neighbours."
    MASKED = 16, "Touches a masked pixel."
    SHAPE = 32, "Too elongated for a star."
    BAD_VALUE = 64, "A quantity needed for the selection is not finite."
    RESERVED = 128, "A star kept out of the PSF fit for validation."
    NOT_ATTEMPTED = NOT_ATTEMPTED_BIT, "No selection was made."


class PSFFlag(DocumentedFlag):
    """PSFEx's FLAGS_PSF (first eight bits) and why a PSF is missing at an object (the rest)."""

    CHI2 = 1, "Rejected by the chi-square clipping of the fit."
    DETECT_FLAGS = 2, "SExtractor FLAGS meet SAMPLE_FLAGMASK."
    WEIGHT_FLAGS = 4, "FLAGS_WEIGHT meet SAMPLE_WFLAGMASK."
    IMAGE_FLAGS = 8, "IMAFLAGS_ISO meet SAMPLE_IMAFLAGMASK."
    FAINT = 16, "SNR_WIN below SAMPLE_MINSN."
    SIZE = 32, "Twice FLUX_RADIUS outside the allowed FWHM range."
    ELLIPTICITY = 64, "Ellipticity above SAMPLE_MAXELLIP."
    BAD_PIXELS = 128, "Too many bad pixels in the vignette."
    NO_MODEL = 256, "No PSF model exists for this CCD."
    TOO_FEW_STARS = 512, "The model was accepted by fewer stars than required."
    BAD_CHI2 = 1024, "The chi-square of the model exceeds the limit."
    EXTRAPOLATED = 2048, "The position lies outside the range of the fitted stars."
    BAD_MODEL = 4096, "The model image at this position is not finite or its sum is not positive."
    MOMENTS = 8192, "The adaptive moments of the model image did not converge."
    BAD_VALUE = 16384, "A quantity needed for the fit is not finite, or the flux is not positive."
    NOT_ATTEMPTED = NOT_ATTEMPTED_BIT, "No PSF was asked for."


class MomentsFlag(DocumentedFlag):
    """Why the adaptive moments of a stamp failed."""

    NOT_FINITE = 1, "A pixel with positive weight is not finite."
    NO_FLUX = 2, "The weighted flux is not positive."
    COLLAPSED = 4, "The weight function shrank below the size of a pixel."
    TOO_LARGE = 8, "A second moment exceeds the limit."
    DRIFTED = 16, "The centroid moved too far from its guess."
    MAX_ITERATIONS = 32, "No convergence within the allowed iterations."
    NOT_ATTEMPTED = NOT_ATTEMPTED_BIT, "Not measured."


class SpreadFlag(DocumentedFlag):
    """Why an object has no spread model."""

    NO_PSF = 1, "No PSF size at this object."
    NO_FLUX = 2, "The PSF-weighted flux is not positive."
    NO_ERROR = 4, "The variance is not positive, or no pixel has a positive weight."
    NOT_FINITE = 8, "A pixel with positive weight is not finite."
    NOT_ATTEMPTED = NOT_ATTEMPTED_BIT, "Not measured."


class EpochFlag(DocumentedFlag):
    """Why an epoch of an object was not used in the shape fit."""

    OFF_IMAGE = 1, "The stamp's centre is off the usable area of the CCD."
    NO_PSF = 2, "No usable PSF model at this position."
    MASKED = 4, "More than the allowed fraction of the stamp is masked."
    NO_DATA = 8, "The stamp holds no pixel with positive weight."
    MISSING_FILE = 32, "The exposure named by the tile is not in the survey."
    FAILED_CCD = 64, "The processing of this CCD failed."
    NOT_ATTEMPTED = NOT_ATTEMPTED_BIT, "Not looked at."


class ShapeFlag(DocumentedFlag):
    """Flags of a shape measurement, per metacalibration type and combined."""

    SINGULAR = 1, "The normal matrix of the fit is singular."
    MAX_ITERATIONS = 2, "The fit did not converge within the allowed iterations."
    BAD_START = 4, "The likelihood cannot be evaluated at the start."
    BAD_RESULT = 8, "A fitted parameter or its covariance is not finite, or |g| >= 1."
    NO_EPOCH = 16, "No usable epoch."
    BAD_INPUT = 32, "The stamps, PSFs or Jacobians of every epoch are unusable."
    BAD_PSF = 64, "The Gaussian fit to the original PSF failed."
    FALLBACK = 256, "Measured by fixed-weight moments because the fit failed."
    NOT_ATTEMPTED = NOT_ATTEMPTED_BIT, "Not measured."


class MetadetectFlag(DocumentedFlag):
    """Why a detection of metadetection has no weight, or what a cell lacks."""

    NO_SHAPE = 1, "The flux or the size under the weight is not positive."
    MASKED = 2, "Nearer to a pixel that is bad in all epochs than allowed."
    NO_EPOCH = 4, "No epoch covers the cell with enough good pixels, a PSF and a noise level."
    BEYOND = 8, "No exposure reaches the cell, and none of the tile's is missing: nothing to find."
    NOT_ATTEMPTED = NOT_ATTEMPTED_BIT, "Not measured."


def decode(flag_class: type[DocumentedFlag], value: int) -> list[str]:
    """Names of the bits set in `value`, lowest first; unknown bits as ``BIT_n``."""
    value = int(value)
    names = [member.name or "" for member in flag_class if value & member.value]
    known = 0
    for member in flag_class:
        known |= member.value
    rest = value & ~known
    names += [f"BIT_{bit}" for bit in range(rest.bit_length()) if rest >> bit & 1]
    return names


def table(flag_class: type[DocumentedFlag]) -> list[tuple[int, str, str]]:
    """Rows (value, name, sentence) of a flag class, for documentation and headers."""
    return [(member.value, member.name or "", member.meaning) for member in flag_class]
