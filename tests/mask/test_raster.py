"""The rasteriser against WeightWatcher's own maps, and against its definition."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purepipe.errors import ConfigError, DataError
from purepipe.mask.raster import rasterise
from purepipe.mask.raster_nb import count_values

CASES = json.loads((Path(__file__).parents[1] / "reference/mask/raster_cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{c['kind']}" for n, c in enumerate(CASES)])
def test_stored_weightwatcher_maps(case):
    mask = rasterise([case["vertices_fits"]], (case["ny"], case["nx"]), origin=1)
    y, x = np.nonzero(mask)
    assert (len(x), x.sum(), y.sum()) == (case["npix"], case["sum_x0"], case["sum_y0"])
    assert hashlib.sha1(np.packbits(mask > 0).tobytes()).hexdigest() == case["sha1"]


@pytest.mark.parametrize(
    ("left", "right", "bottom", "top", "columns", "rows"),
    [
        (50.5, 70.5, 50.5, 60.5, (50, 69), (51, 60)),
        (50, 70, 50, 60, (50, 69), (51, 60)),
        (50.1, 50.9, 50, 60, (50, 50), (51, 60)),
        (50.6, 50.9, 50, 60, None, None),
        (20, 40, 50.2, 50.8, None, None),
    ],
)
def test_weightwatcher_shifts_to_the_left(left, right, bottom, top, columns, rows):
    box = [(left, bottom), (right, bottom), (right, top), (left, top)]
    y, x = np.nonzero(rasterise([box], (100, 100), origin=1))
    if columns is None:
        assert len(x) == 0
    else:
        # the numbers in the specification are 1-based
        assert (x.min() + 1, x.max() + 1) == columns
        assert (y.min() + 1, y.max() + 1) == rows


def even_odd(vertices, shape):
    """Pixels whose centre is inside, by the definition, edge after edge."""
    ny, nx = shape
    inside = np.zeros(shape, bool)
    j, i = np.mgrid[:ny, :nx]
    for (x1, y1), (x2, y2) in zip(np.roll(vertices, 1, axis=0), vertices, strict=True):
        if y1 == y2:
            continue
        crossed = (j > y1) != (j > y2)
        inside ^= crossed & (i >= x1 + (j - y1) * (x2 - x1) / (y2 - y1))
    return inside


@pytest.mark.parametrize("seed", range(20))
def test_centre_rule_is_even_odd_at_the_pixel_centre(seed):
    rng = np.random.default_rng(seed)
    vertices = rng.uniform(-15, 60, (rng.integers(3, 12), 2))
    mask = rasterise([vertices], (40, 50), rule="centre")
    np.testing.assert_array_equal(mask, even_odd(vertices, (40, 50)))


def test_values_are_bitwise_or_ed():
    a = [(0, 0), (10, 0), (10, 10), (0, 10)]
    b = [(5, 5), (15, 5), (15, 15), (5, 15)]
    mask = rasterise([a, b, a], (20, 20), value=[2, 128, 2], rule="centre")
    assert set(np.unique(mask)) == {0, 2, 128, 130}


def test_out_is_drawn_into():
    out = np.full((20, 20), 4, np.int32)
    result = rasterise([[(3, 3), (8, 3), (8, 8), (3, 8)]], (20, 20), value=3, out=out)
    assert result is out
    assert set(np.unique(out)) == {4, 7}


@pytest.mark.parametrize(("overlap", "pixels"), [("union", 3700), ("even-odd", 3300)])
def test_overlap_of_two_squares(overlap, pixels):
    a = np.array([(10, 10), (50, 10), (50, 50), (10, 50)])
    b = np.array([(30, 30), (80, 30), (80, 80), (30, 80)])
    assert np.count_nonzero(rasterise([a, b], (100, 100), overlap=overlap)) == pixels


def test_polygon_with_a_hole():
    outer = np.array([(-0.5, -0.5), (9.5, -0.5), (9.5, 9.5), (-0.5, 9.5)])
    inner = np.array([(3.5, 3.5), (6.5, 3.5), (6.5, 6.5), (3.5, 6.5)])
    mask = rasterise([(outer, inner)], (12, 12), rule="centre")
    assert mask.sum() == 100 - 9
    assert mask[5, 5] == 0


def test_neighbours_share_no_pixel_and_leave_no_gap():
    rng = np.random.default_rng(5)
    centre = np.array([30.3, 28.7])
    angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
    rim = centre + 25 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    slices = [np.array([centre, rim[k], rim[(k + 1) % 9]]) for k in range(9)]
    total = sum(rasterise([piece], (60, 60), rule="centre") for piece in slices)
    np.testing.assert_array_equal(total, rasterise([rim], (60, 60), rule="centre"))


@pytest.mark.parametrize("rule", ["weightwatcher", "centre"])
def test_vertices_far_outside(rule):
    everything = [(-5e12, -5e12), (5e12, -5e12), (5e12, 5e12), (-5e12, 5e12)]
    assert rasterise([everything], (7, 9), rule=rule).sum() == 63
    aside = np.array([(1e4, 0), (2e4, 0), (2e4, 50), (1e4, 50)])
    assert not rasterise([aside, -aside], (30, 40), rule=rule).any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_vertices_draw_nothing(count):
    assert not rasterise([np.full((count, 2), 5.0)], (10, 10)).any()


def test_no_polygon_at_all():
    assert not rasterise([], (10, 10)).any()
    assert not rasterise([], (10, 10), overlap="even-odd").any()


def test_errors_say_what_is_wrong():
    box = [(0, 0), (5, 0), (5, 5)]
    with pytest.raises(ConfigError, match="Did you mean 'centre'"):
        rasterise([box], (9, 9), rule="center")
    with pytest.raises(ConfigError, match="overlap"):
        rasterise([box], (9, 9), overlap="xor")
    with pytest.raises(ConfigError, match="pixel origin"):
        rasterise([box], (9, 9), origin=2)
    with pytest.raises(DataError, match=r"polygon 1: .* finite"):
        rasterise([box, [(0, 0), (np.nan, 1), (2, 2)]], (9, 9))
    with pytest.raises(DataError, match="one value for each polygon"):
        rasterise([box], (9, 9), value=[1, 2])
    with pytest.raises(DataError, match="one value"):
        rasterise([box], (9, 9), value=[1], overlap="even-odd")
    with pytest.raises(DataError, match=r"int32 \(9, 9\)"):
        rasterise([box], (9, 9), out=np.zeros((9, 9)))


coordinate = st.floats(-20, 60, width=32)
polygon = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8)


# The same examples every time: an edge that crosses a row exactly at a pixel centre may fall to
# either side by rounding.
@settings(max_examples=60, deadline=None, derandomize=True)
@given(polygon, st.integers(-7, 7), st.integers(-7, 7), st.integers(0, 7))
def test_pixel_centre_rule_has_the_symmetries_of_polygons(vertices, dx, dy, start):
    vertices = np.round(np.array(vertices) * 64) / 64  # so that shifts are exact
    whole = rasterise([vertices + 20], (80, 80), rule="centre")
    shifted = rasterise([vertices + 20 + (dx, dy)], (80, 80), rule="centre")
    inner = slice(8, -8)
    np.testing.assert_array_equal(
        np.roll(whole, (dy, dx), (0, 1))[inner, inner], shifted[inner, inner]
    )
    turned = np.roll(vertices, start % len(vertices), axis=0)[::-1]
    np.testing.assert_array_equal(rasterise([turned + 20], (80, 80), rule="centre"), whole)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(polygon, min_size=1, max_size=4), st.sampled_from(["weightwatcher", "centre"]))
def test_union_is_the_or_of_each(polygons, rule):
    together = rasterise(polygons, (50, 50), rule=rule)
    alone = [rasterise([vertices], (50, 50), rule=rule) for vertices in polygons]
    np.testing.assert_array_equal(together, np.bitwise_or.reduce(alone))
    parity = rasterise(polygons, (50, 50), rule=rule, overlap="even-odd")
    np.testing.assert_array_equal(parity, np.bitwise_xor.reduce(alone))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_bits_of_a_full_block_are_counted(dtype):
    mask = np.full((2, 300), 3, dtype)
    mask[0, 0] = 0
    assert count_values(mask, np.array([1, 3, 4], np.int32)).tolist() == [599, 599, 0]
