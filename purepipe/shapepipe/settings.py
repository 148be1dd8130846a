"""What a pipeline file asks for: general settings and steps, with every mistake in it at once."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from purepipe.errors import ConfigError, InputFileError, PurepipeError, did_you_mean
from purepipe.io.paths import safe_name
from purepipe.legacy.originals import Setting, config_from_originals, original_fields
from purepipe.legacy.shapepipe import DEFAULT_SECTION, PipelineFile, read_pipeline_file
from purepipe.shapepipe.check_inputs import input_mistakes
from purepipe.shapepipe.config import GeneralConfig
from purepipe.shapepipe.modules import (
    FILE_KEYS,
    IGNORED_GENERAL,
    IGNORED_KEYS,
    LISTED_KEYS,
    MODULES,
    Module,
    find_module,
)

C = TypeVar("C")
ENDINGS = (".ini", ".cfg", ".conf")  # of pipeline files
_LONGEST = 500  # characters of a message
_GENERAL = ("DEFAULT", "EXECUTION", "FILE", "JOB", "WORKER")
_WORKER_KEYS = {"JOB": ("SMP_BACKEND",), "WORKER": ("PROCESS_PRINT_LIMIT",),
                "FILE": ("CORRECT_FILE_PATTERN",)}  # fmt: skip
_REQUIRED = (("EXECUTION", "MODULE"), ("FILE", "INPUT_DIR"), ("FILE", "OUTPUT_DIR"))

# Where purepipe does on purpose what the original does not.
_DIFFERENT: Mapping[tuple[str, str], str] = {
    ("FILE", "FILE_PATTERN"): "names are compared as a whole; a part of a name counts only where"
    " nothing else fits; modules that read other modules fall back on their own patterns",
    ("FILE", "NUMBERING_SCHEME"): "a group of digits is never found inside a longer one",
    ("FILE", "RUN_LOG_NAME"): "only modules that gave products are listed, as they end",
    ("FILE", "INPUT_DIR"): "files of all folders count; a number that comes twice is an error",
    ("FILE", "NUMBER_LIST"): "numbers without files are reported, not tried",
    ("DEFAULT", "RUN_DATETIME"): "False: a second run resumes the first",
    ("JOB", "SMP_BATCH_SIZE"): "at most one process for each core",
    ("JOB", "TIMEOUT"): "not required; a unit that exceeds it is ended and named",
}


@dataclass(frozen=True)
class Finding:
    """What there is to say about one place of a configuration file.

    `level` is ``"error"``, ``"different"``, ``"ignored"``, ``"honoured"`` or ``"note"``.
    """

    level: str
    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line > 0 else self.file
        return f"{place}: {self.level}: {self.key}{': ' if self.key else ''}{self.text}"


@dataclass(frozen=True)
class Inputs:
    """Where a step finds its files; None or nothing where its section does not say.

    `added` holds the ADD_ keys.
    """

    input_dir: tuple[str, ...] | None = None
    input_module: tuple[str, ...] | None = None
    patterns: tuple[str, ...] | None = None
    extensions: tuple[str, ...] | None = None
    scheme: str | None = None
    added: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One call of a module: its name in MODULE, the name of its folder, and its settings."""

    module: Module
    name: str
    folder: str
    section: str
    config: Any
    inputs: Inputs
    line: int = 0


@dataclass(frozen=True)
class Pipeline:
    """A pipeline file, understood."""

    file: Path
    general: GeneralConfig
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]

    @property
    def output_dir(self) -> Path:
        """Folder of the runs."""
        assert self.general.output_dir is not None  # noqa: S101 - it is required
        return self.general.output_dir


def load_pipeline(path: Path, *, lenient: bool = False) -> Pipeline:
    """The pipeline that a file describes.

    Parameters
    ----------
    lenient
        Pass over unknown keys and sections, as the original does.

    Raises
    ------
    ConfigError
        All mistakes of the file in one message, each with its line and nearest match.
    InputFileError
        The file cannot be read.
    """
    pipeline, findings = examine_pipeline(path, lenient=lenient)
    errors = [item for item in findings if item.level == "error"]
    if pipeline is None or errors:
        raise ConfigError(
            f"{len(errors)} mistakes:\n" + "\n".join(f"  {item}" for item in errors)
            if len(errors) != 1
            else str(errors[0])
        )
    return pipeline


