import pickle

import galsim
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.wcs import WCS as AstropyWCS  # noqa: N811

from purepipe.errors import DataError
from purepipe.wcs import WCS, leading_number

SCALE = 0.187 / 3600


def make_header(*, ra=150.0, dec=32.0, angle=0.0, flip=False, distortion=None):
    header = Header()
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, 1000, 800
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["CRPIX1"], header["CRPIX2"] = 480.0, 410.0
    c, s = np.cos(angle), np.sin(angle)
    cd = SCALE * np.array([[-c, s], [s, c]])
    if flip:
        cd[:, 0] *= -1
    for i in (0, 1):
        for j in (0, 1):
            header[f"CD{i + 1}_{j + 1}"] = cd[i, j]
    if distortion == "sip":
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
        header["A_ORDER"] = header["B_ORDER"] = 2
        header["A_2_0"], header["A_1_1"], header["B_0_2"] = 3e-6, -2e-6, 4e-6
    elif distortion == "tpv":
        header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
        for key, value in {"PV1_1": 1.0, "PV1_4": 0.02, "PV2_1": 1.0, "PV2_5": 0.03}.items():
            header[key] = value
    elif distortion == "pv":
        header["PV1_1"], header["PV1_4"], header["PV2_1"] = 1.0, 0.02, 1.0
    return header


CASES = [
    {},
    {"angle": 0.7},
    {"angle": np.pi, "flip": True},
    {"distortion": "sip", "angle": -0.3},
    {"distortion": "tpv", "flip": True},
    {"ra": 359.9999, "dec": 70.0, "distortion": "sip"},
    {"ra": 0.0, "dec": 89.9, "distortion": "tpv"},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_there_and_back(case):
    wcs = WCS.from_header(make_header(**case))
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-0.5, 999.5, 9), np.linspace(0, 799, 7)))
    x1, y1 = wcs.sky_to_pixel(*wcs.pixel_to_sky(x, y))
    np.testing.assert_allclose(x1, x, atol=2e-6)
    np.testing.assert_allclose(y1, y, atol=2e-6)


# Left to astropy: another projection, other axes, and distortions that it inverts by a search.
OTHERS = [
    {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
    {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"},
    {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", "PV2_1": 1.0, "PV2_3": 50.0},
    {"LONPOLE": 170.0, "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2,
     "B_ORDER": 2, "A_2_0": 3e-6, "A_1_1": -2e-6, "B_0_2": 4e-6},
]  # fmt: skip


@pytest.mark.parametrize("changes", OTHERS, ids=str)
def test_other_projections_there_and_back(changes):
    header = make_header()
    header.update(changes)
    wcs = WCS.from_header(header)
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-500, 1500, 9), np.linspace(0, 799, 7)))
    ra, dec = wcs.pixel_to_sky(x, y)
    found = np.array(wcs.sky_to_pixel(ra, dec))
    # wcslib inverts ZPN to 1e-7 pixels.
    np.testing.assert_allclose(found, [x, y], rtol=0, atol=1e-6)
    # To the last bit whatever else is asked for. ZPN has the other side of the sky, far away.
    ra[::2], dec[::2] = (ra[::2] + 180) % 360, -dec[::2]
    again = np.array(wcs.sky_to_pixel(ra, dec))
    assert not (np.abs(again[:, ::2]) < 1e6).any()
    np.testing.assert_array_equal(again[:, 1::2], found[:, 1::2])
    assert wcs.sky_to_pixel([], [])[0].shape == (0,)


@pytest.mark.parametrize("case", CASES[:5], ids=str)
def test_jacobian_equals_galsim(case):
    header = make_header(**case)
    wcs = WCS.from_header(header)
    oracle = galsim.FitsWCS(header=dict(header)).local(galsim.PositionD(121, 701))
    expected = [[oracle.dudx, oracle.dudy], [oracle.dvdx, oracle.dvdy]]
    np.testing.assert_allclose(wcs.jacobian(120.0, 700.0), expected, atol=2e-9)


def test_jacobian_of_a_plain_image_is_the_unit_matrix():
    # North up and east to the left: u grows to the west, v to the north.
    wcs = WCS.from_header(make_header())
    np.testing.assert_allclose(wcs.jacobian(479.0, 409.0), 0.187 * np.eye(2), atol=1e-9)
    assert wcs.parity == 1
    assert WCS.from_header(make_header(flip=True)).parity == -1
    assert wcs.pixel_scale == pytest.approx(0.187, rel=1e-5)


def test_jacobian_keeps_the_shape_of_the_positions():
    wcs = WCS.from_header(make_header(distortion="sip"))
    x, y = np.meshgrid(np.arange(3.0), np.arange(2.0))
    many = wcs.jacobian(x, y)
    assert many.shape == (2, 3, 2, 2)
    np.testing.assert_array_equal(many[1, 2], wcs.jacobian(x[1, 2], y[1, 2]))


