"""The command line: ``purepipe run``, ``demo``, ..., and the programs that purepipe replaces."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from purepipe.commands import ORIGINALS, TOOLS, run_program
from purepipe.errors import ConfigError, ExitCode, MissingPackageError, PurepipeError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from purepipe.config import SurveyConfig
    from purepipe.pipeline import RunSummary

app = typer.Typer(
    name="purepipe",
    help="Weak-lensing shear catalogues from survey images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _flag(name: str, short: str | None = None, *, help: str) -> Any:
    """An option without a value, and shown without one; a default only of ``--this/--no-this``."""
    names = (name,) if short is None else (name, short)
    return typer.Option(*names, help=help, metavar="", show_default="/" in name)


Workers = Annotated[
    int | None, typer.Option("--workers", "-j", help="Worker processes; default: all cores.")
]
Quiet = Annotated[bool, _flag("--quiet", "-q", help="No progress display.")]
Verbose = Annotated[
    bool, _flag("--verbose", "-v", help="Tell every unit, and why it is done again.")
]
Threads = Annotated[bool, _flag("--threads", help="Threads of this process instead of processes.")]
Dask = Annotated[
    str | None,
    typer.Option(help="Workers of a Dask cluster: address of its scheduler, or scheduler file."),
]
MPI = Annotated[
    bool, _flag("--mpi", help="Ranks of mpiexec -n N python -m mpi4py.futures -m purepipe.")
]
RunFolder = Annotated[Path, typer.Argument(help="Folder of a run.")]


def main() -> None:
    """Entry point: errors become one message on standard error and an exit code."""
    status = run_program(sys.argv[1:])
    if status is not None:
        sys.exit(status)
    try:
        app()
    except PurepipeError as error:
        print(f"purepipe: {error}", file=sys.stderr)
        wrong = isinstance(error, ConfigError | MissingPackageError)
        sys.exit(ExitCode.CONFIGURATION if wrong else ExitCode.NOTHING_USABLE)


@contextmanager
def _resumable() -> Iterator[None]:
    """Say after Ctrl-C, or the end of a batch job's time, that nothing is lost."""
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        print("\npurepipe: interrupted; run the same command again to resume", file=sys.stderr)
        raise typer.Exit(130) from None


def _survey(config: Path, out: Path | None) -> SurveyConfig:
    """The survey of a file; `out` overrides the folder of the run."""
    from dataclasses import replace

    from purepipe.pipeline import load_survey

    try:
        survey = load_survey(config)
    except ConfigError as error:
        from purepipe.shapepipe.check import count_mistakes

        others = count_mistakes(config) - 1
        if others > 0:
            error.remedy = f"{error.remedy or ''} Mistakes beside it: {others}; see them all with"
            error.remedy += f" purepipe check {config}."
        raise
    return survey if out is None else replace(survey, out=out.resolve())


def _executor(dask: str | None, mpi: bool, threads: bool) -> Executor | None:
    """The executor that the options ask for; None for workers of this machine."""
    from purepipe.pipeline import dask_executor, mpi_executor

    if (dask is not None) + mpi + threads > 1:
        raise ConfigError("choose one", key="--dask, --mpi, --threads", got="several")
    if dask is not None:
        return dask_executor(dask)
    return mpi_executor() if mpi else None


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, _flag("--version", help="Show the version.")] = False,
) -> None:
    if version:
        from purepipe import __version__

        print(f"purepipe {__version__}")
        raise typer.Exit


def _register_originals() -> None:
    """List the commands of `ORIGINALS` and `TOOLS` in the help; `main` runs them."""
    for panel, commands in (("Programs replaced", ORIGINALS), ("Catalogues", TOOLS)):
        for name, sentence in commands.items():
            app.command(name, help=sentence, rich_help_panel=panel)(lambda: None)


_register_originals()


