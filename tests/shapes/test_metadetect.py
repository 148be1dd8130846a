"""Metadetection on cells: transfer functions, peaks, noise levels, recovered shear."""

import numpy as np
import pytest

from purepipe.errors import DataError, NothingToDo
from purepipe.shapes import cell_sums, cell_transfer, metadetect, metadetect_nb, metadetect_shear
from purepipe.shapes.cells import cell_images
from purepipe.shapes.metadetect import _taps
from tests.entry import entry

interpolate = entry(metadetect_nb.interpolate)
lattice_maxima = entry(metadetect_nb.lattice_maxima)

SCALE = 0.2
JAC = SCALE * np.eye(2)
SIDE = 180


def moffat():
    import galsim

    psf = galsim.Moffat(3.5, fwhm=0.75).shear(g1=0.03, g2=0.0)
    return psf, psf.drawImage(nx=53, ny=53, scale=SCALE).array


@pytest.fixture(scope="module")
def psf():
    return moffat()


def draw_cell(psf, galaxies, gamma, side=SIDE):
    """Exponential galaxies (x, y, radius, g1, g2, flux), positions and shapes sheared together."""
    import galsim

    shear = galsim.Shear(g1=gamma[0], g2=gamma[1])
    image = galsim.Image(side, side, scale=SCALE)
    fast = galsim.GSParams(folding_threshold=2e-3, maxk_threshold=5e-4)
    for x, y, radius, g1, g2, flux in galaxies:
        profile = galsim.Exponential(half_light_radius=radius, flux=flux, gsparams=fast)
        place = shear.getMatrix() @ (SCALE * np.array([x, y]))
        profile = profile.shear(g1=g1, g2=g2).shear(shear).shift(*place)
        galsim.Convolve(profile, psf, gsparams=fast).drawImage(image=image, add_to_image=True)
    return image.array


def grid_of_pairs(seed=2):
    """Isolated galaxies away from the edges; for each, one turned by 90 degrees."""
    rng = np.random.default_rng(seed)
    galaxies = []
    for k, (x, y) in enumerate((x, y) for x in (-45, 0, 45) for y in (-45, 0, 45)):
        g = rng.normal(0, 0.15, 2) if k % 2 == 0 else -g  # noqa: F821
        radius = rng.uniform(0.4, 0.8) if k % 2 == 0 else radius  # noqa: F821
        dx, dy = rng.uniform(-0.5, 0.5, 2)
        galaxies.append((x + dx, y + dy, radius, *g, 1000.0))
    return galaxies[:8]


def test_the_interpolant_and_its_derivatives_are_those_of_the_function():
    y, x = np.mgrid[:40, :40].astype(float)
    waves = [(0.9, 0.4, 0.3), (-1.2, 0.8, 1.0), (0.2, -1.5, 2.0)]

    def derivative(px, py, i, j):
        total = 0.0
        for kx, ky, phase in waves:
            order = i + j
            angle = kx * px + ky * py + phase + order * np.pi / 2
            total = total + kx**i * ky**j * np.sin(angle)
        return total

    image = derivative(x, y, 0, 0).astype(np.float32)
    out = np.empty(6)
    for px, py in ((20.0, 20.0), (17.37, 21.81), (19.999, 18.001)):
        interpolate(image, px, py, _taps(), out)
        orders = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
        expected = [derivative(px, py, i, j) for i, j in orders]
        np.testing.assert_allclose(out, expected, rtol=3e-3, atol=2e-3)


def test_maxima_are_found_once_even_on_plateaus():
    image = np.zeros((30, 30), np.float32)
    image[10, 10] = image[10, 11] = 5
    image[20, 15] = 3
    image[2, 2] = 9
    places = np.empty((10, 2), np.int64)
    assert lattice_maxima(image, 1.0, 8, places) == 2
    np.testing.assert_array_equal(places[:2], [[10, 10], [15, 20]])
    assert lattice_maxima(image, 1.0, 8, places[:1]) == 1


def test_noise_levels_are_those_measured(psf):
    transfer = cell_transfer(psf[1], JAC, 2.0, (256, 240))
    rng = np.random.default_rng(1)
    peak, flux = [], []
    pixels = np.mgrid[-128:128, -120:120] * SCALE
    weight = np.exp(-0.5 * (pixels**2).sum(axis=0) / transfer.variance_weight)
    for seed in range(3):
        noise = 2.0 * rng.standard_normal((256, 240))
        measurement, detection = cell_images(noise, transfer, seed=seed)
        peak.append((detection**2).mean(axis=(1, 2)))
        spectrum = np.fft.rfft2(measurement) * np.fft.rfft2(np.fft.ifftshift(weight))
        flux.append((np.fft.irfft2(spectrum, s=(256, 240)) ** 2).mean(axis=(1, 2)))
    np.testing.assert_allclose(np.sqrt(np.mean(peak, axis=0)), transfer.rms_peak, rtol=0.02)
    np.testing.assert_allclose(np.sqrt(np.mean(flux, axis=0)), transfer.rms_flux, rtol=0.04)