def test_positions_are_zero_based():
    ra, dec = WCS.from_header(make_header()).pixel_to_sky(479.0, 409.0)
    assert (ra, dec) == (pytest.approx(150.0, abs=1e-12), pytest.approx(32.0, abs=1e-12))


@pytest.mark.parametrize("distortion", [None, "sip", "tpv"])
def test_the_far_side_of_the_sky_is_nan(distortion):
    wcs = WCS.from_header(make_header(distortion=distortion))
    x, y = wcs.sky_to_pixel([330.0, 150.0], [-32.0, 32.0])
    assert np.isnan([x[0], y[0]]).all()
    assert np.isfinite([x[1], y[1]]).all()


def test_tan_with_pv_terms_is_read_as_tpv():
    plain, distorted = (
        WCS.from_header(make_header(distortion=d)).pixel_to_sky(0.0, 0.0) for d in (None, "pv")
    )
    assert abs(plain[0] - distorted[0]) > 1e-6


@pytest.mark.parametrize("frame", [("RA--", "DEC-"), ("GLON", "GLAT")])  # own code, and astropy
def test_tpv_without_pv_cards_is_tan(frame):
    header = make_header()
    places = []
    for projection in ("TAN", "TPV"):
        header["CTYPE1"], header["CTYPE2"] = (f"{name}-{projection}" for name in frame)
        places.append(WCS.from_header(header).pixel_to_sky([0.0, 300.0], [0.0, 40.0]))
    np.testing.assert_array_equal(*places)


@pytest.mark.parametrize("system", ["RA---", "GLON-"])
@pytest.mark.parametrize(
    "cards",
    [
        {"PV1_7": 0.001}, {"PV1_0": 0.0}, {"PV1_1": 1.0}, {"PV1_1": 1.0, "PV2_1": 0.0},
        {"PV1_1": 1.0, "PV1_2": 0.5, "PV2_1": 1.0, "PV2_2": 2.0},
    ],
)  # fmt: skip
def test_singular_distortions_are_refused(system, cards):
    header = make_header()
    other = {"RA---": "DEC--", "GLON-": "GLAT-"}[system]
    header["CTYPE1"], header["CTYPE2"] = system + "TPV", other + "TPV"
    header.update(cards)
    with pytest.raises(DataError, match=r"distortion is singular: the linear terms of TPV"):
        WCS.from_header(header)


def test_headers_without_coordinates_are_refused():
    header = make_header()
    del header["CTYPE1"], header["CTYPE2"]
    with pytest.raises(DataError, match=r"need a header of astropy.*got dict.*Header\(cards\)"):
        WCS.from_header({"CTYPE1": "RA---TAN"})
    with pytest.raises(DataError, match="no celestial coordinates"):
        WCS.from_header(header)
    header = make_header()
    header["CD1_1"], header["CD1_2"] = header["CD2_1"], header["CD2_2"]
    with pytest.raises(DataError, match=r"singular|cannot be used"):
        WCS.from_header(header)


def test_pickle_and_text():
    wcs = WCS.from_header(make_header(distortion="tpv"))
    copy = pickle.loads(pickle.dumps(wcs))
    assert copy == wcs
    assert copy.pixel_to_sky(10.0, 20.0) == wcs.pixel_to_sky(10.0, 20.0)
    assert WCS.from_header(wcs.cards, wcs.shape).cards == wcs.cards


def test_footprint_surrounds_the_image():
    wcs = WCS.from_header(make_header())
    x, y = wcs.sky_to_pixel(*wcs.footprint().T)
    np.testing.assert_allclose(x, [-0.5, 999.5, 999.5, -0.5], atol=1e-6)
    np.testing.assert_allclose(y, [-0.5, -0.5, 799.5, 799.5], atol=1e-6)


# `seen`: where SExtractor 2.25 puts a star of such headers (it mistakes supergalactic ones).
@pytest.mark.parametrize(
    ("axes", "frame", "seen"),
    [
        (("GLON-TAN", "GLAT-TAN"), "galactic", (254.28495086, -9.7822240069)),
        (("ELON-TAN", "ELAT-TAN"), "barycentricmeanecliptic", (0.84587364145, 22.253490187)),
        (("SLON-TAN", "SLAT-TAN"), "supergalactic", None),
    ],
)
def test_other_celestial_systems_become_equatorial(axes, frame, seen):
    header = make_header(ra=10.0, dec=20.0, angle=0.4)
    header["CTYPE1"], header["CTYPE2"] = axes
    header["EQUINOX"] = 1950.0  # which says nothing about them
    wcs = WCS.from_header(header)
    x, y = np.array([479.0, 3.0, 900.0]), np.array([409.0, 700.0, 20.0])
    ra, dec = wcs.pixel_to_sky(x, y)
    native = SkyCoord(*AstropyWCS(header).all_pix2world(x, y, 0), unit="deg", frame=frame)
    theirs = SkyCoord(ra, dec, unit="deg", frame="fk5")
    assert native.transform_to("fk5").separation(theirs).arcsec.max() < 0.05
    if seen:
        np.testing.assert_allclose(wcs.pixel_to_sky(478.9950, 408.9998), seen, rtol=0, atol=2e-8)
    assert wcs.equinox == 2000
    np.testing.assert_allclose(wcs.sky_to_pixel(ra, dec), (x, y), atol=1e-7)


