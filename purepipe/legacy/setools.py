"""SETools' files (.setools)."""

from __future__ import annotations

import os

from purepipe.legacy.astromatic_files import read_text
from purepipe.select.recipe import Recipe, parse_recipe


def read_setools(path: str | os.PathLike[str]) -> Recipe:
    """The masks, splits, statistics, catalogues and plots that a .setools file asks for.

    `purepipe.select.apply_recipe` makes them from a catalogue.

    Raises
    ------
    InputFileError
        The file cannot be read.
    ConfigError
        The first mistake in it, with line, column and the nearest valid name.
    """
    return parse_recipe(read_text(path), file=path)
