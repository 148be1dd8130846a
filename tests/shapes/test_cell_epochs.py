"""Cells cut from rotated and distorted exposures: pixels, PSF, noise, masks."""

import math

import numpy as np
import pytest

from purepipe.errors import DataError
from purepipe.shapes.cell_epochs import CellEpoch, gather_cell, pixel_noise, tile_cells
from purepipe.shapes.cells import cell_transfer
from purepipe.shapes.metadetect import cell_sums, metadetect, metadetect_shear

from .exposures import JAC, SCALE, SIDE, SIGMA, gaussian, make_epoch, turned


@pytest.fixture(scope="module")
def area():
    return tile_cells((400, 300), SIDE, 20)[1][1]


SOURCES = [(120.3, 130.8, 2.4, 900.0), (150.0, 110.0, 3.0, 500.0), (110.2, 160.4, SIGMA, 300.0)]


def test_cells_cover_the_tile_once():
    cells = [cell for row in tile_cells((400, 300), 128, 20) for cell in row]
    seen = np.zeros((400, 300), int)
    for cell in cells:
        x0, x1, y0, y1 = (math.ceil(edge) for edge in cell.unique)
        seen[y0:y1, x0:x1] += 1
        assert cell.x0 + 20 <= x0
        assert x1 <= cell.x0 + 128 - 20
    assert (seen == 1).all()
    assert [cell.number for cell in cells] == list(range(20))


def test_a_turned_exposure_shows_the_same_sky(area):
    cell = gather_cell(area, [make_epoch(area, SOURCES, noise=1e-4)], JAC)
    y, x = np.mgrid[:SIDE, :SIDE] + np.array([area.y0, area.x0])[:, None, None]
    # surface brightness times the area of a pixel: the flux stays
    expected = sum(gaussian(x, y, *source) for source in SOURCES)
    np.testing.assert_allclose(cell.images[0], expected, atol=3e-4 * expected.max())
    assert not cell.masks.any()
    stamp = np.arange(41) - 20
    psf = gaussian(stamp[None, :], stamp[:, None], 0, 0, SIGMA, 1.0)
    np.testing.assert_allclose(cell.psfs[0], psf, atol=3e-4 * psf.max())


def test_noise_is_measured_and_stays_white_below_the_cut(area):
    epoch = make_epoch(area, SOURCES, noise=3.0, seed=4)
    assert pixel_noise(epoch.image, epoch.bad) == pytest.approx(3.0, rel=0.02)
    empty = [make_epoch(area, [], noise=3.0, seed=seed) for seed in range(8)]
    cell = gather_cell(area, empty, JAC)
    power = (np.abs(np.fft.fft2(cell.images)) ** 2).mean(axis=0) / SIDE**2
    k = 2 * np.pi * np.fft.fftfreq(SIDE)
    radius = np.hypot(*np.meshgrid(k, k))
    expected = np.mean(cell.sigmas) ** 2
    for low, high in ((0.1, 0.7), (0.7, 1.3), (1.3, 1.8)):
        ring = (radius > low) & (radius < high)
        assert power[ring].mean() == pytest.approx(expected, rel=0.04)


def test_few_pixels_or_none_leave_the_noise_unknown():
    image = np.ones((50, 50), np.float32)
    assert math.isnan(pixel_noise(image, np.ones(image.shape, bool)))
    assert math.isnan(pixel_noise(image[:5, :5], np.zeros((5, 5), bool)))


def test_bad_pixels_mark_their_surroundings_and_nothing_else(area):
    epoch = make_epoch(area, SOURCES, noise=1e-3)
    clean = gather_cell(area, [epoch], JAC)
    image, bad = epoch.image.copy(), epoch.bad.copy()
    image[100, 100], bad[100, 100] = 1e6, True
    image[80, 120] = np.nan
    hurt = CellEpoch(image, bad, epoch.psf, epoch.jacobian, epoch.x, epoch.y)
    cell = gather_cell(area, [hurt], JAC)
    assert 20 <= cell.masks.sum() <= 40
    rest = np.abs(cell.images - clean.images)[~cell.masks]
    assert rest.max() < 2e-3 * clean.images.max()


def test_epochs_that_lack_too_much_are_left_out(area):
    whole, half = make_epoch(area, SOURCES, noise=1.0), make_epoch(area, SOURCES, noise=1.0)
    half.bad[:, :90] = True
    cell = gather_cell(area, [whole, half], JAC)
    assert cell.names == ("epoch 0",)
    assert cell.offered == 2
    both = gather_cell(area, [whole, half], JAC, max_masked=0.9)
    assert len(both.names) == 2
    # what all lack counts for none of them
    whole.bad[:, :90] = True
    assert len(gather_cell(area, [whole, half], JAC).names) == 2


