"""What is in the sky: galaxies with known shear, and stars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.simulate import GalaxyConfig, SimulateConfig, StarFieldConfig
from purepipe.errors import ConfigError
from purepipe.rng import generator
from purepipe.simulate.optics import field_key, focal_half_size, tile_wcs

Objects = NDArray[Any]
"""Structured array with the fields of `OBJECT_DTYPE`."""

OBJECT_DTYPE = np.dtype(
    [
        ("id", "i4"),
        ("field", "i4"),
        ("ra", "f8"),
        ("dec", "f8"),
        ("mag", "f8"),
        ("type", "U4"),
        ("half_light_radius", "f8"),
        ("g1_intrinsic", "f8"),
        ("g2_intrinsic", "f8"),
        ("g1_shear", "f8"),
        ("g2_shear", "f8"),
        ("pair", "i4"),
    ]
)

# The range of magnitudes in which the configured density of stars counts.
STAR_RANGE = (17.0, 21.5)
SIZE_PIVOT = 23.0
MARGIN = 10.0  # arcsec around the CCDs, so that light also enters from outside


def make_objects(config: SimulateConfig, field: int) -> Objects:
    """The stars and galaxies of one field.

    Positions are random and not moved by the shear: a constant shear only stretches the pattern
    of random positions, which changes no shape (with `shear_grid` they are). Sizes are not
    magnified.

    Returns
    -------
    Structured array of `OBJECT_DTYPE`: stars first, ``type`` one of ``star``, ``exp``, ``dev``;
    angles in degrees, half-light radii in arcsec (0 for stars), ellipticities g with the first
    axis west and the second north; ``pair`` is the id of the rotated twin, -1 without one.

    Raises
    ------
    ConfigError
        The objects cannot be placed with the configured minimum separation.
    """
    key = field_key(config, field)
    half = field_half_size(config)
    area = 4 * half[0] * half[1] / 3600.0  # arcmin^2
    stars = _stars(config.stars, generator(config.seed, "stars", key), area)
    galaxies = _galaxies(config.galaxies, generator(config.seed, "galaxies", key), area)
    objects = np.concatenate([stars, galaxies])
    objects["id"] = np.arange(len(objects))
    first = len(stars)
    objects["pair"][objects["pair"] >= 0] += first
    objects["field"] = field
    shear = config.shears[field % len(config.shears)]
    objects["g1_shear"][first:], objects["g2_shear"][first:] = shear
    rng = generator(config.seed, "positions", key)
    west, north = _scatter(rng, len(objects), half, config.minimum_separation)
    nx, ny = config.tile_size
    scale = config.camera.pixel_scale
    objects["ra"], objects["dec"] = tile_wcs(config, field).pixel_to_sky(
        (nx - 1) / 2 + west / scale, (ny - 1) / 2 + north / scale
    )
    return objects


def field_half_size(config: SimulateConfig) -> tuple[float, float]:
    """Half the width and height (arcsec) of the area of sky that is filled with objects."""
    hx, hy = focal_half_size(config)
    scale = config.camera.pixel_scale
    sine = math.sin(math.radians(min(config.rotation, 90.0)))
    reach = config.dither + MARGIN + config.camera.distortion_size * scale
    width = scale * min(hx + hy * sine, math.hypot(hx, hy))
    height = scale * min(hy + hx * sine, math.hypot(hx, hy))
    nx, ny = config.tile_size
    return max(width + reach, nx / 2 * scale + MARGIN), max(height + reach, ny / 2 * scale + MARGIN)


def _stars(config: StarFieldConfig, rng: np.random.Generator, area: float) -> Objects:
    """Stars with counts of two slopes that meet at magnitude 17."""
    bright, faint = config.magnitudes
    middle = float(np.clip(STAR_RANGE[0], bright, faint))
    at_break = config.density / _integral(config.count_slope, 0.0, STAR_RANGE[1] - STAR_RANGE[0])
    offsets = np.array([bright, middle, faint]) - STAR_RANGE[0]
    numbers = [
        rng.poisson(area * at_break * _integral(slope, low, high))
        for slope, low, high in zip(
            (config.bright_slope, config.count_slope), offsets[:-1], offsets[1:], strict=True
        )
    ]
    stars = np.zeros(sum(numbers), OBJECT_DTYPE)
    stars["mag"] = np.concatenate(
        [
            _power_law(rng, numbers[0], config.bright_slope, bright, middle),
            _power_law(rng, numbers[1], config.count_slope, middle, faint),
        ]
    )
    stars["type"] = "star"
    stars["pair"] = -1
    return stars


def _galaxies(config: GalaxyConfig, rng: np.random.Generator, area: float) -> Objects:
    """Galaxies, twins next to each other when they come in pairs."""
    copies = 2 if config.pairs else 1
    n = int(rng.poisson(area * config.density / copies))
    one = np.zeros(n, OBJECT_DTYPE)
    one["mag"] = _power_law(rng, n, config.count_slope, *config.magnitudes)
    size = np.log10(config.half_light_radius) + config.size_slope * (one["mag"] - SIZE_PIVOT)
    size += config.size_scatter * np.clip(rng.standard_normal(n), -3, 3)
    one["half_light_radius"] = 10**size
    one["type"] = np.where(rng.random(n) < config.dev_fraction, "dev", "exp")
    # The inverse of the cumulative Rayleigh distribution, cut at the largest ellipticity.
    sigma = config.shape_noise
    total = 1 - math.exp(-0.5 * (config.max_ellipticity / sigma) ** 2) if sigma > 0 else 0.0
    ellipticity = sigma * np.sqrt(-2 * np.log1p(-total * rng.random(n)))
    phase = 2 * np.pi * rng.random(n)
    one["g1_intrinsic"] = ellipticity * np.cos(phase)
    one["g2_intrinsic"] = ellipticity * np.sin(phase)
    one["pair"] = -1
    if not config.pairs:
        return one
    galaxies = np.repeat(one, 2)
    # A rotation by 90 degrees turns g into -g.
    galaxies["g1_intrinsic"][1::2] *= -1
    galaxies["g2_intrinsic"][1::2] *= -1
    galaxies["pair"] = np.arange(2 * n) ^ 1
    return galaxies


def _integral(slope: float, low: float, high: float) -> float:
    """Integral of 10^(slope m) from `low` to `high`."""
    if abs(slope) < 1e-9:
        return high - low
    return float((10 ** (slope * high) - 10 ** (slope * low)) / (slope * math.log(10)))


def _power_law(
    rng: np.random.Generator, n: int, slope: float, low: float, high: float
) -> NDArray[np.float64]:
    """Magnitudes with counts proportional to 10^(slope m)."""
    uniform = rng.random(n)
    if abs(slope) < 1e-9:
        return low + uniform * (high - low)
    rise = 10 ** (slope * (high - low)) - 1
    return np.asarray(low + np.log10(1 + uniform * rise) / slope)


def _scatter(
    rng: np.random.Generator, n: int, half: tuple[float, float], separation: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Random positions in a rectangle, none closer to another than `separation`."""
    from scipy.spatial import cKDTree

    points = rng.uniform(-1, 1, (n, 2)) * half
    if separation <= 0:
        return points[:, 0], points[:, 1]
    for _ in range(200):
        close = cKDTree(points).query_pairs(separation, output_type="ndarray")
        if len(close) == 0:
            return points[:, 0], points[:, 1]
        again = np.unique(close.max(axis=1))
        points[again] = rng.uniform(-1, 1, (len(again), 2)) * half
    raise ConfigError(
        "the objects cannot be placed that far apart",
        key="simulate.minimum_separation",
        got=f"{separation} arcsec for {n} objects",
        remedy="Lower the separation or the densities of galaxies and stars.",
    )
