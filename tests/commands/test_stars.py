"""``purepipe stars``: star catalogues for images, and divided catalogues."""

import errno
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from purepipe.commands.stars import find_fields, main
from purepipe.config import MaskConfig
from purepipe.errors import ConfigError, DataError, InputFileError, MissingPackageError, StoreError
from purepipe.exposure import Exposure
from purepipe.io.star_files import query_stars, read_star_cells, write_cds, write_star_cells
from purepipe.io.stars import read_star_catalogue
from purepipe.io.tables import write_table
from purepipe.mask import build_mask
from purepipe.mask.cones import star_cone, star_reach, stars_in_cone
from purepipe.wcs import WCS

SHAPE = (120, 100)
MASK = MaskConfig.exposure(messier={"make": False})


def header(ra=150.0, dec=32.0):
    cards = fits.Header()
    cards["CTYPE1"], cards["CTYPE2"] = "RA---TAN", "DEC--TAN"
    cards["CRVAL1"], cards["CRVAL2"], cards["CRPIX1"], cards["CRPIX2"] = ra, dec, 50.0, 60.0
    cards["CD1_1"], cards["CD2_2"] = -0.187 / 3600, 0.187 / 3600
    return cards


def sky(ra=150.0, dec=32.0, seed=0, n=3000):
    """Stars within a few arcmin, three without magnitude."""
    rng = np.random.default_rng(seed)
    table = Table(
        {
            "ra": (ra + rng.uniform(-0.15, 0.15, n) / np.cos(np.radians(dec))) % 360,
            "dec": dec + rng.uniform(-0.15, 0.15, n),
            "mag": rng.uniform(4, 19, n),
        }
    )
    table["mag"][:3] = np.nan
    return table


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "CFIS_image-000-1.fits"
    fits.writeto(path, np.zeros(SHAPE, np.float32), header())
    return path


def catalogue(folder, kind, table):
    path = folder / f"stars.{kind}"
    if kind == "cat":
        write_cds(path, table)
    elif kind == "csv":
        table.write(path, format="ascii.csv")
    elif kind == "ecsv":
        table.write(path, format="ascii.ecsv")
    else:
        write_table(path, table)
    return path


@pytest.mark.parametrize("kind", ["fits", "csv", "ecsv", "parquet", "cat"])
def test_the_mask_is_that_of_the_whole_catalogue(tmp_path, image, kind, capsys):
    table = sky()
    path = catalogue(tmp_path, kind, table)
    out = tmp_path / "out"
    assert main([str(image), "--out", str(out), "--catalogue", str(path)]) == 0
    text = (out / "star_cat-000-1.cat").read_text()
    assert text.splitlines()[3] == "#GSC2.2 ;RA(J2000) Dec(J2000) ; Fmag; Jmag; Vmag; Nmag; Clas;"
    assert len(text.splitlines()) == 4 + 5 + int(capsys.readouterr().out.split()[-2])
    stars = read_star_catalogue(out / "star_cat-000-1.cat")
    assert 0 < len(stars) < len(table)
    exposure = Exposure(np.zeros(SHAPE, np.float32), wcs=WCS.from_header(header(), SHAPE))
    np.testing.assert_array_equal(
        build_mask(exposure, stars, MASK), build_mask(exposure, table, MASK)
    )


def test_text_keeps_every_bit(tmp_path):
    table = sky(ra=0.0, dec=-1e-7)
    write_cds(tmp_path / "s.cat", table, comment="two\nlines")
    back = read_star_catalogue(tmp_path / "s.cat")
    for name in ("ra", "dec", "mag"):
        np.testing.assert_array_equal(back[name], table[name])
    write_cds(tmp_path / "s.cat", table[:0])
    assert len(read_star_catalogue(tmp_path / "s.cat")) == 0


def test_one_catalogue_for_each_hdu_of_an_exposure(tmp_path):
    hdus = [fits.PrimaryHDU()]
    hdus += [fits.ImageHDU(np.zeros(SHAPE), header(ra)) for ra in (150.0, 150.02, 150.04)]
    folder = tmp_path / "in"
    folder.mkdir()
    fits.HDUList(hdus).writeto(folder / "image-2079614.fits")
    (folder / "weight-2079614.fits").write_text("not read")
    path = catalogue(tmp_path, "fits", sky())
    out = tmp_path / "out"
    args = [str(folder), "--out", str(out), "--catalogue", str(path)]
    assert main([*args, "--exposures"]) == 0
    names = [f"star_cat-2079614-{k}.cat" for k in range(3)]
    assert sorted(item.name for item in out.iterdir()) == names
    stars = [read_star_catalogue(out / name)["ra"] for name in names]
    assert stars[0].mean() < stars[1].mean() < stars[2].mean()
    assert main([*args, "--out", str(tmp_path / "single")]) == 0
    assert [item.name for item in (tmp_path / "single").iterdir()] == ["star_cat-2079614.cat"]


