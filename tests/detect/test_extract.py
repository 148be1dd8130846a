import pickle

import numpy as np
import pytest

from purepipe.catalogue.columns_detect import SHAPEPIPE_COLUMNS
from purepipe.config import DetectConfig
from purepipe.detect import Segmentation, extract
from purepipe.errors import ConfigError, DataError
from purepipe.exposure import Exposure

from .cases import exposure_of
from .fields import make_field

SHAPE = (220, 180)


@pytest.fixture(scope="module")
def exposure():
    return exposure_of(make_field(SHAPE, 30, seed=5, clusters=1))


@pytest.fixture(scope="module", params=["sep", "exact"])
def engine(request):
    return request.param


@pytest.fixture(scope="module")
def detection(exposure, engine):
    return extract(exposure, DetectConfig.exposure(engine=engine))


def flat(value=100.0, shape=SHAPE, noise=3.0, **keywords):
    image = np.random.default_rng(1).normal(value, noise, shape) if noise else np.full(shape, value)
    return Exposure(image.astype(np.float32), **keywords)


def blob(exposure, x, y, flux=3000.0, sigma=2.0):
    image = exposure.image.copy()
    yy, xx = np.mgrid[: image.shape[0], : image.shape[1]]
    image += flux * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2)).astype(np.float32)
    return exposure.replace(image=image)


def test_all_columns_of_shapepipe_in_order(detection):
    table = detection.table
    assert tuple(table.colnames) == SHAPEPIPE_COLUMNS
    assert len(table) > 10
    assert list(table["NUMBER"]) == list(range(1, len(table) + 1))
    assert table["VIGNET"].shape == (len(table), 51, 51)
    assert table["VIGNET"].dtype == np.float32
    assert np.isfinite(table["X_WORLD"]).all()
    for key in ("SEXBKGND", "SEXBKDEV", "SEXGAIN", "SEXSATLV", "SEXMGZPT", "SEXPXSCL"):
        assert isinstance(table.meta[key], float)


def test_the_engines_agree_on_isolated_sources(exposure):
    tables = [
        extract(exposure, DetectConfig.exposure(engine=name)).table for name in ("sep", "exact")
    ]
    ours, other = (t[(t["FLAGS"] == 0) & (t["FLUX_AUTO"] > 3000)] for t in tables)
    found = 0
    for row in ours:
        distance = np.hypot(other["X_IMAGE"] - row["X_IMAGE"], other["Y_IMAGE"] - row["Y_IMAGE"])
        near = int(np.argmin(distance))
        if distance[near] < 0.1:
            found += 1
            assert other["FLUX_AUTO"][near] == pytest.approx(row["FLUX_AUTO"], rel=0.05)
    assert found >= len(ours) - 1 > 3


def test_segmentation_and_table_agree(detection):
    segmentation = detection.segmentation
    assert segmentation.shape == SHAPE
    assert segmentation.data.max() == len(detection.table)
    for row in detection.table[detection.table["FLAGS"] == 0]:
        x, y = round(row["X_IMAGE"] - 1), round(row["Y_IMAGE"] - 1)
        assert segmentation.data[y, x] == row["NUMBER"]
    assert not segmentation.data.flags.writeable


def test_segmentation_round_trip_through_photutils(detection):
    other = detection.segmentation.to_photutils()
    assert len(other.labels) == len(detection.table)
    again = Segmentation.from_photutils(other)
    assert np.array_equal(again.data, detection.segmentation.data)
    numbers = np.asarray(detection.table["NUMBER"])
    assert list(detection.segmentation.areas(numbers)) == list(other.areas)


def test_result_does_not_depend_on_the_number_of_threads(exposure, engine):
    config = DetectConfig.exposure(engine=engine)
    one, four = extract(exposure, config), extract(exposure, config, threads=4)
    for name in one.table.colnames:
        assert np.asarray(one.table[name]).tobytes() == np.asarray(four.table[name]).tobytes()
    assert np.array_equal(one.segmentation.data, four.segmentation.data)


def test_nothing_found_gives_an_empty_table_with_all_columns(engine):
    detection = extract(flat(), DetectConfig(threshold=50.0, engine=engine))
    assert len(detection.table) == 0
    assert tuple(detection.table.colnames) == SHAPEPIPE_COLUMNS
    assert detection.table["VIGNET"].shape == (0, 51, 51)
    assert not detection.segmentation.data.any()
    with pytest.raises(DataError, match="no object in the segmentation map"):
        detection.segmentation.to_photutils()


def test_constant_image(engine):
    detection = extract(flat(noise=0), DetectConfig(engine=engine))
    assert len(detection.table) == 0
    assert detection.background.level == 100.0


def test_background_follows_the_sky(exposure):
    background = extract(exposure).background
    assert background.image().shape == SHAPE
    assert background.rms_image().shape == SHAPE
    assert background.level == pytest.approx(605, abs=5)
    assert background.rms == pytest.approx(13, abs=2)
    manual = extract(exposure, DetectConfig.tile(back_value=590.0)).background
    assert (manual.image() == 590).all()
    assert manual.level == background.level


def test_image_smaller_than_filter_and_mesh(engine):
    tiny = blob(flat(shape=(2, 2)), 0.5, 0.5)
    extract(tiny, DetectConfig(min_area=1, engine=engine))
    small = blob(flat(shape=(30, 25)), 12.0, 15.0)
    table = extract(small, DetectConfig(engine=engine)).table
    assert len(table) == 1
    assert table["X_IMAGE"][0] == pytest.approx(13, abs=0.1)


