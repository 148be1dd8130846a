"""Which images touch a part of the sky."""

import numpy as np
import pytest

from purepipe.errors import ConfigError
from purepipe.survey import box, cone, polygon, touches

from .fields import make_ccd


def footprint(ra, dec, half=0.25, **changes):
    pixels = 200
    ccd = make_ccd(ra=ra, dec=dec, shape=(pixels, pixels), scale=2 * half / pixels, **changes)
    return ccd.wcs.footprint()


def sampled(area_holds, ra, dec, half=0.25):
    """Whether any of many points of a tile lies in the area."""
    ccd = make_ccd(ra=ra, dec=dec, shape=(200, 200), scale=2 * half / 200)
    grid = np.linspace(-0.5, 199.5, 61)
    x, y = np.meshgrid(grid, grid)
    return bool(np.any(area_holds(*ccd.wcs.pixel_to_sky(x.ravel(), y.ravel()))))


def separation(ra, dec, ra0, dec0):
    a, d, a0, d0 = (np.radians(v) for v in (ra, dec, ra0, dec0))
    half = np.sin((d - d0) / 2) ** 2 + np.cos(d) * np.cos(d0) * np.sin((a - a0) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half)))


@pytest.mark.parametrize("centre", [(0.0, 0.0), (359.9, 60.0), (10.0, 89.6), (100.0, -89.9)])
def test_against_many_points(centre):
    rng = np.random.default_rng(4)
    ra0, dec0 = centre
    wide = 0.6 / np.cos(np.radians(abs(dec0)))
    low, high = max(dec0 - 0.3, -90), min(dec0 + 0.2, 90)
    areas = [
        (cone(ra0, dec0, 0.4), lambda ra, dec: separation(ra, dec, ra0, dec0) < 0.4),
    ]
    if wide < 100:
        areas.append((
            box((ra0 - wide / 2) % 360, (ra0 + wide / 2) % 360, low, high),
            lambda ra, dec: (np.abs((ra - ra0 + 180) % 360 - 180) < wide / 2)
            & (dec > low) & (dec < high),
        ))  # fmt: skip
    found = []
    for _ in range(25):
        north = np.clip(dec0 + rng.uniform(-1.2, 1.2), -89.9, 89.9)
        east = (ra0 + rng.uniform(-1.2, 1.2) / np.cos(np.radians(north))) % 360
        for area, holds in areas:
            truth = sampled(holds, east, north)
            if truth:  # the points may miss a touching corner, but never see too much
                assert touches(area, footprint(east, north))
            found.append(truth == touches(area, footprint(east, north)))
    assert np.mean(found) > 0.93


def test_areas_inside_and_around():
    tile = footprint(150.0, 2.0)
    assert touches(cone(150.0, 2.0, 0.001), tile)
    assert touches(cone(150.0, 2.0, 20.0), tile)
    assert touches(box(140, 160, -10, 10), tile)
    assert touches(box(149.99, 150.01, 1.99, 2.01), tile)
    assert touches(polygon([tuple(corner) for corner in tile]), tile)
    assert not touches(cone(330.0, -2.0, 20.0), tile)
    assert not touches(cone(150.0, 3.0, 0.7), tile)


def test_polygon():
    triangle = polygon([(359.5, -0.5), (0.5, -0.5), (0.0, 0.5)])
    assert touches(triangle, footprint(0.0, 0.0, 0.05))
    assert touches(triangle, footprint(0.5, -0.5, 0.05))
    assert not touches(triangle, footprint(0.5, 0.4, 0.05))
    assert not touches(triangle, footprint(359.5, 0.4, 0.05, kind="SIP", angle=30))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cone(0, 0, 0), r"cone: not a radius.*got 0.*0 to 60"),
        (lambda: cone(0, 91, 1), r"not a position on the sky.*91"),
        (lambda: box(0, 1, 2, 1), r"box: not a range of declination.*smaller first"),
        (lambda: box(0, 200, 0, 1), r"box: the box is too large.*200"),
        (lambda: polygon([(0, 0), (1, 1)]), r"polygon needs three corners.*2"),
        (lambda: polygon([(0, 0), (90, 0), (180, 1)]), r"the area is too large.*Divide"),
    ],
)
def test_wrong_areas(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
