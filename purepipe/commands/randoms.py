"""``purepipe randoms``: random points in the unmasked area of tiles."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table

from purepipe.commands.console import guarded, say
from purepipe.errors import InputFileError, NothingToDo
from purepipe.io.images import read_image
from purepipe.io.tables import write_table
from purepipe.survey.merge import merge_tiles
from purepipe.survey.numbering import TILE_SCHEME, number_of
from purepipe.survey.randoms import random_points
from purepipe.wcs import WCS


def main(arguments: list[str]) -> int:
    """Draw random points on the unmasked pixels of tiles.

    Parameters
    ----------
    arguments
        ``RUN|MASK... --out FILE (--number N | --density D) [--seed N] [--bits N]``.

    Returns
    -------
    Exit status: 0 fine, 1 a mask cannot be used or a tile has no unmasked pixel, 2 wrong
    configuration.
    """
    return guarded("randoms", _run, arguments)


def _run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    tables, status = [], 0
    for path, tile in tile_masks(options.masks):
        try:
            tables.append(_of_tile(path, tile, options))
        except NothingToDo as nothing:  # the other tiles have points all the same
            sys.stderr.write(f"purepipe randoms: {path}: {nothing}\n")
            status = 1
            continue
        meta = tables[-1].meta
        say(
            f"{tile}: {len(tables[-1])} points on {meta['UNMASKED']:.2f} of {meta['AREA']:.2f}"
            f" arcmin2, {meta['UNMASKED'] / meta['AREA']:.1%} unmasked"
        )
    if not tables:
        raise NothingToDo("no tile has unmasked pixels", remedy="Choose other --bits, or tiles.")
    merged = merge_tiles(tables)
    write_table(options.out, merged, extname="RANDOMS")
    primary = int(np.count_nonzero(np.asarray(merged["PRIMARY"])))
    say(f"{len(merged)} points, {primary} of them in their own tile: {options.out}")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "purepipe randoms", description="Random points in the unmasked area of tiles."
    )
    add = parser.add_argument
    add("masks", nargs="+", type=Path, help="folders of runs, or flag maps of tiles")
    add("--out", type=Path, required=True, help="the catalogue; .parquet chooses Parquet")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--number", type=int, help="points per tile")
    wanted.add_argument("--density", type=float, help="points per arcmin2 of unmasked area")
    add("--seed", type=int, default=0, help="seed; default: 0")
    add("--bits", type=int, help="mask bits that count; default: all")
    return parser


def tile_masks(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Masks of tiles and the numbers of the tiles, from files or folders of runs.

    Raises
    ------
    InputFileError
        A folder holds no mask of a tile, or the name of a file no tile number.
    """
    found = []
    for path in paths:
        if not path.is_dir():
            folder = path.resolve().parent
            of_run = path.name == "mask.fits" and folder.parent.name == "tile"
            found.append((path, folder.name if of_run else number_of(path, TILE_SCHEME)))
            continue
        inside = sorted((path / "tile").glob("*/mask.fits"))
        if not inside:
            raise InputFileError(
                "no mask of a tile in this folder", file=path,
                remedy="Name a run's folder, or the flag maps themselves.",
            )  # fmt: skip
        found += [(mask, mask.parent.name) for mask in inside]
    return found


def _of_tile(path: Path, tile: str, options: argparse.Namespace) -> Table:
    mask, header = read_image(path)
    return random_points(
        mask, WCS.from_header(header, mask.shape), tile=tile, number=options.number,
        density=options.density, bits=options.bits, seed=options.seed,
    )  # fmt: skip
