"""Masks as files, and the tables of nebulae that make them."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from purepipe.config import MaskConfig
from purepipe.errors import DataError, InputFileError, StoreError
from purepipe.exposure import Exposure
from purepipe.flags import MaskFlag
from purepipe.io.exposures import read_exposure
from purepipe.io.images import write_image
from purepipe.io.masks import mask_name, read_mask, write_mask
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
