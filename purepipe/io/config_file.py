"""Configuration files in TOML."""

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from enum import Enum
from pathlib import Path
from typing import Any

from purepipe.errors import ConfigError
from purepipe.io.atomic import write_text


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a TOML file as nested dictionaries.

    Raises
    ------
    ConfigError
        The file is missing or not valid TOML; the message names file, line and column.
    """
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            "the configuration file does not exist", file=path, remedy="Check the path."
        ) from error
    except (IsADirectoryError, PermissionError) as error:
        raise ConfigError(
            f"the configuration file cannot be read: {error.strerror}", file=path
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            "the text is not UTF-8", file=f"{path}, line {line}", remedy="Save the file as UTF-8."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, str(error)) from error


def write_toml(path: str | os.PathLike[str], mapping: Mapping[str, Any]) -> None:
    """Write nested mappings of texts, numbers, truth values, dates and lists as TOML.

    Order is kept, except that plain values come before tables, as TOML demands. Equal input gives
    equal bytes.

    Raises
    ------
    ConfigError
        A value has no form in TOML, for instance None.
    StoreError
        The folder is missing or cannot be written.
    """
    write_text(path, format_toml(mapping))


def format_toml(mapping: Mapping[str, Any]) -> str:
    """The text that `write_toml` writes."""
    lines: list[str] = []
    _table(mapping, (), lines)
    return "\n".join(lines).strip("\n") + "\n"


def _syntax_error(path: Path, message: str) -> ConfigError:
    match = re.fullmatch(r"(.*) \(at (.*)\)", message, re.DOTALL)
    what, where = match.groups() if match else (message, "")
    return ConfigError(
        f"not valid TOML: {what[:1].lower()}{what[1:]}",
        file=f"{path}, {where}" if where else path,
        remedy="Texts need quotes, and every line is `key = value` or `[table]`.",
    )


def _table(mapping: Mapping[str, Any], names: tuple[str, ...], lines: list[str]) -> None:
    tables = []
    for key, value in mapping.items():
        if isinstance(value, Mapping) or _is_list_of_tables(value):
            tables.append((key, value))
        else:
            lines.append(f"{_key(key)} = {_value(value, '.'.join((*names, str(key))))}")
    for key, value in tables:
        path = (*names, str(key))
        title = ".".join(_key(name) for name in path)
        for item in [value] if isinstance(value, Mapping) else value:
            bare = isinstance(value, Mapping)
            lines += ["", f"[{title}]" if bare else f"[[{title}]]"]
            _table(item, path, lines)


def _is_list_of_tables(value: Any) -> bool:
    is_list = isinstance(value, (list, tuple)) and len(value) > 0
    return is_list and all(isinstance(item, Mapping) for item in value)


def _key(key: object) -> str:
    text = str(key)
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _quoted(text)


def _quoted(text: str) -> str:
    # JSON escapes the same characters as TOML does, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any, key: str) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(item, key) for item in value)}]"
    raise ConfigError(
        "the value has no form in TOML", key=key, got=repr(value),
        allowed="texts, numbers, true or false, dates, lists, tables",
        remedy="Leave out keys without a value." if value is None else None,
    )  # fmt: skip
