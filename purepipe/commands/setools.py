"""``purepipe setools``: the products of a .setools file for one catalogue or many."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from purepipe.commands.console import guarded, say
from purepipe.errors import ConfigError
from purepipe.io.ldac import count_extensions, read_ldac
from purepipe.io.selection import write_products
from purepipe.legacy.setools import read_setools
from purepipe.select.products import Mask, Products, apply_recipe
from purepipe.select.recipe import Recipe

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Select objects as a .setools file says, and write what it asks for.

    Parameters
    ----------
    arguments
        ``CATALOGUE... -c FILE --out DIR [--seed N] [--no-plots]``.

    Returns
    -------
    Exit status: 0 fine, 1 a catalogue cannot be used, 2 wrong configuration.
    """
    return guarded("setools", _run, arguments)


def _run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    recipe = read_setools(options.config)
    numbers = file_numbers(options.catalogues)
    status = 0

    def work(item: tuple[Path, str]) -> int:
        return _work(recipe, *item, options)

    for path, number in zip(options.catalogues, numbers, strict=True):
        # One catalogue that cannot be used does not stop the others.
        status = max(status, guarded("setools", work, (path, number)))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "purepipe setools", description="Select objects as a .setools file says."
    )
    add = parser.add_argument
    add("catalogues", nargs="+", type=Path, help="FITS_LDAC catalogues")
    add("-c", "--config", type=Path, required=True, help=".setools file")
    add("--out", type=Path, required=True, help="folder of mask, rand_split, stat, plot, new_cat")
    add("--seed", type=int, default=0, help="seed of the random splits; default: 0")
    add("--no-plots", action="store_true", help="draw no plots")
    return parser


def file_numbers(paths: Sequence[Path]) -> list[str]:
    """The numbers at the end of file names: ``-2079614-9`` of ``sexcat-2079614-9.fits``.

    Empty for a name without a number.

    Raises
    ------
    ConfigError
        Two files have the same number, so that their products would have one name.
    """
    numbers = []
    for path in paths:
        match = re.search(r"(?:-\d+)+$", path.name.split(".")[0])
        numbers.append(match.group() if match else "")
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        both = [str(path) for path, number in zip(paths, numbers, strict=True) if number == twice]
        raise ConfigError(
            "two catalogues have the same number, and their products would have one name",
            got=", ".join(both), remedy="Select from them in two runs with different --out.",
        )  # fmt: skip
    return numbers


def _work(recipe: Recipe, path: Path, number: str, options: argparse.Namespace) -> int:
    count = count_extensions(path)
    if count > 1:
        log.warning("%s has %d extensions; as in SETools only the first is used", path, count)
    table = read_ldac(path)
    products = apply_recipe(
        recipe, table, seed=options.seed, unit=number, plots=not options.no_plots
    )
    report = format_report(products, len(table), seed=options.seed)
    written = write_products(options.out, products, table, number=number, report=report)
    say(f"{path}\n{report}{len(written)} files in {options.out}")
    return 0


def format_report(products: Products, n_rows: int, *, seed: int) -> str:
    """How many rows each condition of each mask removes and leaves, and what could not be made."""
    lines = [f"{n_rows} rows, seed {seed}"]
    for mask in products.masks.values():
        lines += _mask_lines(mask)
    for split in products.splits:
        drawn = f"{len(split.drawn)} rows drawn, {len(split.rest)} left"
        lines.append(f"{split.name}: {'not made, ' if split.empty else ''}{drawn}")
    return "\n".join(lines) + "\n"


def _mask_lines(mask: Mask) -> list[str]:
    kept = int(np.count_nonzero(mask.rows))
    lines = [f"{mask.name}: {kept} of {len(mask.rows)} rows{'' if kept else ' - EMPTY'}"]
    before = len(mask.rows)
    for text, _, left in mask.counts:
        lines.append(f"  {' '.join(text.split()):55} removes {before - left:7d}, leaves {left:7d}")
        before = left
    return lines
