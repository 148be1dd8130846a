"""Configuration files and command lines of SExtractor, PSFEx and WeightWatcher."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from purepipe.errors import (
    ConfigError,
    InputFileError,
    did_you_mean,
    did_you_mean_each,
    nearest,
)
from purepipe.legacy.astromatic_files import (
    RequestedColumn,
    content_lines,
    read_columns,
    read_filter,
    read_text,
)
from purepipe.legacy.astromatic_keys import DEFAULTS, FILES, IGNORED, MAY_BE_EMPTY
from purepipe.legacy.originals import (
    Setting,
    config_from_originals,
    convert,
    original_keys,
    unknown_key,
)

if TYPE_CHECKING:
    from purepipe.config import DetectConfig, PSFConfig
    from purepipe.config.mask import CombineConfig

log = logging.getLogger(__name__)

_SEPARATORS = re.compile(r"""[\s,=;"']+""")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

WEIGHT_TYPES = ("NONE", "BACKGROUND", "MAP_RMS", "MAP_VAR", "MAP_WEIGHT")
# SExtractor's and PSFEx's words that purepipe calls otherwise.
_SEX_WORDS: dict[str, dict[str, Any]] = {
    "WEIGHT_TYPE": {"map_rms": "map", "map_var": "map", "map_weight": "map"},
}
# What to do without a file that SExtractor's built-in values name.
_WITHOUT_FILE = {
    "PARAMETERS_NAME": "Name yours with -PARAMETERS_NAME, or write one and take the # from the"
    " columns you want: purepipe sex -dp > default.param.",
    "FILTER_NAME": "Name yours with -FILTER_NAME, or detect without a filter: -FILTER N.",
}


@dataclass(frozen=True)
class Settings:
    """The keywords of one configuration file, in its order.

    Attributes
    ----------
    program
        ``"sex"``, ``"psfex"`` or ``"ww"``.
    entries
        Keyword (capitals) to `Setting`; the last definition of a keyword counts.
    file
        Name of the file; empty when there is none.
    """

    program: str
    entries: Mapping[str, Setting]
    file: str = ""

    def __getitem__(self, key: str) -> Setting:
        """The setting of a keyword: from the command line, the file, or the program's own."""
        if key in self.entries:
            return self.entries[key]
        known = DEFAULTS[self.program]
        if key not in known:
            raise ConfigError("unknown keyword", key=key, remedy=did_you_mean(key, known))
        return Setting(key, _words(known[key]))

    def with_defaults(self) -> dict[str, Setting]:
        """Every keyword the program knows, with its built-in value where none is given."""
        return {key: self[key] for key in (*DEFAULTS[self.program], *self.entries)}

    def text(self, key: str) -> str:
        """The first word of a value; empty when there is none."""
        return next(iter(self[key].values), "")

    def texts(self, key: str) -> tuple[str, ...]:
        """All words of a value."""
        return self[key].values

    def number(self, key: str) -> float:
        """The first word of a value as a number.

        Raises
        ------
        ConfigError
            There is no value, or it is not a number.
        """
        setting = self[key]
        if not setting.values:
            raise ConfigError("a number is needed", file=self.file, key=setting.where)
        return float(convert(setting.values[0], float, setting, self.file))

    def flag(self, key: str) -> bool:
        """The first word of a value, Y or N."""
        return bool(convert(self.text(key), bool, self[key], self.file))


def read_settings(
    path: str | os.PathLike[str] | None,
    program: str,
    *,
    overrides: Mapping[str, str] | None = None,
    lenient: bool = False,
) -> Settings:
    """The keywords of a .sex, .psfex or .ww file, with those of the command line on top.

    Parameters
    ----------
    path
        The file; None for the built-in values.
    program
        ``"sex"``, ``"psfex"`` or ``"ww"``.
    overrides
        Keyword to value, as after ``-KEYWORD`` on the command line.
    lenient
        Warn of unknown keywords and pass over them, as the original programs do.

    Raises
    ------
    InputFileError
        The file cannot be read.
    ConfigError
        Unknown keywords (all of them in one message, each with its line and nearest match), or an
        environment variable that is not set.
    """
    text = "" if path is None else read_text(path)
    return parse_settings(
        text, program, overrides=overrides, lenient=lenient, file="" if path is None else str(path)
    )


def parse_settings(
    text: str,
    program: str,
    *,
    overrides: Mapping[str, str] | None = None,
    lenient: bool = False,
    file: str = "",
) -> Settings:
    """As `read_settings`, from the text of the file."""
    if program not in DEFAULTS:
        raise ConfigError(
            "unknown program", key="program", got=repr(program),
            remedy=did_you_mean(program, DEFAULTS),
        )  # fmt: skip
    known = DEFAULTS[program]
    entries: dict[str, Setting] = {}
    unknown: list[Setting] = []
    for setting in (*_settings(text, file), *_overrides(overrides or {}, file)):
        if setting.key in known:
            # A keyword given twice: the last one counts, also for its place in the order.
            entries.pop(setting.key, None)
            entries[setting.key] = setting
        else:
            unknown.append(setting)
    if unknown:
        _refuse_unknown(unknown, known, file, lenient)
    if program == "sex":
        _refuse_empty(entries, file)
    return Settings(program, MappingProxyType(entries), file)


