"""Every kernel against a plain, slow statement of what it should do."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from purepipe.detect import (
    aperture_nb,
    footprint_nb,
    growth_nb,
    objects_nb,
    pixels_nb,
    stamps_nb,
    window_nb,
)
from purepipe.detect.records_nb import BIG, MEASURED, OBJECT, Mask, Plane
from tests.entry import entry

area_steps = entry(pixels_nb.area_steps)
aperture_flux = entry(aperture_nb.aperture_flux)
radius_of_flux = entry(growth_nb.radius_of_flux)
measure_window = entry(window_nb.measure_window)
covered_area = entry(pixels_nb.covered_area)
subpixel_squares = entry(pixels_nb.subpixel_squares)
cut_vignet = entry(stamps_nb.cut_vignet)
clean_threshold = entry(footprint_nb.clean_threshold)
ellipse_of = entry(footprint_nb.ellipse_of)

EIGHT = np.ones((3, 3))
masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
quick = settings(max_examples=60, deadline=None)


@quick
@given(st.lists(st.floats(0.125, 100, width=32), min_size=1, max_size=40), st.integers(1, 12))
def test_clean_threshold_of_few_pixels(values, min_area):
    values = np.array(values, np.float32)
    got = clean_threshold(values, np.zeros_like(values), min_area)
    if values.size < min_area:
        assert got == 0
    elif values.size == min_area:
        assert got == values[0]
    elif min_area <= 3:  # here the heap has no level to skip
        rest = np.delete(values, min_area)
        assert got == heapq.nlargest(min_area, rest)[-1]


def test_clean_threshold_keeps_the_faulty_heap():
    got = []
    for stop in range(11, 17):
        values = np.array([*range(1, 10), 0, 20, 21, 22, 23, 24, 25][:stop], np.float32)
        got.append(clean_threshold(values, np.zeros_like(values), 9))
    assert got == [2, 3, 20, 6, 22, 7]


def gaussian_object(x=15.0, y=16.0, sigma=2.0, shape=(33, 31)):
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    image = 100 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    image = image.astype(np.float32)
    pixels = np.flatnonzero(image.ravel() > 5)
    objects = np.zeros(1, OBJECT)
    starts = np.array([0, pixels.size])
    values = image.ravel()[pixels]
    footprint_nb.measure_all(
        objects, starts, pixels, values, np.full_like(values, 5), image, True, np.float32(5)
    )
    return objects, pixels, values, image


def test_moments_are_the_weighted_means():
    objects, pixels, values, image = gaussian_object(14.3, 15.8)
    y, x = np.divmod(pixels, image.shape[1])
    obj = objects[0]
    assert obj["npix"] == pixels.size
    assert obj["x"] == pytest.approx(np.average(x, weights=values), rel=1e-6)
    assert obj["y2"] == pytest.approx(np.average((y - obj["y"]) ** 2, weights=values), rel=1e-5)
    assert obj["flux"] == pytest.approx(values.sum(), rel=1e-6)
    determinant = obj["x2"] * obj["y2"] - obj["xy"] ** 2
    assert obj["cxx"] == pytest.approx(obj["y2"] / determinant, rel=1e-6)
    assert obj["a"] >= obj["b"] > 0


@quick
@given(st.floats(0.5, 20), st.floats(0.5, 20), st.floats(-0.4, 0.4))
def test_ellipse_axes_are_the_eigenvalues(x2, y2, correlation):
    xy = correlation * math.sqrt(x2 * y2)
    a, b, theta = ellipse_of(x2, y2, xy)
    assert theta == 45 or x2 != y2  # the original's convention, whatever the sign of xy
    values, vectors = np.linalg.eigh([[x2, xy], [xy, y2]])
    assert (a**2, b**2) == (pytest.approx(values[1], rel=1e-5), pytest.approx(values[0], rel=1e-4))
    if a - b > 0.05 and x2 != y2:
        direction = np.array([math.cos(math.radians(theta)), math.sin(math.radians(theta))])
        assert abs(direction @ vectors[:, 1]) == pytest.approx(1, abs=1e-4)


@quick
@given(
    st.floats(-8, 8, width=32), st.floats(-8, 8, width=32), st.floats(1, 8, width=32),
    st.sampled_from([5, 11]),
)  # fmt: skip
def test_covered_area_counts_subpixels(dx, dy, r, n):
    dx, dy, r2 = np.float32(dx), np.float32(dy), np.float32(r) * np.float32(r)
    scale = np.float32(1 / n)
    offset = np.float32(0.5 * (scale - np.float32(1)))
    area, sy = np.float32(0), dy + offset
    for _ in range(n):
        sx = dx + offset
        for _ in range(n):
            if sx * sx + sy * sy < r2:
                area += scale * scale
            sx += scale
        sy += scale
    squares = np.empty((2, n), np.float32)
    subpixel_squares(dx, n, squares[0])
    subpixel_squares(dy, n, squares[1])
    assert covered_area(squares[0], squares[1], n, r2, area_steps(n)) == area


def planes(image, variance=None, gain=0.0):
    weighted = variance is not None
    plane = Plane(
        image, variance if weighted else np.zeros((1, 1), np.float32), weighted, BIG,
        np.float32(2), np.float32(4), gain, weighted,
    )  # fmt: skip
    mask = Mask(np.zeros(image.shape, np.int32), np.full((4, 2), -1, np.int32), True, True)
    return plane, mask


def test_aperture_flux_of_a_constant_is_the_area():
    plane, mask = planes(np.ones((40, 40), np.float32), gain=2.0)
    areas = area_steps(5)
    flux, error, cut = aperture_flux(plane, mask, 2, 19.3, 20.2, 6.0, (0, 40), areas, 0.0)
    assert flux == pytest.approx(math.pi * 36, rel=0.01)
    assert error == pytest.approx(math.sqrt(4 * flux + flux / 2), rel=1e-4)
    assert not cut
    *_, cut = aperture_flux(plane, mask, 2, 3.0, 20.0, 6.0, (0, 40), areas, 0.0)
    assert cut
    *_, cut = aperture_flux(plane, mask, 2, 20.0, 20.0, 6.0, (18, 40), areas, 0.0)
    assert cut


def test_masked_pixels_are_mirrored_or_blank():
    image = np.ones((21, 21), np.float32)
    image[8:12, 13:15] = 500  # a neighbour
    plane, mask = planes(image)
    mask.labels[8:12, 13:15] = 3
    areas = area_steps(5)
    clean = planes(np.ones_like(image))
    wanted = aperture_flux(*clean, 2, 10.0, 10.0, 6.0, (0, 21), areas, 0.0)[0]

    def flux(mask):
        return aperture_flux(plane, mask, 2, 10.0, 10.0, 6.0, (0, 21), areas, 0.0)[0]

    assert flux(mask) == wanted
    assert flux(mask._replace(mirror=False)) == wanted - 8
    assert flux(mask._replace(active=False)) == pytest.approx(wanted + 8 * 499, rel=1e-6)
    mask.returned[3] = 9, 0  # swallowed: the pixels up to line 9 are given back
    assert flux(mask) == pytest.approx(wanted + 4 * 499, rel=1e-6)


def test_radius_of_flux_interpolates_the_growth_curve():
    radii = (np.arange(64) + 1) / 64 * 8.0
    curve = radii**2
    for flux in (0.01, 1.0, 20.0, 60.0):  # the last ring repeats its neighbour's slope
        radius = radius_of_flux(curve, 8.0, flux)
        assert radius == pytest.approx(np.interp(flux, [0, *curve], [0, *radii]), abs=1e-12)
    assert radius_of_flux(curve, 8.0, 1e9) == 8.0


def test_window_centres_on_a_gaussian_with_half_its_moments():
    objects, _, _, image = gaussian_object(14.3, 15.8, sigma=2.0)
    plane, mask = planes(image, np.full(image.shape, 4, np.float32))
    out = np.zeros(1, MEASURED)
    areas = area_steps(11)
    half_light = np.float32(2.0 * 2.35 / 2)
    measure_window(objects[0], plane, mask, 2, half_light, (0, 33), areas, out[0])
    row = out[0]
    assert (row["win_x"], row["win_y"]) == (
        pytest.approx(14.3, abs=2e-3),
        pytest.approx(15.8, abs=2e-3),
    )
    assert row["win_x2"] == pytest.approx(2.0, rel=0.02)  # half of 2.0 squared
    assert row["win_flags"] == 0
    assert row["win_iterations"] <= 16
    assert row["win_snr"] == pytest.approx(row["win_flux"] / row["win_error"], rel=1e-6)


def test_window_without_flux_reverts_to_the_isophote():
    objects, _, _, image = gaussian_object()
    plane, mask = planes(-image)
    out = np.zeros(1, MEASURED)
    areas = area_steps(11)
    measure_window(objects[0], plane, mask, 2, np.float32(2), (0, 33), areas, out[0])
    assert out[0]["win_flags"] == 4
    assert out[0]["win_x"] == objects[0]["x"]
    assert out[0]["win_x2"] == objects[0]["x2"]


@pytest.mark.parametrize("side", [-1, 1])
def test_window_that_is_thrown_out_of_the_image_ends_there(side):
    """Nearly no flux in all, but a large dipole: the second window lies far beyond the image."""
    objects, _, _, image = gaussian_object()
    x, y = int(objects[0]["x"]), int(objects[0]["y"])
    image[:] = 0
    image[y, x - 2 * side], image[y, x + 2 * side] = -1000, 1000
    image[y, x] = 1e-3
    plane, mask = planes(image)
    out = np.zeros(1, MEASURED)
    objects["x"], objects["y"] = x, y
    measure_window(objects[0], plane, mask, 2, np.float32(3), (0, 33), area_steps(11), out[0])
    assert out[0]["win_flux"] == 0
    assert out[0]["win_flags"] & 4
    assert out[0]["win_x"] == x


def test_vignet_is_blank_outside_and_on_neighbours():
    image = np.arange(100, dtype=np.float32).reshape(10, 10)
    plane, mask = planes(image)
    mask.labels[5, 5] = 3
    mask.labels[4, 4] = 2
    out = np.empty((5, 5), np.float32)
    cut_vignet(plane, mask, 2, 4.4, 4.4, (0, 10), out)
    expected = image[2:7, 2:7].copy()
    expected[3, 3] = -BIG
    assert np.array_equal(out, expected)
    cut_vignet(plane, mask, 2, 0.0, 9.0, (0, 10), out)
    assert (out[:, :2] == -BIG).all()
    assert (out[3:] == -BIG).all()
    assert np.array_equal(out[:3, 2:], image[7:10, :3])


@quick
@given(st.lists(st.integers(0, 9), min_size=1, max_size=10))
def test_survivors_follow_chains(targets):
    survivor = np.array([max(i, min(t, len(targets) - 1)) for i, t in enumerate(targets)])
    original = survivor.copy()
    objects_nb.resolve_survivors(survivor)
    for i, winner in enumerate(survivor):
        j = i
        while original[j] != j:
            j = original[j]
        assert winner == j
