"""Each rule alone."""

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from purepipe.errors import DataError, InputFileError, MissingPackageError
from purepipe.exposure import WeightKind
from purepipe.flags import MaskFlag
from purepipe.mask import nebulae, rules

from .fields import SCALE, wcs


@pytest.mark.parametrize(
    ("width", "good"), [(0, 20 * 30), (1, 18 * 28), (9, 2 * 12), (10, 0), (11, 0), (99, 0)]
)
def test_border(width, good):
    plane = rules.border((20, 30), width)
    assert np.count_nonzero(~plane) == good
    if good:
        np.testing.assert_array_equal(plane, plane[::-1, ::-1])


def test_border_refuses_negative_width():
    with pytest.raises(DataError, match="cannot be negative"):
        rules.border((20, 30), -1)


def test_models_are_the_shipped_ones():
    halo, spike = rules.builtin_model("halo"), rules.builtin_model("spike")
    assert halo.shape == (50, 2)
    assert spike.shape == (24, 2)
    radius = np.hypot(*(halo - (5.516, -1.260)).T)
    np.testing.assert_allclose(radius, 269.15, atol=0.01)


def test_halo_as_the_original_draws_it():
    # Figures measured on the original: area, pixels and centroid of a halo at (500, 500), s = 1.
    polygons = rules.star_polygons(
        [500.0], [500.0], [13.8], rules.builtin_model("halo"), scale=0.05, mag_pivot=13.8
    )
    y, x = np.nonzero(rules.stars((1000, 1000), polygons, compat=True))
    assert len(x) == 226982
    assert x.mean() == pytest.approx(504.515, abs=5e-4)
    assert y.mean() == pytest.approx(498.217, abs=5e-4)


def test_halo_is_where_the_star_is():
    polygons = rules.star_polygons(
        [500.0], [500.0], [13.8], rules.builtin_model("halo"), scale=0.05, mag_pivot=13.8
    )
    y, x = np.nonzero(rules.stars((1000, 1000), polygons))
    assert x.mean() == pytest.approx(505.516, abs=0.03)
    assert y.mean() == pytest.approx(498.740, abs=0.03)


@pytest.mark.parametrize(
    ("mag", "scale", "size"), [(5.0, 0.05, 1.44), (12.9, 0.05, 1.045), (5.0, 0.3, 3.64)]
)
def test_size_follows_the_magnitude(mag, scale, size):
    model = [(-1, -1), (1, -1), (0, 1)]
    (vertices,) = rules.star_polygons([3], [4], [mag], model, scale=scale, mag_pivot=13.8)
    np.testing.assert_allclose(vertices - (3, 4), size * np.array(model))


def test_faint_stars_have_no_polygon_unless_inverted():
    model = [(-1, -1), (1, -1), (0, 1)]
    options = {"scale": 0.3, "mag_pivot": 13.8}
    assert rules.star_polygons([3], [4], [17.9], model, **options).shape == (0, 3, 2)
    (vertices,) = rules.star_polygons([3], [4], [17.9], model, invert=True, **options)
    np.testing.assert_allclose(vertices - (3, 4), -0.23 * np.array(model), atol=1e-12)


WEIGHTS = [-1, -1e-30, 1000.1, np.nan, np.inf, -np.inf, 0, 1e-30, 999.99, 1000]


@pytest.mark.parametrize("mask_zero", [True, False])
def test_weights_out_of_range(mask_zero):
    weight = np.array([WEIGHTS], np.float32)
    plane = rules.bad_weight(weight, maximum=1000, mask_zero=mask_zero)
    assert plane[0].tolist() == [True] * 6 + [mask_zero] + [False] * 3


