"""metacal_fit: invariances, ragged epochs, seeds, bad input."""

import time
from dataclasses import replace

import numpy as np
import pytest

from purepipe.errors import ConfigError, DataError
from purepipe.flags import ShapeFlag
from purepipe.rng import object_seeds
from purepipe.shapes.metacal import FitOptions, metacal_fit
from tests.entry import entry

from .scenes import make_scene


def fit(scene, *, seed=1, **choices):
    return metacal_fit(
        scene.images, scene.psfs, scene.jacobians, scene.sigmas, seed=seed, **choices
    )


def deviation(first, second):
    """Largest difference of the parameters in units of their errors."""
    return np.abs((first.pars - second.pars) / second.errors).max()


@pytest.fixture(scope="module")
def plain(scene):
    return fit(scene, noise="none")


@pytest.fixture(scope="module")
def noisy(scene):
    return fit(scene)


def test_result_is_complete(noisy):
    assert noisy.good.all()
    assert noisy.pars.shape == (6, 5, 6)
    assert noisy.cov.shape == (6, 5, 6, 6)
    assert (noisy.response[:, 0, 0] > 0.3).all()
    np.testing.assert_allclose(noisy.s2n[:, 0], 30, rtol=0.25)
    np.testing.assert_allclose(noisy.psf_shape[:, 0], 0.02, atol=0.01)
    np.testing.assert_allclose(
        noisy.target_size, 2 * (noisy.sigma_target**2).mean(axis=1), rtol=0.01
    )


def test_a_quarter_turn_of_the_stamp_flips_the_shape(scene, plain):
    turned = replace(
        scene,
        images=np.rot90(scene.images, axes=(2, 3)),
        psfs=np.rot90(scene.psfs, axes=(2, 3)),
        jacobians=scene.jacobians @ np.array([[0.0, -1.0], [1.0, 0.0]]),
    )
    # the same sky in turned pixels: nothing changes
    assert deviation(fit(turned, noise="none"), plain) < 2e-3
    # the turned sky: both components change sign
    back = replace(turned, jacobians=np.array([[0, -1], [1, 0]]) @ scene.jacobians)
    back = replace(back, images=scene.images, psfs=scene.psfs)
    flipped = fit(back, noise="none").shapes[:, 0]
    np.testing.assert_allclose(flipped, -plain.shapes[:, 0], atol=1e-4)


def test_more_modes_change_nothing(scene, plain):
    assert deviation(fit(scene, noise="none", extra_modes=5), plain) < 1e-3


def test_padding_with_zeros_changes_nothing(scene, plain):
    margin = ((0, 0), (0, 0), (4, 4), (4, 4))
    wide = replace(
        scene, images=np.pad(scene.images, margin), psfs=np.pad(scene.psfs, margin)
    )  # a longer period: another lattice
    # the rule of the target width sees the lattice step, the fit does not
    result = fit(wide, noise="none", sigma_target=plain.sigma_target)
    assert deviation(result, plain) < 1e-3


def test_psf_stamps_may_have_another_size(scene, plain):
    wide = replace(scene, psfs=np.pad(scene.psfs, ((0, 0), (0, 0), (4, 4), (4, 4))))
    result = fit(wide, noise="none", sigma_target=plain.sigma_target)
    assert deviation(result, plain) < 1e-3
    narrow = replace(scene, psfs=scene.psfs[:, :, 5:-5, 5:-5])
    assert fit(narrow, noise="none").good.all()


def test_two_halves_of_an_epoch_equal_the_whole(scene, plain):
    doubled = replace(
        scene,
        images=np.repeat(scene.images, 2, axis=1),
        psfs=np.repeat(scene.psfs, 2, axis=1),
        jacobians=np.repeat(scene.jacobians, 2, axis=1),
        sigmas=np.repeat(scene.sigmas, 2, axis=1) * np.sqrt(2.0),
    )
    assert deviation(fit(doubled, noise="none"), plain) < 1e-6


def test_order_of_epochs_changes_nothing(scene, plain):
    swapped = replace(
        scene,
        images=scene.images[:, ::-1],
        psfs=scene.psfs[:, ::-1],
        jacobians=scene.jacobians[:, ::-1],
        sigmas=scene.sigmas[:, ::-1],
    )
    assert deviation(fit(swapped, noise="none"), plain) < 1e-6


