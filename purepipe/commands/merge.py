"""``purepipe merge``: the catalogues of tiles as one, under the names of a ShapePipe version."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from purepipe.commands.console import guarded, say
from purepipe.config.survey import RunConfig
from purepipe.errors import ConfigError, InputFileError
from purepipe.io.layout import open_input
from purepipe.pipeline.merging import merge_files
from purepipe.survey.naming import NAMINGS, named, with_sentinels

if TYPE_CHECKING:
    from astropy.table import Table

CATALOGUES = "catalogue/final_cat-*.fits"


def main(arguments: list[str]) -> int:
    """Join final catalogues of tiles.

    Parameters
    ----------
    arguments
        ``CATALOGUE|RUN... --out FILE [--names NAMES] [--columns FILE]
        [--sentinels] [--primary] [--max-objects N] [--metadetect]``.

    Returns
    -------
    Exit status: 0 fine, 1 a catalogue cannot be used, 2 wrong configuration.
    """
    return guarded("merge", _run, arguments)


def _run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    names = _names(options.names)
    if options.metadetect and names != "purepipe":
        raise ConfigError(
            "metadetections have one set of names", key="--names", got=options.names,
            allowed="purepipe", remedy="Leave --names out, or --metadetect.",
        )  # fmt: skip
    pattern = "metadetect/metadetect_cat-*.fits" if options.metadetect else CATALOGUES
    paths = tile_catalogues(options.catalogues, pattern=pattern)
    columns = read_words(options.columns) if options.columns else None

    def change(table: Table) -> Table:
        return named(with_sentinels(table) if options.sentinels else table, names)

    merged = merge_files(
        paths, options.out, columns=columns, primary_only=options.primary, change=change,
        most=options.max_objects,
    )  # fmt: skip
    say(
        f"{len(paths)} tiles, {merged.objects} objects, {merged.primary} of them in their own tile:"
        f" {options.out}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "purepipe merge", description="Join final catalogues of tiles to one."
    )
    add = parser.add_argument
    add("catalogues", nargs="+", type=Path, help="catalogues of tiles, or folders of runs")
    add("--out", type=Path, required=True, help="the new catalogue; .parquet chooses Parquet")
    names = f"names of the columns: {', '.join(NAMINGS)}, or a file with lines 'old new'"
    add("--names", default="purepipe", help=names)
    add("--columns", type=Path, help="file that lists the columns to keep, one a line")
    most = "most objects to join (default: %(default)s)"
    add("--max-objects", type=int, default=RunConfig.max_merged_objects, help=most)
    add("--primary", action="store_true", help="leave out objects that belong to another tile")
    add("--sentinels", action="store_true",
        help="write ShapePipe's numbers for what was not measured, not NaN")  # fmt: skip
    add("--metadetect", action="store_true",
        help="of folders of runs, join the metadetections instead")  # fmt: skip
    return parser


def tile_catalogues(paths: Sequence[Path], *, pattern: str = CATALOGUES) -> list[Path]:
    """The catalogues of tiles that are named, or lie in folders of runs under a pattern of names.

    Raises
    ------
    InputFileError
        A folder holds no catalogue of a tile.
    """
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(path.glob(pattern))
        if not inside:
            raise InputFileError(
                "no catalogue of a tile in this folder", file=path, allowed=pattern,
                remedy="Name a run's folder after its end, or the catalogues themselves.",
            )  # fmt: skip
        found += inside
    return found


def read_words(path: Path) -> list[str]:
    """The words of a text file that begin its lines; ``#`` starts a comment.

    Raises
    ------
    ConfigError
        There is none.
    """
    words = [line[0] for line in _lines(path)]
    if not words:
        raise ConfigError("the file names no column", file=path)
    return words


def _names(text: str) -> str | dict[str, str]:
    if text in NAMINGS or not Path(text).is_file():
        return text
    pairs = {}
    for line in _lines(Path(text)):
        if len(line) != 2:
            raise ConfigError(
                "a line must hold an old and a new name", file=text, got=" ".join(line)
            )
        pairs[line[0]] = line[1]
    return pairs


def _lines(path: Path) -> list[list[str]]:
    with open_input(path) as stream:
        text = stream.read().decode("utf-8", "replace")
    lines = [line.split("#", 1)[0].split() for line in text.splitlines()]
    return [line for line in lines if line]
