"""Exposures are put together from files that fit; files that do not are refused."""

import numpy as np
import pytest
from astropy.io import fits

from purepipe.errors import DataError, InputFileError
from purepipe.exposure import WeightKind
from purepipe.io.exposures import HeaderKeywords, check_ccd_files, read_exposure
from purepipe.io.images import write_image

IMAGE = np.arange(12.0, dtype=np.float32).reshape(3, 4)
TAN = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0,
    "CRPIX1": 2.0, "CRPIX2": 2.0, "CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5e-5,
}  # fmt: skip


def _mef(path, shapes, names=None, primary=()):
    hdus = fits.HDUList([fits.PrimaryHDU(header=fits.Header(list(primary)))])
    for number, shape in enumerate(shapes):
        name = names[number] if names else f"ccd{number:02d}"
        hdus.append(fits.ImageHDU(np.full(shape, number, np.float32), name=name))
    hdus.writeto(path, overwrite=True)
    return path


def test_everything_arrives(tmp_path):
    header = {**TAN, "GAIN": 1.6, "SATURATE": 6e4, "FSCALE": 1.2, "MAGZP": 30.0}
    write_image(tmp_path / "image.fits", IMAGE, header)
    write_image(tmp_path / "weight.fits", IMAGE + 1)
    write_image(tmp_path / "flag.fits", IMAGE.astype(np.int16))
    got = read_exposure(
        tmp_path / "image.fits", weight_path=tmp_path / "weight.fits", weight_kind="relative",
        flag_path=tmp_path / "flag.fits",
    )  # fmt: skip
    assert np.array_equal(got.image, IMAGE)
    assert np.array_equal(got.weight, IMAGE + 1)
    assert got.weight_kind is WeightKind.RELATIVE
    assert np.array_equal(got.flags, IMAGE)
    assert got.flags.dtype == np.int32
    assert (got.gain, got.saturation, got.flux_scale, got.zero_point) == (1.6, 6e4, 1.2, 30.0)
    assert got.wcs.shape == (3, 4)
    assert fits.Header.fromstring(got.header)["GAIN"] == 1.6
    assert got.name == "image.fits[0]"


def test_defaults_and_overrides(tmp_path):
    write_image(tmp_path / "image.fits", IMAGE, {"MAGZP": 30.0, "EGAIN": 3})
    got = read_exposure(
        tmp_path / "image.fits", zero_point=27.0, keywords=HeaderKeywords(gain=("EGAIN",))
    )
    assert (got.gain, got.saturation, got.flux_scale, got.zero_point) == (3.0, np.inf, 1.0, 27.0)
    assert got.wcs is None
    assert got.weight is got.flags is None


def test_keywords_of_the_primary_header(tmp_path):
    path = _mef(tmp_path / "m.fits", [(3, 4)] * 2, primary=[("GAIN", 1.7)])
    assert read_exposure(path, hdu=2).gain == 1.7


def test_plain_image_with_compressed_weight(tmp_path):
    write_image(tmp_path / "image.fits", IMAGE)
    write_image(tmp_path / "weight.fits.fz", IMAGE, compress=True)
    got = read_exposure(
        tmp_path / "image.fits", weight_path=tmp_path / "weight.fits.fz", weight_kind="mask"
    )
    assert np.array_equal(got.weight, IMAGE)


def test_each_ccd_gets_its_own_weight(tmp_path):
    image = _mef(tmp_path / "i.fits", [(3, 4)] * 3)
    weight = _mef(tmp_path / "w.fits", [(3, 4)] * 3)
    got = read_exposure(image, hdu="ccd02", weight_path=weight, weight_kind="mask")
    assert got.image[0, 0] == got.weight[0, 0] == 2


def test_unsigned_flags(tmp_path):
    write_image(tmp_path / "i.fits", IMAGE)
    write_image(tmp_path / "f.fits", np.full((3, 4), 40000, np.uint16))
    got = read_exposure(tmp_path / "i.fits", flag_path=tmp_path / "f.fits")
    assert (got.flags == 40000).all()