def _refuse_unknown(
    unknown: Sequence[Setting], known: Mapping[str, Any], file: str, lenient: bool
) -> None:
    if lenient:
        for setting in unknown:
            best = nearest(setting.key, known)
            remedy = f"Did you mean {best!r}?" if best else "It is passed over."
            problem = ConfigError("unknown keyword", file=file, key=setting.where, remedy=remedy)
            log.warning("%s", problem)
    elif len(unknown) == 1:
        raise unknown_key(unknown[0], known, file)
    else:
        text = did_you_mean_each({setting.where: setting.key for setting in unknown}, known)
        raise ConfigError(f"{len(unknown)} unknown keywords: {text}", file=file)


def _refuse_empty(entries: Mapping[str, Setting], file: str) -> None:
    """Refuse keywords of SExtractor that stand without the value that they need."""
    for key, setting in entries.items():
        if not setting.values and key not in MAY_BE_EMPTY:
            raise ConfigError(
                "a value is missing", file=file, key=setting.where,
                remedy=f"Give one, or take the line away for {DEFAULTS['sex'][key]}.",
            )  # fmt: skip


def parse_arguments(
    arguments: Sequence[str],
) -> tuple[tuple[str, ...], str | None, dict[str, str]]:
    """Files, configuration file and overrides of a command line ``FILE... -c FILE -KEY value``.

    Raises
    ------
    ConfigError
        A keyword without a value.
    """
    files: list[str] = []
    config: str | None = None
    overrides: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        if not word.startswith("-") or word == "-":
            files.append(word)
            continue
        value = next(words, None)
        if value is None:
            raise ConfigError("a value must follow", key=word)
        if word == "-c":
            config = value
        else:
            overrides[word[1:]] = value
    return tuple(files), config, overrides


def support(settings: Settings, cls: type[Any]) -> list[tuple[Setting, str, str]]:
    """What is done with each keyword of a file: setting, status, remark.

    The status is ``"honoured"``, ``"ignored"`` (on purpose; the remark says why) or
    ``"unsupported"``, then with the remark ``"as built in"`` when it does not matter.

    Parameters
    ----------
    settings
        The keywords.
    cls
        The configuration dataclass that stands for the program.
    """
    fields = original_keys(cls, settings.program)
    rows = []
    for key, setting in settings.entries.items():
        if key in fields:
            rows.append((setting, "honoured", fields[key]))
        elif key in FILES[settings.program]:
            rows.append((setting, "honoured", "by the command"))
        elif key in IGNORED[settings.program]:
            rows.append((setting, "ignored", IGNORED[settings.program][key]))
        else:
            built_in = _words(DEFAULTS[settings.program][key])
            same = [word.casefold() for word in setting.values] == [
                word.casefold() for word in built_in
            ]
            remark = "as built in" if same else f"purepipe acts as if {' '.join(built_in)}"
            rows.append((setting, "unsupported", remark))
    return rows


def read_detect_config(
    settings: Settings, *, columns: Sequence[RequestedColumn] | None = None
) -> DetectConfig:
    """The configuration of the detection that a .sex file and its files ask for.

    The .param and .conv files are found from the current folder, or beside the .sex file. What
    concerns files and the image (catalogue name, gain, ...) stays in `settings`.

    Parameters
    ----------
    settings
        The keywords.
    columns
        Columns of the catalogue; default: those of the .param file.

    Raises
    ------
    ConfigError
        A value is not understood, out of range, or not supported.
    InputFileError
        The .param or .conv file cannot be read.
    """
    from purepipe.config import DetectConfig

    given: dict[str, Any] = {"filter": None, "filter_normalised": True}
    given |= _thresholds(settings) | _interpolation(settings) | _weights(settings)
    if settings.flag("FILTER"):
        found = read_filter(find_file(settings, "FILTER_NAME"))
        given["filter"] = tuple(map(tuple, found.values.tolist()))
        given["filter_normalised"] = found.normalised
    columns = read_columns(find_file(settings, "PARAMETERS_NAME")) if columns is None else columns
    given["columns"] = tuple(map(str, columns))
    for column in columns:
        if column.name == "VIGNET":
            given["vignet"] = column.size if len(column.size) == 2 else (column.length, 1)
    entries = settings.with_defaults()
    if settings.text("INTERP_MAXXLAG"):
        given["interpolate_max"] = (
            int(settings.number("INTERP_MAXXLAG")), int(settings.number("INTERP_MAXYLAG")),
        )  # fmt: skip
    return config_from_originals(
        DetectConfig, "sex", entries, given=given, words=_SEX_WORDS, file=settings.file
    )


