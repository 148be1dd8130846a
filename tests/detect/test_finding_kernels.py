"""Kernels that find pixels, against plain, slow statements of what they should do."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from purepipe._threads import in_threads
from purepipe.config import DetectConfig
from purepipe.detect import background_nb, components_nb, plane_nb, weight_nb
from purepipe.detect.background import estimate_background
from purepipe.detect.footprints import filter_mask
from purepipe.detect.records_nb import BIG
from purepipe.errors import ConfigError
from tests.entry import entry

correlate_row = entry(plane_nb.correlate_row)
range_median = entry(background_nb._range_median)
scan_pixels = entry(components_nb.scan)

EIGHT = np.ones((3, 3))
masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
quick = settings(max_examples=60, deadline=None)


def naive_runs(on):
    runs = []
    for y, row in enumerate(on):
        for x, marked in enumerate(row):
            if marked and (x == 0 or not row[x - 1]):
                runs.append([y, x, x])
            if marked:
                runs[-1][2] = x
    return np.array(runs, np.int32).reshape(-1, 3)


def components(on, min_area=1):
    runs = naive_runs(on)
    values = np.flatnonzero(on).astype(np.float32)
    parent = components_nb.join_runs(runs)
    starts, pixels, listed, thresholds = components_nb.list_components(
        runs, values, -values, parent, min_area, on.shape[1]
    )
    assert np.array_equal(listed, pixels)
    assert np.array_equal(thresholds, -listed)
    return starts, pixels


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
    count = scan_pixels(np.arange(n, dtype=np.int32), n, px, py, min_area, out, ends)
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
        correlate_row(image, mask, y, out)
        top = y + 4 - rows // 2
        for x in range(image.shape[1]):
            left = x + 4 - columns // 2
            window = padded[top : top + rows, left : left + columns]
            assert out[x] == pytest.approx((window * mask).sum(), rel=1e-5, abs=1e-2)


@quick
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 7), st.integers(1, 20)),
        elements=st.floats(-9, 9, width=32),
    ),
    st.sampled_from([(1, 1), (3, 3), (3, 5), (2, 2)]),
    st.booleans(),
)
def test_runs_are_the_pixels_above_the_threshold(image, shape, local):
    mask = np.full(shape, 0.25, np.float32)
    variance = (1 + np.abs(image)).astype(np.float32)
    height, width = image.shape
    filtered, limits = np.empty((2, *image.shape), np.float32)
    on = np.empty((height, -(-width // 8) * 8), np.uint8)
    runs, values, thresholds = plane_nb.detect_rows(
        image,
        variance,
        mask,
        local,
        np.float32(1.5),
        np.float32(2),
        0,
        height,
        filtered,
        limits,
        on,
    )
    smooth, spread = np.empty_like(image), np.empty_like(image)
    plane_nb.filter_rows(image, mask, 0, height, smooth)
    plane_nb.filter_rows(variance, mask, 0, height, spread)
    level = (
        (1.5 * np.sqrt(spread.astype(float))).astype(np.float32)
        if local
        else np.full_like(image, 2)
    )
    assert np.array_equal(runs, naive_runs(smooth > level))
    assert np.array_equal(values, smooth[smooth > level])
    assert np.array_equal(thresholds, level[smooth > level])


def naive_median(counts, low, high):
    """The two fingers of the original."""
    i, j, below, above = low, high, 0, 0
    for _ in range(high - low + 1):
        if below < above:
            below, i = below + counts[i], i + 1
        else:
            above, j = above + counts[j], j - 1
    if j < 0:
        return 0.0
    most = max(counts[i], counts[j])
    return j + 0.5 + (above - below) / (2 * most) if most else j + 0.5


@quick
@given(st.lists(st.sampled_from([0, 0, 1, 2, 7, 100]), min_size=1, max_size=30), st.data())
def test_median_of_a_histogram_is_where_two_fingers_meet(counts, data):
    low = data.draw(st.integers(0, len(counts)))
    high = data.draw(st.integers(low - 1, len(counts) - 1)) if low < len(counts) else low - 1
    below = np.concatenate([[0], np.cumsum(counts)])
    padded = np.array([*counts, 0, 0])
    assert range_median(padded, below, low, high) == naive_median(padded, low, high)


def naive_mode(values, variances):
    """Level and rms of one mesh, and those of its variance, step by step."""
    mean, sigma = values.astype(float).mean(), moments(values)[1]
    low, high = np.float32(mean - 2 * sigma), np.float32(mean + 2 * sigma)
    inside = (values >= low) & (values <= high)
    vmean, vsigma = moments(variances)
    vlow, vhigh = np.float32(vmean - 2 * vsigma), np.float32(vmean + 2 * vsigma)
    both = inside & (variances >= vlow) & (variances <= vhigh)
    bins, levels, scale, zero = binned(values, values[inside])
    valid = (bins >= 0) & (bins < levels)
    vbins, vlevels, vscale, vzero = binned(variances[valid], variances[both])
    vbins = vbins[(vbins >= 0) & (vbins < vlevels)]
    return (
        *clipped(np.bincount(bins[valid], minlength=levels), levels, scale, zero),
        *clipped(np.bincount(vbins, minlength=vlevels), vlevels, vscale, vzero),
    )


def moments(values):
    if values.size == 0:
        return 0.0, 0.0
    exact = values.astype(float)
    mean = sum(exact.tolist()) / exact.size
    square = sum((exact * exact).tolist()) / exact.size - mean * mean
    return mean, math.sqrt(max(square, 0))


def binned(values, clean):
    mean, sigma = moments(clean)
    levels = min(4096, int(math.sqrt(2 / background_nb.PI) * 5 / 4 * clean.size + 1))
    scale = np.float32(10 * sigma / levels) if sigma > 0 else np.float32(1)
    zero = np.float32(mean - 5 * sigma)
    offset = np.float32(0.499999 - np.float32(zero / scale))
    t = np.float32(np.float32(values / scale) + offset)
    return np.where((t > -1) & (t < levels), np.trunc(t), -1).astype(int), levels, scale, zero


def clipped(counts, levels, scale, zero):
    counts = np.concatenate([counts[:levels], [0, 0]])
    low, high, sigma, previous, median = 0, levels - 1, 10.0 * (levels - 1), 1.0, 0.0
    mean = float(zero)  # for a single level: it is not iterated
    for _ in range(100):
        if not (sigma >= 0.1 and abs(sigma / previous - 1) > 1e-4):
            break
        previous = sigma
        mean, sigma = moments(np.repeat(np.arange(low, high + 1), counts[low : high + 1]))
        median = naive_median(counts, low, high)
        bottom, top = median - 3 * sigma, median + 3 * sigma
        low = int(bottom + 0.5) if bottom > 0 else 0
        high = int(top + 0.5) if top < levels - 1 else levels - 1
    if sigma == 0:
        value = float(zero) + mean * float(scale)
    elif abs(mean - median) / sigma < 0.3:
        value = float(zero) + (2.5 * median - 1.5 * mean) * float(scale)
    else:
        value = float(zero) + median * float(scale)
    return np.float32(value), np.float32(sigma * float(scale))


@quick
@given(
    st.integers(0, 10**6),
    st.integers(1, 300),
    st.sampled_from([0.0, 0.3, 5.0]),
    st.sampled_from([0.0, 0.6, 50.0]),
)
def test_mode_of_a_mesh(seed, pixels, spread, outliers):
    rng = np.random.default_rng(seed)
    image = rng.normal(600, spread, (1, pixels)).astype(np.float32)
    image += (rng.random(image.shape) < 0.1) * np.float32(outliers)
    variance = rng.uniform(1, 1 + spread, image.shape).astype(np.float32)
    config = DetectConfig(back_size=(pixels, 1), back_filter_size=(1, 1))
    background = estimate_background(image, variance, config)
    level, rms, noise, _ = naive_mode(image[0], variance[0])
    assert background.level_map[0, 0] == level
    assert background.rms_map[0, 0] == rms
    assert background.variance_map[0, 0] == noise


@quick
@given(
    hnp.arrays(bool, (6, 9)), hnp.arrays(bool, 6), st.integers(0, 3), st.integers(0, 3),
    st.integers(0, 1000), st.sets(st.integers(1, 5)),
)  # fmt: skip
def test_interpolation_copies_left_then_up(bad, clean, max_x, max_y, seed, cuts):
    bad[clean] = False
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
    counts = bad.sum(axis=1)
    original, again = image.copy(), variance.copy()
    edges = [0, *sorted(cuts), 6]
    for first, last in itertools.pairwise(edges):
        weight_nb.interpolate_bad(image, variance, counts, BIG, max_x, max_y, True, first, last)
    assert np.array_equal(image, expected)
    assert np.array_equal(variance, expected_variance)
    weight_nb.interpolate_bad(original, again, counts, BIG, max_x, max_y, False, 0, 6)
    assert np.array_equal(again, expected_variance)
    assert not np.array_equal(original, expected) or np.array_equal(image, original)


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
    bent = background_nb.spline_curvature(level)
    background_nb.spline_rows(level, bent, mesh, 0, out.shape[0], out)
    if shape[1] > 1:
        # Nodes lie on the mesh centres in x; in y half a pixel off, so look at one row of meshes.
        single = np.empty((17, out.shape[1]), np.float32)
        row = level[:1].copy()
        flat = background_nb.spline_curvature(row)
        background_nb.spline_rows(row, flat, mesh, 0, 17, single)
        np.testing.assert_allclose(single[5, 8::17], level[0], rtol=1e-3)
    assert abs(out.mean() - level.mean()) < 4
    part = np.empty((3, out.shape[1]), np.float32)
    background_nb.spline_rows(level, bent, mesh, 7, 10, part)
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


def held(on, capacity, min_area=1):
    runs = naive_runs(on)
    ones = np.ones(int(on.sum()), np.float32)
    return components_nb.list_cut_components(runs, ones, ones, min_area, on.shape, capacity)


@quick
@given(masks)
def test_components_are_the_same_with_a_stack_that_holds_all_pixels(on):
    starts, pixels, *_, order, flags, closings = held(on, int(on.sum()) + 2)
    expected_starts, expected = components(on)
    assert not flags.any()
    # Both are in reading order; those completed on one line may come in another order.
    lists = {tuple(pixels[a:b]) for a, b in itertools.pairwise(starts)}
    assert lists == {tuple(expected[a:b]) for a, b in itertools.pairwise(expected_starts)}
    np.testing.assert_array_equal(closings, components_nb.last_pixels(starts, pixels, on.shape[1]))
    assert components_nb.most_held(naive_runs(on), components_nb.join_runs(naive_runs(on))) >= max(
        np.diff(starts), default=0
    )
    assert sorted(order) == sorted(i for n in np.diff(starts) for i in range(n))


def test_a_full_stack_leaves_the_first_pixel_of_the_largest_component():
    on = np.zeros((12, 20), bool)
    on[1:9, 2:12] = on[0:3, 15:17] = True  # 80 pixels, and 6 on the border
    starts, pixels, *_, flags, _ = held(on, 60)
    assert np.diff(starts).tolist() == [6, 80 - 58 + 1]  # the small one is complete by then
    assert flags.tolist() == [0, 128]
    assert pixels[6] == 22
    assert pixels[-1] == 8 * 20 + 11
    starts, _, *_, flags, _ = held(on, 10)
    assert (flags & 128).all()
    assert (flags & 8).any()


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
        counts, flags = np.empty(1, np.int64), np.zeros(1, np.int16)
        components_nb.deblend_components(
            starts, pixels, values, thresholds, 30, levels, contrast, 5, 0, 1, one, out, ends,
            tops, counts, flags, False,
        )  # fmt: skip
        assert not flags[0]
        assert sorted(one) == list(range(n))
        return counts[0], out, ends

    assert deblend(1, 0.001)[0] == 1
    assert deblend(32, 0.9)[0] == 1
    count, out, ends = deblend(32, 0.001)
    assert count == 2
    columns = [pixels[out[: ends[0]]] % 30, pixels[out[ends[0] : ends[1]]] % 30]
    assert sorted(round(c.mean()) for c in columns) == [9, 19]


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