def test_polygons_of_a_mask_file_set_the_margin(tmp_path, image):
    path = tmp_path / "my.mask"
    (tmp_path / "big.reg").write_text("-5000 0\n5000 0\n0 5000\n")
    path.write_text(
        "[PROGRAM_PATH]\nWW_PATH=ww\nWW_CONFIG_FILE=default.ww\n"
        "[BORDER_PARAMETERS]\nBORDER_MAKE=False\n"
        "[HALO_PARAMETERS]\nHALO_MAKE=True\nHALO_MASKMODEL_PATH=big.reg\nHALO_MAG_LIM=19\n"
        "HALO_SCALE_FACTOR=0.01\nHALO_MAG_PIVOT=13.8\nHALO_FLAG_VALUE=2\nHALO_REG_FILE=h.reg\n"
        "[SPIKE_PARAMETERS]\nSPIKE_MAKE=False\n[MESSIER_PARAMETERS]\nMESSIER_MAKE=False\n"
        "[EXTERNAL_FLAG]\nEF_MAKE=False\n[MD_PARAMETERS]\nMD_MAKE=False\n"
        "[OTHER]\nTEMP_DIRECTORY=t\nKEEP_REG_FILE=False\nKEEP_INDIVIDUAL_MASK=False\n"
    )
    stars = catalogue(tmp_path, "fits", sky())
    args = [str(image), "--catalogue", str(stars)]
    assert main([*args, "--out", str(tmp_path / "a")]) == 0
    assert main([*args, "--out", str(tmp_path / "b"), "--mask", str(path)]) == 0
    small, large = (
        len(read_star_catalogue(tmp_path / name / "star_cat-000-1.cat")) for name in "ab"
    )
    assert large > 2900 > small


def test_reach_of_stars():
    reach = star_reach([5.0, 12.9, 13.8, 17.9, 18.5, np.nan])
    assert reach[0] > reach[1] > reach[2] > reach[3] > 0
    assert reach[4] == 0
    assert reach[5] == star_reach(12.0)
    none = MaskConfig.exposure(halo={"make": False}, spike={"make": False})
    assert not star_reach([5.0], none).any()
    wcs = WCS.from_header(header(), SHAPE)
    assert star_cone(wcs, none)[2] * 3600 / 0.187 == pytest.approx(np.hypot(60, 50), abs=1.5)
    lost = Table({"ra": [np.nan, 150.0], "dec": [32.0, 32.0], "mag": [5.0, 19.0]})
    assert len(stars_in_cone(lost, wcs)) == 1


def test_a_divided_catalogue_gives_the_same_stars(tmp_path, image, capsys):
    tables = [sky(), sky(dec=31.9, seed=1), sky(ra=20.0, dec=-80.0, seed=2)]
    paths = []
    for number, table in enumerate(tables):
        paths.append(tmp_path / f"s{number}.fits")
        write_table(paths[-1], table)
    cells = tmp_path / "cells"
    assert main(["--split", *map(str, paths), "--out", str(cells)]) == 0
    assert "9000 stars in" in capsys.readouterr().out
    everything = Table(
        {name: np.concatenate([t[name] for t in tables]) for name in ("ra", "dec", "mag")}
    )
    write_table(tmp_path / "all.fits", everything)
    for name, source in (("a", cells), ("b", tmp_path / "all.fits")):
        args = [str(image), "--out", str(tmp_path / name), "--catalogue", str(source)]
        assert main(args) == 0
    found = [
        np.sort(read_star_catalogue(tmp_path / name / "star_cat-000-1.cat")["ra"]) for name in "ab"
    ]
    np.testing.assert_array_equal(*found)
    assert len(read_star_cells(cells, 200.0, 0.0, 1.0)) == 0


def test_stars_without_position_are_left_out_of_a_division(tmp_path, caplog):
    lost = Table({"ra": [np.nan, 10.0, 11.0], "dec": [1.0, np.nan, 2.0], "mag": [1.0, 2.0, 3.0]})
    assert sum(write_star_cells(tmp_path / "cells", [lost, lost[:2]]).values()) == 1
    assert caplog.text.count("2 star(s) have no position and are left out") == 2
    assert read_star_cells(tmp_path / "cells", 11.0, 2.0, 0.1)["mag"].tolist() == [3.0]


def test_bad_input(tmp_path, image, capsys):
    stars = catalogue(tmp_path, "fits", sky())

    def run(*words, out=tmp_path / "out", source=("--catalogue", stars)):
        status = main([*map(str, words), "--out", str(out), *map(str, source)])
        return status, capsys.readouterr().err

    far = catalogue(tmp_path, "ecsv", sky(ra=10.0))
    status, error = run(image, source=("--catalogue", far))
    assert status == 1
    assert "CFIS_image-000-1.fits[HDU 0]: no star of the catalogue is near" in error
    assert not (tmp_path / "out" / "star_cat-000-1.cat").exists()
    assert run(image, "--allow-empty", source=("--catalogue", far))[0] == 0
    assert len(read_star_catalogue(tmp_path / "out" / "star_cat-000-1.cat")) == 0
    assert run(image, source=())[1].startswith("purepipe stars: --catalogue, --online: one source")
    assert run(image, source=("--catalogue", tmp_path / "no.fits"))[0] == 1
    assert run(tmp_path / "image-2.fits")[0] == 1
    assert "image-2.fits" in run(tmp_path / "image-2.fits")[1]
    assert run(image, source=("--catalogue", tmp_path))[1].count("no divided star catalogue") == 1
    fits.writeto(tmp_path / "image-7.fits", np.zeros(SHAPE, np.float32))
    status, error = run(tmp_path / "image-7.fits", image)
    assert status == 1
    assert "image-7.fits[HDU 0]" in error
    assert (tmp_path / "out" / "star_cat-000-1.cat").exists()
    (tmp_path / "file").write_text("")
    assert "cannot be made" in run(image, out=tmp_path / "file")[1]
    assert "no extension holds an image" in run(image, "--exposures")[1]
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("ra,de,mag\n1,2,3\n")
    assert "no column dec" in run(image, source=("--catalogue", wrong))[1]
    assert main([]) == 2


