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


def test_own_arguments_are_told(run_all):
    records = json.loads((FOLDER / "results.json").read_text())
    record = records["moments"]
    assert run_all.own_arguments("moments", record) == ""
    longer = {**record, "command": "python benchmarks/bench_moments.py -n 9000"}
    assert "| `bench_moments.py -n 9000` |" in run_all.table({"moments": longer})
    quick = {**record, "command": "python benchmarks/bench_moments.py -n 200", "quick": True}
    assert "| `bench_moments.py`, quick |" in run_all.table({"moments": quick})


def test_own_arguments_are_of_one_benchmark(run_all, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run_all.py", "--arguments", "--seeds 40"])
    with pytest.raises(SystemExit):
        run_all.parse()
    assert "--arguments needs --only with one name" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["run_all.py", "--only", "chain", "--arguments", "--seeds 40"])
    assert run_all.parse().arguments == "--seeds 40"
