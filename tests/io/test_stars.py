"""Star catalogues of every format give the same stars; none is lost without a count."""

import numpy as np
import pytest
from astropy.table import Table

from purepipe.errors import InputFileError
from purepipe.io.stars import read_star_catalogue
from purepipe.io.tables import write_table

RA, DEC, MAG = [150.1624850, 359.9], [32.2596804, -5.0], [5.0, np.nan]
CDS = """#comment
#comment
#comment
#GSC2.2 ;RA(J2000) Dec(J2000) ; Fmag; Jmag; Vmag; Nmag; Clas;
N00000000 ; 150.1624850 +32.2596804 ; 5.00 ; 5.50 ; --- ; 4.50 ; 0 ;
N00000003 ; 359.9 -5.0 ; --- ; --- ; --- ; --- ; 0 ;
N00000004 ; 150.1 +32.2 ; 12.90 ; 13.40 ; --- ; 12.40 ; 3 ;
#five
#tail
#lines
#are
#dropped
"""


def _write(folder, kind):
    table = Table({"RA": RA, "Dec": DEC, "extra": [1, 2], "mag": MAG})
    path = folder / "stars"
    if kind == "FITS":
        write_table(path, table)
    elif kind == "Parquet":
        write_table(folder / "stars.parquet", table)
        return folder / "stars.parquet"
    elif kind == "CSV":
        path.write_text(
            "# from a survey\nRA,Dec,extra,mag\n150.1624850,32.2596804,1,5.0\n359.9,-5,2,\n"
        )
    elif kind == "CDS text":
        path.write_text(CDS)
    else:
        table.write(path, format="ascii.ecsv")
    return path


@pytest.mark.parametrize("kind", ["FITS", "Parquet", "CSV", "ECSV", "CDS text"])
def test_formats(tmp_path, kind):
    stars = read_star_catalogue(_write(tmp_path, kind))
    assert stars.colnames == ["ra", "dec", "mag"]
    assert np.array_equal(stars["ra"], RA)
    assert np.array_equal(stars["dec"], DEC)
    assert np.array_equal(stars["mag"], MAG, equal_nan=True)
    assert stars.meta["format"] == kind
    assert stars.meta["n_without_mag"] == 1
    assert stars.meta["n_without_position"] == 0
    assert stars.meta["n_not_stars"] == (1 if kind == "CDS text" else 0)


def test_no_stars(tmp_path):
    (tmp_path / "a").write_text("ra,dec,mag\n")
    assert len(read_star_catalogue(tmp_path / "a")) == 0


def test_stars_without_position_are_counted(tmp_path):
    (tmp_path / "a").write_text("ra,dec,mag\n1,2,3\n,2,3\n")
    stars = read_star_catalogue(tmp_path / "a")
    assert len(stars) == 1
    assert stars.meta["n_without_position"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ra,dec,flux\n1,2,3\n", r"no column mag \(got ra, dec, flux; allowed: mag, .*Rename"),
        ("ra,dec,mag\n1,2,3\n1,2,3,4\n", r"CSV table cannot be read.*must name the columns"),
        ("ra,dec,mag\n10:00:00,2,3\n", r"ra: the column must hold numbers.*degrees"),
        ("ra,dec,mag\n1,92,3\n", r"declination is not on the sky \(got 92.0; allowed: -90 to 90"),
        (CDS.replace("5.00 ;", "5.00 ; 1 ; 2 ;"), r"line 5: more values than columns"),
        (CDS.replace("Nmag", "Xmag"), r"line 4: columns of the CDS text are missing"),
    ],
)
def test_errors(tmp_path, content, message):
    (tmp_path / "a").write_text(content)
    with pytest.raises(InputFileError, match=message):
        read_star_catalogue(tmp_path / "a")


def test_unknown_format(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputFileError, match=r"format of the star catalogue is not known"):
        read_star_catalogue(tmp_path / "a")


def test_missing(tmp_path):
    with pytest.raises(InputFileError, match="does not exist"):
        read_star_catalogue(tmp_path / "a")
