"""The commands merge, randoms, match and find."""

import numpy as np
import pytest
from astropy.io.fits import Header
from astropy.table import Table

from purepipe.commands import find, match, merge, randoms
from purepipe.io import read_table, write_image, write_table

SCALE = 0.5 / 900


def tile_header(ra, dec, side=1000):
    return Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec,
        "CRPIX1": (side + 1) / 2, "CRPIX2": (side + 1) / 2, "CD1_1": -SCALE, "CD1_2": 0.0,
        "CD2_1": 0.0, "CD2_2": SCALE,
    })  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """What a run of two overlapping tiles leaves, as far as these commands read it."""
    for number, ra in (("000-000", 10.0), ("001-000", 10.5)):
        folder = tmp_path / "run" / "tile" / number
        folder.mkdir(parents=True)
        mask = np.zeros((1000, 1000), np.int16)
        mask[:, :500] = 4
        write_image(folder / "mask.fits", mask, tile_header(ra, 0.0), compress=True)
        table = Table({"NUMBER": np.array([1, 2], np.int32), "XWIN_WORLD": [ra, 10.26],
                       "YWIN_WORLD": [0.0, 0.0], "TILE_ID": [number] * 2,
                       "NGMIX_T_1M": [0.5, np.nan]})  # fmt: skip
        table["NGMIX_T_1M"].unit = "arcsec"
        corners = [ra + 0.27, -0.27, ra - 0.27, -0.27, ra - 0.27, 0.27, ra + 0.27, 0.27]
        table.meta["TILEAREA"] = corners
        (tmp_path / "run/catalogue").mkdir(exist_ok=True)
        write_table(tmp_path / f"run/catalogue/final_cat-{number}.fits", table)
    return tmp_path / "run"


@pytest.mark.parametrize("kind", ["fits", "parquet"])
def test_merge(run, tmp_path, capsys, kind):
    out = tmp_path / f"all.{kind}"
    assert merge.main([str(run), "--out", str(out)]) == 0
    assert "2 tiles, 4 objects, 3 of them in their own tile" in capsys.readouterr().out
    table = read_table(out)
    assert np.asarray(table["PRIMARY"]).tolist() == [1, 0, 1, 1]
    assert table["NGMIX_T_1M"].unit == "arcsec"
    assert "nearest centre" in table["PRIMARY"].description


def test_merge_under_other_names(run, tmp_path):
    out = tmp_path / "all.fits"
    assert merge.main([str(run), "--out", str(out), "--names", "v1", "--sentinels"]) == 0
    table = read_table(out)
    assert np.asarray(table["TILE_ID"]).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert np.asarray(table["NGMIX_T_1M"]).tolist() == [0.5, 0.0, 0.5, 0.0]
    own = tmp_path / "names.txt"
    own.write_text("# mine\nXWIN_WORLD ra  # degrees\nYWIN_WORLD dec\n")
    wanted = tmp_path / "final_cat.param"
    wanted.write_text("XWIN_WORLD\nYWIN_WORLD\n\n# TILE_ID\nTILE_ID\n")
    arguments = [str(run), "--out", str(out), "--names", str(own), "--columns", str(wanted)]
    assert merge.main([*arguments, "--primary"]) == 0
    assert read_table(out).colnames == ["ra", "dec", "TILE_ID", "PRIMARY"]
    assert len(read_table(out)) == 3


def test_merge_of_what_is_wrong(run, tmp_path, capsys):
    out = ["--out", str(tmp_path / "all.fits")]

    def says(*arguments):
        status = merge.main([*map(str, arguments), *out])
        return status, capsys.readouterr().err

    first = run / "catalogue/final_cat-000-000.fits"
    assert says(tmp_path) == (
        1,
        f"purepipe merge: {tmp_path}: no catalogue of a tile in this folder (allowed:"
        " catalogue/final_cat-*.fits). Name a run's folder after its end, or the catalogues"
        " themselves.\n",
    )
    assert "a tile comes twice" in says(first, first)[1]
    status, message = says(first, "--names", "v7")
    assert (status, "unknown names of columns" in message) == (2, True)
    bad = tmp_path / "bad.txt"
    bad.write_text("A B C\n")
    assert "a line must hold an old and a new name" in says(first, "--names", bad)[1]
    bad.write_text("# nothing\n")
    assert "the file names no column" in says(first, "--columns", bad)[1]
    assert says(tmp_path / "none.fits")[0] == 1
    assert not (tmp_path / "all.fits").exists()


