"""Every kernel against a plain, slow statement of what it should do."""

from __future__ import annotations

import heapq
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from purepipe.config import DetectConfig
from purepipe.detect import (
    aperture_nb,
    background_nb,
    components_nb,
    footprint_nb,
    growth_nb,
    objects_nb,
    pixels_nb,
    plane_nb,
    window_nb,
)
from purepipe.detect.background import estimate_background, in_threads
from purepipe.detect.footprints import filter_mask
from purepipe.detect.records_nb import BIG, MEASURED, OBJECT, Mask, Plane
from purepipe.errors import ConfigError

EIGHT = np.ones((3, 3))
masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
quick = settings(max_examples=60, deadline=None)


def components(on, min_area=1):
    rows, begin, end, first = components_nb.find_runs(on)
    parent = components_nb.join_runs(begin, end, first)
    return components_nb.list_components(rows, begin, end, parent, min_area, on.shape[1])


@quick
@given(masks)
def test_components_are_those_of_scipy_in_order_of_their_last_pixel(on):
    starts, pixels = components(on)
    labels, count = ndimage.label(on, EIGHT)
    assert starts.size - 1 == count
    last = []
    for k in range(count):
        mine = pixels[starts[k] : starts[k + 1]]
        assert (np.diff(mine) > 0).all()
        label = labels.ravel()[mine[0]]
        assert set(mine) == set(np.flatnonzero(labels.ravel() == label))
        last.append(mine[-1])
    assert last == sorted(last)


@quick
@given(masks, st.integers(1, 5))
def test_small_components_are_left_out(on, min_area):
    starts, _ = components(on, min_area)
    labels, _ = ndimage.label(on, EIGHT)
    sizes = np.bincount(labels.ravel())[1:]
    assert sorted(np.diff(starts)) == sorted(sizes[sizes >= min_area])


def scan(on, min_area=1):
    py, px = (a.astype(np.int32) for a in np.nonzero(on))
    n = px.size
    out, ends = np.empty(n, np.int32), np.empty(n, np.int64)
    count = components_nb.scan(np.arange(n, dtype=np.int32), n, px, py, min_area, out, ends)
    edges = [0, *ends[:count]]
    return [out[a:b] for a, b in itertools.pairwise(edges)], px, py


@quick
@given(masks.filter(lambda on: on.any()))
def test_scan_finds_the_components_in_order_of_completion(on):
    lists, px, py = scan(on)
    labels, count = ndimage.label(on, EIGHT)
    assert len(lists) == count
    last = []
    for pixels in lists:
        label = labels[py[pixels[0]], px[pixels[0]]]
        assert {(py[i], px[i]) for i in pixels} == set(
            zip(*np.nonzero(labels == label), strict=True)
        )
        last.append(max((py[i], px[i]) for i in pixels))
    assert last == sorted(last)


@quick
@given(masks.filter(lambda on: on.any()))
def test_order_of_pixels_does_not_depend_on_the_surroundings(on):
    lists, px, py = scan(on)
    for pixels in lists:
        alone = np.zeros_like(on)
        alone[py[pixels], px[pixels]] = True
        (single,), x, y = scan(alone)
        assert [(y[i], x[i]) for i in single] == [(py[i], px[i]) for i in pixels]


def test_scan_joins_lists_in_the_order_of_the_one_pass_algorithm():
    # A cup: the right arm is joined to the left one when the bottom is reached.
    on = np.array([[1, 0, 1], [1, 0, 1], [1, 1, 1]], bool)
    (order,), px, py = scan(on)
    assert [(int(py[i]), int(px[i])) for i in order] == [
        (0, 0), (1, 0), (2, 0), (2, 1), (0, 2), (1, 2), (2, 2),
    ]  # fmt: skip


@quick
@given(
    hnp.arrays(np.float32, (9, 11), elements=st.floats(-100, 100, width=32)),
    st.sampled_from([(1, 1), (3, 3), (5, 5), (3, 5), (2, 2), (2, 3)]),
)
def test_filter_is_a_correlation_with_zeros_outside(image, shape):
    rows, columns = shape
    mask = np.arange(1, rows * columns + 1, dtype=np.float32).reshape(shape)
    padded = np.pad(image.astype(float), 4)
    out = np.empty(image.shape[1], np.float32)
    for y in range(image.shape[0]):
        plane_nb.correlate_row(image, mask, y, out)
        top = y + 4 - rows // 2
        for x in range(image.shape[1]):
            left = x + 4 - columns // 2
            window = padded[top : top + rows, left : left + columns]
            assert out[x] == pytest.approx((window * mask).sum(), rel=1e-5, abs=1e-2)


