"""An exposure made ready for detection: background subtracted, noise known, bad pixels mended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from purepipe._threads import in_threads
from purepipe.config.detect import DetectConfig
from purepipe.detect import background_nb
from purepipe.detect import weight_nb as nb
from purepipe.detect.background import Background, background_of, no_weight, read_only
from purepipe.detect.records_nb import BIG, Plane
from purepipe.errors import DataError
from purepipe.exposure import Exposure, WeightKind

Image = NDArray[np.float32]
CHUNK = 64  # rows whose background is held at a time

_KINDS = {
    WeightKind.MASK: nb.WEIGHT,
    WeightKind.RELATIVE: nb.WEIGHT,
    WeightKind.INVERSE_VARIANCE: nb.WEIGHT,
    WeightKind.VARIANCE: nb.VARIANCE,
    WeightKind.RMS: nb.RMS,
}


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image plane with its background and noise.

    Attributes
    ----------
    plane
        What the kernels see.
    background
        The background that was measured and, unless it was set by hand, subtracted.
    weight_factor
        Factor from the rms of the weight map to the measured rms; 0 without a weight map.
    pixel_scale
        Arcseconds; 1 when it is not known.
    """

    plane: Plane
    background: Background
    weight_factor: float
    pixel_scale: float = 1.0


@dataclass(frozen=True)
class _Treatment:
    """What is done to one image.

    `constant` is the background if it is set by hand; `mend` says what of a bad pixel is replaced:
    ``"all"``, ``"variance"`` or ``"nothing"``.
    """

    weight_type: str
    rescale: bool
    weight_threshold: float | None
    constant: float | None
    mend: str


def prepare_image(
    exposure: Exposure,
    config: DetectConfig,
    *,
    overwrite_input: bool = False,
    threads: int = 1,
) -> PreparedImage:
    """Background-subtracted image and variance map of an exposure, bad pixels interpolated.

    Pixels that are not finite count as bad; an exposure without weight map that has such pixels
    gets a weight map of ones and zeros. The background is held at a constant if that is asked for
    either of detection and measurement, then at the constant of the detection, as in SExtractor;
    whether the weights are scaled is decided by the measurement's setting. `overwrite_input` puts
    the results in the place of image and weight, where `Exposure.overwritable` allows it.

    Raises
    ------
    DataError
        No pixel of the image or of the weight map can be used.
    """
    sought, measured = _treatments(config)
    one = replace(sought, constant=_one_constant(config), rescale=measured.rescale)
    return _prepared(exposure, config, one, threads, overwrite=overwrite_input)


def prepare_images(
    exposure: Exposure,
    detection: Exposure | None,
    config: DetectConfig,
    *,
    overwrite_input: bool = False,
    threads: int = 1,
) -> tuple[PreparedImage, PreparedImage]:
    """The image on which objects are found and the one on which they are measured.

    They are one, unless there is a detection image or a kind of weights is set for the detection,
    be it the same one.
    A weight map that both share serves the measurement as it was scaled for the detection, and
    then no value of a bad pixel is replaced, as in SExtractor. Neither are the variances of the
    measurement if these are of the background and only variances are replaced. `overwrite_input`:
    see `prepare_image`.

    Raises
    ------
    DataError
        No pixel of an image or of its weight map can be used.
    """
    sought, measured = _treatments(config)
    apart = config.weight_type == "background" and sought.mend == "variance"
    if detection is None and config.detection_weight_type is None and not apart:
        prepared = prepare_image(exposure, config, overwrite_input=overwrite_input, threads=threads)
        return prepared, prepared
    if detection is None or detection.image is exposure.image:
        return _prepared_twice(exposure, detection or exposure, config, threads, overwrite_input)
    shared = config.detection_weight_type is None and (
        config.weight_type == "background" or detection.weight is exposure.weight is not None
    )
    if shared and not apart:
        sought = replace(sought, mend="nothing" if sought.mend == "nothing" else "variance")
        measured = replace(measured, weight_threshold=sought.weight_threshold)
    if shared and apart:
        # The original then holds one map for each image, both of the measured image's rms.
        second = _prepared(
            exposure, config, measured, threads, overwrite=overwrite_input, kept=_planes(detection)
        )
        first = _prepared(
            detection, config, sought, threads, sky=second.background, overwrite=overwrite_input
        )
        return first, second
    first = _prepared(
        detection, config, sought, threads, overwrite=overwrite_input, kept=_planes(exposure)
    )
    second = _prepared(exposure, config, measured, threads, overwrite=overwrite_input)
    if shared:  # the original holds one map, scaled and mended for the detection
        second = replace(second, plane=second.plane._replace(variance=first.plane.variance))
    return first, second