@pytest.mark.parametrize("kind", [WeightKind.VARIANCE, WeightKind.RMS])
def test_variances_out_of_range(kind):
    weight = np.array([[0, 1e5, 1e30, np.inf, np.nan, -1]], np.float32)
    plane = rules.bad_weight(weight, kind, maximum=10)
    assert plane[0].tolist() == [False, False, True, True, True, True]


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.7), (0.1, 0.2), (-0.3, 0.3)])
def test_single_precision_weights_are_compared_with_double_precision_limits(low, high):
    near = np.array([low, high], np.float32)
    weight = np.concatenate([np.nextafter(near, sign, dtype="f4") for sign in (-9, 9)] + [near])
    plane = rules.outside_range(weight[None], low, high)[0]
    double = weight.astype(float)
    assert plane.tolist() == ((double < low) | (double > high)).tolist()


@settings(deadline=None)
@given(
    values=arrays(np.uint32, (3, 7)), value=st.sampled_from([1, 300, 2**20]),
    limits=st.tuples(*2 * [st.floats(-10, 10) | st.sampled_from([0.0, 1e30, -1e30])]),
)  # fmt: skip
def test_bytes_in_the_order_of_a_file_change_nothing(values, value, limits):
    native = values.view(np.float32)
    stored = native.byteswap().view(">f4")
    low, high = sorted(limits)
    for rule in (
        lambda pixels, out: rules.or_outside(pixels, low, high, value, out),
        lambda pixels, out: rules.or_outside(pixels, low, high, value, out, fresh=True),
        lambda pixels, out: rules.or_missing(pixels, value, out, zeros=low > 0),
    ):
        out = np.full((2, 3, 7), 5, np.int32)
        rule(native, out[0])
        rule(stored, out[1])
        np.testing.assert_array_equal(out[0], out[1])
    with np.errstate(invalid="ignore"):
        double = np.where(np.isfinite(native), native, -1e30).astype(float)
    bad = (double < low) | (double > high)
    np.testing.assert_array_equal(rules.outside_range(stored, low, high), bad)
    np.testing.assert_array_equal(rules.missing(stored), ~np.isfinite(native))


def test_missing_pixels():
    image = np.array([[0, 1, np.nan, np.inf]], np.float32)
    assert rules.missing(image)[0].tolist() == [False, False, True, True]
    assert rules.missing(image, zeros=True)[0].tolist() == [True, False, True, True]
    assert rules.missing_fraction(image) == 0.75
    assert rules.missing_fraction(image, compat=True) == 0.25


def test_external_bits_without_a_name_are_marked():
    flags = np.array([[0, 1, 64, 4096, 8]], np.int32)
    external = int(MaskFlag.EXTERNAL)
    assert rules.external(flags)[0].tolist() == [0, 1, 64, 4096 | external, external]
    assert rules.external(flags, bits=65)[0].tolist() == [0, 1, 64, 0, 0]


def test_polygon_model_text():
    text = "# comment\n1 2\n\n3.5\t4\n-1e1 0 # last\n"
    np.testing.assert_array_equal(rules.parse_polygon_model(text), [(1, 2), (3.5, 4), (-10, 0)])
    with pytest.raises(InputFileError, match=r"m\.reg: line 2: two numbers"):
        rules.parse_polygon_model("1 2\n3\n", file="m.reg")
    with pytest.raises(InputFileError, match="at least three"):
        rules.parse_polygon_model("1 2\n", file="m.reg")


def messier_at(field, x, y, major, minor=None, angle=None):
    ra, dec = field.pixel_to_sky(np.array([x]), np.array([y]))
    columns = {"ra": ra, "dec": dec, "major": [major]}
    if minor is not None:
        columns["minor"] = [minor]
    if angle is not None:
        columns["angle"] = [angle]
    return Table(columns)


@pytest.mark.parametrize(("plus", "pixels"), [(0.0, 81150), (0.5, 182371)])
def test_disc_as_the_original_draws_it(plus, pixels):
    field = wcs((2000, 2000))
    # FITS pixel (1, 1)
    table = messier_at(field, 0.0, 0.0, 1.0, 0.5)
    plane = nebulae.nebula_mask(table, field, size_plus=plus, compat=True)
    # The original's figure is for a position in single precision, up to 0.3 pixel away.
    assert np.count_nonzero(plane) == pytest.approx(pixels, rel=1e-3)
    x, y = field.sky_to_pixel(table["ra"], table["dec"])
    j, i = np.mgrid[:2000, :2000]
    radius = (1 + plus) / 60 / (SCALE / 3600)
    np.testing.assert_array_equal(plane, (i - x) ** 2 + (j - y) ** 2 <= radius**2)