def test_isolated_galaxies_are_found_where_they_are(psf):
    galaxies = grid_of_pairs()
    image = draw_cell(psf[0], galaxies, (0.0, 0.0))
    transfer = cell_transfer(psf[1], JAC, 0.1, image.shape)
    catalogues = metadetect(image, transfer, seed=1)
    truth = np.array([galaxy[:2] for galaxy in galaxies]) + (SIDE - 1) / 2
    for catalogue in catalogues:  # unsheared positions: the same for all types
        bright = catalogue.weight > 0.5
        assert bright.sum() == len(galaxies)
        found = np.stack([catalogue.x[bright], catalogue.y[bright]], axis=1)
        distance = np.abs(found[:, None] - truth[None]).sum(axis=2).min(axis=1)
        assert distance.max() < 0.05


@pytest.mark.parametrize("component", [0, 1])
def test_the_shear_of_isolated_galaxies_is_recovered(psf, component):
    galaxies = grid_of_pairs()
    estimates = []
    for sign in (1, -1):
        gamma = np.zeros(2)
        gamma[component] = 0.02 * sign
        image = draw_cell(psf[0], galaxies, gamma)
        transfer = cell_transfer(psf[1], JAC, 0.02, image.shape)
        sums = cell_sums(metadetect(image, transfer, seed=1))
        estimates.append((sums, metadetect_shear(sums[None]).g))
    shear = 0.5 * (estimates[0][1] - estimates[1][1])
    assert shear[component] == pytest.approx(0.02, rel=3e-3)
    assert abs(shear[1 - component]) < 1e-4


def test_the_margin_hides_the_edges(psf):
    rng = np.random.default_rng(4)
    galaxies = [(*rng.uniform(-110, 110, 2), 0.5, 0.1, 0.0, 800.0) for _ in range(60)]
    large = draw_cell(psf[0], galaxies, (0.0, 0.0), side=256)
    large = large + 0.3 * rng.standard_normal(large.shape)
    small = large[50:206, 50:206]
    out = []
    for image in (large, small):
        transfer = cell_transfer(psf[1], JAC, 0.3, image.shape, add_noise=False)
        out.append(metadetect(image, transfer, seed=1, margin=22)[1])
    whole, cut = out
    bright = cut.s2n > 15
    assert bright.sum() > 5
    for x, y, e1, s2n in zip(
        cut.x[bright], cut.y[bright], cut.e1[bright], cut.s2n[bright], strict=True
    ):
        near = np.hypot(whole.x - x - 50, whole.y - y - 50)
        match = near.argmin()
        assert near[match] < 0.01
        assert whole.e1[match] == pytest.approx(e1, abs=1e-3)
        assert whole.s2n[match] == pytest.approx(s2n, rel=1e-2)


def test_results_repeat_and_flip_with_the_noise(psf):
    image = draw_cell(psf[0], grid_of_pairs(), (0.0, 0.0))
    transfer = cell_transfer(psf[1], JAC, 1.0, image.shape)
    first, second = (metadetect(image, transfer, seed=1, cell="a")[2] for _ in range(2))
    np.testing.assert_array_equal(first.e1, second.e1)
    zero = np.zeros_like(image)
    plus = cell_images(zero, transfer, seed=1)[0]
    minus = cell_images(zero, transfer, seed=1, flip_noise=True)[0]
    np.testing.assert_allclose(plus, -minus, atol=1e-6)
    assert not np.allclose(plus, cell_images(zero, transfer, seed=1, cell=2)[0])


def test_bad_input_is_refused(psf):
    with pytest.raises(DataError, match="odd and square"):
        cell_transfer(psf[1][:, 1:], JAC, 1.0, (64, 64))
    with pytest.raises(DataError, match="smaller than the cell"):
        cell_transfer(psf[1], JAC, 1.0, (40, 64))
    with pytest.raises(DataError, match="positive sum"):
        cell_transfer(-psf[1], JAC, 1.0, (64, 64))
    transfer = cell_transfer(psf[1], JAC, 1.0, (64, 64))
    with pytest.raises(DataError, match="finite pixels"):
        metadetect(np.full((64, 64), np.nan), transfer, seed=1)
    with pytest.raises(NothingToDo, match="no detection"):
        metadetect_shear(np.zeros((3, 5, 3)))
    empty = metadetect(np.zeros((64, 64)), transfer, seed=1)
    assert len(empty) == 5
    assert cell_sums(empty).shape == (5, 3)


def test_two_epochs_are_as_good_as_one_deeper_image(psf):
    image = draw_cell(psf[0], grid_of_pairs(), (0.0, 0.0))
    one = cell_transfer(psf[1], JAC, 0.1, image.shape)
    two = cell_transfer(
        np.stack([psf[1], psf[1]]), JAC, np.full(2, 0.1 * np.sqrt(2)), image.shape
    )  # fmt: skip
    assert two.rms_flux == pytest.approx(one.rms_flux, rel=1e-6)
    single = metadetect(image, one, seed=1)[1]
    double = metadetect(np.stack([image, image]), two, seed=1)[1]
    np.testing.assert_allclose(double.e1, single.e1, atol=1e-4)
    np.testing.assert_allclose(double.flux, single.flux, rtol=1e-4)


