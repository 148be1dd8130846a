from __future__ import annotations

import galsim
import numpy as np
import pytest
from numpy.typing import NDArray

from purepipe.errors import DataError
from purepipe.simulate import (
    OBJECT_DTYPE,
    CameraConfig,
    SeeingConfig,
    SimulateConfig,
    StarFieldConfig,
    TruePSF,
    draw_objects,
    simulate_scene,
)
from purepipe.simulate.draw import add_halos, local_wcs, near_image
from purepipe.simulate.optics import ccd_wcs, pointings
from purepipe.simulate.true_psf import moffat, psf_parameters
from purepipe.wcs import WCS


def _wcs(distortion: str = "tpv", **changes: float) -> WCS:
    config = SimulateConfig.small(camera=CameraConfig(distortion=distortion), **changes)
    return ccd_wcs(config, pointings(config)[0], 1)


def _object(wcs: WCS, x: float, y: float, **values: object) -> NDArray[np.void]:
    objects = np.zeros(1, OBJECT_DTYPE)
    objects["ra"], objects["dec"] = wcs.pixel_to_sky(np.array([x]), np.array([y]))
    for name, value in ({"type": "star", "mag": 20.0, "pair": -1} | values).items():
        objects[name] = value
    return objects


def _draw(
    wcs: WCS,
    objects: NDArray[np.void],
    *,
    psf: tuple[float, float, float] = (0.7, 0.0, 0.0),
    noise: float = 20.0,
) -> NDArray[np.float32]:
    arrays = tuple(np.full(len(objects), value) for value in psf)
    return draw_objects(
        wcs.shape, wcs, objects, (arrays[0], arrays[1], arrays[2]), beta=3.5, zero_point=31.5,
        noise=noise,
    )  # fmt: skip


