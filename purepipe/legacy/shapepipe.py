"""ShapePipe's pipeline files (.ini): sections, keys and values, each with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from purepipe.errors import ConfigError, InputFileError
from purepipe.legacy.astromatic_files import read_text
from purepipe.legacy.originals import Setting

_SECTION = re.compile(r"\[(?P<name>.+)\]\s*$")
_ENTRY = re.compile(r"(?P<key>[^=:\s][^=:]*?)\s*[=:]\s*(?P<value>.*)$")
_INLINE = re.compile(r"\s[#;].*$")
_PERCENT = re.compile(r"%(%|\((?P<name>[^)]+)\)s|.?)")
DEFAULT_SECTION = "DEFAULT"


@dataclass(frozen=True)
class Entry:
    """One key of a pipeline file.

    Attributes
    ----------
    section, key
        Section as written; key in capitals.
    text
        The value; lines of a value that goes on are joined by blanks. ``%%`` is ``%``.
    line
        Line number from 1.
    comment
        What followed ``#`` on the same line; the original takes it for a part of the value.
    """

    section: str
    key: str
    text: str
    line: int
    comment: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The items of a list, with environment variables filled in."""
        return tuple(
            os.path.expandvars(word) for word in map(str.strip, self.text.split(",")) if word
        )

    @property
    def setting(self) -> Setting:
        """The value as the readers of original files take it."""
        return Setting(self.key, self.words, self.line)

    @property
    def where(self) -> str:
        """``line 12 [FILE] INPUT_DIR``."""
        return f"line {self.line} [{self.section}] {self.key}"


@dataclass(frozen=True)
class PipelineFile:
    """A pipeline file.

    Attributes
    ----------
    file
        Its name.
    sections
        Section name to its keys; those of ``[DEFAULT]`` are in their own section only.
    lines
        Line number of each section's header.
    """

    file: str
    sections: Mapping[str, Mapping[str, Entry]]
    lines: Mapping[str, int]

    def get(self, section: str, key: str) -> Entry | None:
        """The entry of a key in a section or, as in the original, in ``[DEFAULT]``."""
        for name in (section, DEFAULT_SECTION):
            entry = self.sections.get(name, {}).get(key)
            if entry is not None:
                return entry
        return None


def read_pipeline_file(path: str | os.PathLike[str]) -> PipelineFile:
    """The sections and keys of a ``shapepipe_run`` configuration file.

    Raises
    ------
    InputFileError
        The file cannot be read.
    ConfigError
        The first line that is no section, key or comment, a section or key that comes twice, or a
        ``%`` that is not doubled.
    """
    return parse_pipeline_file(read_text(path), file=str(path))


def parse_pipeline_file(text: str, *, file: str = "") -> PipelineFile:
    """As `read_pipeline_file`, from the text of the file."""
    sections: dict[str, dict[str, Entry]] = {}
    lines: dict[str, int] = {}
    current = ""
    for number, content in _logical_lines(text):
        match = _SECTION.match(content)
        if match:
            current = match["name"]
            if current in sections:
                raise ConfigError(
                    "the section comes twice", file=file, key=f"line {number} [{current}]",
                    remedy=f"Join it with that of line {lines[current]}.",
                )  # fmt: skip
            sections[current], lines[current] = {}, number
            continue
        entry = _entry(content, current, number, file)
        if not current:
            raise ConfigError(
                "a key before the first section", file=file, key=f"line {number} {entry.key}",
                remedy="Put it below a section such as [FILE].",
            )  # fmt: skip
        if entry.key in sections[current]:
            raise ConfigError(
                "the key comes twice in its section", file=file, key=entry.where,
                remedy=f"Remove this line or line {sections[current][entry.key].line}.",
            )  # fmt: skip
        sections[current][entry.key] = entry
    if not sections:
        raise InputFileError(
            "this is no pipeline file: it has no section", file=file,
            remedy="It needs sections such as [EXECUTION] and lines KEY = value.",
        )  # fmt: skip
    filled = {
        name: MappingProxyType({key: _interpolated(entry, sections, file)
                                for key, entry in entries.items()})
        for name, entries in sections.items()
    }  # fmt: skip
    return PipelineFile(file, MappingProxyType(filled), MappingProxyType(lines))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbers and contents of the lines; an indented line goes on with the value before."""
    start, parts = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith(("#", ";")):
            continue
        if line[0].isspace() and parts and not _SECTION.match(parts):
            parts += f" {content}"
            continue
        if parts:
            yield start, parts
        start, parts = number, content
    if parts:
        yield start, parts


def _entry(content: str, section: str, number: int, file: str) -> Entry:
    match = _ENTRY.match(content)
    if match is None:
        raise ConfigError(
            "this is neither a section nor KEY = value", file=file, key=f"line {number}",
            got=repr(content),
        )  # fmt: skip
    # The original would take a comment on the line for a part of the value.
    comment = _INLINE.search(f" {match['value']}")
    value = _INLINE.sub("", f" {match['value']}").strip()
    return Entry(
        section, match["key"].upper(), value, number, comment.group().strip() if comment else ""
    )


def _interpolated(entry: Entry, sections: Mapping[str, Mapping[str, Entry]], file: str) -> Entry:
    """The entry with ``%%`` and ``%(key)s`` replaced, as Python's configparser does."""

    def value(match: re.Match[str]) -> str:
        if match.group(1) == "%":
            return "%"
        name = (match["name"] or "").upper()
        for section in (entry.section, DEFAULT_SECTION):
            other = sections.get(section, {}).get(name)
            if other is not None and other is not entry:
                return other.text
        raise ConfigError(
            "a percent sign must be doubled", file=file, key=entry.where, got=repr(entry.text),
            allowed="%% or %(KEY)s",
        )  # fmt: skip

    text = _PERCENT.sub(value, entry.text)
    return Entry(entry.section, entry.key, text, entry.line, entry.comment)
