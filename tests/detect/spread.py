"""Cases of SPREAD_MODEL: a field, a PSF model, and keys of the original and of purepipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from purepipe.psf.model import PSFModel

from .fields import Field, make_field

COLUMNS = ("NUMBER", "X_IMAGE", "Y_IMAGE", "SPREAD_MODEL", "SPREADERR_MODEL", "FLAGS")
WIDTH = 2.6  # of the stars of `make_field`; their FWHM is 1.02 times that


@dataclass(frozen=True)
class SpreadCase:
    """One field with one PSF model."""

    field: Field
    psf: PSFModel
    keys: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    weighted: bool = True


def moffat_psf(
    shape: tuple[int, int], *, size: int = 31, sampling: float = 1.0, degree: int = 0,
    width: float = WIDTH,
) -> PSFModel:  # fmt: skip
    """A round Moffat PSF whose width follows a polynomial of the position in the image."""
    yy, xx = (np.mgrid[:size, :size] - size // 2) * sampling
    images = [(1 + (xx**2 + yy**2) / w**2) ** -3.0 for w in (width, 1.1 * width, 0.95 * width)]
    usual, broad, sharp = (image / image.sum() for image in images)
    terms = [
        usual, broad - usual, 0.3 * (broad - usual), sharp - usual, 0.2 * (sharp - usual),
        0.1 * (broad - usual),
    ]  # fmt: skip
    variable = degree > 0
    return PSFModel(
        mask=np.array(terms[: (degree + 1) * (degree + 2) // 2]), coeffs=None,
        contexts=("X_IMAGE", "Y_IMAGE") if variable else (),
        offsets=(shape[1] / 2, shape[0] / 2) if variable else (),
        scales=(float(shape[1]), float(shape[0])) if variable else (),
        groups=(1, 1) if variable else (), degrees=(degree,) if variable else (),
        loaded=100, accepted=90, chi2=1.0, fwhm=1.02 * width, sampling=sampling,
    )  # fmt: skip


def live_cases() -> dict[str, SpreadCase]:
    """Fields of different seeing, density, weights and masking; PSFs of degree 0 to 2."""
    crowded = make_field((300, 300), 150, seed=7, clusters=5)
    blank = ({"MASK_TYPE": "BLANK"}, {"mask_type": "blank"})
    sharp = make_field((250, 320), 70, seed=9, width=1.7)
    return {
        "isolated": SpreadCase(
            make_field((400, 400), 40, seed=5, holes=False, varying=False), moffat_psf((400, 400))
        ),
        "without weights": SpreadCase(
            make_field((300, 260), 40, seed=8, holes=False, varying=False),
            moffat_psf((300, 260), sampling=0.9), weighted=False,
        ),
        "holes, degree 2": SpreadCase(
            make_field((400, 300), 60, seed=6), moffat_psf((400, 300), sampling=0.8, degree=2)
        ),
        "crowded, degree 1": SpreadCase(
            crowded, moffat_psf((300, 300), size=41, sampling=0.7, degree=1)
        ),
        "blank": SpreadCase(crowded, moffat_psf((300, 300), size=40, sampling=0.75), *blank),
        "sharp, gain of the whole": SpreadCase(
            sharp, moffat_psf((250, 320), width=1.7, size=25), {"WEIGHT_GAIN": "N"},
            {"weight_gain": False},
        ),
    }  # fmt: skip