@quick
@given(hnp.arrays(bool, (6, 9)), st.integers(0, 3), st.integers(0, 3), st.integers(0, 1000))
def test_interpolation_copies_left_then_up(bad, max_x, max_y, seed):
    image = np.random.default_rng(seed).normal(size=bad.shape).astype(np.float32)
    variance = np.where(bad, BIG, np.float32(1)).astype(np.float32)
    expected, expected_variance = image.copy(), variance.copy()
    up = np.zeros(bad.shape[1], int)
    for y in range(bad.shape[0]):
        left = 0
        for x in range(bad.shape[1]):
            if not bad[y, x]:
                left, up[x] = max_x, max_y
                continue
            source = None
            if left > 0:
                left, source = left - 1, (y, x - 1)
            elif up[x] > 0:
                up[x], source = up[x] - 1, (y - 1, x)
            if source:
                expected[y, x] = expected[source]
                expected_variance[y, x] = expected_variance[source]
    plane_nb.interpolate_bad(image, variance, BIG, max_x, max_y)
    assert np.array_equal(image, expected)
    assert np.array_equal(variance, expected_variance)


@quick
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)),
               elements=st.floats(0, 100, width=32)),
    st.integers(0, 2), st.integers(0, 2), st.sampled_from([0.0, 20.0]),
)  # fmt: skip
def test_median_filter_shrinks_its_window_evenly(level, half_x, half_y, threshold):
    new, sigma = background_nb.filter_maps(level, level * 2, half_x, half_y, np.float32(threshold))
    ny, nx = level.shape
    for j in range(ny):
        for i in range(nx):
            hy, hx = min(half_y, j, ny - 1 - j), min(half_x, i, nx - 1 - i)
            median = np.median(level[j - hy : j + hy + 1, i - hx : i + hx + 1])
            moved = abs(median - level[j, i]) >= threshold
            assert new[j, i] == (median if moved else level[j, i])
            assert sigma[j, i] == pytest.approx(2 * new[j, i], rel=1e-6)


def test_bad_meshes_take_the_mean_of_their_nearest_neighbours():
    maps = np.zeros((4, 3, 3), np.float32)
    maps[:] = -BIG
    maps[:, 0, 1], maps[:, 1, 0], maps[:, 2, 2] = 10, 20, 90
    background_nb.fill_bad_meshes(maps)
    assert maps[0, 1, 1] == 15  # two neighbours at distance 1
    assert maps[1, 2, 1] == 90
    empty = np.full((4, 2, 2), -BIG, np.float32)
    background_nb.fill_bad_meshes(empty)
    assert (empty[::2] == 0).all()
    assert (empty[1::2] == 1).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (4, 5)])
def test_spline_passes_through_the_meshes(shape):
    level = np.random.default_rng(3).uniform(90, 110, shape).astype(np.float32)
    mesh = (17, 17)
    out = np.empty((17 * shape[0], 17 * shape[1]), np.float32)
    background_nb.spline_rows(level, mesh, 0, out.shape[0], out)
    if shape[1] > 1:
        # Nodes lie on the mesh centres in x; in y half a pixel off, so look at one row of meshes.
        single = np.empty((17, out.shape[1]), np.float32)
        background_nb.spline_rows(level[:1].copy(), mesh, 0, 17, single)
        np.testing.assert_allclose(single[5, 8::17], level[0], rtol=1e-3)
    assert abs(out.mean() - level.mean()) < 4
    part = np.empty((3, out.shape[1]), np.float32)
    background_nb.spline_rows(level, mesh, 7, 10, part)
    assert np.array_equal(part, out[7:10])


