"""Remake the stored results of the original program; needs source-extractor.

Run from the repository root: ``python -m tests.reference.detect.make_reference``.
The images are made by ``tests/detect/fields.py`` and stored beside the results.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.detect.cases import ALL_COLUMNS, REFERENCES, original_columns, reference_field
from tests.detect.sextractor import run_sextractor

HERE = Path(__file__).parent
HASHED = ("BACKGROUND", "-BACKGROUND", "FILTERED")


def digest(image: Any) -> str:
    """SHA-1 of an image as native float32."""
    return hashlib.sha1(np.ascontiguousarray(image, np.float32).tobytes()).hexdigest()


def make(name: str) -> None:
    """Run the original program on one field and store field, catalogue and check images."""
    keys, _, _ = REFERENCES[name]
    field = reference_field(name)
    with tempfile.TemporaryDirectory() as folder:
        table, images = run_sextractor(Path(folder), field, keys, original_columns())
    arrays = {
        column: np.asarray(table[column]).astype(table[column].dtype.newbyteorder("="))
        for column in ALL_COLUMNS
        if column != "VIGNET"
    }
    arrays["VIGNET_SHA1"] = np.array([digest(stamp) for stamp in table["VIGNET"]])
    for check in HASHED:
        arrays[f"SHA1 {check}"] = np.array(digest(images[check]))
    for check in ("MINIBACKGROUND", "MINIBACK_RMS"):
        arrays[check] = images[check].astype(np.float32)
    arrays["SEGMENTATION"] = images["SEGMENTATION"].astype(np.int16)
    arrays["image"] = field.image.astype(np.int16)
    arrays["weight"] = np.round(field.weight * 4096).astype(np.int16)
    arrays["flags"] = field.flags.astype(np.int16)
    np.savez_compressed(HERE / f"{name}.npz", **arrays)


if __name__ == "__main__":
    for case in REFERENCES:
        make(case)
