"""Running pipeline files: outcomes, resume, logs, limits; with modules that cost nothing."""

import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from purepipe.errors import ConfigError, ExitCode, StoreError
from purepipe.pipeline.progress import Silent
from purepipe.pipeline.store import Outcome
from purepipe.shapepipe import execute, ledger
from purepipe.shapepipe.config import MergeHeadersConfig
from purepipe.shapepipe.execute import Workers, run_jobs
from purepipe.shapepipe.job import Job
from purepipe.shapepipe.ledger import open_ledger
from purepipe.shapepipe.modules import work_of
from purepipe.shapepipe.run import (
    PipelineSummary,
    StepEnd,
    run_pipeline,
    summary_text,
    write_summary,
)

from .shapepipe_files import write_ini, write_tile


def test_a_unit_that_fails_is_named_and_stops_no_other(tiles):
    summary = run_pipeline(write_ini(tiles))
    assert summary.exit_code == ExitCode.SOME_FAILED
    assert [end.status for end in summary.steps[0].outcomes] == ["done", "done", "data bad"]
    text = " ".join(summary_text(summary).split())
    assert "find_exposures_runner -000-002: data bad: " in text
    assert "no HISTORY card names an exposure" in text
    assert "summary.txt" not in text
    out = tiles / "out" / "run" / "find_exposures_runner"
    assert (out / "output" / "exp_numbers-000-000.txt").read_text() == "2100001p\n2100002p\n"
    assert sorted(path.name for path in (out / "output").iterdir()) == [
        "exp_numbers-000-000.txt", "exp_numbers-000-001.txt",
    ]  # fmt: skip


def test_the_tree_and_the_logs(tiles):
    run_pipeline(write_ini(tiles))
    root = tiles / "out" / "run"
    assert (root / "logs" / "run.ini").read_text() == (tiles / "run.ini").read_text()
    log = (root / "logs" / "shapepipe.log").read_text()
    assert "A total of 1 errors were recorded." in log
    unit = (root / "find_exposures_runner" / "logs" / "process-000-002.log").read_text()
    assert "ended: data bad" in unit
    assert "image-000-002.fits" in unit
    runs = (tiles / "out" / "shapepipe_runs.txt").read_text()
    assert runs == f"{root} find_exposures_runner\n"


def test_a_second_run_resumes(tiles):
    path = write_ini(tiles)
    run_pipeline(path)
    product = tiles / "out/run/find_exposures_runner/output/exp_numbers-000-000.txt"
    before = product.stat().st_mtime_ns
    summary = run_pipeline(path)
    assert summary.steps[0].skipped == 2
    assert summary.exit_code == ExitCode.SOME_FAILED
    assert product.stat().st_mtime_ns == before
    (tiles / "in" / "image-000-002.fits").unlink()
    write_tile(tiles / "in" / "image-000-002.fits", "2100009")
    product.write_text("x")
    summary = run_pipeline(path)
    assert (summary.steps[0].skipped, summary.exit_code) == (1, ExitCode.OK)
    log = (tiles / "out" / "run" / "logs" / "shapepipe.log").read_text()
    assert "done again: its product" in log
    assert "done again: it ended as 'data bad'" in log


def test_an_unfinished_line_of_a_killed_run_is_passed_over(tiles):
    path = write_ini(tiles)
    run_pipeline(path)
    ledger = tiles / "out" / "run" / "logs" / "units.jsonl"
    lines = ledger.read_text().splitlines()
    ledger.write_text(lines[0] + "\n" + lines[1][:20])
    assert run_pipeline(path).steps[0].skipped == 1
    for line in ledger.read_text().splitlines():
        if line != lines[1][:20]:
            json.loads(line)


def test_two_runs_in_one_folder_are_refused(tiles):
    path = write_ini(tiles)
    run_pipeline(path)
    with open_ledger(tiles / "out" / "run"), pytest.raises(StoreError, match="another run works"):
        run_pipeline(path)


