"""CCDs of an exposure: headers, and files of single CCDs."""

import numpy as np
import pytest
from astropy.io import fits

from purepipe.errors import DataError, InputFileError
from purepipe.io import (
    image_shape,
    list_units,
    read_ccd_headers,
    read_ccds,
    read_exposure,
    read_image,
    write_ccd_files,
    write_ccd_headers,
    write_image,
    write_table,
)

WCS_CARDS = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 2.0,
    "CRPIX2": 2.0, "CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5e-5, "INHERIT": True,
}  # fmt: skip


@pytest.fixture
def exposure(tmp_path):
    """Image, weight and flag files of three CCDs."""
    paths = {}
    for kind, dtype in (("image", "f4"), ("weight", "f4"), ("flag", "i4")):
        hdus = fits.HDUList([fits.PrimaryHDU(header=fits.Header([("GAIN", 1.5)]))])
        for number in range(3):
            header = fits.Header({**WCS_CARDS, "FSCALE": 1.0 + number})
            data = np.full((5, 4), number * 20000, dtype)
            hdus.append(fits.ImageHDU(data, header, name=f"CCD{number:02d}"))
        paths[kind] = tmp_path / f"{kind}-2079614.fits"
        hdus.writeto(paths[kind])
    return paths


def test_headers(exposure):
    ccds = read_ccds(exposure["image"], "2079614")
    assert [ccd.name for ccd in ccds] == ["2079614-0", "2079614-1", "2079614-2"]
    assert [ccd.flux_scale for ccd in ccds] == [1.0, 2.0, 3.0]
    assert ccds[0].shape == (5, 4)


def test_log_of_headers(tmp_path, exposure):
    units = list_units(exposure["image"], "2079614")
    assert fits.Header.fromstring(units[0].header)["GAIN"] == 1.5
    write_ccd_headers(tmp_path / "log.fits", units)
    assert read_ccd_headers(tmp_path / "log.fits") == units
    write_table(tmp_path / "x.fits", fits_table(), extname="CCD_HEADERS")
    with pytest.raises(InputFileError, match=r"not a table of CCD headers \(got A;"):
        read_ccd_headers(tmp_path / "x.fits")


def fits_table():
    from astropy.table import Table

    return Table({"A": [1]})


def test_damaged_header_names_the_hdu(exposure):
    with fits.open(exposure["image"], mode="update") as hdus:
        hdus[2].header["FSCALE"] = -1.0
    with pytest.raises(DataError, match=r"image-2079614\.fits\[HDU 2 'CCD01'\] FSCALE: the flux"):
        read_ccds(exposure["image"], "2079614")


def test_files_of_single_ccds(tmp_path, exposure):
    folder = tmp_path / "out"
    folder.mkdir()
    paths = write_ccd_files(folder, "2079614", **exposure)
    assert [path.name for path in paths[:4]] == [
        "image-2079614-0.fits", "image-2079614-1.fits", "image-2079614-2.fits",
        "weight-2079614-0.fits",
    ]  # fmt: skip
    assert sorted(folder.iterdir()) == sorted(paths)
    image = read_exposure(folder / "image-2079614-1.fits")
    assert (image.image == 20000).all()
    assert image.gain == 1.5
    assert image.flux_scale == 2.0
    flags = [read_image(folder / f"flag-2079614-{n}.fits")[0] for n in range(3)]
    assert [array.dtype for array in flags] == [np.int16, np.int16, np.int32]
    assert (flags[2] == 40000).all()


def test_weight_map_as_flags(tmp_path, exposure):
    write_image(tmp_path / "a.fits", np.full((5, 4), 0.5))
    write_image(tmp_path / "b.fits", np.full((5, 4), 0.5))
    with pytest.raises(InputFileError, match="must hold whole numbers"):
        write_ccd_files(tmp_path, "1", image=tmp_path / "a.fits", flag=tmp_path / "b.fits")


def test_shape_without_reading(exposure):
    assert image_shape(exposure["image"]) == (5, 4)
    assert image_shape(exposure["image"], "CCD02") == (5, 4)
    with pytest.raises(InputFileError, match="no two-dimensional image"):
        image_shape(exposure["image"], 0)
