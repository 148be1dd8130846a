"""Where a step finds its files: folders, patterns and numbering, and the units that follow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from purepipe.errors import ConfigError, NothingToDo
from purepipe.shapepipe import history
from purepipe.shapepipe.files import (
    Found,
    Unit,
    find_numbered,
    list_files,
    make_units,
    pair_extensions,
    read_numbers,
)
from purepipe.shapepipe.history import Run, SearchFolder
from purepipe.shapepipe.modules import find_module
from purepipe.shapepipe.settings import Pipeline, Step


def find_units(step: Step, pipeline: Pipeline, runs: Sequence[Run]) -> tuple[list[Unit], list[str]]:
    """The numbers of a step with their files, and what is worth saying about them.

    Parameters
    ----------
    runs
        Latest first; the present run is the first one.

    Raises
    ------
    ConfigError
        A folder or a run does not exist, or patterns and extensions do not fit together.
    NothingToDo
        No file fits.
    """
    folders = _input_folders(step, pipeline, runs)
    files = list_files(folders)
    choices = _choices(step, pipeline)
    found, scheme, notes = _first_fit(files, choices, step, pipeline)
    for item in found:
        notes += item.notes
    numbers = pipeline.general.number_list
    chosen = read_numbers(numbers, scheme, file=pipeline.file) if numbers else None
    return make_units(found, chosen), notes


def _first_fit(
    files: Sequence[tuple[SearchFolder, Path]],
    choices: Sequence[tuple[list[str], list[str], str]],
    step: Step,
    pipeline: Pipeline,
) -> tuple[list[Found], str, list[str]]:
    """The first patterns and numbering for which every pattern has a file."""
    schemes = _schemes(step, pipeline)
    for patterns, extensions, source in choices:
        for scheme in schemes:
            found = [
                find_numbered(files, pattern, extension, scheme)
                for pattern, extension in zip(patterns, extensions, strict=True)
            ]
            if all(item.files for item in found):
                taken = (patterns, extensions, source) == choices[0]
                note = f"the patterns {', '.join(patterns)} of {source} are used"
                return found, scheme, [] if taken else [note]
    patterns, extensions, source = choices[0]
    wanted = ", ".join(f"{p}<number>{e}" for p, e in zip(patterns, extensions, strict=True))
    folders = dict.fromkeys(str(folder.path) for folder, _ in files)
    raise NothingToDo(
        "no file for one of the patterns", key=f"[{step.section}] FILE_PATTERN ({source})",
        got=f"{len(files)} files in {', '.join(folders) or 'empty folders'}", allowed=wanted,
        remedy="Check INPUT_DIR, FILE_PATTERN, FILE_EXT and NUMBERING_SCHEME"
        f" ({', '.join(schemes)}).",
    )  # fmt: skip


def _schemes(step: Step, pipeline: Pipeline) -> tuple[str, ...]:
    own = step.inputs.scheme
    if own is not None:
        return (own,)
    general = pipeline.general.numbering_scheme
    return (general,) if general is not None else step.module.schemes


def _choices(step: Step, pipeline: Pipeline) -> list[tuple[list[str], list[str], str]]:
    """Patterns with their extensions, by preference, each with its source."""
    inputs, general, module = step.inputs, pipeline.general, step.module
    sources: list[tuple[Sequence[str], str]] = []
    if inputs.patterns:
        sources.append((inputs.patterns, f"[{step.section}]"))
    else:
        if general.file_pattern:
            sources.append((general.file_pattern, "[FILE]"))
        sources.append((module.patterns, "the module"))
        if general.file_ext and not general.file_pattern:
            sources.append((module.patterns, "the module with FILE_EXT of [FILE]"))
    choices = []
    for patterns, source in sources:
        patterns = [*patterns, *inputs.added.get("FILE_PATTERN", ())]
        extensions = [*_extensions(step, pipeline, patterns, source)]
        extensions += inputs.added.get("FILE_EXT", ())
        key = f"[{step.section}] FILE_EXT"
        paired = pair_extensions(patterns, extensions, file=pipeline.file, key=key)
        choices.append((patterns, paired, source))
    return choices


def input_patterns(step: Step, pipeline: Pipeline) -> tuple[list[str], list[str]]:
    """The preferred patterns of a step's input files, and their extensions.

    Raises
    ------
    ConfigError
        Patterns and extensions do not fit together.
    """
    patterns, extensions, _ = _choices(step, pipeline)[0]
    return patterns, [item if item.startswith(".") else f".{item}" for item in extensions]


def _extensions(
    step: Step, pipeline: Pipeline, patterns: Sequence[str], source: str
) -> Sequence[str]:
    """The first of section, [FILE] and module whose extensions fit the number of patterns."""
    own = step.inputs.extensions
    if own:
        return own
    shared, default = pipeline.general.file_ext, step.module.extensions
    order = [default, shared] if source == "the module" else [shared, default]
    for extensions in order:
        if len(extensions) in (1, len(patterns)) and extensions:
            return extensions
    return order[0] or order[1]


def _input_folders(step: Step, pipeline: Pipeline, runs: Sequence[Run]) -> list[SearchFolder]:
    """The folders in which a step searches."""
    inputs, key = step.inputs, f"[{step.section}] INPUT_DIR"
    if inputs.input_dir:
        items = list(inputs.input_dir)
    else:
        modules = [*(inputs.input_module or step.module.inputs)]
        modules += inputs.added.get("INPUT_MODULE", ())
        earlier = {item.module.name for item in pipeline.steps[: pipeline.steps.index(step)]}
        _require_products(modules, earlier, runs, step)
        if inputs.input_module or any(_plain(name) in earlier for name in modules):
            # Of the module's own list, those that were never run are passed over.
            known = {_plain(name) for run in runs for name in run.modules}
            optional = [] if inputs.input_module else [n for n in modules if _plain(n) not in known]
            items = [f"last:{name}" for name in modules if name not in optional]
        else:
            items = list(pipeline.general.input_dir)
    items += inputs.added.get("INPUT_DIR", ())
    return history.search_folders(items, runs, file=pipeline.file, key=key)


def _plain(name: str) -> str:
    """The current name of a module, or the name itself if there is no such module."""
    try:
        return find_module(name.partition("_run_")[0]).name
    except ConfigError:
        return name


def _require_products(
    modules: Sequence[str], earlier: set[str], runs: Sequence[Run], step: Step
) -> None:
    """Products of an older run must not stand in for those that a step of this run lacks."""
    done = {_plain(name) for name in (runs[0].modules if runs else ())}
    for name in modules:
        if _plain(name) in earlier - done:
            raise NothingToDo(
                f"{name} gave no product in this run", key=f"[{step.section}] INPUT_MODULE",
                remedy="See why it failed; its failures are listed above.",
            )  # fmt: skip
