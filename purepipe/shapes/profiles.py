"""Galaxy profiles as sums of Gaussians.

The idea is that of Hogg & Lang (2013, PASP 125, 719); the numbers are fits of our own to the flux
per logarithmic radius, 2 pi r^2 I(r), at radii from 0.001 to 14-20 half-light radii.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from purepipe.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from purepipe.shapes.fit_nb import Profile

# Shares of the flux, and variances in units of that of the Gaussian with the same half-light
# radius. The exponential is matched to 5e-4 of the flux per unit of ln r.
_EXPONENTIAL = (
    (0.00713351, 0.0431311, 0.155606, 0.33923, 0.355652, 0.0992482),
    (0.0222706, 0.10163, 0.318507, 0.833313, 1.96232, 4.42087),
)
# exp(-7.67 r^(1/4)) cut smoothly between 7 and 8 of its own radii, which leaves 94 % of the flux
# and 0.89 of the half-light radius; matched to 0.007 rms, 0.02 at the cut.
_DE_VAUCOULEURS = (
    (0.0329721, 0.0836674, 0.152342, 0.216936, 0.255556, 0.258526),
    (0.00288832, 0.0230632, 0.124026, 0.565858, 2.51123, 14.6218),
)
_COMPONENTS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "gauss": ((1.0,), (1.0,)),
    "exp": _EXPONENTIAL,
    "dev": _DE_VAUCOULEURS,
}
PROFILES = ("gauss", "exp", "dev", "bdf")


def profile_of(name: str) -> Profile:
    """The components of a profile by its name: "gauss", "exp", "dev" or "bdf".

    Raises
    ------
    ConfigError
        There is no such profile.

    Notes
    -----
    "bdf" is the sum of an exponential disc and a de Vaucouleurs bulge of the same half-light radius
    and shape; the bulge's share of the flux is a parameter with a Gaussian prior, 0.5 +- 0.1.
    """
    from purepipe.shapes.fit_nb import Profile

    if name not in PROFILES:
        raise ConfigError(
            "unknown word", key="profile", got=repr(name), remedy=did_you_mean(name, PROFILES)
        )
    if name != "bdf":
        share, scale = (np.array(values) for values in _COMPONENTS[name])
        return Profile(np.stack([share / share.sum(), np.zeros(len(share)), scale]), False)
    (disc, disc_scale), (bulge, bulge_scale) = (
        [np.array(values) for values in _COMPONENTS[part]] for part in ("exp", "dev")
    )
    disc, bulge = disc / disc.sum(), bulge / bulge.sum()
    amplitude = np.concatenate([disc, np.zeros(len(bulge))])
    slope = np.concatenate([-disc, bulge])
    return Profile(np.stack([amplitude, slope, np.concatenate([disc_scale, bulge_scale])]), True)
