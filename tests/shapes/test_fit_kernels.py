"""The sums, the gradient and the optimiser against plain arithmetic."""

import numpy as np
import pytest

from purepipe.shapes import fit_nb
from purepipe.shapes.fit_nb import Priors, Stack
from purepipe.shapes.profiles import profile_of
from tests.entry import entry

evaluate = entry(fit_nb.evaluate)
make_space = entry(fit_nb.make_space)
mode_sums = entry(fit_nb.mode_sums)
set_frequencies = entry(fit_nb.set_frequencies)

HALF, ROWS, DK = 9, 8, 2 * np.pi / 30


def random_plane(seed=3):
    rng = np.random.default_rng(seed)
    width = (2 * HALF + 8) // 8 * 8
    re, im = np.zeros((2, ROWS, width))
    re[:, : 2 * HALF + 1] = rng.standard_normal((ROWS, 2 * HALF + 1))
    im[:, : 2 * HALF + 1] = rng.standard_normal((ROWS, 2 * HALF + 1))
    return re, im


def naive_sums(re, im, axx, axy, ayy, x, y):
    kx, ky = np.meshgrid((np.arange(2 * HALF + 1) - HALF) * DK, np.arange(ROWS) * DK)
    data = re[:, : 2 * HALF + 1] + 1j * im[:, : 2 * HALF + 1]
    twice = np.where(ky == 0, 1.0, 2.0)
    f = twice * np.exp(-0.5 * (axx * kx**2 + 2 * axy * kx * ky + ayy * ky**2))
    f = f * np.exp(1j * (kx * x + ky * y)) * data
    return np.array(
        [
            f.real.sum(), (kx * f).imag.sum(), (ky * f).imag.sum(),
            (kx * kx * f).real.sum(), (kx * ky * f).real.sum(), (ky * ky * f).real.sum(),
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    "shape",
    [(1.0, 0.3, 1.5), (0.2, -0.1, 0.2), (40.0, 39.0, 40.0), (4e4, 3.99e4, 4e4), (90.0, 0.0, 2.0)],
)
def test_sums_equal_direct_summation(shape):
    re, im = random_plane()
    space = make_space(re.shape[1])
    set_frequencies(space.lines, HALF, DK)
    out = np.empty(6)
    mode_sums(re, im, ROWS, HALF, DK, *shape, 0.7, -1.2, space.lines, out)
    expected = naive_sums(re, im, *shape, 0.7, -1.2)
    np.testing.assert_allclose(out, expected, rtol=1e-10, atol=1e-10)


def stack_of_one(profile="gauss"):
    re, im = random_plane()
    jac = np.array([[[0.2, 0.01], [-0.02, 0.19]]])
    return Stack(
        re[None], im[None], np.array([ROWS]), jac, np.array([0.1]), np.array([4.0]), HALF, DK,
        profile_of(profile),
    )  # fmt: skip


@pytest.mark.parametrize("profile", ["gauss", "exp", "bdf"])
@pytest.mark.parametrize("priors", [Priors(0.0, 0.0), Priors(6.25, 28.0)])
def test_gradient_equals_finite_differences(priors, profile):
    stack = stack_of_one(profile)
    space = make_space(stack.re.shape[2])
    set_frequencies(space.lines, HALF, DK)
    par = np.array([0.05, -0.03, 0.2, -0.1, 0.3, 2.0, 0.4])[: 7 if profile == "bdf" else 6]
    size = len(par)
    force, normal = np.empty(size), np.empty((size, size))
    evaluate(par, stack, priors, space, force, normal)
    expected = np.empty(size)
    for k in range(size):
        chi = []
        for sign in (1, -1):
            moved = par.copy()
            moved[k] += sign * 1e-5
            chi.append(
                evaluate(moved, stack, priors, space, np.empty(size), np.empty(normal.shape))
            )
        expected[k] = -0.5 * (chi[0] - chi[1]) / 2e-5
    np.testing.assert_allclose(force, expected, rtol=1e-6, atol=1e-6)
    assert np.linalg.eigvalsh(normal).min() > 0


def test_impossible_parameters_are_refused():
    stack = stack_of_one()
    space = make_space(stack.re.shape[2])
    set_frequencies(space.lines, HALF, DK)
    for par in ([0, 0, 0.9, 0.5, 0.3, 1], [0, 0, 0, 0, -0.5, 1], [0, 0, np.nan, 0, 0.3, 1]):
        chi = evaluate(
            np.array(par, float), stack, Priors(0.0, 0.0), space, np.empty(6), np.empty((6, 6))
        )
        assert chi == 1e300
