"""Every mistake in a configuration file at once, and what becomes of its keys."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from purepipe.catalogue.columns_detect import COLUMNS
from purepipe.catalogue.table import all_columns
from purepipe.config import DetectConfig, MaskConfig, PSFConfig, SurveyConfig, from_mapping
from purepipe.config.fields import describe
from purepipe.config.mask import CombineConfig
from purepipe.errors import ConfigError, InputFileError, PurepipeError
from purepipe.io.atomic import write_text
from purepipe.io.config_file import read_toml
from purepipe.legacy.astromatic import (
    Settings,
    parse_settings,
    read_combine_config,
    read_detect_config,
    read_psf_config,
    support,
)
from purepipe.legacy.astromatic_files import (
    content_lines,
    read_columns,
    read_filter,
    read_neural_network,
    read_text,
)
from purepipe.legacy.mask import IGNORED as MASK_IGNORED
from purepipe.legacy.mask import parse_mask_config
from purepipe.legacy.originals import Setting, original_keys
from purepipe.select.recipe import parse_recipe
from purepipe.shapepipe.settings import Finding, finding_of

_MOST = 200  # mistakes of one file
_PIECE = re.compile(r"line (\d+) (\S+?):? +(.*?)(?=(?:; line \d+ )|$)", re.S)


def all_mistakes(text: str, parse: Callable[[str], Any], file: str) -> list[Finding]:
    """Every mistake that a parser finds: each is noted, its line emptied, and the rest read again.

    Parameters
    ----------
    parse
        Raises a PurepipeError with ``line N`` in its key or message.
    """
    found: list[Finding] = []
    lines = text.split("\n")
    while len(found) < _MOST:
        try:
            parse("\n".join(lines))
        except PurepipeError as error:
            pieces = _pieces(error, file)
            numbers = [item.line for item in pieces if 0 < item.line <= len(lines)]
            repeated = not numbers or all(not lines[number - 1].strip() for number in numbers)
            told = {item.line for item in found}
            found += [item for item in pieces if not item.line or item.line not in told]
            if repeated or (error.file and error.file != file):
                return found
            for item in pieces:
                if 0 < item.line <= len(lines):
                    lines[item.line - 1] = _mended(lines[item.line - 1], item)
        else:
            return found
    return found


def _mended(line: str, finding: Finding) -> str:
    """The line with the word that was meant; empty where none is known or it does not help."""
    word = re.search(r"Did you mean '([^']+)'", finding.text)
    key = finding.key.split()[0] if finding.key else ""
    if word is None or not key or word.group(1) in line or key not in line.upper():
        return ""
    return re.sub(re.escape(key), word.group(1), line, count=1, flags=re.I)


def _pieces(error: PurepipeError, file: str) -> list[Finding]:
    """One finding for each line that an error names."""
    several = _PIECE.findall(error.message)
    if len(several) > 1 or (several and "unknown" in error.message.split(":")[0]):
        text = error.message.split(":")[0]
        what = "unknown keyword" if "unknown" in text else text
        return [
            Finding("error", error.file or file, int(line), key, f"{what}. {rest}".strip(" ;"))
            for line, key, rest in several
        ]
    return [finding_of(error, file)]


def check_sex(path: Path, *, followed: bool = True) -> tuple[list[Finding], list[Path]]:
    """Findings about a .sex file, and the files it names.

    Parameters
    ----------
    followed
        Whether the files it names are to be looked at too; in a pipeline those of the .ini count.
    """

    def parse(text: str) -> Any:
        return read_detect_config(_without_files(parse_settings(text, "sex", file=str(path))),
                                  columns=())  # fmt: skip

    found, settings = _check_settings(path, "sex", parse, DetectConfig)
    named: list[Path] = []
    if settings is not None and followed:
        keys = ["PARAMETERS_NAME"]
        keys += ["FILTER_NAME"] if settings.text("FILTER").upper() in ("Y", "YES") else []
        named = [_beside(path, settings.text(key)) for key in keys]
    return found, named


def _beside(path: Path, name: str) -> Path:
    """A file that another one names: from the current folder, else beside that one."""
    beside = path.parent / name
    return beside if not Path(name).exists() and beside.exists() else Path(name)


def _without_files(settings: Settings) -> Settings:
    entries = {**settings.entries, "FILTER": Setting("FILTER", ("N",), 0)}
    return dataclasses.replace(settings, entries=entries)


def check_psfex(path: Path) -> list[Finding]:
    """Findings about a .psfex file."""

    def parse(text: str) -> Any:
        return read_psf_config(parse_settings(text, "psfex", file=str(path)))

    return _check_settings(path, "psfex", parse, PSFConfig)[0]


def check_ww(path: Path) -> list[Finding]:
    """Findings about a .ww file."""

    def parse(text: str) -> Any:
        return read_combine_config(parse_settings(text, "ww", file=str(path)))

    return _check_settings(path, "ww", parse, CombineConfig)[0]


def _check_settings(
    path: Path, program: str, parse: Callable[[str], Any], cls: type[Any]
) -> tuple[list[Finding], Settings | None]:
    text = read_text(path)
    found = all_mistakes(text, parse, str(path))
    wrong = {item.line for item in found}
    lines = [
        "" if number in wrong else line for number, line in enumerate(text.split("\n"), start=1)
    ]
    try:
        settings = parse_settings("\n".join(lines), program, file=str(path), lenient=True)
    except PurepipeError:
        return found, None
    sentences = {
        row["original"].partition(":")[2]: row["sentence"] for row in _described(cls)
    }  # fmt: skip
    for setting, status, remark in support(settings, cls):
        level = {"honoured": "honoured", "ignored": "ignored"}.get(status, "different")
        if remark == "as built in":
            level = "honoured"
        said = sentences.get(setting.key, remark) if status == "honoured" else remark
        found.append(Finding(level, str(path), setting.line, setting.key, said))
    return found, settings


def _described(cls: type[Any]) -> list[dict[str, Any]]:
    return [row for row in describe(cls) if row.get("original")]


def check_mask(path: Path) -> tuple[list[Finding], list[Path]]:
    """Findings about a .mask file, and the .ww file it names."""
    text = read_text(path)

    missing: list[Finding] = []

    def parse(text: str) -> Any:
        # Keys that a section lacks have no line; without the section the rest can be read.
        while True:
            try:
                return parse_mask_config(text, file=path)
            except ConfigError as error:
                section = re.fullmatch(r"\[(\w+)_PARAMETERS\]", error.key or "")
                if section is None or "missing" not in error.message:
                    raise
                if error.key not in {item.key for item in missing}:
                    line = text[: text.find(str(error.key))].count("\n") + 1
                    missing.append(finding_of(error, str(path), line=line))
                switch = rf"(?im)^(\s*{section.group(1)}_MAKE\s*[=:]\s*).*$"
                text = re.sub(switch, r"\1False", text)

    found = all_mistakes(text, parse, str(path))
    # Keys whose own line is wrong are not missing.
    wrong = {item.key.split()[0] for item in found if item.key}
    found += [item for item in missing if not any(key in item.text for key in wrong)]
    honoured = original_keys(MaskConfig, "mask")
    named: list[Path] = []
    for number, line in content_lines(text):
        key, _, value = (part.strip() for part in line.partition("="))
        key = key.upper()
        if line.startswith((";", "[")):
            continue
        if key in honoured:
            found.append(Finding("honoured", str(path), number, key, honoured[key]))
        elif key in MASK_IGNORED:
            found.append(Finding("ignored", str(path), number, key, MASK_IGNORED[key]))
        if key == "WW_CONFIG_FILE" and value:
            named += [item for item in (Path(value), path.parent / value) if item.is_file()][:1]
    return found, named


def check_setools(path: Path) -> list[Finding]:
    """Findings about a .setools file."""

    def parse(text: str) -> Any:
        return parse_recipe(text, file=path)

    text = read_text(path)
    found = all_mistakes(text, parse, str(path))
    sections = sum(line.startswith("[") for _, line in content_lines(text))
    if not found:
        found.append(Finding("honoured", str(path), 0, "", f"{sections} sections"))
    return found


def check_param(path: Path) -> list[Finding]:
    """Findings about a .param file: columns of detection, or of the final catalogue."""
    known = [item.name for item in COLUMNS]
    final = re.search(r"^\s*(NGMIX_|SPREAD_|TILE_ID)", read_text(path), re.M) is not None
    if final:
        known += list(all_columns())
    found = _by_copy(path, lambda copy: read_columns(copy, known=known))
    if not found:
        count = len(read_columns(path))
        found.append(Finding("honoured", str(path), 0, "", f"{count} columns"))
    return found


def check_conv(path: Path) -> list[Finding]:
    """Findings about a .conv file."""
    return _by_copy(path, read_filter) or [
        Finding("honoured", str(path), 0, "", "a detection filter")
    ]


def check_nnw(path: Path) -> list[Finding]:
    """Findings about a .nnw file."""
    return _by_copy(path, read_neural_network) or [
        Finding("honoured", str(path), 0, "", "a classifier of stars and galaxies")
    ]


def _by_copy(path: Path, read: Callable[[Path], Any]) -> list[Finding]:
    """All mistakes that a reader of files finds."""
    text = read_text(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name

        def parse(text: str) -> Any:
            write_text(copy, text)
            try:
                return read(copy)
            except PurepipeError as error:
                error.file = str(path)
                raise

        return all_mistakes(text, parse, str(path))


def check_toml(path: Path) -> list[Finding]:
    """Findings about the configuration of a survey, each value looked at by itself."""
    try:
        content = read_toml(path)
    except ConfigError as error:
        file, _, rest = (error.file or "").partition(", ")
        error.file, error.key = file, rest or error.key
        return [finding_of(error, str(path))]
    lines = _toml_lines(read_text(path))
    found: list[Finding] = []
    good: dict[str, Any] = {}
    for names, value in _leaves(content):
        key = ".".join(names)
        line = lines.get(key, 0)
        try:
            from_mapping(SurveyConfig, _nested(names, value), file=path)
        except ConfigError as error:
            if (error.key or "") == key or "unknown key" in error.message:
                found.append(finding_of(error, str(path), line=line))
                continue
        _merge(good, names, value)
        found.append(Finding("honoured", str(path), line, key, ""))
    try:
        from_mapping(SurveyConfig, good, file=path)
    except ConfigError as error:
        found.append(finding_of(error, str(path), line=lines.get(error.key or "", 0)))
    return found


def _leaves(
    content: Mapping[str, Any], path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], Any]]:
    leaves: list[tuple[tuple[str, ...], Any]] = []
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            leaves += _leaves(value, (*path, name))
        else:
            leaves.append(((*path, name), value))
    return leaves


def _nested(names: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(names):
        value = {name: value}
    result: dict[str, Any] = value
    return result


def _merge(into: dict[str, Any], names: tuple[str, ...], value: Any) -> None:
    for name in names[:-1]:
        into = into.setdefault(name, {})
    into[names[-1]] = value


def _toml_lines(text: str) -> dict[str, int]:
    """Line of every key by its dotted name."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        if header:
            table = header.group(1).replace(" ", "")
            lines.setdefault(table, number)
            continue
        entry = re.match(r"\s*([\w.\-\" ]+?)\s*=", line)
        if entry:
            key = entry.group(1).replace('"', "").replace(" ", "")
            lines.setdefault(f"{table}.{key}" if table else key, number)
    return lines


def missing_file(path: Path) -> Finding:
    """The finding of a file that does not exist."""
    error = InputFileError("the file does not exist", remedy="Check the path.")
    return finding_of(error, str(path))
