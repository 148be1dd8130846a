"""Make sex/*.cat.gz again: what SExtractor writes for the stored cases of ``purepipe sex``.

Run from the top of the repository: ``python tests/reference/commands/make_sex.py``. Needs
source-extractor (2.25 was used).
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))

from tests.commands.sex_cases import CASES, STORED, arguments, write_case  # noqa: E402
from tests.commands.sex_files import run_original  # noqa: E402


def main() -> None:
    for name in STORED:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write_case(folder, CASES[name])
            run_original(folder, *arguments(CASES[name], "theirs"))
            data = (folder / "theirs.cat").read_bytes()
        target = HERE / "sex" / f"{name.replace(' ', '_')}.cat.gz"
        target.write_bytes(gzip.compress(data, mtime=0))


if __name__ == "__main__":
    main()
