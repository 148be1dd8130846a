"""Maps of the survey: where things are drawn, and what is said when there is nothing."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from purepipe.errors import NothingToDo
from purepipe.report import sky_plots
from purepipe.report.sky_plots import Outline

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def axes():
    return Figure(layout="constrained").subplots()


def test_right_ascensions_do_not_jump():
    found = sky_plots.unwrapped(np.array([359.0, 0.5, 2.0]))
    assert np.ptp(found) == pytest.approx(3.0)
    assert np.allclose(sky_plots.unwrapped(np.array([150.0, 151.0])), [150, 151])


def test_footprint_across_zero_tells_what_failed():
    ax = axes()
    ccds = [
        Outline("a", SQUARE + np.array([359.5, 10]), done=True),
        Outline("b", SQUARE % 360, done=False),
    ]
    sky_plots.footprint(ccds, [Outline("t", SQUARE + np.array([0, 10]), done=True)])(ax)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["CCDs (1)", "CCDs not done (1)", "tiles (1)"]
    left, right = ax.get_xlim()
    assert left > right  # east is to the left
    assert left - right < 20
    with pytest.raises(NothingToDo, match="No CCD and no tile has world coordinates"):
        sky_plots.footprint([], [])


def test_a_strip_gets_air_about_it():
    ax = axes()
    sky_plots.sky_axes(ax, np.array([[10.0, 60.0], [30.0, 60.1]]))
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert (high - low) / ((left - right) * 0.5) > 0.35
    assert ax.get_aspect() == pytest.approx(2.0, rel=1e-2)


def test_map_shows_the_mean_of_each_cell():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(10, 11, 4000), rng.uniform(-0.5, 0.5, 4000)
    ax = axes()
    sky_plots.sky_map(ra, dec, np.where(ra > 10.5, 2.0, 1.0), label="epochs")(ax)
    drawn = ax.collections[0].get_array()
    assert drawn.min() == 1.0
    assert drawn.max() == 2.0
    with pytest.raises(NothingToDo, match="No epochs is known"):
        sky_plots.sky_map(ra[:1], dec[:1], np.array([np.nan]), label="epochs")


@pytest.mark.parametrize("n", [1, 3])
def test_map_of_objects_at_one_place(n):
    sky_plots.sky_map(np.full(n, 5.0), np.full(n, 89.99), np.ones(n), label="epochs")(axes())


def test_focal_plane_and_exposures_without_values():
    ax = axes()
    sky_plots.focal_plane([SQUARE, SQUARE + 2], [0.0, 50.0], label="lost (%)")(ax)
    assert ax.collections[0].get_clim() == (0, 50)
    with pytest.raises(NothingToDo, match="No CCD has a position"):
        sky_plots.focal_plane([], [], label="lost (%)")
    with pytest.raises(NothingToDo, match="No exposure has a PSF"):
        sky_plots.by_exposure(["1"], [[np.nan]], label="FWHM")


def test_exposures_are_drawn_with_median_and_range():
    ax = axes()
    sky_plots.by_exposure(
        ["1", "2", "3"], [[1.0, 2.0, 9.0], [np.nan], [3.0]], label="FWHM", limit=0.01
    )(ax)
    assert ax.lines[0].get_ydata().tolist() == [2.0, 3.0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "3"]
    segments = ax.collections[0].get_segments()
    assert segments[0][:, 1].tolist() == [1.0, 9.0]
