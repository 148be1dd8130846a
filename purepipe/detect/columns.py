"""What must be measured for the columns that a configuration asks for.

The original measures, and flags, an aperture only if a column needs it, so FLAGS depends on the
columns that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from purepipe.catalogue.requests import SPREAD_COLUMNS, Request, requested_columns
from purepipe.config.detect import DetectConfig

INTERPOLATION_REACH = 3  # lines beyond a stamp of which the original interpolates VIGNET_SHIFT


@dataclass(frozen=True)
class Wanted:
    """What has to be measured.

    Attributes
    ----------
    circles
        Number of circular apertures.
    auto, petro, growth, window, assoc
        Whether the Kron and Petrosian ellipses, the growth curve, the windowed quantities and the
        association are needed.
    curve
        Whether the growth curve itself is a column.
    vignet
        Width and height of VIGNET; zeros when it is not asked for.
    shifted
        Width and height of VIGNET_SHIFT, likewise.
    """

    circles: int = 0
    auto: bool = False
    petro: bool = False
    growth: bool = False
    window: bool = False
    assoc: bool = False
    curve: bool = False
    vignet: tuple[int, int] = (0, 0)
    shifted: tuple[int, int] = (0, 0)

    def reach(self, config: DetectConfig) -> int:
        """Lines above and below an object's centre that its apertures may touch."""
        lines = [(self.vignet[1] + 1) // 2]
        if self.shifted[1]:
            lines.append((self.shifted[1] + 1) // 2 + INTERPOLATION_REACH)
        lines += [int((diameter + 1) / 2) + 1 for diameter in config.apertures[: self.circles]]
        return max(lines)


def wanted_measurements(config: DetectConfig) -> Wanted:
    """What the columns of a configuration need; see `requested_columns` for the errors."""
    requests = requested_columns(config)
    names = {request.name for request in requests}
    window = any("WIN" in name for name in names)
    # The original prepares the fit of the PSF by the half-light radius.
    radius = "FLUX_RADIUS" in names or not names.isdisjoint(SPREAD_COLUMNS)
    auto = window or radius or any(_ends(name, ("AUTO", "BEST", "KRON_RADIUS")) for name in names)
    return Wanted(
        circles=_circles(requests, len(config.apertures)),
        auto=auto,
        petro=any("PETRO" in name for name in names),
        growth=window or radius or any("GROWTH" in name for name in names),
        window=window,
        assoc=any(name.endswith("_ASSOC") for name in names),
        curve=any("GROWTH" in name for name in names),
        vignet=_stamp(requests, "VIGNET", config.vignet),
        shifted=_stamp(requests, "VIGNET_SHIFT", config.vignet),
    )


def _ends(name: str, endings: Iterable[str]) -> bool:
    return any(name.endswith(ending) for ending in endings)


def _circles(requests: Iterable[Request], given: int) -> int:
    """Number of apertures: the longest array asked for; one without a size has them all."""
    sizes = [
        item.size[0] if item.size else given for item in requests if item.name.endswith("_APER")
    ]
    return min(max(sizes, default=0), given)


def _stamp(requests: Iterable[Request], name: str, usual: tuple[int, int]) -> tuple[int, int]:
    for item in requests:
        if item.name == name:
            return (*item.size, 1)[:2] if item.size else usual  # type: ignore[return-value]
    return 0, 0
