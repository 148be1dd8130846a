"""Results of the original program, stored and live."""

from __future__ import annotations

import ctypes
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from purepipe.config import DetectConfig
from purepipe.detect import extract, objects_nb
from purepipe.detect.footprints import filtered_image
from purepipe.detect.planes import prepare_image
from purepipe.exposure import WeightKind
from tests.entry import entry

from .cases import ALL_COLUMNS, DERIVED_COLUMNS, REFERENCES, VARIANTS, exposure_of, original_columns
from .compare import assert_same
from .fields import Field, make_field
from .sextractor import EXPOSURE, PROGRAM, TILE, run_sextractor

start_random = entry(objects_nb.start_random)
next_random = entry(objects_nb.next_random)

STORED = Path(__file__).parents[1] / "reference" / "detect"

needs_program = pytest.mark.skipif(PROGRAM is None, reason="source-extractor is not installed")


def digest(image):
    return hashlib.sha1(np.ascontiguousarray(image, np.float32).tobytes()).hexdigest()


@pytest.fixture(scope="module", params=REFERENCES)
def stored(request):
    with np.load(STORED / f"{request.param}.npz") as file:
        arrays = dict(file)
    field = Field(
        arrays["image"].astype(np.float32),
        (arrays["weight"] / 4096).astype(np.float32),
        arrays["flags"].astype(np.int32),
    )
    _, config, kind = REFERENCES[request.param]
    return arrays, exposure_of(field, kind), config


def test_catalogue_is_the_originals(stored):
    original, exposure, config = stored
    detection = extract(exposure, config)
    names = [name for name in ALL_COLUMNS if name != "VIGNET"]
    assert_same(detection.table, original, names, exact=False)
    stamps = [digest(stamp) for stamp in detection.table["VIGNET"]]
    assert stamps == list(original["VIGNET_SHA1"])


def test_images_are_the_originals(stored):
    original, exposure, config = stored
    prepared = prepare_image(exposure, config)
    background = prepared.background
    assert np.array_equal(background.level_map, original["MINIBACKGROUND"])
    assert np.array_equal(background.rms_map, original["MINIBACK_RMS"])
    assert digest(background.image()) == str(original["SHA1 BACKGROUND"])
    assert digest(prepared.plane.image) == str(original["SHA1 -BACKGROUND"])
    assert digest(filtered_image(prepared, config)) == str(original["SHA1 FILTERED"])


def test_segmentation_is_the_originals(stored):
    original, exposure, config = stored
    assert np.array_equal(extract(exposure, config).segmentation.data, original["SEGMENTATION"])


@pytest.fixture(scope="module")
def field():
    return make_field((400, 320), 90, seed=21, clusters=5)


@pytest.mark.binaries
@needs_program
@pytest.mark.parametrize("name", VARIANTS)
def test_variants_to_the_bit(name, field, tmp_path):
    keys, changes = VARIANTS[name]
    config = DetectConfig.exposure(columns=ALL_COLUMNS, **changes)
    table, images = run_sextractor(tmp_path, field, {**EXPOSURE, **keys}, original_columns())
    detection = extract(exposure_of(field), config)
    assert_same(detection.table, table, ALL_COLUMNS, exact=True)
    assert np.array_equal(detection.background.level_map, images["MINIBACKGROUND"])


@pytest.mark.binaries
@needs_program
@pytest.mark.parametrize(
    ("keyword", "kind"), [("MAP_VAR", "variance"), ("MAP_RMS", "rms"), ("NONE", None)]
)
def test_kinds_of_weight_to_the_bit(keyword, kind, field, tmp_path):
    if kind is None:
        field = make_field((400, 320), 90, seed=22, clusters=5, holes=False)
    else:
        with np.errstate(divide="ignore"):
            weight = np.minimum(1 / field.weight, np.float32(1e31))
        weight = np.sqrt(weight) if kind == "rms" else weight
        field = replace(field, weight=np.where(weight > 1e10, np.float32(1e31), weight))
    keys = {**EXPOSURE, "WEIGHT_TYPE": keyword}
    table, _ = run_sextractor(tmp_path, field, keys, original_columns())
    detection = extract(exposure_of(field, kind), DetectConfig.exposure(columns=ALL_COLUMNS))
    assert_same(detection.table, table, ALL_COLUMNS, exact=True)


