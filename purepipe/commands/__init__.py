"""Commands that check their arguments themselves: the original programs, and tools for files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

# These take the original programs' arguments, which no option parser of ours would understand.
ORIGINALS = {
    "psfex": "Fit PSF models as psfex does: CATALOG... -c default.psfex -KEY value ...",
    "setools": "Select objects as SETools does: CATALOG... -c selection.setools --out DIR",
    "sex": "Make catalogues as sex does: IMAGE[,IMAGE2] -c default.sex -KEY value ...",
    "stars": "Write the star catalogue of each image: IMAGE... --out DIR --catalogue FILE",
    "ww": "Combine weight and flag maps as ww does: -c default.ww -KEY value ...",
}

# These take files and folders, and check their arguments themselves.
TOOLS = {
    "columns": "Say what the columns of the catalogues mean: [NAME|PATTERN] [--value BITS]",
    "find": "Name the images that touch an area: FILE... --cone RA,DEC,R | --box ... | --polygon",
    "match": "Add the columns of an external catalogue: CATALOGUE EXTERNAL --out FILE",
    "merge": "Join the catalogues of tiles: CATALOGUE|RUN... --out FILE --names v1|v2|purepipe",
    "randoms": "Draw random points in the unmasked area: RUN|MASK... --out FILE --density D",
    "skymaps": "HEALPix maps of coverage and masked fraction: RUN|MASK... --out DIR",
}


def run_program(arguments: Sequence[str]) -> int | None:
    """Exit status of the command that the first argument names; None if it is no such command.

    This module and the commands import what they need only, for quick starts.
    """
    if not arguments or arguments[0] not in {**ORIGINALS, **TOOLS}:
        return None
    status: int = import_module(f"purepipe.commands.{arguments[0]}").main(list(arguments[1:]))
    return status
