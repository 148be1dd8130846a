"""Stamps survive their store; pickles and damaged files are refused."""

import pickle
import sqlite3

import numpy as np
import pytest

from purepipe.errors import DataError, InputFileError, StoreError
from purepipe.io.stamp_store import StampStore, write_stamp_store

STAMP = np.arange(9, dtype=np.float32).reshape(3, 3)
OBJECTS = {
    "10": {
        "2104127-35": {"VIGNET": STAMP, "SHAPES": {"E1_PSF_HSM": 0.25, "FLAG_PSF_HSM": 0}},
        "2105224-13": {"VIGNET": STAMP.astype(">f8") + 0.5},
    },
    "2": "empty",
    "3": {},
    "4": {"a-1": {"VIGNET": STAMP.astype("i2"), "NAME": "x", "EMPTY": np.zeros((0, 3))}},
}


@pytest.fixture
def path(tmp_path):
    write_stamp_store(tmp_path / "image_vignet-000-000.sqlite", OBJECTS)
    return tmp_path / "image_vignet-000-000.sqlite"


def test_like_a_dictionary(path):
    with StampStore(path) as store:
        assert list(store) == ["10", "2", "3", "4"]
        assert len(store) == 4
        assert "2" in store
        assert "5" not in store
        assert store["2"] == store["3"] == {}
        assert list(store["10"]) == ["2104127-35", "2105224-13"]
        stamp = store["10"]["2104127-35"]["VIGNET"]
        assert np.array_equal(stamp, STAMP)
        assert stamp.dtype == np.float32
        stamp[0, 0] = 1  # an array of its own
        assert store["10"]["2104127-35"]["SHAPES"] == {"E1_PSF_HSM": 0.25, "FLAG_PSF_HSM": 0}
        second = store["10"]["2105224-13"]["VIGNET"]
        assert second.dtype.isnative
        assert np.array_equal(second, STAMP + 0.5)
        assert store["4"]["a-1"]["VIGNET"].dtype == np.int16
        assert store["4"]["a-1"]["NAME"] == "x"
        assert store["4"]["a-1"]["EMPTY"].shape == (0, 3)
        with pytest.raises(KeyError):
            store["5"]


def test_generator(tmp_path):
    pairs = ((str(n), {"e-0": {"VIGNET": STAMP * n}}) for n in range(5))
    write_stamp_store(tmp_path / "a", pairs)
    with StampStore(tmp_path / "a") as store:
        assert store["3"]["e-0"]["VIGNET"][2, 2] == 24


def test_failure_leaves_nothing(tmp_path):
    def pairs():
        yield "1", {"e-0": {"VIGNET": STAMP}}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_stamp_store(tmp_path / "a", pairs())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"1": {"e": {"V": object()}}}, "1/e/V: only numbers, texts and arrays"),
        ({"1": {"e": {"V/W": 1}}}, "a name must not contain a slash"),
        ({"1": "nothing"}, r"a word other than 'empty' \(got 'nothing'\)"),
        ([("1", {}), ("1", {})], "occurs twice"),
    ],
)
def test_what_cannot_be_stored(tmp_path, objects, message):
    with pytest.raises(DataError, match=message):
        write_stamp_store(tmp_path / "a", objects)
    assert not list(tmp_path.iterdir())


def test_missing_folder(tmp_path):
    with pytest.raises(StoreError, match="folder of the output does not exist"):
        write_stamp_store(tmp_path / "no" / "a", {})


def test_store_of_pickles(tmp_path):
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE unnamed (key TEXT PRIMARY KEY, value BLOB)")
        connection.execute("INSERT INTO unnamed VALUES ('1', ?)", (pickle.dumps({}),))
    connection.close()
    with pytest.raises(
        InputFileError, match=r"old\.sqlite: this store holds Python pickles.*again"
    ):
        StampStore(path)


def test_other_files(tmp_path):
    with pytest.raises(InputFileError, match="does not exist"):
        StampStore(tmp_path / "no")
    (tmp_path / "a").write_bytes(b"SIMPLE  = T")
    with pytest.raises(InputFileError, match="this is no stamp store"):
        StampStore(tmp_path / "a")
    with sqlite3.connect(tmp_path / "b") as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(InputFileError, match=r"no stamp store \(got tables other"):
        StampStore(tmp_path / "b")


@pytest.mark.parametrize("size", [50, 100, 5000, -1])
def test_truncated(path, size):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputFileError, match=r"stamp store is damaged: it is shorter.*again"):
        StampStore(path)


def test_damaged_values(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE stamps SET dtype = '|O8' WHERE name = 'VIGNET'")
    connection.close()
    with StampStore(path) as store, pytest.raises(InputFileError, match="damaged"):
        store["4"]
