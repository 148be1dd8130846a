"""Catalogues of tiles joined in files, a tile at a time, as `merge_tiles` joins them in memory."""

import gc
import weakref

import numpy as np
import pytest

from purepipe.catalogue import build_table
from purepipe.errors import ConfigError, DataError, InputFileError
from purepipe.io import read_table, write_table
from purepipe.io.tables import write_tables
from purepipe.pipeline.merging import merge_files
from purepipe.survey import area_meta, merge_tiles
from purepipe.survey.naming import named
from purepipe.survey.tiles import TileArea


def square(number, ra, dec):
    corners = ((ra + 0.3, dec - 0.3), (ra - 0.3, dec - 0.3), (ra - 0.3, dec + 0.3))
    return TileArea(number, (*corners, (ra + 0.3, dec + 0.3)))


@pytest.fixture
def tiles(tmp_path):
    """Catalogues of a row of overlapping tiles, and of one far away; one without its area."""
    rng = np.random.default_rng(5)
    centres = [(359.5, 0.0), (0.0, 0.0), (0.5, 0.0), (90.0, 60.0)]
    paths = []
    for index, (ra, dec) in enumerate(centres):
        area = square(f"{index}-{'0' * (3 + index)}", ra, dec)
        n = 50 * index
        names = ["a" * (index + 1)] * n
        values = {
            "NUMBER": np.arange(1, n + 1), "TILE_ID": area.number,
            "XWIN_WORLD": (ra + rng.uniform(-0.3, 0.3, n)) % 360,
            "YWIN_WORLD": dec + rng.uniform(-0.3, 0.3, n),
            "EPOCHS": np.array(names, dtype=f"U{index + 1}"),
        }  # fmt: skip
        meta = {"PIPESEED": 3, "TILE": area.number, **(area_meta(area) if index != 2 else {})}
        paths.append(tmp_path / f"final_cat-{area.number}.fits")
        write_table(paths[-1], build_table(values, rows=n, meta=meta))
    return paths


def test_files_are_joined_as_tables_are(tiles, tmp_path):
    merged = merge_files(tiles, tmp_path / "parts.fits")
    whole = merge_tiles([read_table(path) for path in tiles])
    write_table(tmp_path / "whole.fits", whole)
    assert (tmp_path / "parts.fits").read_bytes() == (tmp_path / "whole.fits").read_bytes()
    primary = int(np.count_nonzero(whole["PRIMARY"]))
    assert 0 < primary < len(whole)
    assert (merged.objects, merged.primary, merged.written) == (300, primary, 300)
    assert whole.meta == {"PIPESEED": 3}


def test_only_one_tile_is_in_memory(tiles, tmp_path, monkeypatch):
    from purepipe.pipeline import merging

    reads = []
    monkeypatch.setattr(merging, "read_table", lambda path: reads.append(path) or read_table(path))
    merge_files(tiles, tmp_path / "all.fits")
    # The first for its columns, one more for the extent of its objects, then each as it is joined.
    assert sorted(reads) == sorted([*tiles, tiles[2]])


@pytest.mark.parametrize("names", ["purepipe", "v1", "v2"])
def test_tiles_do_not_wait_for_the_collector(tiles, tmp_path, monkeypatch, names):
    from purepipe.pipeline import merging

    columns, alive, changed = [], [], []

    def change(table):
        table = named(table, names)
        changed.append(weakref.ref(table))
        return table

    def read(path):
        alive.append(sum(column() is not None for column in columns))
        table = read_table(path)
        columns.append(weakref.ref(table["NUMBER"]))
        return table

    monkeypatch.setattr(merging, "read_table", read)
    gc.disable()
    gc.freeze()
    try:
        merge_files(
            [tiles[0], tiles[1], tiles[3]], tmp_path / "all.fits", primary_only=True,
            change=change,
        )  # fmt: skip
        assert gc.get_freeze_count() > 0  # the collector is the caller's
    finally:
        gc.unfreeze()
        gc.enable()
    assert not any(table() is not None for table in changed)
    assert alive == [0, 1, 1]  # the first one is kept for its columns


