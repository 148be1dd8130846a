"""Shear bias of the measurement on simulated galaxies of known shear."""

import math
from dataclasses import replace

import numpy as np
import pytest

from purepipe.errors import ConfigError
from purepipe.selftest import line, passes
from purepipe.shapes import EXPECTED_M, ShearTest, draw_library, metacal_fit, selftest_shear

NOISE_FREE = {"min": 1e-4, "double": 1e-4, "rot90": 1e-4, "none": 5e-5}


@pytest.fixture(scope="module")
def library():
    return draw_library(200)


@pytest.mark.parametrize("noise", ["min", "none"])
def test_noise_free_bias_is_that_of_second_order(library, noise):
    result = selftest_shear(library=library, noise=noise)
    assert result.failures == 0
    assert abs(result.m - EXPECTED_M) < NOISE_FREE[noise]
    assert (np.abs(result.c) < 1e-5).all()
    assert result.m_err < 5e-5


def test_bias_at_low_signal_to_noise_is_small(library):
    result = selftest_shear(library=library, snr=30, repeats=2)
    assert result.failures == 0
    assert result.pairs == 1600
    assert result.m_err < 8e-3
    assert abs(result.m) < 4 * result.m_err
    assert (np.abs(result.c) < 4 * result.c_err).all()
    assert 0.75 < result.response < 0.85


def test_without_noise_symmetrisation_shears_are_biased(library):
    some = replace(library, images=library.images[:100], component=library.component[:100])
    result = selftest_shear(library=some, snr=15, repeats=2, noise="none")
    assert result.m > 0.04


def test_threads_and_repetition_change_nothing(library):
    some = replace(library, images=library.images[:8], component=library.component[:8])
    first = selftest_shear(library=some, snr=30)
    second = selftest_shear(library=some, snr=30, threads=2)
    assert first.m == second.m
    assert selftest_shear(library=some, snr=30, seed=1).m != first.m


def test_progress_is_told(library):
    some = replace(library, images=library.images[:4], component=library.component[:4])
    seen = []
    selftest_shear(library=some, snr=30, repeats=2, progress=lambda *done: seen.append(done))
    assert seen == [(1, 2), (2, 2)]


def test_a_grid_that_follows_the_shear_takes_scatter_away():
    fixed, sheared = draw_library(40), draw_library(40, shear_grid=True)
    for library in (fixed, sheared):
        clean = selftest_shear(library=library)
        assert abs(clean.m - EXPECTED_M) < 1e-4
    errors = [
        selftest_shear(library=library, snr=30, repeats=4, noise="double").m_err
        for library in (fixed, sheared)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_the_error_of_m_is_its_scatter():
    library = draw_library(40, shear_grid=True)
    tests = [selftest_shear(library=library, snr=30, seed=seed) for seed in range(24)]
    scatter = np.std([test.m for test in tests], ddof=1)
    # the library is the same, so that the error, which allows for others, may be larger
    assert 0.5 < scatter / np.mean([test.m_err for test in tests]) < 1.4


def test_the_verdict_allows_for_the_second_order():
    test = ShearTest(
        m=1.2e-3, m_err=1e-5, m_by_component=np.zeros(2), m_by_component_err=np.zeros(2),
        c=np.zeros(2), c_err=np.zeros(2), response=0.8, pairs=1, failures=0, snr=30.0,
    )  # fmt: skip
    assert passes(test)
    assert not passes(replace(test, m=1.5e-3))
    assert passes(replace(test, m=1.5e-3, m_err=1e-4))
    assert not passes(replace(test, m=-1.2e-3))
    assert not passes(replace(test, c=np.array([0.0, 3e-4])))
    assert "FAILED" not in line(test)


def test_every_epoch_needs_its_frame():
    with pytest.raises(ConfigError, match="seeing and a Jacobian"):
        draw_library(4, seeing=(0.7, 0.8), jacobians=np.zeros((3, 2, 2)))


def test_numbers_out_of_range_are_refused():
    for choices in ({"galaxies": 2}, {"repeats": 0}, {"snr": 0.0}):
        with pytest.raises(ConfigError, match="from 4 galaxies"):
            selftest_shear(**choices)


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["double", "rot90"])
def test_noise_free_bias_of_the_other_modes(noise):
    small = draw_library(200 if noise == "double" else 24)
    result = selftest_shear(library=small, noise=noise)
    assert abs(result.m - EXPECTED_M) < max(NOISE_FREE[noise], 3 * result.m_err)
    assert (np.abs(result.c) < 1e-5).all()


@pytest.mark.slow
@pytest.mark.parametrize("snr", [30, 15])
def test_bias_of_twenty_thousand_pairs(snr):
    library = draw_library(1000, seed=2)
    result = selftest_shear(library=library, snr=snr, repeats=5, seed=2)
    assert result.pairs >= 19_900
    assert result.failures < 2e-3 * result.pairs
    limit = 4e-3 if snr == 30 else 9e-3
    assert abs(result.m) < limit
    assert (np.abs(result.c) < 1e-3).all()


@pytest.mark.slow
def test_masked_pixels_do_not_bias(monkeypatch):
    masks = np.random.default_rng(3).uniform(size=(80, 1, 3, 51, 51)) < 0.01

    def with_masks(stamps, *arguments, **choices):
        mine = np.repeat(masks, 4, axis=1).reshape(stamps.shape)
        return metacal_fit(stamps, *arguments, masks=mine, **choices)

    monkeypatch.setattr("purepipe.shapes.selftest.metacal_fit", with_masks)
    result = selftest_shear(library=draw_library(80), noise="none")
    assert result.m_err < 1e-3  # 3.4e-3 when the light under the mask is lost
    assert abs(result.m) < 3 * result.m_err
    assert (np.abs(result.c) < 4 * result.c_err).all()


@pytest.mark.slow
def test_the_shape_of_the_psf_does_not_leak():
    library = draw_library(600, psf_shape=(0.08, -0.05))
    clean = selftest_shear(library=library, noise="none")
    assert (np.abs(clean.c) < 1e-6).all()
    result = selftest_shear(library=library, snr=30, repeats=2)
    leak = result.c @ np.array([0.08, -0.05]) / (0.08**2 + 0.05**2)
    error = math.hypot(*(result.c_err * [0.08, -0.05])) / (0.08**2 + 0.05**2)
    assert error < 0.015
    assert abs(leak) < 3.5 * error
