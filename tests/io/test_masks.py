"""Masks as files, and the tables of nebulae that make them."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from purepipe.config import MaskConfig
from purepipe.errors import DataError, InputFileError, NothingToDo, StoreError
from purepipe.exposure import Exposure
from purepipe.flags import MaskFlag
from purepipe.io.exposures import read_exposure
from purepipe.io.images import write_image
from purepipe.io.masks import mask_files, mask_name, read_mask, write_mask
from purepipe.io.nebulae import read_configured_nebulae, read_nebulae
from purepipe.mask import build_mask
from purepipe.mask.nebulae import messier
from purepipe.wcs import WCS

SHAPE = (40, 50)
CONFIG = MaskConfig.exposure(
    border_width=5, halo={"make": False}, spike={"make": False}, messier={"make": True}
)


def coordinates():
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 150.0, 2.0
    header["CRPIX1"], header["CRPIX2"] = 25.0, 20.0
    header["CD1_1"], header["CD2_2"] = -5e-5, 5e-5
    return header


def exposure(header=""):
    rng = np.random.default_rng(0)
    image = rng.normal(size=SHAPE).astype(np.float32)
    return Exposure(image, wcs=WCS.from_header(coordinates(), SHAPE), header=header, name="a")


@pytest.mark.parametrize("compress", [True, False])
def test_a_mask_comes_back_with_coordinates_and_rules(tmp_path, compress):
    made = exposure(header=f"{'FILTER  = ' + repr('r'):80}")
    mask = build_mask(made, None, CONFIG)
    write_mask(tmp_path / "mask.fits", mask, made, CONFIG, compress=compress)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.fits"), mask)
    back = read_exposure(tmp_path / "mask.fits")
    assert back.wcs is not None
    x, y = back.wcs.sky_to_pixel([150.0], [2.0])
    assert (x[0], y[0]) == (pytest.approx(24), pytest.approx(19))
    header = fits.Header.fromstring(back.header)
    rules = {header[f"MASKRUL{k}"]: header[f"MASKPIX{k}"] for k in range(1, 5)}
    assert rules["border"] == np.count_nonzero(mask & MaskFlag.BORDER) > 0
    assert header["FILTER"] == "r"
    assert header["BITPIX"] == 16


def test_high_bits_need_a_wider_type(tmp_path):
    mask = np.zeros(SHAPE, np.int32)
    mask[3, 4] = 1 << 20
    write_mask(tmp_path / "m.fits", mask, exposure(), CONFIG, compress=False)
    assert fits.getdata(tmp_path / "m.fits").dtype.newbyteorder("=") == np.int32
    np.testing.assert_array_equal(read_mask(tmp_path / "m.fits"), mask)


def test_masks_that_cannot_be_written(tmp_path):
    made = exposure()
    with pytest.raises(DataError, match=r"integers of shape \(40, 50\)"):
        write_mask(tmp_path / "m.fits", np.zeros((40, 51), np.int32), made, CONFIG)
    with pytest.raises(DataError, match="got float64"):
        write_mask(tmp_path / "m.fits", np.zeros(SHAPE), made, CONFIG)
    with pytest.raises(StoreError, match="does not exist"):
        write_mask(tmp_path / "no" / "m.fits", np.zeros(SHAPE, np.int32), made, CONFIG)
    write_image(tmp_path / "image.fits", made.image)
    with pytest.raises(InputFileError, match="a mask must hold integers"):
        read_mask(tmp_path / "image.fits")


def test_names_of_shapepipe():
    assert str(mask_name("-2079614-9")) == "pipeline_flag-2079614-9.fits"
    assert str(mask_name("-1", "none")) == "flag-1.fits"


def shapepipe_catalogue(path, unit="arcmin"):
    """A table as ShapePipe's: the units stand on TCUNI cards."""
    values = np.array([150.0, 150.001], np.float32)
    columns = [
        fits.Column("ra", "E", array=values, coord_unit="deg"),
        fits.Column("dec", "E", array=np.array([2.0, 2.001], np.float32), coord_unit="deg"),
        fits.Column("size_X", "E", array=np.array([0.02, 0.01], np.float32), coord_unit=unit),
        fits.Column("size_Y", "E", array=np.array([0.01, 0.04], np.float32), coord_unit=unit),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(path, overwrite=True)


def test_nebulae_of_shapepipe_have_units_on_other_cards(tmp_path):
    shapepipe_catalogue(tmp_path / "ngc.fits")
    table = read_nebulae(tmp_path / "ngc.fits")
    assert table.colnames == ["ra", "dec", "major"]
    np.testing.assert_allclose(table["major"], [0.02, 0.04], rtol=1e-6)
    shapepipe_catalogue(tmp_path / "deg.fits", unit="deg")
    np.testing.assert_allclose(read_nebulae(tmp_path / "deg.fits")["major"], [1.2, 2.4], rtol=1e-6)
    shapepipe_catalogue(tmp_path / "none.fits", unit=None)
    with pytest.raises(InputFileError, match="size_X: the extent has no unit"):
        read_nebulae(tmp_path / "none.fits")


def test_nebulae_mask_the_same_from_every_format(tmp_path):
    table = Table({"RA": [150.0], "dec": [2.0], "major": [0.05], "minor": [0.02], "angle": [30.0]})
    table.write(tmp_path / "t.csv", format="ascii.csv")
    table.write(tmp_path / "t.ecsv", format="ascii.ecsv")
    table.write(tmp_path / "t.fits")
    masks = [
        build_mask(exposure(), None, CONFIG, messier=read_nebulae(tmp_path / name))
        for name in ("t.csv", "t.ecsv", "t.fits")
    ]
    assert np.count_nonzero(masks[0] & MaskFlag.MESSIER) > 10
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])