def _thresholds(settings: Settings) -> dict[str, Any]:
    """Thresholds; a second value makes the first one a surface brightness, of this zero-point."""
    given: dict[str, Any] = {}
    for key, name, zero_point in (
        ("DETECT_THRESH", "threshold", "threshold_zero_point"),
        ("ANALYSIS_THRESH", "analysis_threshold", "analysis_zero_point"),
    ):
        setting = settings[key]
        if not 1 <= len(setting.values) <= 2:
            raise ConfigError(
                "one or two numbers are needed", file=settings.file, key=setting.where,
                got=" ".join(setting.values) or "none",
                allowed="a threshold, or a surface brightness and its zero-point",
            )  # fmt: skip
        numbers = [convert(word, float, setting, settings.file) for word in setting.values]
        given[name] = numbers[0]
        if len(numbers) == 2:
            given[zero_point] = numbers[1]
    return given


def _interpolation(settings: Settings) -> dict[str, Any]:
    """What is done to bad pixels."""
    word = settings.text("INTERP_TYPE").upper()
    _require_words(settings, "INTERP_TYPE", [word], ("NONE", "VAR_ONLY", "ALL"))
    return {"interpolate": word != "NONE", "interpolate_image": word != "VAR_ONLY"}


def _weights(settings: Settings) -> dict[str, Any]:
    """One kind of weights is shared by detection and measurement; two words keep them apart.

    Two names of maps do so, too, even where no map is read. One threshold is the detection's.
    """
    words = [word.upper() for word in settings.texts("WEIGHT_TYPE")]
    _require_words(settings, "WEIGHT_TYPE", words, WEIGHT_TYPES)
    given: dict[str, Any] = {}
    if max(len(settings.texts(key)) for key in ("WEIGHT_TYPE", "WEIGHT_IMAGE")) < 2:
        given["detection_weight_type"] = None
    if len(settings.texts("WEIGHT_THRESH")) == 1:
        given["weight_threshold"] = None
    return given


def _require_words(
    settings: Settings, key: str, words: Sequence[str], allowed: Sequence[str]
) -> None:
    for word in words:
        if word not in allowed:
            raise ConfigError(
                "unknown word", file=settings.file, key=settings[key].where, got=repr(word),
                remedy=did_you_mean(word, allowed),
            )  # fmt: skip


def read_psf_config(settings: Settings) -> PSFConfig:
    """The configuration of the PSF fit that a .psfex file asks for.

    Raises
    ------
    ConfigError
        A value is not understood or out of range.
    """
    from purepipe.config import PSFConfig

    return config_from_originals(PSFConfig, "psfex", settings.with_defaults(), file=settings.file)


def read_combine_config(settings: Settings) -> CombineConfig:
    """The combination of maps that a .ww file asks for.

    Raises
    ------
    ConfigError
        A value is not understood or out of range.
    """
    from purepipe.config.mask import CombineConfig

    return config_from_originals(CombineConfig, "ww", settings.with_defaults(), file=settings.file)


def find_file(settings: Settings, key: str) -> Path:
    """A file named by a keyword: from the current folder, else beside the configuration file.

    Raises
    ------
    InputFileError
        A file that a first run often lacks does not exist; it is said how to do without.
    """
    path = Path(settings.text(key))
    beside = Path(settings.file).parent / path
    if path.exists() or (settings.file and beside.exists()):
        return path if path.exists() else beside
    if key in _WITHOUT_FILE:
        raise InputFileError(
            f"the file cannot be read: No such file or directory ({key})", file=path,
            remedy=_WITHOUT_FILE[key],
        )  # fmt: skip
    return path


def _settings(text: str, file: str) -> Iterator[Setting]:
    for number, line in content_lines(text):
        key, *values = _words(line, lambda name, n=number: _variable(name, n, file))
        yield Setting(key.upper(), tuple(values), number)


def _overrides(overrides: Mapping[str, str], file: str) -> Iterator[Setting]:
    for key, value in overrides.items():
        words = _words(value, lambda name: _variable(name, 0, file))
        yield Setting(key.lstrip("-").upper(), words, 0)


def _words(text: str, variable: Any = None) -> tuple[str, ...]:
    if variable is not None:
        text = _VARIABLE.sub(lambda match: variable(match[1] or match[2]), text)
    return tuple(word for word in _SEPARATORS.split(text) if word)


def _variable(name: str, line: int, file: str) -> str:
    if name not in os.environ:
        raise ConfigError(
            f"the environment variable {name} is not set", file=file,
            key=f"line {line}" if line else "command line",
        )  # fmt: skip
    return os.environ[name]
