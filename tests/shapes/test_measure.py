"""The step: one row per object, epoch cuts, noise, columns."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from purepipe.catalogue.columns_shapes import COLUMNS
from purepipe.config.shapes import ShapeConfig
from purepipe.errors import ConfigError, DataError
from purepipe.flags import EpochFlag, ShapeFlag
from purepipe.shapes import half_light_radius, measure_shapes, metacal_fit, shapes_hdus
from purepipe.shapes.measure import prepare_epochs
from purepipe.survey.stamps import EpochStamps

from .scenes import Scene, make_scene

OBJECTS = 5


def epochs_of(scene: Scene, *, scale: float = 1.0) -> EpochStamps:
    """All stamps of a scene as the stamps step delivers them, in ADU of the exposure."""
    nobj, nepoch = scene.images.shape[:2]
    side = scene.images.shape[2]
    npair = nobj * nepoch
    return EpochStamps(
        row=np.repeat(np.arange(nobj), nepoch),
        exposure=np.tile(np.array([f"210000{e}" for e in range(nepoch)]), nobj),
        ccd=np.zeros(npair, np.int32),
        x=np.full(npair, 100.0),
        y=np.full(npair, 200.0),
        flags=np.zeros(npair, np.int32),
        jacobian=scene.jacobians.reshape(-1, 2, 2),
        flux_scale=np.full(npair, scale),
        images=scene.images.reshape(-1, side, side) / np.float32(scale),
        weights=np.ones((npair, side, side), np.float32),
        masks=np.zeros((npair, side, side), np.int32),
        psfs=scene.psfs.reshape(-1, side, side),
        psf_sigma=np.full(npair, 1.7),
    )


def objects_of(number: int) -> Table:
    return Table(
        {
            "NUMBER": np.arange(1, number + 1),
            "XWIN_WORLD": 150.0 + 0.01 * np.arange(number),
            "YWIN_WORLD": 2.0 + 0.01 * np.arange(number),
        }
    )


@pytest.fixture(scope="module")
def stamps() -> EpochStamps:
    return epochs_of(make_scene(objects=OBJECTS, epochs=3, snr=40))


@pytest.fixture(scope="module")
def shapes(stamps) -> Table:
    return measure_shapes(objects_of(OBJECTS), stamps, seed=3)


def changed(stamps: EpochStamps, **changes) -> Table:
    return measure_shapes(objects_of(OBJECTS), replace(stamps, **changes), seed=3)


def assert_others_equal(table: Table, shapes: Table, row: int) -> None:
    others = np.arange(OBJECTS) != row
    for name in table.colnames:
        np.testing.assert_array_equal(table[name][others], shapes[name][others], err_msg=name)


def test_every_registered_column_is_there(shapes):
    assert set(shapes.colnames) == {"NUMBER"} | {column.name for column in COLUMNS}
    assert len(shapes) == OBJECTS
    assert (shapes["NGMIX_MCAL_FLAGS"] == 0).all()
    assert (shapes["NGMIX_N_EPOCH"] == 3).all()
    assert (shapes["NGMIX_FLAGS_EPOCH"] == 0).all()
    for name in shapes.colnames:
        assert np.isfinite(np.asarray(shapes[name], float)).all(), name


def test_values_are_those_of_the_engine():
    scene = make_scene(objects=2, epochs=2, snr=1e5)
    table = measure_shapes(objects_of(2), epochs_of(scene), seed=3)
    result = metacal_fit(scene.images, scene.psfs, scene.jacobians, scene.sigmas, seed=1)
    np.testing.assert_allclose(table["NGMIX_ELL_1P"], result.shapes[:, 1], atol=1e-4)
    np.testing.assert_allclose(table["R11"], result.response[:, 0, 0], atol=5e-3)
    np.testing.assert_allclose(table["NGMIX_FLUX_NOSHEAR"], result.pars[:, 0, 5], rtol=1e-4)
    np.testing.assert_allclose(table["NGMIX_T_TRACE_2M"], result.pars[:, 4, 4], rtol=1e-3)
    magnitude = 30 - 2.5 * np.log10(table["NGMIX_FLUX_NOSHEAR"])
    np.testing.assert_allclose(table["NGMIX_MAG_NOSHEAR"], magnitude)
    sigma = result.sigma_target.mean(axis=1)
    np.testing.assert_allclose(table["NGMIX_Tpsf_1M"], 1.17741 * sigma, rtol=1e-3)


def test_half_light_radius_and_its_error():
    pars = np.array([0, 0, 0.2, -0.3, 0.5, 1.0])
    cov = np.zeros((6, 6))
    cov[2:5, 2:5] = [[4e-4, 1e-4, 0], [1e-4, 3e-4, 2e-4], [0, 2e-4, 9e-4]]
    radius, error = half_light_radius(pars, cov)
    e = 2 * pars[2:4] / (1 + 0.13)
    covariance = 0.25 * np.array([[1 + e[0], e[1]], [e[1], 1 - e[0]]])
    assert radius == pytest.approx(1.17741 * np.linalg.det(covariance) ** 0.25, rel=1e-5)
    draws = np.random.default_rng(1).multivariate_normal(pars, cov, size=200_000)
    assert error == pytest.approx(half_light_radius(draws)[0].std(), rel=0.02)
    assert half_light_radius(pars * [1, 1, 1, 1, -1, 1])[0] == pytest.approx(-radius)


def test_the_noise_is_measured_outside_the_object():
    rng = np.random.default_rng(5)
    for snr in (10, 100, 1000):
        scene = make_scene(objects=1, epochs=1, snr=1e9)
        sigma = np.sqrt((scene.images.astype(float) ** 2).sum()) / snr
        noise = sigma * rng.standard_normal((40, 51, 51))
        many = replace(
            scene,
            images=(scene.images[0] + noise)[:, None].astype(np.float32),
            psfs=np.repeat(scene.psfs, 40, axis=0),
            jacobians=np.repeat(scene.jacobians, 40, axis=0),
        )
        measured = prepare_epochs(epochs_of(many), ShapeConfig(), np.ones(40, np.uint64))[2]
        assert measured.mean() == pytest.approx(sigma, rel=0.03)
        assert measured.std() < 0.06 * sigma


def test_the_flux_scale_is_applied(shapes, stamps):
    table = changed(stamps, images=stamps.images / 2, flux_scale=np.full(len(stamps), 2.0))
    for name in ("NGMIX_FLUX_NOSHEAR", "NGMIX_ELL_1P", "NGMIX_FLUX_ERR_2M"):
        np.testing.assert_allclose(table[name], shapes[name], rtol=1e-6)


@pytest.mark.parametrize("bits", [EpochFlag.NO_PSF, EpochFlag.OFF_IMAGE])
def test_flagged_epochs_are_left_out(shapes, stamps, bits):
    flags = stamps.flags.copy()
    flags[3] = bits
    flags[6:9] = bits
    table = changed(stamps, flags=flags)
    np.testing.assert_array_equal(table["NGMIX_N_EPOCH"], [3, 2, 0, 3, 3])
    np.testing.assert_array_equal(table["NGMIX_FLAGS_EPOCH"], [0, bits, bits, 0, 0])
    assert table["NGMIX_MCAL_FLAGS"][2] == ShapeFlag.NO_EPOCH
    assert np.isnan(table["NGMIX_ELL_NOSHEAR"][2]).all()
    assert np.isnan(table["R11"][2])
    rest = [0, 3, 4]
    np.testing.assert_array_equal(table["NGMIX_ELL_1P"][rest], shapes["NGMIX_ELL_1P"][rest])


def test_objects_without_epochs_have_rows(stamps):
    table = measure_shapes(objects_of(OBJECTS + 3), stamps, seed=3)
    assert len(table) == OBJECTS + 3
    assert (table["NGMIX_MCAL_FLAGS"][OBJECTS:] == ShapeFlag.NO_EPOCH).all()
    empty = measure_shapes(objects_of(4), stamps.select(np.zeros(len(stamps), bool)), seed=3)
    assert (empty["NGMIX_MCAL_FLAGS"] == ShapeFlag.NO_EPOCH).all()
    assert len(measure_shapes(objects_of(0), stamps.select(slice(0, 0)), seed=3)) == 0


@pytest.mark.parametrize(("fraction", "used"), [(0.3, 3), (0.36, 2)])
def test_masked_epochs_are_left_out(shapes, stamps, fraction, used):
    masks = stamps.masks.copy()
    masks[4].flat[: int(fraction * 51 * 51)] = 2
    images = np.where(masks != 0, np.float32(np.nan), stamps.images)
    table = changed(stamps, masks=masks, images=images)
    assert table["NGMIX_N_EPOCH"][1] == used
    assert table["NGMIX_FLAGS_EPOCH"][1] == (0 if used == 3 else EpochFlag.MASKED)
    assert table["NGMIX_MCAL_FLAGS"][1] == 0
    shift = np.abs(table["NGMIX_ELL_NOSHEAR"][1] - shapes["NGMIX_ELL_NOSHEAR"][1])
    assert (shift < 3 * shapes["NGMIX_ELL_ERR_NOSHEAR"][1]).all()
    assert_others_equal(table, shapes, 1)


def test_flags_tell_masks_from_missing_data(stamps):
    masks, weights = stamps.masks.copy(), stamps.weights.copy()
    masks[stamps.row == 1] = 2
    weights[stamps.row == 2] = 0
    table = changed(stamps, masks=masks, weights=weights)
    expected = [0, EpochFlag.MASKED, EpochFlag.NO_DATA, 0, 0]
    np.testing.assert_array_equal(table["NGMIX_FLAGS_EPOCH"], expected)
    np.testing.assert_array_equal(table["NGMIX_N_EPOCH"], [3, 0, 0, 3, 3])


@pytest.mark.parametrize(
    "damage",
    ["nan", "no weight", "no psf", "constant", "huge", "scale", "jacobian", "noise", "negative"],
)
def test_a_hopeless_object_is_flagged_and_hurts_no_other(shapes, stamps, damage):
    names = ("images", "weights", "psfs", "flux_scale", "jacobian")
    arrays = {name: getattr(stamps, name).copy() for name in names}
    mine = stamps.row == 2
    if damage == "nan":
        arrays["images"][mine] = np.nan
    elif damage == "no weight":
        arrays["weights"][mine] = 0
    elif damage == "no psf":
        arrays["psfs"][mine] = 0
    elif damage == "constant":
        arrays["images"][mine] = 7
    elif damage == "huge":
        arrays["images"][mine] *= np.float32(1e30)
    elif damage == "scale":
        arrays["flux_scale"][mine] = np.nan
    elif damage == "jacobian":
        arrays["jacobian"][mine] = 0
    elif damage == "noise":
        noise = np.random.default_rng(1).standard_normal(arrays["images"][mine].shape)
        arrays["images"][mine] = noise.astype(np.float32)
    else:
        arrays["images"][mine] *= -1
    table = changed(stamps, **arrays)
    assert len(table) == OBJECTS
    if damage == "negative":
        assert table["NGMIX_FLUX_NOSHEAR"][2] < 0
    elif damage not in ("noise", "huge"):
        assert table["NGMIX_MCAL_FLAGS"][2] != 0
    assert_others_equal(table, shapes, 2)


def test_neither_threads_nor_blocks_nor_neighbours_change_a_bit(shapes, stamps):
    threaded = measure_shapes(objects_of(OBJECTS), stamps, seed=3, threads=2)
    for name in shapes.colnames:
        np.testing.assert_array_equal(threaded[name], shapes[name])
    part = stamps.select(stamps.row >= 3)
    part = replace(part, row=part.row - 3)
    block = measure_shapes(objects_of(OBJECTS)[3:], part, seed=3)
    for name in shapes.colnames:
        np.testing.assert_array_equal(block[name], shapes[name][3:])


def test_stamps_are_aligned_at_the_object():
    """Two epochs with the object at other places within their central pixels."""
    centred = make_scene(objects=1, epochs=2, side=41, snr=1e9)
    kx = 2 * np.pi * np.fft.fftfreq(41)
    moved = centred.images.copy()
    shifts = np.array([[0.3, -0.2], [-0.4, 0.45]])
    for e, (dx, dy) in enumerate(shifts):
        phase = np.exp(-1j * (kx[None, :] * dx + kx[:, None] * dy))
        moved[0, e] = np.fft.ifft2(np.fft.fft2(centred.images[0, e]) * phase).real
    noise = 0.3 * np.random.default_rng(2).standard_normal(moved.shape).astype(np.float32)
    stamps = epochs_of(replace(centred, images=moved + noise))
    stamps = replace(stamps, x=100 + shifts[:, 0], y=200 + shifts[:, 1])
    still = epochs_of(replace(centred, images=centred.images + noise))
    config = ShapeConfig(noise="none")
    aligned = measure_shapes(objects_of(1), stamps, config, seed=1)
    expected = measure_shapes(objects_of(1), still, config, seed=1)
    np.testing.assert_allclose(
        aligned["NGMIX_ELL_NOSHEAR"], expected["NGMIX_ELL_NOSHEAR"], atol=0.01
    )
    blurred = measure_shapes(
        objects_of(1), stamps, ShapeConfig(noise="none", align_epochs=False), seed=1
    )
    size = expected["NGMIX_T_TRACE_NOSHEAR"][0]
    assert aligned["NGMIX_T_TRACE_NOSHEAR"][0] == pytest.approx(size, rel=0.01)
    assert blurred["NGMIX_T_TRACE_NOSHEAR"][0] > 1.015 * size


@pytest.mark.parametrize("noise", ["none", "double", "rot90"])
def test_every_noise_mode_works(stamps, noise):
    table = measure_shapes(objects_of(OBJECTS), stamps, ShapeConfig(noise=noise), seed=3)
    assert (table["NGMIX_MCAL_FLAGS"] == 0).all()


def test_failed_fits_fall_back_on_moments(stamps):
    table = measure_shapes(objects_of(OBJECTS), stamps, ShapeConfig(max_iterations=1), seed=3)
    assert (table["NGMIX_MCAL_FLAGS"] & ShapeFlag.FALLBACK).all()
    assert (table["NGMIX_MOM_FAIL"] == 1).all()
    assert np.isfinite(table["NGMIX_ELL_NOSHEAR"]).all()
    assert np.isfinite(table["NGMIX_T_ERR_NOSHEAR"]).all()
    config = ShapeConfig(max_iterations=1, moments_fwhm=0.0)
    table = measure_shapes(objects_of(OBJECTS), stamps, config, seed=3)
    assert (table["NGMIX_MOM_FAIL"] == 0).all()
    assert (table["NGMIX_MCAL_FLAGS"] != 0).all()


def test_the_five_tables_of_the_original_file(shapes, stamps):
    flags = stamps.flags.copy()
    flags[:3] = EpochFlag.NO_PSF
    hdus = shapes_hdus(changed(stamps, flags=flags))
    assert list(hdus) == ["1M", "1P", "2M", "2P", "NOSHEAR"]
    names = (
        "id n_epoch_model moments_fail ntry_fit g1_psfo_ngmix g2_psfo_ngmix T_psfo_ngmix "
        "g1_err_psfo_ngmix g2_err_psfo_ngmix T_err_psfo_ngmix g1 g1_err g2 g2_err T T_err Tpsf "
        "g1_psf g2_psf flux flux_err s2n mag mag_err flags mcal_flags T_trace"
    )
    for name, table in hdus.items():
        assert table.colnames == names.split()
        np.testing.assert_array_equal(table["id"], [2, 3, 4, 5])
        np.testing.assert_array_equal(table["g2"], shapes[f"NGMIX_ELL_{name}"][1:, 1])
        for column in table.colnames:
            integer = column in ("n_epoch_model", "ntry_fit", "flags", "mcal_flags")
            kind = np.int32 if column == "id" else np.int64 if integer else np.float64
            assert table[column].dtype == kind, column


def test_what_does_not_belong_together_is_refused(stamps):
    objects = objects_of(OBJECTS)
    with pytest.raises(DataError, match="carry no PSF"):
        measure_shapes(objects, replace(stamps, psfs=None), seed=1)
    with pytest.raises(DataError, match="need a number and a sky position"):
        measure_shapes(objects["NUMBER", "XWIN_WORLD"], stamps, seed=1)
    with pytest.raises(DataError, match="sorted by object"):
        measure_shapes(objects[:3], stamps, seed=1)
    with pytest.raises(DataError, match="sorted by object"):
        measure_shapes(objects, replace(stamps, row=stamps.row[::-1]), seed=1)
    with pytest.raises(DataError, match="square"):
        measure_shapes(objects, replace(stamps, images=stamps.images[:, :20]), seed=1)
    with pytest.raises(ConfigError, match="noise"):
        ShapeConfig(noise="most")


def test_windowed_positions_are_optional(shapes, stamps):
    objects = objects_of(OBJECTS)
    objects.rename_columns(["XWIN_WORLD", "YWIN_WORLD"], ["X_WORLD", "Y_WORLD"])
    table = measure_shapes(objects, stamps, seed=3)
    np.testing.assert_array_equal(table["NGMIX_ELL_1P"], shapes["NGMIX_ELL_1P"])