def test_catalogues_named_by_a_configuration(tmp_path):
    shapepipe_catalogue(tmp_path / "n.fits")
    config = MaskConfig.exposure(
        halo={"make": False}, spike={"make": False},
        messier={"make": True, "catalogue": tmp_path / "n.fits"},
        ngc={"make": False, "catalogue": tmp_path / "none.fits"},
    )  # fmt: skip
    tables = read_configured_nebulae(config)
    assert list(tables) == ["messier"]
    assert (build_mask(exposure(), None, config, **tables) & MaskFlag.MESSIER).any()
    assert read_configured_nebulae(MaskConfig()) == {}


def test_the_built_in_table_survives_a_file(tmp_path):
    messier().write(tmp_path / "m.fits")
    table = read_nebulae(tmp_path / "m.fits")
    np.testing.assert_array_equal(table["major"], messier()["major"].astype(float))


def test_nebulae_that_cannot_be_used(tmp_path):
    with pytest.raises(InputFileError, match=r"no\.fits"):
        read_nebulae(tmp_path / "no.fits")
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,mayor\n1,2,3\n")
    with pytest.raises(InputFileError, match=r"lacks a column .*Did you mean 'mayor'"):
        read_nebulae(path)
    path.write_text("ra,dec,major\n10:00:01,2,3\n")
    with pytest.raises(InputFileError, match="ra: the column does not hold angles"):
        read_nebulae(path)
    path.write_text("ra,dec,major\n1,2\n1,2,3,4\n")
    with pytest.raises(InputFileError, match="cannot be read"):
        read_nebulae(path)
    path.write_bytes(b"\xff\xfe\x00junk")
    with pytest.raises(InputFileError, match="cannot be read"):
        read_nebulae(path)
    Table({"ra": [1.0], "dec": [2.0], "major": [3.0]}, units={"major": "m"}).write(
        tmp_path / "m.ecsv", format="ascii.ecsv"
    )
    with pytest.raises(InputFileError, match="in m; allowed: numbers in arcmin"):
        read_nebulae(tmp_path / "m.ecsv")


