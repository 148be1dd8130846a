"""HEALPix pixels beside published numbers, another implementation, and themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purepipe.errors import ConfigError
from purepipe.mask.healpix import pixel_centres, pixel_numbers, pixels_in_cone
from purepipe.mask.sky import separation

NSIDES = (1, 2, 4, 32, 256)


def test_published_numbers():
    # Ring 1504 of nside 16 lies half a pixel east of the vernal point: number 1130 when nested.
    assert pixel_numbers(16, 180 / 64, 0.0) == 1130
    # The middles of the faces, Gorski et al. (2005), figure 4.
    longitudes = [45, 135, 225, 315, 0, 90, 180, 270, 45, 135, 225, 315]
    latitudes = np.repeat([41.8103148958, 0.0, -41.8103148958], 4)
    np.testing.assert_array_equal(pixel_numbers(1, longitudes, latitudes), np.arange(12))
    for ours, right in zip(pixel_centres(1), (longitudes, latitudes), strict=True):
        np.testing.assert_allclose(ours, right, atol=1e-9)


@pytest.mark.parametrize("nside", NSIDES)
def test_another_implementation_agrees(nside):
    other = pytest.importorskip("astropy_healpix.healpy")
    rng = np.random.default_rng(nside)
    ra = np.concatenate([rng.uniform(-360, 720, 5000), [0, 90, 10, 0, 0, 45]])
    dec = np.concatenate([
        np.degrees(np.arcsin(rng.uniform(-1, 1, 4000))), 90 - rng.exponential(1e-3, 1000),
        [90, -90, 89.999999, 41.8103, -41.8103, 0.3],
    ])  # fmt: skip
    right = other.ang2pix(nside, ra, dec, nest=True, lonlat=True)
    np.testing.assert_array_equal(pixel_numbers(nside, ra, dec), right)
    lon, lat = other.pix2ang(nside, np.arange(12 * nside**2), nest=True, lonlat=True)
    np.testing.assert_allclose(pixel_centres(nside)[0], lon, atol=1e-9)
    np.testing.assert_allclose(pixel_centres(nside)[1], lat, atol=1e-9)


@pytest.mark.parametrize("nside", NSIDES)
def test_centres_lie_in_their_pixels(nside):
    np.testing.assert_array_equal(
        pixel_numbers(nside, *pixel_centres(nside)), np.arange(12 * nside**2)
    )


@pytest.mark.parametrize("nside", [0, 3, 512, -4])
def test_resolutions_that_are_refused(nside):
    with pytest.raises(ConfigError, match=r"not a resolution of cells.*1, 2, 4, 8"):
        pixel_numbers(nside, 0.0, 0.0)
    with pytest.raises(ConfigError, match="not a resolution of cells"):
        pixel_centres(nside)


@settings(max_examples=60, deadline=None)
@given(
    ra=st.floats(0, 360), dec=st.floats(-90, 90), radius=st.floats(1e-3, 20),
    nside=st.sampled_from([1, 2, 16, 256]), seed=st.integers(0, 10),
)  # fmt: skip
def test_pixels_hold_every_star_of_a_cone(ra, dec, radius, nside, seed):
    rng = np.random.default_rng(seed)
    z, phi = rng.uniform(np.cos(np.radians(radius)), 1, 200), rng.uniform(0, 2 * np.pi, 200)
    s = np.sqrt(1 - z**2)
    vector = np.stack([s * np.cos(phi), s * np.sin(phi), z])
    tilt, turn = np.radians(90 - dec), np.radians(ra)
    about_y = [[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]]
    about_z = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    x, y, z = np.array(about_z) @ np.array(about_y) @ vector
    star_ra, star_dec = np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(z.clip(-1, 1)))
    inside = separation(ra, dec, star_ra, star_dec) < radius
    pixels = pixels_in_cone(nside, ra, dec, radius)
    assert len(set(pixels)) == len(pixels)
    assert set(pixel_numbers(nside, star_ra[inside], star_dec[inside])) <= set(pixels)
