"""Images are read and written without loss; damaged files are refused with a remedy."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from purepipe.errors import DataError, InputFileError
from purepipe.io import images
from purepipe.io.images import (
    list_ccds,
    open_fits,
    read_header,
    read_image,
    read_section,
    section_of,
    write_image,
)
from purepipe.io.layout import fits_layout
from purepipe.io.rows import open_rows

RNG = np.random.default_rng(1)
IMAGE = RNG.normal(100, 5, (60, 40)).astype(np.float32)


def _mef(path, count=3, *, compress=False, shape=(60, 40)):
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for number in range(count):
        data = np.full(shape, number, np.float32)
        header = fits.Header([("GAIN", 1.5 + number)])
        name = f"ccd{number:02d}"
        if compress:
            hdus.append(fits.CompImageHDU(data, header, name=name, compression_type="RICE_1"))
        else:
            hdus.append(fits.ImageHDU(data, header, name=name))
    hdus.writeto(path, overwrite=True)
    return path


def _cut(path, size):
    data = path.read_bytes()
    path.write_bytes(data[:size])


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4", "i8", "u1", "u2", "u4"])
def test_round_trip_is_exact(tmp_path, dtype, compress):
    path = tmp_path / "a.fits"
    array = IMAGE.astype(dtype)
    write_image(path, array, {"GAIN": 2.5, "NAXIS1": 7, "BZERO": 3.0}, compress=compress)
    back, header = read_image(path)
    assert np.array_equal(back, array)
    assert back.dtype == np.dtype(dtype)
    assert back.dtype.isnative
    assert header["GAIN"] == 2.5
    assert np.array_equal(read_section(path, None, 3, 9, 5, 40), array[3:9, 5:40])


def test_nan_survives_compression(tmp_path):
    array = IMAGE.copy()
    array[3, 4] = np.nan
    write_image(tmp_path / "a.fits.fz", array, compress=True)
    assert np.array_equal(read_image(tmp_path / "a.fits.fz")[0], array, equal_nan=True)


@pytest.mark.parametrize("compress", [False, True])
def test_equal_input_gives_equal_bytes(tmp_path, monkeypatch, compress):
    header = fits.Header([("OBJECT", "M31"), ("HISTORY", "made")])
    write_image(tmp_path / "a.fits", IMAGE, header, compress=compress)
    monkeypatch.setattr("time.time", lambda: 1e9)  # on another day
    write_image(tmp_path / "b.fits", IMAGE, header, compress=compress)
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()
    assert np.array_equal(read_image(tmp_path / "b.fits")[0], IMAGE)


def test_truth_values_become_bytes(tmp_path):
    write_image(tmp_path / "a.fits", IMAGE > 100)
    assert read_image(tmp_path / "a.fits")[0].dtype == np.uint8


def test_header_text_is_accepted(tmp_path):
    text = fits.Header([("EXPTIME", 30.0)]).tostring()
    write_image(tmp_path / "a.fits", IMAGE, text)
    assert read_header(tmp_path / "a.fits")["EXPTIME"] == 30.0


@pytest.mark.parametrize("compress", [False, True])
def test_multi_extension(tmp_path, compress):
    path = _mef(tmp_path / "m.fits.fz", compress=compress)
    assert list_ccds(path) == [(1, "CCD00"), (2, "CCD01"), (3, "CCD02")]
    assert read_image(path)[0].shape == (60, 40)
    for hdu in (2, "ccd01", "CCD01"):
        array, header = read_image(path, hdu)
        assert array[0, 0] == 1
        assert header["GAIN"] == 2.5


def test_header_of_the_first_image(tmp_path):
    for compress in (False, True):
        write_image(tmp_path / "a.fits", IMAGE, {"HISTORY": "x", "GAIN": 2.0}, compress=compress)
        assert read_header(tmp_path / "a.fits", None)["GAIN"] == 2.0


def test_gzip(tmp_path):
    path = tmp_path / "a.fits"
    write_image(path, IMAGE)
    zipped = tmp_path / "a.fits.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    assert np.array_equal(read_image(zipped)[0], IMAGE)
    _cut(zipped, zipped.stat().st_size // 2)
    with pytest.raises(InputFileError, match=r"truncated.*gzip.*Fetch or write"):
        read_image(zipped)


def test_degenerate_axis_is_dropped(tmp_path):
    fits.PrimaryHDU(IMAGE[None]).writeto(tmp_path / "a.fits")
    assert read_image(tmp_path / "a.fits")[0].shape == IMAGE.shape
    assert read_section(tmp_path / "a.fits", 0, 0, 2, 0, 3).shape == (2, 3)


def test_scaled_integers_and_blank(tmp_path):
    hdu = fits.PrimaryHDU(np.array([[1, 2], [3, -32768]], np.int16))
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 2.0, 10.0, -32768
    with fits.HDUList([hdu]) as hdus:
        hdus.writeto(tmp_path / "b.fits")
    raw = bytearray((tmp_path / "b.fits").read_bytes())
    assert np.allclose(
        read_image(tmp_path / "b.fits")[0], [[12, 14], [16, np.nan]], equal_nan=True
    ), bytes(raw[:800])


# Errors: file, HDU, remedy.


def test_missing_file(tmp_path):
    with pytest.raises(InputFileError, match=r"no\.fits: the file does not exist.*Check the path"):
        read_image(tmp_path / "no.fits")


def test_folder(tmp_path):
    with pytest.raises(InputFileError, match=r"folder.*Name one file"):
        list_ccds(tmp_path)


@pytest.mark.parametrize("content", [b"", b"SIMPLE", b"not a FITS file at all" * 200])
def test_not_fits(tmp_path, content):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"a\.fits: this is not a FITS file"):
        read_image(path)


@pytest.mark.parametrize("lost", [1, 2881, 5000])
@pytest.mark.parametrize("compress", [False, True])
def test_truncated_data(tmp_path, lost, compress):
    path = tmp_path / "a.fits"
    write_image(path, RNG.normal(size=(61, 47)), compress=compress)
    hdu = fits_layout(path)[-1]
    _cut(path, hdu.data_start + hdu.data_size - lost)
    with pytest.raises(InputFileError, match=rf"HDU {hdu.index}.*truncated.*{lost} of .*Fetch"):
        read_image(path)


@pytest.mark.parametrize("compress", [False, True])
def test_truncated_multi_extension_is_refused_for_every_hdu(tmp_path, compress):
    path = _mef(tmp_path / "m.fits.fz", 4, compress=compress)
    last = fits_layout(path)[3]
    _cut(path, last.data_start + last.data_size - 7)
    for hdu in (1, 3, None):
        with pytest.raises(InputFileError, match=r"HDU 3 'CCD02'\].*truncated"):
            read_image(path, hdu)


def test_truncated_header(tmp_path):
    path = _mef(tmp_path / "m.fits")
    _cut(path, fits_layout(path)[2].header_start + 700)
    with pytest.raises(InputFileError, match=r"HDU 2\].*truncated.*no END card"):
        list_ccds(path)


def test_lost_extensions_that_the_primary_header_promises(tmp_path):
    path = _mef(tmp_path / "m.fits")
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["NEXTEND"] = 3
    _cut(path, fits_layout(path)[3].header_start)
    with pytest.raises(InputFileError, match=r"NEXTEND promises 3 extensions, 2 exist"):
        list_ccds(path)


def test_incomplete_last_block(tmp_path):
    """The data are whole, but extensions that followed may be lost."""
    path = tmp_path / "a.fits"
    write_image(path, IMAGE)
    hdu = fits_layout(path)[0]
    _cut(path, hdu.data_start + hdu.data_size)
    with pytest.raises(
        InputFileError, match=r"truncated \(got its last block ends 1920 bytes early"
    ):
        read_image(path)


def test_foreign_records_after_the_last_hdu_are_ignored(tmp_path):
    path = tmp_path / "a.fits"
    write_image(path, IMAGE)
    path.write_bytes(path.read_bytes() + b"\0" * 2880)
    assert np.array_equal(read_image(path)[0], IMAGE)


def test_damaged_compressed_data(tmp_path):
    path = tmp_path / "a.fits.fz"
    write_image(path, IMAGE, compress=True)
    hdu = fits_layout(path)[1]
    data = bytearray(path.read_bytes())
    data[hdu.data_start + 1000 : hdu.data_start + 1200] = b"\xff" * 200
    path.write_bytes(bytes(data))
    with pytest.raises(InputFileError, match=r"HDU 1.*: the HDU cannot be decoded.*damaged"):
        read_image(path)


@pytest.mark.parametrize("hdu", [9, "ccd99"])
def test_absent_hdu(tmp_path, hdu):
    path = _mef(tmp_path / "m.fits")
    with pytest.raises(InputFileError, match=rf"HDU {hdu}\]: the HDU does not exist.*1 'CCD00'"):
        read_image(path, hdu)


def test_hdu_without_image(tmp_path):
    path = _mef(tmp_path / "m.fits")
    with pytest.raises(
        InputFileError, match=r"HDU 0\]: the HDU holds no two-.*HDUs with images: 1"
    ):
        read_image(path, 0)


def test_wrong_dimensions(tmp_path):
    path = tmp_path / "cube.fits"
    fits.PrimaryHDU(np.zeros((3, 4, 5), np.float32)).writeto(path)
    with pytest.raises(InputFileError, match=r"image of shape \(3, 4, 5\).*holds no image"):
        read_image(path, 0)
    with pytest.raises(InputFileError, match="no HDU holds a two-dimensional image"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz"])
@pytest.mark.parametrize("columns", [(0, 40), (7, 23), (39, 40)])
@pytest.mark.parametrize("blank", [None, 5])
def test_a_section_is_a_part_of_the_image(tmp_path, name, columns, blank):
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(IMAGE.astype(np.int16) % 10)])
    if blank is not None:
        hdus[1].header["BLANK"] = blank
    hdus.append(fits.ImageHDU(IMAGE[None]))
    hdus.writeto(tmp_path / name)
    for hdu in (1, 2):
        image, _ = read_image(tmp_path / name, hdu)
        section = read_section(tmp_path / name, hdu, 11, 31, *columns)
        assert section.dtype == image.dtype
        assert section.dtype.isnative
        assert section.flags.writeable
        np.testing.assert_array_equal(section, image[11:31, columns[0] : columns[1]])
    with open_rows(tmp_path / name, 1) as opened:
        np.testing.assert_array_equal(opened.read(11, 31), read_image(tmp_path / name, 1)[0][11:31])


@pytest.mark.parametrize("tile", [(1, 40), (7, 40), (32, 40), (60, 40), (20, 20)])
@pytest.mark.parametrize("method", ["GZIP_1", "GZIP_2", "RICE_1"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4"])
def test_some_rows_of_a_compressed_image(tmp_path, dtype, method, tile):
    image = np.random.default_rng(4).integers(0, 200, IMAGE.shape).astype(dtype)
    if dtype != "u1":
        image[::7] -= 30000
    packed = fits.CompImageHDU(image, compression_type=method, tile_shape=tile, name="MASK")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(IMAGE), packed]).writeto(tmp_path / "a.fits")
    for y0, y1, x0, x1 in ((0, 60, 0, 40), (31, 33, 5, 40), (59, 60, 0, 1), (0, 1, 39, 40)):
        section = read_section(tmp_path / "a.fits", "MASK", y0, y1, x0, x1)
        np.testing.assert_array_equal(section, image[y0:y1, x0:x1])
        assert section.dtype == np.dtype(dtype)
        assert section.flags.writeable


def test_tiles_are_rows_where_the_header_does_not_say(tmp_path, monkeypatch):
    image = np.random.default_rng(4).integers(0, 200, IMAGE.shape).astype("i2")
    packed = fits.CompImageHDU(image, compression_type="GZIP_1", tile_shape=(1, 40))
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "a.fits")
    content = (tmp_path / "a.fits").read_bytes()
    for keyword in (b"ZTILE1  =", b"ZTILE2  ="):
        assert content.count(keyword) == 1
        content = content.replace(keyword, b"COMMENT  ")
    (tmp_path / "a.fits").write_bytes(content)
    monkeypatch.setattr(images, "hdu_of", None)  # without the library
    section = read_section(tmp_path / "a.fits", 1, 31, 33, 5, 40)
    np.testing.assert_array_equal(section, image[31:33, 5:])


def test_masks_are_unpacked_without_the_library(tmp_path, monkeypatch):
    mask = np.random.default_rng(4).integers(0, 2000, IMAGE.shape).astype(np.int16)
    write_image(tmp_path / "a.fits", mask, compress=True)
    monkeypatch.setattr(images, "hdu_of", None)
    np.testing.assert_array_equal(
        read_section(tmp_path / "a.fits", None, 30, 40, 3, 9), mask[30:40, 3:9]
    )


def test_a_damaged_tile_is_named(tmp_path):
    mask = np.random.default_rng(4).integers(0, 2000, (96, 40)).astype(np.int16)
    write_image(tmp_path / "a.fits", mask, compress=True)
    content = bytearray((tmp_path / "a.fits").read_bytes())
    second = content.index(b"\x1f\x8b", content.index(b"\x1f\x8b") + 2)
    content[second + 40] ^= 0xFF
    (tmp_path / "a.fits").write_bytes(content)
    whole = read_section(tmp_path / "a.fits", None, 0, 32, 0, 40)
    np.testing.assert_array_equal(whole, mask[:32])
    with pytest.raises(InputFileError, match=r"HDU cannot be decoded.*damaged; fetch or write"):
        read_section(tmp_path / "a.fits", None, 30, 40, 0, 40)


def test_a_file_that_becomes_shorter(tmp_path):
    path = tmp_path / "a.fits"
    write_image(path, IMAGE)
    with open_fits(path) as file:
        _cut(path, 6000)
        for columns in ((0, 40), (3, 9)):
            with pytest.raises(InputFileError, match=r"become shorter while .*run again when"):
                section_of(file, None, 50, 60, *columns)


def test_section_outside(tmp_path):
    write_image(tmp_path / "a.fits", IMAGE)
    with pytest.raises(DataError, match=r"section is empty or leaves.*within \[0:60, 0:40\]"):
        read_section(tmp_path / "a.fits", 0, 50, 61, 0, 5)


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 2), complex), np.array([["a"]])])
def test_what_cannot_be_written(tmp_path, array):
    with pytest.raises(DataError, match="only a two-dimensional image of numbers"):
        write_image(tmp_path / "a.fits", array)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compress", [False, True])
def test_no_truncation_goes_unnoticed(tmp_path, compress):
    whole = _mef(tmp_path / "m.fits", 2, compress=compress, shape=(30, 20)).read_bytes()
    hdus = fits_layout(tmp_path / "m.fits")
    boundaries = {hdu.header_start for hdu in hdus}
    cut = tmp_path / "cut.fits"
    end = len(whole)
    for size in sorted({*range(0, end, 331), *boundaries, *(b + 1 for b in boundaries)}):
        cut.write_bytes(whole[:size])
        if size in boundaries - {0}:  # a complete file of fewer HDUs
            assert len(list_ccds(cut)) == sum(0 < hdu.header_start < size for hdu in hdus)
            continue
        with pytest.raises(InputFileError):
            list_ccds(cut)


def _message(path):
    try:
        read_image(path)
    except InputFileError as error:
        return str(error)
    return None


@pytest.mark.parametrize("compress", [False, True])
def test_damaged_bytes_give_pixels_or_an_error_that_names_the_file(tmp_path, compress):
    path = _mef(tmp_path / "m.fits", 1, compress=compress, shape=(30, 20))
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(8)
    for _ in range(40):
        damaged = whole.copy()
        for place in rng.integers(2880, len(whole), 4):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        message = _message(path)
        assert message is None or "m.fits" in message
