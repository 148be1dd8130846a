"""``purepipe run config.ini``: ShapePipe's pipeline files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from purepipe.commands.console import say
from purepipe.errors import ConfigError
from purepipe.pipeline import make_progress
from purepipe.shapepipe.run import run_pipeline, summary_text, write_summary
from purepipe.shapepipe.settings import ENDINGS, load_pipeline


def is_pipeline_file(path: Path) -> bool:
    """Whether a configuration is one of ShapePipe's, by the end of its name."""
    return path.suffix.casefold() in ENDINGS


def run_ini(
    path: Path,
    *,
    workers: int | None,
    lenient: bool,
    quiet: bool,
    verbose: bool,
    others: Iterable[tuple[str, object]] = (),
) -> int:
    """Run a pipeline file, tell what became of every unit, and give the exit status.

    Parameters
    ----------
    others
        Options of surveys in TOML, with their values; none may be given.

    Raises
    ------
    ConfigError
        An option that only a survey in TOML has, or a mistake in the file.
    """
    for name, value in others:
        if value:
            raise ConfigError(
                "the option is for surveys in TOML", key=name, file=path,
                remedy="purepipe convert makes a TOML file of pipeline files.",
            )  # fmt: skip
    quiet = quiet or not load_pipeline(path, lenient=lenient).general.verbose
    with make_progress(quiet=quiet, verbose=verbose) as progress:
        summary = run_pipeline(path, workers=workers, lenient=lenient, progress=progress)
    say(summary_text(summary))
    write_summary(summary)
    return int(summary.exit_code)