def test_background_of_gaussian_noise_with_stars():
    rng = np.random.default_rng(8)
    image = rng.normal(500, 20, (256, 256)).astype(np.float32)
    image[rng.integers(0, 256, 300), rng.integers(0, 256, 300)] += 5000
    background = estimate_background(image)
    assert background.level == pytest.approx(500, abs=1.5)
    assert background.rms == pytest.approx(20, rel=0.05)
    assert background.weight_factor == 0


def test_background_needs_a_variance_of_the_same_size():
    with pytest.raises(ConfigError, match="image and variance differ in size"):
        estimate_background(np.zeros((4, 4), np.float32), np.zeros((3, 3), np.float32))


def test_rows_of_large_meshes_are_sampled():
    # Three million pixels in a mesh: only every third row serves the clipping.
    image = np.random.default_rng(2).normal(10, 2, (1500, 2100)).astype(np.float32)
    config = DetectConfig(back_size=(2100, 1500))
    background = estimate_background(image, config=config)
    assert background.level_map.shape == (1, 1)
    assert background.level == pytest.approx(10, abs=0.02)
    assert background.rms == pytest.approx(2, rel=0.02)  # the clipping takes 1.5 %


@quick
@given(st.lists(st.floats(0.125, 100, width=32), min_size=1, max_size=40), st.integers(1, 12))
def test_clean_threshold_of_few_pixels(values, min_area):
    values = np.array(values, np.float32)
    got = footprint_nb.clean_threshold(values, np.zeros_like(values), min_area)
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
        got.append(footprint_nb.clean_threshold(values, np.zeros_like(values), 9))
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
    a, b, theta = footprint_nb.ellipse_of(x2, y2, xy)
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
    areas = pixels_nb.area_steps(n)
    scratch = np.empty((2, n), np.float32)
    assert pixels_nb.covered_area(dx, dy, r2, areas, scratch) == area


def planes(image, variance=None, gain=0.0):
    weighted = variance is not None
    plane = Plane(
        image, variance if weighted else np.zeros((1, 1), np.float32), weighted, BIG,
        np.float32(2), np.float32(4), gain, weighted,
    )  # fmt: skip
    mask = Mask(np.zeros(image.shape, np.int32), np.full(4, -1, np.int32), True, True)
    return plane, mask


def test_aperture_flux_of_a_constant_is_the_area():
    plane, mask = planes(np.ones((40, 40), np.float32), gain=2.0)
    areas = pixels_nb.area_steps(5)
    flux, error, cut = aperture_nb.aperture_flux(plane, mask, 2, 19.3, 20.2, 6.0, (0, 40), areas)
    assert flux == pytest.approx(math.pi * 36, rel=0.01)
    assert error == pytest.approx(math.sqrt(4 * flux + flux / 2), rel=1e-4)
    assert not cut
    *_, cut = aperture_nb.aperture_flux(plane, mask, 2, 3.0, 20.0, 6.0, (0, 40), areas)
    assert cut
    *_, cut = aperture_nb.aperture_flux(plane, mask, 2, 20.0, 20.0, 6.0, (18, 40), areas)
    assert cut


def test_masked_pixels_are_mirrored_or_blank():
    image = np.ones((21, 21), np.float32)
    image[8:12, 13:15] = 500  # a neighbour
    plane, mask = planes(image)
    mask.labels[8:12, 13:15] = 3
    areas = pixels_nb.area_steps(5)
    clean = planes(np.ones_like(image))
    wanted = aperture_nb.aperture_flux(*clean, 2, 10.0, 10.0, 6.0, (0, 21), areas)[0]

    def flux(mask):
        return aperture_nb.aperture_flux(plane, mask, 2, 10.0, 10.0, 6.0, (0, 21), areas)[0]

    assert flux(mask) == wanted
    assert flux(mask._replace(mirror=False)) == wanted - 8
    assert flux(mask._replace(active=False)) == pytest.approx(wanted + 8 * 499, rel=1e-6)
    mask.visible[3] = 9  # swallowed: the pixels up to line 9 are given back
    assert flux(mask) == pytest.approx(wanted + 4 * 499, rel=1e-6)


