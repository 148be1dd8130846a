"""Mistakes in what a pipeline file says about its input files, found before anything is run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from purepipe.errors import ConfigError
from purepipe.legacy.shapepipe import Entry, PipelineFile
from purepipe.shapepipe.files import pair_extensions
from purepipe.shapepipe.history import module_of_word
from purepipe.shapepipe.modules import find_module
from purepipe.survey.numbering import numbering_pattern


def input_mistakes(
    file: PipelineFile, sections: Iterable[str]
) -> Iterator[tuple[int, str, ConfigError]]:
    """Line, place and error of every scheme, extension and name of a module that cannot be used.

    Parameters
    ----------
    sections
        Names of the sections that count: ``FILE`` and those of the modules.
    """
    for section in sections:
        entries = file.sections.get(section, {})
        yield from _of_scheme(section, entries)
        yield from _of_extensions(section, entries)
        yield from _of_modules(section, entries)


def _of_scheme(
    section: str, entries: Mapping[str, Entry]
) -> Iterator[tuple[int, str, ConfigError]]:
    entry = entries.get("NUMBERING_SCHEME")
    if entry is None:
        return
    try:
        numbering_pattern(entry.text)
    except ConfigError as error:
        yield entry.line, f"[{section}] NUMBERING_SCHEME", error


def _of_extensions(
    section: str, entries: Mapping[str, Entry]
) -> Iterator[tuple[int, str, ConfigError]]:
    for added in ("", "ADD_"):
        entry, patterns = entries.get(f"{added}FILE_EXT"), entries.get(f"{added}FILE_PATTERN")
        if entry is None:
            continue
        words = entry.words
        try:
            pair_extensions(words if patterns is None else patterns.words, words)
        except ConfigError as error:
            yield entry.line, f"[{section}] {added}FILE_EXT", error


def _of_modules(
    section: str, entries: Mapping[str, Entry]
) -> Iterator[tuple[int, str, ConfigError]]:
    """Modules that INPUT_MODULE names, and those of ``last:MODULE`` in INPUT_DIR."""
    for key in ("INPUT_DIR", "ADD_INPUT_DIR", "INPUT_MODULE", "ADD_INPUT_MODULE"):
        entry = entries.get(key)
        for word in entry.words if entry is not None else ():
            name = word if key.endswith("MODULE") else module_of_word(word)
            if name is None:
                continue
            try:
                find_module(re.sub(r"_run_\d+$", "", name.rpartition(":")[2]))
            except ConfigError as error:
                assert entry is not None  # noqa: S101 - it has words
                yield entry.line, f"[{section}] {key}", error
