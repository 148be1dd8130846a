"""Responses, selection response, errors, bias."""

import numpy as np
import pytest
from astropy.table import Table

from purepipe.errors import ConfigError, DataError, NothingToDo
from purepipe.shapes import ShearEstimate, bias, calibrate, metacal_fit

TYPES = {
    "NOSHEAR": (0.0, 0.0), "1P": (0.01, 0.0), "1M": (-0.01, 0.0), "2P": (0.0, 0.01),
    "2M": (0.0, -0.01),
}  # fmt: skip


def catalogue(number=20_000, gamma=(0.02, -0.01), response=0.7, leak=0.0, seed=1) -> Table:
    """Shapes that respond linearly; `leak` makes the S/N grow with the applied g1 times shape."""
    rng = np.random.default_rng(seed)
    # pairs of opposite intrinsic shape: no shape noise
    half = rng.normal(0, 0.2, (number // 2, 2))
    intrinsic = np.concatenate([half, -half])
    s2n = np.tile(rng.uniform(5, 50, number // 2), 2)
    size = np.tile(rng.uniform(0.2, 1.0, number // 2), 2)
    table = Table(meta={"SHPSTEP": 0.01})
    for name, shear in TYPES.items():
        total = np.add(gamma, shear)
        table[f"NGMIX_ELL_{name}"] = intrinsic + response * total
        table[f"NGMIX_SNR_{name}"] = s2n * (1 + leak * (intrinsic @ total))
        table[f"NGMIX_T_{name}"] = size
        table[f"NGMIX_Tpsf_{name}"] = np.full(number, 0.5)
        table[f"NGMIX_FLAGS_{name}"] = np.zeros(number, np.int32)
    return table


def test_the_shear_of_a_linear_catalogue_is_exact():
    estimate = calibrate(catalogue())
    np.testing.assert_allclose(estimate.g, [0.02, -0.01], atol=1e-12)
    np.testing.assert_allclose(estimate.response, 0.7 * np.eye(2), atol=1e-12)
    np.testing.assert_allclose(estimate.selection_response, 0, atol=1e-12)
    assert estimate.number == estimate.total == estimate.measured == 20_000


def test_a_selection_that_depends_on_shear_is_corrected():
    table = catalogue(number=400_000, leak=5.0)
    cut = "s2n > 20"
    estimate = calibrate(table, cut=cut)
    assert estimate.selection_response[0, 0] > 0.02
    np.testing.assert_allclose(estimate.g, [0.02, -0.01], atol=4e-4)
    without = np.linalg.solve(estimate.shape_response, estimate.mean_shape)
    assert np.abs(without - [0.02, -0.01]).max() > 1e-3
    # smooth weights need the same correction
    weighted = calibrate(table, weights="s2n**2 / (s2n**2 + 400)")
    np.testing.assert_allclose(weighted.g, [0.02, -0.01], atol=4e-4)
    assert weighted.selection_response[0, 0] > 0.02


def test_functions_and_expressions_cut_alike():
    table = catalogue(leak=1.0)
    text = calibrate(table, cut="s2n > 10 and T/Tpsf > 0.8 and not (s2n >= 45)")
    function = calibrate(
        table, cut=lambda view: (view.s2n > 10) & (view["T"] / view.Tpsf > 0.8) & (view.s2n < 45)
    )
    np.testing.assert_array_equal(text.g, function.g)
    assert text.number == function.number < 20_000


@pytest.mark.parametrize("resampling", ["jackknife", "bootstrap"])
def test_errors_are_those_of_the_scatter(resampling):
    rng = np.random.default_rng(3)
    shears, errors = [], []
    for seed in range(60):
        table = catalogue(number=2000, seed=seed)
        noise = rng.normal(0, 0.25, (2000, 2))
        for name in TYPES:
            table[f"NGMIX_ELL_{name}"] += noise
        estimate = calibrate(table, resampling=resampling, seed=seed)
        shears.append(estimate.g)
        errors.append(estimate.errors)
    # the catalogue's pairs cancel their shape noise, which random groups do not know
    expected = np.hypot(0.25, 0.2) / 0.7 / np.sqrt(2000)
    np.testing.assert_allclose(np.mean(errors, axis=0), expected, rtol=0.06)
    np.testing.assert_allclose(np.std(shears, axis=0), 0.25 / 0.7 / np.sqrt(2000), rtol=0.3)


def test_groups_may_be_given():
    table = catalogue(number=3000)
    labels = np.array(["a", "b", "c"])[np.arange(3000) % 3]
    assert calibrate(table, groups=labels).replicas.shape == (3, 2)
    assert np.isnan(calibrate(table, groups=np.zeros(3000)).cov).all()
    with pytest.raises(DataError, match="one label per object"):
        calibrate(table, groups=labels[:5])
    with pytest.raises(ConfigError, match="from 2"):
        calibrate(table, groups=1)


def test_results_repeat_with_the_seed():
    table = catalogue(number=3000)
    first, second = (calibrate(table, resampling="bootstrap", seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.replicas, second.replicas)


def test_flagged_objects_are_left_out():
    table = catalogue(number=2000)
    table["NGMIX_FLAGS_2P"][::4] = 2
    table["NGMIX_ELL_2P"][::4] = np.nan
    estimate = calibrate(table)
    assert estimate.measured == estimate.number == 1500
    assert np.isfinite(estimate.g).all()


def test_a_metacal_result_can_be_calibrated(scene):
    result = metacal_fit(scene.images, scene.psfs, scene.jacobians, scene.sigmas, seed=1)
    estimate = calibrate(result, cut="s2n > 5 and T_trace > 0 and hypot(g1, g2) < 0.9", groups=3)
    response = result.response.mean(axis=0)
    np.testing.assert_allclose(estimate.shape_response, response)
    mean = np.linalg.solve(estimate.response, result.shapes[:, 0].mean(axis=0))
    np.testing.assert_allclose(estimate.g, mean)


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("MAG_AUTO < 24", "measured for all five types"),
        (lambda view: view["MAG_AUTO"] < 24, "measured for all five types"),
        (lambda view: view.mag_auto < 24, "measured for all five types"),
        (lambda view: True, "one value per object"),
        ("s2n", "must be true or false"),
        ("s2n >", "cut line 1, column 6: a number, a column or a function is needed"),
        ("s2m > 2", "measured for all five types .got s2m.. Did you mean 's2n'"),
        ("__import__('os').system('true')", "(unknown function|unexpected character)"),
        ("s2n.real > 1", "measured for all five types"),
        ("[s2n][0] > 1", "unexpected character"),
        ("NGMIX_ELL > 0.1", "one number per row is needed"),
        ("abs(s2n, 2) > 1", "wrong number of arguments of abs"),
        ("s2n > 1" + " and s2n > 1" * 300, "too long"),
        ("(" * 100 + "s2n > 1" + ")" * 100, "nested too deeply"),
        ("(s2n > 1) - (s2n > 2)", "a comparison cannot be used as a number"),
        ("s2n > 1 or s2n", "join comparisons"),
    ],
)
def test_cuts_that_cannot_be_applied_are_refused(cut, message):
    with pytest.raises(ConfigError, match=message):
        calibrate(catalogue(number=100), cut=cut)


def test_other_choices_are_checked():
    table = catalogue(number=100)
    with pytest.raises(ConfigError, match="Did you mean 'bootstrap'"):
        calibrate(table, resampling="bootstrp")
    with pytest.raises(ConfigError, match="not negative"):
        calibrate(table, weights="s2n - 20")
    with pytest.raises(NothingToDo, match="no object passes"):
        calibrate(table, cut="s2n > 1000")
    with pytest.raises(DataError, match="no shape catalogue"):
        calibrate(Table({"NUMBER": [1, 2]}))


def test_only_measured_objects_count_in_the_median_of_a_cut():
    table = catalogue(number=100)
    whole = calibrate(table, cut="s2n > median(s2n)")
    for name in ("1M", "1P", "2M", "2P", "NOSHEAR"):
        table[f"NGMIX_SNR_{name}"][:3] = np.nan
    table["NGMIX_FLAGS_1P"][:3] = 1
    assert 0 < calibrate(table, cut="s2n > median(s2n)").number <= whole.number
    with pytest.raises(NothingToDo, match="no object passes"):
        calibrate(table, cut="s2n > 1/0")


def test_weights_may_be_any_expression():
    table = catalogue(number=100)
    by_text = calibrate(table, weights="1 / (0.2**2 + hypot(g1, s2n)**2)")
    by_function = calibrate(
        table, weights=lambda view: 1 / (0.04 + view["g1"] ** 2 + view["s2n"] ** 2)
    )
    np.testing.assert_allclose(by_text.g, by_function.g, rtol=1e-12)


def estimate_of(g, error):
    zero = np.zeros((2, 2))
    cov = np.diag(np.square([error, 2 * error]))
    return ShearEstimate(
        np.asarray(g), cov, np.eye(2), np.eye(2), zero, np.asarray(g), 1, 1, 1, np.empty((0, 2))
    )


def test_bias_of_known_shears():
    truths = np.array([[0.02, 0.01], [-0.02, 0.0], [0.0, -0.03], [0.01, 0.02]])
    measured = truths * [1.01, 0.98] + [1e-3, -2e-3]
    result = bias([estimate_of(g, 1e-4) for g in measured], truths)
    np.testing.assert_allclose(result.m, [0.01, -0.02], atol=1e-12)
    np.testing.assert_allclose(result.c, [1e-3, -2e-3], atol=1e-12)
    np.testing.assert_allclose(
        result.m_err[0], 1e-4 / np.sqrt((truths[:, 0] - 0.0025) @ (truths[:, 0] - 0.0025))
    )
    with pytest.raises(DataError, match="two different true shears"):
        bias([estimate_of((0, 0), 1e-4)], [[0.0, 0.0]])
    with pytest.raises(DataError, match="two different true shears"):
        bias([estimate_of((0, 0), 1e-4)] * 2, [[0.01, 0.0], [0.02, 0.0]])
