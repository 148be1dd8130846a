import numpy as np
import pytest

from purepipe.catalogue.columns_detect import SHAPEPIPE_COLUMNS
from purepipe.config import DetectConfig
from purepipe.detect import extract
from purepipe.exposure import Exposure
from purepipe.wcs import WCS

from .fields import header, make_field

SHAPE = (220, 180)


@pytest.fixture(scope="module")
def exposure():
    field = make_field(SHAPE, 30, seed=5, clusters=1)
    return Exposure(
        field.image, field.weight, "relative", field.flags, wcs=WCS.from_header(header(SHAPE)),
        gain=2.0, saturation=5000.0, zero_point=30.0,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["sep", "exact"])
def engine(request):
    return request.param


def test_all_columns_of_shapepipe_in_order(exposure, engine):
    table = extract(exposure, DetectConfig.exposure(engine=engine)).table
    assert tuple(table.colnames) == SHAPEPIPE_COLUMNS
    assert len(table) > 10
    assert list(table["NUMBER"]) == list(range(1, len(table) + 1))
    assert table["VIGNET"].shape == (len(table), 51, 51)
    assert table["VIGNET"].dtype == np.float32
    assert np.isfinite(table["X_WORLD"]).all()
    for key in ("SEXBKGND", "SEXBKDEV", "SEXGAIN", "SEXSATLV", "SEXMGZPT", "SEXPXSCL"):
        assert isinstance(table.meta[key], float)
