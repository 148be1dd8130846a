"""The command line as a user meets it."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from purepipe import __version__
from purepipe.cli import ORIGINALS, TOOLS, _survey, app
from purepipe.errors import ConfigError

runner = CliRunner()


def purepipe(*arguments, cwd=None):
    """Run the installed command in its own process."""
    return subprocess.run(
        [sys.executable, "-m", "purepipe.cli", *arguments],
        capture_output=True, text=True, check=False, cwd=cwd,
    )  # fmt: skip


def test_version_and_help():
    assert runner.invoke(app, ["--version"]).output.strip() == f"purepipe {__version__}"
    text = runner.invoke(app, ["--help"]).output
    for command in ("run", "demo", "simulate", "status", "report", "selftest"):
        assert command in text


@pytest.mark.parametrize("name", [*ORIGINALS, *TOOLS])
def test_help_fits_into_80_columns(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert import_module(f"purepipe.commands.{name}").main(["--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_help_says_what_the_options_do():
    words = " ".join(runner.invoke(app, ["check", "--help"]).output.replace("│", " ").split())
    assert "every unit" not in words
    assert "Name what is honoured" in words
    words = " ".join(runner.invoke(app, ["simulate", "--help"]).output.replace("│", " ").split())
    assert "with a table `simulate`" in words


def test_a_missing_configuration_is_named():
    done = purepipe("run", "no-such.toml")
    assert done.returncode == 2
    assert done.stderr.startswith("purepipe: no-such.toml")
    assert "Traceback" not in done.stderr


def test_plan_starts_no_worker_for_a_missing_configuration(monkeypatch):
    monkeypatch.setattr("purepipe.pipeline.make_executor", lambda workers: pytest.fail("started"))
    assert "no-such.toml" in str(runner.invoke(app, ["plan", "no-such.toml"]).exception)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede = 1", "sede: unknown key. Did you mean 'seed'?"),
        ("seed = ", "invalid value"),
        ("[tile.shapes]\nstamp_size = 3", "tile.shapes.stamp_size: out of range"),
        ("[ccd.detect]\nthreshhold = 2", "Did you mean 'threshold'?"),
    ],
)
def test_a_wrong_configuration_names_file_key_and_remedy(tmp_path, text, message):
    path = tmp_path / "survey.toml"
    path.write_text(text)
    done = purepipe("run", str(path))
    assert done.returncode == 2
    assert "survey.toml" in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_to_run_has_its_own_exit_code(tmp_path):
    (tmp_path / "survey.toml").write_text('[inputs]\nstars = ""\n[ccd.mask.halo]\nmake = false\n'
        "[ccd.mask.spike]\nmake = false\n[tile.mask.halo]\nmake = false\n"
        "[tile.mask.spike]\nmake = false\n")  # fmt: skip
    done = purepipe("run", "survey.toml", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 3
    assert "no exposure and no tile found" in done.stderr


def test_status_of_no_run(tmp_path):
    done = purepipe("status", str(tmp_path))
    assert done.returncode == 3
    assert "no run here" in done.stderr


def test_simulate_run_status_report(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        "[simulate]\nfields = 1\nexposures = 2\nccds = 1\nccd_size = [512, 640]\n"
        "tile_size = [460, 560]\n[simulate.stars]\ndensity = 14.0\n"
    )
    out = tmp_path / "survey"
    done = purepipe("simulate", str(out), "--config", str(recipe), "--seed", "4", "-j", "1")
    assert done.returncode == 0, done.stderr
    survey = Path(done.stdout.splitlines()[0].removeprefix("survey: "))
    survey.write_text(
        survey.read_text() + "[ccd.psf]\ndegrees = [1]\n[tile.psf]\nmin_stars = 6\nmax_chi2 = 9.0\n"
    )
    done = purepipe("run", str(survey), "-j", "1")
    assert done.returncode == 0, done.stderr + done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if "/" not in line) <= 80
    assert (out / "run/report.html").stat().st_size > 10_000
    again = purepipe("status", str(out / "run"))
    assert again.returncode == 0
    assert "catalogue" in again.stdout
    assert purepipe("simulate", str(out), "--config", str(recipe), "-j", "1").returncode == 2


def test_the_first_of_several_mistakes_says_that_there_are_more(tmp_path):
    path = tmp_path / "survey.toml"
    path.write_text('seed = "a"\nblok_size = 3\n[run]\ntimeout = -1\n')
    with pytest.raises(ConfigError, match=r"Mistakes beside it: 2; see them all with purepipe che"):
        _survey(path, None)
    path.write_text("blok_size = 3\n")
    with pytest.raises(ConfigError, match=r"Did you mean 'block_size'\?$"):
        _survey(path, None)
