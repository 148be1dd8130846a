"""Small simulated fields, made with numpy alone so that any machine makes the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Field:
    image: NDArray[np.float32]
    weight: NDArray[np.float32]
    flags: NDArray[np.int32]


def header(shape: tuple[int, int]) -> str:
    """FITS cards of a tangential projection, 0.187 arcsec per pixel, slightly turned."""
    scale = 0.187 / 3600
    cards = {
        "CTYPE1": "'RA---TAN'", "CTYPE2": "'DEC--TAN'", "CUNIT1": "'deg'", "CUNIT2": "'deg'",
        "CRVAL1": 210.1, "CRVAL2": 54.3, "CRPIX1": shape[1] / 2 + 0.25, "CRPIX2": shape[0] / 2,
        "CD1_1": -scale * 0.9998, "CD1_2": scale * 0.02, "CD2_1": scale * 0.02,
        "CD2_2": scale * 0.9998, "EQUINOX": 2000.0, "RADESYS": "'ICRS'",
    }  # fmt: skip
    cards = {"NAXIS": 2, "NAXIS1": shape[1], "NAXIS2": shape[0], **cards}
    text = {k: f"{v:20.12E}" if isinstance(v, float) else f"{v:>20}" for k, v in cards.items()}
    return "".join(f"{key:8s}= {value}".ljust(80) for key, value in text.items())


def make_field(
    shape: tuple[int, int],
    sources: int,
    *,
    seed: int,
    sky: float = 600.0,
    noise: float = 12.0,
    holes: bool = True,
    varying: bool = True,
    clusters: int = 0,
    width: float = 2.6,
) -> Field:
    """Stars and disks on a noisy sky, with bad columns, holes and uneven weights."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    yy, xx = np.mgrid[:ny, :nx]
    image = np.full(shape, sky) + sky * 0.02 * (xx / nx - 0.3 * yy / ny)
    positions = rng.uniform(-3, 1, (sources, 2)) * 0 + rng.uniform(-2, 2, (sources, 2))
    positions += rng.uniform(0, 1, (sources, 2)) * [nx, ny]
    for k in range(clusters):
        positions[k * 6 : k * 6 + 6] = positions[k * 6] + rng.normal(0, 6, (6, 2))
    for x, y in positions:
        flux = 10 ** rng.uniform(2.9, 5.2)
        _add_source(image, x, y, flux, rng, star=rng.random() < 0.5, width=width)
    weight = np.ones(shape)
    if varying:
        weight *= 1 + 0.5 * np.sin(xx / 97) * np.cos(yy / 71)
    image += rng.normal(0, noise, shape) / np.sqrt(weight)
    image += rng.normal(0, 1, shape) * np.sqrt(np.maximum(image - sky, 0) / 2)
    flags = np.zeros(shape, np.int32)
    if holes:
        _damage(image, weight, flags, rng)
    return Field(image.astype(np.float32), (weight * 0.01).astype(np.float32), flags)


def _add_source(image, x, y, flux, rng, *, star, width):
    ny, nx = image.shape
    size = 40
    x0, x1 = max(int(x) - size, 0), min(int(x) + size + 1, nx)
    y0, y1 = max(int(y) - size, 0), min(int(y) + size + 1, ny)
    if x0 >= x1 or y0 >= y1:
        return
    yy, xx = np.mgrid[y0:y1, x0:x1]
    dx, dy = xx - x, yy - y
    if star:
        profile = (1 + (dx**2 + dy**2) / width**2) ** -3.0
    else:
        q, angle, scale = rng.uniform(0.3, 1), rng.uniform(0, np.pi), rng.uniform(1.5, 4)
        u = dx * np.cos(angle) + dy * np.sin(angle)
        v = (-dx * np.sin(angle) + dy * np.cos(angle)) / q
        profile = np.exp(-np.sqrt(u**2 + v**2 + 0.5) / scale)
    image[y0:y1, x0:x1] += flux * profile / profile.sum()


def _damage(image, weight, flags, rng):
    ny, nx = image.shape
    for column in rng.integers(0, nx, 3):
        weight[:, column] = 0
        image[:, column] = 0
    x, y = rng.integers(0, nx - 60), rng.integers(0, ny - 40)
    weight[y : y + 30, x : x + 45] = 0
    image[y : y + 30, x : x + 45] = 0
    for _ in range(40):
        x, y = rng.integers(0, nx - 3), rng.integers(0, ny - 3)
        image[y, x : x + 3] += 4000
        flags[y, x : x + 3] = 64
        weight[y, x : x + 2] = 0
    flags[:, : nx // 20] |= 4