def test_tables_beside_are_joined_row_by_row(tiles, tmp_path):
    paths = []
    for index, path in enumerate(tiles):
        rows = {"CELL_ID": np.arange(3), "TILE_ID": f"{index}-{'0' * (3 + index)}"}
        paths.append(tmp_path / f"cells-{index}.fits")
        cells = build_table(rows, rows=3)
        write_tables(paths[-1], {"RESULTS": read_table(path), "CELLS": cells})
    merge_files(paths, tmp_path / "with.fits", meta={"A": 1}, beside=("CELLS",))
    merge_files(paths, tmp_path / "without.fits", meta={"A": 1})
    content = (tmp_path / "without.fits").read_bytes()
    assert (tmp_path / "with.fits").read_bytes()[: len(content)] == content
    joined = read_table(tmp_path / "with.fits", "CELLS")
    assert list(joined["CELL_ID"]) == [0, 1, 2] * 4
    assert joined["TILE_ID"][-1] == "3-000000"
    assert joined.meta["A"] == 1


def test_what_cannot_be_joined_leaves_nothing(tiles, tmp_path):
    out = tmp_path / "new" / "all.fits"
    out.parent.mkdir()
    with pytest.raises(DataError, match="no catalogue to merge"):
        merge_files([], out)
    with pytest.raises(DataError, match=r"TILE_ID: a tile comes twice.*1-0000"):
        merge_files([tiles[1], tiles[3], tiles[1]], out)
    with pytest.raises(ConfigError, match=r"--max-objects: 3 of 4 catalogues hold more objects"):
        merge_files(tiles, out, most=149)
    other = read_table(tiles[3])
    other["EXTRA"] = 1.0
    write_table(tmp_path / "other.fits", other)
    with pytest.raises(DataError, match=r"the columns .* differ.*also EXTRA"):
        merge_files([tiles[1], tmp_path / "other.fits"], out)
    assert list(out.parent.iterdir()) == []


def changed_column(path, new, name, values):
    table = read_table(path)
    table[name] = values(len(table))
    write_table(new, table)
    return new


def test_integers_and_real_numbers_do_not_mix(tiles, tmp_path):
    other = changed_column(tiles[3], tmp_path / "real.fits", "NUMBER", lambda n: np.arange(n) + 0.5)
    with pytest.raises(DataError, match=r"real\.fits.*NUMBER.*types.*real numbers.*integers"):
        merge_files([tiles[1], other], tmp_path / "all.fits")
    text = changed_column(tiles[3], tmp_path / "text.fits", "NUMBER", lambda n: np.full(n, "a"))
    with pytest.raises(DataError, match=r"text\.fits.*NUMBER.*types.*texts.*integers"):
        merge_files([tiles[1], text], tmp_path / "all.fits")
    wide = changed_column(
        tiles[3], tmp_path / "wide.fits", "NUMBER", lambda n: 2**53 + 1 + np.arange(n)
    )
    merge_files([tiles[1], wide], tmp_path / "all.fits")
    assert np.max(read_table(tmp_path / "all.fits")["NUMBER"]) == 2**53 + 150


def test_columns_have_one_shape(tiles, tmp_path):
    one = changed_column(tiles[1], tmp_path / "one.fits", "PAIR", lambda n: np.zeros((n, 2)))
    other = changed_column(tiles[3], tmp_path / "other.fits", "PAIR", lambda n: np.zeros((n, 3)))
    with pytest.raises(DataError, match=r"other\.fits.*PAIR.*shapes.*\(3,\).*\(2,\)"):
        merge_files([one, other], tmp_path / "all.fits")
    assert not (tmp_path / "all.fits").exists()


def test_a_column_without_a_name_is_refused(tiles, tmp_path):
    content = tiles[1].read_bytes()
    path = tmp_path / "nameless.fits"
    path.write_bytes(content.replace(b"TTYPE3  =", b"COMMENT  ", 1))
    with pytest.raises(InputFileError, match=r"nameless\.fits.*TTYPE3.*column 3 .* has no name"):
        merge_files([path], tmp_path / "all.fits")