def examine_pipeline(
    path: Path, *, lenient: bool = False, keep: bool = False
) -> tuple[Pipeline | None, list[Finding]]:
    """The pipeline of a file, None when it cannot be run, and all there is to say about it.

    Parameters
    ----------
    lenient
        Pass over unknown keys and sections.
    keep
        Give what is understood of a pipeline with mistakes, too.

    Raises
    ------
    InputFileError
        The file cannot be read, or has no section.
    """
    try:
        file = read_pipeline_file(path)
    except ConfigError as error:
        return None, [finding_of(error, str(path))]
    notes = _Notes(str(path), lenient=lenient)
    general = _general(file, notes)
    steps = _steps(file, general, notes) if general is not None else ()
    for line, place, mistake in input_mistakes(file, ["FILE", *_used_sections(general)]):
        notes.error(mistake, line, place)
    _unused_sections(file, general, notes)
    _inline_comments(file, notes)
    found = sorted(notes.findings, key=lambda item: item.line)
    broken = any(item.level == "error" for item in found)
    if general is None or (broken and not keep):
        return None, found
    return Pipeline(path, general, steps, tuple(found)), found


def finding_of(error: PurepipeError, file: str = "", *, line: int = 0) -> Finding:
    """An error as a finding; its line is taken from its key or its message."""
    match = re.search(r"line (\d+)", f"{error.key or ''} {error.message}")
    if match and not line:
        line = int(match.group(1))
    key = re.sub(r"^line \d+[:,]? ?", "", error.key or "")
    message = re.sub(r"^line \d+: ", "", error.message)
    bare = type(error)(
        message, got=error.got, allowed=error.allowed, remedy=error.remedy, hdu=error.hdu
    )
    text = str(bare)
    if len(text) > _LONGEST:  # a list of hundreds of names helps nobody
        text = f"{text[:_LONGEST].rpartition(',')[0]}, ..."
    return Finding("error", error.file or file, line, key, text)


@dataclass
class _Notes:
    """The findings so far."""

    file: str
    lenient: bool
    findings: list[Finding] = field(default_factory=list)

    def add(self, level: str, line: int, key: str, text: str) -> None:
        self.findings.append(Finding(level, self.file, line, key, text))

    def unknown(self, line: int, key: str, text: str) -> None:
        self.add("note" if self.lenient else "error", line, key, text)

    def error(self, error: PurepipeError, line: int = 0, key: str = "") -> None:
        found = finding_of(error, self.file, line=line)
        self.findings.append(dataclasses.replace(found, key=key or found.key))


def _general(file: PipelineFile, notes: _Notes) -> GeneralConfig | None:
    settings: dict[str, Setting] = {}
    given: dict[str, Any] = {}
    known: dict[str, list[str]] = {name: list(_WORKER_KEYS.get(name, ())) for name in _GENERAL}
    for names, item, _ in original_fields(GeneralConfig):
        section, _, key = item.metadata["original"].partition(":")
        known[section].append(key)
        entry = file.get(section, key)
        if entry is None:
            continue
        settings[key] = entry.setting
        if key == "NUMBERING_SCHEME":
            given[names[0]] = entry.text
        level, text = "honoured", item.metadata["sentence"]
        if (section, key) in _DIFFERENT:
            level, text = "different", _DIFFERENT[section, key]
        notes.add(level, entry.line, f"[{entry.section}] {key}", text)
    for section in _GENERAL[1:]:
        for key, entry in file.sections.get(section, {}).items():
            if key in IGNORED_GENERAL and key in known[section]:
                notes.add("ignored", entry.line, f"[{section}] {key}", IGNORED_GENERAL[key])
            elif key not in known[section]:
                notes.unknown(
                    entry.line, f"[{section}] {key}",
                    f"unknown key. {did_you_mean(key, known[section])}",
                )  # fmt: skip
    for section, key in _REQUIRED:
        if not settings.get(key, Setting(key, ())).values:
            notes.add("error", file.lines.get(section, 0), f"[{section}] {key}", "a key is missing")
    general = _build(GeneralConfig, "", settings, given, notes)
    if general is None:
        return None
    if general.mode == "mpi":
        notes.add(
            "error", settings["MODE"].line, "[EXECUTION] MODE",
            "MPI is not used for pipeline files (got mpi; allowed: smp). Set MODE = SMP, or"
            " convert the files and use the runner of TOML surveys.",
        )  # fmt: skip
    _check_names(general, settings, notes)
    if general.output_dir is not None and not general.output_dir.is_dir():
        notes.add(
            "error", settings["OUTPUT_DIR"].line, "[FILE] OUTPUT_DIR",
            f"the folder does not exist (got {general.output_dir}). Make it first.",
        )  # fmt: skip
    return general