def test_batches_order_and_threads_change_no_bit(scene):
    many = make_scene(objects=3, epochs=1, side=31)
    repeat = np.tile(np.arange(3), 25)
    big = replace(
        many,
        images=many.images[repeat],
        psfs=many.psfs[repeat],
        jacobians=many.jacobians[repeat],
        sigmas=many.sigmas[repeat],
    )
    seeds = object_seeds(5, "test", np.arange(75.0), np.zeros(75))
    whole = fit(big, seed=seeds)
    threaded = fit(big, seed=seeds, threads=3)
    np.testing.assert_array_equal(whole.pars, threaded.pars)
    order = np.random.default_rng(0).permutation(75)[:40]
    some = metacal_fit(
        big.images[order], big.psfs[order], big.jacobians[order], big.sigmas[order],
        seed=seeds[order],
    )  # fmt: skip
    np.testing.assert_array_equal(some.pars, whole.pars[order])


def test_seeds_draw_different_noise_and_a_negative_one_flips_it(scene, plain, noisy):
    assert deviation(fit(scene, seed=2), noisy) > 0.01
    flipped = fit(scene, seed=-1)
    # to first order the two signs lie on both sides of the fit without noise
    mean = 0.5 * (flipped.pars + noisy.pars)
    spread = np.abs(flipped.pars - noisy.pars)[..., 2:4].mean()
    assert np.abs(mean - plain.pars)[..., 2:4].mean() < 0.5 * spread


@pytest.mark.parametrize("noise", ["min", "double", "rot90"])
@pytest.mark.parametrize("target", ["azgauss", "gauss", "fitgauss"])
def test_every_mode_and_target_works(scene, noise, target):
    one = replace(
        scene,
        images=scene.images[:1],
        psfs=scene.psfs[:1],
        jacobians=scene.jacobians[:1],
        sigmas=scene.sigmas[:1],
    )
    result = fit(one, noise=noise, target=target)
    assert result.good.all()
    widths = result.sigma_target[0]
    psf_width = np.sqrt(result.psf_pars[0, :, 4] / 2)
    assert ((widths > psf_width) & (widths < 1.5 * psf_width)).all()


@pytest.mark.parametrize(("side", "seeing"), [(32, 0.7), (25, 0.6), (51, 0.45), (64, 1.2)])
def test_any_stamp_size_and_seeing(side, seeing):
    scene = make_scene(objects=2, epochs=2, side=side, seeing=seeing, snr=200)
    result = fit(scene)
    assert result.good.all()
    larger = make_scene(objects=2, epochs=2, side=side + 8, seeing=seeing, snr=1e6)
    np.testing.assert_allclose(result.shapes[:, 0], fit(larger).shapes[:, 0], atol=0.08)


def test_the_psf_may_be_too_sharp_for_its_pixels():
    scene = make_scene(objects=2, epochs=1, side=31, seeing=0.25, snr=100)
    result = fit(scene)
    assert result.good.all()
    # the target was widened to what the pixels carry
    assert (result.sigma_target > 0.187 * np.sqrt(16.1) / np.pi).all()


def test_ragged_epochs(scene):
    full = fit(scene, noise="none")
    counts = np.array([2, 1, 0, 2, 1, 2])
    ragged = fit(scene, noise="none", epoch_counts=counts)
    np.testing.assert_array_equal(ragged.pars[counts == 2], full.pars[counts == 2])
    assert (ragged.flags[2] == ShapeFlag.NO_EPOCH).all()
    assert np.isnan(ragged.pars[2]).all()
    single = replace(
        scene,
        images=scene.images[:, :1],
        psfs=scene.psfs[:, :1],
        jacobians=scene.jacobians[:, :1],
        sigmas=scene.sigmas[:, :1],
    )
    one = fit(single, noise="none")
    np.testing.assert_array_equal(ragged.pars[counts == 1], one.pars[counts == 1])
    same = fit(scene, noise="none", valid=np.arange(2) < counts[:, None])
    np.testing.assert_array_equal(same.pars, ragged.pars)


