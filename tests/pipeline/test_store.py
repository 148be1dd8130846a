import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from purepipe.errors import StoreError
from purepipe.pipeline import keys
from purepipe.pipeline import store as stores
from purepipe.pipeline.store import Outcome, StepRecord, open_store, record
from purepipe.pipeline.tidy import forget_others


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "run")
    yield opened
    opened.close()


def outcome(store, **changes):
    product = store.root / "a.fits"
    product.write_bytes(b"12345")
    values = {
        "name": "ccd 1-0", "kind": "ccd", "status": "done", "key": "k1",
        "products": {"a.fits": 5}, "seconds": 1.5,
        "steps": (StepRecord("mask", "pixels", 10, 9, 0.1, {"HALO": 1}),),
    }  # fmt: skip
    return Outcome(**(values | changes))


def test_an_outcome_comes_back_as_it_was(store):
    done = outcome(store)
    record(store, done)
    assert stores.outcome_of(store, "ccd 1-0") == done
    assert stores.outcomes(store) == [done]
    record(store, outcome(store, steps=(), status="failed", message="no stars"))
    (again,) = stores.outcomes(store)
    assert (again.status, again.message, again.steps) == ("failed", "no stars", ())
    assert stores.outcome_of(store, "ccd 9-9") is None


def test_a_valid_unit_stands(store):
    record(store, outcome(store))
    valid, reason = stores.still_valid(store, "ccd 1-0", "k1")
    assert valid is not None
    assert reason == ""


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda s: None, "not done before"),
        (lambda s: record(s, outcome(s, status="failed")), "ended as 'failed' before"),
        (lambda s: record(s, outcome(s, key="k2")), "inputs, configuration or code changed"),
        (
            lambda s: (record(s, outcome(s)), (s.root / "a.fits").unlink()),
            "product a.fits is missing",
        ),
        (
            lambda s: (record(s, outcome(s)), (s.root / "a.fits").write_bytes(b"1")),
            "product a.fits changed size",
        ),
    ],
)
def test_what_does_not_stand_says_why(store, spoil, reason):
    spoil(store)
    assert stores.still_valid(store, "ccd 1-0", "k1") == (None, reason)


def test_units_that_left_the_plan_are_forgotten(store):
    record(store, outcome(store))
    record(store, outcome(store, name="ccd 2-0"))
    forget_others(store, ["ccd 2-0"])
    assert [o.name for o in stores.outcomes(store)] == ["ccd 2-0"]
    assert store.ledger.execute("SELECT count(*) FROM step").fetchone() == (1,)


def test_facts(store):
    stores.set_fact(store, "config", {"a": [1, 2]})
    assert stores.fact(store, "config") == {"a": [1, 2]}
    assert stores.fact(store, "nothing", 3) == 3


def test_a_damaged_ledger_is_named(tmp_path):
    (tmp_path / stores.LEDGER).write_text("this is not a database, far from it" * 100)
    with pytest.raises(StoreError, match=r"ledger cannot be used.*Move the file away"):
        open_store(tmp_path)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no run here"):
        open_store(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written.*--out"):
        open_store(tmp_path / "file" / "run")


def test_keys_depend_on_content_only():
    key = keys.content_hash({"b": 1, "a": [1.0, None]}, "x")
    assert key == keys.content_hash({"a": [1.0, None], "b": 1}, "x")
    assert key != keys.content_hash({"a": [1.5, None], "b": 1}, "x")


def test_file_identity_changes_with_the_file(tmp_path):
    path = tmp_path / "a"
    path.write_text("1")
    first = keys.file_identity(path)
    path.write_text("22")
    assert keys.file_identity(path) != first
    assert keys.file_identity(tmp_path / "none") == ["none", None, None]
    assert keys.file_identity(None) is None


def test_the_ledger_is_plain_sqlite(store):
    record(store, outcome(store))
    with closing(sqlite3.connect(store.root / stores.LEDGER)) as other:
        (products,) = other.execute("SELECT products FROM unit").fetchone()
    assert json.loads(products) == {"a.fits": 5}


def test_one_run_at_a_time(tmp_path):
    first = open_store(tmp_path, lock=True)
    with pytest.raises(StoreError, match="another run works in this folder"):
        open_store(tmp_path, lock=True)
    open_store(tmp_path).close()  # reading is allowed meanwhile
    first.close()
    open_store(tmp_path, lock=True).close()


def test_products_of_forgotten_units_go_with_them(store):
    record(store, outcome(store))
    assert (store.root / "a.fits").exists()
    forget_others(store, [])
    assert not (store.root / "a.fits").exists()


def test_a_touched_product_is_compared_once(store, monkeypatch):
    done = outcome(store)
    product = store.root / "a.fits"
    digest = keys.fingerprint(product, whole=True)
    written = {"a.fits": product.stat().st_mtime_ns}
    record(store, replace(done, digests={"a.fits": digest}, times=written))
    os.utime(product, ns=(1, 1))
    reads = []

    def counted(path, *, whole):
        reads.append(path)
        return keys.fingerprint(path, whole=whole)

    monkeypatch.setattr(stores, "fingerprint", counted)
    for _ in range(2):
        assert stores.still_valid(store, "ccd 1-0", "k1")[0] == done
    assert reads == [product]
