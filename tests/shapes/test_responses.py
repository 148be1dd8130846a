"""Responses by the implicit function theorem, against those from fits to sheared images."""

import numpy as np
import pytest

from purepipe.errors import ConfigError
from purepipe.flags import ShapeFlag
from purepipe.shapes import calibrate, metacal_fit

from .scenes import make_scene


def fit(scene, **choices):
    return metacal_fit(
        scene.images, scene.psfs, scene.jacobians, scene.sigmas, seed=1, **choices
    )  # fmt: skip


@pytest.mark.parametrize(
    ("snr", "noise", "profile", "limit"),
    [
        (1e4, "none", "gauss", 5e-5),
        (1e4, "min", "exp", 5e-5),
        (20, "none", "gauss", 6e-4),
        (20, "double", "gauss", 1e-3),
        (20, "double", "exp", 1e-3),
        # the added noise of least power is far from linear in the shear
        (20, "min", "gauss", 2e-2),
    ],
)
def test_both_responses_agree(snr, noise, profile, limit):
    scene = make_scene(objects=10, epochs=3, snr=snr, seed=3)
    result = fit(scene, noise=noise, profile=profile, responses="both")
    assert result.good.all()
    difference = result.implicit_response - result.response
    assert np.abs(difference).max() < limit
    # the difference is of second order in the step
    half = fit(scene, noise=noise, profile=profile, responses="both", step=0.005)
    if snr > 1e3:
        assert np.abs(half.implicit_response - half.response).max() < limit


def test_without_fits_to_sheared_images(scene):
    both, alone = fit(scene, responses="both"), fit(scene, responses="implicit")
    assert alone.good.all()
    np.testing.assert_array_equal(alone.response, both.implicit_response)
    np.testing.assert_array_equal(alone.pars[:, 0], both.pars[:, 0])
    assert np.isnan(alone.pars[:, 1:]).all()
    assert (alone.flags[:, 1:] & ShapeFlag.NOT_ATTEMPTED).all()
    assert np.isnan(fit(scene).implicit_response).all()


def test_no_shear_comes_from_one_type_alone(scene):
    with pytest.raises(ConfigError, match="needs the shapes of all five types"):
        calibrate(fit(scene, responses="implicit"))


def test_a_failed_fit_has_no_response(scene):
    result = fit(scene, responses="both", max_iterations=1)
    failed = result.flags[:, 0] != 0
    assert failed.any()
    assert np.isnan(result.implicit_response[failed]).all()


@pytest.mark.parametrize("choice", [{"noise": "rot90"}, {"profile": "bdf"}, {"profile": "dev"}])
def test_responses_that_are_not_known_are_refused(scene, choice):
    with pytest.raises(ConfigError, match="no derivatives are known"):
        fit(scene, responses="implicit", **choice)
    with pytest.raises(ConfigError, match="Did you mean 'implicit'"):
        fit(scene, responses="implizit")
