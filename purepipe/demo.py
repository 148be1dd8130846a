"""The demo: a simulated survey, the whole chain on it, and the recovered shear beside the truth."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from purepipe.config import SimulateConfig, from_mapping, to_mapping
from purepipe.errors import ConfigError, ExitCode, PurepipeError
from purepipe.io.config_file import read_toml, write_toml
from purepipe.pipeline import (
    Run,
    ShearComparison,
    compare_shear,
    comparison_lines,
    counting,
    load_survey,
    make_executor,
    make_progress,
    open_run,
    run,
    summary_lines,
)
from purepipe.report import write_report
from purepipe.simulate import simulate_survey, tile_number

SURVEY_FILE = "survey.toml"
SIMULATION_FILE = "simulation.toml"


def load_simulation(path: Path | None, *, seed: int | None = None) -> SimulateConfig:
    """The simulation in the ``[simulate]`` table of a TOML file, or that of the demo.

    Raises
    ------
    ConfigError
        Unknown key or table, value out of range; file and key are named.
    """
    config = SimulateConfig()
    if path is not None:
        content = read_toml(path)
        unknown = sorted(set(content) - {"simulate"})
        if unknown:
            raise ConfigError("unknown table", file=path, key=unknown[0], allowed="[simulate]")
        config = from_mapping(
            SimulateConfig, content.get("simulate", {}), file=path, table="simulate"
        )
    return config if seed is None else replace(config, seed=seed)


def write_survey(
    out: Path,
    config: SimulateConfig,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    quiet: bool = False,
) -> Path:
    """Write a simulated survey and the configuration that runs it; the latter's path is returned.

    A folder that holds the same survey already is left as it is.

    Raises
    ------
    ConfigError
        The folder holds another simulated survey.
    """
    survey, recipe = out / SURVEY_FILE, out / SIMULATION_FILE
    wanted = {"simulate": to_mapping(config)}
    if recipe.exists():
        if read_toml(recipe) == wanted and survey.exists():
            return survey
        if survey.exists():
            raise ConfigError(
                "the folder holds another simulated survey", file=out,
                remedy="Choose another folder, or remove this one.",
            )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_toml(recipe, wanted)
    pool = executor or make_executor(workers)
    try:
        with counting("simulating", quiet=quiet) as progress:
            simulate_survey(out, config, executor=pool, progress=progress, overwrite=True)
    finally:
        if executor is None:
            pool.shutdown(cancel_futures=True)
    write_toml(survey, {"seed": config.seed, "out": "run"})
    return survey


def run_demo(
    out: Path, *, workers: int | None = None, seed: int = 1, quiet: bool = False
) -> ExitCode:
    """Simulate, run, report; print the shear table and return the exit code of the run."""
    start = time.monotonic()
    simulation = SimulateConfig(seed=seed)
    survey = write_survey(out, simulation, workers=workers, quiet=quiet)
    _say(f"survey in {out} after {time.monotonic() - start:.0f} s", quiet)
    with make_progress(quiet=quiet) as progress:
        summary = run(load_survey(survey), workers=workers, progress=progress)
    lines = summary_lines(summary.outcomes)
    comparison = None
    if summary.objects:
        comparison = demo_shear(open_run(summary.root), simulation)
        lines += ["", *comparison_lines(comparison)]
    report = write_report(summary.root, comparison=comparison)
    lines += ["", f"catalogue: {summary.root / 'catalogue' / 'final_cat.fits'}"]
    lines += [f"report:    {report}", f"time:      {time.monotonic() - start:.0f} s"]
    sys.stdout.write("\n".join(lines) + "\n")
    return summary.exit_code


def demo_shear(
    finished: Run, simulation: SimulateConfig, *, weights: str | None = None
) -> ShearComparison:
    """The recovered shear of every simulated field beside the true one."""
    shears = simulation.shears
    truth = {tile_number(i): shears[i % len(shears)] for i in range(simulation.fields)}
    return compare_shear(
        finished.catalogue(), truth, finished.config.shear, weights=weights,
        seed=finished.config.seed,
    )  # fmt: skip


def known_shear(root: Path) -> ShearComparison | None:
    """The recovered shear beside the true one, where the run is of a survey that purepipe drew.

    None for every other run, and where the catalogue does not allow a comparison.

    Parameters
    ----------
    root
        Folder of the run; the simulation is described beside it.
    """
    recipe = root.resolve().parent / SIMULATION_FILE
    if not recipe.is_file():
        return None
    try:
        comparison = demo_shear(open_run(root), load_simulation(recipe))
    except PurepipeError:
        return None
    return comparison if comparison.rows else None


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