def test_weight_without_kind(tmp_path):
    write_image(tmp_path / "i.fits", IMAGE)
    with pytest.raises(DataError, match=r"needs its kind.*does not guess"):
        read_exposure(tmp_path / "i.fits", weight_path=tmp_path / "i.fits")


def test_weight_of_another_size(tmp_path):
    write_image(tmp_path / "i.fits", IMAGE)
    write_image(tmp_path / "w.fits", IMAGE[:, :3])
    with pytest.raises(InputFileError, match=r"w\.fits\[HDU 0\].*3 x 3 pixels; allowed: 4 x 3"):
        read_exposure(tmp_path / "i.fits", weight_path=tmp_path / "w.fits", weight_kind="mask")


@pytest.mark.parametrize("flags", [IMAGE + 0.5, IMAGE * np.nan, np.full((3, 4), 2**40)])
def test_flags_that_are_no_flags(tmp_path, flags):
    write_image(tmp_path / "i.fits", IMAGE)
    write_image(tmp_path / "f.fits", flags)
    with pytest.raises(InputFileError, match=r"must hold whole numbers.*not the weight map"):
        read_exposure(tmp_path / "i.fits", flag_path=tmp_path / "f.fits")


def test_gain_that_is_no_number(tmp_path):
    write_image(tmp_path / "i.fits", IMAGE, {"GAIN": "high"})
    with pytest.raises(
        InputFileError, match=r"GAIN: the header value must be a number \(got 'high'"
    ):
        read_exposure(tmp_path / "i.fits")


def test_damaged_coordinates_name_the_file(tmp_path):
    write_image(tmp_path / "i.fits", IMAGE, {**TAN, "CTYPE2": "DEC--SIN"})
    with pytest.raises(DataError, match=r"i\.fits: "):
        read_exposure(tmp_path / "i.fits")


def test_missing_weight_file(tmp_path):
    write_image(tmp_path / "i.fits", IMAGE)
    with pytest.raises(InputFileError, match=r"no\.fits: the file does not exist"):
        read_exposure(tmp_path / "i.fits", weight_path=tmp_path / "no.fits", weight_kind="mask")


def test_matching_files(tmp_path):
    image = _mef(tmp_path / "i.fits", [(3, 4), (3, 4)])
    assert check_ccd_files(image, image, image) == [(1, "CCD00"), (2, "CCD01")]
    other_names = _mef(tmp_path / "w.fits", [(3, 4), (3, 4)], ["w0", "w1"])
    assert check_ccd_files(image, other_names) == [(1, "CCD00"), (2, "CCD01")]


def test_other_number_of_ccds(tmp_path):
    image = _mef(tmp_path / "i.fits", [(3, 4)] * 4)
    flag = _mef(tmp_path / "f.fits", [(3, 4)] * 3)
    with pytest.raises(
        InputFileError, match=r"f\.fits: the flag file.*got 3 HDUs.*allowed: 4.*fetch"
    ):
        check_ccd_files(image, image, flag)


def test_other_order_of_ccds(tmp_path):
    image = _mef(tmp_path / "i.fits", [(3, 4)] * 2)
    weight = _mef(tmp_path / "w.fits", [(3, 4)] * 2, ["ccd01", "ccd00"])
    with pytest.raises(InputFileError, match=r"HDU 1\]: the CCDs are in another order.*Sort"):
        check_ccd_files(image, weight)


def test_other_sizes_of_ccds(tmp_path):
    image = _mef(tmp_path / "i.fits", [(3, 4), (3, 4)])
    weight = _mef(tmp_path / "w.fits", [(3, 4), (3, 5)])
    with pytest.raises(InputFileError, match=r"HDU 2 'CCD01'\].*5 x 3 pixels; allowed: 4 x 3"):
        check_ccd_files(image, weight)


def test_file_without_ccds(tmp_path):
    path = _mef(tmp_path / "i.fits", [])
    with pytest.raises(InputFileError, match="no HDU holds a two-dimensional image"):
        check_ccd_files(path)
