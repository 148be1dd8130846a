"""What leaves a store that several shards have worked on, and what stays."""

import shutil
from dataclasses import replace

import pytest

from purepipe.pipeline import Shard, run
from purepipe.pipeline.store import Outcome, open_store, outcomes, record, transaction
from purepipe.pipeline.tidy import agree, announce
from purepipe.pipeline.verify import verify_run


@pytest.fixture
def stale(finished, tmp_path):
    """A finished run with a unit, its product and an input of an earlier survey."""
    config, _ = finished
    shutil.copytree(config.out, tmp_path / "run")
    (tmp_path / "run/old.fits").write_bytes(b"12345")
    store = open_store(tmp_path / "run", create=False)
    record(store, Outcome("ccd 9-9", "ccd", "done", products={"old.fits": 5}))
    with transaction(store) as ledger:
        ledger.execute("INSERT INTO input VALUES ('/gone.fits', '[]', 'abc')")
        ledger.execute("UPDATE attempt SET campaign = 0 WHERE unit = 'ccd 9-9'")
    store.close()
    return replace(config, out=tmp_path / "run")


def names(root):
    store = open_store(root, create=False)
    try:
        return {outcome.name for outcome in outcomes(store)}
    finally:
        store.close()


def test_shards_forget_what_nobody_has_planned(stale):
    assert "ccd 9-9" in names(stale.out)
    run(stale, workers=1, shard=Shard(1, 2))
    assert "ccd 9-9" not in names(stale.out)
    assert not (stale.out / "old.fits").exists()
    assert verify_run(stale.out).differing == ()


def test_what_another_shard_has_done_in_this_campaign_stays(stale):
    store = open_store(stale.out, lock=True, shard=Shard(2, 2))
    try:
        announce(store, ["something that the first one cannot read"])
        run(stale, workers=1, shard=Shard(1, 2))
    finally:
        store.close()
    assert "ccd 9-9" in names(stale.out)
    assert (stale.out / "old.fits").exists()


def test_shards_agree_when_they_have_planned_the_same(tmp_path):
    first = open_store(tmp_path, lock=True, shard=Shard(1, 2))
    second = open_store(tmp_path, lock=True, shard=Shard(2, 2))
    announce(first, ["a", "b"])
    assert not agree(first, ["a", "b"])  # the second one has not said what it has planned
    announce(second, ["b", "a"])
    assert agree(first, ["a", "b"])
    announce(second, ["b"])
    assert not agree(first, ["a", "b"])
    second.close()
    assert agree(first, ["a", "b"])
    first.close()
