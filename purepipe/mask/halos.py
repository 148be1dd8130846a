"""Halos and spikes: the polygons around the bright stars that reach an image."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.config.mask import HaloConfig, MaskConfig, SpikeConfig
from purepipe.errors import ConfigError
from purepipe.exposure import Exposure
from purepipe.mask import rules
from purepipe.mask.sky import require_wcs
from purepipe.mask.stars import near_image, select_stars, star_column

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.wcs import WCS

log = logging.getLogger(__name__)

# Magnitudes beyond it, such as 99 or -99, stand for missing ones.
_FAINTEST = 50.0


def star_regions(
    exposure: Exposure, stars: Table | None, config: MaskConfig | None = None
) -> dict[str, NDArray[np.float64]]:
    """The polygons around the stars that reach an image, under ``"halo"`` and ``"spike"``.

    Each is a (stars, n, 2) array of 0-based vertices; `purepipe.mask.regions.format_ds9` writes
    them. Parameters and errors are those of `build_mask`.
    """
    config = config or MaskConfig()
    return outline_stars(exposure.wcs, exposure.shape, stars, config, name=exposure.name)


def outline_stars(
    wcs: WCS | None,
    shape: tuple[int, int],
    stars: Table | None,
    config: MaskConfig,
    *,
    name: str,
) -> dict[str, NDArray[np.float64]]:
    """The polygons of `star_regions`, for an image of which only the frame is known."""
    kinds: tuple[tuple[str, HaloConfig | SpikeConfig], ...] = (
        ("halo", config.halo),
        ("spike", config.spike),
    )
    asked = [(kind, item) for kind, item in kinds if item.make]
    if not asked:
        return {}
    if stars is None:
        raise ConfigError(
            f"{' and '.join(kind + 's' for kind, _ in asked)} are to be masked, but there is no"
            " star catalogue",
            file=name, key="mask.halo.make, mask.spike.make",
            remedy="Give a table with ra, dec and mag, or set both to false.",
        )  # fmt: skip
    wcs = require_wcs(wcs, shape, "the polygons of stars", name)
    ra, dec, mag = _usable_stars(stars, config, name)
    models = {kind: star_model(kind, item) for kind, item in asked}
    reach = {
        kind: rules.polygon_reach(
            models[kind], mag[mag < item.mag_limit], scale=item.scale, mag_pivot=item.mag_pivot
        )
        for kind, item in asked
    }
    bright = np.flatnonzero(mag < max(item.mag_limit for _, item in asked))
    rows, x, y = select_stars(ra[bright], dec[bright], wcs, max(reach.values()))
    mag = mag[bright[rows]]
    polygons = {}
    for kind, item in asked:
        use = (mag < item.mag_limit) & near_image(x, y, shape, reach[kind])
        polygons[kind] = rules.star_polygons(
            x[use], y[use], mag[use], models[kind], scale=item.scale, mag_pivot=item.mag_pivot,
            invert=config.compat == "shapepipe",
        )  # fmt: skip
    return polygons


def star_model(name: str, config: HaloConfig | SpikeConfig) -> NDArray[np.float64]:
    """The (n, 2) model polygon of ``"halo"`` or ``"spike"``: the configured one, or MegaCam's."""
    if not config.polygon:
        return rules.builtin_model(name)
    if len(config.polygon) < 3:
        raise ConfigError(
            "a polygon needs at least three vertices", key=f"mask.{name}.polygon",
            got=len(config.polygon),
        )  # fmt: skip
    return np.array(config.polygon, dtype=np.float64)


def _usable_stars(
    stars: Table, config: MaskConfig, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Positions and magnitudes of the stars; those without a magnitude get the assumed one."""
    ra, dec, mag = (star_column(stars, key) for key in ("ra", "dec", "mag"))
    keep = np.ones(len(ra), bool)
    if "class" in (column.casefold() for column in stars.colnames):
        keep &= star_column(stars, "class") == 0
    placed = np.isfinite(ra) & np.isfinite(dec)
    if not placed[keep].all():
        log.warning(
            "%s: %d star(s) have no position and cannot be masked", name, (~placed & keep).sum()
        )
    keep &= placed
    unknown = keep & ~np.isfinite(mag)
    if config.compat == "none":
        unknown |= keep & (np.abs(mag) > _FAINTEST)
    if config.compat == "shapepipe":
        keep &= ~unknown
    elif unknown.any():
        mag = np.where(unknown, config.unknown_mag, mag)
        log.warning(
            "%s: %d star(s) have no magnitude; masked as if of magnitude %g",
            name, unknown.sum(), config.unknown_mag,
        )  # fmt: skip
    return ra[keep], dec[keep], mag[keep]
