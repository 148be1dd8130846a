"""The engine "ngmix": with a stand-in that says what it was asked, and with the package itself."""

import importlib.util
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from purepipe.config.shapes import ShapeConfig
from purepipe.errors import ConfigError, MissingPackageError
from purepipe.flags import ShapeFlag
from purepipe.shapes import metacal_fit

SHEARS = {"noshear": (0, 0), "1p": (1, 0), "1m": (-1, 0), "2p": (0, 1), "2m": (0, -1)}
GALAXY = np.array([0.02, 0.01, 0.1, -0.2, 0.5, 7.0])  # v0, u0, g1, g2, T, flux


class NoFit(Exception):  # noqa: N818
    pass


class Observation:
    def __init__(self, image, weight=None, jacobian=None, psf=None, noise=None):
        self.image, self.weight, self.jacobian, self.noise = image, weight, jacobian, noise
        self.psf, self.shear, self.gmix = psf, None, None

    def set_gmix(self, gmix):
        self.gmix = gmix


def result_of(observation, prior):
    """What the stand-in's fits return: a response of 0.8."""
    if prior is None:
        pars = np.array([0.0, 0.0, 0.01, 0.02, 0.3, 1.0])
    else:
        first = observation[0]
        assert first.psf.gmix is not None
        if first.image.max() > 1e6:
            raise NoFit
        pars = GALAXY.copy()
        pars[2:4] += 0.8 * 0.01 * np.array(SHEARS[first.shear])
    return {"flags": 0, "pars": pars, "pars_cov": np.diag(np.arange(1.0, 7.0)), "nfev": 9,
            "s2n": 12.0}  # fmt: skip


def stand_in(version="2.4.0"):
    calls = []

    class Fitter:
        def __init__(self, model, prior=None, fit_pars=None):
            assert fit_pars["xtol"] <= 1e-10
            self.prior = prior

        def go(self, obs, guess):
            assert len(guess) == 6
            return result_of(obs, self.prior)

    class LMSimple:
        def __init__(self, obs, model, prior=None, lm_pars=None):
            assert lm_pars["ftol"] <= 1e-10
            self.result = result_of(obs, prior)

        def go(self, guess):
            assert len(guess) == 6

        def get_result(self):
            return self.result

    def get_all_metacal(epochs, **choices):
        calls.append((epochs, choices))
        types = {}
        for name in choices["types"]:
            types[name] = []
            for epoch in epochs:
                seen = Observation(epoch.image, epoch.weight, epoch.jacobian)
                seen.psf, seen.shear = Observation(epoch.psf.image), name
                types[name].append(seen)
        return types

    def mixture(pars, model):
        return SimpleNamespace(make_image=lambda shape, jacobian: np.full((1, 1), 2.0))

    keep = lambda *arguments, **choices: (arguments, choices)  # noqa: E731
    fitting = SimpleNamespace(Fitter=Fitter) if version >= "2" else SimpleNamespace(
        LMSimple=LMSimple
    )  # fmt: skip
    return calls, SimpleNamespace(
        __version__=version,
        Observation=Observation,
        ObsList=list,
        Jacobian=lambda **choices: SimpleNamespace(get_scale=lambda: 0.187, **choices),
        gexceptions=SimpleNamespace(NoFit=NoFit),
        priors=SimpleNamespace(CenPrior=keep, GPriorBA=keep, FlatPrior=keep),
        joint_prior=SimpleNamespace(PriorSimpleSep=keep),
        fitting=fitting,
        metacal=SimpleNamespace(get_all_metacal=get_all_metacal),
        gmix=SimpleNamespace(GMixModel=mixture),
    )


def fit(scene, **choices):
    return metacal_fit(
        scene.images, scene.psfs, scene.jacobians, scene.sigmas, seed=1, engine="ngmix", **choices
    )  # fmt: skip