@app.command()
def run(
    config: Annotated[
        Path | None, typer.Argument(help="Survey configuration (TOML), or a pipeline file (.ini).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; overrides the configuration.")
    ] = None,
    workers: Workers = None,
    threads: Threads = False,
    dask: Dask = None,
    mpi: MPI = False,
    shard: Annotated[
        str | None,
        typer.Option(help="i/n: this process is the i-th of n that work on the same folder."),
    ] = None,
    report: Annotated[
        bool, _flag("--report/--no-report", help="Write the HTML report; shards do not.")
    ] = True,
    quiet: Quiet = False,
    verbose: Verbose = False,
    lenient: Annotated[
        bool, _flag("--lenient", help="Pass over unknown keys of a pipeline file.")
    ] = False,
    named: Annotated[
        Path | None, typer.Option("-c", "--config", help="The same, as shapepipe_run takes it.")
    ] = None,
) -> None:
    """Run the whole chain over a survey, or the modules of a pipeline file; again to resume."""
    from purepipe.commands.ini import is_pipeline_file, run_ini

    if (config is None) == (named is None):
        raise ConfigError(
            "one configuration is needed", key="run", got="none" if named is None else "two",
            remedy="Give a TOML or an .ini file: purepipe run FILE, or purepipe run -c FILE.",
        )  # fmt: skip
    config = config or named
    assert config is not None  # noqa: S101 - one of the two is given
    if is_pipeline_file(config):
        others = (("--out", out), ("--threads", threads), ("--dask", dask), ("--mpi", mpi),
                  ("--shard", shard))  # fmt: skip
        with _resumable():
            raise typer.Exit(
                run_ini(
                    config, workers=workers, lenient=lenient, quiet=quiet, verbose=verbose,
                    others=others,
                )
            )  # fmt: skip
    from purepipe.pipeline import make_progress, parse_shard
    from purepipe.pipeline import run as run_survey

    survey = _survey(config, out)
    part = None if shard is None else parse_shard(shard)
    with _resumable(), make_progress(quiet=quiet, verbose=verbose) as progress:
        summary = run_survey(
            survey, executor=_executor(dask, mpi, threads), workers=workers, threads=threads,
            shard=part, progress=progress,
        )  # fmt: skip
    _tell(summary, survey, report=report and part is None)
    raise typer.Exit(summary.exit_code)


def _tell(summary: RunSummary, survey: SurveyConfig, *, report: bool) -> None:
    """What a run did, and where its catalogue and its report are."""
    from purepipe.pipeline import guard_text, nothing_text, summary_lines

    print("\n".join(summary_lines(summary.outcomes)))
    print("\n".join(guard_text(summary.guards)), end="\n" if summary.guards else "")
    if summary.objects:
        merged = summary.root / "catalogue" / "final_cat.fits"
        where = merged if merged.exists() else f"the tables of tiles in {merged.parent}"
        print(f"\n{summary.objects:,} objects in {where}")
    else:
        print("", *nothing_text(summary.outcomes, survey), sep="\n")
    if report:
        from purepipe.demo import known_shear
        from purepipe.report import write_report

        path = write_report(summary.root, comparison=known_shear(summary.root))
        print(f"report: {path}")


@app.command()
def check(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Configuration files: .ini, .toml, .sex, .psfex, .ww, .mask, .setools, .param,"
            " .conv, .nnw."
        ),
    ],
    verbose: Annotated[bool, _flag("--verbose", "-v", help="Name what is honoured, too.")] = False,
) -> None:
    """Name every mistake in configuration files, and what is ignored or done otherwise."""
    from purepipe.shapepipe.check import check as check_all
    from purepipe.shapepipe.check import report_lines

    findings = check_all(files)
    print("\n".join(report_lines(findings, verbose=verbose)))
    wrong = any(item.level == "error" for item in findings)
    raise typer.Exit(ExitCode.CONFIGURATION if wrong else ExitCode.OK)