def _prepared_twice(
    exposure: Exposure, detection: Exposure, config: DetectConfig, threads: int, overwrite: bool
) -> tuple[PreparedImage, PreparedImage]:
    """One image with weights for the detection and others for the measurement.

    As in SExtractor, bad pixels keep their values, and only the detection's variances are
    replaced; the background that is subtracted is that of the detection, unless this has no
    weights at all and takes everything from the measurement.
    """
    sought, measured = _treatments(config)
    sought = replace(sought, constant=_one_constant(config))
    measured = replace(measured, constant=sought.constant)
    unweighted = sought.weight_type == "none" or (
        sought.weight_type == "map" and detection.weight is None
    )
    if unweighted:
        second = _prepared(exposure, config, measured, threads, overwrite=overwrite)
        plane = second.plane._replace(variance=no_weight(), weighted=False, weight_gain=False)
        return replace(second, plane=plane, weight_factor=0.0), second
    mend = "nothing" if sought.mend == "nothing" else "variance"
    first = _prepared(
        detection, config, replace(sought, mend=mend), threads, overwrite=overwrite,
        kept=_planes(exposure),
    )  # fmt: skip
    second = _prepared(
        exposure, config, measured, threads, sky=first.background, overwrite=overwrite
    )
    sky, found = first.background, first.plane
    plane = second.plane._replace(image=found.image, noise=found.noise, noise2=found.noise2)
    background = replace(second.background, level_map=sky.level_map, rms_map=sky.rms_map)
    return first, replace(second, plane=plane, background=background)


def _one_constant(config: DetectConfig) -> float | None:
    """The background of an image that is both sought on and measured, if it is set by hand."""
    sought, measured = _treatments(config)
    if sought.constant is None and measured.constant is None:
        return None
    value = config.detection_back_value
    return config.back_value if value is None else value


def _treatments(config: DetectConfig) -> tuple[_Treatment, _Treatment]:
    """What is done to the detection and to the measured image."""
    back_type = config.detection_back_type or config.back_type
    back_value = config.detection_back_value
    limit, second = config.detection_weight_threshold, config.weight_threshold
    if second is None and config.weight_type == "background" and not config.detection_weight_type:
        second = limit  # one word for both
    rescale = config.detection_rescale_weights
    mend = "variance" if not config.interpolate_image else "all"
    sought = _Treatment(
        weight_type=config.detection_weight_type or config.weight_type,
        rescale=config.rescale_weights if rescale is None else rescale,
        weight_threshold=config.weight_threshold if limit is None else limit,
        constant=None
        if back_type == "auto"
        else (config.back_value if back_value is None else back_value),
        mend=mend if config.interpolate else "nothing",
    )
    measured = _Treatment(
        weight_type=config.weight_type,
        rescale=config.rescale_weights,
        weight_threshold=second,
        constant=None if config.back_type == "auto" else config.back_value,
        mend="nothing",
    )
    return sought, measured


def _prepared(
    exposure: Exposure,
    config: DetectConfig,
    treatment: _Treatment,
    threads: int,
    *,
    sky: Background | None = None,
    overwrite: bool = False,
    kept: Sequence[Image] = (),
) -> PreparedImage:
    """One image with its weights; `sky` has the rms that weights it, if the map is of that kind.

    `overwrite` puts the results in the place of the exposure's arrays but those that are `kept`.
    """
    exposure.require_data()
    weight, kind = _weight(exposure, treatment.weight_type)
    given = treatment.weight_type == "map" and exposure.weight is not None
    bad_level = _bad_level(kind, treatment.weight_threshold if given else None)
    if not nb.has_good_pixel(exposure.image, weight, kind, np.float32(bad_level)):
        raise DataError(
            "no pixel has both a finite value and a usable weight", file=exposure.name,
            remedy="Check the weight map and weight_threshold.",
        )  # fmt: skip
    background = background_of(exposure.image, weight, kind, bad_level, config, threads)
    background = replace(background, constant=treatment.constant)
    factor, noise = _scaling(background, kind, treatment.rescale)
    own = weight is not exposure.weight
    image, variance, bad = _prepared_rows(
        exposure.image, background, (weight, kind, factor, bad_level), threads,
        _room(exposure.image, overwrite and exposure.overwritable("image"), (*kept, weight)),
        _room(
            weight, own or (overwrite and exposure.overwritable("weight")), (*kept, exposure.image)
        ),
    )  # fmt: skip
    weighted = kind != nb.NONE
    if treatment.weight_type == "background" and not weighted:
        variance = (sky or background).rms_image()
        np.square(variance, out=variance)
        weighted, bad_level = True, _bad_level(nb.RMS, treatment.weight_threshold)
        bad = np.count_nonzero(variance >= np.float32(bad_level), axis=1)
    if weighted and treatment.mend != "nothing":
        max_x, max_y = config.interpolate_max
        with_image = treatment.mend == "all"

        def mend(first: int, last: int) -> None:
            nb.interpolate_bad(
                image, variance, bad, np.float32(bad_level), max_x, max_y, with_image, first, last
            )

        in_threads(mend, bad.size, threads)
    plane = Plane(
        image=image,
        variance=variance,
        weighted=weighted,
        bad_level=np.float32(bad_level),
        noise=np.float32(noise),
        noise2=np.float32(np.float32(noise) * np.float32(noise)),
        gain=float(max(exposure.gain, 0.0)),
        weight_gain=bool(config.weight_gain and weighted),
    )
    return PreparedImage(
        plane,
        replace(background, rms=noise),
        _written_factor(background, kind),
        config.pixel_scale or (exposure.wcs.pixel_scale if exposure.wcs else 1.0),
    )


