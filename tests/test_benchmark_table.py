"""What is said below the table of benchmarks."""

import importlib
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def run_all(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("run_all")


def test_benchmarks_without_a_record_are_named(run_all):
    records = json.loads((FOLDER / "results.json").read_text())
    some = {name: records[name] for name in ("mask", "psf")}
    (line,) = (t for t in run_all.circumstances(some).splitlines() if t.startswith("Not run: "))
    assert set(line[9:-1].split(", ")) == set(run_all.BENCHMARKS) - set(some)
    everything = dict.fromkeys(run_all.BENCHMARKS, records["mask"])
    assert "Not run" not in run_all.circumstances(everything)