def _moments(image: NDArray[np.float32]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Sum, centroid and matrix of the second moments, unweighted."""
    ny, nx = image.shape
    y, x = np.mgrid[:ny, :nx].astype(float)
    total = float(image.sum(dtype=float))
    cx, cy = (image * x).sum() / total, (image * y).sum() / total
    dx, dy = x - cx, y - cy
    q = np.array([[(image * a * b).sum() / total for a in (dx, dy)] for b in (dx, dy)])
    return total, np.array([cx, cy]), q


@pytest.mark.parametrize("distortion", ["sip", "tpv"])
@pytest.mark.parametrize(("x", "y"), [(200.0, 300.0), (251.37, 320.81), (333.5, 280.49)])
def test_a_star_has_its_flux_at_its_place(distortion: str, x: float, y: float) -> None:
    wcs = _wcs(distortion)
    image = _draw(wcs, _object(wcs, x, y))
    total, centre, _ = _moments(image)
    assert total == pytest.approx(10 ** (0.4 * 11.5), rel=1.5e-3)
    np.testing.assert_allclose(centre, [x, y], atol=0.005)


def test_stamps_agree_with_an_accurate_drawing() -> None:
    wcs = _wcs()
    for values in (
        {"type": "star", "mag": 18.0},
        {"type": "exp", "mag": 22.0, "half_light_radius": 0.4, "g1_intrinsic": 0.3},
        {"type": "dev", "mag": 22.0, "half_light_radius": 0.5, "g2_intrinsic": -0.2},
    ):
        item = _object(wcs, 256.3, 300.8, **values)
        image = _draw(wcs, item, psf=(0.7, 0.02, -0.03))
        psf = moffat(0.7, 0.02, -0.03, 3.5)
        accurate = galsim.GSParams(
            folding_threshold=1e-4, maxk_threshold=1e-5, kvalue_accuracy=1e-7, maximum_fft_size=8192
        )
        radius = float(item["half_light_radius"][0])
        if values["type"] == "exp":
            profile = galsim.Convolve(
                galsim.Exponential(half_light_radius=radius).shear(g1=0.3), psf
            )
        elif values["type"] == "dev":
            galaxy = galsim.DeVaucouleurs(half_light_radius=radius).shear(g2=-0.2)
            profile = galsim.Convolve(galaxy, psf)
        else:
            profile = psf
        profile = profile.withFlux(10 ** (0.4 * (31.5 - float(item["mag"][0])))).withGSParams(
            accurate
        )
        offset = galsim.PositionD(256.3 - 256, 300.8 - 301)
        truth = profile.drawImage(
            nx=101, ny=101, wcs=local_wcs(wcs.jacobian(256.3, 300.8)), offset=offset
        ).array
        difference = image[251:352, 206:307] - truth
        assert np.abs(difference).max() < 1e-3 * truth.max()


@pytest.mark.parametrize("rotation", [0.0, 35.0, 180.0])
def test_shear_follows_the_sky_not_the_detector(rotation: float) -> None:
    # A large round galaxy, sheared: the moments in (u west, v north) give the shear back.
    wcs = _wcs("sip", rotation=rotation)
    g1, g2 = 0.08, -0.05
    item = _object(
        wcs, 256.2, 320.4, type="exp", mag=15.0, half_light_radius=2.0, g1_shear=g1, g2_shear=g2
    )
    image = _draw(wcs, item, psf=(0.4, 0.0, 0.0), noise=0.01)
    jacobian = wcs.jacobian(256.2, 320.4)
    round_one = _object(wcs, 256.2, 320.4, mag=15.0)
    _, _, psf = _moments(_draw(wcs, round_one, psf=(0.4, 0.0, 0.0), noise=0.01))
    _, _, q = _moments(image)
    q = jacobian @ (q - psf) @ jacobian.T
    size = q[0, 0] + q[1, 1]
    chi = complex(q[0, 0] - q[1, 1], 2 * q[0, 1]) / size
    shear = chi / (1 + np.sqrt(1 - abs(chi) ** 2))
    assert shear.real == pytest.approx(g1, abs=1.5e-3)
    assert shear.imag == pytest.approx(g2, abs=1.5e-3)


def test_adaptive_moments_see_intrinsic_shape_and_shear_together() -> None:
    wcs = WCS.from_header(_north_up(), (201, 201))
    intrinsic, shear = galsim.Shear(g1=0.2, g2=0.1), galsim.Shear(g1=0.03, g2=-0.02)
    item = _object(
        wcs, 100.0, 100.0, type="exp", mag=15.0, half_light_radius=2.0,
        g1_intrinsic=0.2, g2_intrinsic=0.1, g1_shear=0.03, g2_shear=-0.02,
    )  # fmt: skip
    image = _draw(wcs, item, psf=(0.4, 0.0, 0.0), noise=0.01)
    measured = galsim.hsm.FindAdaptiveMom(galsim.Image(image.astype(float))).observed_shape
    # The profile is sheared first by its own shape, then by the shear of the field.
    expected = shear + intrinsic
    psf = moffat(0.4, 0, 0, 3.5)
    profile = galsim.Convolve(galsim.Exponential(half_light_radius=2.0).shear(expected), psf)
    reference = profile.drawImage(nx=201, ny=201, scale=0.187, dtype=float).FindAdaptiveMom()
    assert measured.g1 == pytest.approx(reference.observed_shape.g1, abs=3e-4)
    assert measured.g2 == pytest.approx(reference.observed_shape.g2, abs=3e-4)


def _north_up() -> str:
    from astropy.io.fits import Header

    header = Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 150.0, 0.0
    header["CRPIX1"], header["CRPIX2"] = 101.0, 101.0
    header["CD1_1"], header["CD2_2"] = -0.187 / 3600, 0.187 / 3600
    return str(header.tostring())


def test_light_from_beyond_the_edge_enters() -> None:
    wcs = _wcs()
    item = _object(wcs, -3.0, 100.0, mag=17.0)
    near, x, _ = near_image(wcs, item)
    assert len(near) == 1
    assert x[0] == pytest.approx(-3.0, abs=1e-4)
    image = _draw(wcs, item)
    assert image[100, 0] > 100
    assert image[100, 60] == 0


def test_objects_on_the_far_side_are_left_out() -> None:
    wcs = _wcs()
    item = _object(wcs, 10.0, 10.0)
    item["ra"] = (item["ra"] + 180) % 360
    assert len(near_image(wcs, item)[0]) == 0
    assert not _draw(wcs, item).any()


def test_psf_moments_vary_as_configured() -> None:
    config = SimulateConfig.small(
        ccds=1, ccd_size=(800, 800), seeing=SeeingConfig(variation=0.1, ellipticity_variation=0.05),
        camera=CameraConfig(distortion="none"), rotation=0.0,
    )  # fmt: skip
    truth = TruePSF.from_config(config)
    sizes, shapes = [], []
    for x, y in ((50, 50), (400, 400), (750, 750), (750, 50)):
        fwhm, g1, g2 = truth.parameters(2100001, 0, x, y)
        moments = galsim.Image(truth.draw(2100001, 0, x, y)).FindAdaptiveMom()
        reference = galsim.Convolve(moffat(float(fwhm), 0, 0, 3.5), galsim.Pixel(0.187))
        expected = reference.drawImage(
            nx=51, ny=51, scale=0.187, method="no_pixel"
        ).FindAdaptiveMom()
        sizes.append((moments.moments_sigma, expected.moments_sigma))
        shapes.append((moments.observed_shape.g1, g1, moments.observed_shape.g2, g2))
    sizes, shapes = np.array(sizes), np.array(shapes)
    np.testing.assert_allclose(sizes[:, 0], sizes[:, 1], rtol=0.01)
    assert np.ptp(sizes[:, 0]) > 0.02
    # The round pixel dilutes the ellipticity of the profile by a few per cent.
    np.testing.assert_allclose(shapes[:, 0], shapes[:, 1], atol=0.006)
    np.testing.assert_allclose(shapes[:, 2], shapes[:, 3], atol=0.006)


def test_psf_is_smooth_from_ccd_to_ccd_and_differs_between_exposures() -> None:
    config = SimulateConfig(camera=CameraConfig(gap=0))
    first, second = pointings(config)[:2]
    left = psf_parameters(config, first, 0, 1024.0, 500.0)
    right = psf_parameters(config, first, 1, 0.0, 500.0)
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-12)
    assert psf_parameters(config, second, 1, 0.0, 500.0)[0] != right[0]


def test_unknown_exposures_are_named() -> None:
    truth = TruePSF.from_config(SimulateConfig.small())
    with pytest.raises(DataError, match=r"no such exposure.*got 7; allowed: 2100001 to 2100002"):
        truth.at(7, 0, 1.0, 1.0)
    with pytest.raises(DataError, match=r"no such CCD.*got 5; allowed: 0 to 1"):
        truth.at("2100001", 5, 1.0, 1.0)


def test_halos_and_spikes_keep_their_flux_and_extent() -> None:
    config = StarFieldConfig()
    image = np.zeros((801, 801), np.float32)
    add_halos(
        image, np.array([400.0]), np.array([400.0]), np.array([13.8]), config, zero_point=31.5
    )
    flux = 10 ** (0.4 * (31.5 - 13.8))
    expected = flux * (config.halo_fraction + config.spike_fraction)
    assert image.sum(dtype=float) == pytest.approx(expected, rel=1e-3)
    assert image[400, 400 + 70] > 3 * image[430, 400 + 70]  # a spike
    assert image[640, 440] > 0  # halo
    assert image[680, 600] == 0
    faint = np.zeros((101, 101), np.float32)
    add_halos(faint, np.array([50.0]), np.array([50.0]), np.array([16.0]), config, zero_point=31.5)
    assert not faint.any()


def test_scene_checks_its_input() -> None:
    wcs = _wcs()
    with pytest.raises(DataError, match="size of the image is not known"):
        simulate_scene(_object(wcs, 1, 1), WCS(wcs.cards))
    with pytest.raises(DataError, match=r"structured array of OBJECT_DTYPE.*Start from"):
        simulate_scene(np.zeros(3), wcs)


def test_a_star_of_magnitude_21_has_a_signal_to_noise_ratio_of_about_100() -> None:
    wcs = WCS.from_header(_north_up(), (201, 201))
    star = _object(wcs, 100.0, 100.0, mag=21.0)
    camera = CameraConfig(noise=False)
    light = simulate_scene(star, wcs, camera=camera).image - camera.sky
    scene = simulate_scene(star, wcs)
    assert scene.weight is not None
    variance = 1 / scene.weight + np.maximum(light, 0) / camera.gain
    assert np.sqrt((light**2 / variance).sum()) == pytest.approx(100, rel=0.15)