def test_original_forgets_objects_between_the_corners():
    field = wcs((2000, 2000))
    table = messier_at(field, 999.5, 999.5, 2.0)
    assert not nebulae.nebula_mask(table, field, compat=True).any()
    pixels = np.count_nonzero(nebulae.nebula_mask(table, field))
    assert pixels == pytest.approx(np.pi * (60 / SCALE) ** 2, rel=1e-3)


@pytest.mark.parametrize("angle", [0.0, 90.0, 37.0])
@pytest.mark.parametrize("turned", [0.0, 90.0, 200.0])
def test_ellipse_on_the_sky(angle, turned):
    field = wcs((600, 600), angle=turned)
    table = messier_at(field, 310.0, 280.0, 1.5, 0.5, angle)
    plane = nebulae.nebula_mask(table, field, size_plus=0.1)
    y, x = np.mgrid[:600, :600]
    ra, dec = field.pixel_to_sky(x, y)
    east = (ra - table["ra"][0]) * np.cos(np.radians(table["dec"][0])) * 60
    north = (dec - table["dec"][0]) * 60
    pa = np.radians(angle)
    along = east * np.sin(pa) + north * np.cos(pa)
    across = east * np.cos(pa) - north * np.sin(pa)
    expected = (along / 0.75) ** 2 + (across / 0.25) ** 2 <= 1.1**2
    # flat-sky formula above: a few pixels of the rim may differ
    assert np.count_nonzero(plane != expected) < 0.002 * np.count_nonzero(expected)
    assert plane.sum() > 1e4


def test_object_outside_reaches_in():
    field = wcs((400, 400))
    assert nebulae.nebula_mask(messier_at(field, -50.0, 200.0, 1.0), field).any()
    assert not nebulae.nebula_mask(messier_at(field, -500.0, 200.0, 1.0), field).any()


@pytest.mark.parametrize("compat", [False, True])
def test_columns_of_the_original_table(compat):
    field = wcs((300, 300))
    table = messier_at(field, 0.0, 0.0, 0.5, 0.2)
    original = Table(table)
    original.rename_columns(["major", "minor"], ["size_Y", "size_X"])
    np.testing.assert_array_equal(
        nebulae.nebula_mask(original, field, compat=compat),
        nebulae.nebula_mask(table, field, compat=compat),
    )


def test_messier_table():
    table = nebulae.messier()
    assert len(table) == 81
    assert table["name"][0] == "M1"
    assert float(table["ra"][0]) == np.float64(np.float32(83.63333))
    field = wcs((500, 500), ra=10.68, dec=41.27)
    assert nebulae.nebula_mask(table, field).all()  # the centre of M31
    assert not nebulae.nebula_mask(table, wcs((500, 500))).any()


def test_nebula_table_errors():
    field = wcs()
    with pytest.raises(DataError, match="major"):
        nebulae.nebula_mask(Table({"ra": [1.0], "dec": [1.0], "mayor": [1.0]}), field)
    with pytest.raises(DataError, match="row 1: position and extent"):
        nebulae.nebula_mask(Table({"ra": [1.0, 2], "dec": [1.0, 2], "major": [1.0, np.nan]}), field)


def test_ngc_needs_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyongc.ongc", None)
    nebulae._ngc.cache_clear()
    with pytest.raises(MissingPackageError, match="pip install pyongc"):
        nebulae.ngc()


def test_ngc_from_its_package():
    pytest.importorskip("pyongc", reason="the optional package pyongc is not installed")
    nebulae._ngc.cache_clear()
    table = nebulae.ngc()
    assert len(table) > 10_000
    row = table[table["name"] == "NGC0224"][0]
    assert (row["major"], row["minor"], row["angle"]) == (177.83, 69.66, 35)
    assert row["ra"] == pytest.approx(10.68479, abs=1e-4)
