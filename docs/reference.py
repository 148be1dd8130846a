"""Pages that are made of the tables in the code: columns, flags, configuration, interface."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import IntFlag
from importlib import import_module
from pathlib import Path
from typing import Any

from keywords import keywords_page

import purepipe
from purepipe import config, flags
from purepipe.catalogue.table import all_columns


def write_pages(folder: Path) -> None:
    """Write all generated pages into a folder."""
    folder.mkdir(exist_ok=True)
    pages = {
        "columns.md": _columns(),
        "flags.md": _flags(),
        "configuration.md": _configuration(),
        "keywords.md": keywords_page(),
        "interface.md": _interface(),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    known = {f"{module}.{name}" for module, names in _members() for name in names}
    for path in folder.glob(
        "api/*.rst"
    ):  # of names that are gone; a page without a link is an error
        if path.stem not in known:
            path.unlink()


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [str(cell).replace("|", "\\|").replace("\n", " ") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _columns() -> str:
    rows = [
        (
            f"`{item.name}`" + (f" ({item.length})" if item.length != 1 else ""),
            item.unit.replace("*", "\\*"), item.dtype,
            item.definition + (f" *{item.source}.*" if item.source else "")
            + (f" In ShapePipe 2 `{item.alias}`." if item.alias else ""),
        )
        for item in sorted(all_columns().values(), key=lambda column: column.name)
    ]  # fmt: skip
    return (
        "# Columns\n\nEvery column that purepipe writes. Missing measurements are NaN; of flags the"
        " bit NOT_ATTEMPTED, of counts -1.\n\n"
        + _table(("column", "unit", "type", "definition"), rows)
    )


def _flags() -> str:
    text = "# Flags\n\nEvery bit of every flag column.\n\n"
    for name, family in inspect.getmembers(flags, inspect.isclass):
        if not issubclass(family, IntFlag) or family in (IntFlag, flags.DocumentedFlag):
            continue
        text += f"## {name}\n\n{inspect.getdoc(family)}\n\n"
        text += _table(
            ("bit", "name", "meaning"),
            ((int(bit), f"`{bit.name}`", bit.meaning) for bit in family),
        )
        text += "\n"
    return text


def _configuration() -> str:
    text = (
        "# Configuration\n\nThe tables of `survey.toml`, and the dataclasses of `purepipe.config`"
        " behind them. Keys of the original programs stand beside their names here.\n\n"
    )
    for name, kind in sorted(vars(config).items()):
        if not (inspect.isclass(kind) and is_dataclass(kind)):
            continue
        text += f"## {name}\n\n{inspect.getdoc(kind)}\n\n"
        text += _table(
            ("key", "default", "unit", "meaning", "original"),
            (
                (
                    f"`{field.name}`", f"`{_default(field)}`", field.metadata.get("unit", ""),
                    field.metadata.get("sentence", ""), field.metadata.get("original", ""),
                )
                for field in fields(kind)
            ),
        )  # fmt: skip
        text += "\n"
    return text


def _default(field: Any) -> str:
    if field.default is not MISSING:
        return repr(field.default)
    if field.default_factory is not MISSING:
        value = field.default_factory()
        return type(value).__name__ + "()" if is_dataclass(value) else repr(value)
    return "needed"


# Module -> title; the names of a module are those of its ``__all__``, or those named here.
_ROOMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "purepipe.exposure": ("Images", ("Exposure", "WeightKind")),
    "purepipe.wcs": ("World coordinates", ("WCS",)),
    "purepipe.mask": ("Masks", ()),
    "purepipe.detect": ("Detection", ()),
    "purepipe.select": ("Star selection", ()),
    "purepipe.psf": ("PSF", ()),
    "purepipe.survey": ("Epochs and stamps", ()),
    "purepipe.shapes": ("Shapes", ()),
    "purepipe.catalogue": ("Catalogues", ()),
    "purepipe.simulate": ("Simulations", ()),
    "purepipe.pipeline": ("Runs", ()),
    "purepipe.report": ("Reports", ()),
    "purepipe.io": ("Files", ()),
    "purepipe.errors": ("Errors", ("PurepipeError", "ConfigError", "DataError")),
}


def _members() -> Iterator[tuple[str, list[str]]]:
    """Each module of the interface, and its names that are explained."""
    for module, (_, names) in _ROOMS.items():
        home = import_module(module)
        names = names or tuple(home.__all__)
        # Constants explain nothing.
        yield module, sorted(name for name in names if callable(getattr(home, name)))


def _interface() -> str:
    text = (
        "# Python interface\n\nAt the top, as `pp` after `import purepipe as pp`: "
        + ", ".join(f"`{name}`" for name in sorted(purepipe.__all__) if name[0] != "_")
        + ".\n\n"
    )
    for module, names in _members():
        text += f"## {_ROOMS[module][0]}\n\n```{{eval-rst}}\n.. currentmodule:: {module}\n\n"
        text += ".. autosummary::\n   :toctree: api\n   :nosignatures:\n\n"
        text += "".join(f"   {name}\n" for name in names) + "```\n\n"
    return text
