"""Remake configurations.npz and fields.npz: catalogues of source-extractor 2.25, in few columns.

Run from the repository root: ``python -m tests.reference.detect.make_stored``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.detect.original import run_original
from tests.detect.sextractor import EXPOSURE
from tests.detect.stored import COLUMNS, Stored, configurations, fields, real

HERE = Path(__file__).parent


def catalogue(case: Stored) -> np.ndarray:
    """The original's catalogue as a structured array."""
    with tempfile.TemporaryDirectory() as name:
        table, _ = run_original(
            Path(name), case.images, {**EXPOSURE, **case.keys}, COLUMNS, command=case.command
        )
    columns = [np.asarray(table[column]) for column in COLUMNS]
    types = [
        (column, values.dtype.newbyteorder("="), values.shape[1:])
        for column, values in zip(COLUMNS, columns, strict=True)
    ]
    rows = np.empty(len(table), types)
    for column, values in zip(COLUMNS, columns, strict=True):
        rows[column] = values
    return rows


def store(file: str, cases: Iterable[tuple[str, Stored]]) -> None:
    """Write the catalogues and the digests of the images they were made from."""
    arrays = {}
    for name, case in cases:
        arrays[name] = catalogue(case)
        arrays[f"SHA1 {name}"] = np.array(case.digest)
        print(f"{name}: {len(arrays[name])} objects")
    np.savez_compressed(HERE / file, **arrays)


if __name__ == "__main__":
    with np.load(HERE / "exposure.npz") as base:
        store("configurations.npz", configurations(dict(base)))
    store("fields.npz", [*fields(), ("M 13", real())])
