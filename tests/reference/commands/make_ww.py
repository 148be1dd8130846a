"""Stores what WeightWatcher 1.12 makes of the small case of tests/commands/test_ww.py.

python tests/reference/commands/make_ww.py
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from astropy.io import fits

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "commands"))
import test_ww  # noqa: E402


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        options = test_ww.stored_case()
        subprocess.run([test_ww.BINARY, *options], check=True, capture_output=True)
        stored = {
            "program": "WeightWatcher 1.12",
            "areas": {kind: fits.getheader(f"{kind}.fits")["EFF_AREA"] for kind in "fw"},
            **{kind: fits.getdata(f"{kind}.fits").tolist() for kind in "fw"},
        }
        os.chdir(HERE)
    (HERE / "ww.json").write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