@pytest.mark.parametrize("culprit", ["nan", "inf", "huge", "zero psf", "negative psf", "sigma"])
def test_a_bad_stamp_is_flagged_and_hurts_no_other(scene, noisy, culprit):
    images, psfs, sigmas = scene.images.copy(), scene.psfs.copy(), scene.sigmas.copy()
    if culprit == "nan":
        images[2, :, 20, 20] = np.nan
    elif culprit == "inf":
        images[2, :, 20, 20] = np.inf
    elif culprit == "huge":
        images[2, :, 20, 20] = 3e38
        images[2, :, 20, 21] = 3e38
    elif culprit == "zero psf":
        psfs[2] = 0
    elif culprit == "negative psf":
        psfs[2] *= -1
    else:
        sigmas[2] = 0
    result = fit(replace(scene, images=images, psfs=psfs, sigmas=sigmas))
    assert (result.flags[2] & ~ShapeFlag.NO_EPOCH & ~ShapeFlag.NOT_ATTEMPTED).all()
    others = np.arange(6) != 2
    np.testing.assert_array_equal(result.pars[others], noisy.pars[others])


def test_one_bad_epoch_leaves_the_other(scene):
    images = scene.images.copy()
    images[3, 1] = np.nan
    result = fit(replace(scene, images=images), noise="none")
    assert result.good[3]
    assert result.epoch_flags[3, 1] == ShapeFlag.BAD_INPUT
    assert result.weight[3, 1] == 0
    alone = fit(scene, noise="none", valid=np.arange(2) < np.array([2, 2, 2, 1, 2, 2])[:, None])
    np.testing.assert_array_equal(result.pars[3], alone.pars[3])


@pytest.mark.parametrize("given", ["masks", "weights"])
def test_an_epoch_without_a_good_pixel_is_flagged(scene, given):
    masks = np.zeros(scene.images.shape, bool)
    masks[1] = True
    masks[3, 1] = True
    choice = {"masks": masks} if given == "masks" else {"weights": (~masks).astype(np.float32)}
    result = fit(scene, noise="none", **choice)
    assert (result.flags[1] == ShapeFlag.NO_EPOCH | ShapeFlag.BAD_INPUT).all()
    assert np.isnan(result.pars[1]).all()
    assert (result.epoch_flags[1] == ShapeFlag.BAD_INPUT).all()
    assert result.good[3]
    assert result.epoch_flags[3, 1] == ShapeFlag.BAD_INPUT
    alone = fit(scene, noise="none", valid=np.arange(2) < np.array([2, 2, 2, 1, 2, 2])[:, None])
    np.testing.assert_array_equal(result.pars[3], alone.pars[3])


def test_garbage_never_raises_nor_takes_long():
    rng = np.random.default_rng(0)
    shape = (40, 2, 25, 25)
    started = time.process_time()
    for largest in (1.0, 5.0, 30.0):
        images = 10.0 ** rng.uniform(-largest, largest, shape) * rng.choice([-1, 1], shape)
        psfs = 10.0 ** rng.uniform(-largest, 0, shape)
        jacobians = rng.standard_normal((40, 2, 2, 2)) * 10 ** rng.uniform(-9, 9, (40, 2, 1, 1))
        sigmas = 10.0 ** rng.uniform(-largest, largest, (40, 2))
        for target in ("azgauss", "gauss", "fitgauss"):
            result = metacal_fit(
                images, psfs, jacobians, sigmas, seed=1, target=target, moments_fwhm=1.2
            )
            assert ((result.flags & ShapeFlag.NOT_ATTEMPTED) == 0).all()
            assert np.isfinite(result.pars[result.flags == 0]).all()
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize(
    ("jac", "flag"),
    [
        ([[0.2, 0.0], [0.0, 0.04]], ShapeFlag.BAD_INPUT),
        ([[0.0, 0.0], [0.0, 0.0]], ShapeFlag.BAD_INPUT),
        ([[1e-200, 0.0], [0.0, 1e-200]], ShapeFlag.BAD_INPUT),
        ([[-0.2, 0.0], [0.0, 0.2]], 0),
        ([[0.2, 0.0], [0.0, 0.13]], 0),
    ],
)
def test_pixels_must_look_like_pixels(scene, jac, flag):
    jacobians = np.broadcast_to(jac, scene.jacobians.shape)
    result = fit(replace(scene, jacobians=jacobians))
    assert (result.epoch_flags == flag).all()
    assert result.good.all() == (flag == 0)


