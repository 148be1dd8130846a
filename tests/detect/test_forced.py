"""Segmentations and positions of others, measured with the same columns."""

import numpy as np
import pytest

from purepipe.config import DetectConfig
from purepipe.detect import detect_sources, extract, measure
from purepipe.errors import ConfigError, DataError
from purepipe.legacy.astromatic_files import read_neural_network

from .cases import exposure_of
from .columns import network_text
from .fields import make_field
from .spread import moffat_psf

SHAPE = (200, 170)
SAME = ("FLUX_AUTO", "FLUX_APER", "FLUX_RADIUS", "X_IMAGE", "XWIN_IMAGE", "A_IMAGE", "FLUX_ISO")


@pytest.fixture(scope="module")
def exposure():
    return exposure_of(make_field(SHAPE, 20, seed=5, clusters=0, holes=False))


@pytest.fixture(scope="module")
def config():
    return DetectConfig.exposure(columns=("NUMBER", *SAME), clean=False)


@pytest.fixture(scope="module")
def detection(exposure, config):
    return extract(exposure, config)


def test_detection_alone_gives_the_segmentation(exposure, config, detection):
    assert np.array_equal(detect_sources(exposure, config).data, detection.segmentation.data)


def test_own_segmentation_gives_the_same_measurements(exposure, config, detection):
    segmentation = detection.segmentation
    for where in (segmentation, segmentation.to_photutils(), segmentation.data * 3):
        forced = measure(exposure, where, config)
        assert len(forced.table) == len(detection.table) > 5
        flux = forced.table["FLUX_ISO"]
        np.testing.assert_allclose(flux, detection.table["FLUX_ISO"], rtol=1e-5)
        # Specks too small for an object are in no segmentation map, hence not masked; and the
        # barycentre of a blended object is that of its core.
        for name in SAME:
            same = np.isclose(forced.table[name], detection.table[name], rtol=1e-5)
            assert same.mean() > 0.7
        assert np.array_equal(forced.segmentation.data, segmentation.data)


def test_positions_are_measured_where_they_are(exposure, config, detection):
    x, y = (np.asarray(detection.table[name], float) - 1 for name in ("X_IMAGE", "XWIN_IMAGE"))
    y = np.asarray(extract(exposure, DetectConfig.exposure(columns=("Y_IMAGE",), clean=False))
                   .table["Y_IMAGE"], float) - 1  # fmt: skip
    table = measure(exposure, np.column_stack([x, y]), config, threads=2).table
    np.testing.assert_allclose(table["X_IMAGE"], detection.table["X_IMAGE"], atol=1e-4)
    assert list(table["NUMBER"]) == list(range(1, len(x) + 1))
    alone = np.asarray(table["FLUX_APER"]) / np.asarray(detection.table["FLUX_APER"])
    assert np.median(np.abs(alone - 1)) < 0.02
    assert (table["A_IMAGE"] == 1.25).all()  # half the radius of the aperture


def test_sky_positions_and_no_positions(exposure, config):
    sky = measure(exposure, np.array([[3.2, 4.9], [80.0, 90.4]]), config).table
    assert len(sky) == 2
    assert len(measure(exposure, np.empty((0, 2)), config).table) == 0
    assert len(measure(exposure, np.zeros(SHAPE, int), config).table) == 0


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (np.zeros((5, 4), int), r"differ in size.*got \(5, 4\)"),
        (np.full(SHAPE, -1), "must not be negative"),
        (np.zeros(SHAPE), "neither a segmentation map nor positions"),
        (np.zeros(7), r"neither.*shape \(7,\)"),
        ([[np.nan, 3.0]], "must lie on the image"),
        ([[400.0, 3.0]], "must lie on the image"),
        ([[4.0, 3.0], [4.2, 3.1]], "two positions lie in the same pixel"),
    ],
)
def test_what_is_given_is_checked(where, message, exposure, config):
    with pytest.raises(DataError, match=message):
        measure(exposure, where, config)


def test_stars_are_told_from_galaxies_with_a_network_and_a_psf(exposure, tmp_path):
    names = ("CLASS_STAR", "SPREAD_MODEL", "SPREADERR_MODEL")
    config = DetectConfig.exposure(columns=("NUMBER", "X_IMAGE", "Y_IMAGE", *names), clean=False)
    (tmp_path / "small.nnw").write_text(network_text())
    network, psf = read_neural_network(tmp_path / "small.nnw"), moffat_psf(SHAPE)
    found = extract(exposure, config, psf=psf, network=network)
    forced = measure(exposure, found.segmentation, config, psf=psf, network=network).table
    for name in names:
        same = np.isclose(forced[name], found.table[name], rtol=1e-3, atol=1e-3)
        assert same.mean() > 0.7  # specks that are no objects are in no segmentation map
    places = np.column_stack([found.table["X_IMAGE"], found.table["Y_IMAGE"]]) - 1
    table = measure(exposure, places, config, psf=psf, network=network, threads=2).table
    assert np.median(np.abs(table["SPREAD_MODEL"] - found.table["SPREAD_MODEL"])) < 1e-3
    assert np.isfinite(table["CLASS_STAR"]).all()
    for name, what in (("CLASS_STAR", "a neural network"), ("SPREAD_MODEL", "a tabulated PSF")):
        with pytest.raises(ConfigError, match=f"{name} needs {what}"):
            measure(exposure, found.segmentation, DetectConfig(columns=(name,)))


def test_associations_and_images_of_another_size_are_refused(exposure):
    for name in ("VECTOR_ASSOC", "NUMBER_ASSOC"):
        with pytest.raises(ConfigError, match=rf"do not have this column.*{name}"):
            measure(exposure, np.zeros(SHAPE, int), DetectConfig(columns=(name,)))
    other = exposure_of(make_field((90, 80), 0, seed=1, holes=False))
    with pytest.raises(DataError, match="differ in size"):
        measure(exposure, np.zeros(SHAPE, int), detection=other)