def test_epochs_without_psf_noise_or_place_are_left_out(area):
    good = make_epoch(area, SOURCES, noise=1.0, seed=1)
    values = vars(good)
    bad = [
        CellEpoch(**{**values, "psf": np.full((41, 41), np.nan, np.float32)}),
        CellEpoch(**{**values, "psf": np.zeros((41, 41), np.float32)}),
        CellEpoch(**{**values, "image": np.zeros((200, 200), np.float32)}),
        CellEpoch(**{**values, "x": np.full(36, np.nan)}),
        CellEpoch(**{**values, "bad": np.ones((200, 200), bool)}),
    ]
    cell = gather_cell(area, [*bad, good], JAC)
    assert cell.names == ("epoch 1",)
    assert gather_cell(area, bad, JAC).names == ()
    assert gather_cell(area, [], JAC).images.shape == (0, SIDE, SIDE)


def test_arrays_that_do_not_fit_are_named(area):
    values = vars(make_epoch(area, SOURCES))
    for change, message in (
        ({"bad": np.zeros((3, 3), bool)}, "differ in size"),
        ({"psf": np.ones((4, 4), np.float32)}, "odd, square and smaller"),
        ({"x": np.zeros(4)}, "all nodes"),
    ):
        with pytest.raises(DataError, match=message):
            gather_cell(area, [CellEpoch(**{**values, **change})], JAC)


def test_the_shape_of_a_galaxy_does_not_depend_on_the_turn_of_its_exposures(area):
    sources = [(132.0, 118.5, 3.0, 3000.0)]
    found = []
    for angles in ((0.0, 0.0), (0.3, -1.2)):
        epochs = [
            make_epoch(area, sources, angle=angle, scale=1 + 0.03 * k, noise=0.02, seed=k)
            for k, angle in enumerate(angles)
        ]
        cell = gather_cell(area, epochs, JAC)
        transfer = cell_transfer(cell.psfs, JAC, cell.sigmas, (SIDE, SIDE))
        catalogue = metadetect(cell.images, transfer, seed=1, masks=cell.masks)[0]
        best = int(np.argmax(catalogue.s2n))
        found.append([getattr(catalogue, name)[best] for name in ("x", "y", "e1", "e2", "flux")])
    found = np.array(found)
    np.testing.assert_allclose(found[:, 0] + area.x0, 132.0, atol=5e-3)
    np.testing.assert_allclose(found[:, 1] + area.y0, 118.5, atol=5e-3)
    np.testing.assert_allclose(found[:, 2:4], 0.0, atol=2e-3)
    assert found[1, 4] == pytest.approx(found[0, 4], rel=1e-3)


def draw_turned(area, galaxies, gamma, angle, scale, seed):
    """An exposure, turned and scaled about the cell, of a scene sheared about its middle."""
    import galsim

    size = 200
    jacobian = JAC @ turned(angle, scale)
    wcs = galsim.JacobianWCS(*jacobian.ravel())
    psf = galsim.Moffat(3.5, fwhm=0.75).shear(g1=0.04, g2=-0.02)
    fast = galsim.GSParams(folding_threshold=2e-3, maxk_threshold=5e-4)
    shear = galsim.Shear(g1=gamma[0], g2=gamma[1])
    image = galsim.Image(size, size, wcs=wcs)
    for x, y, radius, g1, g2, flux in galaxies:
        profile = galsim.Exponential(half_light_radius=radius, flux=flux, gsparams=fast)
        place = shear.getMatrix() @ (SCALE * np.array([x, y]))
        profile = profile.shear(g1=g1, g2=g2).shear(shear).shift(*place)
        galsim.Convolve(profile, psf, gsparams=fast).drawImage(image=image, add_to_image=True)
    stamp = psf.drawImage(nx=53, ny=53, wcs=wcs).array
    noise = np.random.default_rng(seed).standard_normal(image.array.shape)
    nodes = np.stack(area.nodes()) - np.array(area.centre)[:, None]
    x, y = np.linalg.inv(turned(angle, scale)) @ nodes + (size - 1) / 2
    return CellEpoch(
        (image.array + 0.02 * noise).astype(np.float32), np.zeros((size, size), bool),
        stamp.astype(np.float32), jacobian, x, y, f"{seed}",
    )  # fmt: skip


def test_the_shear_is_recovered_from_turned_exposures(area):
    rng = np.random.default_rng(5)
    galaxies = []
    for k, (x, y) in enumerate((x, y) for x in (-22, 22) for y in (-22, 22)):
        g = rng.normal(0, 0.15, 2) if k % 2 == 0 else -g  # noqa: F821
        radius = rng.uniform(0.4, 0.7) if k % 2 == 0 else radius  # noqa: F821
        galaxies.append((x + rng.uniform(-0.5, 0.5), y, radius, *g, 1000.0))
    shears = []
    for sign in (1, -1):
        epochs = [
            draw_turned(area, galaxies, (0.02 * sign, -0.01 * sign), angle, scale, seed)
            for seed, (angle, scale) in enumerate(((0.4, 1.0), (-1.9, 0.93), (3.0, 1.05)))
        ]
        cell = gather_cell(area, epochs, JAC)
        assert len(cell.names) == 3
        transfer = cell_transfer(cell.psfs, JAC, cell.sigmas, (SIDE, SIDE))
        sums = cell_sums(metadetect(cell.images, transfer, seed=1, masks=cell.masks))
        shears.append(metadetect_shear(sums[None]).g)
    np.testing.assert_allclose(0.5 * (shears[0] - shears[1]), (0.02, -0.01), atol=6e-5)
