"""Against converged fits of ngmix, and against images made by GalSim."""

from pathlib import Path

import numpy as np
import pytest

from purepipe.shapes.images import metacal_images
from purepipe.shapes.metacal import metacal_fit

from .scenes import make_scene

REFERENCE = Path(__file__).parents[1] / "reference" / "shapes" / "ngmix_converged.npz"


@pytest.fixture(scope="module")
def reference():
    return dict(np.load(REFERENCE))


def compare(result, pars, errors):
    difference = np.abs(result.pars - pars) / errors
    shapes = pars[:, :, 2:4]
    response = np.stack([shapes[:, 1] - shapes[:, 2], shapes[:, 3] - shapes[:, 4]], -1) / 0.02
    return difference.max(), np.abs(result.response - response).max()


def fit(reference, rows, **choices):
    names = ("images", "psfs", "jacobians", "sigma", "sigma_target")
    images, psfs, jacobians, sigma, target = (reference[name][rows] for name in names)
    return metacal_fit(
        images, psfs, jacobians, sigma[:, None], seed=1, sigma_target=target,
        centre_prior=0.187, **choices,
    )  # fmt: skip


def test_fits_equal_converged_ngmix(reference):
    rows = slice(0, int(reference["n_plain"]))
    result = fit(reference, rows, noise="none")
    assert (result.flags == 0).all()
    worst, response = compare(result, reference["pars"][rows], np.sqrt(reference["cov"][rows]))
    assert worst < 1e-3
    assert response < 5e-4


def test_rotated_noise_equals_converged_ngmix(reference):
    rows = slice(int(reference["n_plain"]), None)
    result = fit(reference, rows, noise="rot90", noise_images=reference["noise"])
    worst, response = compare(result, reference["pars"][rows], np.sqrt(reference["cov"][rows]))
    assert worst < 1e-3
    assert response < 1e-3


def test_target_width_follows_ngmix(reference):
    result = fit(reference, slice(None), noise="none")
    own = metacal_fit(
        reference["images"], reference["psfs"], reference["jacobians"],
        reference["sigma"][:, None], seed=1, noise="none",
    )  # fmt: skip
    ratio = own.sigma_target / result.sigma_target
    assert np.abs(ratio - 1).max() < 5e-3


def galsim_metacal(image, psf, jac, sigma, shear, side):
    import galsim

    precise = galsim.GSParams(
        maximum_fft_size=16384, kvalue_accuracy=1e-8, folding_threshold=1e-4, maxk_threshold=1e-5
    )
    wcs = galsim.JacobianWCS(*jac.ravel())

    def interpolate(stamp):
        picture = galsim.Image(stamp.astype(float), wcs=wcs)
        return galsim.InterpolatedImage(picture, x_interpolant="lanczos15", gsparams=precise)

    psf_profile = interpolate(psf)
    deconvolved = galsim.Convolve(
        interpolate(image), galsim.Deconvolve(psf_profile, gsparams=precise), gsparams=precise
    )
    sheared = deconvolved.shear(g1=shear[0], g2=shear[1])
    target = galsim.Gaussian(sigma=sigma, flux=float(psf.sum()), gsparams=precise)
    drawn = galsim.Convolve(sheared, target, gsparams=precise)
    return drawn.drawImage(nx=side, ny=side, wcs=wcs, method="no_pixel").array


def test_images_equal_galsim():
    scene = make_scene(objects=1, epochs=1, side=41, snr=1e9)
    sigma = np.full((1, 1), 0.36)
    images = metacal_images(scene.images, scene.psfs, scene.jacobians, sigma)
    shears = [(0.0, 0.0), (0.01, 0.0), (-0.01, 0.0), (0.0, 0.01), (0.0, -0.01)]
    for kind, shear in enumerate(shears):
        expected = galsim_metacal(
            scene.images[0, 0], scene.psfs[0, 0], scene.jacobians[0, 0], 0.36, shear, 41
        )
        assert np.abs(images[0, 0, kind] - expected).max() < 1e-5 * expected.max()
