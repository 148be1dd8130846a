"""Adaptive moments beside galsim's HSM."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import galsim
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from purepipe.errors import DataError
from purepipe.flags import MomentsFlag
from purepipe.psf import moments_nb
from purepipe.psf.moments import Moments, adaptive_moments
from purepipe.psf.moments_nb import CUT
from tests.entry import entry

fourth_moment = entry(moments_nb.fourth_moment)
weighted_sums = entry(moments_nb.weighted_sums)


def galaxy_stack(n: int, *, noise: float = 0.0, seed: int = 1, size: int = 51) -> np.ndarray:
    """Sheared discs behind a Moffat PSF, off centre, float32."""
    rng = np.random.default_rng(seed)
    stack = np.empty((n, size, size), np.float32)
    for image in stack:
        g1, g2 = rng.uniform(-0.4, 0.4, 2)
        galaxy = galsim.Exponential(half_light_radius=rng.uniform(0.15, 0.9), flux=100)
        psf = galsim.Moffat(beta=3, fwhm=rng.uniform(0.5, 1)).shear(g1=0.03, g2=-0.02)
        profile = galsim.Convolve(galaxy.shear(g1=g1, g2=g2), psf).shift(*rng.uniform(-0.3, 0.3, 2))
        drawn = profile.drawImage(nx=size, ny=size, scale=0.187, dtype=np.float64).array
        image[:] = drawn + noise * rng.normal(size=drawn.shape)
    return stack


def hsm(stack: np.ndarray, bad: np.ndarray | None = None) -> Moments:
    """The same numbers from galsim, as float64 columns."""
    rows = []
    for k, image in enumerate(stack):
        mask = None if bad is None else galsim.Image(bad[k].astype(np.int32), xmin=0, ymin=0)
        shape = galsim.Image(image, xmin=0, ymin=0).FindAdaptiveMom(badpix=mask, strict=False)
        ok = shape.error_message == ""
        g = shape.observed_shape
        rows.append(
            (shape.moments_centroid.x, shape.moments_centroid.y, shape.moments_sigma, g.e1, g.e2,
             g.g1, g.g2, shape.moments_amp, shape.moments_rho4, not ok, shape.moments_n_iter)
        )  # fmt: skip
    return Moments(*np.array(rows).T)


def assert_equal_moments(ours: Moments, theirs: Moments, tolerance: float = 3e-6) -> None:
    np.testing.assert_array_equal(ours.flags != 0, theirs.flags != 0)
    ok = ours.flags == 0
    for name in ("x", "y", "e1", "e2", "g1", "g2"):
        difference = getattr(ours, name)[ok] - getattr(theirs, name)[ok]
        np.testing.assert_allclose(difference, 0, atol=tolerance, err_msg=name)
    for name in ("sigma", "amplitude", "rho4"):
        np.testing.assert_allclose(
            getattr(ours, name)[ok], getattr(theirs, name)[ok], rtol=tolerance, err_msg=name
        )
    assert np.all(np.isnan(ours.sigma[~ok]))
    assert np.all(np.isnan(ours.g1[~ok]))


def test_equals_galsim_without_noise():
    stack = galaxy_stack(60)
    ours = adaptive_moments(stack)
    assert np.all(ours.flags == 0)
    assert_equal_moments(ours, hsm(stack))


def test_equals_galsim_with_noise():
    stack = galaxy_stack(60, noise=0.1, seed=2)
    assert_equal_moments(adaptive_moments(stack), hsm(stack))


def test_equals_galsim_with_bad_pixels():
    stack = galaxy_stack(60, noise=0.03, seed=3)
    bad = np.random.default_rng(4).random(stack.shape) < 0.1
    bad[::2, :, 20:22] = True
    poisoned = np.where(bad, np.nan, stack)
    ours = adaptive_moments(poisoned, weights=~bad)
    assert_equal_moments(ours, hsm(stack, bad))


def test_noise_alone_fails_where_galsim_fails_or_agrees():
    stack = np.random.default_rng(5).normal(size=(80, 51, 51)).astype(np.float32)
    ours, theirs = adaptive_moments(stack), hsm(stack)
    both = (ours.flags == 0) & (theirs.flags == 0)
    assert np.mean((ours.flags == 0) == (theirs.flags == 0)) > 0.95
    np.testing.assert_allclose(ours.sigma[both], theirs.sigma[both], rtol=2e-4)


@pytest.mark.parametrize("shape", [(31, 31), (40, 51), (52, 30)])
def test_any_stamp_shape(shape):
    psf = galsim.Gaussian(sigma=2.0, flux=7.0).shear(e1=0.2, e2=-0.1)
    image = psf.drawImage(nx=shape[1], ny=shape[0], scale=1, method="no_pixel", dtype=float).array
    ours = adaptive_moments(image[None])
    assert ours.x[0] == pytest.approx((shape[1] - 1) / 2, abs=1e-6)
    assert ours.y[0] == pytest.approx((shape[0] - 1) / 2, abs=1e-6)
    assert ours.e1[0] == pytest.approx(0.2, abs=1e-6)
    assert ours.e2[0] == pytest.approx(-0.1, abs=1e-6)
    assert ours.sigma[0] == pytest.approx(2.0, rel=1e-6)
    assert ours.amplitude[0] == pytest.approx(7.0, rel=1e-5)
    assert ours.rho4[0] == pytest.approx(2.0, rel=1e-4)


def test_guess_of_the_centroid_finds_the_second_object():
    image = np.zeros((61, 101))
    yy, xx = np.indices(image.shape)
    for x, flux in ((25.0, 10.0), (75.0, 1.0)):
        image += flux * np.exp(-0.5 * ((xx - x) ** 2 + (yy - 30) ** 2) / 4)
    both = adaptive_moments(np.stack([image, image]), guess_x=[26, 74], guess_sigma=2.0)
    np.testing.assert_allclose(both.x, [25, 75], atol=1e-6)


def test_failures_are_flagged_and_nan():
    good = galaxy_stack(1)[0]
    nan = good.copy()
    nan[25, 25] = np.nan
    single = np.zeros_like(good)
    single[25, 25] = 1
    flat = np.ones_like(good)
    stack = np.stack([good, nan, -good, np.zeros_like(good), single, flat])
    ours = adaptive_moments(stack)
    assert ours.flags[0] == 0
    assert ours.flags[1] == MomentsFlag.NOT_FINITE
    assert ours.flags[2] == MomentsFlag.NO_FLUX
    assert ours.flags[3] == MomentsFlag.NO_FLUX
    assert ours.flags[4] == MomentsFlag.COLLAPSED
    for name in ("x", "y", "sigma", "e1", "e2", "g1", "g2", "amplitude", "rho4"):
        values = getattr(ours, name)
        assert np.isfinite(values[0])
        assert np.all(np.isnan(values[1:5]))


def test_a_faint_neighbour_beyond_the_limit_is_drift():
    yy, xx = np.indices((51, 51))
    image = np.exp(-0.5 * ((xx - 45.0) ** 2 + (yy - 25) ** 2) / 4)
    assert adaptive_moments(image[None]).flags[0] == MomentsFlag.DRIFTED


def test_iteration_limit():
    ours = adaptive_moments(galaxy_stack(1), max_iterations=2)
    assert ours.flags[0] == MomentsFlag.MAX_ITERATIONS
    assert ours.iterations[0] == 2


def test_all_pixels_masked():
    stack = galaxy_stack(1)
    ours = adaptive_moments(stack, weights=np.zeros_like(stack))
    assert ours.flags[0] == MomentsFlag.NO_FLUX


def test_no_stamp_is_no_error():
    assert len(adaptive_moments(np.empty((0, 51, 51))).sigma) == 0


def test_independent_of_the_batch_and_byte_order():
    stack = galaxy_stack(5, noise=0.05)
    whole = adaptive_moments(stack)
    for k in range(5):
        one = adaptive_moments(stack[k : k + 1].astype(">f4"))
        assert one.g1[0] == whole.g1[k]
        assert one.sigma[0] == whole.sigma[k]


def test_threads_give_the_same_bits():
    stack = galaxy_stack(40, noise=0.1)
    whole = adaptive_moments(stack)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(adaptive_moments, np.array_split(stack, 8)))
    for name in ("x", "sigma", "e1", "rho4", "flags"):
        together = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(together, getattr(whole, name))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((5, 5))}, r"stack of stamps is needed .*image\[None\]"),
        ({"images": np.zeros((2, 5, 5)), "weights": np.zeros((2, 5, 4))}, "shape of the images"),
        ({"images": np.zeros((2, 5, 5)), "guess_sigma": 0.0}, "sizes must be positive"),
        ({"images": np.zeros((2, 5, 5)), "guess_x": [1, 2, 3]}, "one number or one per stamp"),
        ({"images": np.zeros((2, 5, 5)), "guess_y": np.nan}, "must be finite"),
    ],
)
def test_errors(arguments, message):
    images = arguments.pop("images")
    with pytest.raises(DataError, match=message):
        adaptive_moments(images, **arguments)


@given(
    x=st.floats(-8, 38), y=st.floats(-8, 38), major=st.floats(0.5, 60), ratio=st.floats(0.01, 1),
    angle=st.floats(0, 3.15), seed=st.integers(0, 100),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_sums_equal_the_plain_definition(x, y, major, ratio, angle, seed):
    minor = max(major * ratio, 0.11)
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moments = axes @ np.diag([major**2, minor**2]) @ axes.T
    xx, xy, yy = moments[[0, 0, 1], [0, 1, 1]]
    image = np.random.default_rng(seed).normal(size=(30, 31))
    row, column = np.indices(image.shape)
    dx, dy = column - x, row - y
    a, b, c = np.array([yy, -xy, xx]) / (xx * yy - xy * xy)
    rho2 = a * dx**2 + 2 * b * dx * dy + c * dy**2
    assume(np.abs(rho2 - CUT).min() > 1e-6)
    w = np.where(rho2 <= CUT, image * np.exp(-rho2 / 2), 0)
    got = (*weighted_sums(image, x, y, xx, xy, yy), fourth_moment(image, x, y, xx, xy, yy))
    for value, factor in zip(got, (1, dx, dy, dx**2, dx * dy, dy**2, rho2**2), strict=True):
        tolerance = 1e-8 * np.sum(np.abs(w * factor)) + 1e-200
        assert value == pytest.approx(np.sum(w * factor), abs=tolerance)
