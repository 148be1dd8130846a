"""Running a pipeline file: its modules one after the other, their units side by side."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from purepipe.config.fields import to_mapping
from purepipe.errors import ConfigError, ExitCode, PurepipeError
from purepipe.io.atomic import write_text
from purepipe.pipeline.endings import failure_lines
from purepipe.pipeline.executors import cpu_count
from purepipe.pipeline.progress import Progress, Silent
from purepipe.pipeline.store import Outcome
from purepipe.shapepipe import history
from purepipe.shapepipe.config import PSFInterpConfig, VignetConfig, seconds
from purepipe.shapepipe.execute import Workers, relative_products, run_jobs
from purepipe.shapepipe.files import Unit
from purepipe.shapepipe.headers import wcs_log_path
from purepipe.shapepipe.history import Run
from purepipe.shapepipe.inputs import find_units
from purepipe.shapepipe.job import Job
from purepipe.shapepipe.ledger import Ledger, content_key, identity, not_writable, open_ledger
from purepipe.shapepipe.originals import contents
from purepipe.shapepipe.settings import Pipeline, Step, load_pipeline

NOT_RUN = "not run"
SUMMARY = "logs/summary.txt"


@dataclass(frozen=True)
class StepEnd:
    """How a step ended: its units, in the order of their numbers."""

    step: str
    outcomes: tuple[Outcome, ...]
    skipped: int = 0

    @property
    def done(self) -> int:
        """Number of units that gave their products."""
        return sum(outcome.done for outcome in self.outcomes)


@dataclass(frozen=True)
class PipelineSummary:
    """What a run of a pipeline file did.

    Attributes
    ----------
    folder
        Folder of the run.
    steps
        One entry for each call of a module, in their order.
    """

    folder: Path
    steps: tuple[StepEnd, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """All units that did not give their products."""
        return tuple(end for step in self.steps for end in step.outcomes if not end.done)

    @property
    def exit_code(self) -> ExitCode:
        """0 all fine, 1 some units failed, 3 no unit of any module gave a product."""
        if not any(step.done for step in self.steps):
            return ExitCode.NOTHING_USABLE
        return ExitCode.SOME_FAILED if self.failures else ExitCode.OK


@dataclass
class _Team(Workers):
    """Workers that remember what they were given, for a run that is interrupted."""

    given: dict[Future[Outcome], Job] = field(default_factory=dict)

    def submit(self, job: Job) -> Future[Outcome]:
        """Start a unit."""
        future = super().submit(job)
        self.given[future] = job
        return future

    def last_outcomes(self, known: Collection[str]) -> list[tuple[Job, Outcome]]:
        """Let the units at work end, start no other, and give the outcomes not yet `known`."""
        self.close()
        return [
            (job, future.result())
            for future, job in self.given.items()
            if job.name not in known
            and future.done()
            and not future.cancelled()
            and future.exception() is None
        ]


@dataclass
class _State:
    """The run while it goes on; nothing outside `run_pipeline` sees it."""

    pipeline: Pipeline
    folder: Path
    runs: list[Run]
    ledger: Ledger
    workers: _Team
    progress: Progress
    say: Callable[[str], None]
    ends: list[StepEnd] = field(default_factory=list)
    units: int = 0

    @property
    def current(self) -> Run:
        """The present run as far as it has come."""
        done = {end.step for end in self.ends if end.done}
        names = [step.name for step in self.pipeline.steps if step.folder in done]
        return Run(self.folder, tuple(names))

    @property
    def ended(self) -> set[str]:
        """Modules that the present run has done or tried."""
        folders = {end.step for end in self.ends}
        return {step.name for step in self.pipeline.steps if step.folder in folders}

    @property
    def all_runs(self) -> list[Run]:
        """All runs, latest first."""
        return [self.current, *history.earlier_runs(self.runs, self.folder, self.ended)]


def run_pipeline(
    path: Path | str,
    *,
    workers: int | None = None,
    lenient: bool = False,
    progress: Progress | None = None,
) -> PipelineSummary:
    """Run the modules of a ``shapepipe_run`` configuration file and say how every unit ended.

    Parameters
    ----------
    path
        The .ini file; relative paths in it start at the current folder, as in the original.
    workers
        Number of processes; default: SMP_BATCH_SIZE, but no more than cores.
    lenient
        Pass over unknown keys and sections.
    progress
        Told about every unit; default: silence.

    Returns
    -------
    Every number of every module, also those that could not be run and why.

    Raises
    ------
    ConfigError
        A mistake in the file or in a file that it names, or a number of workers below one;
        nothing has been run.
    StoreError
        OUTPUT_DIR cannot be written, or another run works in the same folder.
    """
    if workers is not None and workers < 1:
        raise ConfigError("out of range", key="workers", got=workers, allowed="1 or more")
    pipeline = load_pipeline(Path(path), lenient=lenient)
    _check_originals(pipeline)
    general = pipeline.general
    runs = history.read_history(_history(pipeline))
    folder = _run_folder(pipeline)
    count = min(general.batch_size, cpu_count()) if workers is None else workers
    team = _Team(count, seconds(general.timeout))
    with open_ledger(folder) as ledger:
        _keep_file(pipeline.file, folder)
        say = _logger(pipeline, folder)
        state = _State(pipeline, folder, runs, ledger, team, progress or Silent(), say)
        _say_start(state, count)
        try:
            for step in pipeline.steps:
                _run_step(step, state)
                history.record_run(_history(pipeline), state.current, state.ended)
        finally:
            team.close()
        summary = PipelineSummary(folder, tuple(state.ends))
        say(f"A total of {len(summary.failures)} errors were recorded.")
        return summary


def _history(pipeline: Pipeline) -> Path:
    return history.history_path(pipeline.output_dir, pipeline.general.run_log_name)


def _check_originals(pipeline: Pipeline) -> None:
    """Find mistakes in the files of the modules before anything is run."""
    problems = []
    for step in pipeline.steps:
        try:
            contents(step.config)
        except PurepipeError as error:
            problems.append(f"[{step.section}] {error}")
    if problems:
        raise ConfigError("; ".join(problems), file=pipeline.file)


def _run_folder(pipeline: Pipeline) -> Path:
    """The folder of the run; nothing is made here."""
    general = pipeline.general
    name = general.run_name
    if general.run_datetime:
        name += time.strftime("_%Y-%m-%d_%H-%M-%S")
    folder = pipeline.output_dir.resolve() / name
    if folder.exists() and general.run_datetime:
        raise ConfigError(
            "the folder of the run exists", file=pipeline.file, key="RUN_NAME", got=folder,
            remedy="Start again in a second.",
        )  # fmt: skip
    return folder


def _keep_file(path: Path, folder: Path) -> None:
    """Keep a copy of the pipeline file with the logs, unless it is that copy which is run."""
    try:
        with suppress(shutil.SameFileError):
            shutil.copyfile(path, folder / "logs" / path.name)
    except OSError as error:
        raise not_writable(folder, error) from error


def _logger(pipeline: Pipeline, folder: Path) -> Callable[[str], None]:
    """A function that writes a line to the main log."""
    path = folder / "logs" / f"{pipeline.general.log_name}.log"

    def say(text: str) -> None:
        stamp = time.strftime("%d/%m/%Y %H:%M:%S")
        with path.open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{stamp} {line}\n" for line in text.splitlines()))

    return say


def _say_start(state: _State, count: int) -> None:
    from purepipe import __version__

    names = ", ".join(step.folder for step in state.pipeline.steps)
    state.say(f"purepipe {__version__}, {state.pipeline.file}")
    state.say(f"modules: {names}")
    state.say(f"processes: {count} of {cpu_count()} cores")
    for item in state.pipeline.findings:
        if item.level not in ("honoured", "different"):
            state.say(str(item))


def _run_step(step: Step, state: _State) -> None:
    """Run all units of one step; what keeps a whole step from running is its failure."""
    state.say(f"--- {step.folder}")
    try:
        units, notes = find_units(step, state.pipeline, state.all_runs)
        for note in notes:
            state.say(f"{step.folder}: {note}")
        jobs = _jobs(step, units, state)
    except PurepipeError as error:
        if isinstance(error, ConfigError) and not state.ends:
            raise
        _end_step(step, state, [Outcome(step.folder, step.folder, _fate(error, state), str(error))])
        return
    outcomes = [_not_run(step, unit, state) for unit in units if unit.missing]
    number = len(jobs) + len(outcomes)
    state.units += number
    state.progress.total(state.units)
    state.progress.stage(f"{step.folder}: {number} unit{'s' if number != 1 else ''}")
    for outcome in outcomes:
        state.progress.ended(outcome)
    standing, todo = _standing(step, jobs, state)
    keys = {job.name: key for job, key in todo}

    def record(job: Job, outcome: Outcome) -> Outcome:
        outcome = replace(relative_products(outcome, state.folder), key=keys[job.name])
        state.ledger.record(outcome)
        outcomes.append(outcome)
        return outcome

    state.workers.given.clear()
    try:
        run_jobs(
            [job for job, _ in todo], state.workers,
            lambda job, outcome: state.progress.ended(record(job, outcome)),
        )  # fmt: skip
    except KeyboardInterrupt:
        for job, outcome in state.workers.last_outcomes({item.name for item in outcomes}):
            record(job, outcome)
        raise
    _end_step(step, state, [*outcomes, *standing], skipped=len(standing))


def _fate(error: PurepipeError, state: _State) -> str:
    """Whether a step failed by itself, or for lack of what an earlier one failed to give."""
    earlier_failed = any(not end.done for end in state.ends)
    return NOT_RUN if earlier_failed and not isinstance(error, ConfigError) else error.status


def _end_step(step: Step, state: _State, outcomes: list[Outcome], *, skipped: int = 0) -> None:
    outcomes.sort(key=lambda outcome: outcome.name)
    state.ends.append(StepEnd(step.folder, tuple(outcomes), skipped))
    counts = Counter(outcome.status for outcome in outcomes)
    state.say(
        f"{step.folder}: " + ", ".join(f"{count} {status}" for status, count in counts.items())
    )
    for outcome in outcomes:
        if outcome.message:
            state.say(f"{outcome.name}: {outcome.status}: {outcome.message}")


def _standing(
    step: Step, jobs: list[Job], state: _State
) -> tuple[list[Outcome], list[tuple[Job, str]]]:
    """Units whose earlier outcome stands, and those to be done with their keys."""
    settings = [to_mapping(step.config), contents(step.config)]
    standing, todo = [], []
    for job in jobs:
        files = [*job.files, *(path for _, paths in job.table for path in paths)]
        identities = [identity(path) for path in (*files, *_folders(job.config))]
        key = content_key(step.module.name, job.name, settings, identities)
        valid, reason = state.ledger.standing(job.name, key)
        if valid is not None:
            standing.append(valid)
            continue
        if reason:
            state.say(f"{job.name}: done again: {reason}")
        todo.append((job, key))
    state.progress.skipped(len(standing))
    return standing, todo


def _folders(config: Any) -> list[Path]:
    """Files and folders beyond the unit's own that its result follows from."""
    names = [getattr(config, "psf_dir", ""), *getattr(config, "image_dirs", ())]
    paths = [Path(name) for name in names if name]
    log: Path | None = getattr(config, "wcs_log", None)
    external: Path | None = getattr(config, "external", None)
    paths += [] if log is None else [wcs_log_path(log)]
    return paths + ([] if external is None else [external])


