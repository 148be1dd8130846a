"""Simulated star catalogues and the outputs of psfex for them."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from astropy.table import Table

from purepipe.config.fields import describe
from purepipe.config.psf import PSFConfig

FOLDER = Path(__file__).parents[1] / "reference" / "psf"


@cache
def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("psf_reference", FOLDER / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The script that makes the stored outputs: catalogues, cases, psfex itself."""
    return _reference()


@pytest.fixture(scope="session")
def stored():
    """Stored output of psfex for a case."""
    return lambda name: dict(np.load(FOLDER / f"{name}.npz"))


@pytest.fixture(scope="session")
def config_of():
    """PSFConfig from keys of a psfex configuration file."""
    rows = {row["original"].removeprefix("psfex:"): row for row in describe(PSFConfig)}

    def convert(default, text):
        if isinstance(default, bool):
            return text == "Y"
        if isinstance(default, tuple):
            return tuple(type(default[0])(item) for item in text.split(","))
        return type(default)(text)

    def make(changes: dict[str, str]) -> PSFConfig:
        values = {}
        for key, text in changes.items():
            value = convert(rows[key]["default"], text)
            values[rows[key]["name"]] = value.lower() if rows[key]["choices"] else value
        return PSFConfig(**values)

    return make


@pytest.fixture(scope="session")
def catalogue():
    """Clean stars as the detection delivers them: all columns of the validation too."""

    @cache
    def make(n: int, seed: int) -> Table:
        table = _reference().star_catalogue(n, seed)
        table["NUMBER"] = np.arange(1, n + 1, dtype=np.int32)
        table["XWIN_WORLD"] = 150 + table["XWIN_IMAGE"] / 2e4
        table["YWIN_WORLD"] = 2 + table["YWIN_IMAGE"] / 2e4
        table["MAG_AUTO"] = np.float32(30) - np.float32(2.5) * np.log10(table["FLUX_AUTO"])
        return table

    return lambda n, seed: make(n, seed).copy()
