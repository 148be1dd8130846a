"""From folders and patterns to units: which files have which number."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from purepipe.errors import ConfigError, InputFileError
from purepipe.shapepipe.history import SearchFolder
from purepipe.survey.numbering import numbering_pattern

_SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Found:
    """The files of one pattern: number to file, and what is worth saying."""

    pattern: str
    extension: str
    files: dict[str, Path]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unit:
    """One number and its files; `missing` names patterns for which the number has no file."""

    number: str
    files: tuple[Path, ...]
    missing: tuple[str, ...] = ()


def list_files(folders: Sequence[SearchFolder]) -> list[tuple[SearchFolder, Path]]:
    """All files below the folders, in order of folders and names; hidden ones are left out.

    Links to folders are followed. A folder that is reached twice, by its name or by a link, counts
    the first time.
    """
    found = []
    seen: set[str] = set()
    for folder in folders:
        for root, names, files in os.walk(folder.path, followlinks=True):
            place = os.path.realpath(root)
            if place in seen:
                names.clear()
                continue
            seen.add(place)
            names[:] = sorted(name for name in names if not name.startswith("."))
            found += [
                (folder, Path(root, name)) for name in sorted(files) if not name.startswith(".")
            ]
    return found


def find_numbered(
    files: Sequence[tuple[SearchFolder, Path]], pattern: str, extension: str, scheme: str
) -> Found:
    """The files whose name is pattern + number + extension.

    Where no file fits as a whole, files are taken that have the pattern anywhere in their names,
    as in the original; a note says so.

    Raises
    ------
    InputFileError
        Two files have the same number.
    """
    number = numbering_pattern(scheme)
    ending = extension if extension.startswith(".") or not extension else f".{extension}"
    # Names as a whole; names with something before the pattern; with the pattern anywhere.
    kinds: tuple[list[tuple[SearchFolder, Path, str]], ...] = ([], [], [])
    for folder, path in files:
        name = path.name
        if not name.endswith(ending):
            continue
        stem = name.removesuffix(ending)
        before, there, rest = stem.rpartition(pattern) if pattern else ("", "-", stem)
        match = number.search(stem)
        if there and number.fullmatch(rest):
            kinds[1 if before else 0].append((folder, path, rest))
        elif there and match:
            kinds[2].append((folder, path, match.group()))
    chosen = next((kind for kind in kinds if kind), [])
    notes = []
    if chosen and chosen is not kinds[0]:
        shown = ", ".join(path.name for _, path, _ in chosen[:_SHOWN])
        notes.append(
            f"no file is named {pattern}<number>{ending}; files with {pattern!r} in their names"
            f" are taken: {shown}{', ...' if len(chosen) > _SHOWN else ''}"
        )
    unique, repeated = _unique(chosen, pattern)
    return Found(pattern, ending, unique, (*notes, *repeated))


def _unique(
    chosen: Sequence[tuple[SearchFolder, Path, str]], pattern: str
) -> tuple[dict[str, Path], list[str]]:
    """One file for each number; of the folders of one ``all:``, the first that has it."""
    found: dict[str, tuple[SearchFolder, Path]] = {}
    older = 0
    for folder, path, number in chosen:
        if number not in found:
            found[number] = (folder, path)
            continue
        other_folder, other = found[number]
        if path.resolve() == other.resolve():
            continue
        if folder.source == other_folder.source and folder.path != other_folder.path:
            older += 1
            continue
        raise InputFileError(
            f"two files have the number {number!r} for the pattern {pattern!r}", file=path,
            got=f"also {other}",
            remedy="Name the pattern more fully, or fewer folders in INPUT_DIR.",
        )  # fmt: skip
    notes = [f"{older} files of earlier runs were passed over for later ones"] if older else []
    return {number: path for number, (_, path) in found.items()}, notes


def make_units(found: Sequence[Found], numbers: Sequence[str] | None = None) -> list[Unit]:
    """One unit for each number that any pattern has, or for each of the given numbers.

    Units without all their files say which are missing, so that no number vanishes.
    """
    wanted = numbers
    if wanted is None:
        wanted = sorted({number for item in found for number in item.files})
    units = []
    for number in wanted:
        missing = tuple(
            f"{item.pattern}{number}{item.extension}"
            for item in found
            if number not in item.files
        )  # fmt: skip
        files = () if missing else tuple(item.files[number] for item in found)
        units.append(Unit(number, files, missing))
    return units


def read_numbers(words: Sequence[str], scheme: str, *, file: object = None) -> list[str]:
    """The numbers of a NUMBER_LIST: given one by one, or in a file with one in each line.

    Raises
    ------
    ConfigError
        A number does not fit the numbering scheme, or comes twice.
    """
    numbers = [word for word in words if word]
    if len(numbers) == 1 and Path(numbers[0]).is_file():
        text = Path(numbers[0]).read_text(encoding="utf-8")
        numbers = [line.strip() for line in text.splitlines() if line.strip()]
    expression = numbering_pattern(scheme)
    for number in numbers:
        if not expression.fullmatch(number):
            raise ConfigError(
                "the number does not fit the numbering scheme", file=file, key="NUMBER_LIST",
                got=repr(number), allowed=scheme,
                remedy="Write it as in the file names, with its leading dash.",
            )  # fmt: skip
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise ConfigError("a number comes twice", file=file, key="NUMBER_LIST", got=twice)
    return numbers


def pair_extensions(
    patterns: Sequence[str], extensions: Sequence[str], *, file: object = None, key: str = ""
) -> list[str]:
    """One extension for each pattern; a single one serves all.

    Raises
    ------
    ConfigError
        The numbers differ, or an extension has two dots.
    """
    for extension in extensions:
        if re.search(r"\..*\.", extension):
            raise ConfigError(
                "an extension has one dot", file=file, key=key, got=extension,
                remedy="Link the files under names such as image-2079614.fitsfz.",
            )  # fmt: skip
    if len(extensions) == 1:
        return list(extensions) * len(patterns)
    if len(extensions) != len(patterns):
        raise ConfigError(
            "FILE_EXT needs one extension, or one for each FILE_PATTERN", file=file, key=key,
            got=len(extensions), allowed=f"1 or {len(patterns)}",
        )  # fmt: skip
    return list(extensions)
