"""``purepipe columns``: what the columns of the catalogues mean, and their flags in words."""

from __future__ import annotations

import argparse
import fnmatch
import re
import shutil
import textwrap

from purepipe import flags
from purepipe.catalogue.table import Column, all_columns
from purepipe.commands.console import guarded, say
from purepipe.errors import ConfigError, nearest

_FAMILY = re.compile(r"\b[A-Z]\w*Flag\b")


def main(arguments: list[str]) -> int:
    """Explain columns.

    Parameters
    ----------
    arguments
        ``[NAME | PATTERN] [--value BITS]``; without any all columns, one line each.

    Returns
    -------
    Exit status: 0 fine, 2 no such column.
    """
    return guarded("columns", _run, arguments)


def _run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    known = all_columns()
    names = sorted(fnmatch.filter(known, options.name or "*"))
    if not names and any(mark in options.name for mark in "*?["):
        raise ConfigError(
            "no column fits the pattern", key=options.name,
            remedy="`purepipe columns` lists them all.",
        )  # fmt: skip
    if not names:
        near = nearest(options.name, known)
        raise ConfigError(
            "no such column", key=options.name,
            remedy=f"Did you mean {near!r}?" if near else "`purepipe columns` lists them all.",
        )  # fmt: skip
    if options.value is not None and options.name not in known:
        raise ConfigError("--value needs the name of one column", got=options.name)
    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    if options.name in known:
        say(explain(known[options.name], options.value, width))
    else:
        longest = max(map(len, names))
        for name in names:
            say(_line(known[name], longest, width))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "purepipe columns", description="Say what the columns of the catalogues mean."
    )
    parser.add_argument("name", nargs="?", help="a column, or a pattern such as 'FLUX*'")
    parser.add_argument(
        "--value", type=flag_bits, help="value of a flag column, to be decoded; 0x10 is fine"
    )
    return parser


def flag_bits(text: str) -> int:
    """The number in a text; hexadecimal after 0x. It must not be negative."""
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if number < 0:
        message = f"got {text!r}; a whole number from 0 is needed, such as 5 or 0x10"
        raise argparse.ArgumentTypeError(message)
    return number


def explain(column: Column, value: int | None, width: int) -> str:
    """All that is known of a column, with the bits of a flag column, or those of one value.

    Raises
    ------
    ConfigError
        A value is given of a column that holds no flags.
    """
    kind = column.dtype + (f", {column.length} values" if column.length > 1 else "")
    lines = [f"{column.name}  [{column.unit or 'no unit'}; {kind}]"]
    lines += textwrap.wrap(column.definition, width, initial_indent="  ", subsequent_indent="  ")
    if column.source:
        lines.append(f"  Source: {column.source}.")
    if column.alias:
        lines.append(f"  In ShapePipe 2: {column.alias}.")
    family = flag_family(column)
    if family is None:
        if value is not None:
            raise ConfigError(
                "this column holds no flags", key=column.name,
                remedy="Leave --value out.",
            )  # fmt: skip
        return "\n".join(lines)
    bits = [bit for bit in family if value is None or value & bit.value]
    if value is not None:
        rest = value & ~sum(bit.value for bit in bits)
        parts = [str(bit.value) for bit in bits] + ([f"{rest} (unknown)"] if rest else [])
        lines.append(f"  {value} = {' + '.join(parts) or 'no flag'}:")
    for bit in bits:
        head = f"  {bit.value:>10}  {bit.name}: "
        lines += textwrap.wrap(head + bit.meaning, width, subsequent_indent=" " * 14)
    return "\n".join(lines)


def flag_family(column: Column) -> type[flags.DocumentedFlag] | None:
    """The flags that a column holds, named in its definition; None for other columns."""
    if column.name == "FLAGS":
        return flags.DetectFlag
    for name in _FAMILY.findall(column.definition):
        family: type[flags.DocumentedFlag] | None = getattr(flags, name, None)
        if family is not None:
            return family
    return None


def _line(column: Column, longest: int, width: int) -> str:
    text = f"{column.name:{longest}}  {column.unit:12} {column.definition}"
    return text if len(text) <= width else text[: width - 1] + "…"
