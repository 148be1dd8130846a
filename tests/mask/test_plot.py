"""The picture of a mask."""

import numpy as np
import pytest

from purepipe.errors import DataError
from purepipe.mask.plot import plot_mask

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


def test_every_plane_is_in_the_legend(axes):
    mask = np.zeros((90, 120), np.int32)
    mask[:10] = 4
    mask[50, 60] = 128 | 4096
    mask[70] = -(2**31)
    assert plot_mask(mask, np.ones((90, 120)), ax=axes) is axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0] == "4 BORDER: 11.1%"
    assert labels[1].startswith("128 SPIKE")
    assert [label.split()[1] for label in labels[2:]] == ["BIT_12:", "BIT_31:"]
    assert axes.get_legend().get_title().get_text() == "masked: 12.2%"


def test_small_masks_stay_visible_in_large_images(axes):
    mask = np.zeros((1001, 703), np.int32)
    mask[500, 351] = 128
    plot_mask(mask, ax=axes, largest=50)
    (picture,) = axes.get_images()
    assert picture.get_array().shape[0] <= 51
    assert np.count_nonzero(picture.get_array()[..., 3]) == 1


def test_large_images_are_thinned_to_what_the_figure_shows(axes):
    mask = np.zeros((3001, 5003), np.int32)
    mask[1500, 77] = 64
    plot_mask(mask, ax=axes)
    picture = axes.get_images()[0].get_array()
    place = axes.get_window_extent()
    assert picture.shape[0] <= place.height
    assert place.width / 2 <= picture.shape[1] <= place.width
    assert np.count_nonzero(picture[..., 3]) == 1


def test_smaller_planes_are_on_top(axes):
    from matplotlib.colors import to_rgba

    mask = np.full((10, 10), 2, np.int32)
    mask[5, 5] |= 128
    plot_mask(mask, ax=axes, opacity=1)
    picture = axes.get_images()[0].get_array()
    assert tuple(picture[5, 5]) == pytest.approx(to_rgba("#e69f00"))
    assert tuple(picture[0, 0]) == pytest.approx(to_rgba("#56b4e9"))


def test_an_image_without_data_can_be_shown(axes):
    plot_mask(np.zeros((5, 5), np.int32), np.full((5, 5), np.nan), ax=axes)


def test_sizes_must_agree(axes):
    with pytest.raises(DataError, match="different sizes"):
        plot_mask(np.zeros((5, 5), np.int32), np.zeros((5, 6)), ax=axes)
