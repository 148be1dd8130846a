"""Fields of configuration dataclasses: default, unit, limits, sentence, original key."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from purepipe.errors import ConfigError, did_you_mean

C = TypeVar("C")
_MOST_PLACES = 4  # that are suggested for a key


def option(
    default: Any,
    sentence: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    original: str = "",
) -> Any:
    """Declare one configuration value.

    Parameters
    ----------
    default
        Value, or a function without arguments that makes it (nested configurations).
    sentence
        What it does, in one sentence.
    unit
        Unit of the value; empty for pure numbers.
    minimum, maximum
        Closed limits; applied to every element of a tuple.
    choices
        Allowed words.
    original
        The key of the original program that it stands for, e.g. ``"sex:DETECT_THRESH"``.
    """
    metadata = {
        "sentence": sentence,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "original": original,
    }
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check(config: Any) -> None:
    """Check all values of a configuration dataclass; call it from ``__post_init__``.

    Raises
    ------
    ConfigError
        Names the key, what was got and what is allowed.
    """
    hints = _hints(type(config))
    for field in dataclasses.fields(config):
        value = _coerce(getattr(config, field.name), hints[field.name], _key(config, field.name))
        object.__setattr__(config, field.name, value)
        _check_limits(value, field, _key(config, field.name))


def from_mapping(
    cls: type[C],
    values: Mapping[str, Any],
    *,
    file: object = None,
    table: str = "",
    base: C | None = None,
) -> C:
    """Build a configuration from a nested mapping, as read from TOML.

    Parameters
    ----------
    cls
        The dataclass to build.
    values
        Key to value; tables for nested configurations.
    file, table
        Where the mapping stands; named in errors.
    base
        Where values come from that the mapping does not give; default: those of the class.

    Raises
    ------
    ConfigError
        For an unknown key (with its nearest match) or a value that is not allowed; the key is
        named as in the file, ``tile.shapes.stamp_size``.

    Examples
    --------
    >>> from purepipe.config import SurveyConfig
    >>> config = from_mapping(SurveyConfig, {"tile": {"detect": {"threshold": 2.0}}})
    >>> config.tile.detect.threshold, config.tile.detect.min_area
    (2.0, 10)
    """
    try:
        return _build(cls, values, base, f"{table}." if table else "")
    except ConfigError as error:
        if error.file is None and file is not None:
            error.file = str(file)
        raise


def _build(cls: type[C], values: Mapping[str, Any], base: C | None, path: str) -> C:
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = _hints(cls)
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            raise ConfigError("unknown key", key=path + name, remedy=_where(name, cls, path))
        hint = hints[name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if not isinstance(value, Mapping):
                raise ConfigError("a table is needed here", key=path + name, got=repr(value))
            value = _build(hint, value, _nested_base(fields[name], base), f"{path}{name}.")
        arguments[name] = value
    required = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in arguments]
    if missing and base is None:
        raise ConfigError(
            f"required key missing: {', '.join(missing)}", key=path.rstrip(".") or None
        )
    try:
        if base is not None:
            return dataclasses.replace(base, **arguments)  # type: ignore[type-var]
        return cls(**arguments)
    except ConfigError as error:
        # A dataclass does not know under which name it stands in the file.
        if error.key is not None and not error.key.startswith(path or "\0"):
            error.key = path + error.key.partition(".")[2]
        raise


def _where(name: str, cls: type[Any], path: str) -> str:
    """What a key that is not there may have meant: the same one deeper down, else the nearest."""
    deeper = [path + found for found in _paths(cls) if found.endswith(f".{name}")]
    if deeper:
        return f"Did you mean {' or '.join(map(repr, deeper[:_MOST_PLACES]))}?"
    return did_you_mean(name, [field.name for field in dataclasses.fields(cls)])


def _paths(cls: type[Any], path: str = "") -> Iterator[str]:
    """All keys of a configuration and of those inside it."""
    for name, hint in _hints(cls).items():
        yield path + name
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from _paths(hint, f"{path}{name}.")


def _nested_base(field: dataclasses.Field[Any], base: Any) -> Any:
    """The nested configuration that a partial table changes: a preset stays a preset."""
    if base is not None:
        return getattr(base, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None


def to_mapping(config: Any) -> dict[str, Any]:
    """The configuration as plain nested values that TOML and JSON can hold; None is left out."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            result[field.name] = to_mapping(value)
        elif value is not None:
            result[field.name] = _plain(value)
    return result


def describe(cls: type[Any]) -> list[dict[str, Any]]:
    """One row per value: name, default, unit, limits, sentence, original key."""
    rows = []
    for field in dataclasses.fields(cls):
        default = None if field.default is dataclasses.MISSING else field.default
        rows.append({"name": field.name, "default": default, **field.metadata})
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _label(cls: type[Any]) -> str:
    return cls.__name__.removesuffix("Config").lower()


def _key(config: Any, name: str) -> str:
    return f"{_label(type(config))}.{name}"


# A class has the same annotations at every call, and evaluating them takes a while.
_hints = typing.cast(
    "Callable[[type[Any]], dict[str, Any]]", functools.cache(typing.get_type_hints)
)


def _coerce(value: Any, hint: Any, key: str) -> Any:
    """Bring `value` to the annotated type, or say why it cannot be."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        first_error: ConfigError | None = None
        for option_hint in options:
            if option_hint is type(None):
                continue
            try:
                return _coerce(value, option_hint, key)
            except ConfigError as error:
                first_error = first_error or error
        raise first_error or ConfigError("a value is needed", key=key)
    if origin is tuple:
        return _coerce_tuple(value, typing.get_args(hint), key)
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise ConfigError("true or false is needed", key=key, got=repr(value))
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _coerce_enum(value, hint, key)
    if isinstance(hint, type) and isinstance(value, hint) and not isinstance(value, bool):
        return value
    name = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"a value of type {name} is needed", key=key, got=repr(value))


def _coerce_tuple(value: Any, hints: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)):
        value = (value,)
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(_coerce(item, hints[0], key) for item in value)
    if len(value) != len(hints):
        raise ConfigError(f"{len(hints)} values are needed", key=key, got=repr(value))
    return tuple(_coerce(item, hint, key) for item, hint in zip(value, hints, strict=True))


def _coerce_enum(value: Any, hint: type[Enum], key: str) -> Enum:
    if isinstance(value, hint):
        return value
    for member in hint:
        if str(member.value).casefold() == str(value).casefold():
            return member
    words = [str(member.value) for member in hint]
    raise ConfigError(
        "unknown word", key=key, got=repr(value), remedy=did_you_mean(str(value), words)
    )


def _check_limits(value: Any, field: dataclasses.Field[Any], key: str) -> None:
    low, high = field.metadata.get("minimum"), field.metadata.get("maximum")
    choices = field.metadata.get("choices")
    for item in value if isinstance(value, tuple) else (value,):
        if item is None:
            continue
        if choices is not None and item not in choices:
            raise ConfigError(
                "unknown word", key=key, got=repr(item), remedy=did_you_mean(str(item), choices)
            )
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            if math.isnan(item):
                raise ConfigError("a number is needed", key=key, got=item)
            if (low is not None and item < low) or (high is not None and item > high):
                raise ConfigError("out of range", key=key, got=item, allowed=_range_text(low, high))


def _range_text(low: float | None, high: float | None) -> str:
    if high is None:
        return f"{low} or more"
    return f"at most {high}" if low is None else f"{low} to {high}"
