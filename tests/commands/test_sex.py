"""``purepipe sex``: files in, files out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse, parse_single_table
from astropy.table import Table

from purepipe import __version__
from purepipe.commands.sex import main
from purepipe.commands.sex_job import CATALOGUES, read_job
from purepipe.errors import ConfigError
from purepipe.io.ldac import count_extensions, read_ldac
from purepipe.io.psf_file import write_psf
from purepipe.io.tables import read_table
from purepipe.legacy.astromatic import parse_settings
from purepipe.legacy.astromatic_keys import DEFAULTS
from tests.detect.spread import moffat_psf

from .sex_files import (
    image_header,
    round_field,
    small_field,
    write_extensions,
    write_field,
    write_settings,
)

FIELD = small_field()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_field(tmp_path, FIELD)
    write_settings(tmp_path, FLAG_IMAGE="flag.fits", WEIGHT_TYPE="MAP_WEIGHT")
    return tmp_path


def run(*arguments, status=0):
    assert main(["-VERBOSE_TYPE", "QUIET", *map(str, arguments)]) == status


def rows(name="out.cat"):
    return [line for line in Path(name).read_text().splitlines() if not line.startswith("#")]


def ldac(*arguments, extension=0):
    run(*arguments, "-CATALOG_TYPE", "FITS_LDAC")
    return read_ldac("out.cat", extension)


def test_help_and_version(capsys):
    assert main([]) == main(["-h"]) == 0
    assert "purepipe sex IMAGE[,IMAGE2]" in capsys.readouterr().out
    assert main(["-v"]) == 0
    assert capsys.readouterr().out == f"purepipe sex {__version__}\n"


@pytest.mark.parametrize("option", ["-d", "-dd"])
def test_default_configuration_is_read_back(capsys, option):
    assert main([option]) == 0
    settings = parse_settings(capsys.readouterr().out, "sex")
    built_in = parse_settings("", "sex")
    assert all(settings[key].values == built_in[key].values for key in settings.entries)
    if option == "-dd":
        assert set(settings.entries) == set(DEFAULTS["sex"])


def test_list_of_columns(capsys):
    assert main(["-dp"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(re.fullmatch(r"#X_IMAGE +\S.* \[pixel\]", line) for line in lines)
    assert any(re.fullmatch(r"#FLAGS +\S.*", line) for line in lines)


def test_terminal(capsys):
    assert main(["image.fits"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert '"field" / 110x90' in said.err
    assert re.search(r"Objects: detected \d+ +/ sextracted \d+\n> All done \(in ", said.err)


def test_text_has_the_widths_of_the_original():
    run("image.fits")
    lines = Path("out.cat").read_text().splitlines()
    heads = [line for line in lines if line.startswith("#")]
    assert heads[4].startswith("#   5 FLUX_APER              ")
    assert heads[4][87:] == "" or heads[4].endswith("[count]")
    assert heads[5].startswith("#   7 MAG_AUTO")
    assert heads[4].index("[count]") == 6 + 23 + 58
    for line in rows():
        assert re.fullmatch(
            r"[ \d]{10} [ \d]{3} .{11} .{12} .{12} .{12} .{8} [ \d]{3} [ \d]{9} .{11}( .{12}){6}",
            line,
        )
    run("image.fits", "-CATALOG_TYPE", "ASCII", "-CATALOG_NAME", "plain.cat")
    assert Path("plain.cat").read_text().splitlines() == rows()


def test_all_catalogues_hold_the_same(capsys):
    run("image.fits")
    text = Table.read("out.cat", format="ascii.sextractor")
    table = ldac("image.fits")
    np.testing.assert_allclose(text["FLUX_AUTO"], table["FLUX_AUTO"], rtol=1e-6)
    assert table["FLUX_APER"].shape == (len(text), 2)
    assert table["VIGNET"].shape == (len(text), 2, 3)
    assert table["X_IMAGE"].dtype == np.float32
    assert table["FLUX_AUTO"].meta["TUNIT"] == "count"
    run("image.fits", "-CATALOG_TYPE", "FITS_1.0", "-CATALOG_NAME", "one.fits")
    one = read_table("one.fits", "OBJECTS")
    for name in table.colnames:
        assert np.array_equal(one[name].reshape(table[name].shape), table[name]), name
    assert fits.getheader("one.fits")["SEXNFIN"] == len(table)
    run("image.fits", "-CATALOG_TYPE", "FITS_TPX", "-CATALOG_NAME", "tpx.fits")
    with fits.open("tpx.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "TPX_IMHEAD", "TPX_OBJECTS"]
    run("image.fits", "-CATALOG_TYPE", "PARQUET", "-CATALOG_NAME", "one.parquet")
    assert np.array_equal(read_table("one.parquet")["MAG_AUTO"], table["MAG_AUTO"])
    run("image.fits", "-CATALOG_TYPE", "ASCII_SKYCAT", "-CATALOG_NAME", "sky.cat")
    sky = Path("sky.cat").read_text()
    assert all(len(cell.split()) == 1 for cell in sky.splitlines()[-2].split("\t"))
    assert sky.startswith("QueryResult\n\n# Config entry")
    assert sky.endswith("\n[EOD]")
    run("image.fits", "-CATALOG_TYPE", "ASCII", "-CATALOG_NAME", "STDOUT")
    terminal = capsys.readouterr().out.splitlines()
    run("image.fits")
    assert terminal == rows()
    run("image.fits", "-CATALOG_TYPE", "NONE", "-CATALOG_NAME", "none.cat")
    assert not Path("none.cat").exists()


@pytest.mark.parametrize("kind", CATALOGUES)
def test_no_detection(kind):
    name = "out.parquet" if kind == "PARQUET" else "out.cat"
    run("image.fits", "-DETECT_THRESH", 1e6, "-CATALOG_TYPE", kind, "-CATALOG_NAME", name)
    if kind == "ASCII":
        assert Path(name).read_text() == ""
    elif kind == "ASCII_HEAD":
        assert rows() == []
        assert "VIGNET" in Path(name).read_text()
    elif kind == "ASCII_SKYCAT":
        assert Path(name).read_text().endswith("------------------\n[EOD]")
    elif kind == "ASCII_VOTABLE":
        assert len(parse(name).get_table_by_index(0).array) == 0
    elif kind == "FITS_LDAC":
        assert len(read_ldac(name)) == 0
    elif kind in ("FITS_1.0", "PARQUET"):
        assert len(read_table(name)) == 0


def test_votable_and_report():
    run("image.fits", "-CATALOG_TYPE", "ASCII_VOTABLE", "-CATALOG_NAME", "out.xml")
    run("image.fits", "-WRITE_XML", "Y")
    table = parse_single_table("out.xml").to_table()
    assert [line.split()[0] for line in rows()] == [str(number) for number in table["NUMBER"]]
    assert table["VIGNET"].shape[1:] == (2, 3)
    report = parse("sex.xml")
    images = report.get_table_by_id("Extension_Data").to_table()
    assert images["NSextracted"][0] == len(table)
    assert images["Image_Ident"][0] == "field"
    settings = {item.name: item.value for r in report.resources for s in r.resources
                for t in s.resources for item in t.params}  # fmt: skip
    assert settings["PHOT_APERTURES"] == "5,9"


def test_header_of_the_image_and_of_the_run():
    table = ldac("image.fits", "-PHOT_PETROPARAMS", "1.5,2.5")
    given = image_header(FIELD).tostring(sep="", endcard=False, padding=False)
    # The writer of the image adds what describes the array; the cards behind stay as they are.
    assert given[given.index("CTYPE1") : given.index("GAIN")] in table.meta["header"]
    cards = fits.Header.fromstring(table.meta["header"])
    assert cards["FITSFILE"] == "image.fits"
    assert (cards["FITSEXT"], cards["FITSNEXT"]) == (1, 1)
    assert cards["SEXVERS"] == f"purepipe {__version__}"
    assert cards["SEXNFIN"] == len(table) <= cards["SEXNDET"]
    assert cards["SEXPXSCL"] == pytest.approx(0.187, rel=1e-4)
    assert cards["SEXGAIN"] == 2
    assert (cards["SEXPETP1"], cards["SEXPETP2"]) == (1.5, 2.5)
    assert [cards[f"SEXAPED{k}"] for k in (1, 2, 3, 4)] == [5, 9, 0, 0]
    assert cards["SEXMWSCL"] > 0


def test_every_image_of_a_file(folder):
    fields = [FIELD, small_field(7, holes=False)]
    write_extensions(folder, fields)
    maps = ("-WEIGHT_IMAGE", "mefweight.fits", "-FLAG_IMAGE", "mefflag.fits")
    checks = ("-CHECKIMAGE_TYPE", "SEGMENTATION,MINIBACKGROUND",
              "-CHECKIMAGE_NAME", "seg.fits,mini.fits")  # fmt: skip
    second = ldac("mef.fits", *maps, *checks, extension=1)
    first = read_ldac("out.cat")
    assert count_extensions("out.cat") == 2
    assert set(first["EXT_NUMBER"]) == {1}
    assert set(second["EXT_NUMBER"]) == {2}
    assert second["NUMBER"][0] == 1
    assert [t.meta["SEXGAIN"] for t in (first, second)] == [2, 3]
    with fits.open("seg.fits") as hdus:
        assert hdus[0].header["NEXTEND"] == 2
        assert [hdu.name for hdu in hdus[1:]] == ["CCD0", "CCD1"]
        assert hdus[2].data.max() == len(second)
        assert hdus[2].header["OBJECT"] == "ccd 1"
    with fits.open("mini.fits") as hdus:
        assert hdus[1].data.shape == (2, 2)
    run("mef.fits", *maps)
    assert len(rows()) == len(first) + len(second)
    write_field(folder, FIELD)
    alone = ldac("image.fits")
    assert np.array_equal(alone["FLUX_AUTO"], first["FLUX_AUTO"])


def test_one_image_of_a_file(folder):
    write_extensions(folder, [small_field(7), FIELD])
    alone = ldac("image.fits")
    args = ("mef.fits[2]", "-WEIGHT_IMAGE", "mefweight.fits[2]", "-FLAG_IMAGE", "mefflag.fits[2]",
            "-GAIN_KEY", "NONE", "-GAIN", "2", "-CHECKIMAGE_TYPE", "IDENTICAL")  # fmt: skip
    chosen = ldac(*args)
    for name in chosen.colnames:
        assert np.array_equal(chosen[name], alone[name]), name
    header = fits.getheader("check.fits", 0)
    assert "EXTNAME" not in header
    assert np.array_equal(fits.getdata("check.fits", 0), FIELD.image)


@pytest.mark.parametrize(
    "kind", ["i2", "i4", "f8", "u2", "scaled", "fz", "gz", "axis", "cube", "cubefz"]
)
def test_kinds_of_files(folder, kind, caplog):
    field = round_field(FIELD)
    head = image_header(field)
    fits.writeto("image.fits", field.image, head, overwrite=True)
    expected = ldac("image.fits")
    name = "other.fits.gz" if kind == "gz" else "other.fits"
    if kind == "fz":
        hdu = fits.CompImageHDU(field.image.astype("i2"), head, compression_type="RICE_1")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(name)
    elif kind == "scaled":
        hdu = fits.PrimaryHDU(field.image.astype("f8"), head)
        hdu.scale("int16", bscale=0.5, bzero=100)
        hdu.writeto(name)
    elif kind == "axis":
        fits.writeto(name, field.image[None], head)
    elif kind == "cube":
        fits.writeto(name, np.stack([field.image, field.image + 1]), head)
    elif kind == "cubefz":
        planes = np.stack([field.image, field.image + 1]).astype("i2")
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(planes, head)]).writeto(name)
    else:
        fits.writeto(name, field.image.astype("f4" if kind == "gz" else kind), head)
    table = ldac(name)
    for column in table.colnames:
        assert np.array_equal(table[column], expected[column]), column
    assert ("only its first plane is used" in caplog.text) == kind.startswith("cube")


def test_two_images(folder):
    other = small_field(9, holes=False)
    write_field(folder, other, name="second")
    # Objects of the first image, fluxes of the second one.
    found = ldac("image.fits")
    measured = ldac("image.fits,secondimage.fits", "-WEIGHT_IMAGE", "weight.fits,secondweight.fits")
    assert np.array_equal(found["X_IMAGE"], measured["X_IMAGE"])
    assert not np.allclose(found["FLUX_AUTO"], measured["FLUX_AUTO"])
    apart = ldac("image.fits", "secondimage.fits", "-WEIGHT_IMAGE", "weight.fits,secondweight.fits")
    assert np.array_equal(apart["FLUX_AUTO"], measured["FLUX_AUTO"])


def test_gain_and_saturation():
    assert ldac("image.fits").meta["SEXSATLV"] == 5000
    table = ldac(
        "image.fits", "-GAIN_KEY", "XX", "-GAIN", "3", "-SATUR_KEY", "X", "-SATUR_LEVEL", 9
    )
    assert (table.meta["SEXGAIN"], table.meta["SEXSATLV"]) == (3, 9)


def test_external_header(folder):
    (folder / "image.head").write_text("GAIN    =  4.5 / of the night\nCRVAL1  = 30.\nEND\n")
    table = ldac("image.fits")
    assert table.meta["SEXGAIN"] == 4.5
    assert abs(np.median(table["ALPHA_J2000"]) - 30) < 0.1
    (folder / "image.head").unlink()
    (folder / "image.ahead").write_text("")
    run("image.fits", "-HEADER_SUFFIX", ".ahead", status=1)


def test_background_meshes_keep_the_coordinates():
    run("image.fits", "-CHECKIMAGE_TYPE", "MINIBACKGROUND", "-BACK_SIZE", "32,16")
    new, old = fits.getheader("check.fits"), image_header(FIELD)
    assert (new["NAXIS1"], new["NAXIS2"]) == (4, 6)
    assert new["CRPIX1"] == (old["CRPIX1"] - 0.5) / 32 + 0.5
    assert new["CD1_2"] == pytest.approx(old["CD1_2"] * 16)
    assert new["CD2_1"] == pytest.approx(old["CD2_1"] * 32)


def test_lenient(folder, caplog):
    (folder / "default.param").write_text("NUMBER\nFLUX_AUT\nX_IMAGE\nNUMBER\n")
    run("image.fits", "--lenient", "-BOGUS", "1")
    assert "BOGUS" in caplog.text
    assert "Did you mean 'FLUX_AUTO'" in caplog.text
    assert "NUMBER is asked for twice" in caplog.text
    assert len(rows()[0].split()) == 2


def test_apertures_that_are_not_given(folder, caplog):
    write_settings(folder, ("NUMBER", "FLUX_APER(3)", "MAG_APER", "FLUX_RADIUS(2)"))
    run("image.fits")
    assert "FLUX_APER(3): " in caplog.text
    assert {len(line.split()) for line in rows()} == {7}
    assert {line.split()[3] for line in rows()} == {"0"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "one image is needed, or one to detect and one to measure"),
        (["a.fits,b.fits,c.fits"], 2, r"one image is needed.*got a.fits b.fits c.fits"),
        (["none.fits"], 1, "none.fits: the file does not exist"),
        (["image.fits[3]"], 1, r"image.fits\[HDU 3\]: the HDU does not exist"),
        (["default.conv"], 1, "default.conv: this is not a FITS file"),
        (["image.fits", "-BOGUS", "1"], 2, r"BOGUS \(command line\): unknown keyword"),
        (["image.fits", "-DETECT_TRESH", "1"], 2, "Did you mean 'DETECT_THRESH'"),
        (["image.fits", "-DETECT_MINAREA"], 2, "-DETECT_MINAREA: a value must follow"),
        (["image.fits", "-DETECT_THRESH", "x"], 2, "DETECT_THRESH .*got 'x'.*a number"),
        (["image.fits", "--strict", "1"], 2, "--strict: unknown option .*--lenient"),
        (["image.fits", "-CATALOG_TYPE", "FITS"], 2, "CATALOG_TYPE .*unknown word .*FITS_"),
        (["image.fits", "-CATALOG_TYPE", "PARQUET"], 2, "ends in .parquet or .pq .got out.cat"),
        (["image.fits", "-CATALOG_TYPE", "FITS_1.0", "-CATALOG_NAME", "STDOUT"], 2,
         "only text catalogues go to the terminal"),
        (["image.fits", "-DETECT_TYPE", "PHOTO"], 2, r"plates are not supported \(got PHOTO"),
        (["image.fits", "-DGEO_TYPE", "PIXEL"], 2, "DGEO_TYPE .*not supported .*allowed: NONE"),
        (["image.fits", "-VERBOSE_TYPE", "LOUD"], 2, "VERBOSE_TYPE .*unknown word"),
        (["image.fits", "-CHECKIMAGE_TYPE", "SEGMENT"], 2, "Did you mean 'SEGMENTATION'"),
        (["image.fits", "-CHECKIMAGE_TYPE", "OBJECTS,FILTERED"], 2,
         r"each check-image needs a name \(got 1 names; allowed: 2"),
        (["image.fits", "-CHECKIMAGE_TYPE", "OBJECTS,FILTERED", "-CHECKIMAGE_NAME", "a,a"], 2,
         "two check-images have one name"),
        (["image.fits", "-WEIGHT_TYPE", "MAP"], 2, "WEIGHT_TYPE .*unknown word"),
        (["image.fits", "-WEIGHT_IMAGE", ""], 2, "a weight map is needed"),
        (["image.fits", "-WEIGHT_IMAGE", "no.fits"], 1, "no.fits: the file does not exist"),
        (["image.fits", "-WEIGHT_IMAGE", "wide.fits"], 1,
         r"wide.fits: the map has another size than the image \(got 4 x 3 .*110 x 90"),
        (["image.fits", "-FLAG_IMAGE", "weight.fits"], 1, "flag map must hold whole numbers"),
        (["image.fits", "-FILTER_NAME", "no.conv"], 1, "no.conv: the file cannot be read"),
        (["image.fits", "-PARAMETERS_NAME", "no.param"], 1, "no.param: the file cannot be read"),
        (["image.fits", "-c", "no.sex"], 1, "no.sex: the file cannot be read"),
        (["image.fits", "-CATALOG_NAME", "no/out.cat"], 2,
         r"CATALOG_NAME .*: the output folder does not exist .got no"),
        (["image.fits", "-CHECKIMAGE_TYPE", "OBJECTS", "-CHECKIMAGE_NAME", "no/o.fits"], 2,
         "CHECKIMAGE_NAME .*: the output folder"),
        (["image.fits", "-WRITE_XML", "Y", "-XML_NAME", "no/a.xml"], 2, "XML_NAME .* folder"),
        (["image.fits", "-CATALOG_NAME", "image.fits"], 2,
         r"CATALOG_NAME .*: an output would replace an input .got image.fits.*Name another"),
        (["image.fits[0]", "-CHECKIMAGE_TYPE", "OBJECTS", "-CHECKIMAGE_NAME", "./weight.fits"], 2,
         "CHECKIMAGE_NAME .*: an output would replace an input"),
        (["image.fits", "-WRITE_XML", "Y", "-XML_NAME", "default.sex"], 2, "XML_NAME .* an input"),
        (["image.fits", "-CATALOG_NAME", "default.param"], 2, "CATALOG_NAME .* an input"),
        (["image.fits", "-GAIN_KEY", "OBJECT"], 1, "OBJECT: the header value must be a number"),
    ],
)  # fmt: skip
def test_errors(capsys, arguments, status, message):
    fits.writeto("wide.fits", np.ones((3, 4), np.float32))
    assert main(["-VERBOSE_TYPE", "QUIET", *arguments]) == status
    assert re.search(message, capsys.readouterr().err)


def test_a_filter_that_is_off_needs_no_file(folder):
    Path("default.conv").unlink(missing_ok=True)
    run("image.fits", "-c", "default.sex", "-FILTER", "N", "-FILTER_NAME", "no.conv")
    assert rows()


def test_a_device_may_be_read_and_written():
    words = ("-c", os.devnull, "-FILTER", "N", "-CATALOG_NAME", os.devnull)
    assert main(["image.fits", "-VERBOSE_TYPE", "QUIET", *words]) == 0
    assert not Path(os.devnull).is_file()


def test_outputs_are_checked_before_the_work():
    with pytest.raises(ConfigError, match="the output folder does not exist"):
        read_job(["image.fits", "-CATALOG_NAME", "no/out.cat"])
    # What is not written, or not read, is no matter.
    read_job(["image.fits", "-CATALOG_TYPE", "NONE", "-CATALOG_NAME", "image.fits"])
    read_job(["image.fits", "-CATALOG_TYPE", "ASCII", "-CATALOG_NAME", "STDOUT"])
    read_job(["image.fits", "-WEIGHT_TYPE", "NONE", "-CATALOG_NAME", "weight.fits"])


@pytest.mark.parametrize(("verbosity", "warned"), [("NORMAL", True), ("QUIET", False)])
def test_no_configuration_file(folder, caplog, verbosity, warned):
    (folder / "default.sex").unlink()
    read_job(["image.fits", "-VERBOSE_TYPE", verbosity])
    assert ("default.sex not found" in caplog.text) == warned


def test_wrong_lines_are_named(folder, capsys):
    (folder / "default.param").write_text("NUMBER\n# remark\nFLUX_ATO\n")
    run("image.fits", status=2)
    assert re.search(r"default.param line 3 FLUX_ATO: .*Did you mean", capsys.readouterr().err)
    with (folder / "default.sex").open("a") as stream:
        stream.write("# remark\nBAK_SIZE 64\n")
    run("image.fits", status=2)
    assert re.search(r"default.sex line 9 BAK_SIZE: unknown keyword", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("FLUX_PSF", "fits of point sources"),
        ("FLUX_MODEL", "fits of galaxy models"),
    ],
)
def test_columns_that_are_refused_name_what_there_is(folder, capsys, column, message):
    (folder / "default.param").write_text(f"NUMBER\n{column}\n")
    run("image.fits", status=2)
    assert re.search(rf"default.param line 2 {column}: .*{message}", capsys.readouterr().err)


def test_spread_model_needs_a_file_of_psf_models(folder, capsys):
    (folder / "default.param").write_text("NUMBER\nSPREAD_MODEL\nSPREADERR_MODEL\n")
    run("image.fits", status=1)
    assert re.search(r"default.psf", capsys.readouterr().err)
    run("image.fits", "-PSF_NAME", "one.psf,two.psf", status=2)
    assert re.search("PSF_NAME.*: one file of PSF models is needed", capsys.readouterr().err)
    psf = moffat_psf(FIELD.image.shape, size=21)
    write_psf("field.psf", psf)
    run("image.fits", "-PSF_NAME", "field.psf", "-CATALOG_TYPE", "FITS_LDAC")
    with fits.open("out.cat") as hdus:
        column = hdus[2].columns["SPREAD_MODEL"]
        assert (column.format, column.disp) == ("1E", "G11.5")
        failed = hdus[2].data["SPREAD_MODEL"] == 1
        assert 0 < failed.mean() < 0.2  # cosmic rays; SExtractor's word for no result
        assert (hdus[2].data["SPREADERR_MODEL"][failed] == 1).all()
    write_extensions(folder, [FIELD, FIELD])
    write_psf("three.psf", [psf, psf, psf])
    run("mef.fits", "-WEIGHT_TYPE", "NONE", "-PSF_NAME", "three.psf", status=1)
    message = "another number of PSF models than there are images.*got 3; allowed: 1 or 2"
    assert re.search(message, capsys.readouterr().err)


def test_companions_that_do_not_fit(folder, capsys):
    write_extensions(folder, [FIELD, FIELD])
    run("mef.fits", status=1)
    assert "weight.fits: too few images for mef.fits (got 1; allowed: 2)" in capsys.readouterr().err
    run("mef.fits[2]", "-WEIGHT_IMAGE", "mefweight.fits", status=1)
    assert "Choose one, as in mefweight.fits[1]" in capsys.readouterr().err


def test_nothing_is_left_after_an_error(folder):
    write_extensions(folder, [FIELD, small_field(7)])
    with fits.open("mefweight.fits", mode="update") as hdus:
        hdus[2].data[:] = 0
    before = {path.name for path in folder.iterdir()}
    run("mef.fits", "-WEIGHT_IMAGE", "mefweight.fits", "-FLAG_IMAGE", "mefflag.fits",
        "-CHECKIMAGE_TYPE", "SEGMENTATION", status=1)  # fmt: skip
    assert {path.name for path in folder.iterdir()} == before


def test_a_plain_run_loads_no_library_that_it_does_not_need():
    """They would take longer than the detection on a small image."""
    code = """
import atexit, sys
slow = ("astropy", "scipy.linalg", "typer", "matplotlib")
atexit.register(lambda: print([name for name in slow if name in sys.modules]))
from purepipe.__main__ import main
main()
"""
    command = [sys.executable, "-c", code, "sex", "image.fits", "-VERBOSE_TYPE", "QUIET"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert rows()
