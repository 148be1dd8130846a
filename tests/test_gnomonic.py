"""The projection of plain headers beside astropy's, and the headers that are left to astropy."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy.wcs import WCS as AstropyWCS  # noqa: N811
from hypothesis import given, settings
from hypothesis import strategies as st

from purepipe.gnomonic import projected, read_gnomonic, sky_of
from purepipe.wcs import WCS
from tests.test_wcs import CASES, SCALE, make_header

X, Y = (a.ravel() for a in np.meshgrid(np.linspace(-300, 1500, 7), np.linspace(-200, 900, 6)))


def text_of(header):
    return header.tostring(padding=False, endcard=False)


def angle(ra0, dec0, ra1, dec1):
    """Distance in degrees, of positions so close that their difference is small."""
    turn = (ra1 - ra0 + 180) % 360 - 180
    return np.hypot(turn * np.cos(np.radians(dec0)), dec1 - dec0).max()


def compare(header):
    """Positions within a few units in the last place: 1e-13 degrees are 4e-10 arcsec."""
    found = read_gnomonic(text_of(header))
    ra, dec = sky_of(found, X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = AstropyWCS(header)
    assert angle(ra, dec, *oracle.all_pix2world(X, Y, 0)) < 2e-13
    assert ((ra >= 0) & (ra < 360)).all()
    assert found.equinox == pytest.approx(WCS.from_header(header).equinox)
    plane = np.tensordot(oracle.pixel_scale_matrix, [X + 1, Y + 1] - oracle.wcs.crpix[:, None], 1)
    np.testing.assert_allclose(projected(found, X, Y), plane, atol=1e-15)


@pytest.mark.parametrize("case", [c for c in CASES if c.get("distortion") != "pv"], ids=str)
def test_positions_are_astropys(case):
    compare(make_header(**case))


numbers = st.floats(-1, 1)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0, 359.999), st.floats(-89.5, 89.5), st.floats(-7, 7), st.booleans(),
    st.lists(numbers, min_size=12, max_size=12), st.sampled_from([None, "sip", "tpv"]),
)  # fmt: skip
def test_random_headers_are_astropys(ra, dec, turn, flip, terms, distortion):
    header = make_header(ra=ra, dec=dec, angle=turn, flip=flip, distortion=distortion)
    if distortion == "sip":
        header["A_ORDER"] = header["B_ORDER"] = 3
        names = [f"{a}_{p}_{q}" for a in "AB" for p, q in ((2, 0), (1, 1), (0, 2), (3, 0), (1, 2))]
        for name, term in zip(names, terms, strict=False):
            header[name] = term * (1e-6 if name.endswith(("2_0", "1_1", "0_2")) else 1e-9)
    elif distortion == "tpv":
        names = [f"PV{axis}_{k}" for axis in (1, 2) for k in (0, 2, 5, 9, 11, 39)]
        for name, term in zip(names, terms, strict=True):
            header[name] = term * 0.01
    compare(header)


def test_steps_and_rotation_instead_of_a_matrix():
    header = make_header()
    for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        del header[key]
    header["CDELT1"], header["CDELT2"] = -SCALE, SCALE
    compare(header)
    header["PC1_2"], header["PC2_1"] = 0.1, -0.1
    compare(header)
    header["LONPOLE"], header["CUNIT1"], header["RADESYS"] = 180.0, "deg", "FK5"
    header["EQUINOX"] = 1975.0
    compare(header)
    assert read_gnomonic(text_of(header)).equinox == 1975


@pytest.mark.parametrize(
    "changes",
    [
        {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
        {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN"}, {"CTYPE1": "RA---TAN-SIP"}, {"LONPOLE": 90.0},
        {"CRVAL2": 90.0}, {"CRVAL1": -10.0}, {"CUNIT1": "arcsec"}, {"CTYPE3": "FREQ"},
        {"CROTA2": 10.0}, {"PC1_1": 1.0}, {"CD1_1": 0.0, "CD1_2": 0.0}, {"A_ORDER": 2},
        {"PV2_4": 0.1}, {"PV1_1": 1.0, "PV2_1": 1.0, "PV1_40": 1.0}, {"CPDIS1": "LOOKUP"},
        {"CRPIX1": "middle"}, {"NAXIS": 3}, {"WCSAXES": 3}, {"EQUINOX": "J2000"}, {"EPOCH": 2000.0},
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2},
    ],
    ids=str,
)  # fmt: skip
def test_other_headers_are_left_to_astropy(changes):
    header = make_header()
    assert read_gnomonic(text_of(header)) is not None
    header.update(changes)
    assert read_gnomonic(text_of(header)) is None


def test_doubtful_cards_are_left_to_astropy():
    text = text_of(make_header())
    assert read_gnomonic(text + "CRVAL1  =                 10.0".ljust(80)) is None  # twice
    assert read_gnomonic(text + "LONPOLE =180".ljust(80)) is None
    assert read_gnomonic(text + "LONPOLE = nonsense".ljust(80)) is None
    assert read_gnomonic(text.replace("CRPIX1", "CRPIX9")) is None
    spaced = text + "LONPOLE =   1.80D+02 / native".ljust(80) + "HISTORY CRVAL1 = 3".ljust(80)
    assert read_gnomonic(spaced) is not None
    assert read_gnomonic("") is None


def test_positions_do_not_load_astropy():
    code = (
        "import sys; from purepipe.wcs import WCS; wcs = WCS.from_header(sys.argv[1])\n"
        "wcs.jacobian(3.0, 4.0), wcs.pixel_scale, wcs.equinox, wcs.footprint()\n"
        "print([name for name in sys.modules if name.startswith('astropy')])"
    )
    command = [sys.executable, "-c", code, text_of(make_header(distortion="tpv"))]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
