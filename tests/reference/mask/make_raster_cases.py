"""Draw the polygons of raster_cases.json with WeightWatcher again and store what it sets.

The polygons and the first results come with WeightWatcher 1.12; run
``python make_raster_cases.py`` to renew `npix`, `sum_x0`, `sum_y0` and `sha1`.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from mask.weightwatcher import region_text, run_weightwatcher


def main():
    """Rewrite the file."""
    path = Path(__file__).parent / "raster_cases.json"
    cases = json.loads(path.read_text())
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            flags, _, _ = run_weightwatcher(
                Path(folder),
                [np.ones((case["ny"], case["nx"]), np.float32)],
                regions=[region_text([case["vertices_fits"]])],
                POLY_OUTFLAGS=2,
            )
        y, x = np.nonzero(flags)
        packed = np.packbits(flags > 0).tobytes()
        case |= {"npix": len(x), "sum_x0": int(x.sum()), "sum_y0": int(y.sum())}
        case["sha1"] = hashlib.sha1(packed).hexdigest()
    path.write_text(json.dumps(cases, indent=0) + "\n")


if __name__ == "__main__":
    main()
