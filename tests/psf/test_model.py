"""Drawing of a PSF model: order of the planes, centring, resampling, adaptors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from purepipe.errors import ConfigError, DataError
from purepipe.psf import PSFModel
from purepipe.wcs import WCS


def gaussian(shape, sigma, dx=0.0, dy=0.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    r2 = (x - shape[1] // 2 - dx) ** 2 + (y - shape[0] // 2 - dy) ** 2
    image = np.exp(-r2 / (2 * sigma**2))
    return image / (2 * np.pi * sigma**2)


def make_model(planes=None, *, sampling=1.0, shape=(51, 51), sigma=2.2, **changes):
    if planes is None:
        planes = [gaussian(shape, sigma / sampling) / sampling**2] + [np.zeros(shape)] * 5
    values = {
        "mask": np.array(planes), "coeffs": None, "contexts": ("XWIN_IMAGE", "YWIN_IMAGE"),
        "offsets": (1000.0, 2000.0), "scales": (2000.0, 4000.0), "groups": (1, 1),
        "degrees": (2,), "loaded": 60, "accepted": 55, "chi2": 1.0, "fwhm": 6.0,
        "sampling": sampling,
    }  # fmt: skip
    return PSFModel(**(values | changes))


def test_planes_are_polynomial_terms_of_one_based_positions():
    model = make_model([np.full((3, 3), 10.0**k) for k in range(6)])
    x, y = np.array([399.0, 1999.0]), np.array([2799.0, 99.0])
    u, v = (x + 1 - 1000) / 2000, (y + 1 - 2000) / 4000
    expected = 1 + 10 * u + 100 * u**2 + 1e3 * v + 1e4 * u * v + 1e5 * v**2
    np.testing.assert_allclose(model.draw(x, y)[:, 1, 1], expected, rtol=1e-6)


def test_image_does_not_depend_on_the_others():
    rng = np.random.default_rng(3)
    model = make_model(rng.normal(size=(6, 51, 51)))
    x, y = rng.uniform(0, 2000, 37), rng.uniform(0, 4000, 37)
    offset = (rng.uniform(-0.5, 0.5, 37), rng.uniform(-0.5, 0.5, 37))
    together = model.draw(x, y)
    moved = model.draw(x, y, offset=offset)
    for i in (0, 17, 36):
        np.testing.assert_array_equal(model.draw(x[i], y[i])[0], together[i])
        alone = model.draw(x[i], y[i], offset=(offset[0][i], offset[1][i]))
        np.testing.assert_array_equal(alone[0], moved[i])


@pytest.mark.parametrize("sampling", [0.6, 1.0, 1.3])
@pytest.mark.parametrize("shape", [None, (31, 41), (61, 61)])
def test_offset_moves_the_star(sampling, shape):
    # Lanczos-3 with normalised weights shifts by up to 0.02 pixel too little.
    model = make_model(sampling=sampling, sigma=3.0, shape=(61, 61))
    image = model.draw([5.0], [5.0], offset=(0.3, -0.4), shape=shape)[0]
    expected = gaussian(image.shape, 3.0, 0.3, -0.4)
    inner = np.hypot(*(np.indices(image.shape).T - np.array(image.shape) // 2).T) < 12
    np.testing.assert_allclose(image[inner], expected[inner], atol=5e-3 * expected.max())


def test_image_without_offset_is_the_plane_itself():
    model = make_model()
    np.testing.assert_array_equal(model.draw([999.0], [1999.0])[0], model.mask[0])
    assert model.draw([999.0], [1999.0]).dtype == np.float32


def test_default_size_covers_the_model():
    assert make_model(sampling=0.5).draw([1.0], [1.0]).shape == (1, 25, 25)
    assert make_model(sampling=2.0).draw([1.0], [1.0]).shape == (1, 101, 101)


def test_no_position_gives_no_image():
    assert make_model().draw([], []).shape == (0, 51, 51)


def test_constant_model_has_one_image_per_position():
    model = make_model([np.ones((3, 3))], contexts=(), offsets=(), scales=(), groups=(), degrees=())
    assert model.draw([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).shape == (3, 3, 3)
    assert not model.extrapolated([1e9], [1e9]).any()


def test_other_contexts_are_given_by_name():
    model = make_model(
        [np.ones((3, 3)), np.ones((3, 3))], contexts=("MAG",), offsets=(20.0,), scales=(4.0,),
        groups=(1,), degrees=(1,),
    )  # fmt: skip
    assert model.draw([0.0], [0.0], contexts={"MAG": 21.0})[0, 0, 0] == pytest.approx(1.25)
    with pytest.raises(DataError, match=r"MAG: .*depends on a context.*Pass contexts="):
        model.draw([0.0], [0.0])
    with pytest.raises(DataError, match=r"no such context.*'MAG'"):
        model.draw([0.0], [0.0], contexts={"MAG": 21.0, "MAGG": 3.0})


def test_extrapolation_is_told():
    model = make_model()
    x, y = [999.0, -1.0, 1999.0, 2010.0, np.nan], [1999.0, -1.0, 3999.0, 100.0, 5.0]
    np.testing.assert_array_equal(model.extrapolated(x, y), [False, False, False, True, True])


def test_lengths_must_agree():
    with pytest.raises(DataError, match="x and y must be of one length"):
        make_model().draw([1.0, 2.0], [1.0])
    with pytest.raises(DataError, match="offset must be two numbers"):
        make_model().draw([1.0, 2.0], [1.0, 2.0], offset=([0.1, 0.2, 0.3], 0.0))
    with pytest.raises(ConfigError, match="must be positive"):
        make_model().draw([1.0], [1.0], shape=(0, 5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": np.ones((5, 3, 3))}, "number of planes"),
        ({"scales": (1.0,)}, "of one length"),
        ({"groups": (1, 2)}, "a polynomial group has no degree"),
    ],
)
def test_inconsistent_model_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        make_model(**changes)


def test_model_is_immutable_and_survives_pickling():
    model = make_model(coeffs=np.ones((4, 6)))
    with pytest.raises(ValueError, match="read-only"):
        model.mask[0, 0, 0] = 1
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.mask, model.mask)
    assert copy.contexts == model.contexts
    assert not copy.mask.flags.writeable
    assert not copy.coeffs.flags.writeable


def test_moments_measure_the_size():
    moments = make_model().moments([10.0], [10.0])
    assert moments.sigma[0] == pytest.approx(2.2, rel=1e-3)
    assert abs(moments.g1[0]) < 1e-6


@pytest.mark.parametrize("shape", [(51, 51), (50, 50)])
@pytest.mark.parametrize("sampling", [1.0, 0.7])
def test_galsim_profile_equals_the_drawing(shape, sampling):
    model = make_model(shape=shape, sampling=sampling, sigma=2.5)
    profile = model.as_galsim(10.0, 10.0)
    assert profile.flux == pytest.approx(1)
    stamp = profile.drawImage(nx=31, ny=31, scale=1, method="no_pixel").array
    own = model.draw([10.0], [10.0], shape=(31, 31), offset=(0.0, 0.0))[0]
    np.testing.assert_allclose(stamp, own / own.sum(), atol=2e-3 * own.max())


def test_galsim_profile_on_the_sky():
    header = """CTYPE1='RA---TAN'|CTYPE2='DEC--TAN'|CRVAL1=150.0|CRVAL2=2.0|CRPIX1=1000.0
CRPIX2=2000.0|CD1_1=-5.2E-5|CD1_2=0.0|CD2_1=0.0|CD2_2=5.2E-5"""
    from astropy.io.fits import Header

    cards = Header()
    for line in header.replace("\n", "|").split("|"):
        key, value = line.split("=")
        cards[key] = value.strip("'") if "'" in value else float(value)
    wcs = WCS.from_header(cards, shape=(4000, 2000))
    profile = make_model().as_galsim(999.0, 1999.0, wcs)
    assert profile.calculateFWHM() == pytest.approx(2.2 * 2.3548 * 5.2e-5 * 3600, rel=0.01)


def test_galsim_profile_needs_flux():
    with pytest.raises(DataError, match="no positive flux"):
        make_model([np.zeros((5, 5))] * 6).as_galsim(1.0, 1.0)


def test_empty_model_is_known():
    assert make_model([np.zeros((5, 5))] * 6, sampling=0.0).is_empty
    assert not make_model().is_empty
