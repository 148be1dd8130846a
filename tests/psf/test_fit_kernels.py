"""The fast formulations against naive ones, written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purepipe.config.psf import PSFConfig
from purepipe.psf import polynomial, resample_nb
from purepipe.psf.basis import Grid, edge_taper, fitted_to_grid, free_pixels, gauss_laguerre
from purepipe.psf.normal import RIDGE, _factor, normal_matrix
from purepipe.psf.passes import clipping_limit
from purepipe.psf.problem import choose_polynomial, prepare
from purepipe.psf.resample_nb import resample_stack, tap_width
from purepipe.psf.samples import load_samples
from tests.entry import entry

axis_taps = entry(resample_nb.axis_taps)


def dense(n_in, n_out, shift, step, stretch):
    """Resampling matrix (n_out, n_in)."""
    first, count = np.zeros(n_out, np.int64), np.zeros(n_out, np.int64)
    taps = np.zeros((n_out, tap_width(stretch)))
    axis_taps(n_in, n_out, shift, step, stretch, first, count, taps)
    matrix = np.zeros((n_out, n_in))
    for j in range(n_out):
        matrix[j, first[j] : first[j] + count[j]] = taps[j, : count[j]]
    return matrix


def naive(n_in, n_out, shift, step, stretch):
    """The same from the definition: all inputs, an explicit kernel."""
    matrix = np.zeros((n_out, n_in))
    positions = n_in // 2 + shift + (np.arange(n_out) - n_out // 2) * step
    for j, position in enumerate(positions):
        if 0 <= position <= n_in - 1:
            x = (np.arange(n_in) - position) / stretch
            row = np.where(np.abs(x) <= 3, np.sinc(x) * np.sinc(x / 3), 0)
            matrix[j] = row / row.sum()
    return matrix


@settings(deadline=None, max_examples=60)
@given(st.integers(5, 30), st.integers(1, 40), st.floats(-4, 4), st.floats(0.3, 2.5), st.booleans())
def test_resampling_matrix(n_in, n_out, shift, step, wide):
    stretch = max(step, 1.0) if wide else 1.0
    got, expected = dense(n_in, n_out, shift, step, stretch), naive(
        n_in, n_out, shift, step, stretch
    )  # fmt: skip
    # Rounding decides about a sample that falls on the very edge.
    edge = np.abs((n_in // 2 + shift + (np.arange(n_out) - n_out // 2) * step) % 1) < 1e-9
    np.testing.assert_allclose(got[~edge], expected[~edge], atol=1e-9)


def test_resampling_without_overlap_is_empty():
    assert not dense(10, 5, 30.0, 1.0, 1.0).any()
    assert not dense(10, 5, -30.0, 1.0, 1.0).any()
    assert not dense(10, 5, np.nan, 1.0, 1.0).any()


def test_shift_moves_an_image():
    image = np.zeros((1, 21, 21), np.float32)
    image[0, 10, 10] = 1
    out = np.zeros_like(image)
    resample_stack(image, np.array([-3.0]), np.array([2.0]), 1.0, 1.0, out)
    assert np.unravel_index(out[0].argmax(), (21, 21)) == (8, 13)
    assert out.max() == pytest.approx(1)


@pytest.fixture
def problem(catalogue):
    config = PSFConfig(size=(21, 17), degrees=(1,), basis_number=9)
    samples = load_samples(catalogue(12, 5), config)
    return prepare(samples, config, *choose_polynomial(samples, config))


def test_normal_matrix_equals_dense_products(problem):
    samples, grid, terms = problem.samples, problem.grid, problem.terms
    free = free_pixels(problem.values.mean(axis=0).reshape(grid.shape), grid, 9)
    good = problem.good
    matrix = normal_matrix(free, good, samples.weights, samples.flux, terms, problem.taps)
    nb, nc = len(free), terms.shape[1]
    expected = np.zeros((nb, nc, nb, nc))
    for s in np.flatnonzero(good):
        ry = dense(grid.shape[0], 51, -float(samples.dy[s]), 1.0, 1.0)
        rx = dense(grid.shape[1], 51, -float(samples.dx[s]), 1.0, 1.0)
        design = np.stack([np.outer(ry[:, y], rx[:, x]).ravel() for y, x in free], axis=1)
        weights = samples.weights[s].astype(float).ravel() * float(samples.flux[s]) ** 2
        gram = design.T @ (weights[:, None] * design)
        expected += gram[:, None, :, None] * np.outer(terms[s], terms[s])[None, :, None, :]
    expected = expected.reshape(nb * nc, nb * nc) + RIDGE * np.eye(nb * nc)
    right = np.random.default_rng(1).normal(size=(nb, nc))
    solution = matrix.solve(right)
    np.testing.assert_allclose(
        expected @ solution.ravel(), right.ravel(), atol=1e-6 * np.abs(right).max()
    )


def test_normal_matrix_without_dropped_stars(problem):
    samples, terms = problem.samples, problem.terms
    free = free_pixels(problem.values.mean(axis=0).reshape(problem.grid.shape), problem.grid, 9)
    fixed = (samples.weights, samples.flux, terms, problem.taps)
    everything = normal_matrix(free, problem.good, *fixed)
    fewer = problem.good.copy()
    fewer[np.flatnonzero(fewer)[[1, 4]]] = False
    updated = normal_matrix(free, fewer, *fixed, previous=everything)
    fresh = normal_matrix(free, fewer, *fixed)
    np.testing.assert_allclose(
        updated.sums, fresh.sums, rtol=1e-9, atol=1e-9 * np.abs(fresh.sums).max()
    )
    assert normal_matrix(free, fewer, *fixed, previous=updated) is updated


def test_normal_matrix_that_is_not_positive_has_no_solution(problem):
    from dataclasses import replace

    samples = problem.samples
    free = free_pixels(problem.values.mean(axis=0).reshape(problem.grid.shape), problem.grid, 9)
    matrix = normal_matrix(
        free, problem.good, samples.weights, samples.flux, problem.terms, problem.taps
    )
    broken = replace(matrix, sums=-matrix.sums)
    assert _factor(broken, 3) is None
    assert replace(matrix, factor=None).solve(np.ones((len(free), 3))) is None


@pytest.mark.parametrize(
    ("groups", "degrees", "count"),
    [((1, 1), (2,), 6), ((1, 2), (2, 1), 6), ((1, 1, 2), (2, 3), 24), ((1,), (4,), 5), ((), (), 1)],
)
def test_exponents_are_complete(groups, degrees, count):
    powers = polynomial.exponents(groups, degrees)
    assert len(powers) == count == polynomial.term_count(groups, degrees)
    assert len({tuple(row) for row in powers.tolist()}) == count
    for number, degree in enumerate(degrees, start=1):
        members = [i for i, group in enumerate(groups) if group == number]
        assert powers[:, members].sum(axis=1).max() == degree


def test_order_and_values_of_the_terms():
    powers = polynomial.exponents((1, 1), (2,))
    assert powers.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [0, 2]]
    x, y = 0.3, -0.2
    np.testing.assert_allclose(
        polynomial.evaluate([[x, y]], powers)[0], [1, x, x * x, y, x * y, y * y]
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(10, ((1, 1, 2), (1, 1))), (6, ((1, 1), (1,))), (3, ((), ())), (0, ((), ()))],
)
def test_lowering_starts_with_the_last_group(rows, expected):
    assert polynomial.lowered((1, 1, 2), (1, 1), rows) == expected


def naive_clipping(values):
    """The same loop as a list of plain numbers."""
    kept, low, high, sigma, previous = list(values), -1e30, 1e30, 1e30, 1.0
    rounds = 0
    while sigma >= 0.1 and abs(sigma / previous - 1) > 1e-4 and rounds < 100:
        previous, rounds = sigma, rounds + 1
        centre = np.median(kept)
        kept = [value for value in kept if low < value < high]
        sigma = np.sqrt(sum((v - np.mean(kept)) ** 2 for v in kept) / (len(kept) - 1))
        low, high = centre - 3 * sigma, centre + 3 * sigma
    return high


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(5, 60))
def test_clipping_limit(seed, n):
    rng = np.random.default_rng(seed)
    values = np.abs(1 + rng.normal(0, 0.3, n)) + 20 * (rng.uniform(size=n) < 0.1)
    assert clipping_limit(values) == pytest.approx(naive_clipping(values))


def test_clipping_limit_of_hardly_any_value():
    assert clipping_limit(np.array([])) == 1e30
    assert clipping_limit(np.array([2.0])) == 2.0


def test_free_pixels_are_the_brightest_in_the_circle():
    grid = Grid((21, 21), (51, 51), 1.0)
    y, x = np.mgrid[:21, :21] - 10.0
    plane = np.exp(-(x**2 + y**2) / 20).astype(np.float32)
    plane[0, 0] = 5.0  # bright, but outside of the circle
    free = free_pixels(plane, grid, 7)
    assert 45 <= len(free) <= 52
    assert [0, 0] not in free.tolist()
    assert np.hypot(*(free - 10).T).max() < 10.5
    # Rows in order, so that the normal matrix is banded.
    assert (np.diff(free[:, 0] * 21 + free[:, 1]) > 0).all()


def test_free_pixels_stay_within_small_vignettes():
    grid = Grid((21, 21), (9, 11), 1.0)
    free = free_pixels(np.ones((21, 21), np.float32), grid, 50)
    assert np.abs(free[:, 0] - 10).max() == 4
    assert np.abs(free[:, 1] - 10).max() == 5


def test_edge_taper_is_one_inside_and_zero_outside():
    taper = edge_taper(Grid((51, 51), (51, 51), 1.0), 6.0)
    assert taper[25, 25 + 19] == 1
    assert taper[0, 0] == 0
    assert 0 < taper[25, 0] < 0.1
    narrow = edge_taper(Grid((51, 51), (51, 51), 1.0), 100.0)
    assert narrow[25, 25 + 12] == 1


def test_gauss_laguerre_functions_are_orthogonal():
    grid = Grid((61, 61), (61, 61), 1.0)
    images = gauss_laguerre(grid, 4, 1.5).astype(float)
    assert len(images) == 15
    gram = np.tensordot(images, images, axes=([1, 2], [1, 2]))
    off = gram - np.diag(np.diag(gram))
    # Orthogonal up to the 3x3 points per pixel; the normalisation is the program's own.
    assert np.abs(off).max() < 0.01 * np.diag(gram).max()


def test_basis_images_are_centred_on_the_grid():
    image = np.zeros((1, 11, 8))
    image[0, 5, 4] = 1
    for shape in ((21, 21), (7, 6), (8, 21)):
        out = fitted_to_grid(image, Grid(shape, (51, 51), 1.0))
        assert out[0, shape[0] // 2, shape[1] // 2] == 1
        assert out.sum() == 1
