"""Kernels that cut stamps around objects, as they are or centred to a fraction of a pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel
from purepipe.detect.pixels_nb import is_masked
from purepipe.detect.records_nb import BIG, Mask, Plane

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose

LANCZOS = 4  # zeros of the resampling kernel on either side


@inner_kernel
def cut_vignet(
    plane: Plane, mask: Mask, label: int, x: Number, y: Number, lines: tuple[int, int], out: Array
) -> None:
    """Stamp of the image around the object; -1e30 for masked pixels and beyond the image.

    Nothing but -1e30 where the centre is no longer in the line buffer.
    """
    h, w = out.shape
    centre_x, centre_y = int(x + 0.49999), int(y + 0.49999)
    width = plane.image.shape[1]
    if not (lines[0] <= centre_y < lines[1] and 0 <= centre_x < width):
        out[:] = -BIG
        return
    x0, y0 = centre_x - w // 2, centre_y - h // 2
    for j in range(h):
        for i in range(w):
            py, px = y0 + j, x0 + i
            inside = lines[0] <= py < lines[1] and 0 <= px < width
            if inside and not is_masked(mask, label, py, px):
                out[j, i] = plane.image[py, px]
            else:
                out[j, i] = -BIG


@inner_kernel
def _lanczos_weights(shift: float, weights: Array) -> None:
    """Values of the Lanczos kernel at the pixels -4 to 4 for a position `shift`; their sum is 1."""
    total = 0.0
    for i in range(weights.size):
        t = math.pi * (i - LANCZOS - shift)
        if abs(t) < 1e-5:
            weights[i] = 1.0
        elif abs(t) < LANCZOS * math.pi:
            weights[i] = math.sin(t) * math.sin(t / LANCZOS) * LANCZOS / (t * t)
        else:
            weights[i] = 0.0
        total += weights[i]
    for i in range(weights.size):
        weights[i] /= total


@inner_kernel
def shift_vignet(
    plane: Plane, mask: Mask, label: int, x: Number, y: Number, lines: tuple[int, int], out: Array
) -> None:
    """Stamp resampled (Lanczos, 8 x 8 pixels) so that the object is at the centre of a pixel.

    Beyond the image it is dark, and all of it where the centre is no longer in the line buffer.
    Pixels that would need a masked one are -1e30; there the original has numbers of up to 1e30 of
    either sign.
    """
    h, w = out.shape
    xc, yc = int(x + 0.49999), int(y + 0.49999)
    along, across = np.empty(2 * LANCZOS + 1), np.empty(2 * LANCZOS + 1)
    _lanczos_weights(np.float64(np.float32(x)) - xc, along)
    _lanczos_weights(np.float64(np.float32(y)) - yc, across)
    width = plane.image.shape[1]
    if not (lines[0] <= yc < lines[1] and 0 <= xc < width):
        out[:] = 0
        return
    x0, y0 = xc - w // 2 - LANCZOS, yc - h // 2 - LANCZOS
    for j in range(h):
        for i in range(w):
            total = 0.0
            blank = False
            for b in range(across.size):
                py = y0 + j + b
                if not lines[0] <= py < lines[1] or across[b] == 0:
                    continue
                row = 0.0
                for a in range(along.size):
                    px = x0 + i + a
                    if 0 <= px < width and along[a] != 0:
                        blank |= is_masked(mask, label, py, px)
                        row += along[a] * plane.image[py, px]
                total += across[b] * row
            out[j, i] = -BIG if blank else np.float32(total)
