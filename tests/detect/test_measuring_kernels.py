"""The kernels of the apertures against plain sums over all pixels of small random images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from purepipe.detect import aperture_nb, ellipse_nb, growth_nb, pixels_nb, stamps_nb
from purepipe.detect.records_nb import BIG, MEASURED, OBJECT, Mask, Plane
from tests.entry import entry

area_steps = entry(pixels_nb.area_steps)
aperture_flux = entry(aperture_nb.aperture_flux)
growth_curve = entry(growth_nb.growth_curve)
cut_vignet = entry(stamps_nb.cut_vignet)
shift_vignet = entry(stamps_nb.shift_vignet)
measure_auto = entry(ellipse_nb.measure_auto)

quick = settings(max_examples=40, deadline=None)
SHAPE = (17, 15)
images = hnp.arrays(np.float32, SHAPE, elements=st.floats(-50, 200, width=32))
owners = hnp.arrays(np.int32, SHAPE, elements=st.sampled_from([0, 0, 0, 2, 3]))
places = st.tuples(st.floats(4, 10), st.floats(4, 12))


def scene(image, labels, *, mirror=False):
    plane = Plane(
        image, np.zeros((1, 1), np.float32), False, BIG, np.float32(2), np.float32(4), 0.0, False
    )
    return plane, Mask(labels, np.full((4, 2), -1, np.int32), True, mirror)


def seen(image, labels, place, *, mirror):
    """Values that the apertures of object 2 see."""
    out = np.array(image, float)
    for y, x in zip(*np.nonzero(labels == 3), strict=True):
        out[y, x] = 0
        x2, y2 = int(2 * place[0] + 0.49999 - x), int(2 * place[1] + 0.49999 - y)
        inside = 0 <= x2 < SHAPE[1] and 0 <= y2 < SHAPE[0]
        if mirror and inside and labels[y2, x2] != 3:
            out[y, x] = image[y2, x2]
    return out


def subpixel_areas(place, r, n=5):
    """Part of every pixel within a circle, by the centres of its n x n parts."""
    offsets = (np.arange(n) - (n - 1) / 2) / n
    x = np.arange(SHAPE[1])[:, None] + offsets - place[0]
    y = np.arange(SHAPE[0])[:, None] + offsets - place[1]
    inside = (x**2)[None, :, None, :] + (y**2)[:, None, :, None] < r * r
    return inside.mean(axis=(2, 3))


def within_circle(values, place, r):
    """Least and largest flux in a circle whose rim rounding may move to either side."""
    inner, outer = (subpixel_areas(place, r * (1 + step)) for step in (-1e-6, 1e-6))
    sums = ((inner * values), (outer * values))
    return np.minimum(*sums).sum() - 0.01, np.maximum(*sums).sum() + 0.01


@quick
@given(images, owners, places, st.floats(1, 4), st.booleans(), st.floats(-3, 3, width=32))
def test_circle_is_the_sum_over_subpixels(image, labels, place, r, mirror, offset):
    place = tuple(float(np.float32(v)) for v in place)
    r = float(np.float32(r))
    plane, mask = scene(image, labels, mirror=mirror)
    flux, error, cut = aperture_flux(
        plane, mask, 2, *place, r, (0, SHAPE[0]), area_steps(5), np.float32(offset)
    )
    least, most = within_circle(seen(image, labels, place, mirror=mirror) - offset, place, r)
    assert least <= flux <= most
    least, most = within_circle(np.full(SHAPE, 4.0), place, r)
    assert math.sqrt(least) <= error <= math.sqrt(most)
    box = (place[0] - r, place[1] - r, place[0] + r, place[1] + r)
    assert not cut or min(box[:2]) < 0.5 or box[2] > SHAPE[1] - 1.5 or box[3] > SHAPE[0] - 1.5


def round_object(place, a, b, theta):
    objects = np.zeros(1, OBJECT)
    c, s = math.cos(theta), math.sin(theta)
    objects["x"], objects["y"], objects["a"], objects["b"] = *place, a, b
    objects["cxx"] = c * c / a**2 + s * s / b**2
    objects["cyy"] = s * s / a**2 + c * c / b**2
    objects["cxy"] = 2 * c * s * (1 / a**2 - 1 / b**2)
    return objects[0]


@quick
@given(images, owners, places, st.floats(0.6, 1.6), st.floats(0.5, 1), st.floats(0, 3))
def test_kron_ellipse_is_the_sum_over_pixels(image, labels, place, a, ratio, theta):
    obj = round_object(place, a, a * ratio, theta)
    plane, mask = scene(image, labels, mirror=True)
    out = np.zeros(1, MEASURED)
    kron = (2.5, 3.5, 0.0, 0.0)
    measure_auto(obj, plane, plane, mask, 2, kron, (0, SHAPE[0]), out[0])
    yy, xx = np.indices(SHAPE)
    dx, dy = xx - np.float32(place[0]), yy - np.float32(place[1])
    r2 = obj["cxx"] * dx * dx + obj["cyy"] * dy * dy + obj["cxy"] * dx * dy
    first = (r2 <= 36) & (labels != 3)
    total, moment = image[first].sum(), (np.sqrt(np.maximum(r2, 0)) * image)[first].sum()
    radius = 3.5
    if total > 1 and moment > 1:
        radius = max(2.5 * moment / total, 3.5)
    elif total > -1 and moment > -1:
        return  # rounding decides
    distances = np.sqrt(np.maximum(r2, 0))
    if (np.minimum(np.abs(distances - radius), np.abs(distances - 6)) < 1e-4).any():
        return  # a pixel on a rim
    expected = seen(image, labels, place, mirror=True)[r2 <= radius * radius].sum()
    assert out[0]["auto_flux"] == pytest.approx(expected, rel=1e-4, abs=0.1)
    if out[0]["auto_flux"] > 0:
        assert out[0]["kron_radius"] == pytest.approx(radius, rel=1e-4)


@quick
@given(images, owners, places, st.floats(1, 2))
def test_growth_curve_ends_with_the_whole_flux(image, labels, place, a):
    obj = round_object(place, a, a, 0.0)
    curve = np.empty(64)
    plane, mask = scene(image, labels, mirror=True)
    limit, _ = growth_curve(obj, plane, mask, 2, 0.0, (0, SHAPE[0]), curve)
    assert limit == pytest.approx(6 * a)
    values = seen(image, labels, place, mirror=True)
    for k in (15, 40, 63):
        least, most = within_circle(values, place, limit * (k + 1) / 64)
        assert least <= curve[k] <= most


@quick
@given(images, owners, places)
def test_vignet_is_a_slice(image, labels, place):
    plane, mask = scene(image, labels)
    out = np.empty((5, 7), np.float32)
    cut_vignet(plane, mask, 2, *place, (0, SHAPE[0]), out)
    x, y = int(place[0] + 0.49999) - 3, int(place[1] + 0.49999) - 2
    padded = np.pad(np.where(labels == 3, -BIG, image), 8, constant_values=-BIG)
    assert np.array_equal(out, padded[y + 8 : y + 13, x + 8 : x + 15])


@quick
@given(images, places)
def test_shifted_vignet_is_a_lanczos_interpolation(image, place):
    plane, mask = scene(image, np.zeros(SHAPE, np.int32))
    out = np.empty((3, 3), np.float32)
    shift_vignet(plane, mask, 2, *place, (0, SHAPE[0]), out)
    along, across = (
        np.sinc(t) * np.sinc(t / 4) * (np.abs(t) < 4)
        for t in (np.arange(n) - np.float64(np.float32(p))
                  for n, p in zip((SHAPE[1] + 20, SHAPE[0] + 20),
                                  (place[0] + 10, place[1] + 10), strict=True))
    )  # fmt: skip
    padded = np.pad(image.astype(float), 10)
    expected = across @ padded @ along / across.sum() / along.sum()
    assert out[1, 1] == pytest.approx(expected, rel=1e-3, abs=0.02)
