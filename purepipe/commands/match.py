"""``purepipe match``: a catalogue with the columns of an external one."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from purepipe.commands.console import guarded, say
from purepipe.errors import ConfigError
from purepipe.io.tables import read_table, write_table
from purepipe.survey.match import match_external


def main(arguments: list[str]) -> int:
    """Match a catalogue with an external one on the sky.

    Parameters
    ----------
    arguments
        ``CATALOGUE EXTERNAL --out FILE [--tolerance ARCSEC] [--columns A,B] [--all] ...``.

    Returns
    -------
    Exit status: 0 fine, 1 a catalogue cannot be used, 2 wrong configuration.
    """
    return guarded("match", _run, arguments)


def _run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    objects = read_table(options.catalogue, options.hdu)
    table = match_external(
        objects, read_table(options.external, options.external_hdu),
        tolerance=options.tolerance, positions=_pair(options.positions, "--positions"),
        external_positions=_pair(options.external_positions, "--external-positions"),
        columns=options.columns.split(",") if options.columns else None, prefix=options.prefix,
        keep_all=options.all, missing=options.missing,
    )  # fmt: skip
    write_table(options.out, table, extname="MATCHED")
    matches = int(np.count_nonzero(np.asarray(table[f"{options.prefix}MATCHED"])))
    say(f"{matches} of {len(objects)} objects matched: {options.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "purepipe match", description="Add the columns of the nearest external object."
    )
    add = parser.add_argument
    add("catalogue", type=Path, help="FITS table or Parquet")
    add("external", type=Path, help="external catalogue, FITS table or Parquet")
    add("--out", type=Path, required=True, help="the new catalogue; .parquet chooses Parquet")
    add("--tolerance", type=float, default=0.3, help="arcsec; default: 0.3")
    add("--positions", default="XWIN_WORLD,YWIN_WORLD", help="own columns of RA and Dec")
    add("--external-positions", default="ra,dec", help="external columns of RA and Dec")
    add("--columns", help="external columns to copy, joined by commas; default: all")
    add("--prefix", default="", help="put before the names of the new columns")
    add("--all", action="store_true", help="keep objects without a match")
    add("--missing", type=float, help="number for objects without a match; default: NaN or -1")
    add("--hdu", type=_hdu, help="HDU of the catalogue; default: the first table")
    add("--external-hdu", type=_hdu, help="HDU of the external catalogue")
    return parser


def _hdu(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _pair(text: str, option: str) -> tuple[str, str]:
    names = text.split(",")
    if len(names) != 2:
        raise ConfigError("two columns are needed", key=option, got=text, allowed="RA,DEC")
    return names[0], names[1]
