"""The projection of plain headers beside astropy's, and the headers that are left to astropy."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy.wcs import WCS as AstropyWCS  # noqa: N811
from hypothesis import given, settings
from hypothesis import strategies as st

from purepipe.gnomonic import pixels_of, projected, read_gnomonic, sky_of
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
    x, y = pixels_of(found, ra, dec)
    # A right ascension near 360 is rounded four times on the way there and back: when it leaves
    # the radians, when the reference point is added, and the same in return.
    unit = np.spacing(360.0) / SCALE
    np.testing.assert_allclose([x, y], [X, Y], rtol=0, atol=4 * unit / 2)
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


@pytest.mark.parametrize("case", [c for c in CASES if c.get("distortion") != "pv"], ids=str)
def test_pixels_are_astropys_far_outside(case):
    header = make_header(**case)
    x, y = np.random.default_rng(3).uniform(-6000, 7000, (2, 400))
    oracle = AstropyWCS(header)
    ra, dec = oracle.all_pix2world(x, y, 0)
    theirs = oracle.all_world2pix(ra, dec, 0, tolerance=1e-11, maxiter=100)
    # Their way there and back is out by up to 2e-9 pixels.
    np.testing.assert_allclose(pixels_of(read_gnomonic(text_of(header)), ra, dec), theirs,
                               rtol=0, atol=3e-9)  # fmt: skip


def radial_header(kind, strength):
    """A distortion r (1 + strength r^2), r in units of 1000 pixels."""
    header = make_header(distortion=kind)
    if kind == "sip":
        header["A_ORDER"] = header["B_ORDER"] = 3
        names, terms = ("A_3_0", "A_1_2", "B_0_3", "B_2_1"), ("A_2_0", "A_1_1", "B_0_2")
        unit = 1e-6
    else:
        names, terms = ("PV1_7", "PV1_9", "PV2_7", "PV2_9"), ("PV1_4", "PV2_5")
        unit = 1e-6 / SCALE**2
    header.update(dict.fromkeys(terms, 0.0) | dict.fromkeys(names, strength * unit))
    return read_gnomonic(text_of(header))


@pytest.mark.parametrize("kind", ["sip", "tpv"])
@pytest.mark.parametrize("strength", [-0.1, 0.1])
def test_there_is_one_answer_up_to_the_fold_and_none_beyond(kind, strength):
    found = radial_header(kind, strength)
    r = np.linspace(0, 6000, 61)  # r - 0.1 r^3 turns back at 1826 pixels, where it is 1217
    phi = np.linspace(0, 40, 61)
    x, y = 479 + r * np.cos(phi), 409 + r * np.sin(phi)
    before = np.full(r.shape, strength > 0) | (r < 1826)
    again = np.array(pixels_of(found, *sky_of(found, x, y)))
    np.testing.assert_allclose(again[:, before], [x[before], y[before]], rtol=0, atol=1e-8)
    plain = read_gnomonic(text_of(make_header()))
    goal = r * (1 + strength * (r / 1000) ** 2)
    again = np.array(
        pixels_of(found, *sky_of(plain, 479 + goal * np.cos(phi), 409 + goal * np.sin(phi)))
    )
    assert np.isnan(again[:, np.abs(goal) > 1218]).all() == (strength < 0)
    inverted = np.hypot(*(again - [[479], [409]]))
    assert not (inverted[strength < 0] > 1826).any()


def test_half_of_the_sky_has_no_pixels():
    found = read_gnomonic(text_of(make_header(ra=0.0, dec=60.0, distortion="tpv")))
    ra = np.array([0.0, 180.0, 180.0, 0.0, 0.0, np.nan, np.inf, 90.0])
    dec = np.array([60.0, -60.0, 29.0, -31.0, -29.0, 0.0, 0.0, -1e-9])
    plain = read_gnomonic(text_of(make_header(ra=0.0, dec=60.0)))
    with np.errstate(invalid="ignore"):
        x, y = pixels_of(plain, ra, dec)
        assert (np.isfinite(x) == [True, False, False, False, True, False, False, False]).all()
        assert (np.isfinite(y) == np.isfinite(x)).all()
        assert not np.isfinite(np.array(pixels_of(found, ra, dec)))[:, ~np.isfinite(x)].any()


def test_a_distortion_that_cannot_be_inverted_gives_no_pixels():
    header = make_header(distortion="sip")
    header["A_1_0"] = -1.0
    found = read_gnomonic(text_of(header))
    assert np.isnan(pixels_of(found, np.array([150.0]), np.array([32.0]))).all()


@pytest.mark.parametrize("kind", [None, "sip", "tpv"])
def test_every_position_is_found_by_itself(kind):
    header = make_header(distortion=kind, angle=0.4)
    if kind == "tpv":
        header["PV1_2"], header["PV1_39"] = 0.1, 0.01
    found = read_gnomonic(text_of(header))
    ra, dec = sky_of(found, X, Y)
    together = np.array(pixels_of(found, ra, dec))
    alone = [pixels_of(found, ra[i : i + 1], dec[i : i + 1]) for i in range(len(ra))]
    np.testing.assert_array_equal(together, np.array(alone)[:, :, 0].T)


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