def test_an_epoch_may_be_moved_by_a_fraction_of_a_pixel(psf):
    image = draw_cell(psf[0], grid_of_pairs(), (0.0, 0.0))
    kx, ky = np.meshgrid(2 * np.pi * np.fft.rfftfreq(SIDE), 2 * np.pi * np.fft.fftfreq(SIDE))
    phase = np.exp(-1j * (kx * 0.3 - ky * 0.2))
    moved = np.fft.irfft2(np.fft.rfft2(image) * phase, s=image.shape)
    stamps, offsets = np.stack([psf[1], psf[1]]), [[0.0, 0.0], [0.3, -0.2]]
    transfer = cell_transfer(stamps, JAC, [0.1, 0.2], image.shape, offsets=offsets)
    still = metadetect(image, cell_transfer(psf[1], JAC, 0.1, image.shape), seed=1)[0]
    both = metadetect(np.stack([image, moved]), transfer, seed=1)[0]
    bright = still.s2n > 20
    assert bright.sum() == (both.s2n > 20).sum() == 8
    np.testing.assert_allclose(both.x[both.s2n > 20], still.x[bright], atol=0.02)


def test_masked_pixels_come_from_other_epochs_or_hide_what_is_near(psf):
    image = draw_cell(psf[0], grid_of_pairs(), (0.0, 0.0))
    noise = 0.2 * np.random.default_rng(1).standard_normal((2, SIDE, SIDE))
    transfer = cell_transfer(np.stack([psf[1]] * 2), JAC, [0.2, 0.2], image.shape)
    whole = metadetect(image + noise, transfer, seed=1)[2]
    masks = np.random.default_rng(2).uniform(size=noise.shape) < 0.005
    masks &= ~masks[::-1]
    damaged = np.where(masks, np.nan, image + noise)
    repaired = metadetect(damaged, transfer, seed=1, masks=masks)[2]
    bright, same = whole.weight > 0.5, repaired.weight > 0.5
    assert bright.sum() == same.sum()
    np.testing.assert_allclose(repaired.e1[same], whole.e1[bright], atol=0.02)
    # a saturated star in both epochs: nothing is left near it, all else is as before
    y, x = np.mgrid[:SIDE, :SIDE]
    star = np.hypot(x - whole.x[bright][0], y - whole.y[bright][0]) < 6
    masks = np.stack([star, star])
    blind = metadetect(np.where(masks, np.nan, image + noise), transfer, seed=1, masks=masks)[2]
    assert (blind.weight > 0.5).sum() == bright.sum() - 1
    near = np.hypot(blind.x - whole.x[bright][0], blind.y - whole.y[bright][0])
    assert near.min() > 17


def test_positions_of_the_unsheared_image_serve_all_types(psf):
    image = draw_cell(psf[0], grid_of_pairs(), (0.0, 0.0))
    transfer = cell_transfer(psf[1], JAC, 0.1, image.shape)
    catalogues = metadetect(image, transfer, seed=1, redetect=False)
    own = metadetect(image, transfer, seed=1)
    for fixed in catalogues:
        np.testing.assert_array_equal(fixed.x, catalogues[0].x)
        np.testing.assert_array_equal(fixed.sharpness, catalogues[0].sharpness)
    np.testing.assert_array_equal(catalogues[0].e1, own[0].e1)
    assert not np.array_equal(catalogues[1].e1, catalogues[0].e1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jacobian": np.zeros((2, 2))}, "singular"),
        ({"jacobian": np.full((2, 2), np.nan)}, "singular"),
        ({"jacobian": np.eye(3)}, "jacobian: wrong shape"),
        ({"sigma": 0.0}, "needs its noise"),
        ({"sigma": [1.0, 1.0]}, "needs its noise"),
        ({"sigma": np.nan}, "needs its noise"),
        ({"offsets": [[0.0, 0.0], [0.1, 0.1]]}, "offsets: wrong shape"),
    ],
)
def test_epochs_of_cells_must_belong_together(psf, change, message):
    arguments = {"jacobian": JAC, "sigma": 1.0} | change
    with pytest.raises(DataError, match=message):
        cell_transfer(psf[1], shape=(64, 64), **arguments)


def test_masks_must_fit(psf):
    transfer = cell_transfer(psf[1], JAC, 1.0, (64, 64))
    with pytest.raises(DataError, match="masks do not fit"):
        metadetect(np.zeros((64, 64)), transfer, seed=1, masks=np.zeros((2, 64, 64)))
    hidden = metadetect(np.full((64, 64), np.nan), transfer, seed=1, masks=np.ones((64, 64)))
    assert all(len(catalogue) == 0 for catalogue in hidden)
