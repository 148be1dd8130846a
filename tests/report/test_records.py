"""What the report computes itself: positions and shears on the sky, choices of examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purepipe.report.blocks import cell, counted, duration
from purepipe.report.plots import span
from purepipe.report.psf_plots import star_classes
from purepipe.report.records import (
    CCDRecord,
    evenly,
    number,
    shear_on_sky,
    tangent_plane,
    worst_and_typical,
)

shears = st.floats(-0.6, 0.6)


@given(shears, shears, st.floats(0, 2 * np.pi), st.booleans())
def test_rotation_and_mirror_turn_a_shear(g1, g2, angle, mirror):
    jacobian = (
        0.187
        * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        @ np.diag([-1.0 if mirror else 1.0, 1.0])
    )
    found = shear_on_sky(np.array([g1]), np.array([g2]), jacobian[None])[0]
    g = (g1 - 1j * g2 if mirror else g1 + 1j * g2) * np.exp(2j * angle)
    assert found == pytest.approx([g.real, g.imag], abs=1e-9)


def test_shear_of_a_round_star_is_that_of_the_pixels():
    g = 0.05
    jacobian = np.array([[[1 + g, 0.0], [0.0, 1 - g]]])
    found = shear_on_sky(np.zeros(1), np.zeros(1), jacobian)
    assert found[0] == pytest.approx([g, 0], abs=1e-12)


def test_tangent_plane_agrees_with_a_tan_projection():
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [359.9, 55.0], [1, 1]
    wcs.wcs.cdelt = [-1 / 60, 1 / 60]
    ra, dec = np.array([0.3, 359.2, 359.9]), np.array([55.4, 54.2, 55.0])
    u, v = tangent_plane(ra, dec, np.array([359.9, 55.0]))
    x, y = wcs.all_world2pix(ra, dec, 0)
    np.testing.assert_allclose([u, v], [x, y], atol=1e-8)


def ccd(name, residual):
    return CCDRecord(name, name[:-2], int(name[-1]), "done", {"mean_de1": residual})


def test_worst_and_typical_ccd():
    ccds = [ccd("1-0", 0.003), ccd("1-1", -0.02), ccd("2-0", 0.001), ccd("2-1", float("nan"))]
    assert [(kind, c.name) for kind, c in worst_and_typical(ccds)] == [
        ("typical", "1-0"), ("worst", "1-1"),
    ]  # fmt: skip
    assert [kind for kind, _ in worst_and_typical(ccds[:1])] == ["typical"]
    assert worst_and_typical(ccds[3:]) == []
    assert worst_and_typical([]) == []


@given(st.integers(0, 300), st.integers(1, 50))
def test_evenly_keeps_order_ends_and_limit(n, limit):
    chosen = evenly(range(n), limit)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(n, limit)
    if n and limit > 1:
        assert (chosen[0], chosen[-1]) == (0, n - 1)


def test_star_classes_are_disjoint_and_complete():
    flags = np.array([0, 128, 1, 2, 3, 4, 8, 16, 20, 32, 64, 129, 1 << 30])
    groups = star_classes(flags)
    assert (np.sum([members for _, members, _, _ in groups], axis=0) == 1).all()
    by_name = {name: np.flatnonzero(members).tolist() for name, members, _, _ in groups}
    assert by_name["star in the fit"] == [0]
    assert by_name["reserved star"] == [1]
    assert by_name["faint"] == [2, 11]
    assert by_name["not measured"] == [10, 12]


def test_span_of_equal_values_is_not_empty():
    for values in (np.zeros(5), np.full(3, 7.0)):
        low, high = span(values)
        assert low < values[0] < high


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0002, "< 1 ms"), (0.25, "250 ms"), (3.21, "3.2 s"), (90, "1.5 min"), (9000, "2.5 h"),
     (float("nan"), "–")],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_cells():
    assert cell(None).text == cell(float("nan")).text == "–"
    assert cell(float("nan")).order == ""
    assert (cell(-0.5, "{:+.2f}").text, cell(-0.5).order) == ("−0.50", -0.5)
    assert cell("a-b").text == "a-b"
    assert (counted(1, "tile"), counted(2000, "tile")) == ("1 tile", "2,000 tiles")
    assert np.isnan(number("x"))
    assert number(3) == 3.0
