"""The PSF of every epoch of an object as columns of a catalogue, in ShapePipe's form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from astropy.table import Column
from numpy.typing import ArrayLike

from purepipe.psf.spread import FWHM_OVER_SIGMA


def epoch_psf_columns(
    number: ArrayLike, n_epoch: ArrayLike, stored: Callable[[str], Mapping[str, Any]]
) -> list[Column]:
    """PSF_ELL_j, PSF_FWHM_j and PSF_FLAG_j for j = 1, ..., largest N_EPOCH + 1.

    j counts the usable epochs of each object for itself, so that j = 1 of two objects may be
    different exposures. Missing are (-10, -10), 0 and the flag 1.

    Parameters
    ----------
    number
        (n,) NUMBER of the objects.
    n_epoch
        (n,) number of exposures that saw each.
    stored
        Gives for NUMBER as text the epochs of an object in their order; their "SHAPES" holds
        E1_PSF_HSM, E2_PSF_HSM, SIGMA_PSF_HSM (pixels) and FLAG_PSF_HSM, 0 for success.
    """
    numbers = np.asarray(number).tolist()
    n, longest = len(numbers), int(np.max(n_epoch, initial=0)) + 1
    shape = np.full((longest, n, 2), -10.0)
    width = np.zeros((longest, n))
    flag = np.ones((longest, n), np.int16)
    for row, name in enumerate(numbers):
        for place, entry in enumerate(list(stored(str(name)).values())[:longest]):
            moments = entry.get("SHAPES")
            if moments is None or moments["FLAG_PSF_HSM"] != 0:
                continue
            shape[place, row] = moments["E1_PSF_HSM"], moments["E2_PSF_HSM"]
            width[place, row] = FWHM_OVER_SIGMA * moments["SIGMA_PSF_HSM"]
            flag[place, row] = 0
    columns = []
    for place in range(longest):
        j = place + 1
        columns += [
            Column(shape[place], f"PSF_ELL_{j}",
                   description=f"Ellipticity (g1, g2) of the PSF at usable epoch {j}."),
            Column(width[place], f"PSF_FWHM_{j}", unit="pix",
                   description=f"FWHM of the PSF at usable epoch {j}, from its adaptive moments."),
            Column(flag[place], f"PSF_FLAG_{j}",
                   description=f"0: the PSF at epoch {j} is known; 1: missing or not measured."),
        ]  # fmt: skip
    return columns
