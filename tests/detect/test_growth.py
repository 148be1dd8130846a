"""The rings of the growth curve, against one subpixel after the other in double precision."""

import math

import numpy as np
import pytest

from purepipe.detect import growth_nb
from tests.detect.test_measuring_kernels import round_object, scene
from tests.entry import entry

growth_curve = entry(growth_nb.growth_curve)


def product(r, step):
    """The ring of a radius, as the original computes it."""
    return r * (1.0 / step)


def naive_curve(image, x, y, limit, place_of=product):
    """Cumulative flux as the original adds it up."""
    curve = np.zeros(64)
    step = limit / 64
    for (py, px), value in np.ndenumerate(image):
        dx, dy, value = px - x, py - y, float(value)
        r = math.sqrt(dx * dx + dy * dy)
        rest = r % step
        if step > 1.5 and not (rest < 0.75 or rest > step - 0.75):
            if place_of(r, step) < 64:
                curve[int(place_of(r, step))] += value
            continue
        sy = dy - 0.4
        for _ in range(5):
            sx = dx - 0.4
            for _ in range(5):
                ring = place_of(math.sqrt(sx * sx + sy * sy), step)
                if ring < 64:
                    curve[int(ring)] += 0.04 * value
                sx += 0.2
            sy += 0.2
    for i in range(1, 64):
        curve[i] += curve[i - 1]
    return curve


@pytest.mark.parametrize("least", [0.5, 3.0, 8.0, 20.0, 110.0, 150.0])
@pytest.mark.parametrize("place", [(20.0, 20.0), (19.7, 20.4), (3.123, 36.9)])
def test_growth_curve_has_the_bits_of_a_sum_over_subpixels(least, place):
    """Rings narrower and wider than subpixels and pixels, exactly on their edges too."""
    image = np.random.default_rng(1).normal(10, 30, (41, 41)).astype(np.float32)
    plane, mask = scene(image, np.zeros(image.shape, np.int32), mirror=True)
    curve = np.empty(64)
    limit, _ = growth_curve(
        round_object(place, 0.01, 0.01, 0.0), plane, mask, 2, least, (0, 41), curve
    )
    assert limit == least
    np.testing.assert_array_equal(curve, naive_curve(image, *place, limit))


@pytest.mark.parametrize("least", [20.0, 40.0, 80.0])
def test_rings_follow_the_product_with_the_inverse_step_not_the_quotient(least):
    """FLUX_RADIUS of objects at the centre of a pixel: subpixels on the edges of rings."""
    image = np.zeros((61, 61), np.float32)
    image[30, 31:] = np.arange(30) + 1
    plane, mask = scene(image, np.zeros(image.shape, np.int32), mirror=True)
    curve = np.empty(64)
    growth_curve(round_object((30.0, 30.0), 0.01, 0.01, 0.0), plane, mask, 2, least, (0, 61), curve)
    quotient = naive_curve(image, 30.0, 30.0, least, lambda r, step: r / step)
    assert not np.array_equal(curve, quotient)
    np.testing.assert_array_equal(curve, naive_curve(image, 30.0, 30.0, least))
