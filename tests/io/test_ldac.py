"""FITS_LDAC catalogues survive reading and writing; the original programs take them."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from purepipe.errors import DataError, InputFileError
from purepipe.io.images import write_image
from purepipe.io.ldac import count_extensions, read_epochs, read_ldac, write_ldac

REFERENCE = Path(__file__).parents[1] / "reference" / "io"
SEXTRACTOR = shutil.which("source-extractor") or shutil.which("sex")
PSFEX = shutil.which("psfex")


def _catalogue(rows=3):
    table = Table()
    table["NUMBER"] = np.arange(1, rows + 1, dtype="i4")
    table["EXT_NUMBER"] = np.ones(rows, "i2")
    table["X_IMAGE"] = np.linspace(5, 40, rows).astype("f4")
    table["X_IMAGE"].unit = "pixel"
    table["X_IMAGE"].description = "Object position along x"
    table["XWIN_WORLD"] = np.linspace(150, 151, rows)
    table["XWIN_WORLD"].unit = "deg"
    table["VIGNET"] = np.arange(rows * 35, dtype="f4").reshape(rows, 5, 7)
    table.meta.update(SEXGAIN=1.5, SEXBKDEV=4.25, SEXFILTN="gauss.conv")
    return table


def _raw(path):
    """Everything a binary table holds that matters: columns and data bytes."""
    with fits.open(path) as hdus:
        keys = ("name", "format", "unit", "disp", "dim")
        return [
            (
                hdu.name,
                [tuple(getattr(column, key) for key in keys) for column in hdu.columns],
                [hdu.header.comments[f"TTYPE{n + 1}"] for n in range(len(hdu.columns))],
                hdu.data.view(np.ndarray).tobytes(),
            )
            for hdu in hdus[1:]
        ]


def test_layout_of_a_written_file(tmp_path):
    path = tmp_path / "cat.fits"
    write_ldac(path, _catalogue())
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "LDAC_IMHEAD", "LDAC_OBJECTS"]
        head, objects = hdus[1].header, hdus[2].header
        assert head["TTYPE1"] == "Field Header Card"
        cards = head["NAXIS1"] // 80
        assert head["TFORM1"] == f"{80 * cards}A"
        assert head["TDIM1"] == f"(80, {cards})"
        text = hdus[1].data.view(np.ndarray).tobytes()
        assert text[:8] == b"SIMPLE  "
        assert text[-80:].rstrip() == b"END"
        forms = [objects[f"TFORM{n}"] for n in range(1, 6)]
        assert forms == ["1J", "1I", "1E", "1D", "35E"]
        assert objects["TDIM5"] == "(7, 5)"
        assert objects["TUNIT4"] == "deg"


def test_round_trip(tmp_path):
    path = tmp_path / "cat.fits"
    table = _catalogue()
    table["X_IMAGE"][1] = np.nan
    write_ldac(path, table)
    back = read_ldac(path)
    assert back.colnames == table.colnames
    for name in table.colnames:
        assert np.array_equal(back[name], table[name], equal_nan=True)
        assert back[name].dtype == table[name].dtype
    assert back["X_IMAGE"].unit == "pixel"
    assert back["X_IMAGE"].description == "Object position along x"
    assert back.meta["SEXGAIN"] == 1.5
    assert back.meta["SEXFILTN"] == "gauss.conv"
    write_ldac(tmp_path / "again.fits", back)
    assert (tmp_path / "again.fits").read_bytes() == path.read_bytes()


def test_empty_catalogue_keeps_its_columns(tmp_path):
    write_ldac(tmp_path / "cat.fits", _catalogue(0))
    back = read_ldac(tmp_path / "cat.fits")
    assert len(back) == 0
    assert back["VIGNET"].shape == (0, 5, 7)


def test_cards_of_the_image_are_kept_and_values_in_meta_win(tmp_path):
    cards = fits.Header(
        [("NAXIS", 2), ("SEXGAIN", 9.0), ("HISTORY", "input image 2243881p.fits 6 extension(s)")]
    ).tostring(endcard=False, padding=False)
    write_ldac(tmp_path / "cat.fits", _catalogue(), header_cards=cards)
    meta = read_ldac(tmp_path / "cat.fits").meta
    assert "HISTORY input image 2243881p.fits" in meta["header"]
    assert meta["SEXGAIN"] == 1.5


def test_card_text_without_changes_is_kept_to_the_letter(tmp_path):
    card = "SEXGAIN =                  1.5 / odd   spacing".ljust(80)
    table = _catalogue()
    table.meta.clear()
    write_ldac(tmp_path / "cat.fits", table, header_cards=card)
    assert read_ldac(tmp_path / "cat.fits").meta["header"] == card


def test_epochs(tmp_path):
    names = ["2243881", "2243882"]
    epochs = [
        Table(
            {
                "NUMBER": np.arange(1, 4, dtype="i4"),
                "EXP_NAME": np.array([name] * 3),
                "CCD_N": np.array([0, -1, number], "i4"),
            }
        )
        for number, name in enumerate(names)
    ]
    path = tmp_path / "tile.fits"
    write_ldac(path, _catalogue(), epochs=epochs)
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus[3:]] == ["EPOCH_0", "EPOCH_1"]
        assert [column.format for column in hdus[3].columns] == ["1J", "7A", "1J"]
    back = read_epochs(path)
    assert len(back) == 2
    assert list(back[1]["EXP_NAME"]) == ["2243882"] * 3
    assert list(back[1]["CCD_N"]) == [0, -1, 1]
    assert count_extensions(path) == 1
    assert len(read_ldac(path)) == 3


def test_several_extensions(tmp_path):
    path = tmp_path / "cat.fits"
    tables = [_catalogue(2), _catalogue(4)]
    tables[1].meta["SEXGAIN"] = 7.0
    write_ldac(path, tables)
    assert count_extensions(path) == 2
    assert len(read_ldac(path, 1)) == 4
    assert read_ldac(path, 1).meta["SEXGAIN"] == 7.0
    with pytest.raises(InputFileError, match=r"no such extension \(got 2; allowed: 0 to 1\)"):
        read_ldac(path, 2)
    with pytest.raises(DataError, match="each table needs its own header"):
        write_ldac(path, tables, header_cards=["", "", ""])


def test_vignets_without_their_shape(tmp_path):
    table = _catalogue()
    table["VIGNET"] = np.zeros((3, 25), "f4")
    write_ldac(tmp_path / "cat.fits", table)
    assert read_ldac(tmp_path / "cat.fits")["VIGNET"].shape == (3, 5, 5)


def test_image_is_no_catalogue(tmp_path):
    write_image(tmp_path / "a.fits", np.zeros((2, 2)))
    with pytest.raises(InputFileError, match=r"no FITS_LDAC catalogue.*CATALOG_TYPE FITS_LDAC"):
        read_ldac(tmp_path / "a.fits")


def test_missing_catalogue(tmp_path):
    with pytest.raises(InputFileError, match="does not exist"):
        read_ldac(tmp_path / "a.fits")


def test_stored_catalogue_of_sextractor_without_loss(tmp_path):
    path = REFERENCE / "sextractor.ldac"
    table = read_ldac(path)
    assert table["VIGNET"].shape[1:] == (25, 25)
    assert table.meta["SEXVERS"] == "Source Extractor 2.25.0"
    assert table.meta["SEXBKGND"] > 900
    write_ldac(tmp_path / "cat.fits", table)
    assert _raw(tmp_path / "cat.fits") == _raw(path)


def _field(folder, seed=3, size=200, stars=40):
    rng = np.random.default_rng(seed)
    image = rng.normal(1000, 5, (size, size))
    y, x = np.mgrid[:size, :size]
    for _ in range(stars):
        x0, y0 = rng.uniform(20, size - 20, 2)
        flux = 10 ** rng.uniform(3.5, 4.5)
        image += flux * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 5.12) / (5.12 * np.pi)
    header = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0,
        "CRPIX1": 150.0, "CRPIX2": 150.0, "CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0,
        "CD2_2": 5e-5, "GAIN": 1.5, "SATURATE": 60000.0,
    }  # fmt: skip
    write_image(folder / "field.fits", image.astype("f4"), header)
    columns = (
        "NUMBER EXT_NUMBER X_IMAGE Y_IMAGE XWIN_WORLD YWIN_WORLD FLUX_APER(1) FLUXERR_APER(1)"
        " FLUX_AUTO FLUX_RADIUS SNR_WIN ELONGATION MU_MAX X2_IMAGE FLAGS FWHM_IMAGE VIGNET(25,25)"
    )
    (folder / "columns.param").write_text("\n".join(columns.split()) + "\n")
    subprocess.run(
        [
            SEXTRACTOR, "field.fits", "-CATALOG_NAME", "cat.fits", "-CATALOG_TYPE", "FITS_LDAC",
            "-PARAMETERS_NAME", "columns.param", "-FILTER", "N", "-VERBOSE_TYPE", "QUIET",
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cat.fits"


@pytest.mark.binaries
@pytest.mark.skipif(SEXTRACTOR is None, reason="SExtractor is not installed")
def test_live_catalogue_of_sextractor_without_loss(tmp_path):
    path = _field(tmp_path)
    write_ldac(tmp_path / "copy.fits", read_ldac(path))
    assert _raw(tmp_path / "copy.fits") == _raw(path)


@pytest.mark.binaries
@pytest.mark.skipif(None in (SEXTRACTOR, PSFEX), reason="SExtractor or PSFEx is not installed")
def test_psfex_accepts_a_written_catalogue(tmp_path):
    table = read_ldac(_field(tmp_path))
    # Made anew, not copied: no comments, no display formats, a header of SEX* values only.
    plain = Table({name: np.asarray(table[name]) for name in table.colnames})
    plain.meta.update({k: v for k, v in table.meta.items() if k.startswith("SEX")})
    for name, catalogue in (("original", table), ("written", plain)):
        write_ldac(tmp_path / f"{name}.fits", catalogue)
        subprocess.run(
            [
                PSFEX, f"{name}.fits", "-PSF_SIZE", "15,15", "-PSF_SAMPLING", "1",
                "-CHECKPLOT_TYPE", "NONE", "-CHECKIMAGE_TYPE", "NONE", "-WRITE_XML", "N",
                "-CENTER_KEYS", "X_IMAGE,Y_IMAGE", "-PSFVAR_KEYS", "X_IMAGE,Y_IMAGE",
                "-SAMPLE_MINSN", "5", "-VERBOSE_TYPE", "QUIET", "-NTHREADS", "1",
            ],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip
    with fits.open(tmp_path / "original.psf") as a, fits.open(tmp_path / "written.psf") as b:
        assert a[1].header["ACCEPTED"] > 15
        assert b[1].header["ACCEPTED"] == a[1].header["ACCEPTED"]
        assert np.array_equal(a[1].data["PSF_MASK"], b[1].data["PSF_MASK"])
