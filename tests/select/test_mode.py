"""SETools' mode, to the last bit, and the half-sample mode."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purepipe.select.mode import half_sample_mode, mode


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.arange(0, 20), 2.375),
        (np.arange(100) / 10, 0.2475),
        (3 + 0.5 * np.sin(np.arange(200)), 3.498859202774079),
        (3 + 0.5 * np.sin(np.arange(50)), 3.4221766121969983),
        (np.arange(19), 9.0),
        ([1, 2, 3, 4, 100], 3.0),
        ([], -1),
    ],
)
def test_reference_values(values, expected):
    assert mode(np.asarray(values)) == expected


def test_reference_value_of_a_random_sample():
    rng = np.random.default_rng(0)
    sample = np.concatenate([rng.normal(3.5, 0.08, 150), rng.uniform(1.6, 8, 350)])
    assert mode(sample) == 3.440323495693203
    assert half_sample_mode(sample) == pytest.approx(3.5, abs=0.05)


def test_single_precision_stays_single():
    rng = np.random.default_rng(1)
    sample = rng.normal(4, 0.1, 300).astype(np.float32)
    assert mode(sample).dtype == np.float32
    assert mode(sample) == pytest.approx(float(mode(sample.astype(float))), abs=0.01)


def test_repeated_values_warn_instead_of_failing():
    for sample in (np.full(50, 3.25), np.repeat([1.0, 2.0, 7.0], [10, 30, 5])):
        with pytest.warns(RuntimeWarning, match="did not converge.*mode_hsm"):
            result = mode(sample)
        assert abs(result - np.median(sample)) < 1
    rounded = np.round(np.random.default_rng(3).normal(3.5, 0.1, 400), 1)
    with pytest.warns(RuntimeWarning, match="rounded"):
        assert mode(rounded) == pytest.approx(3.5, abs=0.2)


def test_half_sample_mode_of_few_values():
    assert np.isnan(half_sample_mode([]))
    assert half_sample_mode([4.0]) == 4
    assert half_sample_mode([4.0, 6.0]) == 5
    assert half_sample_mode([1.0, 2.0, 10.0]) == 1.5
    assert half_sample_mode([1.0, 9.0, 10.0]) == 9.5
    assert half_sample_mode([1.0, 2.0, 3.0]) == 2
    assert half_sample_mode([1.0, np.nan, 1.0, np.inf]) == 1
    assert half_sample_mode([5.0] * 40 + [7.0]) == 5


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=200))
@settings(max_examples=100, deadline=None)
@pytest.mark.filterwarnings("ignore:the mode did not converge")
def test_both_lie_within_the_sample(values):
    for estimate in (half_sample_mode(values), mode(np.array(values))):
        # equal values are binned half a unit to either side
        assert min(values) - 0.5 <= estimate <= max(values) + 0.5
