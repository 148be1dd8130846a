"""Deblending, cleaning and backgrounds against the rules written out in Python, without haste."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from purepipe.config import DetectConfig
from purepipe.detect import background_nb, components_nb, objects_nb
from purepipe.detect.exact_engine import find_footprints
from purepipe.detect.footprints import threshold_image
from purepipe.detect.planes import prepare_image
from purepipe.detect.records_nb import BIG, NO_LIMIT, OBJECT
from purepipe.exposure import Exposure
from tests.entry import entry

from .test_finding_kernels import EIGHT, components, naive_runs, quick

start_random = entry(objects_nb.start_random)
next_random = entry(objects_nb.next_random)
choose = entry(objects_nb._choose)

F4 = np.float32
# Eighths of small numbers: sums are exact in single precision, whatever their order.
heights = hnp.arrays(
    np.int64, st.tuples(st.integers(3, 11), st.integers(3, 11)), elements=st.integers(0, 40)
).map(lambda a: (a / 8).astype(np.float32))


# Deblending: an object is a frozenset of pixels (y, x); `values` are those of the image.


def parts_above(pixels, values, level, min_area):
    """Connected parts of some pixels above a level, in raster order of their last pixels."""
    on = np.zeros(values.shape, bool)
    for p in pixels:
        on[p] = values[p] > level
    labels, count = ndimage.label(on, EIGHT)
    parts = [frozenset(zip(*np.nonzero(labels == k + 1), strict=True)) for k in range(count)]
    return sorted((part for part in parts if len(part) >= min_area), key=max)


def naive_deblending(root, values, base, levels, contrast, min_area):
    """Cores and their levels, deepest first; none if the component stays whole."""
    peak, total = max(values[p] for p in root), F4(sum(float(values[p]) for p in root))
    level_of = [base] + [
        F4(float(base) * (float(peak) / float(base)) ** (k / levels)) for k in range(1, levels)
    ]
    tree = [[(root, None)]]
    for k in range(1, levels):
        tree.append(
            [
                (part, i)
                for i, (branch, _) in enumerate(tree[-1])
                for part in parts_above(branch, values, level_of[k], min(min_area, 3))
            ]
        )
    found, ok = [], [[True] * len(level) for level in tree]
    for k in range(levels - 2, -1, -1):
        for i in range(len(tree[k])):
            sons = [j for j, (_, parent) in enumerate(tree[k + 1]) if parent == i]
            ok[k][i] = all(ok[k + 1][j] for j in sons)
            strong = [
                j for j in sons
                if F4(sum(float(values[p]) for p in tree[k + 1][j][0]))
                - F4(level_of[k + 1] * F4(len(tree[k + 1][j][0]))) > float(total) * contrast
            ]  # fmt: skip
            if len(strong) > 1:
                found += [(tree[k + 1][j][0], level_of[k + 1]) for j in strong if ok[k + 1][j]]
                ok[k][i] = False
    return [] if ok[0][0] else found


@quick
@given(heights, st.sampled_from([1, 2, 4, 9]), st.sampled_from([0.0, 0.03, 0.2]), st.integers(1, 5))
def test_deblending_is_the_tree_of_thresholds(values, levels, contrast, min_area):
    base = F4(1)
    starts, pixels = components(values > base, min_area)
    assume(starts.size > 1)
    width, n = values.shape[1], pixels.size
    one, out = np.empty(n, np.int32), np.empty(n, np.int32)
    ends, tops = np.empty(n, np.int64), np.empty(n, np.float32)
    counts, flags = np.empty(starts.size - 1, np.int64), np.zeros(starts.size - 1, np.int16)
    components_nb.deblend_components(
        starts, pixels, values.ravel()[pixels], np.full(n, base), width, levels, contrast, min_area,
        0, starts.size - 1, one, out, ends, tops, counts, flags, False,
    )  # fmt: skip
    assert not flags.any()
    for k, (a, b) in enumerate(itertools.pairwise(starts)):
        place = [divmod(int(p), width) for p in pixels[a:b]]
        expected = naive_deblending(frozenset(place), values, base, levels, contrast, min_area)
        assert counts[k] == max(len(expected), 1)
        begin = 0
        for (core, level), stop, top in zip(expected, ends[a:b], tops[a:b], strict=False):
            assert {place[i] for i in out[a + begin : a + stop]} == core
            assert top == level
            begin = stop


@quick
@given(st.integers(0, 10**6), st.sampled_from([None, ((1.0, 2.0, 1.0),) * 3]), st.integers(1, 6))
def test_objects_divide_the_components_of_the_filtered_image(seed, mask, min_area):
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, (int(rng.integers(1, 30)), int(rng.integers(1, 30))))
    image += ndimage.gaussian_filter(rng.normal(0, 20, image.shape), 1.5)
    config = DetectConfig(
        filter=mask, min_area=min_area, threshold=1.0, threshold_type="absolute",
        back_type="manual", back_value=0.0, deblend_contrast=0.01,
    )  # fmt: skip
    prepared = prepare_image(Exposure(image.astype(np.float32)), config)
    found = threshold_image(prepared, config)
    prints = find_footprints(prepared, found, config)
    kernel = np.array(mask or ((1.0,),)) / np.sum(mask or 1.0)
    smooth = ndimage.correlate(image.astype(np.float32).astype(float), kernel, mode="constant")
    assume((np.abs(smooth - 1) > 1e-5).all())  # rounding does not decide
    assert np.array_equal(found.runs, naive_runs(smooth > 1))
    labels, _ = ndimage.label(smooth > 1, EIGHT)
    sizes = np.bincount(labels.ravel())
    large = {k for k in range(1, sizes.size) if sizes[k] >= min_area}
    seen = np.zeros(image.size, int)
    for k, obj in enumerate(prints.objects):
        mine = prints.pixels[prints.starts[k] : prints.starts[k + 1]]
        seen[mine] += 1
        (label,) = set(labels.ravel()[mine])
        same = labels.ravel()[prints.pixels[prints.starts[:-1]]][
            prints.objects["parent"] == obj["parent"]
        ]
        assert set(same) == {label}
        y, x = np.divmod(mine, image.shape[1])
        assert (obj["npix"], obj["xmin"], obj["ymax"]) == (mine.size, x.min(), y.max())
        assert obj["flux"] == pytest.approx(smooth.ravel()[mine].sum(), rel=1e-5)
    assert np.array_equal(seen, np.isin(labels.ravel(), list(large)).astype(int))


@quick
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_pixels_fall_to_objects_by_their_shares(seed, count):
    rng = np.random.default_rng(seed)
    objects = random_objects(rng, count)
    amplitudes = rng.uniform(1, 50, count).astype(np.float32)
    state = np.zeros(35, np.int64)
    start_random(state)
    x, y = (int(v) for v in rng.integers(0, 40, 2))
    shares, distances = [F4(0)], []
    for obj, amplitude in zip(objects, amplitudes, strict=True):
        dx, dy = F4(x - obj["x"]), F4(y - obj["y"])
        d = F4(0.5) * (obj["cxx"] * dx * dx + obj["cyy"] * dy * dy + obj["cxy"] * dx * dy)
        distances.append(d / obj["profile"])
        add = amplitude * F4(math.exp(-float(distances[-1]))) if distances[-1] < 70 else F4(0)
        shares.append(shares[-1] + add)
    draw = next_random(state.copy())
    expected = int(np.argmin(distances))
    if shares[-1] > 1e-31:
        limit = F4(shares[-1] * F4(draw)) / F4(2147483647)
        expected = next((i for i in range(count) if shares[i + 1] >= limit), expected)
    scratch = np.empty(count, np.float32)
    got = choose(objects, amplitudes, x, y, scratch, state)
    assert got == expected
    assert list(scratch) == shares[1:]


# Cleaning


def random_objects(rng, count):
    """Ellipses along the axes on 40 x 40 pixels, in the order in which they are completed."""
    objects = np.zeros(count, OBJECT)
    for name, low, high in (
        ("x", 0, 40), ("a", 1.5, 4), ("threshold", 1, 2), ("flux", 30, 900), ("npix", 5, 60),
        ("clean_threshold", 0, 6), ("profile", 0.6, 1), ("peak", 5, 90),
    ):  # fmt: skip
        objects[name] = rng.uniform(low, high, count)
    objects["b"] = objects["a"] * rng.uniform(0.5, 1, count).astype(np.float32)
    objects["cxx"], objects["cyy"] = objects["a"] ** -2.0, objects["b"] ** -2.0
    lines = np.sort(rng.integers(3, 40, count))
    objects["ymax"] = objects["last_line"] = lines
    objects["ymin"] = objects["first_line"] = np.maximum(lines - rng.integers(0, 9, count), 0)
    objects["y"] = (objects["ymin"] + objects["ymax"]) / 2
    objects["iso_flux"] = objects["flux"] * F4(0.5)
    return objects


def influence(obj, beta, dx, dy):
    a, b, cxx, cyy, cxy, flux, profile, threshold = (
        float(obj[name]) for name in ("a", "b", "cxx", "cyy", "cxy", "flux", "profile", "threshold")
    )
    unit = objects_nb.PI * a * b
    amplitude = flux / (2 * unit * profile)
    alpha = ((amplitude / threshold) ** (1 / beta) - 1) * unit / int(obj["npix"])
    g = 1 + alpha * (cxx * dx * dx + cyy * dy * dy + cxy * dx * dy)
    return amplitude * g**-beta if 1 < g < 1e10 else 0.0


def naive_cleaning(objects, beta):
    """The active list at the end, who swallowed whom, and the first line that each may touch.

    That line counts objects that were swallowed on arrival, but none swallowed later.
    """
    active, swallower, first_line = [], {}, {}

    def swallow(winner, loser):
        swallower[loser] = winner
        for name in ("npix", "flux", "iso_flux"):
            objects[name][winner] += objects[name][loser]
        objects["ymin"][winner] = min(objects["ymin"][winner], objects["ymin"][loser])
        objects["ymax"][winner] = max(objects["ymax"][winner], objects["ymax"][loser])

    for new in range(objects.size):
        victims, winner = [], None
        for place, old in enumerate(active):
            dx, dy = (float(objects[n][old] - objects[n][new]) for n in ("x", "y"))
            reach = float(objects["a"][old] + objects["a"][new])
            if dx * dx + dy * dy >= 100 * reach * reach:
                continue
            if objects["flux"][new] > objects["flux"][old]:
                if influence(objects[new], beta, dx, dy) > objects["clean_threshold"][old]:
                    victims.append(place)
            elif influence(objects[old], beta, dx, dy) > objects["clean_threshold"][new]:
                winner = old
                break
        if winner is not None:
            swallow(winner, new)
            continue
        for place in reversed(victims):
            swallow(new, active[place])
            active[place] = active[-1]
            active.pop()
        active.append(new)
        first_line[new] = first_line_of(objects[new])
    return active, swallower, first_line


@quick
@given(st.integers(0, 10**6), st.integers(1, 25), st.sampled_from([0.3, 1.0, 4.0]))
def test_cleaning_merges_faint_neighbours(seed, count, beta):
    objects = random_objects(np.random.default_rng(seed), count)
    expected = objects.copy()
    active, swallower, first_line = naive_cleaning(expected, beta)
    source, lines = np.empty(count, np.int64), np.empty((count, 5), np.int64)
    survivor, returned = np.arange(count), np.full((count + 2, 2), -1, np.int32)
    settings = (41, 1024, 2, 2, 2, 0, 3000, True, beta, 0)
    rows = objects_nb.order_objects(objects, settings, source, lines, returned, survivor)
    assert {i: int(w) for i, w in enumerate(survivor) if w != i} == swallower
    for name in ("npix", "flux", "iso_flux", "ymin", "ymax"):
        assert np.array_equal(objects[name][active], expected[name][active])
    # First those that reach the first line, from the end of the list; then always the first one.
    order = []
    for place in range(len(active) - 1, -1, -1):
        if first_line[active[place]] <= 0:
            order.append(active[place])
            active[place] = active[-1]
            active.pop()
    while active:
        order.append(active[0])
        active[0] = active[-1]
        active.pop()
    assert list(source[:rows]) == order
    assert ((lines[:rows, 0] == 0) & (lines[:rows, 1] == 41)).all()
    swallowed = returned[np.array([i + 2 for i in swallower], int), 0]
    assert ((swallowed > 0) & (swallowed <= 41)).all()
    assert (lines[:rows, 2] <= NO_LIMIT).all()


def first_line_of(obj):
    """The first line that a measurement may touch, without apertures."""
    height = 1 / math.sqrt(3 * float(obj["cyy"]))
    g = int(2 * max(height, float(obj["ymax"] - obj["ymin"] + 1)) + 4.49999)
    return min(obj["ymin"] - g, int(obj["y"] + 0.49999))


# Background


@quick
@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 7), st.integers(1, 7)),
               elements=st.sampled_from([-1, -1, 1, 2, 3, 50])),
)  # fmt: skip
def test_bad_meshes_take_the_mean_of_all_nearest_good_ones(level):
    bad = level < 0
    maps = np.stack([np.where(bad, -BIG, level * k) for k in (1, 2, 3, 4)]).astype(np.float32)
    filled = maps.copy()
    background_nb.fill_bad_meshes(filled)
    good = np.argwhere(~bad)
    for place in np.argwhere(bad):
        if not good.size:
            assert list(filled[:, *place]) == [0, 1, 0, 1]
            continue
        distances = ((good - place) ** 2).sum(axis=1)
        nearest = good[distances == distances.min()]
        values = [level[tuple(p)] for p in nearest]
        for k in range(4):
            assert filled[k, *place] == F4(F4(sum(values) * (k + 1)) / F4(len(values)))
    assert np.array_equal(filled[:, ~bad], maps[:, ~bad])


def naive_curvature(values):
    """Second derivatives of the background's spline, divided by 6, and 0 at the ends."""
    n = len(values)
    c, u, d = [0.0] * n, [0.0] * n, [0.0] * n
    for k in range(1, n - 1):
        c[k] = -1 / (c[k - 1] + 4)
        u[k] = c[k] * (u[k - 1] - 6 * (values[k + 1] + values[k - 1] - 2 * values[k]))
    for k in range(n - 2, 0, -1):
        d[k] = (c[k] * d[k + 1] + u[k]) / 6
    return d