@app.command()
def convert(
    files: Annotated[list[Path], typer.Argument(help="Pipeline files (.ini) of one survey.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The TOML file to be written.")] = Path(
        "survey.toml"
    ),
) -> None:
    """Write the survey configuration that ShapePipe's pipeline files amount to."""
    from purepipe.io.config_file import write_toml
    from purepipe.shapepipe.convert import convert as convert_all

    if out.exists():
        raise ConfigError("the file exists", file=out, remedy="Name another one with -o.")
    content, notes = convert_all(files, out.parent)
    write_toml(out, content)
    print("\n".join(f"note: {note}" for note in notes))
    print(f"survey: {out}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the demo.")] = Path("purepipe-demo"),
    workers: Workers = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated survey.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Simulate a small survey with known shear, run the chain, compare the shears."""
    from purepipe.demo import run_demo

    with _resumable():
        raise typer.Exit(run_demo(out, workers=workers, seed=seed, quiet=quiet))


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder of the simulated survey.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML file with a table `simulate`; default: the demo's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; overrides the configuration.")] = None,
    workers: Workers = None,
) -> None:
    """Write a simulated survey and the configuration that runs it."""
    from purepipe.demo import load_simulation, write_survey

    survey = write_survey(out, load_simulation(config, seed=seed), workers=workers)
    print(f"survey: {survey}")
    print(f"run it: purepipe run {survey}")


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(help="Survey configuration (TOML).")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; overrides the configuration.")
    ] = None,
    workers: Workers = None,
) -> None:
    """Tell what a run will take: units, CPU hours, memory, disk. Nothing is run."""
    from purepipe.pipeline import estimate_lines, estimate_run, make_executor

    survey = _survey(config, out)
    with make_executor(workers) as pool:
        estimate, planned = estimate_run(survey, executor=pool)
    print("\n".join(estimate_lines(estimate, planned, workers=workers)))
    raise typer.Exit(ExitCode.SOME_FAILED if planned.problems else ExitCode.OK)


@app.command()
def status(
    run: RunFolder,
    verify: Annotated[
        bool, _flag("--verify", help="Read all products and inputs, and name the changed.")
    ] = False,
    failures: Annotated[
        bool, _flag("--failures", help="Name each unit that failed, with its message.")
    ] = False,
) -> None:
    """Show what is done, what failed and the time left; works while the run goes on.

    With --verify the exit code is 1 when a file is not as the ledger says.
    """
    from purepipe.pipeline import (
        run_status,
        status_lines,
        summary_lines,
        verification_lines,
        verify_run,
    )

    state = run_status(run)
    print("\n".join([*status_lines(state), *summary_lines(state.outcomes, each=failures)]))
    if verify:
        found = verify_run(run)
        print("\n".join(verification_lines(found)))
        raise typer.Exit(ExitCode.SOME_FAILED if found.differing else ExitCode.OK)


@app.command()
def diff(a: RunFolder, b: RunFolder) -> None:
    """Compare two runs: configuration, columns in units of their errors, flags.

    The exit code is 0 when the catalogues are identical, else 1.
    """
    from purepipe.pipeline import compare_runs, difference_lines

    difference = compare_runs(a, b)
    print("\n".join(difference_lines(difference)))
    raise typer.Exit(ExitCode.OK if difference.identical else ExitCode.SOME_FAILED)


@app.command()
def rerun(
    capsule: Annotated[Path, typer.Argument(help="The capsule.json of a run.")],
    out: Annotated[Path, typer.Option(help="Folder of the new run.")],
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Repeat the run of a capsule and name the first difference; exit code 0 when there is none."""
    from purepipe.pipeline import make_progress
    from purepipe.pipeline import rerun as rerun_capsule

    with _resumable(), make_progress(quiet=quiet) as progress:
        again = rerun_capsule(capsule, out.resolve(), workers=workers, progress=progress)
    for note in again.notes:
        print(f"not as it was: {note}")
    print(f"first difference: {again.difference}" if again.difference else "every product is equal")
    raise typer.Exit(ExitCode.SOME_FAILED if again.difference else ExitCode.OK)


@app.command()
def report(
    run: RunFolder,
    ccd: Annotated[
        list[str] | None, typer.Option(help="Also write a page about this CCD; may be repeated.")
    ] = None,
    all_ccds: Annotated[bool, _flag("--all-ccds", help="Pages about all CCDs.")] = False,
    tile: Annotated[
        list[str] | None, typer.Option(help="Also write a page about this tile; may be repeated.")
    ] = None,
    all_tiles: Annotated[bool, _flag("--all-tiles", help="Pages about all tiles.")] = False,
) -> None:
    """Write the HTML report of a run, and pages about CCDs and tiles that it leads to."""
    from purepipe.demo import known_shear
    from purepipe.report import write_ccd_pages, write_report, write_tile_pages

    for named, every, names in ((ccd, all_ccds, "--ccd, --all-ccds"),
                                (tile, all_tiles, "--tile, --all-tiles")):  # fmt: skip
        if named and every:
            raise ConfigError("choose one", key=names, got="both")
    pages: list[Path] = []
    if ccd or all_ccds:
        pages += write_ccd_pages(run, None if all_ccds else ccd)
    if tile or all_tiles:
        pages += write_tile_pages(run, None if all_tiles else tile)
    print("".join(f"page: {path}\n" for path in pages), end="")
    print(f"report: {write_report(run, comparison=known_shear(run))}")


@app.command()
def explain(
    run: RunFolder,
    number: Annotated[int, typer.Option("--id", help="NUMBER of the object in its tile.")],
    tile: Annotated[str | None, typer.Option(help="Tile number, when there are several.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures here.")] = None,
) -> None:
    """Say why an object of a run has its numbers: epochs, flags in words, choices behind them."""
    from purepipe.pipeline import open_run
    from purepipe.report.explain import explain as explain_object
    from purepipe.report.explain import write_explanation

    explanation = explain_object(open_run(run), number, tile=tile)
    print(explanation)
    if html is not None:
        write_explanation(explanation, html)
        print(f"page: {html}")


@app.command()
def selftest(
    warm: Annotated[bool, _flag("--warm", help="Compile all kernels now.")] = False,
    shear: Annotated[
        bool, _flag("--shear", help="Measure the shear bias on simulated galaxies.")
    ] = False,
) -> None:
    """Check this installation."""
    import time

    if not (warm or shear):
        raise ConfigError("nothing to test", key="selftest", remedy="Give --warm or --shear.")
    start = time.monotonic()
    if warm:
        from purepipe.pipeline import warm_up

        warm_up()
        print(f"kernels compiled in {time.monotonic() - start:.0f} s")
    if shear:
        from purepipe.selftest import shear_selftest

        raise typer.Exit(shear_selftest())


if __name__ == "__main__":
    main()
