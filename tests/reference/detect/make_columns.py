"""Remake columns.npz: further columns of source-extractor 2.25 on the field of exposure.npz.

Run from the repository root: ``python -m tests.reference.detect.make_columns``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.detect.cases import reference_field
from tests.detect.columns import REFERENCE, SIZED, entries, network_text, stored_names
from tests.detect.sextractor import EXPOSURE, run_sextractor

BASE = {
    **EXPOSURE, "STARNNW_NAME": "small.nnw", "PHOT_APERTURES": "5,8,13", "SEEING_FWHM": 0.7,
    "PHOT_FLUXFRAC": "0.3,0.8", "ASSOC_NAME": "sky.list", "ASSOC_DATA": "1,2,4",
    "ASSOC_PARAMS": "2,3,4", "ASSOC_RADIUS": 9, "ASSOCSELEC_TYPE": "ALL",
}  # fmt: skip


def main() -> None:
    """Run the original on each case and store its columns."""
    field = reference_field("exposure")
    rows = entries(field.image.shape)
    arrays = {"entries": rows}
    for case, (keys, _) in REFERENCE.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "small.nnw").write_text(network_text())
            lines = (" ".join(map(repr, row)) for row in rows.tolist())
            (folder / "sky.list").write_text("\n".join(lines))
            table, _ = run_sextractor(folder, field, {**BASE, **keys}, list(SIZED), checks=())
        for column in stored_names(case):
            values = np.asarray(table[column])
            arrays[f"{case} {column}"] = values.astype(values.dtype.newbyteorder("="))
    np.savez_compressed(Path(__file__).parent / "columns.npz", **arrays)


if __name__ == "__main__":
    main()