def test_one_row_and_one_column():
    for shape in ((1, 200), (200, 1)):
        extract(flat(shape=shape), DetectConfig(min_area=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_bad(bad, engine):
    good = blob(flat(), 90.0, 100.0)
    image = good.image.copy()
    image[20:23, 30:40] = bad
    image[100, 92] = bad
    table = extract(good.replace(image=image), DetectConfig(engine=engine)).table
    assert len(table) == 1
    assert table["X_IMAGE"][0] == pytest.approx(91, abs=0.3)
    assert np.isfinite(table["FLUX_AUTO"]).all()
    assert np.isfinite(table["VIGNET"]).all()


def test_bad_pixels_equal_zero_weights():
    good = blob(flat(), 90.0, 100.0)
    hole = np.ones(SHAPE, bool)
    hole[40:90, 60:120] = False
    image = np.where(hole, good.image, np.float32(np.nan))
    weight = hole.astype(np.float32)
    one = extract(good.replace(image=image)).table
    two = extract(good.replace(weight=weight, weight_kind="mask")).table
    assert np.array_equal(one["FLUX_AUTO"], two["FLUX_AUTO"])
    assert np.array_equal(one["VIGNET"] > -1e29, two["VIGNET"] > -1e29)


def test_weights_that_are_not_finite_are_bad():
    weight = np.ones(SHAPE, np.float32)
    weight[10:40, 10:40] = np.nan
    weight[50:80, 50:80] = np.inf
    weight[90:120, 90:120] = -1
    zero = np.where(np.isfinite(weight) & (weight > 0), np.float32(1), np.float32(0))
    base = blob(flat(), 120.0, 40.0)
    one, two = (
        extract(base.replace(weight=w, weight_kind="relative")).table for w in (weight, zero)
    )
    assert np.array_equal(one["FLUX_AUTO"], two["FLUX_AUTO"])


def test_no_usable_pixel():
    with pytest.raises(DataError, match="no pixel has a usable weight"):
        extract(flat(weight=np.zeros(SHAPE), weight_kind="relative"))
    with pytest.raises(DataError, match="no finite pixel in the image"):
        extract(flat().replace(image=np.full(SHAPE, np.nan)))
    image = flat().image.copy()
    image[:100] = np.nan
    weight = np.ones(SHAPE)
    weight[100:] = 0
    with pytest.raises(DataError, match="both a finite value and a usable weight"):
        extract(Exposure(image, weight, "mask"))


def test_weight_of_another_size():
    with pytest.raises(DataError, match=r"another size than the image.*got 5 x 4"):
        flat(weight=np.ones((4, 5)), weight_kind="relative")


def test_detection_image_of_another_size():
    with pytest.raises(DataError, match="detection and measurement image differ in size"):
        extract(flat(), detection=flat(shape=(10, 10)))


def test_saturated_blob_over_the_whole_image(engine):
    whole = blob(flat(saturation=20000.0), 90.0, 110.0, flux=60000.0, sigma=60.0)
    config = DetectConfig.tile(
        threshold_type="absolute", threshold=20.0, analysis_threshold=20.0, engine=engine
    )
    table = extract(whole, config).table
    assert len(table) >= 1
    assert table["FLAGS"][0] & 4
    assert table["FLAGS"][0] & 8
    assert table["FLAGS"][0] & 16


def test_unknown_column_names_the_nearest():
    with pytest.raises(ConfigError, match=r"detect.columns.*got FLUX_AUT.*'FLUX_AUTO'"):
        extract(flat(), DetectConfig(columns=("FLUX_AUT",)))


def test_configuration_is_checked():
    with pytest.raises(ConfigError, match=r"detect.threshold: out of range"):
        DetectConfig(threshold=-1.0)
    with pytest.raises(ConfigError, match="same length"):
        DetectConfig(filter=((1.0, 2.0), (1.0,)))
    with pytest.raises(ConfigError, match="at least one aperture"):
        DetectConfig(apertures=())
    with pytest.raises(ConfigError, match=r"detect.treshold: unknown key.*'threshold'"):
        DetectConfig.tile(treshold=2.0)
    with pytest.raises(ConfigError, match="'exact'"):
        DetectConfig(engine="exakt")


def test_presets_are_the_tutorials():
    exposure, tile = DetectConfig.exposure(), DetectConfig.tile()
    assert (exposure.threshold, exposure.analysis_threshold) == (2.0, 1.5)
    assert (exposure.deblend_contrast, tile.deblend_contrast) == (0.001, 0.0005)
    assert (exposure.back_type, tile.back_type, tile.back_value) == ("auto", "manual", 0.0)
    assert tile.threshold == 1.5
    assert DetectConfig.tile(threshold=3.0).threshold == 3.0


def test_magnitudes_without_flux_are_99():
    image = flat(0.0).image.copy()
    image[100, 50:70] -= 2000
    table = extract(blob(Exposure(image), 60.0, 96.0, flux=200.0)).table
    negative = table["FLUX_AUTO"] <= 0
    assert negative.any()
    assert (table["MAG_AUTO"][negative] == 99).all()
    assert (table["MAGERR_AUTO"][negative] == 99).all()


def test_without_world_coordinates_positions_are_missing(detection):
    table = extract(blob(flat(), 90.0, 100.0)).table
    assert np.isnan(table["X_WORLD"]).all()
    assert np.isnan(table["MU_MAX"]).all()
    scaled = extract(blob(flat(), 90.0, 100.0), DetectConfig(pixel_scale=0.2)).table
    assert np.isfinite(scaled["MU_MAX"]).all()
    assert scaled.meta["SEXPXSCL"] == 0.2


def test_configuration_and_segmentation_survive_pickling(detection):
    assert pickle.loads(pickle.dumps(DetectConfig.tile())) == DetectConfig.tile()
    again = pickle.loads(pickle.dumps(detection.segmentation))
    assert np.array_equal(again.data, detection.segmentation.data)