def _check_names(general: GeneralConfig, settings: Mapping[str, Setting], notes: _Notes) -> None:
    """Names of the run, its log and its list must not lead out of OUTPUT_DIR."""
    for key, section, name in (
        ("RUN_NAME", "DEFAULT", general.run_name),
        ("LOG_NAME", "FILE", general.log_name),
        ("RUN_LOG_NAME", "FILE", general.run_log_name),
    ):
        try:
            safe_name(name)
        except InputFileError as error:
            line = settings[key].line if key in settings else 0
            text = f"the name must be one of a file (got {error.got}; allowed: {error.allowed})."
            notes.add("error", line, f"[{section}] {key}", text)


def _steps(file: PipelineFile, general: GeneralConfig, notes: _Notes) -> tuple[Step, ...]:
    entry = file.get("EXECUTION", "MODULE")
    line = entry.line if entry else 0
    steps = []
    for name, folder in _calls(general.modules):
        try:
            module = find_module(name)
        except ConfigError as error:
            notes.error(error, line, "[EXECUTION] MODULE")
            continue
        section = folder.upper()
        config = _module_config(file, module, section, line, notes)
        if config is not None:
            inputs = _inputs(file, section)
            place = file.lines.get(section, line)
            steps.append(Step(module, name, folder, section, config, inputs, place))
    return tuple(steps)