@pytest.mark.binaries
@needs_program
def test_derived_columns(field, tmp_path):
    columns = (*DERIVED_COLUMNS, "FLUX_AUTO", "FLAGS", "VIGNET")
    asked = [f"{name}(51,51)" if name == "VIGNET" else name for name in columns]
    table, _ = run_sextractor(tmp_path, field, EXPOSURE, asked, checks=())
    ours = extract(exposure_of(field), DetectConfig.exposure(columns=columns)).table
    assert np.array_equal(ours["FLAGS"], table["FLAGS"])
    for name in DERIVED_COLUMNS:
        assert ours[name].dtype == table[name].dtype.newbyteorder("="), name
        cancelling = name.endswith(("_WORLD", "_J2000")) and ("XY" in name or "THETA" in name)
        rtol = 2e-5 if cancelling else 3e-7
        np.testing.assert_allclose(ours[name], table[name], rtol=rtol, atol=0, err_msg=name)


@pytest.mark.slow
@pytest.mark.binaries
@needs_program
@pytest.mark.parametrize("seed", range(12))
def test_random_fields_to_the_bit(seed, tmp_path):
    rng = np.random.default_rng([7, seed])
    shape = (int(rng.integers(150, 900)), int(rng.integers(120, 700)))
    sources = int(shape[0] * shape[1] / rng.uniform(300, 3000))
    tile, weighted = rng.random() < 0.4, rng.random() < 0.8
    field = make_field(
        shape, sources, seed=seed, clusters=sources // 12, noise=float(10 ** rng.uniform(0, 1.5)),
        sky=0.0 if tile else float(rng.choice([50, 600, 3000])), holes=bool(rng.random() < 0.7),
    )  # fmt: skip
    keys: dict[str, object] = {} if weighted else {"WEIGHT_TYPE": "NONE"}
    changes: dict[str, object] = {}
    for key, name, value in (
        ("DETECT_MINAREA", "min_area", 4), ("DEBLEND_MINCONT", "deblend_contrast", 1e-5),
        ("DEBLEND_NTHRESH", "deblend_levels", 64), ("CLEAN_PARAM", "clean_efficiency", 0.5),
        ("ANALYSIS_THRESH", "analysis_threshold", 3.0), ("DETECT_THRESH", "threshold", 1.0),
    ):  # fmt: skip
        if rng.random() < 0.3:
            keys[key] = changes[name] = value
    if rng.random() < 0.3:
        keys["BACK_SIZE"], changes["back_size"] = 37, (37, 37)
    gain, saturation = float(rng.choice([0, 1.6, 30])), float(rng.choice([2000, 60000]))
    table, _ = run_sextractor(
        tmp_path, field, {**(TILE if tile else EXPOSURE), **keys}, original_columns(), gain=gain,
        saturation=saturation, checks=(),
    )  # fmt: skip
    preset = DetectConfig.tile if tile else DetectConfig.exposure
    exposure = exposure_of(
        field, WeightKind.RELATIVE if weighted else None, gain=gain, saturation=saturation
    )
    detection = extract(exposure, preset(columns=ALL_COLUMNS, **changes))
    assert_same(detection.table, table, ALL_COLUMNS, exact=True)


@pytest.mark.binaries
@needs_program
def test_two_images_to_the_bit(field, tmp_path):
    other = make_field((400, 320), 90, seed=21, clusters=5, noise=9.0, sky=100.0, holes=False)
    keys = {**EXPOSURE, "WEIGHT_TYPE": "MAP_WEIGHT,MAP_WEIGHT"}
    table, _ = run_sextractor(tmp_path, field, keys, original_columns(), detection=other)
    config = DetectConfig.exposure(columns=ALL_COLUMNS)
    detection = extract(exposure_of(field), config, detection=exposure_of(other))
    assert_same(detection.table, table, ALL_COLUMNS, exact=True)


@pytest.mark.binaries
@needs_program
@pytest.mark.parametrize("clean", ["Y", "N"])
def test_check_image_mixes_numbers_as_the_original(clean, tmp_path):
    """The original renumbers in place, so a new number may be taken for an old one."""
    field = make_field((500, 400), 120, seed=3, clusters=4)
    keys = {**EXPOSURE, "CLEAN": clean}
    _, images = run_sextractor(tmp_path, field, keys, original_columns())
    config = DetectConfig.exposure(clean=clean == "Y")
    found = extract(exposure_of(field), config, checks=("SEGMENTATION",))
    assert np.array_equal(found.checks["SEGMENTATION"], images["SEGMENTATION"])
    if clean == "N":  # the segmentation does not repeat the fault
        assert np.count_nonzero(found.segmentation.data != images["SEGMENTATION"]) == 124


def test_random_stream_is_that_of_glibc():
    state = np.zeros(35, np.int64)
    start_random(state)
    ours = [next_random(state) for _ in range(2000)]
    assert ours[:2] == [1804289383, 846930886]
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        pytest.skip("no glibc here")
    libc.srand(1)
    assert ours == [libc.rand() for _ in range(2000)]
