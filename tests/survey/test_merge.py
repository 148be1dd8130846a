"""Overlapping tiles: every part of the sky belongs to one of them."""

import numpy as np
import pytest
from astropy.io.fits import Header
from astropy.table import Table

from purepipe.catalogue import build_table
from purepipe.errors import DataError
from purepipe.survey import area_meta, merge_tiles, owners, tile_area
from purepipe.survey.tiles import area_of_objects, covered
from purepipe.wcs import WCS

SIDE, SCALE = 1000, 0.5 / 900  # half a degree and an overlap on each side


def tile(number, ra, dec):
    cards = {
        "NAXIS": 2, "NAXIS1": SIDE, "NAXIS2": SIDE, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN",
        "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": (SIDE + 1) / 2, "CRPIX2": (SIDE + 1) / 2,
        "CD1_1": -SCALE, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE,
    }  # fmt: skip
    return tile_area(number, WCS.from_header(Header(cards)))


def grid(dec):
    """Two rows of three tiles on the survey's grid, around RA 0."""
    rows = [(dec, [-0.5, 0.0, 0.5]), (dec + 0.5, [-0.45, 0.05, 0.55])]
    tiles = [
        (round(offset / np.cos(np.radians(row)) % 360, 6), row)
        for row, offsets in rows
        for offset in offsets
    ]
    return [tile(f"{i:03d}-000", *centre) for i, centre in enumerate(tiles)]


def catalogue(area, ra, dec, **meta):
    n = len(ra)
    values = {"NUMBER": np.arange(1, n + 1), "XWIN_WORLD": ra, "YWIN_WORLD": dec,
              "TILE_ID": area.number}  # fmt: skip
    return build_table(values, rows=n, meta=meta)


@pytest.mark.parametrize("dec", [0.0, 40.0, 87.0])
def test_every_object_has_one_home(dec):
    areas = grid(dec)
    rng = np.random.default_rng(1)
    ra = rng.uniform(-0.7, 0.7, 4000) / np.cos(np.radians(dec + 0.3)) % 360
    decs = rng.uniform(dec - 0.3, dec + 0.8, 4000)
    tables = []
    for area in areas:
        on = covered(area, ra, decs)
        assert on.sum() > 400
        tables.append(catalogue(area, ra[on], decs[on], **area_meta(area)))
    merged = merge_tiles(tables)
    assert len(merged) == sum(map(len, tables))
    primary = np.asarray(merged["PRIMARY"]) == 1
    kept = np.round(np.asarray(merged["XWIN_WORLD"])[primary], 9)
    anywhere = np.round(np.asarray(merged["XWIN_WORLD"]), 9)
    assert len(np.unique(kept)) == len(kept) == len(np.unique(anywhere)) < len(anywhere)


def test_the_nearest_centre_wins():
    areas = [tile("000-000", 10.0, 0.0), tile("001-000", 10.5, 0.0)]
    owner = owners([10.24, 10.26, 10.0, 10.5, 10.7, 12.0, np.nan], [0.0] * 7, areas)
    assert owner.tolist() == [0, 1, 0, 1, 1, -1, -1]


def test_only_tiles_that_cover_an_object_count():
    far, near = tile("000-000", 10.0, 0.0), tile("001-000", 10.0, 0.53)
    # Nearer to the second centre, but below its lower edge.
    assert owners([10.0], [0.27], [far, near]).tolist() == [1]
    assert owners([10.27], [0.2], [far, tile("001-000", 10.5, 0.4)]).tolist() == [1]
    assert owners([10.27], [0.1], [far, tile("001-000", 10.5, 0.4)]).tolist() == [0]


def test_area_of_the_objects_stands_in():
    areas = [tile("000-000", 0.1, 30.0), tile("001-000", 359.6, 30.0)]
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(-0.7, 0.5, 3000) % 360, rng.uniform(29.8, 30.2, 3000)
    on = [covered(area, ra, dec) for area in areas]
    bare = [catalogue(a, ra[m], dec[m]) for a, m in zip(areas, on, strict=True)]
    known = [catalogue(a, ra[m], dec[m], **area_meta(a)) for a, m in zip(areas, on, strict=True)]
    same = np.asarray(merge_tiles(bare)["PRIMARY"]) == np.asarray(merge_tiles(known)["PRIMARY"])
    assert same.mean() > 0.99
    one = merge_tiles(bare)
    kept = np.asarray(one["XWIN_WORLD"])[np.asarray(one["PRIMARY"]) == 1]
    assert len(np.unique(kept)) == len(kept)
    corners = np.array(area_of_objects("x", ra[on[0]], dec[on[0]]).corners)
    assert np.ptp(corners[:, 1]) == pytest.approx(0.4, abs=0.02)


def test_wandering_objects_have_a_home():
    area = tile("000-000", 10.0, 0.0)
    merged = merge_tiles([catalogue(area, [10.0, 50.0], [0.0, 0.0], **area_meta(area))])
    assert np.asarray(merged["PRIMARY"]).tolist() == [1, 1]


def test_empty_tiles_are_allowed():
    areas = [tile("000-000", 10.0, 0.0), tile("001-000", 10.5, 0.0)]
    tables = [catalogue(areas[0], [10.0], [0.0]), catalogue(areas[1], [], [])]
    assert len(merge_tiles(tables)) == 1


def test_columns_can_be_chosen():
    areas = [tile("000-000", 10.0, 0.0), tile("001-000", 10.5, 0.0)]
    tables = [catalogue(area, [10.25], [0.0]) for area in areas]
    tables[0]["EXTRA"] = 1.0
    merged = merge_tiles(tables, columns=["TILE_ID", "NUMBER"], meta={"A": 1})
    assert merged.colnames == ["TILE_ID", "NUMBER", "PRIMARY"]
    assert merged.meta == {"A": 1}
    with pytest.raises(DataError, match=r"tile 001-000: the columns .* differ.*no EXTRA.*Name the"):
        merge_tiles(tables)
    with pytest.raises(DataError, match=r"a column is missing.*no MAG_AUTO"):
        merge_tiles(tables, columns=["MAG_AUTO"])


def test_what_cannot_be_merged():
    area = tile("000-000", 10.0, 0.0)
    one = catalogue(area, [10.0], [0.0])
    with pytest.raises(DataError, match=r"no catalogue to merge.*Name the final"):
        merge_tiles([])
    with pytest.raises(DataError, match=r"TILE_ID: a tile comes twice.*000-000.*Name each"):
        merge_tiles([one, one])
    two = catalogue(area, [10.0, 10.1], [0.0, 0.0])
    two["TILE_ID"] = ["000-000", "001-000"]
    with pytest.raises(DataError, match=r"holds several tiles.*000-000, 001-000"):
        merge_tiles([two])
    with pytest.raises(DataError, match=r"TILE_ID: the catalogue does not name its tile"):
        merge_tiles([Table({"RA": [1.0]})])
    lost = Table({"TILE_ID": ["000-000"], "MAG": [1.0]})
    with pytest.raises(DataError, match=r"no sky positions.*XWIN_WORLD, YWIN_WORLD or"):
        merge_tiles([lost])
    with pytest.raises(DataError, match="no object of the tile has a sky position"):
        merge_tiles([catalogue(area, [np.nan], [np.nan])])