def _calls(modules: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each name in MODULE with the name of its folder: a repeated one is numbered."""
    counts, seen = Counter(modules), Counter[str]()
    calls = []
    for name in modules:
        seen[name] += 1
        calls.append((name, f"{name}_run_{seen[name]}" if counts[name] > 1 else name))
    return calls


def _module_config(
    file: PipelineFile, module: Module, section: str, line: int, notes: _Notes
) -> Any:
    """The configuration of one call of a module; None when something is wrong with it."""
    own = {item.metadata["original"].partition(":")[2]: item
           for _, item, _ in original_fields(module.config)}  # fmt: skip
    common = {*FILE_KEYS, *(f"ADD_{key}" for key in LISTED_KEYS)}
    known = {*own, *common, *module.renamed, *module.ignored, *IGNORED_KEYS}
    settings: dict[str, Setting] = {}
    before = len(notes.findings)
    for key in sorted(known | set(file.sections.get(section, {}))):
        entry = file.get(section, key)
        if entry is None:
            continue
        label = f"[{entry.section}] {key}"
        if key in module.renamed and module.renamed[key] not in own:
            continue
        target = module.renamed.get(key, key)
        if target in own:
            if target in settings:
                notes.add(
                    "error", entry.line, label, f"given twice, also as {settings[target].key}"
                )
                continue
            settings[target] = entry.setting
            earlier = f"earlier name of {target}. " if target != key else ""
            notes.add("honoured", entry.line, label, earlier + own[target].metadata["sentence"])
        elif key in module.ignored or key in IGNORED_KEYS:
            reason = {**IGNORED_KEYS, **module.ignored}[key]
            notes.add("ignored", entry.line, label, reason)
        elif key in common:
            notes.add("honoured", entry.line, label, "Where the input files are.")
        elif entry.section != DEFAULT_SECTION:
            notes.unknown(entry.line, label, f"unknown key. {did_you_mean(key, known)}")
    missing = [key for key in module.required if not settings.get(key, Setting(key, ())).values]
    for key in missing:
        where = file.lines.get(section, line)
        text = (
            "a key is missing" if section in file.lines else f"the section [{section}] is missing"
        )
        notes.add("error", where, f"[{section}] {key}", text)
    if missing:
        return None
    config = _build(
        module.config, section, settings, {}, notes, module.name, file.lines.get(section, line)
    )
    broken = any(item.level == "error" for item in notes.findings[before:])
    return None if broken else config


def _build(
    cls: type[C],
    section: str,
    settings: Mapping[str, Setting],
    given: Mapping[str, Any],
    notes: _Notes,
    program: str = "",
    line: int = 0,
) -> C | None:
    """The configuration; all values that cannot be understood become findings."""
    sections = {
        item.metadata["original"].partition(":")[2]: item.metadata["original"].partition(":")[0]
        for _, item, _ in original_fields(cls)
    }
    good = dict(settings)
    for key, setting in settings.items():
        try:
            config_from_originals(cls, sections[key], {key: setting}, given=given)
        except ConfigError as error:
            if setting.where in (error.key or ""):
                notes.error(error, setting.line, f"[{section or sections[key]}] {setting.key}")
                del good[key]
    try:
        if program:
            return config_from_originals(cls, program, good, given=given)
        return _from_sections(cls, good, given)
    except ConfigError as error:
        notes.error(error, line)
        return None


def _from_sections(cls: type[C], settings: Mapping[str, Setting], given: Mapping[str, Any]) -> C:
    """As `config_from_originals`, for keys of several sections."""
    result = cls()
    changes: dict[str, Any] = dict(given)
    for names, item, _ in original_fields(cls):
        section, _, key = item.metadata["original"].partition(":")
        if key in settings and names[0] not in changes:
            part = config_from_originals(cls, section, {key: settings[key]})
            changes[names[0]] = getattr(part, names[0])
    return dataclasses.replace(result, **changes)  # type: ignore[type-var]


def _inputs(file: PipelineFile, section: str) -> Inputs:
    entries = file.sections.get(section, {})
    words = {key: entries[key].words for key in LISTED_KEYS if key in entries}
    scheme = entries.get("NUMBERING_SCHEME")
    added = {
        key: entries[f"ADD_{key}"].words for key in LISTED_KEYS if f"ADD_{key}" in entries
    }  # fmt: skip
    return Inputs(
        words.get("INPUT_DIR"), words.get("INPUT_MODULE"), words.get("FILE_PATTERN"),
        words.get("FILE_EXT"), scheme.text if scheme else None, added,
    )  # fmt: skip


def _used_sections(general: GeneralConfig | None) -> list[str]:
    """The sections of the modules that are called."""
    return [folder.upper() for _, folder in _calls(general.modules if general else ())]


def _unused_sections(file: PipelineFile, general: GeneralConfig | None, notes: _Notes) -> None:
    used = _used_sections(general)
    known = [f"{name}_RUNNER".upper() for name in MODULES]
    for section, line in file.lines.items():
        if section in used or section in _GENERAL:
            continue
        try:
            find_module(section.partition("_RUN_")[0])
        except ConfigError:
            text = f"unknown section. {did_you_mean(section, [*known, *_GENERAL])}"
            notes.unknown(line, f"[{section}]", text)
        else:
            notes.add("note", line, f"[{section}]", "not used: MODULE does not call it so")


def _inline_comments(file: PipelineFile, notes: _Notes) -> None:
    for section, entries in file.sections.items():
        for key, entry in entries.items():
            if entry.comment:
                notes.add(
                    "different", entry.line, f"[{section}] {key}",
                    f"{entry.comment!r} is taken for a comment; the original makes it a part of"
                    " the value",
                )  # fmt: skip
