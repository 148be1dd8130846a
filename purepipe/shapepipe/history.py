"""Which runs there were, and where their modules left their files: ``last:`` and ``all:``."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
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
    runs = []
    for line in read_text(path).splitlines():
        folder, _, modules = line.strip().rpartition(" ")
        if not folder:
            continue
        place = Path(folder.strip())
        if not place.is_dir() and (path.parent / place.name).is_dir():
            place = path.parent / place.name  # the tree was moved as a whole
        runs.append(Run(place, _names(modules)))
    return runs[::-1]


def earlier_runs(runs: Iterable[Run], folder: Path, ended: Collection[str]) -> list[Run]:
    """The runs beside the present one in `folder`, with what others of its name left there.

    Parameters
    ----------
    ended
        Modules that the present run has done or tried: what it says of these counts alone.
    """
    left = []
    for run in runs:
        if run.folder == folder:
            names = [name for name in run.modules if name not in ended and _stands(folder, name)]
            run = Run(folder, tuple(names))
        if run.modules:
            left.append(run)
    return left


def record_run(path: Path, run: Run, ended: Collection[str] = ()) -> None:
    """Enter a run; runs without any product are not entered.

    Of earlier lines with its folder, the modules stay that still have output and that the run has
    not `ended` itself.

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
        kept = []
        for line in lines:
            if line.startswith(own):
                old = Run(run.folder, _names(line.removeprefix(own)))
                left = earlier_runs([old], run.folder, {*run.modules, *ended})
                kept += [own + ",".join(item.modules) for item in left]
            else:
                kept.append(line)
        write_text(path, "".join(f"{line}\n" for line in [*kept, own + ",".join(run.modules)]))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


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


def module_of_word(item: str) -> str | None:
    """The module in ``last:MODULE``, ``all:MODULE`` or ``TEXT:MODULE``; None for a folder."""
    match = None if Path(item).is_absolute() or Path(item).is_dir() else _WORD.fullmatch(item)
    return None if match is None else match["module"].strip()


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
    # A folder in which several runs have worked comes once, as the latest of them says.
    with_module: dict[Path, Path] = {}
    for run in runs:
        output = _output(run, name)
        if output is not None:
            with_module.setdefault(run.folder, output)
    kind = word.casefold()
    if kind not in ("last", "all"):
        with_module = {run: output for run, output in with_module.items() if word in str(run)}
        if len(with_module) > 1:
            names = ", ".join(run.name for run in with_module)
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
    folders = list(with_module.values())
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
            if _filled(output):
                return output
    return None


def _filled(output: Path) -> bool:
    return output.is_dir() and any(output.iterdir())


def _stands(folder: Path, name: str) -> bool:
    """Whether a module, or one of its calls, still has output in the folder of a run."""
    calls = [folder / name, *folder.glob(f"{name}_run_*")]
    return any(_filled(call / "output") for call in calls)


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
