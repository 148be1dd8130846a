"""From the values of an original file to configuration dataclasses.

Every field of a configuration says in its metadata which original key it stands for
(``original="sex:DETECT_THRESH"``); here the values found under these keys become the fields.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from purepipe.config.fields import from_mapping
from purepipe.errors import ConfigError, did_you_mean

C = TypeVar("C")

_TRUE = frozenset({"y", "yes", "true", "on", "1", "t"})
_FALSE = frozenset({"n", "no", "false", "off", "0", "f"})


@dataclass(frozen=True)
class Setting:
    """One key of an original file.

    Attributes
    ----------
    key
        In the original's spelling.
    values
        The words of its value; none for an empty value.
    line
        Line number from 1; 0 for a value given on the command line, -1 for a built-in one.
    """

    key: str
    values: tuple[str, ...]
    line: int = -1

    @property
    def where(self) -> str:
        """``line 12 KEY``, or where else the value comes from."""
        if self.line > 0:
            return f"line {self.line} {self.key}"
        return f"{self.key} ({'built-in value' if self.line < 0 else 'command line'})"


def config_from_originals(
    cls: type[C],
    program: str,
    settings: Mapping[str, Setting],
    *,
    given: Mapping[str, Any] | None = None,
    words: Mapping[str, Mapping[str, Any]] | None = None,
    file: object = None,
) -> C:
    """A configuration filled from the keys of an original program.

    Fields that stand for the same key take its values in their order; a pair takes a single value
    twice. Fields whose key is absent or empty keep their defaults.

    Parameters
    ----------
    cls
        Configuration dataclass; its nested ones are filled too.
    program
        The first part of the fields' ``original``: ``"sex"``, ``"psfex"``, ``"ww"``, ``"mask"``.
    settings
        Values by key.
    given
        Values of fields by dotted name (``"halo.polygon"``) that are not to be taken from keys.
    words
        By key: the meaning of words that are not purepipe's own, in lower case.
    file
        Shown in messages.

    Raises
    ------
    ConfigError
        A value cannot be converted or is out of range; the line and key are named.
    """
    given, words = given or {}, words or {}
    mapping: dict[str, Any] = {}
    used: dict[str, int] = {}
    sources: dict[str, Setting] = {}
    for path, field, hint in original_fields(cls):
        name, _, key = field.metadata["original"].partition(":")
        dotted = ".".join(path)
        if dotted in given:
            _place(mapping, path, given[dotted])
            continue
        if name != program or key not in settings:
            continue
        setting = settings[key]
        if not setting.values:
            _require_value(setting, hint, file)
            continue
        sources[dotted] = setting
        values = setting.values[used.get(key, 0) :] or setting.values[-1:]
        translated = [words.get(key, {}).get(word.casefold(), word) for word in values]
        value, count = _convert(translated, hint, setting, file)
        value = _in_choices(value, field.metadata["choices"] or ())
        used[key] = used.get(key, 0) + count
        _place(mapping, path, value)
    try:
        return from_mapping(cls, mapping, file=file)
    except ConfigError as error:
        _name_the_original(error, sources)
        raise


def original_fields(
    cls: type[Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dataclasses.Field[Any], Any]]:
    """Every field of a configuration, nested ones too: names, field, type."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from original_fields(hint, (*path, field.name))
        elif "original" in field.metadata:
            yield (*path, field.name), field, hint


def original_keys(cls: type[Any], program: str) -> dict[str, str]:
    """The program's keys that a configuration honours, each with its first field's dotted name."""
    keys: dict[str, str] = {}
    for path, field, _ in original_fields(cls):
        name, _, key = field.metadata["original"].partition(":")
        if name == program:
            keys.setdefault(key, ".".join(path))
    return keys


def convert(text: str, hint: Any, setting: Setting, file: object = None) -> Any:
    """One word as bool, int, float or str.

    Raises
    ------
    ConfigError
        The word is not of this type.
    """
    try:
        if hint is bool:
            return _boolean(text)
        if hint is int:
            return int(text, 0) if not text.isdigit() else int(text)
        if hint is float:
            return float(text)
    except ValueError:
        allowed = {bool: "Y or N", int: "an integer", float: "a number"}[hint]
        raise ConfigError(
            "the value is not understood", file=file, key=setting.where, got=repr(text),
            allowed=allowed,
        ) from None  # fmt: skip
    return text


def _boolean(text: str) -> bool:
    word = text.casefold()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def _convert(values: list[Any], hint: Any, setting: Setting, file: object) -> tuple[Any, int]:
    """The value of a field and how many words it took."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [kind for kind in arguments if kind is not type(None)]
        return _convert(values, kinds[0], setting, file)
    if typing.get_origin(hint) is tuple:
        if arguments[-1] is Ellipsis:
            return tuple(_word(word, arguments[0], setting, file) for word in values), len(values)
        if len(values) == 1:
            values = values * len(arguments)
        if len(values) < len(arguments):
            raise ConfigError(
                f"{len(arguments)} values are needed", file=file, key=setting.where,
                got=", ".join(map(str, values)),
            )  # fmt: skip
        pairs = zip(values, arguments, strict=False)
        return tuple(_word(word, kind, setting, file) for word, kind in pairs), len(arguments)
    return _word(values[0], hint, setting, file), 1


def _word(word: Any, hint: Any, setting: Setting, file: object) -> Any:
    return convert(word, hint, setting, file) if isinstance(word, str) else word


def _in_choices(value: Any, choices: tuple[str, ...]) -> Any:
    """Words in the spelling of the choices; other values as they are."""
    if isinstance(value, tuple):
        return tuple(_in_choices(item, choices) for item in value)
    if isinstance(value, str):
        return next((word for word in choices if word == value.casefold()), value)
    return value


def _require_value(setting: Setting, hint: Any, file: object) -> None:
    """An empty list means "not given"; a single value must be there."""
    optional = typing.get_origin(hint) is not None
    if setting.line >= 0 and not optional and hint is not str:
        raise ConfigError("a value is missing", file=file, key=setting.where)


def _place(mapping: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        mapping = mapping.setdefault(name, {})
    mapping[path[-1]] = value


def _name_the_original(error: ConfigError, sources: Mapping[str, Setting]) -> None:
    """Put the original's line and key into an error about a field."""
    key = error.key or ""
    name = key.rpartition(".")[2]
    for ending in (key, name):
        for dotted, setting in sources.items():
            if name and f".{dotted}".endswith(f".{ending}"):
                error.key = f"{setting.where} ({key})"
                return


def unknown_key(setting: Setting, known: Mapping[str, Any] | set[str], file: object) -> ConfigError:
    """The error of a key that the original does not know either."""
    return ConfigError(
        "unknown keyword", file=file, key=setting.where, remedy=did_you_mean(setting.key, known)
    )
