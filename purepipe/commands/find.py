"""``purepipe find``: the images that touch a part of the sky, from their headers alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from purepipe.commands.console import guarded, say
from purepipe.errors import ConfigError, InputFileError, PurepipeError
from purepipe.io.ccd_files import list_units, read_ccd_headers, write_ccd_headers
from purepipe.io.layout import fits_layout
from purepipe.io.original_headers import read_original_headers
from purepipe.survey.area import SkyArea, box, cone, polygon, select_ccds
from purepipe.survey.numbering import EXPOSURE_SCHEME, TILE_SCHEME, number_string
from purepipe.survey.split import CCDUnit


def main(arguments: list[str]) -> int:
    """Name the exposures and tiles that touch an area.

    Parameters
    ----------
    arguments
        ``IMAGE|HEADERS... (--cone RA,DEC,R | --box R0,R1,D0,D1 | --polygon RA,DEC,...)
        [--ccds] [--write-headers FILE]``.

    Returns
    -------
    Exit status: 0 fine, 1 a file cannot be used, 2 wrong configuration.
    """
    return guarded("find", _run, arguments)


def _run(arguments: list[str]) -> int:
    options = _parser().parse_args(_joined(arguments))
    area = _area(options)
    if area is None and options.write_headers is None:
        raise ConfigError(
            "nothing to do", key="find",
            remedy="Give --cone, --box or --polygon, or --write-headers.",
        )  # fmt: skip
    status = 0
    all_units: list[tuple[Path, list[CCDUnit]]] = []
    for path in options.files:
        try:
            units = _units(path, allow_pickled=options.allow_pickled)
        except PurepipeError as error:  # the other files are searched all the same
            sys.stderr.write(f"purepipe find: {error}\n")
            status = 1
            continue
        all_units.append((path, units))
        if area is not None:
            status = max(status, _report(path, units, area, ccds=options.ccds))
    if options.write_headers is not None:
        kept, doubles = _each_once(all_units)
        for line in doubles:
            sys.stderr.write(f"purepipe find: {line}\n")
        write_ccd_headers(options.write_headers, kept)
        status = max(status, int(bool(doubles)))
    return status


def _each_once(found: list[tuple[Path, list[CCDUnit]]]) -> tuple[list[CCDUnit], list[str]]:
    """The CCDs of all files, each as first found, and a line for each file with doubles."""
    first: dict[str, tuple[Path, CCDUnit]] = {}
    lines: dict[tuple[Path, str], str] = {}
    for path, units in found:
        for unit in units:
            other, _ = first.setdefault(unit.name, (path, unit))
            if other != path:
                lines[path, unit.exposure] = (
                    f"{path}: exposure {unit.exposure} was found in {other} before; its CCDs there"
                    " are kept. Name the images alone, without weights and flags."
                )
    return [unit for _, unit in first.values()], list(lines.values())


def _report(path: Path, units: list[CCDUnit], area: SkyArea, *, ccds: bool) -> int:
    """Print what touches the area, and complain of headers that cannot be used."""
    found, problems = select_ccds(units, area)
    for problem in problems:
        sys.stderr.write(f"purepipe find: {path}: {problem}\n")
    names = [unit.name if ccds else unit.exposure for unit in found]
    for name in dict.fromkeys(names):
        say(f"{name} {path}")
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "purepipe find", description="Name the exposures and tiles that touch a part of the sky."
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, help="FITS images, or files written by --write-headers")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--cone", help="RA,DEC,RADIUS in degrees")
    where.add_argument("--box", help="RA_MIN,RA_MAX,DEC_MIN,DEC_MAX; 359,1,... crosses RA 0")
    where.add_argument("--polygon", help="RA,DEC,RA,DEC,... of the corners")
    add("--ccds", action="store_true", help="name single CCDs, not exposures")
    pickled = "read ShapePipe's headers-*.npy and log_exp_headers.sqlite; nothing is unpickled"
    add("--allow-pickled", action="store_true", help=pickled)
    add("--write-headers", type=Path, help="keep all headers in one file, for later searches")
    return parser


def _joined(arguments: list[str]) -> list[str]:
    """The arguments with ``--cone -10,0,1`` as one word: else -10,0,1 is taken for an option."""
    words, rest = [], iter(arguments)
    for word in rest:
        value = next(rest, None) if word in ("--cone", "--box", "--polygon") else None
        words.append(word if value is None else f"{word}={value}")
    return words


def _area(options: argparse.Namespace) -> SkyArea | None:
    if options.cone:
        return cone(*_numbers(options.cone, "--cone", 3))
    if options.box:
        return box(*_numbers(options.box, "--box", 4))
    if options.polygon:
        values = _numbers(options.polygon, "--polygon")
        return polygon(list(zip(values[::2], values[1::2], strict=True)))
    return None


def _numbers(text: str, option: str, count: int | None = None) -> list[float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if not values or (count is None and len(values) % 2) or (count and len(values) != count):
        wanted = f"{count} numbers" if count else "pairs of numbers"
        raise ConfigError("wrong numbers", key=option, got=text, allowed=f"{wanted} with commas")
    return values


def _units(path: Path, *, allow_pickled: bool) -> list[CCDUnit]:
    if path.suffix in (".npy", ".sqlite"):
        return read_original_headers(path, allow_pickled=allow_pickled)
    layout = fits_layout(path)
    if any(item.name == "CCD_HEADERS" for item in layout):
        return read_ccd_headers(path)
    number = number_string(path, TILE_SCHEME) or number_string(path, EXPOSURE_SCHEME)
    name = number.strip("-_") if number else path.name.split(".")[0]
    try:
        return list_units(path, name)
    except PurepipeError as error:
        raise InputFileError(f"not an image: {error}", file=path) from error