def ccd_files(folder, *, dtype=np.int16, shape=(300, 1500), seed=3):
    """Image, weight and flag files of one CCD, and the exposure that they make."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=shape).astype(np.float32)
    image[7, 8] = np.nan
    weight = rng.choice(np.array([1, 1, 1, 0, -1, np.nan, 1e31], np.float32), shape)
    flags = rng.choice(np.array([0, 0, 1, 4, 64], dtype), shape)
    header = coordinates()
    for name, plane in (("image", image), ("weight", weight), ("flags", flags)):
        fits.writeto(folder / f"{name}.fits", plane, header)
    made = Exposure(
        image, weight, "inverse variance", flags.astype(np.int32),
        wcs=WCS.from_header(header, shape), name="a",
    )  # fmt: skip
    return [folder / f"{name}.fits" for name in ("image", "weight", "flags")], made


def bright_stars(made, count=40):
    rng = np.random.default_rng(1)
    ra, dec = made.wcs.pixel_to_sky(rng.uniform(0, 1500, count), rng.uniform(0, 300, count))
    return Table({"ra": ra, "dec": dec, "mag": rng.uniform(12, 17.9, count)})


@pytest.mark.parametrize("compat", ["none", "shapepipe"])
def test_a_mask_drawn_from_files_is_that_drawn_in_memory(tmp_path, compat):
    files, made = ccd_files(tmp_path)
    config = MaskConfig.exposure(compat=compat, border_width=9)
    stars = bright_stars(made)
    expected = build_mask(made, stars, config)
    report = mask_files(tmp_path / "mask.fits", *files, stars=stars, config=config)
    with fits.open(tmp_path / "mask.fits") as hdus:
        hdus.verify("exception")
        assert hdus[0].header["BITPIX"] == 16
        np.testing.assert_array_equal(hdus[0].data, expected)
        cards = {key: hdus[0].header[key] for key, _, _ in report.cards()}
        assert cards == {key: value for key, value, _ in report.cards()}
        assert WCS.from_header(hdus[0].header).pixel_scale == pytest.approx(0.18)
    assert report.n_masked == np.count_nonzero(expected)
    assert {rule.name: rule.pixels for rule in report.rules}["border"] == np.count_nonzero(
        expected & 4
    )


def test_a_mask_drawn_from_compressed_and_scaled_files(tmp_path):
    files, made = ccd_files(tmp_path, dtype=np.uint16)
    write_image(tmp_path / "weight.fits.fz", made.weight, compress=True)
    config = MaskConfig.exposure(halo={"make": False}, spike={"make": False})
    mask_files(tmp_path / "m.fits", files[0], tmp_path / "weight.fits.fz", files[2], config=config)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.fits"), build_mask(made, None, config))
    assert fits.getheader(tmp_path / "m.fits")["BITPIX"] == 32


def test_a_mask_drawn_from_files_needs_little_memory(tmp_path):
    import tracemalloc

    shape = (3000, 2000)
    fits.writeto(tmp_path / "image.fits", np.ones(shape, np.float32), coordinates())
    mask_files(tmp_path / "mask.fits", tmp_path / "image.fits", config=CONFIG)
    tracemalloc.start()
    mask_files(tmp_path / "mask.fits", tmp_path / "image.fits", config=CONFIG, durable=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6  # the image alone has 24 MB


def test_files_that_make_no_mask(tmp_path):
    files, _ = ccd_files(tmp_path)
    other = tmp_path / "other.fits"
    fits.writeto(other, np.ones((30, 20), np.float32))
    out = tmp_path / "mask.fits"
    with pytest.raises(DataError, match=r"weight map has another size .*got 20 x 30.*1500 x 300"):
        mask_files(out, files[0], other, config=CONFIG)
    with pytest.raises(DataError, match="flag map must hold integers"):
        mask_files(out, files[0], None, files[1], config=CONFIG)
    with pytest.raises(InputFileError, match="does not exist"):
        mask_files(out, tmp_path / "none.fits", config=CONFIG)
    with pytest.raises(DataError, match="no world coordinates"):
        mask_files(out, other, config=CONFIG)
    removed = MaskConfig.exposure(
        halo={"make": False}, spike={"make": False},
        missing={"make": True, "remove": True, "remove_fraction": 0.0},
    )  # fmt: skip
    with pytest.raises(NothingToDo, match="too much of the image is missing"):
        mask_files(out, files[0], config=removed)
    assert not out.exists()


def test_missing_data_of_files_are_reported(tmp_path):
    files, made = ccd_files(tmp_path)
    config = MaskConfig.exposure(
        halo={"make": False}, spike={"make": False}, missing={"make": True, "flag_fraction": 0.5}
    )
    report = mask_files(tmp_path / "m.fits", files[0], config=config)
    assert report.missing == pytest.approx(1 / made.image.size)
    assert not fits.getheader(tmp_path / "m.fits")["MFLAG"]


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    from purepipe.io.rows import open_rows

    path = tmp_path / "image.fits"
    fits.writeto(path, np.ones((300, 200), np.float32))
    with open_rows(path) as rows:
        assert rows.read(0, 10).shape == (10, 200)
        with path.open("r+b") as stream:
            stream.truncate(2880 + 100 * 800)
        with pytest.raises(InputFileError, match="shorter while it was read"):
            rows.read(90, 120)


@pytest.mark.parametrize("card", ["BZERO   = 3.2768D4", "BSCALE  = 2.0", "BZERO   = 1.0"])
def test_rows_of_scaled_numbers_are_those_of_the_library(tmp_path, card):
    from purepipe.io.rows import open_rows

    path = tmp_path / "scaled.fits"
    header = fits.Header({"FILLER": " " * 60})
    fits.writeto(path, np.arange(60, dtype=np.int16).reshape(6, 10), header)
    raw = path.read_bytes()
    place = raw.index(b"FILLER")
    path.write_bytes(raw[:place] + card.ljust(80).encode() + raw[place + 80 :])
    with open_rows(path) as rows:
        np.testing.assert_array_equal(rows.read(2, 4), fits.getdata(path)[2:4])


def test_an_unknown_type_of_numbers_is_refused(tmp_path):
    from purepipe.io.rows import open_rows

    path = tmp_path / "odd.fits"
    fits.writeto(path, np.ones((30, 20), np.float32))
    path.write_bytes(path.read_bytes().replace(b"                 -32", b"                 -24", 1))
    with pytest.raises(InputFileError, match=r"odd\.fits"), open_rows(path) as rows:
        rows.read(0, 1)
