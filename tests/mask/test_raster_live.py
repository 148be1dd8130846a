"""The rasteriser against the original program, run now."""

import numpy as np
import pytest

from purepipe.mask.raster import rasterise

from .polygons import KINDS, random_polygon
from .weightwatcher import needs_weightwatcher, region_text, run_weightwatcher

pytestmark = [pytest.mark.binaries, needs_weightwatcher]


@pytest.mark.parametrize("intersect", ["Y", "N"])
@pytest.mark.parametrize("kind", KINDS)
def test_same_pixels_as_weightwatcher(kind, intersect, tmp_path):
    rng = np.random.default_rng(KINDS.index(kind) + 100)
    shape = (190, 200)
    polygons = [random_polygon(kind, rng, shape) for _ in range(12)]
    flags, _, _ = run_weightwatcher(
        tmp_path, [np.ones(shape, np.float32)], regions=[region_text(polygons)],
        POLY_OUTFLAGS=2, POLY_OUTWEIGHTS=0.0, POLY_INTERSECT=intersect,
    )  # fmt: skip
    overlap = "union" if intersect == "Y" else "even-odd"
    mask = rasterise(polygons, shape, origin=1, value=2, overlap=overlap)
    np.testing.assert_array_equal(mask, flags)
