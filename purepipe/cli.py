"""The command line: ``purepipe run``, ``demo``, ..., and the programs that purepipe replaces."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from purepipe.errors import ConfigError, ExitCode, MissingPackageError, PurepipeError

app = typer.Typer(
    name="purepipe",
    help="Weak-lensing shear catalogues from survey images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Workers = Annotated[
    int | None, typer.Option("--workers", "-j", help="Worker processes; default: all cores.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress display.")]


# These take the original programs' arguments, which no option parser of ours would understand.
ORIGINALS = {
    "psfex": "Fit PSF models as psfex does: CATALOG... -c default.psfex -KEY value ...",
    "setools": "Select objects as SETools does: CATALOG... -c selection.setools --out DIR",
    "stars": "Write the star catalogue of each image: IMAGE... --out DIR --catalogue FILE",
    "ww": "Combine weight and flag maps as ww does: -c default.ww -KEY value ...",
}


def main() -> None:
    """Entry point: errors become one message on standard error and an exit code."""
    if len(sys.argv) > 1 and sys.argv[1] in ORIGINALS:
        command = import_module(f"purepipe.commands.{sys.argv[1]}")
        sys.exit(command.main(sys.argv[2:]))
    try:
        app()
    except PurepipeError as error:
        print(f"purepipe: {error}", file=sys.stderr)
        wrong = isinstance(error, ConfigError | MissingPackageError)
        sys.exit(ExitCode.CONFIGURATION if wrong else ExitCode.NOTHING_USABLE)


@contextmanager
def _resumable() -> Iterator[None]:
    """Say after Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        print("\npurepipe: interrupted; run the same command again to resume", file=sys.stderr)
        raise typer.Exit(130) from None


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        from purepipe import __version__

        print(f"purepipe {__version__}")
        raise typer.Exit


def _register_originals() -> None:
    """List the commands of `ORIGINALS` in the help; `main` runs them."""
    for name, sentence in ORIGINALS.items():
        app.command(name, help=sentence, rich_help_panel="Programs replaced")(lambda: None)


_register_originals()


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="Survey configuration (TOML).")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; overrides the configuration.")
    ] = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Run the whole chain over a survey; run it again to resume."""
    from dataclasses import replace

    from purepipe.pipeline import load_survey, make_progress, summary_lines
    from purepipe.pipeline import run as run_survey
    from purepipe.report import write_report

    survey = load_survey(config)
    if out is not None:
        survey = replace(survey, out=out.resolve())
    with _resumable(), make_progress(quiet=quiet) as progress:
        summary = run_survey(survey, workers=workers, progress=progress)
    print("\n".join(summary_lines(summary.outcomes)))
    report = write_report(summary.root)
    if summary.objects:
        print(f"\n{summary.objects:,} objects in {summary.root / 'catalogue' / 'final_cat.fits'}")
    else:
        print("\nno object in the final catalogue")
    print(f"report: {report}")
    raise typer.Exit(summary.exit_code)


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
        Path | None, typer.Option(help="TOML file with a [simulate] table; default: the demo's.")
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
def status(run: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Show what is done and what failed; works while the run goes on."""
    from purepipe.pipeline import open_run, summary_lines

    print("\n".join(summary_lines(open_run(run).outcomes)))


@app.command()
def report(run: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Write the HTML report of a run."""
    from purepipe.report import write_report

    print(f"report: {write_report(run)}")


@app.command()
def selftest(
    warm: Annotated[bool, typer.Option("--warm", help="Compile all kernels now.")] = False,
    shear: Annotated[
        bool, typer.Option("--shear", help="Measure the shear bias on simulated galaxies.")
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
