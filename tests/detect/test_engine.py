"""Thresholds, weights, backgrounds, filters, flag maps and check-images beside the original."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from purepipe.config import DetectConfig
from purepipe.detect import extract, pixel_flags_nb
from purepipe.detect.checks import CHECKS
from purepipe.detect.pixel_flags import FLAG_COLUMNS, pixel_flag_columns
from purepipe.errors import ConfigError, DataError
from purepipe.exposure import Exposure
from purepipe.wcs import WCS

from .cases import ALL_COLUMNS, GAIN, SATURATION, ZERO_POINT, exposure_of
from .compare import assert_same
from .fields import header, make_field
from .original import run_original
from .sextractor import EXPOSURE, PROGRAM
from .test_finding_kernels import quick

live = [
    pytest.mark.binaries,
    pytest.mark.skipif(PROGRAM is None, reason="source-extractor is not installed"),
]
COLUMNS = tuple(name for name in ALL_COLUMNS if name != "VIGNET")
FIELD = make_field((400, 320), 90, seed=21, clusters=5)
OTHER = make_field((400, 320), 90, seed=21, clusters=5, noise=9.0, sky=100.0)
WEIGHT2 = make_field((400, 320), 90, seed=99).weight
IMAGES = {
    "image": FIELD.image, "weight": FIELD.weight, "flag": FIELD.flags, "other": OTHER.image,
    "weight2": WEIGHT2,
}  # fmt: skip
ONE = exposure_of(FIELD)
BARE = ONE.replace(weight=None)
SAME = ONE.replace(weight=WEIGHT2)  # the same image with other weights
TWO = exposure_of(OTHER).replace(weight=WEIGHT2)
SHARED = ONE.replace(image=OTHER.image)  # another image with the same weights
LIMIT, OTHER_LIMIT = 13.0, 9.5  # amid the rms of the backgrounds of the two images


def compare(folder, keys, changes, exposure=ONE, detection=None, **options: Any):
    dual = detection is not None and detection.image is not exposure.image
    if dual:
        options["command"] = "other.fits,image.fits"
    original, _ = run_original(folder, IMAGES, {**EXPOSURE, **keys}, COLUMNS, **options)
    config = DetectConfig.exposure(columns=COLUMNS, **changes)
    ours = extract(exposure, config, detection=detection).table
    assert_same(ours, original, COLUMNS, exact=True)
    return len(ours)


# original keys, purepipe's configuration, exposure
SINGLE: dict[str, tuple[dict[str, Any], dict[str, Any], Exposure]] = {
    "surface brightness": (
        {"DETECT_THRESH": "24.5,30", "ANALYSIS_THRESH": "24,30"},
        {"threshold": 24.5, "threshold_zero_point": 30.0, "analysis_threshold": 24.0,
         "analysis_zero_point": 30.0}, ONE,
    ),
    "surface brightness, no weights": (
        {"DETECT_THRESH": "23.5,30", "ANALYSIS_THRESH": "23,30", "WEIGHT_TYPE": "NONE"},
        {"threshold": 23.5, "threshold_zero_point": 30.0, "analysis_threshold": 23.0,
         "analysis_zero_point": 30.0}, BARE,
    ),
    "surface brightness, absolute": (
        {"THRESH_TYPE": "ABSOLUTE", "DETECT_THRESH": "23.5,30", "ANALYSIS_THRESH": "24,30"},
        {"threshold_type": "absolute", "threshold": 23.5, "threshold_zero_point": 30.0,
         "analysis_threshold": 24.0, "analysis_zero_point": 30.0}, ONE,
    ),
    "absolute, relative": (
        {"THRESH_TYPE": "ABSOLUTE,RELATIVE", "DETECT_THRESH": 25},
        {"threshold_type": "absolute", "threshold": 25.0, "analysis_threshold_type": "relative"},
        ONE,
    ),
    "relative, absolute": (
        {"THRESH_TYPE": "RELATIVE,ABSOLUTE", "ANALYSIS_THRESH": 20},
        {"analysis_threshold": 20.0, "analysis_threshold_type": "absolute"}, ONE,
    ),
    "low threshold": ({"DETECT_THRESH": 0.5}, {"threshold": 0.5}, ONE),
    "single pixels": ({"DETECT_MINAREA": 1}, {"min_area": 1}, ONE),
    "no deblending": ({"DEBLEND_NTHRESH": 1}, {"deblend_levels": 1}, ONE),
    "every branch": (
        {"DEBLEND_NTHRESH": 64, "DEBLEND_MINCONT": 0},
        {"deblend_levels": 64, "deblend_contrast": 0.0}, ONE,
    ),
    "softest cleaning": ({"CLEAN_PARAM": 10}, {"clean_efficiency": 10.0}, ONE),
    "hardest cleaning": ({"CLEAN_PARAM": 0.1}, {"clean_efficiency": 0.1}, ONE),
    "few pixels held": ({"MEMORY_PIXSTACK": 1000}, {"buffer_pixels": 1000}, ONE),
    "few objects held": ({"MEMORY_OBJSTACK": 16}, {"buffer_objects": 16}, ONE),
    "rms of the background": (
        {"WEIGHT_TYPE": "BACKGROUND"}, {"weight_type": "background"}, ONE,
    ),
    "rms of the background, limit": (
        {"WEIGHT_TYPE": "BACKGROUND", "WEIGHT_THRESH": LIMIT},
        {"weight_type": "background", "weight_threshold": LIMIT}, ONE,
    ),
    "rms of the background, all too large": (
        {"WEIGHT_TYPE": "BACKGROUND", "WEIGHT_THRESH": 0},
        {"weight_type": "background", "weight_threshold": 0.0}, ONE,
    ),
    "rms of the background, limits, variance mended": (
        {"WEIGHT_TYPE": "BACKGROUND", "WEIGHT_THRESH": LIMIT, "INTERP_TYPE": "VAR_ONLY,VAR_ONLY"},
        {"weight_type": "background", "weight_threshold": LIMIT, "interpolate_image": False}, ONE,
    ),
    "one map, two words": (
        {"WEIGHT_TYPE": "MAP_WEIGHT,MAP_WEIGHT"}, {"detection_weight_type": "map"}, ONE,
    ),
    "constant of either": (
        {"BACK_TYPE": "AUTO,MANUAL", "BACK_VALUE": "610,590"},
        {"detection_back_type": "auto", "back_type": "manual", "detection_back_value": 610.0,
         "back_value": 590.0}, ONE,
    ),
    "background filter": (
        {"BACK_FILTTHRESH": 3.0, "BACK_FILTERSIZE": "2,9"},
        {"back_filter_threshold": 3.0, "back_filter_size": (2, 9)}, ONE,
    ),
    "one mesh": ({"BACK_SIZE": 5000}, {"back_size": (5000, 5000)}, ONE),
    "one map, scaled for the measurement alone": (
        {"RESCALE_WEIGHTS": "N,Y"},
        {"detection_rescale_weights": False, "rescale_weights": True}, ONE,
    ),
    "one map, scaled for the detection alone": (
        {"RESCALE_WEIGHTS": "Y,N"},
        {"detection_rescale_weights": True, "rescale_weights": False}, ONE,
    ),
    "short gaps": (
        {"INTERP_MAXXLAG": 2, "INTERP_MAXYLAG": 1}, {"interpolate_max": (2, 1)}, ONE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(name, marks=live) for name in SINGLE])
def test_one_image_to_the_bit(name, tmp_path):
    keys, changes, exposure = SINGLE[name]
    assert compare(tmp_path, keys, changes, exposure) > 40


TWICE = {"WEIGHT_IMAGE": "weight2.fits,weight.fits"}
MAPS = {**TWICE, "WEIGHT_TYPE": "MAP_WEIGHT,MAP_WEIGHT"}
# original keys, purepipe's configuration, exposure, detection
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any], Exposure, Exposure | None]] = {
    "two weights": (TWICE, {}, ONE, SAME),
    "two weights, variance mended": (
        {**TWICE, "INTERP_TYPE": "VAR_ONLY"}, {"interpolate_image": False}, ONE, SAME,
    ),
    "two weights, nothing mended": (
        {**TWICE, "INTERP_TYPE": "NONE"}, {"interpolate": False}, ONE, SAME,
    ),
    "two weights and limits": (
        {**TWICE, "WEIGHT_THRESH": "0.008,0.005"},
        {"detection_weight_threshold": 0.008, "weight_threshold": 0.005}, ONE, SAME,
    ),
    "two weights, limit of the detection": (
        {**TWICE, "WEIGHT_THRESH": 0.008}, {"detection_weight_threshold": 0.008}, ONE, SAME,
    ),
    "map and nothing, limit": (
        {"WEIGHT_TYPE": "MAP_WEIGHT,NONE", "WEIGHT_THRESH": 0.008},
        {"detection_weight_threshold": 0.008}, BARE, ONE,
    ),
    "nothing and map, limit of the detection": (
        {"WEIGHT_TYPE": "NONE,MAP_WEIGHT", "WEIGHT_THRESH": 0.008},
        {"detection_weight_type": "none", "detection_weight_threshold": 0.008}, ONE, None,
    ),
    "map and nothing": ({"WEIGHT_TYPE": "MAP_WEIGHT,NONE"}, {}, BARE, ONE),
    "nothing and map": (
        {"WEIGHT_TYPE": "NONE,MAP_WEIGHT"}, {"detection_weight_type": "none"}, ONE, None,
    ),
    "background and map": (
        {"WEIGHT_TYPE": "BACKGROUND,MAP_WEIGHT"}, {"detection_weight_type": "background"}, ONE,
        None,
    ),
    "map and background": (
        {"WEIGHT_TYPE": "MAP_WEIGHT,BACKGROUND"},
        {"detection_weight_type": "map", "weight_type": "background"}, ONE, None,
    ),
    "two weights, constant": (
        {**TWICE, "BACK_TYPE": "MANUAL,AUTO", "BACK_VALUE": "610,590"},
        {"detection_back_type": "manual", "detection_back_value": 610.0, "back_value": 590.0},
        ONE, SAME,
    ),
    "two images": (MAPS, {}, ONE, TWO),
    "two images, one word": (TWICE, {}, ONE, TWO),
    "two images, shared weights": ({}, {}, ONE, SHARED),
    "two images, shared weights, not mended": (
        {"INTERP_TYPE": "NONE"}, {"interpolate": False}, ONE, SHARED,
    ),
    "two images, shared weights, limits": (
        {"WEIGHT_THRESH": "0.008,0.005"},
        {"detection_weight_threshold": 0.008, "weight_threshold": 0.005}, ONE, SHARED,
    ),
    "two images, one map": (
        {"WEIGHT_TYPE": "MAP_WEIGHT,MAP_WEIGHT"}, {"detection_weight_type": "map"}, ONE, SHARED,
    ),
    "two images, background": (
        {"WEIGHT_TYPE": "BACKGROUND"}, {"weight_type": "background"}, ONE, TWO,
    ),
    "two images, background, limits": (
        {"WEIGHT_TYPE": "BACKGROUND", "WEIGHT_THRESH": f"{OTHER_LIMIT},{LIMIT}"},
        {"weight_type": "background", "detection_weight_threshold": OTHER_LIMIT,
         "weight_threshold": LIMIT}, ONE, TWO,
    ),
    "two images, background, limits, variance mended": (
        {"WEIGHT_TYPE": "BACKGROUND", "WEIGHT_THRESH": f"{OTHER_LIMIT},{LIMIT}",
         "INTERP_TYPE": "VAR_ONLY"},
        {"weight_type": "background", "detection_weight_threshold": OTHER_LIMIT,
         "weight_threshold": LIMIT, "interpolate_image": False}, ONE, TWO,
    ),
    "two images, background, limit, variance mended": (
        {"WEIGHT_TYPE": "BACKGROUND", "WEIGHT_THRESH": LIMIT, "INTERP_TYPE": "VAR_ONLY"},
        {"weight_type": "background", "detection_weight_threshold": LIMIT,
         "interpolate_image": False}, ONE, TWO,
    ),
    "two images, background, variance mended": (
        {"WEIGHT_TYPE": "BACKGROUND", "INTERP_TYPE": "VAR_ONLY"},
        {"weight_type": "background", "interpolate_image": False}, ONE, TWO,
    ),
    "two images, map and nothing": ({**TWICE, "WEIGHT_TYPE": "MAP_WEIGHT,NONE"}, {}, BARE, TWO),
    "two images, no weights": (
        {"WEIGHT_TYPE": "NONE"}, {}, BARE, TWO.replace(weight=None),
    ),
    "two images, constants": (
        {**MAPS, "BACK_TYPE": "MANUAL", "BACK_VALUE": "110,590"},
        {"back_type": "manual", "detection_back_value": 110.0, "back_value": 590.0}, ONE, TWO,
    ),
    "two images, one constant": (
        {**MAPS, "BACK_TYPE": "AUTO,MANUAL", "BACK_VALUE": "110,590"},
        {"detection_back_type": "auto", "back_type": "manual", "back_value": 590.0}, ONE, TWO,
    ),
    "two images, limits": (
        {**MAPS, "WEIGHT_THRESH": "0.008,0.005"},
        {"detection_weight_threshold": 0.008, "weight_threshold": 0.005}, ONE, TWO,
    ),
    "two images, limit of the detection": (
        {**MAPS, "WEIGHT_THRESH": 0.008}, {"detection_weight_threshold": 0.008}, ONE, TWO,
    ),
    "two images, one rescaled": (
        {**MAPS, "RESCALE_WEIGHTS": "Y,N"},
        {"detection_rescale_weights": True, "rescale_weights": False}, ONE, TWO,
    ),
    "two images, local backgrounds": (
        {**MAPS, "BACKPHOTO_TYPE": "LOCAL", "BACKPHOTO_THICK": 12, "CLEAN": "N"},
        {"back_photometry": "local", "back_thickness": 12, "clean": False}, ONE, TWO,
    ),
    "two images, short buffer": (
        {**MAPS, "MEMORY_BUFSIZE": 100, "MEMORY_OBJSTACK": 16},
        {"buffer_lines": 100, "buffer_objects": 16}, ONE, TWO,
    ),
    "two images, variance mended": (
        {**MAPS, "INTERP_TYPE": "VAR_ONLY"}, {"interpolate_image": False}, ONE, TWO,
    ),
}  # fmt: skip


def waves(width, seed):
    """Components of all shapes, many open at a time, also along the border."""
    noise = np.random.default_rng(seed).normal(0, 1, FIELD.image.shape)
    smooth = ndimage.gaussian_filter(noise, width)
    return (10 * smooth / smooth.std()).astype(np.float32)


OPEN: dict[str, Any] = {
    "threshold_type": "absolute", "threshold": 5.0, "analysis_threshold": 5.0, "back_value": 0.0,
    "back_type": "manual", "min_area": 2, "filter": None, "columns": COLUMNS,
}  # fmt: skip


@pytest.mark.parametrize(
    ("stack", "width", "levels", "clean"),
    [
        (1000, 1, 32, True), (1000, 2, 1, False), (1500, 2, 32, True), (1000, 4, 32, True),
        (2000, 4, 1, True), (1300, 6, 32, False),
    ],
)  # fmt: skip
@pytest.mark.binaries
@pytest.mark.skipif(PROGRAM is None, reason="source-extractor is not installed")
def test_full_stack_of_pixels_to_the_bit(stack, width, levels, clean, tmp_path, caplog):
    image = waves(width, stack)
    keys = {
        "WEIGHT_TYPE": "NONE", "BACK_TYPE": "MANUAL", "BACK_VALUE": 0, "THRESH_TYPE": "ABSOLUTE",
        "DETECT_THRESH": 5, "ANALYSIS_THRESH": 5, "FILTER": "N", "DETECT_MINAREA": 2,
        "DEBLEND_NTHRESH": levels, "DEBLEND_MINCONT": 0.001, "CLEAN": "Y" if clean else "N",
        "MEMORY_PIXSTACK": stack,
    }  # fmt: skip
    images = {"image": image, "flag": np.zeros(image.shape, np.int16)}
    original, checks = run_original(
        tmp_path, images, keys, COLUMNS, checks=("SEGMENTATION", "-OBJECTS")
    )
    config = DetectConfig.exposure(**OPEN, deblend_levels=levels, clean=clean, buffer_pixels=stack)
    exposure = BARE.replace(image=image, flags=np.zeros(image.shape, np.int32))
    ours = extract(exposure, config, checks=tuple(checks))
    assert_same(ours.table, original, COLUMNS, exact=True)
    for name, expected in checks.items():
        np.testing.assert_array_equal(ours.checks[name], expected, err_msg=name)
    assert (np.asarray(ours.table["FLAGS"]) & 128).any()
    assert "pixel stack overflow" in caplog.text


@pytest.mark.parametrize("name", [pytest.param(name, marks=live) for name in PAIRS])
def test_detection_and_measurement_apart_to_the_bit(name, tmp_path):
    assert compare(tmp_path, *PAIRS[name]) > 60


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(shape, marks=live)
        for shape in ((1, 1), (1, 3), (3, 1), (2, 2), (2, 3), (4, 5), (7, 7))
    ],
)
def test_filters_of_any_shape_to_the_bit(shape, tmp_path):
    mask = np.round(np.random.default_rng(0).uniform(0.1, 2, shape), 2).tolist()
    compare(tmp_path, {}, {"filter": tuple(map(tuple, mask))}, mask=mask)


@pytest.mark.parametrize(
    "shape",
    [pytest.param(shape, marks=live) for shape in ((300, 1), (2, 2), (3, 5), (20, 17), (63, 65))],
)
def test_small_images_to_the_bit(shape, tmp_path):
    field = make_field(
        (max(shape[0], 8), max(shape[1], 8)), max(3, shape[0] * shape[1] // 300), seed=5,
        holes=False,
    )  # fmt: skip
    image, weight = (a[: shape[0], : shape[1]].copy() for a in (field.image, field.weight))
    exposure = Exposure(
        image, weight, "relative", wcs=WCS.from_header(header(shape)), gain=GAIN,
        saturation=SATURATION, zero_point=ZERO_POINT,
    )  # fmt: skip
    images = {"image": image, "weight": weight, "flag": np.zeros(shape, np.int32)}
    keys = {**EXPOSURE, "DETECT_MINAREA": 3}
    original, _ = run_original(tmp_path, images, keys, COLUMNS)
    ours = extract(exposure, DetectConfig.exposure(columns=COLUMNS, min_area=3)).table
    assert_same(ours, original, COLUMNS, exact=True)


# seeing (width of the stars), sources per 10 000 pixels, sky, noise, holes, size
KINDS = {
    "sharp and sparse": (1.3, 5, 600.0, 12.0, False, (420, 401)),
    "blurred and sparse": (5.2, 5, 600.0, 12.0, True, (399, 420)),
    "sharp and crowded": (1.3, 40, 600.0, 12.0, True, (400, 300)),
    "blurred and crowded": (5.2, 40, 50.0, 4.0, True, (333, 401)),
    "bright sky": (2.6, 20, 9000.0, 80.0, True, (300, 402)),
    "no sky": (2.6, 20, 0.0, 1.5, False, (402, 300)),
    "strip": (2.6, 20, 600.0, 12.0, True, (61, 1501)),
    "tall strip": (2.6, 20, 600.0, 12.0, True, (1803, 63)),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=live) for name in KINDS])
def test_kinds_of_fields_to_the_bit(name, tmp_path):
    width, density, sky, noise, holes, shape = KINDS[name]
    sources = shape[0] * shape[1] * density // 10_000
    field = make_field(
        shape, sources, seed=11, clusters=sources // 20, sky=sky, noise=noise, holes=holes,
        width=width,
    )  # fmt: skip
    images = {"image": field.image, "weight": field.weight, "flag": field.flags}
    columns = [f"{name}(51,51)" if name == "VIGNET" else name for name in ALL_COLUMNS]
    original, _ = run_original(tmp_path, images, EXPOSURE, columns)
    ours = extract(exposure_of(field), DetectConfig.exposure(columns=tuple(columns))).table
    assert_same(ours, original, ALL_COLUMNS, exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [pytest.param((4644, 2112), marks=live)])
def test_ccd_to_the_bit(shape, tmp_path):
    field = make_field(shape, 3000, seed=13, clusters=80)
    images = {"image": field.image, "weight": field.weight, "flag": field.flags}
    columns = [f"{name}(51,51)" if name == "VIGNET" else name for name in ALL_COLUMNS]
    original, _ = run_original(tmp_path, images, EXPOSURE, columns)
    config = DetectConfig.exposure(columns=tuple(columns))
    ours = extract(exposure_of(field), config, threads=2).table
    assert_same(ours, original, ALL_COLUMNS, exact=True)


FLAG_WORDS = ("OR", "AND,OR", "MIN,MAX", "MAX,MIN", "MOST,MOST", "MIN")


@pytest.mark.parametrize(
    ("words", "left_out"),
    [pytest.param(words, None, marks=live) for words in FLAG_WORDS]
    + [
        pytest.param("MIN,MAX", "IMAFLAGS_ISO(2)", marks=live),
        pytest.param("MOST,MOST", "NIMAFLAGS_ISO(2)", marks=live),
    ],
)
def test_flag_maps_to_the_bit(words, left_out, tmp_path):
    rng = np.random.default_rng(3)
    first = (rng.random(FIELD.image.shape) < 0.2) * rng.integers(1, 6, FIELD.image.shape)
    second = (rng.random(FIELD.image.shape) < 0.5) * rng.integers(1, 8, FIELD.image.shape)
    second[100:130] = -3
    maps = first.astype(np.int32), second.astype(np.int32)
    columns = (
        "NUMBER", "IMAFLAGS_ISO(2)", "NIMAFLAGS_ISO(2)", "NLOWWEIGHT_ISO", "NLOWDWEIGHT_ISO",
        "FLAGS_WEIGHT",
    )  # fmt: skip
    columns = tuple(name for name in columns if name != left_out)
    keys = {
        **EXPOSURE, "FLAG_IMAGE": "flag.fits,flag2.fits", "FLAG_TYPE": words, "CLEAN_PARAM": 0.3,
        "WEIGHT_THRESH": 0.008,
    }  # fmt: skip
    images = {**IMAGES, "flag": maps[0], "flag2": maps[1]}
    original, _ = run_original(tmp_path, images, keys, columns)
    config = DetectConfig.exposure(
        columns=columns, flag_type=tuple(words.lower().split(",")), clean_efficiency=0.3,
        weight_threshold=0.008,
    )  # fmt: skip
    ours = extract(ONE, config, flag_maps=maps).table
    assert_same(ours, original, [name.partition("(")[0] for name in columns], exact=True)
    assert original["NLOWWEIGHT_ISO"].max() > 100


@pytest.mark.parametrize(
    ("word", "both", "alone"),
    [
        ("or", (3, 3), (3, 3)),
        ("min", (1, 1), (1, 3)),
        ("max", (2, 2), (2, 3)),
        ("most", (2, 2), (1, 2)),
    ],
)
def test_merged_flags_depend_on_the_columns(word, both, alone):
    # The first object, with one pixel of flag 1, has swallowed the second one, two of flag 2.
    lists = SimpleNamespace(
        objects=np.zeros(2), starts=np.array([0, 2, 4]), pixels=np.array([0, 1, 2, 3])
    )
    catalogued = SimpleNamespace(footprints=lists, survivor=np.array([0, 0]), source=np.array([0]))
    flags, config = np.array([[1, 0, 2, 2]], np.int32), DetectConfig(flag_type=(word,))
    first, second = FLAG_COLUMNS

    def found(*names):
        return pixel_flag_columns(names, catalogued, [flags], None, None, config)

    together = found(first, second)
    assert (together[first][0, 0], together[second][0, 0]) == both
    assert (found(first)[first][0, 0], found(second)[second][0, 0]) == alone


CHECK_CASES: dict[str, tuple[dict[str, Any], dict[str, Any], Exposure, Exposure | None]] = {
    "single": ({}, {}, ONE, None),
    "no masks": ({"MASK_TYPE": "NONE"}, {"mask_type": "none"}, ONE, None),
    "no weights": ({"WEIGHT_TYPE": "NONE"}, {}, BARE, None),
    "constant": (
        {"BACK_TYPE": "MANUAL", "BACK_VALUE": 600}, {"back_type": "manual", "back_value": 600.0},
        ONE, None,
    ),
    "two weights": (TWICE, {}, ONE, SAME),
    "two images": (
        {**MAPS, "BACK_TYPE": "MANUAL", "BACK_VALUE": "110,590"},
        {"back_type": "manual", "detection_back_value": 110.0, "back_value": 590.0}, ONE, TWO,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(name, marks=live) for name in CHECK_CASES])
def test_check_images_to_the_bit(name, tmp_path):
    keys, changes, exposure, detection = CHECK_CASES[name]
    columns = ("X_IMAGE", "FLUX_AUTO")
    dual = "other.fits,image.fits" if detection is TWO else "image.fits"
    _, images = run_original(
        tmp_path, IMAGES, {**EXPOSURE, **keys}, columns, checks=tuple(CHECKS), command=dual
    )
    config = DetectConfig.exposure(columns=columns, **changes)
    ours = extract(exposure, config, detection=detection, checks=CHECKS).checks
    for check in CHECKS:
        assert np.array_equal(ours[check], images[check]), check


OUTLINES: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "circle": (("X_IMAGE", "FLUX_APER"), (11.3,)),
    "circles": (("X_IMAGE", "FLUX_APER(3)"), (5.0, 9.0, 16.7)),
    "Petrosian": (("X_IMAGE", "FLUX_PETRO"), (5.0,)),
    "all": (("X_IMAGE", "FLUX_AUTO", "FLUX_PETRO", "MAG_APER(2)", "FLUX_APER"), (4.0, 30.0)),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=live) for name in OUTLINES])
def test_outlines_of_apertures_to_the_bit(name, tmp_path):
    columns, diameters = OUTLINES[name]
    keys = {**EXPOSURE, "PHOT_APERTURES": ",".join(map(str, diameters))}
    _, images = run_original(tmp_path, IMAGES, keys, columns, checks=("APERTURES",))
    config = DetectConfig.exposure(columns=columns, apertures=diameters)
    ours = extract(ONE, config, checks=("APERTURES",)).checks["APERTURES"]
    assert np.array_equal(ours, images["APERTURES"])


def test_check_images_without_the_original():
    found = extract(ONE, DetectConfig.exposure(), checks=("OBJECTS", "-OBJECTS", "-BACKGROUND"))
    inside = found.segmentation.data > 0
    image = found.checks["-BACKGROUND"]
    assert np.array_equal(found.checks["OBJECTS"], np.where(inside, image, 0))
    free = found.checks["-OBJECTS"] != 0
    assert np.array_equal(found.checks["-OBJECTS"][free], image[free])
    assert not extract(ONE).checks


def test_unknown_check_image():
    with pytest.raises(ConfigError, match=r"unknown check-image.*'APERTURE'.*'APERTURES'"):
        extract(ONE, checks=("APERTURE",))


def test_flag_map_of_another_size():
    with pytest.raises(DataError, match=r"image and flag map differ in size.*\(2, 3\)"):
        extract(ONE, flag_maps=(np.zeros((2, 3), np.int32),))


def naive_flags(flags, kind):
    """Combination and count, in plain Python."""
    flags = [flag for flag in flags if flag]
    if kind in (pixel_flags_nb.OR, pixel_flags_nb.AND) or not flags:
        combined = 0
        for flag in flags:
            combined |= flag
        return (0 if kind == pixel_flags_nb.AND else combined), len(flags)
    if kind == pixel_flags_nb.MOST:
        value = max(dict.fromkeys(flags), key=flags.count)
    else:
        value = (min if kind == pixel_flags_nb.MIN else max)(flags)
    return value, flags.count(value)


@quick
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.integers(0, 4))
def test_flags_of_an_object(flags, kind):
    values, counts = np.zeros(1, np.uint32), np.zeros(1, np.int32)
    starts = np.array([0, len(flags)])
    pixel_flags_nb.object_flags(np.array(flags, np.uint32), kind, starts, values, counts)
    assert (values[0], counts[0]) == naive_flags(flags, kind)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_detection_and_measurement_apart_in_any_number_of_threads(threads):
    config = DetectConfig.exposure()
    one = extract(ONE, config, detection=TWO)
    many = extract(ONE, config, detection=TWO, threads=threads)
    for name in one.table.colnames:
        assert np.asarray(one.table[name]).tobytes() == np.asarray(many.table[name]).tobytes()
    assert np.array_equal(one.segmentation.data, many.segmentation.data)
