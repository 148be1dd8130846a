import numpy as np
import pytest

from purepipe.catalogue import build_table
from purepipe.catalogue.columns_shapes import TYPES
from purepipe.config.survey import ShearConfig
from purepipe.errors import NothingToDo
from purepipe.pipeline import compare_metadetections, compare_shear, comparison_lines
from purepipe.pipeline.shear import mean_shear

STEP = 0.01
SHEARS = {"NOSHEAR": (0, 0), "1P": (STEP, 0), "1M": (-STEP, 0), "2P": (0, STEP), "2M": (0, -STEP)}


def catalogue(tile, shear, n=2000, response=0.8, seed=1):
    """A catalogue of shapes with a known response, equal sky for equal seeds."""
    rng = np.random.default_rng(seed)
    intrinsic = rng.normal(0, 0.2, (n, 2))
    columns = {
        "NUMBER": np.arange(1, n + 1), "TILE_ID": tile, "IMAFLAGS_ISO": 0,
        "X_IMAGE": rng.uniform(1, 2000, n), "Y_IMAGE": rng.uniform(1, 2000, n),
    }  # fmt: skip
    for kind in TYPES:
        columns[f"NGMIX_ELL_{kind}"] = intrinsic + response * (np.array(shear) + SHEARS[kind])
        columns[f"NGMIX_SNR_{kind}"] = np.full(n, 20.0)
        columns[f"NGMIX_T_{kind}"] = np.full(n, 0.4)
        columns[f"NGMIX_Tpsf_{kind}"] = np.full(n, 0.4)
        columns[f"NGMIX_FLAGS_{kind}"] = np.zeros(n, np.int32)
    return build_table(columns, rows=n)


def both(seeds=(1, 1)):
    from astropy.table import vstack

    truth = {"000-000": (0.05, -0.03), "001-000": (-0.05, 0.03)}
    tables = [
        catalogue(tile, shear, seed=seed)
        for (tile, shear), seed in zip(truth.items(), seeds, strict=True)
    ]
    return vstack(tables, metadata_conflicts="silent"), truth


def test_the_shear_is_recovered_within_its_error():
    estimate = mean_shear(catalogue("000-000", (0.05, -0.03)), ShearConfig())
    np.testing.assert_allclose(estimate.g, (0.05, -0.03), atol=4 * estimate.errors.max())
    assert estimate.errors[0] == pytest.approx(0.2 / 0.8 / np.sqrt(2000), rel=0.3)


def test_equal_sky_cancels_shape_noise_in_m():
    shared = compare_shear(*both((1, 1)), ShearConfig())
    apart = compare_shear(*both((1, 2)), ShearConfig())
    assert shared.m == pytest.approx((0, 0), abs=1e-9)
    assert max(shared.m_error) < 1e-9
    assert min(apart.m_error) > 0.03
    assert abs(apart.m[0]) < 4 * apart.m_error[0]
    assert apart.c_error[0] == pytest.approx(0.2 / 0.8 / np.sqrt(4000), rel=0.4)


def metadetections(tile, shear, n=1500, response=0.4, seed=1):
    """Detections of a known response; every tenth belongs to a neighbour."""
    rng = np.random.default_rng(seed)
    parts = []
    for applied in SHEARS.values():
        parts.append(rng.normal(0, 0.2, (n, 2)) + response * (np.array(shear) + applied))
        rng = np.random.default_rng(seed)  # the same galaxies in all types
    columns = {
        "TILE_ID": tile, "CELL_ID": np.tile(np.arange(n) // 30, 5),
        "MDET_TYPE": np.repeat(list(SHEARS), n), "MDET_E": np.concatenate(parts),
        "MDET_X": np.tile(rng.uniform(1, 2000, n), 5),
        "MDET_Y": np.tile(rng.uniform(1, 2000, n), 5), "MDET_FLAGS": 0,
        "PRIMARY": np.tile(np.arange(n) % 10 > 0, 5),
    }  # fmt: skip
    for name in ("FLUX", "SNR", "SIZE_RATIO", "SHARPNESS", "PROMINENCE", "WEIGHT"):
        columns[f"MDET_{name}"] = 1.0
    return build_table(columns, rows=5 * n)


def test_metadetections_are_compared_by_patches_of_both_tiles():
    from astropy.table import vstack

    truth = {"000-000": (0.05, -0.03), "001-000": (-0.05, 0.03)}
    tables = [metadetections(tile, shear) for tile, shear in truth.items()]
    found = compare_metadetections(vstack(tables, metadata_conflicts="silent"), truth)
    assert found.m == pytest.approx((0, 0), abs=1e-9)
    assert max(found.m_error) < 1e-9
    assert found.rows[0].objects == 1350
    assert found.rows[0].error[0] == pytest.approx(0.2 / 0.4 / np.sqrt(1350), rel=0.4)
    assert "weights of metadetection" in comparison_lines(found)[-1]
    with pytest.raises(NothingToDo, match="no detection that passes"):
        compare_metadetections(tables[0], truth, cut="s2n > 2")


def test_one_true_shear_gives_no_bias():
    table, truth = both()
    comparison = compare_shear(table, {"000-000": truth["000-000"]}, ShearConfig())
    assert len(comparison.rows) == 1
    assert np.isnan(comparison.m).all()


def test_the_table_fits_a_terminal():
    lines = comparison_lines(compare_shear(*both(), ShearConfig(max_s2n=100.0)))
    assert max(map(len, lines)) <= 80
    assert lines[-1] == (
        "selection: s2n > 10.0 and s2n < 100.0 and T/Tpsf > 0.5 and no masked pixel"
    )


def test_masked_objects_are_left_out():
    table = catalogue("000-000", (0.0, 0.0))
    table["IMAFLAGS_ISO"][:1500] = 2
    assert mean_shear(table, ShearConfig()).number == 500
    assert mean_shear(table, ShearConfig(unmasked=False)).number == 2000
    table["IMAFLAGS_ISO"] = 2
    with pytest.raises(NothingToDo):
        mean_shear(table, ShearConfig())
