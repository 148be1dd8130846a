"""Remake the stored catalogues: simulated CCDs detected with SExtractor's binary, with the truth.

Run from the repository root: ``python tests/reference/select/remake.py``. The pixels follow from
the seeds; what SExtractor 2.25 measures on them is stored, one compressed file per CCD.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "benchmarks"))

from bench_select import simulate_catalogue  # noqa: E402

# name: seeing (arcsec), stars and galaxies per square arcminute, zero-point, kind of galaxies
CCDS = {
    "sharp": (0.4, 6, 50, 31.5, "normal"),
    "usual": (0.7, 6, 50, 31.5, "normal"),
    "empty": (0.7, 1, 20, 31.5, "normal"),
    "shallow": (1.0, 6, 20, 30.3, "normal"),
    "crowded": (1.0, 100, 20, 30.3, "normal"),
    "blurred": (1.3, 6, 50, 31.5, "normal"),
    "compact": (0.7, 30, 80, 31.5, "compact"),
}


def main() -> None:
    """Write all catalogues."""
    for seed, (name, (*numbers, kind)) in enumerate(CCDS.items(), start=50):
        table = simulate_catalogue(*numbers, kind=kind, seed=seed)
        columns = {column: np.asarray(table[column]) for column in table.colnames}
        np.savez_compressed(HERE / f"{name}.npz", **columns)
        print(name, len(table))


if __name__ == "__main__":
    main()
