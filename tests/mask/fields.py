"""Small fields on the sky."""

import numpy as np
from astropy.io.fits import Header
from astropy.table import Table

from purepipe.exposure import Exposure, WeightKind
from purepipe.wcs import WCS

SCALE = 0.187


def header(shape=(256, 300), *, angle=0.0, sip=0.0, ra=150.0, dec=32.0):
    """A tangential projection, rotated by `angle` degrees, with SIP terms of size `sip`."""
    cards = Header()
    cards["NAXIS"] = 2
    cards["NAXIS1"], cards["NAXIS2"] = shape[1], shape[0]
    cards["CTYPE1"], cards["CTYPE2"] = "RA---TAN", "DEC--TAN"
    cards["CRVAL1"], cards["CRVAL2"] = ra, dec
    cards["CRPIX1"], cards["CRPIX2"] = shape[1] / 2 + 0.5, shape[0] / 2 + 0.5
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    matrix = np.array([[-cos, sin], [sin, cos]]) * SCALE / 3600
    for row in (0, 1):
        for column in (0, 1):
            cards[f"CD{row + 1}_{column + 1}"] = matrix[row, column]
    if sip:
        cards["CTYPE1"], cards["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
        cards["A_ORDER"] = cards["B_ORDER"] = 2
        cards["A_2_0"], cards["B_0_2"], cards["A_1_1"] = sip, -sip, sip / 2
    return cards


def wcs(shape=(256, 300), **options):
    return WCS.from_header(header(shape, **options), shape)


def exposure(shape=(256, 300), *, weight=None, flags=None, image=None, **options):
    if image is None:
        image = np.ones(shape, np.float32)
    kind = None if weight is None else WeightKind.INVERSE_VARIANCE
    return Exposure(
        image, weight=weight, weight_kind=kind, flags=flags, wcs=wcs(shape, **options), name="test"
    )


def stars_at(field, x, y, mag):
    ra, dec = field.pixel_to_sky(np.asarray(x, float), np.asarray(y, float))
    return Table({"ra": ra, "dec": dec, "mag": np.asarray(mag, float)})
