"""Compare a catalogue with the original program's."""

from __future__ import annotations

from typing import Any

import numpy as np

# These pass through projections of other libraries; the rest is the same arithmetic.
WORLD = {
    "X_WORLD": 1e-14, "Y_WORLD": 1e-14, "XWIN_WORLD": 1e-14, "YWIN_WORLD": 1e-14,
    "FWHM_WORLD": 2e-7, "MU_MAX": 2e-7, "MU_THRESHOLD": 2e-7,
}  # fmt: skip


def assert_same(table: Any, original: Any, names: Any, *, exact: bool) -> None:
    """All rows agree: to the bit, or to the last bits that another libm may change."""
    assert len(table) == len(original["NUMBER"])
    for name in names:
        ours, theirs = np.asarray(table[name]), np.asarray(original[name])
        assert ours.dtype == theirs.dtype.newbyteorder("="), name
        if name in WORLD:
            np.testing.assert_allclose(ours, theirs, rtol=WORLD[name], err_msg=name)
        elif exact or ours.dtype.kind == "i":
            # The windowed position adds up shifts; its last bit depends on the compiler.
            rtol = 1e-15 if name in ("XWIN_IMAGE", "YWIN_IMAGE") else 0
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=0, err_msg=name)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=3e-7, atol=1e-9, err_msg=name)