def test_numbers_in_quotes_are_numbers():
    header = make_header()
    quoted = header.copy()
    for key in ("CRVAL1", "CRPIX2", "CD1_1"):
        quoted[key] = f"{header[key]}"
    positions = (np.array([5.0, 700.0]), np.array([3.0, 40.0]))
    np.testing.assert_array_equal(
        WCS.from_header(quoted).pixel_to_sky(*positions),
        WCS.from_header(header).pixel_to_sky(*positions),
    )


def with_card(key, value):
    """Header text in which one card holds exactly these characters."""
    lines = [card.image for card in make_header().cards
             if card.keyword != key]  # fmt: skip
    return "".join(line.ljust(80) for line in [*lines, f"{key:8}= {value}"])


@pytest.mark.parametrize("value", ["'1.5D2'", "1.5d+02", "' +150.0 '", "15E1 / degrees", "'150'"])
def test_exponents_with_a_d_and_quotes(value):
    found = WCS.from_header(with_card("CRVAL1", value))
    np.testing.assert_array_equal(
        found.pixel_to_sky(5.0, 3.0), WCS.from_header(with_card("CRVAL1", 150.0)).pixel_to_sky(5, 3)
    )
    assert WCS.from_header(with_card("EQUINOX", "'B1950'")).equinox == 1950
    assert WCS.from_header(with_card("EPOCH", "'2007-05-01'")).equinox == 2000
    assert WCS.from_header(with_card("CROTA1", "''")).parity == found.parity


@pytest.mark.parametrize("key", ["CRVAL1", "CRPIX2", "CD1_1", "PV1_4"])
@pytest.mark.parametrize(
    "value", ["'10:00:00'", "10:00:00", "' 1 5 0 '", "nan", "'inf'", "1e999", "'150.0 deg'", "''",
              "", "T", "'1,5'"]
)  # fmt: skip
def test_no_coordinate_is_read_in_part(key, value):
    with pytest.raises(DataError, match=rf"^{key}: a coordinate of the header is not a number"):
        WCS.from_header(with_card(key, value))


def test_numbers_that_sextractor_reads():
    # What the program makes of them, by its catalogue.
    read = {"'10:00:00'": 10, "' 1 5 0 '": 1, "nan": 0, "'150.0 deg'": 150, "'1.5D2'": 150,
            "''": 0, "": 0, "T": 0, "+150.0 / x": 150}  # fmt: skip
    for value, number in read.items():
        card = leading_number(f"CRVAL1  = {value}".ljust(80))
        assert len(card) == 80
        assert float(card[10:].replace("D", "E")) == number
    assert leading_number("COMMENT CRVAL1 = 'x'") == "COMMENT CRVAL1 = 'x'"


def test_the_right_ascension_comes_first_whichever_axis_it_is():
    header = make_header(ra=150.0, dec=32.0, angle=20.0)
    swapped = header.copy()
    for one, other in (("1", "2"), ("2", "1")):
        for key in ("CTYPE", "CRVAL"):
            swapped[key + one] = header[key + other]
        for axis in ("1", "2"):
            swapped[f"CD{one}_{axis}"] = header[f"CD{other}_{axis}"]
    usual, other = WCS.from_header(header), WCS.from_header(swapped)
    assert usual.longitude_first
    assert not other.longitude_first
    x, y = np.array([0.0, 40.0, 900.0]), np.array([5.0, 700.0, 20.0])
    np.testing.assert_allclose(other.pixel_to_sky(x, y), usual.pixel_to_sky(x, y), rtol=1e-13)
    np.testing.assert_allclose(other.sky_to_pixel(*usual.pixel_to_sky(x, y)), (x, y), atol=1e-8)
    np.testing.assert_allclose(other.jacobian(x, y), usual.jacobian(x, y), atol=1e-9)
    np.testing.assert_allclose(other.footprint(), usual.footprint(), rtol=1e-13)
    assert other.pixel_scale == pytest.approx(usual.pixel_scale)
    assert other.parity == usual.parity
