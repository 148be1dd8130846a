"""Status, plans, comparisons, capsules, guards."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from purepipe.config.survey import RunConfig
from purepipe.errors import (
    ConfigError,
    DataError,
    ExitCode,
    InputFileError,
    NothingToDo,
    StoreError,
)
from purepipe.io import read_table, write_table
from purepipe.pipeline import (
    compare_catalogues,
    compare_runs,
    difference_lines,
    estimate_lines,
    estimate_run,
    guard_text,
    load_survey,
    nothing_text,
    open_run,
    rerun,
    run,
    run_status,
    status_lines,
    summary_lines,
)
from purepipe.pipeline.capsule import CAPSULE, first_difference, read_capsule
from purepipe.pipeline.compare import differing_keys
from purepipe.pipeline.cost import DEFAULT_COSTS, fit_costs, unit_size
from purepipe.pipeline.guards import guard_lines
from purepipe.pipeline.keys import code_version
from purepipe.pipeline.progress import Silent
from purepipe.pipeline.status import duration
from purepipe.pipeline.store import (
    Outcome,
    StepRecord,
    confirm,
    exchange,
    open_store,
    outcomes,
)


def outcome(name, kind, status="done", steps=(), **changes):
    return Outcome(name, kind, status, steps=tuple(steps), key="k", **changes)


def test_a_finished_run(finished):
    config, _ = finished
    state = run_status(config.out)
    assert state.finished
    assert state.ended == state.planned == {"ccd": 4, "tile": 1, "shapes": 5, "catalogue": 1}
    lines = status_lines(state)
    assert lines[0] == "state: ended"
    assert "units: 11 of 11 have ended (100%)" in lines
    assert not any("time left" in line for line in lines)


def test_a_run_at_work_and_one_that_died(finished, tmp_path):
    config, _ = finished
    shutil.copytree(config.out, tmp_path / "run")
    store = open_store(tmp_path / "run", lock=True)
    confirm(store, [found.name for found in outcomes(store)])
    exchange(store, [], {"shapes 000-000 00003": "another"})
    state = run_status(tmp_path / "run")
    lines = status_lines(state)
    assert lines[0].startswith("at work: run: process ")
    assert any(line.startswith("time left: about ") for line in lines)
    assert "in work: shapes 000-000 00003" in lines
    assert "units: 10 of 11 have ended (91%)" in lines
    store.close()
    lines = status_lines(run_status(tmp_path / "run"))
    assert lines[0] == "state: not at work, and not ended: run it again to resume"
    assert "in work when it died: shapes 000-000 00003" in lines


def test_what_the_last_run_did_not_find_valid_is_not_counted(finished, tmp_path):
    config, _ = finished
    other = replace(config, out=tmp_path / "run", block_size=20)
    shutil.copytree(config.out, other.out)
    seen = []

    class Watch(Silent):
        def ended(self, outcome):
            seen.append(run_status(other.out))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(other, workers=1, progress=Watch())
    (state,) = seen
    assert state.ended == {"ccd": 4, "tile": 1}
    assert sum(state.planned.values()) > 11
    assert {found.kind for found in state.outcomes} == {"ccd", "tile"}


def test_a_run_that_found_nothing(finished, tmp_path):
    config, _ = finished
    nowhere = str(tmp_path / "none" / "{number}.fits")
    nothing = replace(config.inputs, image=nowhere, tile_image=nowhere)
    with pytest.raises(NothingToDo, match="no exposure and no tile found"):
        run(replace(config, out=tmp_path / "run", inputs=nothing), workers=1)
    assert summary_lines(run_status(tmp_path / "run").outcomes) == ["no unit has ended"]


def test_why_there_is_no_object(finished):
    config, summary = finished
    tile = next(outcome for outcome in summary.outcomes if outcome.kind == "tile")
    ccds = [outcome for outcome in summary.outcomes if outcome.kind == "ccd"]
    text = " ".join(" ".join(nothing_text(ccds, config)).split())
    assert f"no tile matches {config.inputs.tile_image} (inputs.tile_image)" in text
    failed = replace(tile, status="data bad")
    assert "see above what became of the tiles" in nothing_text([*ccds, failed], config)[0]
    none = tuple(replace(step, n_out=0) for step in tile.steps)
    found = " ".join(" ".join(nothing_text([*ccds, replace(tile, steps=none)], config)).split())
    assert "none was detected; look at tile.detect.threshold" in found


def test_failed_catalogues_are_not_called_a_lack_of_objects(finished):
    config, summary = finished
    lost = [
        replace(o, status="failed") if o.kind in ("shapes", "catalogue") else o
        for o in summary.outcomes
    ]
    number = sum(outcome.kind == "shapes" for outcome in lost)
    detected = next(
        s.n_out for o in lost if o.kind == "tile" for s in o.steps if s.step == "detect"
    )
    text = " ".join(" ".join(nothing_text(lost, config)).split())
    assert "threshold" not in text
    assert f"{detected:,} were detected; see above what became of the units" in text
    assert f"{number} shapes" in text
    assert "1 catalogue" in text


def test_guards_fit_a_terminal():
    words = "192 of 192 objects lost (100%; run.max_failed_objects allows 5%)"
    lines = guard_text([f"step shapes spread: {words}"])
    assert lines[0].startswith("guard: step shapes spread")
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80


def test_status_needs_a_run(tmp_path):
    with pytest.raises(StoreError, match="no run here"):
        run_status(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"), [(50, "50 s"), (700, "12 min"), (12240, "3.4 h"), (2e5, "2.3 days")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_plan_tells_costs_before_a_run(survey, tmp_path):
    config = replace(load_survey(survey), out=tmp_path / "none")
    estimate, plan = estimate_run(config)
    assert estimate.units["ccd"] == 4
    assert estimate.units["tile"] == estimate.units["catalogue"] == 1
    assert estimate.units["shapes"] >= 1
    assert not estimate.measured
    text = "\n".join(estimate_lines(estimate, plan, workers=4))
    assert "on 4 cores, by the shipped costs of units" in text
    assert not (tmp_path / "none").exists()


def test_a_plan_after_a_run_uses_its_costs(finished):
    config, summary = finished
    estimate, plan = estimate_run(config)
    assert estimate.measured
    assert plan.fresh == {}  # the headers are known
    spent = sum(o.seconds for o in summary.outcomes if o.kind == "ccd") / 3600
    assert estimate.cpu_hours["ccd"] == pytest.approx(spent, rel=1e-6)


def test_costs_are_fitted_to_what_was_done():
    mask = StepRecord("mask", "pixels", 2_000_000, 1, 1.0)
    units = [
        outcome(f"ccd {i}", "ccd", steps=[mask], seconds=3.0, peak_mb=100.0 + i,
                products={"a": 4_000_000})
        for i in range(4)
    ]  # fmt: skip
    fitted = fit_costs(units).kinds["ccd"]
    assert (fitted.seconds, fitted.megabytes, fitted.peak_mb, fitted.units) == (1.5, 2.0, 103.0, 4)
    assert fit_costs(units[:2]) == DEFAULT_COSTS
    assert unit_size(outcome("x", "exposure")) == 0


def test_guards_name_what_fails_too_often():
    config = RunConfig(max_failed_units=0.2, max_failed_objects=0.3)
    good = [outcome(f"ccd {i}", "ccd") for i in range(8)]
    bad = [outcome(f"ccd 1{i}", "ccd", "failed") for i in range(2)]
    assert guard_lines([*good, *bad], config) == ()
    (line,) = guard_lines([*good[1:], *bad], config)
    assert line.startswith("2 of 9 ccd units failed (22%; run.max_failed_units allows 20%")
    step = StepRecord("shapes", "objects", 100, 60, 1.0)
    (line,) = guard_lines([outcome("shapes 1", "shapes", steps=[step])], config)
    assert line.startswith("step shapes shapes: 40 of 100 objects lost (40%;")


def test_a_guard_makes_the_run_fail(finished, tmp_path):
    config, _ = finished
    other = replace(config, out=tmp_path / "run", run=RunConfig(max_failed_objects=0.01))
    shutil.copytree(config.out, other.out)
    summary = run(other, workers=1)
    assert summary.skipped == 11
    assert summary.exit_code is ExitCode.SOME_FAILED
    assert any("step shapes shapes" in line for line in summary.guards)
    assert any("guard: step shapes" in line for line in status_lines(run_status(other.out)))


def test_equal_runs_have_no_difference(finished):
    config, _ = finished
    difference = compare_runs(config.out, config.out)
    assert difference.identical
    assert difference_lines(difference)[-1] == "the catalogues are identical"


def test_differences_are_measured_in_errors(finished):
    config, _ = finished
    a = open_run(config.out).catalogue()
    b = a.copy()
    measured = np.flatnonzero(np.isfinite(np.asarray(a["FLUX_AUTO"])))
    row = measured[3]
    b["FLUX_AUTO"][row] += 5 * a["FLUXERR_AUTO"][row]
    b["NGMIX_T_NOSHEAR"][row] = np.nan
    b["FLAGS"][row] |= 4
    b.remove_row(measured[0])
    b.remove_column("R11")
    difference = compare_catalogues(a, b)
    assert (difference.only_a, difference.only_b) == (1, 0)
    flux = next(c for c in difference.columns if c.name == "FLUX_AUTO")
    assert flux.rows == 1
    assert flux.largest == pytest.approx(5, rel=1e-3)
    assert flux.unit == "its error"
    (flag,) = difference.flags
    assert (flag.column, flag.gained, flag.lost) == ("FLAGS", 1, 0)
    assert difference.other_columns == ("R11",)
    size = next(c for c in difference.columns if c.name == "NGMIX_T_NOSHEAR")
    assert size.lost == 1
    assert not difference.identical
    assert any("SATURATED" in line or "FLAGS" in line for line in difference_lines(difference))


def test_lost_values_come_first_then_what_nothing_measures(finished):
    config, _ = finished
    a = open_run(config.out).catalogue()
    b = a.copy()
    row = np.flatnonzero(np.isfinite(np.asarray(a["FLUX_AUTO"])))[3]
    b["FLUX_AUTO"][row] += 5 * a["FLUXERR_AUTO"][row]
    b["NGMIX_T_NOSHEAR"] = np.nan
    a["CONSTANT"], b["CONSTANT"] = 1.0, 2.0
    names = [change.name for change in compare_catalogues(a, b).columns]
    assert names == ["NGMIX_T_NOSHEAR", "CONSTANT", "FLUX_AUTO"]


def test_objects_without_a_position_are_tied_by_their_number(finished):
    config, _ = finished
    a = open_run(config.out).catalogue()
    a["XWIN_WORLD"][:3] = np.nan
    assert compare_catalogues(a, a.copy()).identical
    b = a[1:]
    assert compare_catalogues(a, b).only_a == 1
    b.remove_column("NUMBER")
    assert (compare_catalogues(a, b).only_a, compare_catalogues(a, b).only_b) == (3, 2)


def test_headers_are_read_again_by_another_version_of_the_code(finished, monkeypatch):
    config, _ = finished
    monkeypatch.setattr("purepipe.pipeline.headers.code_version", lambda: "0.0.0")
    _, plan = estimate_run(config)
    assert len(plan.fresh) == len({unit.task.exposure for unit in plan.units if unit.kind == "ccd"})


def test_catalogues_without_positions_cannot_be_compared(finished):
    config, _ = finished
    a = open_run(config.out).catalogue()
    b = a.copy()
    b.remove_column("TILE_ID")
    with pytest.raises(DataError, match="TILE_ID: the catalogue lacks a column"):
        compare_catalogues(a, b)


def test_configurations_are_compared_by_what_counts():
    a = {"seed": 1, "out": "a", "block_size": 5, "ccd": {"detect": {"threshold": 2.0}}}
    b = {"seed": 1, "out": "b", "block_size": 9, "ccd": {"detect": {"threshold": 1.5, "new": 1}}}
    assert differing_keys(a, b) == [
        ("ccd.detect.new", None, 1),
        ("ccd.detect.threshold", 2.0, 1.5),
    ]


def test_a_capsule_repeats_its_run(finished, tmp_path):
    config, _ = finished
    again = rerun(config.out / CAPSULE, tmp_path / "again", workers=1)
    assert again.notes == ()
    assert again.difference == ""
    assert again.summary.exit_code is ExitCode.OK


def test_the_first_difference_is_named(finished):
    config, _ = finished
    a = read_capsule(config.out / CAPSULE)
    name = "ccd 2100001-1"
    status, products = a.units[name]
    product = sorted(products)[0]
    later = {"tile 000-000": ("failed", {})}
    b = replace(a, units=a.units | {name: (status, products | {product: "0"})} | later)
    assert first_difference(a, a) == ""
    assert first_difference(a, b) == f"{name}: the product {product} differs"
    b = replace(a, units=a.units | later)
    assert first_difference(a, b) == "tile 000-000: done in the first run, failed in the second"
    b = replace(a, units={k: v for k, v in a.units.items() if k != name})
    assert first_difference(a, b) == f"{name}: only in the first run"


def test_a_capsule_whose_input_changed_is_refused(finished, tmp_path):
    config, _ = finished
    content = json.loads((config.out / CAPSULE).read_text())
    name = sorted(content["inputs"])[0]
    content["inputs"][name] = "0" * 32
    path = tmp_path / "capsule.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"an input has changed.*Restore the file"):
        rerun(path, tmp_path / "again")
    content["inputs"] = {str(tmp_path / "gone.fits"): "0"}
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"gone\.fits: an input is missing"):
        rerun(path, tmp_path / "again")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "this is not a capsule"),
        ("[]", r"not a capsule that this version reads.*got list"),
        ('{"format": 9}', r"format: .*\(got 9; allowed: 1\)"),
        ('{"format": 1}', "the capsule is damaged"),
    ],
)
def test_a_damaged_capsule_is_named(tmp_path, text, message):
    path = tmp_path / "capsule.json"
    path.write_text(text)
    with pytest.raises(InputFileError, match=message):
        read_capsule(path)
    with pytest.raises(InputFileError, match=r"the capsule does not exist"):
        read_capsule(tmp_path / "none.json")


def test_products_tell_where_they_come_from(finished):
    config, _ = finished
    final = read_table(config.out / "catalogue/final_cat.fits")
    assert final.meta["PIPESEED"] == config.seed
    assert final.meta["PIPEVERS"].startswith("0.1.0")
    assert len(final.meta["PIPECONF"]) == 24


def test_a_unit_leaves_a_log(finished):
    config, _ = finished
    text = (config.out / "logs/tile-000-000.log").read_text()
    assert text.startswith("tile 000-000: done after")
    assert "detect" in text


def test_logs_of_failed_units_alone(finished, tmp_path):
    config, _ = finished
    other = replace(config, out=tmp_path / "run", run=RunConfig(logs="failed"))
    shutil.copytree(config.out, other.out)
    shutil.rmtree(other.out / "logs")
    (other.out / "catalogue/final_cat-000-000.fits").unlink()
    run(other, workers=1)
    assert not (other.out / "logs").exists()


def test_too_many_objects_are_not_merged(finished, tmp_path):
    config, first = finished
    other = replace(config, out=tmp_path / "run", run=RunConfig(max_merged_objects=100))
    shutil.copytree(config.out, other.out)
    (other.out / "catalogue/final_cat-000-000.fits").unlink()
    (other.out / "catalogue/final_cat.fits").write_bytes(b"stale")
    summary = run(other, workers=1)
    assert summary.objects == first.objects
    assert not (other.out / "catalogue/final_cat.fits").exists()
    with pytest.raises(StoreError, match=r"no merged catalogue.*final_cat-\*\.fits"):
        open_run(other.out).catalogue()


def test_choose_one_executor(survey):
    from purepipe.cli import _executor

    with pytest.raises(ConfigError, match="choose one"):
        _executor("tcp://a:1", True, False)
    assert _executor(None, False, True) is None


def test_a_difference_of_two_runs_on_disk(finished, tmp_path):
    config, _ = finished
    shutil.copytree(config.out, tmp_path / "run")
    path = tmp_path / "run/catalogue/final_cat.fits"
    table = read_table(path)
    table["SPREAD_MODEL"] = np.asarray(table["SPREAD_MODEL"]) + 1.0
    table.meta["PIPEVERS"] = "9.9+another"
    write_table(path, table)
    difference = compare_runs(config.out, tmp_path / "run")
    (change,) = difference.columns
    assert change.name == "SPREAD_MODEL"
    lines = difference_lines(difference)
    assert f"purepipe: {code_version()} -> 9.9+another" in lines
