"""``purepipe sex`` beside the original program, through files: live and stored."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from purepipe.commands.sex import main

from .sex_cases import CASES, STORED, arguments, write_case
from .sex_files import PROGRAM, run_original

FOLDER = Path(__file__).parents[1] / "reference" / "commands" / "sex"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.binaries
@pytest.mark.skipif(PROGRAM is None, reason="source-extractor is not installed")
@pytest.mark.parametrize("name", CASES)
def test_beside_the_original(folder, name):
    case = CASES[name]
    write_case(folder, case)
    run_original(folder, *arguments(case, "theirs"))
    assert main(arguments(case, "ours")) == 0
    if case.keys.get("CATALOG_TYPE") == "FITS_LDAC":
        compare_tables("ours.cat", "theirs.cat")
    else:
        compare_text(Path("ours.cat").read_text(), Path("theirs.cat").read_text())
    for number, kind in enumerate(case.checks):
        compare_images(f"ours{number}.fits", f"theirs{number}.fits", kind)


@pytest.mark.parametrize("name", STORED)
def test_stored_results_of_the_original(folder, name):
    case = CASES[name]
    write_case(folder, case)
    assert main(arguments(case, "ours")) == 0
    with gzip.open(FOLDER / f"{name.replace(' ', '_')}.cat.gz", "rt") as stream:
        compare_text(Path("ours.cat").read_text(), stream.read())


def compare_text(ours: str, theirs: str) -> None:
    """The same lines, but for the last printed digit of one number in a thousand."""
    mine, others = ours.splitlines(), theirs.splitlines()
    assert len(mine) == len(others)
    differing = 0
    for line, other in zip(mine, others, strict=True):
        if line == other:
            continue
        assert len(line) == len(other)
        for word, wanted in zip(line.split(), other.split(), strict=True):
            if word != wanted:
                differing += 1
                assert abs(float(word) - float(wanted)) <= 1.01 * last_digit(wanted), line
    assert differing <= 1 + len("".join(others).split()) / 1000


def last_digit(word: str) -> float:
    """The value of one in the last printed digit: 0.001 for -1.250, 1e-5 for 1.23e-3."""
    mantissa, _, exponent = word.lower().partition("e")
    return float(10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2])))


def compare_tables(ours: str, theirs: str) -> None:
    with fits.open(ours) as mine, fits.open(theirs) as others:
        assert [hdu.name for hdu in mine] == [hdu.name for hdu in others]
        for a, b in zip(mine, others, strict=True):
            if a.name != "LDAC_OBJECTS":
                continue
            for x, y in zip(a.columns, b.columns, strict=True):
                assert (x.name, x.format, x.unit, x.disp, x.dim) == (
                    y.name, y.format, y.unit, y.disp, y.dim,
                )  # fmt: skip
                if a.data[x.name].dtype.kind == "i":
                    assert np.array_equal(a.data[x.name], b.data[x.name]), x.name
                else:
                    np.testing.assert_allclose(
                        a.data[x.name], b.data[x.name], rtol=3e-7, atol=1e-30, err_msg=x.name
                    )


def compare_images(ours: str, theirs: str, kind: str) -> None:
    """Pixels to the bit, and the same values in the headers."""
    with fits.open(ours) as mine, fits.open(theirs) as others:
        assert len(mine) == len(others)
        for a, b in zip(mine, others, strict=True):
            if b.data is not None:
                assert a.data.dtype == b.data.dtype
                assert np.array_equal(a.data, b.data, equal_nan=True), kind
                assert a.data.size == 0 or _cards(a.header) == _cards(b.header), kind


def _cards(header: fits.Header) -> dict[str, object]:
    return {key: header[key] for key in header if key not in ("SIMPLE", "COMMENT", "HISTORY", "")}
