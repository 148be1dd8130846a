"""Star catalogues."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from purepipe.errors import DataError
from purepipe.mask import stars_in_field

from .fields import wcs


@pytest.mark.parametrize("margin", [0.0, 40.0])
@pytest.mark.parametrize("dec", [32.0, -89.9, 89.999])
def test_cone_selection_keeps_the_stars_of_the_image(margin, dec):
    field = wcs((256, 300), dec=dec, angle=30.0)
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-300, 600, (2, 400))
    ra, dec_ = field.pixel_to_sky(x, y)
    table = Table({"RA": ra, "Dec": dec_, "number": np.arange(400)})
    near = (x >= -0.5 - margin) & (x <= 299.5 + margin)
    near &= (y >= -0.5 - margin) & (y <= 255.5 + margin)
    assert stars_in_field(table, field, margin)["number"].tolist() == np.flatnonzero(near).tolist()


def test_no_star_near():
    table = Table({"ra": [10.0, np.nan], "dec": [-40.0, 32.0]})
    assert len(stars_in_field(table, wcs())) == 0
    assert len(stars_in_field(table[:0], wcs())) == 0


def test_units_of_the_catalogue_are_honoured():
    table = Table({"ra": [np.radians(150.0)], "dec": [np.radians(32.0)]}, units=["rad", "rad"])
    assert len(stars_in_field(table, wcs())) == 1


def test_quantities_and_masked_values():
    from astropy.table import QTable

    table = QTable({"ra": [150.0, 150.0] * u.deg, "dec": [32.0 * 60, 0] * u.arcmin})
    assert len(stars_in_field(table, wcs())) == 1
    masked = Table({"ra": np.ma.array([150.0, 150.0], mask=[False, True]), "dec": [32.0, 32.0]})
    assert len(stars_in_field(masked, wcs())) == 1


def test_selection_errors():
    with pytest.raises(DataError, match="ra: the column does not hold numbers"):
        stars_in_field(Table({"ra": ["10:00:00"], "dec": ["32:00:00"]}), wcs())
    with pytest.raises(DataError, match="ra: the star catalogue lacks a column"):
        stars_in_field(Table({"x": [1.0]}), wcs())
    with pytest.raises(DataError, match="margin cannot be negative"):
        stars_in_field(Table({"ra": [1.0], "dec": [1.0]}), wcs(), -1)