def naive_spline(values, t, node):
    """The spline at the fraction `t` between a node and the next one."""
    if len(values) == 1:
        return values[0]
    d, s = naive_curvature(values), 1 - t
    bend = (s**3 - s) * d[node] + (t**3 - t) * d[node + 1]
    return s * values[node] + t * values[node + 1] + bend


@quick
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(2, 5), st.integers(3, 5)),
               elements=st.floats(-100, 100, width=32)),
    st.integers(4, 9), st.integers(4, 9), st.data(),
)  # fmt: skip
def test_background_is_a_spline_in_y_then_in_x(level, bw, bh, data):
    ny, nx = level.shape
    out = np.empty((ny * bh, nx * bw), np.float32)
    background_nb.spline_rows(
        level, background_nb.spline_curvature(level), (bw, bh), 0, ny * bh, out
    )
    y, x = data.draw(st.integers(0, ny * bh - 1)), data.draw(st.integers(0, nx * bw - 1))
    t = y / bh - 0.5
    node = min(max(math.floor(t), 0), ny - 2)
    column = [naive_spline(level[:, i].astype(float), t - node, node) for i in range(nx)]
    t = (x + 0.5) / bw - 0.5  # nodes at the centres of the meshes
    node = min(max((x - bw // 2) // bw, 0), nx - 2)
    assert out[y, x] == pytest.approx(naive_spline(column, t - node, node), abs=0.02)


@pytest.mark.parametrize("levels", [2, 3, 7, 32])
def test_a_saddle_splits_an_object_at_its_level_to_the_bit(levels):
    """The levels come from double precision: found with the original, 200 of 200 saddles."""
    base, rng = F4(11.3), np.random.default_rng(levels)
    config = DetectConfig(
        filter=None, back_type="manual", threshold_type="absolute", threshold=float(base),
        min_area=2, deblend_levels=levels, deblend_contrast=0, clean=False, columns=("NUMBER",),
    )  # fmt: skip
    for peak in rng.uniform(100, 5000, 25).astype(F4):
        highest = float(base) * (float(peak) / float(base)) ** ((levels - 1) / levels)
        for saddle, count in ((F4(highest), 2), (np.nextafter(F4(highest), F4(np.inf)), 1)):
            image = np.zeros((9, 16), F4)
            image[3:5, 4:6] = image[3:5, 7:9] = peak
            image[3:5, 6] = saddle, base * F4(1.1)
            found = threshold_image(prepare_image(Exposure(image), config), config)
            prints = find_footprints(prepare_image(Exposure(image), config), found, config)
            assert prints.objects.size == count