def _not_run(step: Step, unit: Unit, state: _State) -> Outcome:
    """The outcome of a number without all its files, with the reason if it is known."""
    name = f"{step.folder} {unit.number}"
    text = f"no file {', '.join(unit.missing)}"
    for end in reversed(state.ends):
        for outcome in end.outcomes:
            if not outcome.done and outcome.name.endswith(f" {unit.number}"):
                reason = f"not run because {outcome.name} failed ({text})"
                return Outcome(name, step.folder, NOT_RUN, reason)
    return Outcome(name, step.folder, "data bad", f"{text} in the input folders")


def _jobs(step: Step, units: Sequence[Unit], state: _State) -> list[Job]:
    """The units as a worker gets them, with their folders made."""
    base = state.folder / step.folder
    out, logs = base / "output", base / "logs"
    for folder in (out, logs):
        folder.mkdir(parents=True, exist_ok=True)
    config = _resolved(step, state)
    limit = state.workers.limit
    whole = [unit for unit in units if not unit.missing]
    if step.module.serial:
        table = tuple((unit.number, unit.files) for unit in whole)
        log = logs / "process_serial.log"
        return [Job(step.folder, step.module.name, "", (), table, config, out, log, limit)]
    return [
        Job(
            step.folder, step.module.name, unit.number, unit.files, (), config, out,
            logs / f"process{unit.number}.log", limit,
        )
        for unit in whole
    ]  # fmt: skip


