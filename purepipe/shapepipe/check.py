"""``purepipe check``: all that there is to say about configuration files before anything is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from purepipe.errors import ConfigError, PurepipeError, did_you_mean
from purepipe.shapepipe import check_files
from purepipe.shapepipe.config import (
    MaskModuleConfig,
    PSFExConfig,
    SetoolsConfig,
    SextractorConfig,
)
from purepipe.shapepipe.settings import ENDINGS, Finding, Step, examine_pipeline, finding_of

_ORDER = ("error", "different", "ignored", "note", "honoured")
_SIMPLE: dict[str, Callable[[Path], list[Finding]]] = {
    ".psfex": check_files.check_psfex,
    ".ww": check_files.check_ww,
    ".setools": check_files.check_setools,
    ".param": check_files.check_param,
    ".conv": check_files.check_conv,
    ".nnw": check_files.check_nnw,
    ".toml": check_files.check_toml,
}
KINDS = (*ENDINGS, ".sex", ".mask", *_SIMPLE)


def check(files: Sequence[Path]) -> list[Finding]:
    """Every mistake in configuration files and in the files that they name, and what is done.

    Parameters
    ----------
    files
        Files with one of the endings of `KINDS`; relative paths in them start at the current
        folder, as when they are run.

    Returns
    -------
    Findings by file, in the order of the lines. The level is ``"error"``; ``"different"`` where
    purepipe does on purpose something else than the original; ``"ignored"`` on purpose;
    ``"note"``; or ``"honoured"``. A file that is named twice is looked at once.
    """
    waiting: list[tuple[Path, bool]] = [(Path(path), True) for path in files]
    seen: set[Path] = set()
    found: list[Finding] = []
    while waiting:
        path, followed = waiting.pop(0)
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        try:
            findings, named = _check_one(path, followed)
        except PurepipeError as error:
            findings, named = [finding_of(error, str(path))], []
        found += sorted(findings, key=lambda item: (item.file != str(path), item.line))
        waiting = [*named, *waiting]
    return found


def count_mistakes(path: Path) -> int:
    """Number of mistakes in a configuration file and in those that it names."""
    return sum(item.level == "error" for item in check([path]))


def _check_one(path: Path, followed: bool) -> tuple[list[Finding], list[tuple[Path, bool]]]:
    """Findings about one file, and the files it names, with whether to follow those further."""
    kind = path.suffix.casefold()
    if kind not in KINDS:
        raise ConfigError(
            "the kind of the file is not known", file=path, got=path.suffix or "no ending",
            remedy=did_you_mean(path.suffix, KINDS),
        )  # fmt: skip
    if not path.is_file():
        return [check_files.missing_file(path)], []
    if kind in ENDINGS:
        return _check_ini(path)
    if kind == ".sex":
        findings, named = check_files.check_sex(path, followed=followed)
    elif kind == ".mask":
        findings, named = check_files.check_mask(path)
    else:
        findings, named = _SIMPLE[kind](path), []
    return findings, [(item, True) for item in named]


def _check_ini(path: Path) -> tuple[list[Finding], list[tuple[Path, bool]]]:
    pipeline, findings = examine_pipeline(path, keep=True)
    named: list[tuple[Path, bool]] = []
    if pipeline is None:
        return findings, named
    for step in pipeline.steps:
        findings += _folders(step, path)
        named += _named(step)
    findings += _missing_folders(
        pipeline.general.input_dir, path, "[FILE] INPUT_DIR", _line(findings, "[FILE] INPUT_DIR")
    )
    return findings, named


def _line(findings: Sequence[Finding], key: str) -> int:
    return next((item.line for item in findings if item.key == key), 0)


def _missing_folders(items: Sequence[str], path: Path, key: str, line: int) -> list[Finding]:
    found = []
    for item in items:
        if Path(item).is_dir():
            continue
        if ":" in item:
            found.append(Finding("note", str(path), line, key, f"{item} is looked up when it runs"))
            continue
        text = f"the folder does not exist (got {item})."
        found.append(Finding("error", str(path), line, key, text))
    return found


def _folders(step: Step, path: Path) -> list[Finding]:
    """Folders of a step that do not exist, and a file of world coordinates not made yet."""
    items = [*(step.inputs.input_dir or ()), *step.inputs.added.get("INPUT_DIR", ())]
    found = _missing_folders(items, path, f"[{step.section}] INPUT_DIR", step.line)
    log: Path | None = getattr(step.config, "wcs_log", None)
    if log is not None and not (log.exists() or log.with_suffix(".sqlite").exists()):
        text = f"{log} does not exist yet; merge_headers_runner makes it"
        found.append(Finding("note", str(path), step.line, f"[{step.section}] LOG_WCS", text))
    return found


def _named(step: Step) -> list[tuple[Path, bool]]:
    """The files that a step's section names, with whether to follow those further."""
    config: Any = step.config
    paths: list[tuple[Path | None, bool]] = []
    if isinstance(config, MaskModuleConfig | SetoolsConfig):
        paths.append((config.config_path, True))
    elif isinstance(config, PSFExConfig):
        paths.append((config.psfex_file, True))
    elif isinstance(config, SextractorConfig):
        paths += [(config.sex_file, config.param_file is None), (config.param_file, True)]
        paths += [(config.conv_file, True)]
    return [(item, followed) for item, followed in paths if item is not None]


def report_lines(findings: Sequence[Finding], *, verbose: bool = False) -> list[str]:
    """The findings as lines: mistakes first, then by level; what is honoured only if verbose."""
    lines = []
    for level in _ORDER if verbose else _ORDER[:-1]:
        chosen = [item for item in findings if item.level == level]
        lines += [str(item) for item in chosen]
    lines += [""] if lines else []
    files = list(dict.fromkeys(item.file for item in findings))
    for file in files:
        counts = Counter(item.level for item in findings if item.file == file)
        text = ", ".join(
            f"{counts[level]} {_NAMES[level][counts[level] > 1]}"
            for level in _ORDER
            if counts[level]
        )
        lines.append(f"{file}: {text}")
    return lines


_NAMES = {
    "error": ("mistake", "mistakes"),
    "different": ("done otherwise", "done otherwise"),
    "ignored": ("ignored on purpose", "ignored on purpose"),
    "note": ("note", "notes"),
    "honoured": ("honoured", "honoured"),
}
