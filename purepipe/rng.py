"""Random numbers that do not depend on order, batches, workers or resuming.

Every stream is named by the survey seed, a purpose and the identity of the thing it serves: a
unit's name, or an object's sky position. Nothing else may create a generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def _digest(seed: int, purpose: str, keys: Sequence[object]) -> int:
    text = "\x1f".join([str(int(seed)), purpose, *(str(key) for key in keys)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(seed: int, purpose: str, *keys: object) -> np.random.Generator:
    """A generator whose stream is fixed by (seed, purpose, keys) alone.

    Parameters
    ----------
    seed
        The survey's seed.
    purpose
        What the numbers are for, for instance ``"reserve stars"``.
    keys
        Identity of the unit: exposure name, CCD number, tile.
    """
    import numpy as np

    return np.random.Generator(np.random.Philox(key=_digest(seed, purpose, keys)))


def object_seeds(seed: int, purpose: str, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.uint64]:
    """One 64-bit seed per object, fixed by its sky position alone.

    Parameters
    ----------
    seed, purpose
        As for `generator`.
    ra, dec
        Sky positions, degrees; every bit counts.

    Returns
    -------
    Array of the shape of `ra`; never zero, so it can start an xorshift generator.
    """
    import numpy as np

    start = np.uint64(_digest(seed, purpose, ()) & 0xFFFFFFFFFFFFFFFF)
    ra = np.atleast_1d(np.ascontiguousarray(ra, dtype=np.float64)) + 0.0  # -0.0 becomes +0.0
    dec = np.atleast_1d(np.ascontiguousarray(dec, dtype=np.float64)) + 0.0
    with np.errstate(over="ignore"):
        mixed = _splitmix(ra.view(np.uint64) ^ start)
        mixed = _splitmix(dec.view(np.uint64) ^ mixed)
    return np.where(mixed == 0, np.uint64(1), mixed)


def _splitmix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014, OOPSLA)."""
    import numpy as np

    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
