"""`purepipe run config.ini`, `check` and `convert` as a user meets them."""

import pytest
from typer.testing import CliRunner

from purepipe.cli import app
from purepipe.errors import ConfigError

from .shapepipe_files import write_ini

runner = CliRunner()


def test_a_pipeline_file_is_run_and_the_failures_are_named(tiles):
    path = write_ini(tiles)
    for arguments in (["run", str(path)], ["run", "-c", str(path), "-q"]):
        done = runner.invoke(app, arguments)
        assert done.exit_code == 1
        assert "find_exposures_runner                 3      2" in done.output
        assert "find_exposures_runner -000-002: data bad:" in done.output
    text = (tiles / "out" / "run" / "logs" / "summary.txt").read_text()
    assert "not done: 1" in text


def test_options_of_surveys_are_refused(tiles):
    path = write_ini(tiles)
    with pytest.raises(ConfigError, match=r"--out: the option is for surveys in TOML"):
        runner.invoke(app, ["run", str(path), "--out", "x"], catch_exceptions=False)
    with pytest.raises(ConfigError, match="one configuration is needed"):
        runner.invoke(app, ["run"], catch_exceptions=False)
    with pytest.raises(ConfigError, match=r"one configuration is needed.*two"):
        runner.invoke(app, ["run", str(path), "-c", str(path)], catch_exceptions=False)


def test_check_ends_with_2_when_there_is_a_mistake(tiles):
    path = write_ini(tiles)
    done = runner.invoke(app, ["check", str(path)])
    assert done.exit_code == 0
    verbose = runner.invoke(app, ["check", str(path), "-v"]).output
    assert "honoured: [EXECUTION] MODULE: " in verbose
    assert "honoured: [EXECUTION] MODULE: " not in done.output
    path.write_text(path.read_text() + "SMP_BATCH_SIZ = 3\n")
    done = runner.invoke(app, ["check", str(path)])
    assert done.exit_code == 2
    assert "SMP_BATCH_SIZ: unknown key. Did you mean 'SMP_BATCH_SIZE'?" in done.output
    assert "1 mistake," in done.output


def test_convert_writes_no_file_over_another(tiles):
    path = write_ini(tiles)
    (tiles / "survey.toml").write_text("")
    with pytest.raises(ConfigError, match="the file exists"):
        runner.invoke(
            app, ["convert", str(path), "-o", str(tiles / "survey.toml")], catch_exceptions=False
        )
