"""Remake spread.npz: SPREAD_MODEL of source-extractor 2.25 on the field of exposure.npz.

Run from the repository root: ``python -m tests.reference.detect.make_spread``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from purepipe.io.psf_file import write_psf
from tests.detect.cases import reference_field
from tests.detect.sextractor import EXPOSURE, run_sextractor
from tests.detect.spread import COLUMNS, moffat_psf


def main() -> None:
    """Run the original and store its columns."""
    field = reference_field("exposure")
    with tempfile.TemporaryDirectory() as name:
        psf = moffat_psf(field.image.shape, sampling=0.8, degree=2)
        write_psf(Path(name) / "field.psf", psf)
        keys = {**EXPOSURE, "PSF_NAME": "field.psf"}
        table, _ = run_sextractor(Path(name), field, keys, list(COLUMNS), checks=())
    arrays = {column: np.asarray(table[column]) for column in COLUMNS}
    native = {key: value.astype(value.dtype.newbyteorder("=")) for key, value in arrays.items()}
    np.savez_compressed(Path(__file__).parent / "spread.npz", **native)


if __name__ == "__main__":
    main()