def test_radius_of_flux_interpolates_the_growth_curve():
    radii = (np.arange(64) + 1) / 64 * 8.0
    curve = radii**2
    for flux in (0.01, 1.0, 20.0, 60.0):  # the last ring repeats its neighbour's slope
        radius = growth_nb.radius_of_flux(curve, 8.0, flux)
        assert radius == pytest.approx(np.interp(flux, [0, *curve], [0, *radii]), abs=1e-12)
    assert growth_nb.radius_of_flux(curve, 8.0, 1e9) == 8.0


def test_window_centres_on_a_gaussian_with_half_its_moments():
    objects, _, _, image = gaussian_object(14.3, 15.8, sigma=2.0)
    plane, mask = planes(image, np.full(image.shape, 4, np.float32))
    out = np.zeros(1, MEASURED)
    areas = pixels_nb.area_steps(11)
    half_light = np.float32(2.0 * 2.35 / 2)
    window_nb.measure_window(objects[0], plane, mask, 2, half_light, (0, 33), areas, out[0])
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
    areas = pixels_nb.area_steps(11)
    window_nb.measure_window(objects[0], plane, mask, 2, np.float32(2), (0, 33), areas, out[0])
    assert out[0]["win_flags"] == 4
    assert out[0]["win_x"] == objects[0]["x"]
    assert out[0]["win_x2"] == objects[0]["x2"]


def test_vignet_is_blank_outside_and_on_neighbours():
    image = np.arange(100, dtype=np.float32).reshape(10, 10)
    plane, mask = planes(image)
    mask.labels[5, 5] = 3
    mask.labels[4, 4] = 2
    out = np.empty((5, 5), np.float32)
    aperture_nb.cut_vignet(plane, mask, 2, 4.4, 4.4, (0, 10), out)
    expected = image[2:7, 2:7].copy()
    expected[3, 3] = -BIG
    assert np.array_equal(out, expected)
    aperture_nb.cut_vignet(plane, mask, 2, 0.0, 9.0, (0, 10), out)
    assert (out[:, :2] == -BIG).all()
    assert (out[3:] == -BIG).all()
    assert np.array_equal(out[:3, 2:], image[7:10, :3])


def test_deblending_splits_two_peaks_and_keeps_every_pixel():
    yy, xx = np.mgrid[:20, :30]
    image = sum(200 * np.exp(-((xx - x) ** 2 + (yy - 10) ** 2) / 8) for x in (9, 19)).astype(
        np.float32
    )
    on = image > 2
    starts, pixels = components(on)
    values = image.ravel()[pixels]
    n = pixels.size
    thresholds = np.full(n, 2, np.float32)

    def deblend(levels, contrast):
        one, out = np.empty(n, np.int32), np.empty(n, np.int32)
        ends, tops = np.empty(n, np.int64), np.empty(n, np.float32)
        counts, gave_up = np.empty(1, np.int64), np.empty(1, bool)
        components_nb.deblend_components(
            starts, pixels, values, thresholds, 30, levels, contrast, 5, 0, 1, one, out, ends,
            tops, counts, gave_up,
        )  # fmt: skip
        assert not gave_up[0]
        assert sorted(one) == list(range(n))
        return counts[0], out, ends

    assert deblend(1, 0.001)[0] == 1
    assert deblend(32, 0.9)[0] == 1
    count, out, ends = deblend(32, 0.001)
    assert count == 2
    columns = [pixels[out[: ends[0]]] % 30, pixels[out[ends[0] : ends[1]]] % 30]
    assert sorted(round(c.mean()) for c in columns) == [9, 19]


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


def test_filters_are_normalised():
    assert filter_mask(DetectConfig()).sum() == 1
    assert filter_mask(DetectConfig(filter=None)).tolist() == [[1]]
    raw = DetectConfig(filter=((1.0, -1.0), (2.0, 0.0)), filter_normalised=False)
    assert filter_mask(raw).tolist() == [[1, -1], [2, 0]]
    signed = DetectConfig(filter=((3.0, -1.0),))
    assert filter_mask(signed).tolist() == [[0.75, -0.25]]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_cover_every_item_once(threads):
    seen = np.zeros(37, int)

    def work(first, last):
        seen[first:last] += 1

    in_threads(work, 37, threads)
    assert (seen == 1).all()


def test_an_error_in_a_thread_is_raised():
    def work(first, last):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        in_threads(work, 10, 3)
