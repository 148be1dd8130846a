"""Shear bias of metadetection in fields of blended galaxies."""

import math

import numpy as np
import pytest

from purepipe.errors import ConfigError
from purepipe.shapes.blended import (
    ESTIMATORS,
    STAMPS,
    FieldOptions,
    bias_of_sums,
    blended_sums,
    selftest_blended,
)
from purepipe.shapes.cells import cell_transfer

EVERYTHING = FieldOptions(density=40, epochs=2, stars=1, masked=0.005)


def test_scenes_and_estimators_agree_on_a_few_cells():
    tests = selftest_blended(8, FieldOptions(density=40), seed=1, stamps=True)
    assert set(tests) == {*ESTIMATORS, STAMPS}
    for test in tests.values():
        assert abs(test.m) < 0.5
        assert 0.2 < test.response < 1


def test_epochs_masks_and_stars_do_not_spoil_a_few_cells():
    seen = []
    tests = selftest_blended(
        8, EVERYTHING, seed=2, progress=lambda *done: seen.append(done)
    )  # fmt: skip
    assert seen[-1] == (8, 8)
    assert abs(tests["metadetection"].m) < 0.5


def test_runs_in_parts_give_the_same_bias():
    options = FieldOptions(density=20)
    whole = selftest_blended(8, options, seed=1)["metadetection"]
    parts = [
        blended_sums(n, options, seed=1, first=k)["metadetection"] for k, n in ((0, 3), (3, 5))
    ]
    again = bias_of_sums(np.concatenate(parts))
    assert (again.m, again.m_err) == (whole.m, whole.m_err)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="from 8"):
        selftest_blended(4)
    with pytest.raises(ConfigError, match="from 0"):
        FieldOptions(density=-1)
    with pytest.raises(ConfigError, match="from 1"):
        FieldOptions(epochs=0)


@pytest.mark.slow
def test_metadetection_is_unbiased_among_blends():
    test = selftest_blended(600, seed=3)["metadetection"]
    assert test.m_err < 7e-3
    assert abs(test.m) < 3 * test.m_err


@pytest.mark.slow
def test_several_epochs_masks_and_bright_stars_leave_metadetection_unbiased():
    test = selftest_blended(500, EVERYTHING, seed=4)["metadetection"]
    assert test.m_err < 1.5e-2
    assert abs(test.m) < 3 * test.m_err
    assert (np.abs(test.c) < 4 * test.c_err).all()


@pytest.mark.slow
def test_without_added_noise_metadetection_is_biased(monkeypatch):
    def bare(*arguments, **choices):
        return cell_transfer(*arguments, add_noise=False, **choices)

    monkeypatch.setattr("purepipe.shapes.blended.cell_transfer", bare)
    test = selftest_blended(200, seed=3)["metadetection"]
    assert test.m > 0.01
    assert math.isfinite(test.m_err)
