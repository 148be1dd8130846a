"""The page of the originals' keywords, made of the tables that their readers use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from purepipe import config
from purepipe.config.mask import CombineConfig
from purepipe.legacy.astromatic_keys import DEFAULTS, FILES, IGNORED
from purepipe.legacy.originals import original_fields, original_keys
from purepipe.shapepipe.config import GeneralConfig
from purepipe.shapepipe.modules import FILE_KEYS, IGNORED_GENERAL, IGNORED_KEYS, MODULES

# Program -> title, configuration, its tables in a survey's TOML file.
_PROGRAMS: dict[str, tuple[str, type[Any], str]] = {
    "sex": ("SExtractor (`.sex`)", config.DetectConfig, "`[ccd.detect]`, `[tile.detect]`"),
    "psfex": ("PSFEx (`.psfex`)", config.PSFConfig, "`[ccd.psf]`"),
    "ww": ("WeightWatcher (`.ww`)", CombineConfig, "no table: `purepipe ww` alone has them"),
}


def keywords_page() -> str:
    """Every keyword of every original: its built-in value, and what purepipe does with it."""
    text = (
        "# Keywords of the originals\n\nEvery keyword of the original programs, its built-in value"
        " and the name it has in purepipe. `purepipe check FILE` says the same of a file of yours."
        "\n\n"
    )
    for program, (title, kind, tables) in _PROGRAMS.items():
        text += f"## {title}\n\nFields of `{kind.__name__}`; in a survey: {tables}.\n\n"
        text += _rows(("keyword", "built in", "purepipe"), _program_rows(program, kind))
    text += "## Masks of ShapePipe (`.mask`)\n\nFields of `MaskConfig`; in a survey: `[ccd.mask]`,"
    text += " `[tile.mask]`.\n\n"
    mask = original_keys(config.MaskConfig, "mask").items()
    text += _rows(("key", "purepipe"), ((f"`{key}`", f"`{name}`") for key, name in mask))
    return text + _shapepipe()


def _program_rows(program: str, kind: type[Any]) -> Iterator[tuple[str, str, str]]:
    names = original_keys(kind, program)
    for key, value in DEFAULTS[program].items():
        if key in names:
            done = f"`{names[key]}`"
        elif key in FILES[program]:
            done = "by the command"
        elif key in IGNORED[program]:
            done = f"ignored: {IGNORED[program][key]}"
        else:
            done = "only the built-in value"
        yield f"`{key}`", f"`{value}`" if value else "", done


def _shapepipe() -> str:
    text = "## ShapePipe (`.ini`)\n\nThe general sections:\n\n"
    general = (
        (f"`{field.metadata['original']}`", field.metadata["sentence"])
        for field in fields(GeneralConfig)
        if field.metadata.get("original")
    )
    text += _rows(("section and key", "meaning"), general)
    ignored = (IGNORED_GENERAL | IGNORED_KEYS).items()
    text += f"Of every module: {', '.join(f'`{key}`' for key in FILE_KEYS)}. Read and without"
    text += " effect:\n\n"
    text += _rows(("key", "because"), ((f"`{key}`", why) for key, why in ignored))
    text += "The keys of the modules:\n\n"
    return text + _rows(("module", "key", "meaning"), _module_rows())


def _module_rows() -> Iterator[tuple[str, str, str]]:
    for module in MODULES.values():
        for _, field, _ in original_fields(module.config):
            key = field.metadata["original"].partition(":")[2]
            yield f"`{module.name}`", f"`{key}`", field.metadata["sentence"]
        for key, why in module.ignored.items():
            yield f"`{module.name}`", f"`{key}`", f"ignored: {why}"


def _rows(head: tuple[str, ...], rows: Any) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n\n"
