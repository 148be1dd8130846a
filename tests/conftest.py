"""Let tests of one room use the fields and cases of another."""

import sys
from pathlib import Path

# At the end, so that the installed package is tested, not the folder beside this one.
sys.path.append(str(Path(__file__).parents[1]))
