"""Let tests of one room use the fields and cases of another."""

import sys
from pathlib import Path

from hypothesis import settings

# At the end, so that the installed package is tested, not the folder beside this one.
sys.path.append(str(Path(__file__).parents[1]))

# The same examples every time: what passes here passes on every machine. New ones are looked for
# with `pytest --hypothesis-profile=explore`.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("repeatable")
