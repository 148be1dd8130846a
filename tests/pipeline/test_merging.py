"""Catalogues of tiles joined in files, a tile at a time, as `merge_tiles` joins them in memory."""

import numpy as np
import pytest

from purepipe.catalogue import build_table
from purepipe.errors import ConfigError, DataError
from purepipe.io import read_table, write_table
from purepipe.pipeline.merging import merge_files
from purepipe.survey import area_meta, merge_tiles
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
