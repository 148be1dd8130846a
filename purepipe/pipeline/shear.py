"""The mean shear of a catalogue, and its comparison with a known truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ShearRow:
    """Recovered shear of one tile beside the true one; errors are 1 sigma."""

    tile: str
    objects: int
    true: tuple[float, float]
    recovered: tuple[float, float]
    error: tuple[float, float]


@dataclass(frozen=True)
class ShearComparison:
    """All tiles, and the bias of the recovered shear: g = (1 + m) g_true + c, per component."""

    rows: tuple[ShearRow, ...]
    m: tuple[float, float]
    m_error: tuple[float, float]
    c: tuple[float, float]
    c_error: tuple[float, float]