def _weight(exposure: Exposure, weight_type: str) -> tuple[Image, int]:
    """The weight map and what its numbers are."""
    if weight_type == "map" and exposure.weight is not None:
        if exposure.weight_kind is WeightKind.MASK:
            return read_only((exposure.weight != 0).astype(np.float32)), nb.WEIGHT
        return exposure.weight, _KINDS[exposure.weight_kind or WeightKind.RELATIVE]
    if all(np.isfinite(rows).all() for rows in _chunks(exposure.image)):
        return read_only(no_weight()), nb.NONE
    return read_only(np.isfinite(exposure.image).astype(np.float32)), nb.WEIGHT


def _planes(exposure: Exposure) -> tuple[Image, ...]:
    return (exposure.image,) if exposure.weight is None else (exposure.image, exposure.weight)


def _room(array: Image, overwrite: bool, kept: Sequence[Image]) -> Image:
    """The array, writable, for the results that replace it; a new one where it must stay."""
    view = array.view()
    if overwrite and not any(np.may_share_memory(array, other) for other in kept):
        try:
            view.flags.writeable = True
        except ValueError:  # the memory has become read-only
            pass
        else:
            return view
    return np.empty(array.shape, np.float32)


def _chunks(image: Image) -> Iterator[Image]:
    return (image[first : first + CHUNK] for first in range(0, image.shape[0], CHUNK))


def _bad_level(kind: int, limit: float | None) -> float:
    """Variance from which on a pixel is bad."""
    if limit is None or kind == nb.NONE:
        return float(BIG)
    if kind == nb.WEIGHT:
        return float(np.float32(1 / limit)) if limit > 0 else float(BIG)
    return limit if kind == nb.VARIANCE else limit * limit


def _scaling(background: Background, kind: int, rescale: bool) -> tuple[float, float]:
    """Factor on the rms of the weight map, and the global noise."""
    factor = background.weight_factor
    if factor == 0 or kind == nb.RMS:
        return 1.0, background.rms
    if rescale:
        return factor, background.rms
    return 1.0, float(np.float32(background.rms / factor))


def _written_factor(background: Background, kind: int) -> float:
    if kind == nb.NONE:
        return 0.0
    return 1.0 if kind == nb.RMS else background.weight_factor


def _prepared_rows(
    image: Image,
    background: Background,
    weights: tuple[Image, int, float, float],
    threads: int,
    out: Image,
    variance: Image,
) -> tuple[Image, Image, NDArray[np.int64]]:
    """Image minus background, variance, and the number of bad pixels of each row.

    `weights` is the map, its kind, the factor on its rms and the variance of bad pixels; `out` and
    `variance` are filled.
    """
    weight, kind, factor, bad_level = weights
    height, width = image.shape
    bad = np.zeros(height, np.int64)
    scale = np.float32(factor * factor)
    bent = background_nb.spline_curvature(background.level_map)

    def some_rows(first: int, last: int) -> None:
        level = np.empty((CHUNK, width), np.float32)
        if background.constant is not None:
            level[:] = background.constant
        for start in range(first, last, CHUNK):
            end = min(start + CHUNK, last)
            if background.constant is None:
                background_nb.spline_rows(
                    background.level_map, bent, background.mesh, start, end, level
                )
            nb.prepare_rows(
                image, level[: end - start], weight, kind, scale, np.float32(bad_level), start, out,
                variance, bad,
            )  # fmt: skip

    in_threads(some_rows, height, threads)
    return out, variance, bad
