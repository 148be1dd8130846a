"""Isophotes, Petrosian rings, frames and outlines against the rules written out pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purepipe.detect import draw_nb, ellipse_nb, footprint_nb, local_nb
from purepipe.detect.records_nb import NO_LIMIT, OBJECT
from tests.entry import entry

from .test_measuring_kernels import SHAPE, images, owners, places, quick, round_object, scene

measure_isophote = entry(footprint_nb.measure_isophote)
measure_errors = entry(footprint_nb.measure_errors)
petro_radius = entry(ellipse_nb._petro_radius)
frame_values = entry(local_nb.frame_values)

F4 = np.float32
FLAT = np.full((1, 1), 3, F4), (64, 64)  # a background of 3 and its mesh


@quick
@given(images, owners, st.floats(2, 90, width=32), st.sampled_from([0.0, 1.7]))
def test_isophote_sums_the_pixels_of_the_object(image, labels, threshold, gain):
    pixels = np.flatnonzero(labels == 2)
    if not pixels.size:
        return
    plane, _ = scene(image, labels)
    plane = plane._replace(gain=gain)
    objects = np.zeros(1, OBJECT)
    objects["a"], objects["b"] = 2, 1.5
    measure_isophote(objects[0], pixels, plane, F4(threshold), 120.0, *FLAT)
    obj, values = objects[0], image.ravel()[pixels]
    total = values.astype(float).sum()
    assert obj["iso_flux"] == F4(total)
    photons = total / gain if gain and total > 0 else 0
    assert obj["iso_variance"] == pytest.approx(4 * pixels.size + photons, rel=1e-6)
    assert obj["iso_area"] == (values > F4(threshold)).sum()
    assert obj["iso_max"] == values.max()
    assert bool(obj["flags"] & 4) == (values.max() + F4(3) >= 120)
    if values.max() > threshold:
        ratio = float(F4(values.max() / F4(threshold)))
        for k in range(8):
            level = F4(float(F4(threshold)) * ratio ** (k / 8))
            assert obj["iso_levels"][k] == (values > level).sum()


@quick
@given(images, owners)
def test_errors_of_the_centre_are_weighted_sums(image, labels):
    y, x = np.nonzero(labels == 2)
    pixels, values = y * SHAPE[1] + x, image[labels == 2] + F4(60)
    if not pixels.size:
        return
    objects = np.zeros(1, OBJECT)
    objects["x"], objects["y"], objects["flux"] = x.mean(), y.mean(), values.sum()
    measure_errors(objects[0], pixels, values, SHAPE[1], F4(4), 2.0)
    noise = 4 + np.maximum(values, 0) / 2
    dx, dy = x - x.mean(), y - y.mean()
    for name, product in (("errx2", dx * dx), ("erry2", dy * dy), ("errxy", dx * dy)):
        wanted = (noise * product).sum() / float(objects[0]["flux"]) ** 2
        assert objects[0][name] == pytest.approx(wanted, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.8, 1.3, 2.1])
def test_width_is_that_of_the_gaussian_whose_logarithm_is_a_line(sigma):
    yy, xx = np.indices((21, 21))
    image = (500 * np.exp(-((xx - 10.2) ** 2 + (yy - 9.9) ** 2) / 2 / sigma**2)).astype(F4)
    objects = np.zeros(1, OBJECT)
    objects["x"], objects["y"], objects["a"], objects["b"] = 10.2, 9.9, sigma, sigma
    plane, _ = scene(image, np.zeros(image.shape, np.int32))
    measure_isophote(objects[0], np.flatnonzero(image.ravel() > 5), plane, F4(5), 1e9, *FLAT)
    width = 2.3548 * sigma
    assert objects[0]["fwhm"] == pytest.approx(width - 1 / (4 * width), rel=1e-4)


@quick
@given(images, owners, places, st.floats(0.8, 1.2))
def test_petrosian_radius_is_where_the_ring_falls_to_a_fifth(image, labels, place, a):
    image = np.round(image) + F4(0.5)
    plane, mask = scene(image.astype(F4), labels)
    obj = round_object(place, a, a, 0.0)
    got = petro_radius(obj, plane, mask, 2, 0.0, (0, SHAPE[0]))[0]
    yy, xx = np.indices(SHAPE)
    r = np.hypot(xx - F4(place[0]), yy - F4(place[1])) / a
    usable = labels != 3
    edges = np.arange(1, 18) * 0.3
    if (np.abs(r[..., None] - np.concatenate([edges, edges * 1.1, edges * 1.2])) < 1e-4).any():
        return  # rounding decides on which side of an edge a pixel lies
    wanted = 0.0
    for inner in edges[1.2 * edges < 6 - 1e-9]:
        ring = image[usable & (r >= inner) & (r <= 1.2 * inner)]
        disk = image[usable & (r < 1.1 * inner)]
        if not (ring.size and disk.size):
            wanted = 0.0
            continue
        wanted = 1.1 * inner if ring.sum() and disk.sum() else 0.0
        if ring.mean() < 0.2 * disk.mean():
            break
    assert got == pytest.approx(wanted, abs=1e-3)


@quick
@given(images, owners, st.integers(0, 3), st.integers(4, 9), st.integers(4, 9))
def test_frame_is_the_surroundings_without_detections(image, labels, thickness, x, y):
    plane, mask = scene(image, labels)
    box = (x, x + 2, y, y + 4)
    out = np.empty(400, F4)
    known = (NO_LIMIT, 0, NO_LIMIT)
    n = frame_values(box, plane, mask, 2, thickness, known, (0, SHAPE[0]), out)
    x0, x1, y0, y1 = x, x + 2, y - 1, y + 5  # widened by int(3 / 4) and int(5 / 4)
    outer = (x0 - thickness, x1 + thickness, y0 - thickness, y1 + thickness)
    if min(outer[0], outer[2]) < 0 or outer[1] >= SHAPE[1] - 1 or outer[3] >= SHAPE[0] - 1:
        assert n == 0
        return
    expected = [
        image[j, i]
        for j in range(outer[2], outer[3] + 1)
        for i in range(outer[0], outer[1] + 1)
        if not (x0 <= i <= x1 and y0 <= j <= y1) and labels[j, i] != 3
    ]
    assert out[:n].tolist() == expected


@quick
@given(places, st.floats(2, 6), st.floats(0.5, 1), st.floats(0, 180), st.booleans())
def test_outline_is_a_polygon_of_36_sides(place, a, ratio, theta, dashed):
    image = np.zeros(SHAPE, F4)
    draw_nb.draw_ellipse(image, *place, a, a * ratio, theta, dashed, F4(1))
    t = np.arange(37) * math.pi / 18
    u, v = a * np.cos(t).astype(F4).astype(float), a * ratio * np.sin(t).astype(F4).astype(float)
    c, s = math.cos(math.radians(theta)), math.sin(math.radians(theta))
    corners = np.column_stack([place[0] + u * c - v * s, place[1] + u * s + v * c])
    wanted = np.zeros(SHAPE, F4)
    for k in range(1, 37, 2 if dashed else 1):
        (p0, q0), (p1, q1) = corners[k - 1], corners[k]
        steep = not abs(p1 - p0) > abs(q1 - q0)
        if abs(abs(p1 - p0) - abs(q1 - q0)) < 1e-9:
            return  # rounding decides
        along, across = ((q0, q1), (p0, p1)) if steep else ((p0, p1), (q0, q1))
        first, last = (math.floor(value + 0.5) for value in along)
        for i in range(first, last, 1 if last > first else -1):
            i += 1 if last > first else -1
            place_across = across[0] + (i - along[0]) * (across[1] - across[0]) / (
                along[1] - along[0]
            )
            j = math.floor(place_across + 0.5)
            if abs(place_across + 0.5 - round(place_across + 0.5)) < 1e-9:
                return
            y, x = (i, j) if steep else (j, i)
            if 0 <= y < SHAPE[0] and 0 <= x < SHAPE[1]:
                wanted[y, x] += 1
    assert np.array_equal(image, wanted)
