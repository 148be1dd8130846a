"""Names and FITS files of a simulated survey, as a telescope and its archive deliver them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from purepipe.config.simulate import SimulateConfig
from purepipe.io.atomic import atomic_write
from purepipe.io.images import write_image
from purepipe.rng import generator
from purepipe.simulate.detector import CCDImage, background_noise
from purepipe.simulate.optics import (
    TILE_ZERO_POINT,
    Pointing,
    ccd_header,
    pointings,
    tile_header,
)
from purepipe.simulate.sky import Objects

if TYPE_CHECKING:
    from astropy.table import Table

KINDS = ("image", "weight", "flag")


@dataclass(frozen=True)
class SurveyPaths:
    """Where the files of a simulated survey lie.

    Attributes
    ----------
    root
        Folder of the survey.
    images, weights, flags
        Exposure files, in the order of the exposure numbers.
    tiles, tile_weights
        Tile files, one per field.
    stars
        Catalogue of bright stars: ra, dec (deg), mag.
    truth
        Every star and galaxy, see `purepipe.simulate.sky.make_objects`.
    """

    root: Path
    images: tuple[Path, ...]
    weights: tuple[Path, ...]
    flags: tuple[Path, ...]
    tiles: tuple[Path, ...]
    tile_weights: tuple[Path, ...]
    stars: Path
    truth: Path


def survey_paths(out: str | Path, config: SimulateConfig) -> SurveyPaths:
    """The names of all files that `simulate_survey` writes under `out`."""
    root = Path(out)
    numbers = [item.number for item in pointings(config)]
    exposures = {
        kind: tuple(root / "exposures" / f"{kind}-{number}.fits" for number in numbers)
        for kind in KINDS
    }
    tiles = {
        kind: tuple(
            root / "tiles" / f"CFIS_{kind}-{tile_number(field)}.fits"
            for field in range(config.fields)
        )
        for kind in KINDS[:2]
    }
    return SurveyPaths(
        root=root,
        images=exposures["image"],
        weights=exposures["weight"],
        flags=exposures["flag"],
        tiles=tiles["image"],
        tile_weights=tiles["weight"],
        stars=root / "stars.fits",
        truth=root / "truth.fits",
    )


def tile_number(field: int) -> str:
    """The number of the tile of a field, as in file names: ``000-000``, ``001-000``, ..."""
    return f"{field:03d}-000"


def write_exposure(
    paths: Sequence[Path], config: SimulateConfig, pointing: Pointing, ccds: Iterable[CCDImage]
) -> None:
    """Write image, weight and flag file of an exposure, one image extension per CCD."""
    lists = [fits.HDUList([fits.PrimaryHDU(header=_primary(pointing))]) for _ in KINDS]
    for number, ccd in enumerate(ccds):
        header = ccd_header(config, pointing, number)
        for hdus, plane in zip(lists, (ccd.image, ccd.weight, ccd.flags), strict=True):
            hdus.append(fits.ImageHDU(plane, header.copy()))
    for path, hdus in zip(paths, lists, strict=True):
        _write(path, hdus)


def _primary(pointing: Pointing) -> fits.Header:
    header = fits.Header()
    header["EXPNUM"] = (pointing.number, "exposure number")
    header["OBJECT"] = (f"field {pointing.field}", "simulated field")
    return header


def write_tile(
    paths: tuple[Path, Path],
    config: SimulateConfig,
    field: int,
    image: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    """Write image and weight of a tile; the HISTORY cards name its exposures."""
    members = [item for item in pointings(config) if item.field == field]
    header = tile_header(config, field)
    camera = config.camera
    header["OBJECT"] = (tile_number(field), "tile number")
    header["FILTER"] = ("r", "filter")
    header["PHOTZP"] = (TILE_ZERO_POINT, "[mag] magnitude of one ADU")
    scale = float(np.mean([item.flux_scale for item in members]))
    header["GAIN"] = (camera.gain * len(members) / scale, "[e-/ADU] effective gain")
    lowest = min((camera.saturation - item.sky) * item.flux_scale for item in members)
    header["SATURATE"] = (0.95 * lowest, "[ADU] saturation level")
    for item in members:
        name = f"image-{item.number}.fits" if field % 2 == 0 else f"{item.number}p.fits"
        header.add_history(f"input image {name} {config.ccds} extension(s)")
    write_image(paths[0], image, header)
    write_image(paths[1], weight, header)


def write_catalogues(paths: SurveyPaths, config: SimulateConfig, objects: Objects) -> Table:
    """Write the star catalogue and the truth; returns the truth table."""
    truth = truth_table(objects)
    _write_table(paths.truth, truth)
    _write_table(paths.stars, star_catalogue(config, objects))
    return truth


def truth_table(objects: Objects) -> Table:
    """The objects as a table with units."""
    from astropy.table import Table

    table = Table(objects)
    for name, unit in (("ra", "deg"), ("dec", "deg"), ("mag", "mag"),
                       ("half_light_radius", "arcsec")):  # fmt: skip
        table[name].unit = unit
    return table


def star_catalogue(config: SimulateConfig, objects: Objects) -> Table:
    """Bright stars as an external catalogue would list them, with small position errors."""
    from astropy.table import Table

    limit, error = config.stars.catalogue_limit, config.stars.catalogue_error / 3600.0
    stars = objects[(objects["type"] == "star") & (objects["mag"] < limit)]
    rng = generator(config.seed, "star catalogue")
    east, north = error * rng.standard_normal((2, len(stars)))
    table = Table()
    table["ra"] = (stars["ra"] + east / np.cos(np.radians(stars["dec"]))) % 360.0
    table["dec"] = stars["dec"] + north
    table["mag"] = np.round(stars["mag"], 3)
    table["ra"].unit = table["dec"].unit = "deg"
    table["mag"].unit = "mag"
    return table


def tile_noise(config: SimulateConfig, field: int) -> float:
    """Expected dispersion of the background of a tile where all exposures contribute, ADU."""
    weight = sum(
        1 / (item.flux_scale * background_noise(config.camera, item.sky)) ** 2
        for item in pointings(config)
        if item.field == field
    )
    return float(weight**-0.5)


def _write_table(path: Path, table: Any) -> None:
    _write(path, fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(table)]))


def _write(path: Path, hdus: fits.HDUList) -> None:
    with atomic_write(path) as scratch:
        hdus.writeto(scratch)
