"""The command that explains columns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from purepipe import cli, flags
from purepipe.catalogue.table import all_columns, column
from purepipe.commands.columns import flag_family, main


def test_one_column(capsys):
    assert main(["KRON_RADIUS"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("KRON_RADIUS  [")
    assert column("KRON_RADIUS").definition.split()[0] in text


def test_flags_are_decoded(capsys):
    assert main(["FLAGS", "--value", "6"]) == 0
    text = capsys.readouterr().out
    assert "6 = 2 + 4:" in text
    assert "BLENDED: The object was deblended from another one." in text
    assert "CROWDED" not in text
    assert main(["FLAGS", "--value", "0"]) == 0
    assert "0 = no flag" in capsys.readouterr().out
    assert main(["FLAGS_PSF"]) == 0
    text = capsys.readouterr().out
    assert all(f"{bit.name}: " in text for bit in flags.PSFFlag)


def test_every_flag_column_names_its_family():
    for item in all_columns().values():
        if item.name.startswith("NGMIX_FLAGS_"):
            family = flags.EpochFlag if item.name.endswith("EPOCH") else flags.ShapeFlag
            assert flag_family(item) is family
    assert flag_family(column("FLAGS_PSF")) is flags.PSFFlag
    assert flag_family(column("X_IMAGE")) is None


@pytest.mark.parametrize("width", [80, 60])
def test_lists_fit_the_terminal(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(all_columns())
    assert max(map(len, lines)) <= width
    assert main(["FLUX_*"]) == 0
    assert all(line.startswith("FLUX_") for line in capsys.readouterr().out.splitlines())


def test_unknown_names(capsys):
    assert main(["KRON_RADIU"]) == 2
    assert "Did you mean 'KRON_RADIUS'?" in capsys.readouterr().err
    assert main(["X_IMAGE", "--value", "3"]) == 2
    assert "this column holds no flags" in capsys.readouterr().err
    assert main(["FLAGS*", "--value", "3"]) == 2
    assert "--value needs the name of one column" in capsys.readouterr().err
    for wrong in ("abc", "-1"):
        assert main(["FLAGS", f"--value={wrong}"]) == 2
        said = capsys.readouterr().err
        assert f"got '{wrong}'; a whole number from 0 is needed, such as 5 or 0x10" in said
    assert main(["ZZ*"]) == 2
    said = capsys.readouterr().err
    assert (
        said
        == "purepipe columns: ZZ*: no column fits the pattern. `purepipe columns` lists them all.\n"
    )
    assert main(["qqqqqq"]) == 2
    assert "no such column. `purepipe columns` lists them all." in capsys.readouterr().err


def test_bits_that_nothing_stands_for(capsys):
    assert main(["FLAGS", "--value", "0x1001"]) == 0
    assert "4097 = 1 + 4096 (unknown):" in capsys.readouterr().out


def by_shell(redirection):
    line = f'"$0" -P -m purepipe columns FLAGS {redirection}'
    return subprocess.run(
        ["/bin/sh", "-c", line, sys.executable],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_standard_output_that_is_full():
    done = by_shell(">/dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("purepipe columns: standard output: cannot be written (got [Err")
    assert done.stderr.count("\n") == 1


def test_standard_streams_that_are_closed():
    done = by_shell(">&-")
    assert (done.returncode, done.stderr) == (0, "")
    done = by_shell("--nonsense >&- 2>&-")
    assert (done.returncode, done.stderr) == (2, "")


def test_a_command_in_this_process_does_not_end_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["purepipe", "columns", "FLAGS"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("FLAGS  [")