def test_a_target_as_wide_as_the_stamp_is_refused(scene):
    result = fit(scene, sigma_target=np.full(scene.sigmas.shape, 3.0))
    assert (result.epoch_flags == ShapeFlag.BAD_PSF).all()
    assert (result.flags == ShapeFlag.NO_EPOCH | ShapeFlag.BAD_INPUT).all()


def test_pure_noise_never_raises(scene):
    rng = np.random.default_rng(4)
    noise = (rng.standard_normal(scene.images.shape) * scene.sigmas[:, :, None, None]).astype("f4")
    result = fit(replace(scene, images=noise), moments_fwhm=1.2)
    assert ((result.flags & ShapeFlag.NOT_ATTEMPTED) == 0).all()
    failed = ~result.good
    assert (result.flags[failed] & ShapeFlag.FALLBACK).all()


def test_masked_pixels_are_filled_with_noise(scene, noisy):
    masks = np.zeros(scene.images.shape, np.int32)
    masks[:, :, :5] = 1024
    images = np.where(masks != 0, np.float32(1e6), scene.images)
    masked = fit(replace(scene, images=images), masks=masks)
    assert masked.good.all()
    assert deviation(masked, noisy) < 1.0
    weights = np.where(masks != 0, 0, scene.sigmas[:, :, None, None] ** -2)
    weighted = metacal_fit(images, scene.psfs, scene.jacobians, None, seed=1, weights=weights)
    np.testing.assert_allclose(weighted.pars, masked.pars, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(masked.weight, noisy.weight * 46 / 51)


def test_masked_light_is_replaced_by_what_is_expected():
    scene = make_scene(objects=20, epochs=2, snr=300)
    complete = fit(scene, noise="none")
    masks = np.random.default_rng(6).uniform(size=scene.images.shape) < 0.01
    masks[:, 0, 25, 25] = True  # the brightest pixel of one epoch
    images = np.where(masks, np.float32(np.nan), scene.images)
    damaged = replace(scene, images=images)
    change = {}
    for fill in ("noise", "model"):
        result = fit(damaged, noise="none", masks=masks, fill=fill)
        assert result.good.all()
        change[fill] = np.abs(result.pars - complete.pars)[:, 0].mean(axis=0)
    # shapes, sizes and fluxes are far closer to those of complete stamps
    assert (change["model"][2:] < 0.25 * change["noise"][2:]).all()
    # nothing happens where nothing is masked
    none = fit(scene, noise="none", masks=np.zeros_like(masks))
    np.testing.assert_array_equal(none.pars, complete.pars)


def test_moments_take_over_when_a_fit_fails(scene):
    result = fit(scene, max_iterations=1, moments_fwhm=1.2)
    assert (result.flags & ShapeFlag.FALLBACK).all()
    assert (result.flags & ShapeFlag.MAX_ITERATIONS).any()
    complete = fit(scene)
    # weighted moments are rounder, but see the same ellipticity
    ratio = (result.shapes * complete.shapes).sum() / (complete.shapes**2).sum()
    assert 0.2 < ratio < 1.0
    assert (result.response[:, 0, 0] > 0.1).all()
    assert np.isfinite(result.errors[:, :, 2:]).all()


def test_errors_of_the_moments_are_those_of_the_noise():
    scene = make_scene(objects=1, epochs=2, side=41, snr=1e9)
    rng = np.random.default_rng(8)
    sigma = float(np.sqrt((scene.images[0].astype(float) ** 2).sum())) / 30
    draws = 300
    images = scene.images + (sigma * rng.standard_normal((draws, 2, 41, 41))).astype("f4")
    result = metacal_fit(
        images, np.repeat(scene.psfs, draws, axis=0), np.repeat(scene.jacobians, draws, axis=0),
        sigma, seed=1, max_iterations=1, moments_fwhm=1.2,
    )  # fmt: skip
    scatter = result.pars[:, 0, 2:].std(axis=0)
    np.testing.assert_allclose(result.errors[:, 0, 2:].mean(axis=0), scatter, rtol=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 1, 20, 21))}, "square"),
        ({"images": np.zeros((2, 1, 5, 5))}, "too small"),
        ({"psfs": np.zeros((2, 1, 21))}, "PSF stamps must be square"),
        ({"psfs": np.zeros((2, 2, 21, 21))}, "needs its PSF"),
        ({"jacobians": np.zeros((2, 1, 2))}, "jacobians: wrong shape"),
        ({"sigmas": None}, "noise is unknown"),
        ({"seed": np.arange(2)}, "one seed per object"),
        ({"valid": np.ones(2, bool)}, "valid: wrong shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    arguments = {
        "images": np.zeros((2, 1, 21, 21)),
        "psfs": np.zeros((2, 1, 21, 21)),
        "jacobians": np.zeros((2, 1, 2, 2)),
        "sigmas": np.ones((2, 1)),
        "seed": 1,
    } | change
    with pytest.raises(DataError, match=message):
        metacal_fit(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": "mim"}, "Did you mean 'min'"),
        ({"target": "gaussian"}, "Did you mean"),
        ({"step": 0.0}, "above 0"),
        ({"step": 0.2}, "0 to 0.1"),
    ],
)
def test_choices_that_are_not_allowed_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        FitOptions(**change)


