from __future__ import annotations

import galsim
import numpy as np
import pytest
from astropy.wcs import WCS as AstropyWCS  # noqa: N811

from purepipe.shapes.images import shear_matrix
from purepipe.simulate import CameraConfig, SimulateConfig
from purepipe.simulate.draw import local_wcs
from purepipe.simulate.optics import (
    ccd_header,
    ccd_origin,
    ccd_wcs,
    focal_radius,
    pointings,
    tile_wcs,
)
from purepipe.simulate.sky import make_objects
from purepipe.wcs import WCS


def _config(distortion: str, **changes: float) -> SimulateConfig:
    return SimulateConfig.small(ccds=4, camera=CameraConfig(distortion=distortion), **changes)


@pytest.mark.parametrize("distortion", ["sip", "tpv"])
def test_distortion_is_inverted(distortion: str) -> None:
    config = _config(distortion)
    for pointing in pointings(config):
        for ccd in range(4):
            wcs = ccd_wcs(config, pointing, ccd)
            y, x = np.mgrid[-5:645:50, -5:517:40].astype(float)
            back_x, back_y = wcs.sky_to_pixel(*wcs.pixel_to_sky(x, y))
            np.testing.assert_allclose(back_x, x, atol=1e-4)
            np.testing.assert_allclose(back_y, y, atol=1e-4)


def test_both_kinds_of_distortion_are_the_same_and_of_the_configured_size() -> None:
    wcs = {}
    for kind in ("sip", "tpv", "none"):
        config = _config(kind)
        wcs[kind] = ccd_wcs(config, pointings(config)[0], 0)
    x0, y0 = ccd_origin(config, 0)
    assert focal_radius(config) == pytest.approx(np.hypot(x0 - 0.5, y0 - 0.5))
    sip = wcs["none"].sky_to_pixel(*wcs["sip"].pixel_to_sky(0.0, 0.0))
    tpv = wcs["none"].sky_to_pixel(*wcs["tpv"].pixel_to_sky(0.0, 0.0))
    np.testing.assert_allclose(sip, tpv, atol=1e-3)
    assert np.hypot(*sip) == pytest.approx(4.0, rel=0.01)


def test_exposures_alternate_between_sip_and_tpv() -> None:
    config = SimulateConfig.small()
    kinds = [ccd_header(config, pointing, 0)["CTYPE1"] for pointing in pointings(config)]
    assert kinds == ["RA---TAN-SIP", "RA---TPV"]


@pytest.mark.parametrize("distortion", ["sip", "tpv"])
def test_the_jacobian_is_galsims(distortion: str) -> None:
    # GalSim's own local projection of a celestial WCS: u west, v north.
    config = _config(distortion, rotation=20.0)
    header = ccd_header(config, pointings(config)[0], 3)
    oracle = galsim.AstropyWCS(wcs=AstropyWCS(header))
    wcs = WCS.from_header(header, (640, 512))
    for x, y in ((0.0, 0.0), (500.0, 3.0), (100.3, 600.9)):
        theirs = oracle.local(image_pos=galsim.PositionD(x + 1, y + 1)).getMatrix()
        ours = local_wcs(wcs.jacobian(x, y)).getMatrix()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-7)


def test_dithers_leave_no_gap_uncovered_and_half_turns_turn() -> None:
    config = SimulateConfig(rotation=0.0, half_turns=True)
    four = pointings(config)[:4]
    assert [round(item.rotation) for item in four] == [0, 180, 0, 180]
    middle_ra, middle_dec = 150.0, 32.0
    covered = 0
    for item in four:
        for ccd in range(4):
            wcs = ccd_wcs(config, item, ccd)
            x, y = wcs.sky_to_pixel(middle_ra, middle_dec)
            covered += bool(0 < x < 1023 and 0 < y < 1023)
    assert covered >= 1
    separations = [
        np.hypot((item.ra - 150) * np.cos(np.radians(32)), item.dec - 32) for item in four
    ]
    assert min(separations) * 3600 > 0.79 * 15
    assert max(separations) * 3600 < 15.01


def test_ccds_do_not_overlap() -> None:
    config = SimulateConfig(camera=CameraConfig(gap=40, distortion="none"))
    origins = np.array([ccd_origin(config, ccd) for ccd in range(4)])
    np.testing.assert_allclose(origins[1] - origins[0], [1064, 0])
    np.testing.assert_allclose(origins[2] - origins[0], [0, 1064])
    np.testing.assert_allclose(origins.mean(axis=0) + 511.5, 0)


def test_grids_that_follow_the_shear_show_every_object_on_the_same_pixel() -> None:
    config = SimulateConfig(
        fields=2, shears=((0.04, -0.03), (-0.04, 0.03)), shear_grid=True,
        camera=CameraConfig(distortion="sip"),
    )  # fmt: skip
    plus, minus = make_objects(config, 0), make_objects(config, 1)
    moved = 3600 * np.hypot(
        (plus["ra"] - minus["ra"] + config.spacing / np.cos(np.radians(32))) * np.cos(0.56),
        plus["dec"] - minus["dec"],
    )
    assert moved.max() > 5  # arcsec on the sky
    every = pointings(config)
    frames = [(tile_wcs(config, field), objects) for field, objects in enumerate((plus, minus))]
    for (one, here), (other, there) in (
        frames,
        [(ccd_wcs(config, every[1 + 4 * k], 2), objects) for k, (_, objects) in enumerate(frames)],
    ):
        x, y = one.sky_to_pixel(here["ra"], here["dec"])
        again = other.sky_to_pixel(there["ra"], there["dec"])
        near = (np.abs(x - 500) < 1000) & (np.abs(y - 500) < 1000)
        assert near.sum() > 100
        np.testing.assert_allclose(np.array(again)[:, near], [x[near], y[near]], atol=0.02)
    jacobians = [frame.jacobian(1000.0, 1000.0) for frame, _ in frames]
    relative = jacobians[0] @ np.linalg.inv(jacobians[1])
    half = shear_matrix(0.04, -0.03)
    np.testing.assert_allclose(relative, half @ half, atol=1e-5)


def test_tiles_are_north_up_with_east_to_the_left() -> None:
    config = SimulateConfig()
    for field in range(2):
        wcs = tile_wcs(config, field)
        assert wcs.parity == 1
        assert wcs.pixel_scale == pytest.approx(0.187, rel=1e-6)
    gap = tile_wcs(config, 1).pixel_to_sky(999.5, 999.5)[0] - 150.0
    assert gap * np.cos(np.radians(32.0)) == pytest.approx(0.5)