def test_the_kept_copy_of_the_file_can_be_run(tiles):
    folder = run_pipeline(write_ini(tiles)).folder
    summary = run_pipeline(folder / "logs" / "run.ini")
    assert (summary.folder, summary.steps[0].skipped) == (folder, 2)


def test_a_run_that_is_refused_leaves_the_other_ones_file(tiles):
    path = write_ini(tiles)
    folder = run_pipeline(path).folder
    before = (folder / "logs" / "run.ini").read_text()
    path.write_text(before + "TIMEOUT = 60\n")
    with open_ledger(folder), pytest.raises(StoreError, match="another run works"):
        run_pipeline(path)
    assert (folder / "logs" / "run.ini").read_text() == before


@pytest.mark.parametrize("name", ["run", "run/logs", "run/logs/run.ini"])
def test_a_folder_that_cannot_be_written_is_told(tiles, name):
    """A file where the folder must be, or a folder where the copy must be."""
    path, place = write_ini(tiles), tiles / "out" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir() if name.endswith(".ini") else place.write_text("")
    with pytest.raises(StoreError, match=r"the folder of the run cannot be written: .*OUTPUT_DIR"):
        run_pipeline(path)


@pytest.mark.parametrize("workers", [0, -1])
def test_a_number_of_workers_below_one_is_refused(tiles, workers):
    with pytest.raises(ConfigError, match=rf"workers.*got {workers}; allowed: 1 or more"):
        run_pipeline(write_ini(tiles), workers=workers)
    assert list((tiles / "out").iterdir()) == []


COPY = """[UNCOMPRESS_FITS_RUNNER]
INPUT_DIR = {folder}
FILE_PATTERN = image
FILE_EXT = .fits
OUTPUT_PATTERN = copy
"""


def write_copy(tiles, name="run", folder=None):
    """A second pipeline file of the same run, with another module."""
    sections = COPY.format(folder=folder or tiles / "in")
    path = write_ini(tiles, sections, name=name, modules="uncompress_fits_runner")
    return path.rename(tiles / "copy.ini")


def test_a_second_file_with_the_same_name_adds_to_the_run(tiles):
    root = run_pipeline(write_ini(tiles)).folder
    run_pipeline(write_copy(tiles))
    listed = (tiles / "out" / "shapepipe_runs.txt").read_text()
    assert listed == f"{root} find_exposures_runner\n{root} uncompress_fits_runner\n"
    # Both files of this run, and those of others, find what the first one left.
    for name in ("run", "other"):
        path = write_copy(tiles, name, "last:find_exposures_runner")
        text = path.read_text()
        for old, new in (("= image", "= exp_numbers"), (".fits", ".txt")):
            text = text.replace(old, new)
        path.write_text(text)
        ends = run_pipeline(path).steps[0].outcomes
        assert [end.name[-8:] for end in ends] == ["-000-000", "-000-001"]
    run_pipeline(write_ini(tiles))
    listed = (tiles / "out" / "shapepipe_runs.txt").read_text().splitlines()
    assert listed[-1] == f"{root} find_exposures_runner"
    assert len(listed) == len(set(listed))


def test_modules_without_output_leave_the_list(tiles):
    root = run_pipeline(write_ini(tiles)).folder
    shutil.rmtree(root / "find_exposures_runner")
    run_pipeline(write_copy(tiles))
    listed = (tiles / "out" / "shapepipe_runs.txt").read_text()
    assert listed == f"{root} uncompress_fits_runner\n"