def test_merge_of_more_than_may_be_joined(run, tmp_path, capsys):
    arguments = [str(run), "--out", str(tmp_path / "all.fits"), "--max-objects"]
    assert merge.main([*arguments, "3"]) == 2
    message = capsys.readouterr().err
    assert "--max-objects: 2 of 2 catalogues hold more objects than may be joined" in message
    assert "(got 4; allowed: 3). Merge neighbouring tiles in parts" in message
    assert not (tmp_path / "all.fits").exists()
    assert merge.main([*arguments, "4"]) == 0


def test_randoms(run, tmp_path, capsys):
    out = tmp_path / "randoms.fits"
    assert randoms.main([str(run), "--out", str(out), "--density", "0.5", "--seed", "3"]) == 0
    text = capsys.readouterr().out
    assert "000-000: " in text
    assert "50.0% unmasked" in text
    table = read_table(out)
    area = 2 * 0.5 * (1000 * SCALE * 60) ** 2
    assert len(table) == pytest.approx(0.5 * area, abs=2)
    # The left half of a tile is in the east, and masked.
    ra, number = np.asarray(table["RA"]), np.asarray(table["TILE_ID"]).astype(str)
    assert ra[number == "000-000"].max() < 10.001
    primary = np.asarray(table["PRIMARY"]) == 1
    assert ra[primary & (number == "001-000")].min() == pytest.approx(10.25, abs=0.01)
    mask = tmp_path / "pipeline_flag-005-007.fits"
    write_image(mask, np.zeros((1000, 1000), np.int16), tile_header(20.0, 5.0))
    assert randoms.main([str(mask), "--out", str(out), "--number", "7"]) == 0
    assert set(np.asarray(read_table(out)["TILE_ID"])) == {"005-007"}
    mask = run / "tile/001-000/mask.fits"
    assert randoms.main([str(mask), "--out", str(out), "--number", "7"]) == 0
    assert set(np.asarray(read_table(out)["TILE_ID"])) == {"001-000"}


def test_a_masked_tile_does_not_end_the_command(run, tmp_path, capsys):
    out = tmp_path / "randoms.fits"
    write_image(tmp_path / "mask-005-007.fits", np.ones((1000, 1000), np.int16),
                tile_header(20.0, 5.0))  # fmt: skip
    arguments = ["--out", str(out), "--number", "7"]
    assert randoms.main([str(tmp_path / "mask-005-007.fits"), str(run), *arguments]) == 1
    said = capsys.readouterr()
    assert "mask-005-007.fits: tile 005-007: every pixel of the tile is masked" in said.err
    assert "14 points" in said.out
    assert set(np.asarray(read_table(out)["TILE_ID"])) == {"000-000", "001-000"}
    out.unlink()
    assert randoms.main([str(tmp_path / "mask-005-007.fits"), *arguments]) == 1
    assert "no tile has unmasked pixels" in capsys.readouterr().err
    assert not out.exists()


def test_randoms_of_what_is_wrong(tmp_path, capsys):
    out = ["--out", str(tmp_path / "r.fits"), "--number", "5"]
    assert randoms.main([str(tmp_path), *out]) == 1
    assert "no mask of a tile in this folder" in capsys.readouterr().err
    (tmp_path / "mask.fits").touch()
    assert randoms.main([str(tmp_path / "mask.fits"), *out]) == 1
    assert "holds no number of the expected form" in capsys.readouterr().err
    assert randoms.main([str(tmp_path), "--out", "x"]) == 2
    assert "--number --density is required" in capsys.readouterr().err


def test_match(run, tmp_path, capsys):
    external = Table({"ra": [10.0, 10.26 + 1e-5], "dec": [0.0, 0.0], "z": [0.3, 0.4]})
    write_table(tmp_path / "z.fits", external)
    catalogue = run / "catalogue/final_cat-000-000.fits"
    out = tmp_path / "matched.parquet"
    arguments = [str(catalogue), str(tmp_path / "z.fits"), "--out", str(out)]
    assert match.main([*arguments, "--columns", "z"]) == 0
    assert "2 of 2 objects matched" in capsys.readouterr().out
    assert np.asarray(read_table(out)["z"]).tolist() == [0.3, 0.4]
    assert match.main([*arguments, "--tolerance", "0.01", "--all", "--missing", "-9"]) == 0
    assert np.asarray(read_table(out)["z"]).tolist() == [0.3, -9]
    assert match.main([*arguments, "--positions", "XWIN_WORLD"]) == 2
    assert "--positions: two columns are needed" in capsys.readouterr().err
    assert match.main([*arguments, "--external-hdu", "7"]) == 1
    assert "z.fits" in capsys.readouterr().err


