"""Which runs there were, and where their modules left their files: ``last:`` and ``all:``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from purepipe.errors import ConfigError, InputFileError
from purepipe.io.atomic import write_text
from purepipe.legacy.astromatic_files import read_text
from purepipe.shapepipe.modules import find_module

_WORD = re.compile(r"(?P<word>[^:]+):(?P<module>[^:]+)")
_CALL = re.compile(r"(?P<name>.+?)(?:_run_(?P<call>\d+))?")


@dataclass(frozen=True)
class Run:
    """One run: its folder, and the modules that gave at least one product."""

    folder: Path
    modules: tuple[str, ...]


@dataclass(frozen=True)
class SearchFolder:
    """A folder with input files.

    Attributes
    ----------
    path
        The folder.
    source
        The item of INPUT_DIR it comes from. Of folders of one ``all:``, the first one that has a
        number counts; the same number in folders of different items is an error.
    """

    path: Path
    source: str


def read_history(path: Path) -> list[Run]:
    """The runs in a list of runs, latest first; none when there is no such file."""
    if not path.is_file():
        return []
    runs: dict[Path, Run] = {}
    for line in read_text(path).splitlines():
        folder, _, modules = line.strip().rpartition(" ")
        if not folder:
            continue
        place = Path(folder.strip())
        if not place.is_dir() and (path.parent / place.name).is_dir():
            place = path.parent / place.name  # the tree was moved as a whole
        names = tuple(name.strip() for name in modules.split(",") if name.strip())
        runs.pop(place, None)
        runs[place] = Run(place, names)
    return list(reversed(runs.values()))


def record_run(path: Path, run: Run) -> None:
    """Enter a run, or replace its line; runs without any product are not entered.

    Raises
    ------
    StoreError
        The list cannot be written.
    """
    if not run.modules:
        return
    with _locked(path):
        lines = read_text(path).splitlines() if path.is_file() else []
        own = f"{run.folder} "
        kept = [line for line in lines if not line.startswith(own)]
        write_text(path, "".join(f"{line}\n" for line in [*kept, own + ",".join(run.modules)]))


class _locked:  # noqa: N801 - reads like a function
    """Keeps other runs of the same OUTPUT_DIR from the list for a moment."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f".{path.name}.lock")

    def __enter__(self) -> None:
        import fcntl

        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def search_folders(
    items: Iterable[str], runs: Sequence[Run], *, file: object = None, key: str = "INPUT_DIR"
) -> list[SearchFolder]:
    """The folders that the items of an INPUT_DIR name.

    Parameters
    ----------
    items
        Folders, ``last:MODULE``, ``all:MODULE`` or ``TEXT:MODULE``.
    runs
        Latest first; the present run is the first one.

    Raises
    ------
    ConfigError
        A folder does not exist, or no run has the module.
    """
    found = []
    for item in items:
        found += [SearchFolder(path, item) for path in _folders(item, runs, file, key)]
    return found


def module_folder(name: str, runs: Sequence[Run], *, file: object = None, key: str = "") -> Path:
    """A folder, or the output of the latest run of a module: what ME_IMAGE_DIR names."""
    if Path(name).is_dir() or _WORD.fullmatch(name):
        return _folders(name, runs, file, key)[0]
    try:
        find_module(_call(name)[0])
    except ConfigError:
        return _folders(name, runs, file, key)[0]
    return _folders(f"last:{name}", runs, file, key)[0]


def _folders(item: str, runs: Sequence[Run], file: object, key: str) -> list[Path]:
    path = Path(item)
    if path.is_dir():
        return [path]
    match = _WORD.fullmatch(item)
    if match is None or path.is_absolute():
        raise ConfigError(
            "the folder does not exist", file=file, key=key, got=item,
            allowed="a folder, last:MODULE, all:MODULE or TEXT:MODULE",
        )  # fmt: skip
    word, name = match["word"].strip(), match["module"].strip()
    with_module = [
        (run, folder) for run in runs if (folder := _output(run, name)) is not None
    ]  # fmt: skip
    kind = word.casefold()
    if kind not in ("last", "all"):
        with_module = [(run, folder) for run, folder in with_module if word in str(run.folder)]
        if len(with_module) > 1:
            names = ", ".join(run.folder.name for run, _ in with_module)
            raise ConfigError(
                "more than one run has the text in its name", file=file, key=key, got=item,
                allowed=names,
            )  # fmt: skip
    if not with_module:
        known = ", ".join(dict.fromkeys(name for run in runs for name in run.modules))
        raise ConfigError(
            "no run has products of this module", file=file, key=key, got=item,
            allowed=f"of the runs in OUTPUT_DIR: {known}" if known else None,
            remedy="Run that module first, in the same OUTPUT_DIR and with the same RUN_LOG_NAME.",
        )  # fmt: skip
    folders = [folder for _, folder in with_module]
    return folders if kind == "all" else folders[:1]


def _call(name: str) -> tuple[str, str | None]:
    match = _CALL.fullmatch(name)
    assert match is not None  # noqa: S101 - matches any text
    return match["name"], match["call"]


def _output(run: Run, name: str) -> Path | None:
    """The output folder of a module in a run; of several calls, of the latest."""
    plain, call = _call(name)
    wanted = find_module(plain).name
    listed = [item for item in run.modules if item.casefold() == plain.casefold()]
    if not listed:
        listed = [item for item in run.modules if _same(item, wanted)]
    for item in dict.fromkeys(reversed(listed)):
        if call is not None:
            names = [f"{item}_run_{call}"]
        else:
            calls = sorted(run.folder.glob(f"{item}_run_*"), key=lambda path: _number(path.name))
            names = [*(path.name for path in reversed(calls)), item]
        for folder in names:
            output = run.folder / folder / "output"
            if output.is_dir() and any(output.iterdir()):
                return output
    return None


def _number(name: str) -> int:
    digits = name.rpartition("_")[2]
    return int(digits) if digits.isdigit() else -1


def _same(name: str, wanted: str) -> bool:
    try:
        return find_module(name).name == wanted
    except ConfigError:
        return False


def history_path(output_dir: Path, name: str) -> Path:
    """The list of runs in OUTPUT_DIR.

    Raises
    ------
    InputFileError
        A folder has this name.
    """
    path = output_dir / f"{name}.txt"
    if path.is_dir():
        raise InputFileError("a folder has the name of the list of runs", file=path)
    return path
