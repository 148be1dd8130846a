"""Turned exposures of round sources about a cell."""

import math

import numpy as np

from purepipe.shapes.cell_epochs import CellEpoch

SCALE = 0.2
JAC = SCALE * np.eye(2)
SIDE = 128
SIGMA = 1.8  # of the PSF, pixels


def gaussian(x, y, x0, y0, width, flux):
    r2 = (x - x0) ** 2 + (y - y0) ** 2
    return flux * np.exp(-0.5 * r2 / width**2) / (2 * math.pi * width**2)


def turned(angle, scale=1.0):
    c, s = math.cos(angle), math.sin(angle)
    return scale * np.array([[c, -s], [s, c]])


def make_epoch(area, sources, *, angle=0.2, scale=1.05, shift=(3.3, -1.7), noise=0.0, seed=0):
    """An exposure turned and scaled about the cell, whose round sources are known there."""
    rng = np.random.default_rng(seed)
    size = 200
    from_cell = np.linalg.inv(turned(angle, scale))
    middle = np.array([size / 2 + shift[0], size / 2 + shift[1]])
    y, x = np.mgrid[:size, :size].astype(float)
    image = np.zeros((size, size))
    for sx, sy, width, flux in sources:
        place = middle + from_cell @ (np.array([sx, sy]) - area.centre)
        image += gaussian(x, y, *place, width / scale, flux)
    image += noise * rng.standard_normal(image.shape)
    nodes = np.stack(area.nodes())
    places = middle[:, None] + from_cell @ (nodes - np.array(area.centre)[:, None])
    stamp = np.arange(41) - 20
    psf = gaussian(stamp[None, :], stamp[:, None], 0, 0, SIGMA / scale, 1.0)
    return CellEpoch(
        image.astype(np.float32), np.zeros(image.shape, bool), psf.astype(np.float32),
        JAC @ turned(angle, scale), places[0], places[1], f"epoch {seed}",
    )  # fmt: skip