def test_find(run, tmp_path, capsys):
    tiles = []
    for number, ra in (("000-000", 0.0), ("719-000", 359.6)):
        path = tmp_path / f"CFIS_image-{number}.fits"
        write_image(path, np.zeros((1000, 1000), np.uint8), tile_header(ra, 0.0))
        tiles.append(str(path))
    assert find.main([*tiles, "--box", "359.5,359.6,-0.1,0.1"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["719-000"]
    store = tmp_path / "headers.fits"
    assert find.main([*tiles, "--write-headers", str(store)]) == 0
    assert find.main([str(store), "--cone", "-0.2,0,0.05"]) == 0
    west = capsys.readouterr().out
    assert find.main([str(store), "--cone", "359.8,0,0.05"]) == 0
    assert capsys.readouterr().out == west
    assert find.main([str(store), "--box", "-0.5,-0.4,-0.1,0.1"]) == 0
    assert capsys.readouterr().out.startswith("719-000")
    assert find.main([str(store), "--cone"]) == 2
    assert "expected one argument" in capsys.readouterr().err
    assert find.main([str(store), "--cone", "359.8,0,0.05"]) == 0
    found = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert found == ["000-000", "719-000"]
    assert find.main([str(store), "--polygon", "0.1,0,0.2,0,0.1,0.1", "--ccds"]) == 0
    assert capsys.readouterr().out.split()[0] == "000-000-0"


def test_an_exposure_that_comes_twice_is_told(tmp_path, capsys):
    for kind, ra in (("image", 10.0), ("weight", 50.0)):
        pixels = np.zeros((10, 10), np.float32)
        write_image(tmp_path / f"{kind}-2100001.fits", pixels, tile_header(ra, 0.0))
    files = [str(tmp_path / f"{kind}-2100001.fits") for kind in ("image", "weight")]
    assert find.main([*files, "--write-headers", str(tmp_path / "all.fits")]) == 1
    error = capsys.readouterr().err
    assert f"{files[1]}: exposure 2100001 was found in {files[0]} before" in error
    assert "Name the images alone" in error
    assert find.main([str(tmp_path / "all.fits"), "--cone", "50,0,0.5"]) == 0
    assert capsys.readouterr().out == ""
    assert find.main([str(tmp_path / "all.fits"), "--cone", "10,0,0.5", "--ccds"]) == 0
    assert capsys.readouterr().out.startswith("2100001-0 ")


def test_find_names_what_cannot_be_used(tmp_path, capsys):
    good, plain = tmp_path / "CFIS_image-000-000.fits", tmp_path / "CFIS_image-001-000.fits"
    write_image(good, np.zeros((1000, 1000), np.uint8), tile_header(0.0, 0.0))
    write_image(plain, np.zeros((10, 10), np.uint8))
    absent = tmp_path / "image-2100001.fits"
    status = find.main([str(absent), str(plain), str(good), "--cone", "0,0,1"])
    text = capsys.readouterr()
    assert status == 1
    assert text.out.startswith("000-000 ")
    assert "image-2100001.fits: the file does not exist" in text.err
    assert "001-000" in text.err
    assert "no celestial coordinates" in text.err
    assert find.main([str(good)]) == 2
    assert "nothing to do" in capsys.readouterr().err
    for wrong in (["--cone", "1,2"], ["--polygon", "1,2,3"], ["--box", "a,b,c,d"]):
        assert find.main([str(good), *wrong]) == 2
        assert "wrong numbers" in capsys.readouterr().err


def test_find_in_the_headers_of_the_original(tmp_path, capsys):
    array = np.empty(1, dtype="O")
    head = tile_header(30.0, 0.0)
    head["NAXIS"], head["NAXIS1"], head["NAXIS2"] = 2, 1000, 1000
    array[0] = {"WCS": None, "header": head.tostring()}
    path = tmp_path / "headers-2100001.npy"
    np.save(path, array, allow_pickle=True)
    assert find.main([str(path), "--cone", "30,0,0.1"]) == 1
    assert "Python pickles" in capsys.readouterr().err
    assert find.main([str(path), "--cone", "30,0,0.1", "--allow-pickled", "--ccds"]) == 0
    assert capsys.readouterr().out.startswith("2100001-0 ")