@pytest.mark.parametrize("version", ["2.4.0", "v2.3.0", "1.3.9"])
def test_what_ngmix_finds_is_put_in_our_order_and_units(scene, monkeypatch, version):
    calls, module = stand_in(version.lstrip("v"))
    module.__version__ = version
    monkeypatch.setitem(sys.modules, "ngmix", module)
    result = fit(scene, noise="rot90", target="fitgauss")
    assert result.good.all()
    np.testing.assert_allclose(result.pars[0, 0], [0.01, 0.02, 0.1, -0.2, 0.5, 14.0])
    np.testing.assert_allclose(np.diagonal(result.cov[0, 0]), [2, 1, 3, 4, 5, 24])
    np.testing.assert_allclose(result.response, np.broadcast_to(0.8 * np.eye(2), (6, 2, 2)))
    np.testing.assert_allclose(result.sigma_target, np.sqrt(0.15))
    np.testing.assert_allclose(result.psf_shape, np.tile([0.01, 0.02, 0.3], (6, 1)))
    epochs, choices = calls[0]
    assert choices["psf"] == "fitgauss"
    assert choices["fixnoise"]
    assert choices["use_noise_image"]
    assert epochs[0].jacobian.dvdrow == scene.jacobians[0, 0, 1, 1]
    assert epochs[0].jacobian.dudrow == scene.jacobians[0, 0, 0, 1]
    np.testing.assert_allclose(epochs[0].noise.std(), scene.sigmas[0, 0], rtol=0.1)


def test_bad_stamps_and_failed_fits_are_flagged(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "ngmix", stand_in()[1])
    images, psfs = scene.images.copy(), scene.psfs.copy()
    images[1] = np.nan
    images[2, :, 20, 20] = 1e9
    psfs[3, 0] = 0
    valid = np.ones((6, 2), bool)
    valid[4] = False
    result = fit(replace(scene, images=images, psfs=psfs), noise="none", valid=valid)
    np.testing.assert_array_equal(result.good, [True, False, False, True, False, True])
    assert (result.flags[1] == ShapeFlag.NO_EPOCH | ShapeFlag.BAD_INPUT).all()
    assert (result.flags[2] == ShapeFlag.BAD_RESULT).all()
    assert result.epoch_flags[3, 0] == ShapeFlag.BAD_PSF
    assert (result.flags[4] == ShapeFlag.NO_EPOCH).all()


@pytest.mark.parametrize(
    ("choice", "version", "allowed"),
    [
        ({"noise": "min"}, "2.4.0", "rot90"),
        ({"noise": "none", "profile": "exp"}, "2.4.0", "gauss"),
        ({"noise": "none", "responses": "both", "profile": "gauss"}, "2.4.0", "types"),
        ({"noise": "none", "target": "azgauss"}, "1.3.9", "gauss, fitgauss"),
    ],
)
def test_what_ngmix_lacks_is_refused(scene, monkeypatch, choice, version, allowed):
    monkeypatch.setitem(sys.modules, "ngmix", stand_in(version)[1])
    with pytest.raises(ConfigError, match=f"ngmix has no such choice.*{allowed}"):
        fit(scene, **choice)


def test_unknown_versions_and_absence_are_told(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "ngmix", stand_in("3.0")[1])
    with pytest.raises(MissingPackageError, match="not known"):
        fit(scene, noise="none")
    monkeypatch.setitem(sys.modules, "ngmix", None)
    with pytest.raises(MissingPackageError, match=r"not installed.*engine='purepipe'"):
        fit(scene, noise="none")
    with pytest.raises(ConfigError, match="engine"):
        ShapeConfig(engine="ngmiks")
    with pytest.raises(ConfigError, match="neither this noise nor this profile"):
        ShapeConfig(engine="ngmix")
    assert ShapeConfig(engine="ngmix", noise="rot90").engine == "ngmix"


@pytest.mark.skipif(importlib.util.find_spec("ngmix") is None, reason="ngmix is not installed")
def test_ngmix_itself_agrees(scene):
    few = replace(
        scene, images=scene.images[:2], psfs=scene.psfs[:2], jacobians=scene.jacobians[:2],
        sigmas=scene.sigmas[:2],
    )  # fmt: skip
    theirs = fit(few, noise="none")
    ours = metacal_fit(
        few.images, few.psfs, few.jacobians, few.sigmas, seed=1, noise="none",
        sigma_target=theirs.sigma_target,
    )  # fmt: skip
    difference = (theirs.pars - ours.pars) / ours.errors
    assert np.abs(difference).max() < 0.01
    assert np.abs(theirs.response - ours.response).max() < 2e-3
