"""What goes wrong on real machines: each fault is detected, named, and nothing is lost or mixed."""

import logging
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from purepipe.config.survey import RunConfig
from purepipe.errors import ExitCode, StoreError
from purepipe.pipeline import load_survey, open_run, run, run_status, verify_run
from purepipe.pipeline import store as stores
from purepipe.pipeline.locks import Shard, hold_store
from purepipe.pipeline.progress import Silent
from purepipe.pipeline.store import LEDGER, open_store

from .pipeline.conftest import simulate

UNITS = 11  # of the survey below, with blocks of 40 objects


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="module")
def finished(survey, tmp_path_factory):
    """A run that nothing disturbed."""
    config = replace(load_survey(survey), out=tmp_path_factory.mktemp("runs") / "whole")
    summary = run(config, workers=1)
    assert summary.exit_code is ExitCode.OK
    assert len(summary.outcomes) == UNITS
    return config


@pytest.fixture
def copy(finished, tmp_path):
    """The configuration of a copy of the undisturbed run."""
    shutil.copytree(finished.out, tmp_path / "run")
    return replace(finished, out=tmp_path / "run")


def catalogue(root):
    return (root / "catalogue" / "final_cat.fits").read_bytes()


def launch(survey, out, *options):
    command = [sys.executable, "-P", "-m", "purepipe", "run", str(survey), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--quiet", "--no-report", *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(process, root, *, ended):
    """Wait until so many units have ended, or the run has."""
    ledger = root / LEDGER
    while process.poll() is None:
        if ledger.exists():
            with closing(sqlite3.connect(ledger, timeout=30)) as connection:
                try:
                    sql = "SELECT count(*) FROM attempt WHERE ended IS NOT NULL"
                    if connection.execute(sql).fetchone()[0] >= ended:
                        return
                except sqlite3.OperationalError:  # no table yet
                    pass
        time.sleep(0.02)


def descendants(pid):
    """Process numbers of the children of a process and of theirs."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    children = [child for child, parent in parents.items() if parent == pid]
    return children + [grandchild for child in children for grandchild in descendants(child)]


def kill_and_resume(survey, out, kills, generator, workers="1"):
    """Kill a run with SIGKILL again and again, a moment after some unit has ended; then finish."""
    for _ in range(kills):
        process = launch(survey, out, "-j", workers)
        done = run_status(out).ended if (out / LEDGER).exists() else {}
        wait_for(process, out, ended=sum(done.values()) + generator.choice([0, 0, 1, 2]))
        time.sleep(generator.uniform(0, 0.7))
        process.kill()
        process.communicate()
    process = launch(survey, out, "-j", workers)
    text, _ = process.communicate()
    assert process.returncode == 0, text


def test_killed_and_resumed_gives_the_same_bytes(survey, finished, tmp_path):
    kill_and_resume(survey, tmp_path / "run", 3, random.Random(1))
    assert catalogue(tmp_path / "run") == catalogue(finished.out)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2", "4"])
def test_killed_twenty_times(survey, finished, tmp_path, workers):
    kill_and_resume(survey, tmp_path / "run", 20, random.Random(int(workers)), workers)
    assert catalogue(tmp_path / "run") == catalogue(finished.out)


def test_any_product_may_be_deleted(finished, copy):
    products = sorted(
        path for path in copy.out.rglob("*") if path.suffix in (".fits", ".psf")
    )  # fmt: skip
    assert len(products) > 25
    for product in random.Random(2).sample(products, 3):
        product.unlink()
    summary = run(copy, workers=1)
    assert summary.exit_code is ExitCode.OK
    assert catalogue(copy.out) == catalogue(finished.out)
    assert all(product.exists() for product in products)


@pytest.mark.slow
def test_every_product_may_be_deleted_in_turn(finished, copy):
    for product in sorted(copy.out.rglob("*")):
        if product.suffix in (".fits", ".psf"):
            product.unlink()
            assert run(copy, workers=1).exit_code is ExitCode.OK
            assert product.exists(), product
            assert catalogue(copy.out) == catalogue(finished.out), product


def test_an_earlier_outcome_is_struck_out_before_its_unit_starts(finished, copy, monkeypatch):
    """Killed while a unit works under another configuration, the old one must not pass again."""
    from purepipe.pipeline import work

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    shapes = replace(copy.tile.shapes, noise="double")
    monkeypatch.setattr(work, "measure_shapes", die)
    with pytest.raises(KeyboardInterrupt):
        run(replace(copy, tile=replace(copy.tile, shapes=shapes)), workers=1)
    monkeypatch.undo()
    # A product of the right size under the old key, left by the attempt that was killed.
    product = next((copy.out / "shapes").rglob("00000.fits"), None)
    whole = finished.out / "shapes/000-000/00000.fits"
    assert product is None
    spoiled = bytearray(whole.read_bytes())
    spoiled[-6000] ^= 1
    (copy.out / "shapes/000-000/00000.fits").write_bytes(spoiled)
    run(copy, workers=1)
    assert catalogue(copy.out) == catalogue(finished.out)


def test_a_killed_worker_is_replaced(survey, finished, tmp_path):
    out = tmp_path / "run"
    process = launch(survey, out, "-j", "2")
    wait_for(process, out, ended=2)
    children: list[int] = []
    while not children and process.poll() is None:
        # What is gone a moment later was a helper of a library, on its way to another program.
        seen = _workers(process.pid)
        time.sleep(0.2)
        children = [pid for pid in _workers(process.pid) if pid in seen]
    assert children
    os.kill(children[0], signal.SIGKILL)
    text, _ = process.communicate()
    assert process.returncode == 0, text
    assert catalogue(out) == catalogue(finished.out)


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="Ctrl-C is ignored here, as by nohup"
)
def test_ctrl_c_leaves_a_run_that_resumes(survey, finished, tmp_path):
    out = tmp_path / "run"
    process = launch(survey, out, "-j", "2")
    wait_for(process, out, ended=2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    text, _ = process.communicate()
    assert process.returncode == 130, text
    assert "interrupted; run the same command again to resume" in text
    assert "Traceback" not in text
    state = run_status(out)
    assert (state.processes, state.working, state.finished) == ((), (), False)
    assert len(state.outcomes) >= 2
    assert all(outcome.done for outcome in state.outcomes)
    process = launch(survey, out)
    text, _ = process.communicate()
    assert process.returncode == 0, text
    assert catalogue(out) == catalogue(finished.out)


def test_a_second_ctrl_c_ends_the_units_at_work(finished, tmp_path, monkeypatch):
    from purepipe.pipeline import pool, schedule

    class Press(Silent):
        def ended(self, outcome):
            raise KeyboardInterrupt

    def again(self):
        raise KeyboardInterrupt

    killed = []
    kill = pool.ProcessPool.kill
    monkeypatch.setattr(pool.ProcessPool, "kill", lambda self: killed.append(kill(self)))
    monkeypatch.setattr(schedule.Schedule, "drain", again)
    with pytest.raises(KeyboardInterrupt):
        run(replace(finished, out=tmp_path / "run"), workers=2, progress=Press())
    assert killed
    monkeypatch.undo()
    assert run(replace(finished, out=tmp_path / "run"), workers=1).exit_code is ExitCode.OK
    assert catalogue(tmp_path / "run") == catalogue(finished.out)


def _workers(pid):
    """The worker processes of a run: they look like the server that starts them, its children."""
    every = descendants(pid)
    below = {grand for child in every for grand in descendants(child)}
    return [child for child in every if child in below and _is_server(child)]


def _is_server(pid):
    try:
        return b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # libraries start short-lived programs of their own
        return False


def test_workers_end_with_their_run(survey, tmp_path):
    out = tmp_path / "run"
    process = launch(survey, out, "-j", "2")
    wait_for(process, out, ended=1)
    workers = descendants(process.pid)
    assert workers
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if _alive(pid)]
    state = run_status(out)
    assert not state.processes
    assert not state.finished


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def files_no_larger_than(size):
    """A disk that is full, for every file beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_for_a_product_stops_the_run(finished, copy):
    product = copy.out / "tile/000-000/objects.fits"
    size = product.stat().st_size
    product.unlink()
    with (
        files_no_larger_than(size // 2),
        pytest.raises(
            StoreError, match=r"the run stops: tile 000-000: .*objects\.fits.*Free space"
        ),
    ):
        run(copy, workers=1)
    assert not product.exists()
    assert not list(copy.out.rglob("*.part"))
    summary = run(copy, workers=1)
    assert summary.exit_code is ExitCode.OK
    assert catalogue(copy.out) == catalogue(finished.out)


def test_no_room_for_the_ledger_stops_the_run(finished, copy):
    (copy.out / "catalogue/final_cat-000-000.fits").unlink()
    with (
        files_no_larger_than(4096),
        pytest.raises(StoreError, match=r"ledger.*(cannot be written|full|I/O).*resumes"),
    ):
        run(copy, workers=1)
    run(copy, workers=1)
    assert catalogue(copy.out) == catalogue(finished.out)


@contextmanager
def small_disk(folder, megabytes):
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", *options], check=False, capture_output=True).returncode
    ):
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_a_larger_one_resumes(finished, tmp_path):
    with small_disk(tmp_path / "disk", 1):
        small = replace(finished, out=tmp_path / "disk/run")
        full = r"(?s)(No space left|disk is full).*(Free space|resumes)"
        with pytest.raises(StoreError, match=full):
            run(small, workers=1)
        remount = ["mount", "-o", "remount,size=64m", str(tmp_path / "disk")]
        subprocess.run(remount, check=True)
        summary = run(small, workers=1)
        assert summary.exit_code is ExitCode.OK
        assert catalogue(small.out) == catalogue(finished.out)


def test_read_only_output_is_named(finished, tmp_path):
    with small_disk(tmp_path / "disk", 8):
        shutil.copytree(finished.out, tmp_path / "disk/run")
        remount = ["mount", "-o", "remount,ro", str(tmp_path / "disk")]
        subprocess.run(remount, check=True)
        with pytest.raises(StoreError, match=r"folder of the run cannot be written.*--out"):
            run(replace(finished, out=tmp_path / "disk/run"), workers=1)


@pytest.mark.parametrize("name", ["tile/000-000/objects.fits", "ccd/2100001-0/psf.psf"])
def test_a_truncated_product_is_made_again(finished, copy, caplog, name):
    product = copy.out / name
    product.write_bytes(product.read_bytes()[:-2880])
    with caplog.at_level(logging.INFO, logger="purepipe"):
        summary = run(copy, workers=1)
    assert f"product {name} changed size" in caplog.text
    assert 0 < summary.skipped < UNITS
    assert catalogue(copy.out) == catalogue(finished.out)


@pytest.mark.parametrize("name", ["tile/000-000/objects.fits", "catalogue/final_cat-000-000.fits"])
def test_a_product_changed_at_equal_size_is_made_again(finished, copy, caplog, name):
    product = copy.out / name
    content = bytearray(product.read_bytes())
    content[-100] ^= 1
    product.write_bytes(content)
    found = verify_run(copy.out)
    assert len(found.differing) == 1
    assert f"{name} has another content" in found.differing[0]
    with caplog.at_level(logging.INFO, logger="purepipe"):
        summary = run(copy, workers=1)
    assert f"product {name} changed content" in caplog.text
    assert 0 < summary.skipped < UNITS
    assert product.read_bytes() == (finished.out / name).read_bytes()
    assert verify_run(copy.out).differing == ()


def test_a_product_that_was_only_touched_stands(copy):
    for product in copy.out.rglob("*.fits"):
        os.utime(product)
    assert run(copy, workers=1).skipped == UNITS


def test_status_verifies_products_and_inputs(finished, tmp_path):
    folder = Path(finished.inputs.image).parent.parent
    shutil.copytree(folder, tmp_path / "survey", ignore=shutil.ignore_patterns("run*"))
    config = load_survey(tmp_path / "survey/survey.toml")
    run(config, workers=1)
    command = [sys.executable, "-P", "-m", "purepipe", "status", str(config.out), "--verify"]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert "files are as the ledger says" in first.stdout
    weight = Path(config.inputs.weight.replace("{number}", "2100001"))
    stat = weight.stat()
    content = bytearray(weight.read_bytes())
    content[5000] ^= 1
    weight.write_bytes(content)
    os.utime(weight, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # so that a resumed run sees nothing
    (config.out / "catalogue/final_cat-000-000.fits").unlink()
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1, second.stderr
    assert "catalogue 000-000: catalogue/final_cat-000-000.fits is missing" in second.stdout
    assert "weight-2100001.fits has another content" in " ".join(second.stdout.split())


def test_a_corrupted_ledger_is_named_and_left_alone(copy):
    ledger = copy.out / LEDGER
    content = bytearray(ledger.read_bytes())
    content[4096 : len(content) : 7] = b"\xa5" * len(content[4096 : len(content) : 7])
    ledger.write_bytes(content)
    with pytest.raises(StoreError, match=r"ledger\.sqlite.*cannot be used.*Move the file away"):
        run(copy, workers=1)
    assert ledger.read_bytes() == content
    assert (copy.out / "catalogue/final_cat.fits").exists()


def test_an_emptied_ledger_is_not_taken_for_a_new_run(copy):
    (copy.out / LEDGER).write_bytes(b"")
    with pytest.raises(StoreError, match=r"it is empty, although there are products"):
        run(copy, workers=1)


def test_without_its_ledger_everything_is_made_again(finished, copy):
    (copy.out / LEDGER).unlink()
    summary = run(copy, workers=1)
    assert summary.skipped == 0
    assert catalogue(copy.out) == catalogue(finished.out)


def test_a_clock_that_goes_backwards_does_no_harm(finished, copy, monkeypatch):
    ticks = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(stores.time, "time", lambda: float(next(ticks)))
    product = copy.out / "shapes/000-000/00001.fits"
    product.unlink()
    os.utime(copy.out / LEDGER, (4e9, 4e9))
    assert run(copy, workers=1).skipped == UNITS - 1
    assert run(copy, workers=1).skipped == UNITS
    assert catalogue(copy.out) == catalogue(finished.out)
    assert run_status(copy.out).finished


def test_two_runs_on_one_store(copy):
    first = open_store(copy.out, lock=True)
    try:
        with pytest.raises(StoreError, match=rf"another run works .*process {os.getpid()} on"):
            run(copy, workers=1)
        with pytest.raises(StoreError, match="a run without --shard works in this folder"):
            run(copy, workers=1, shard=Shard(1, 2))
    finally:
        first.close()
    held = hold_store(copy.out, Shard(1, 2))
    held.share()
    try:
        with pytest.raises(StoreError, match=r"another run works"):
            run(copy, workers=1)
        with pytest.raises(StoreError, match=r"shard 1 works in this folder already"):
            run(copy, workers=1, shard=Shard(1, 3))
    finally:
        held.close()
    assert run(copy, workers=1).skipped == UNITS


def test_an_input_changed_under_a_finished_run_is_named(finished, copy, caplog):
    weight = Path(copy.inputs.weight.replace("{number}", "2100001"))
    stat = weight.stat()
    os.utime(weight, ns=(stat.st_atime_ns, stat.st_mtime_ns - 86400 * 10**9))  # into the past
    try:
        with caplog.at_level(logging.INFO, logger="purepipe"):
            summary = run(copy, workers=1)
    finally:
        os.utime(weight, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert "ccd 2100001-0: weight-2100001.fits changed" in caplog.text
    assert "shapes 000-000 00000: what it is made from changed" in caplog.text
    # The other exposure and the tile stand; shapes and catalogue follow the CCDs.
    assert summary.skipped == 3
    assert catalogue(copy.out) == catalogue(finished.out)


def test_a_unit_that_takes_too_long_is_ended(finished, copy, monkeypatch):
    from purepipe.pipeline import work

    (copy.out / "tile/000-000/objects.fits").unlink()
    monkeypatch.setattr(work, "extract", lambda *args, **options: time.sleep(30))
    slow = replace(copy, run=RunConfig(timeout=0.5))
    summary = run(slow, workers=1)
    tile = next(o for o in summary.outcomes if o.kind == "tile")
    assert tile.status == "timed out"
    assert "run.timeout: the unit took longer than its time limit (allowed: 0.5 s)" in tile.message
    assert any("1 of 1 tile units failed (100%" in line for line in summary.guards)
    log = (copy.out / "logs/tile-000-000.log").read_text()
    assert "timed out after" in log
    monkeypatch.undo()
    run(copy, workers=1)
    assert catalogue(copy.out) == catalogue(finished.out)


def test_the_run_is_open_after_everything(copy):
    assert len(open_run(copy.out).outcomes) == UNITS