def test_read_only_folder(tmp_path, image, monkeypatch, capsys):
    stars = catalogue(tmp_path, "fits", sky())

    def read_only(*args, **keys):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", read_only)
    out = tmp_path / "out"
    assert main([str(image), "--out", str(out), "--catalogue", str(stars)]) == 1
    assert "star_cat-000-1.cat: cannot be written: Read-only" in capsys.readouterr().err
    assert not list(out.iterdir())


def test_fields_need_different_numbers(tmp_path, image):
    other = tmp_path / "b"
    other.mkdir()
    with pytest.raises(InputFileError, match="no FITS file with 'image' in its name"):
        find_fields([other])
    fits.writeto(other / "tile-000-1.fits", np.zeros(SHAPE, np.float32), header())
    with pytest.raises(ConfigError, match="two images have the same number"):
        find_fields([image, other / "tile-000-1.fits"])
    (field,) = find_fields([other / "tile-000-1.fits"])
    assert (field.hdu, field.number) == (0, "-000-1")


def test_divided_catalogues_that_cannot_be_made(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(StoreError, match="the folder is not empty"):
        write_star_cells(tmp_path / "full", [sky()])
    with pytest.raises(StoreError, match="the folder cannot be made"):
        write_star_cells(tmp_path / "full" / "x", [sky()])
    with pytest.raises(DataError, match="lacks a column"):
        write_star_cells(tmp_path / "new", [Table({"ra": [1.0], "dec": [2.0]})])
    with pytest.raises(InputFileError, match="or an incomplete one"):
        read_star_cells(tmp_path / "new", 0, 0, 1)
    (tmp_path / "new" / "cells.toml").write_text("size = 2.0\n")
    with pytest.raises(InputFileError, match=r"of an earlier version of purepipe.*Divide it again"):
        read_star_cells(tmp_path / "new", 0, 0, 1)
    (tmp_path / "new" / "cells.toml").write_text("nside = 33\n")
    with pytest.raises(InputFileError, match=r"resolution of this.*damaged.*got 33") as raised:
        read_star_cells(tmp_path / "new", 0, 0, 1)
    assert raised.value.file == str(tmp_path / "new" / "cells.toml")
    with pytest.raises(ConfigError, match=r"not a resolution of cells.*got 33"):
        write_star_cells(tmp_path / "other", [sky()], nside=33)
    assert not (tmp_path / "other").exists()


def online_service(monkeypatch, answer):
    """A module in the place of astroquery.vizier."""

    class Vizier:
        def __init__(self, **keys):
            assert keys["column_filters"] == {"Gmag": "<18.0"}

        def query_region(self, position, radius, catalog):
            assert (position.ra.deg, radius.value, catalog) == (150.0, 0.5, "I/355/gaiadr3")
            if isinstance(answer, Exception):
                raise answer
            return answer

    module = ModuleType("astroquery.vizier")
    module.Vizier = Vizier
    monkeypatch.setitem(sys.modules, "astroquery", ModuleType("astroquery"))
    monkeypatch.setitem(sys.modules, "astroquery.vizier", module)


def test_online_catalogues(monkeypatch):
    monkeypatch.setitem(sys.modules, "astroquery", None)
    with pytest.raises(MissingPackageError, match="pip install astroquery"):
        query_stars(150.0, 32.0, 0.5)
    table = Table({"RA_ICRS": [1.0], "DE_ICRS": [2.0], "Gmag": np.ma.array([3.0], mask=[True])})
    online_service(monkeypatch, [table])
    stars = query_stars(150.0, 32.0, 0.5)
    assert stars.colnames == ["ra", "dec", "mag"]
    assert (stars["ra"][0], stars["dec"][0]) == (1, 2)
    assert np.isnan(stars["mag"][0])
    online_service(monkeypatch, [])
    assert len(query_stars(150.0, 32.0, 0.5)) == 0
    online_service(monkeypatch, ConnectionError("refused"))
    with pytest.raises(InputFileError, match="does not answer: refused"):
        query_stars(150.0, 32.0, 0.5)
    online_service(monkeypatch, [table["RA_ICRS", "DE_ICRS"]])
    with pytest.raises(InputFileError, match="the catalogue lacks columns"):
        query_stars(150.0, 32.0, 0.5)
