"""Running a survey from its configuration to the merged catalogue."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from purepipe.config import SurveyConfig, to_mapping
from purepipe.errors import ExitCode, NothingToDo
from purepipe.pipeline.executors import make_executor
from purepipe.pipeline.plan import make_plan
from purepipe.pipeline.progress import Progress, Silent
from purepipe.pipeline.results import merge_catalogues
from purepipe.pipeline.schedule import Schedule
from purepipe.pipeline.store import Outcome, code_version, forget_others, open_store, set_fact
from purepipe.pipeline.units import WorkContext


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    Attributes
    ----------
    root
        Folder of the run.
    outcomes
        One per unit, in the order of the names.
    skipped
        Units that stood from an earlier run.
    objects
        Rows of the merged catalogue.
    """

    root: Path
    outcomes: tuple[Outcome, ...]
    skipped: int
    objects: int

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The units that did not give their products."""
        return tuple(outcome for outcome in self.outcomes if not outcome.done)

    @property
    def exit_code(self) -> ExitCode:
        """0 all fine, 1 some units failed, 3 no object in the final catalogue."""
        if self.objects == 0:
            return ExitCode.NOTHING_USABLE
        return ExitCode.SOME_FAILED if self.failures else ExitCode.OK


def run(
    config: SurveyConfig,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Run the whole chain over a survey and return what became of every unit.

    Parameters
    ----------
    config
        The survey; relative paths start at the current folder.
    executor
        Any `concurrent.futures.Executor`; default: local processes, which are replaced when one
        of them dies.
    workers
        Number of local processes; default: all cores.
    progress
        Told about every unit; default: silence.

    Raises
    ------
    NothingToDo
        No exposure and no tile matches the patterns.
    StoreError
        The folder of the run cannot be written.
    """
    plan = make_plan(config)
    if not plan.units and not plan.problems:
        raise NothingToDo(
            "no exposure and no tile found", key="inputs",
            got=f"{config.inputs.image}, {config.inputs.tile_image}",
            remedy="Check the folders and patterns in [inputs].",
        )  # fmt: skip
    store = open_store(config.out, lock=True)
    schedule = Schedule(
        store, WorkContext(config.out, config), progress or Silent(),
        executor or make_executor(workers), own_pool=executor is None, workers=workers,
        problems=len(plan.problems),
    )  # fmt: skip
    try:
        set_fact(store, "config", to_mapping(config))
        set_fact(store, "code", code_version())
        schedule.progress.total(len(plan.units) + len(plan.problems))
        for problem in plan.problems:
            schedule.report(problem)
        schedule.run(plan.units)
        forget_others(store, [*schedule.units, *(problem.name for problem in plan.problems)])
        outcomes = sorted([*plan.problems, *schedule.ended.values()], key=lambda o: o.name)
        objects = merge_catalogues(config.out, outcomes)
        return RunSummary(config.out, tuple(outcomes), schedule.skipped, objects)
    except KeyboardInterrupt:
        schedule.drain()
        raise
    finally:
        if schedule.own_pool:
            schedule.pool.shutdown(cancel_futures=True)
        store.close()