def _resolved(step: Step, state: _State) -> Any:
    """The configuration with the names of modules replaced by their latest output."""
    config, runs = step.config, state.all_runs
    where = {"file": state.pipeline.file}
    if isinstance(config, PSFInterpConfig) and config.mode == "multi-epoch":
        key = f"[{step.section}] ME_DOT_PSF_DIR"
        return replace(
            config, psf_dir=str(history.module_folder(config.psf_dir, runs, key=key, **where))
        )
    if isinstance(config, VignetConfig) and config.mode == "multi-epoch":
        key = f"[{step.section}] ME_IMAGE_DIR"
        folders = tuple(
            str(history.module_folder(name, runs, key=key, **where)) for name in config.image_dirs
        )
        return replace(config, image_dirs=folders)
    return config


def summary_text(summary: PipelineSummary, *, each: bool = False) -> str:
    """One line for each step, and a paragraph for each way to fail, or `each` failed unit."""
    lines = [f"run: {summary.folder}", ""]
    lines.append(f"  {'module':<32}{'units':>7}{'done':>7}{'stood':>7}{'not done':>10}")
    for step in summary.steps:
        failed = len(step.outcomes) - step.done
        lines.append(
            f"  {step.step:<32}{len(step.outcomes):>7}{step.done:>7}{step.skipped:>7}{failed:>10}"
        )
    elsewhere = f"{SUMMARY} names each of them."
    failures = failure_lines(summary.failures, each=each, elsewhere=elsewhere)
    return "\n".join([*lines, *failures])


def write_summary(summary: PipelineSummary) -> Path:
    """Write the summary beside the log of the run, with each unit that failed."""
    path = summary.folder / SUMMARY
    write_text(path, summary_text(summary, each=True) + "\n")
    return path
