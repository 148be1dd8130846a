"""CCDs with all kinds of world coordinates."""

import numpy as np
from astropy.io.fits import Header

from purepipe.survey import CCD

SHAPE = (300, 200)
SCALE = 0.187 / 3600
SIP = {
    "A_ORDER": 3, "B_ORDER": 3, "A_2_0": 2e-6, "A_1_1": -3e-6, "A_0_2": 1e-6, "A_3_0": 4e-9,
    "B_2_0": -1e-6, "B_1_1": 2e-6, "B_0_2": 3e-6, "B_0_3": -5e-9, "A_1_2": 2e-9,
}  # fmt: skip
TPV = {
    "PV1_0": 0.0, "PV1_1": 1.0003, "PV1_2": 2e-4, "PV1_4": 0.05, "PV1_5": 0.03, "PV1_6": -0.02,
    "PV1_7": 1.0, "PV2_0": 0.0, "PV2_1": 0.9998, "PV2_2": -1e-4, "PV2_4": -0.04, "PV2_5": 0.02,
    "PV2_6": 0.03, "PV2_7": -0.8,
}  # fmt: skip
KINDS = ("TAN", "SIP", "TPV")


def make_ccd(
    exposure="2100001", ccd=0, *, ra=150.0, dec=2.0, angle=0.0, flip=False, kind="TAN",
    shape=SHAPE, scale=SCALE, crpix=None, **extra,
):  # fmt: skip
    """One CCD; `angle` in degrees rotates the sky, `flip` mirrors the x axis."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    sign = 1 if flip else -1
    cards = {
        "NAXIS": 2, "NAXIS1": shape[1], "NAXIS2": shape[0],
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg",
        "CRVAL1": ra, "CRVAL2": dec,
        "CRPIX1": crpix[0] if crpix else (shape[1] + 1) / 2,
        "CRPIX2": crpix[1] if crpix else (shape[0] + 1) / 2,
        "CD1_1": sign * scale * c, "CD1_2": -scale * s,
        "CD2_1": sign * scale * s, "CD2_2": scale * c,
    }  # fmt: skip
    if kind == "SIP":
        cards.update(SIP, CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP")
    elif kind == "TPV":
        cards.update(TPV, CTYPE1="RA---TPV", CTYPE2="DEC--TPV")
    cards.update(extra)
    return CCD.from_header(exposure, ccd, Header(cards))
