"""The pictures of an explanation, for stamps with and without what they show."""

import numpy as np
import pytest
from astropy.table import Table
from matplotlib.figure import Figure

from purepipe.report.explain import panels
from purepipe.survey import EpochStamps

SHAPED = Table({"NGMIX_ELL_NOSHEAR": [[0.1, 0.0]], "NGMIX_T_TRACE_NOSHEAR": [0.3]})


def stamp(*, psf=True, masked=False):
    y, x = np.mgrid[-15:16, -15:16]
    image = 100 * np.exp(-(x**2 + y**2) / 8.0) + np.random.default_rng(1).normal(0, 1, x.shape)
    one = np.ones((1, *x.shape), np.float32)
    return EpochStamps(
        np.zeros(1, np.int64), np.array(["1"]), np.zeros(1, np.int32), np.zeros(1), np.zeros(1),
        np.zeros(1, np.int32), np.array([0.187 * np.eye(2)]), np.ones(1),
        image[None].astype(np.float32), one, (one * (4 if masked else 0)).astype(np.int32),
        np.exp(-(x**2 + y**2) / 6.0)[None].astype(np.float32) if psf else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("epochs", "row", "images", "none"),
    [
        (stamp(), SHAPED, 7, 0),
        (stamp(), Table({"NUMBER": [1]}), 6, 1),
        (stamp(psf=False), SHAPED, 5, 2),
        (stamp(masked=True), SHAPED, 5, 2),
    ],
)
def test_panels_say_what_there_is_not(epochs, row, images, none):
    ax = Figure().subplots()
    panels(epochs, 0, row)(ax)
    texts = [text.get_text() for text in ax.texts]
    assert texts.count("none") == none
    assert {"image", "mask", "weight", "PSF", "model", "residual"} <= set(texts)
    assert len(ax.get_images()) == images
