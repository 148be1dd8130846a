"""After `warm_up` a run compiles nothing."""

import os
import subprocess
import sys

CODE = """
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
import purepipe
from purepipe.pipeline import load_survey, run, warm_up

kernels = {}
root = Path(purepipe.__file__).parent
for path in sorted(root.rglob("*_nb.py")):
    name = ".".join(["purepipe", *path.relative_to(root).with_suffix("").parts])
    for word, item in vars(import_module(name)).items():
        # Others have no machine code of their own.
        if type(item).__name__ == "CPUDispatcher" and item.__module__ == name:
            kernels[f"{name}.{word}"] = item

config = load_survey(Path(sys.argv[1]))
metadetect = replace(config.tile.metadetect, enabled=True)
config = replace(
    config, out=Path(sys.argv[2]), tile=replace(config.tile, metadetect=metadetect)
)
warm_up()
before = {name: set(item.signatures) for name, item in kernels.items()}
assert sum(map(bool, before.values())) > 20, before
summary = run(config, workers=1)
assert summary.exit_code == 0, summary
for name, item in kernels.items():
    for types in set(item.signatures) - before[name]:
        print("compiled by the run:", name, types)
"""


def test_a_run_compiles_nothing_after_warm_up(survey, tmp_path):
    # In a process of its own: others have compiled what they needed before.
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE, survey, tmp_path / "run"],
        capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