def test_transforms_between_modes_are_exact():
    from purepipe.shapes import noise_nb

    transform_at, unfold = entry(noise_nb.transform_at), entry(noise_nb.unfold)
    from purepipe.shapes.transforms import dense_transforms, lattice_period

    rng = np.random.default_rng(3)
    images = rng.standard_normal((1, 25, 25)).astype(np.float32)
    period, modes = lattice_period(25), 12
    dense, _, taps = dense_transforms(images, images, period, modes)
    side = dense.shape[1] - 1
    re, im = np.empty((2, side, side))
    unfold(dense[0], re, im)
    pixels = np.arange(25) - 12
    for kx, ky in rng.uniform(-11, 11, (20, 2)):
        a, b = transform_at(re, im, 2 * kx, 2 * ky, taps)
        wave_x, wave_y = (np.exp(-2j * np.pi / period * k * pixels) for k in (kx, ky))
        expected = wave_y @ images[0] @ wave_x
        assert abs(a + 1j * b - expected) < 2e-4  # of a transform of size 25
    empty = dense_transforms(images[:0], images, period, modes)
    assert [array.size for array in empty] == [0, 0, 0]


def test_rotated_noise_of_large_shears_stays_within_its_tables(scene):
    oblong = scene.jacobians @ np.diag([1.3, 0.8])
    result = fit(replace(scene, jacobians=oblong), noise="rot90", step=0.1)
    assert ((result.flags & ShapeFlag.NOT_ATTEMPTED) == 0).all()
    assert np.isfinite(result.pars[result.flags == 0]).all()


@pytest.mark.parametrize("culprit", ["saturated", "off-centre psf", "border", "hopeless"])
def test_objects_that_cannot_be_measured_well_keep_their_rows(scene, noisy, culprit):
    images, psfs = scene.images.copy(), scene.psfs.copy()
    masks = np.zeros(images.shape, bool)
    if culprit == "saturated":  # the core is masked, its pixels hold the well's depth
        masks[2, :, 22:29, 22:29] = True
        images[2][masks[2]] = 1e5
    elif culprit == "border":  # a third of the stamp is off the detector
        masks[2, :, :, :16] = True
        images[2][masks[2]] = np.nan
    elif culprit == "hopeless":
        images[2] *= np.float32(1e-3)
        images[2] += 10 * scene.sigmas[2, 0] * np.random.default_rng(1).standard_normal((2, 51, 51))
    else:
        psfs[2] = np.roll(psfs[2], 7, axis=-1)
    result = fit(replace(scene, images=images, psfs=psfs), masks=masks, moments_fwhm=1.2)
    assert np.isfinite(result.pars[2][result.flags[2] == 0]).all()
    assert ((result.flags[2] & ShapeFlag.NOT_ATTEMPTED) == 0).all()
    others = np.arange(6) != 2
    np.testing.assert_array_equal(result.pars[others], noisy.pars[others])
    if culprit == "off-centre psf":
        # the galaxy lies seven pixels from where the PSF puts it: nothing that looks well
        assert not result.good[2] or abs(result.pars[2, 0, 0]) > 0.5
    if culprit == "border":
        shift = np.abs(result.shapes[2, 0] - noisy.shapes[2, 0])
        assert (shift < 4 * noisy.errors[2, 0, 2:4]).all()
