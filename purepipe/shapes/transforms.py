"""Transforms of stamps to the frequency lattice."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

# Interpolation between modes: neighbours, phases of the table, and the window's parameter, for
# stamps that fill less than two fifths of the dense period.
_TAPS, _PHASES = 6, 4096
_BETA = 0.8 * math.pi * _TAPS


def lattice_period(side: int) -> int:
    """Period of the frequency lattice in pixels: the stamp and room for the reconvolution."""
    return side + 13


@functools.lru_cache(maxsize=32)
def _table(side: int, period: int, modes: int) -> NDArray[np.float32]:
    """(side, 2 modes): cosines and sines of k x, x from the stamp's centre."""
    angle = np.outer(np.arange(side) - (side - 1) / 2, 2 * np.pi / period * np.arange(modes))
    table = np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    table.flags.writeable = False
    return table


def transform(stamps: NDArray[np.float32], period: int, modes: int) -> NDArray[np.float32]:
    """(n, 2 modes, 2 modes) products of stamps with cosines and sines along both axes.

    One matrix product per stamp and axis, so that no result depends on its neighbours.
    """
    table = _table(stamps.shape[-1], period, modes)
    products: NDArray[np.float32] = np.matmul(table.T, np.matmul(stamps, table))
    return products


def dense_transforms(
    noise: NDArray[np.float32], psfs: NDArray[np.float32], period: int, modes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """What rotated noise needs: transforms at twice as many modes, and how to read between them.

    Empty arrays where there are no noise stamps.

    Stamps are divided by the transform of the interpolating window first (Kaiser & Bessel's, as in
    Jackson et al. 1991, IEEE Trans. Med. Imaging 10, 473); errors are a few 1e-6.
    """
    from purepipe.shapes.noise_nb import DENSER

    if not len(noise):
        empty = np.empty((0, 0, 0), np.float32)
        return empty, empty, np.empty((0, 0))
    number = int(DENSER) * modes + 2 * _TAPS
    fine = int(DENSER) * period
    dense = []
    for stamps in (noise, psfs):
        window = _window_transform(stamps.shape[-1], fine)
        dense.append(transform(stamps / np.outer(window, window), fine, number))
    return dense[0], dense[1], _gridding_taps()


def _window_transform(side: int, period: int) -> NDArray[np.float32]:
    """(side,) transform of the window at the pixels of a stamp."""
    angle = 2 * np.pi / period * (np.arange(side) - (side - 1) / 2)
    root = np.sqrt(_BETA**2 - (0.5 * _TAPS * angle) ** 2)
    window: NDArray[np.float64] = _TAPS * np.sinh(root) / root
    return window.astype(np.float32)


@functools.lru_cache(maxsize=1)
def _gridding_taps() -> NDArray[np.float64]:
    """(phase, tap) values of the window at the distances from a frequency to its neighbours."""
    from scipy import special

    phase = np.arange(_PHASES + 1)[:, None] / _PHASES
    distance = phase - (np.arange(_TAPS) - _TAPS // 2 + 1)
    inside = np.maximum(1.0 - (2.0 * distance / _TAPS) ** 2, 0.0)
    taps: NDArray[np.float64] = special.i0(_BETA * np.sqrt(inside))
    taps.flags.writeable = False
    return taps