def test_an_interrupted_run_keeps_what_ended_and_the_later_modules(tiles, monkeypatch):
    """One unit has ended and another is at work when the user ends the run."""
    (tiles / "in" / "image-000-002.fits").unlink()
    sections = COPY.format(folder=tiles / "in")
    path = write_ini(tiles, sections, modules="find_exposures_runner, uncompress_fits_runner")
    root = run_pipeline(path).folder
    (root / "logs" / "units.jsonl").unlink()
    at_work, interrupted = threading.Event(), threading.Event()

    def work(module):
        def do(job, config, record):
            if job.number == "-000-001":
                at_work.set()
                interrupted.wait(20)
            at_work.wait(20)
            work_of(module)(job, config, record)

        return do

    class Interrupted(Silent):
        def ended(self, outcome):
            interrupted.set()
            raise KeyboardInterrupt

    monkeypatch.setattr(execute, "work_of", work)
    monkeypatch.setattr(execute, "make_executor", ThreadPoolExecutor)
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(path, workers=2, progress=Interrupted())
    monkeypatch.undo()
    lines = (root / "logs" / "units.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["name"][-8:] for line in lines) == ["-000-000", "-000-001"]
    listed = (tiles / "out" / "shapepipe_runs.txt").read_text()
    assert listed == f"{root} find_exposures_runner,uncompress_fits_runner\n"
    assert run_pipeline(path).steps[0].skipped == 2


def test_another_version_of_the_code_does_the_units_again(tiles, monkeypatch):
    path = write_ini(tiles)
    run_pipeline(path)
    monkeypatch.setattr(ledger, "code_version", lambda: "other")
    assert run_pipeline(path).steps[0].skipped == 0


def test_dated_runs_have_folders_of_their_own(tiles):
    path = write_ini(tiles)
    path.write_text(path.read_text().replace("RUN_DATETIME = False", "RUN_DATETIME = True"))
    folder = run_pipeline(path).folder
    assert len(folder.name) == len("run_2026-01-01_00-00-00")
    assert folder.parent == tiles / "out"


def test_numbers_without_files_are_told_with_the_reason(tiles):
    """The second module reads what the first one leaves; one tile of three failed there."""
    sections = f"""[UNCOMPRESS_FITS_RUNNER]
INPUT_DIR = {tiles / "in"}
ADD_INPUT_DIR = last:find_exposures_runner
FILE_PATTERN = image, exp_numbers
FILE_EXT = .fits, .txt
OUTPUT_PATTERN = a, b
"""
    path = write_ini(tiles, sections, modules="find_exposures_runner, uncompress_fits_runner")
    summary = run_pipeline(path)
    last = {end.name: end for end in summary.steps[1].outcomes}
    end = last["uncompress_fits_runner -000-002"]
    assert end.status == "not run"
    assert end.message == (
        "not run because find_exposures_runner -000-002 failed (no file exp_numbers-000-002.txt)"
    )
    # The text is no image: the unit fails, and its half-made product is removed.
    assert last["uncompress_fits_runner -000-000"].status == "data bad"
    output = tiles / "out" / "run" / "uncompress_fits_runner" / "output"
    assert list(output.iterdir()) == []


def test_failed_modules_are_not_found_by_last(tiles):
    for path in (tiles / "in").iterdir():
        path.unlink()
    write_tile(tiles / "in" / "image-000-002.fits")
    assert run_pipeline(write_ini(tiles)).exit_code == ExitCode.NOTHING_USABLE
    assert not (tiles / "out" / "shapepipe_runs.txt").exists()
    path = write_ini(tiles, name="two", input="last:find_exposures_runner")
    with pytest.raises(ConfigError, match="no run has products of this module"):
        run_pipeline(path)


def test_products_of_an_older_run_do_not_stand_in(tiles):
    run_pipeline(write_ini(tiles))
    for path in (tiles / "in").iterdir():
        path.unlink()
    write_tile(tiles / "in" / "image-000-002.fits")
    sections = "[UNCOMPRESS_FITS_RUNNER]\nINPUT_MODULE = find_exposures_runner\n"
    path = write_ini(
        tiles, sections, name="two", modules="find_exposures_runner, uncompress_fits_runner"
    )
    end = run_pipeline(path).steps[1].outcomes[0]
    assert end.status == "not run"
    assert "find_exposures_runner gave no product in this run" in end.message


def test_patterns_that_find_nothing(tiles):
    path = write_ini(tiles, "[FIND_EXPOSURES_RUNNER]\nFILE_PATTERN = imag_\n")
    summary = run_pipeline(path)
    assert summary.exit_code == ExitCode.NOTHING_USABLE
    message = summary.steps[0].outcomes[0].message
    assert "no file for one of the patterns" in message
    assert "allowed: imag_<number>.fits" in message


def test_the_extension_of_all_modules_counts_where_that_of_the_module_finds_nothing(tiles):
    for path in (tiles / "in").iterdir():
        path.rename(path.with_suffix(".fit"))
    path = write_ini(tiles)
    path.write_text(path.read_text().replace("[JOB]", "FILE_EXT = fit\n[JOB]"))
    assert run_pipeline(path).steps[0].done == 2


def test_all_files_of_a_serial_module_are_one_unit(tiles):
    class Counts(Silent):
        def __init__(self):
            self.totals, self.ends = [], 0

        def total(self, units):
            self.totals.append(units)

        def ended(self, outcome):
            self.ends += 1

    for number in (2100001, 2100002):
        (tiles / "in" / f"headers-{number}.npy").write_bytes(b"damaged")
    sections = f"[MERGE_HEADERS_RUNNER]\nOUTPUT_PATH = {tiles / 'out'}\n"
    path = write_ini(tiles, sections, modules="merge_headers_runner", scheme="-0000000")
    progress = Counts()
    assert len(run_pipeline(path, progress=progress).failures) == 1
    assert (progress.totals, progress.ends) == ([1], 1)


def test_lists_of_numbers_choose(tiles):
    path = write_ini(tiles)
    text = path.read_text().replace("[JOB]", "NUMBER_LIST = -000-001, -000-007\n[JOB]")
    path.write_text(text)
    ends = run_pipeline(path).steps[0].outcomes
    assert [(end.name[-8:], end.status) for end in ends] == [
        ("-000-001", "done"), ("-000-007", "data bad"),
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["MASK_CONFIG_PATH"])
def test_mistakes_in_the_files_of_modules_stop_before_anything_is_run(tiles, key):
    (tiles / "a.mask").write_text("[BORDER_PARAMETERS]\nBORDER_MKE = True\n")
    path = write_ini(
        tiles, f"[MASK_RUNNER]\n{key} = {tiles / 'a.mask'}\n",
        modules="find_exposures_runner, mask_runner",
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"\[MASK_RUNNER\].*BORDER_MKE"):
        run_pipeline(path)
    assert list((tiles / "out").iterdir()) == []


def test_any_number_of_workers_gives_the_same(tiles):
    contents = []
    for workers in (1, 2):
        path = write_ini(tiles, name=f"run{workers}")
        folder = run_pipeline(path, workers=workers).folder / "find_exposures_runner" / "output"
        contents.append({item.name: item.read_bytes() for item in folder.iterdir()})
    assert contents[0] == contents[1]


def jobs(tmp_path, names, limit=None):
    return [
        Job("step", "merge_headers", name, (), (), MergeHeadersConfig(), tmp_path,
            tmp_path / f"{name}.log", limit)
        for name in names
    ]  # fmt: skip


class Pretending(Workers):
    """Workers that sleep, die or succeed, as the number of the unit says."""

    def submit(self, job):
        pool = self.executor()
        if job.number == "sleeps":
            return pool.submit(time.sleep, 60)
        if job.number == "dies" or (job.number == "dies_once" and not job.log.exists()):
            job.log.write_text("")
            return pool.submit(os._exit, 1)
        return pool.submit(Outcome, job.name, job.step, "done")


def run_pretending(workers, todo):
    ends = {}
    try:
        run_jobs(todo, workers, lambda job, end: ends.update({job.number: end}))
    finally:
        workers.close()
    return ends


@pytest.mark.parametrize("count", [1, 2])
def test_a_unit_beyond_its_limit_is_ended_from_outside(tmp_path, monkeypatch, count):
    monkeypatch.setattr(execute, "_GRACE", 0.2)
    start = time.monotonic()
    todo = jobs(tmp_path, ["a", "sleeps", "b", "c"], 1.0)
    ends = run_pretending(Pretending(count, limit=1.0), todo)
    assert {name: end.status for name, end in ends.items()} == {
        "a": "done", "b": "done", "c": "done", "sleeps": "timed out",
    }  # fmt: skip
    assert "longer than the limit of 1 s (TIMEOUT)" in ends["sleeps"].message
    assert time.monotonic() - start < 50


def test_a_worker_that_dies_costs_its_unit_only(tmp_path):
    todo = jobs(tmp_path, ["a", "dies", "b", "dies_once", "c"])
    ends = run_pretending(Pretending(2), todo)
    assert {name: end.status for name, end in ends.items()} == {
        "a": "done", "b": "done", "c": "done", "dies_once": "done", "dies": "failed",
    }  # fmt: skip
    assert "the worker process died" in ends["dies"].message


def test_a_unit_that_waits_for_ever_is_ended_by_timeout(tiles):
    """A named pipe that nobody writes to: reading it never returns."""
    (tiles / "in" / "image-000-001.fits").unlink()
    os.mkfifo(tiles / "in" / "image-000-001.fits")
    path = write_ini(tiles)
    path.write_text(path.read_text() + "TIMEOUT = 00:00:02\n")
    summary = run_pipeline(path)
    assert [end.status for end in summary.steps[0].outcomes] == ["done", "timed out", "data bad"]
    assert summary.exit_code == ExitCode.SOME_FAILED


def test_files_of_other_runs_count_for_the_resume(tmp_path):
    """Stamps follow from the images that ME_IMAGE_DIR names by a module's name."""
    from astropy.io import fits
    from astropy.table import Table

    from purepipe.io.ldac import write_ldac
    from purepipe.shapepipe.headers import write_wcs_log

    from .test_modules import wcs_header

    (tmp_path / "in").mkdir()
    header = wcs_header()
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, 60, 40
    write_wcs_log(tmp_path / "log.sqlite", {"2100001": [header.tostring(endcard=False)]})
    epochs = Table({"NUMBER": [1], "EXP_NAME": ["2100001"], "CCD_N": [0]})
    table = Table({"NUMBER": [1], "XWIN_WORLD": [150.0], "YWIN_WORLD": [2.0]})
    write_ldac(tmp_path / "in" / "sexcat-000-000.fits", table, "", [epochs])
    images = tmp_path / "out" / "old" / "split_exp_runner" / "output"
    images.mkdir(parents=True)
    (tmp_path / "out" / "shapepipe_runs.txt").write_text(f"{images.parents[1]} split_exp_runner\n")
    fits.PrimaryHDU(np.zeros((40, 60), np.float32)).writeto(images / "image-2100001-0.fits")
    sections = f"""[VIGNETMAKER_RUNNER]
FILE_PATTERN = sexcat
MODE = MULTI-EPOCH
COORD = SPHE
POSITION_PARAMS = XWIN_WORLD,YWIN_WORLD
STAMP_SIZE = 11
ME_IMAGE_DIR = split_exp_runner
ME_IMAGE_PATTERN = image
ME_LOG_WCS = {tmp_path / "log.sqlite"}
"""
    path = write_ini(tmp_path, sections, modules="vignetmaker_runner")
    assert run_pipeline(path).exit_code == ExitCode.OK
    assert run_pipeline(path).steps[0].skipped == 1
    fits.PrimaryHDU(np.ones((40, 60), np.float64)).writeto(
        images / "image-2100001-0.fits", overwrite=True
    )
    assert run_pipeline(path).steps[0].skipped == 0


def test_the_summary_on_disk_names_every_failure(tmp_path):
    ends = tuple(Outcome(f"step -{k}", "step", "data bad", f"file {k}") for k in range(5))
    summary = PipelineSummary(tmp_path, (StepEnd("step", ends),))
    text = " ".join(summary_text(summary).split())
    assert "step -0, step -1, step -2 and 2 more: data bad: (the first:) file 0" in text
    assert text.endswith("logs/summary.txt names each of them.")
    (tmp_path / "logs").mkdir()
    written = write_summary(summary).read_text().splitlines()
    assert written[-5:] == [f"  step -{k}: data bad: file {k}" for k in range(5)]
