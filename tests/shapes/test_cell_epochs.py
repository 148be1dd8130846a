"""Cells cut from rotated and distorted exposures: pixels, PSF, noise, masks."""

import math

import numpy as np
import pytest

from purepipe.errors import DataError
from purepipe.shapes.cell_epochs import CellEpoch, gather_cell, pixel_noise, tile_cells
from purepipe.shapes.cells import cell_transfer
from purepipe.shapes.metadetect import metadetect

from .exposures import JAC, SIDE, SIGMA, gaussian, make_epoch


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
