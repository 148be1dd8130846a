"""Stored catalogues of the original: every configuration, fields of all kinds, a photograph.

They are compared without the program; `test_reference.py` and `test_engine.py` run it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from purepipe.config import DetectConfig
from purepipe.detect import extract

from .compare import assert_same
from .original import run_original
from .sextractor import EXPOSURE, PROGRAM
from .stored import COLUMNS, REAL, configurations, fields, real

FOLDER = Path(__file__).parents[1] / "reference" / "detect"
needs_image = pytest.mark.skipif(not REAL.is_file(), reason="astropy came without its test data")


def load(name):
    with np.load(FOLDER / name) as file:
        return dict(file)


CONFIGURATIONS = dict(configurations(load("exposure.npz")))
FIELDS = dict(fields())


def ours(case):
    config = DetectConfig.exposure(columns=COLUMNS, **case.changes)
    return extract(case.exposure, config, detection=case.detection).table


def compare(case, original, digest):
    if case.digest != digest:
        pytest.skip("this machine draws another field")
    assert_same(ours(case), original, COLUMNS, exact=False)


@pytest.fixture(scope="module")
def stored():
    return load("configurations.npz") | load("fields.npz")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations(name, stored):
    assert len(stored[name]) > 15
    compare(CONFIGURATIONS[name], stored[name], str(stored[f"SHA1 {name}"]))


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name, stored):
    compare(FIELDS[name], stored[name], str(stored[f"SHA1 {name}"]))


@needs_image
def test_photograph(stored):
    assert len(stored["M 13"]) > 300
    compare(real(), stored["M 13"], str(stored["SHA1 M 13"]))


@needs_image
@pytest.mark.binaries
@pytest.mark.skipif(PROGRAM is None, reason="source-extractor is not installed")
def test_photograph_to_the_bit(tmp_path):
    case = real()
    original, _ = run_original(tmp_path, case.images, {**EXPOSURE, **case.keys}, COLUMNS)
    assert_same(ours(case), original, COLUMNS, exact=True)
