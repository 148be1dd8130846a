"""Pages about single CCDs, and how the report leads to them."""

import shutil

import pytest

from purepipe.errors import DataError, StoreError
from purepipe.report import write_ccd_pages, write_report

from . import fabricated
from .page import Page


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return fabricated.write_run(tmp_path_factory.mktemp("pages") / "run")


def test_page_of_a_ccd(root):
    (path,) = write_ccd_pages(root, ["1000001-0"])
    assert path == root / "report" / "1000001-0.html"
    page = Page(path)
    assert page.alts() == [
        "Mask over the image", "CCD 1000001-0 (size and magnitude)", "Stars", "PSF model",
        "Residual", "Ellipticity residuals", "Size residuals",
    ]  # fmt: skip
    assert "psf stars 16 15 93.8 300 ms" in page.text
    assert "fwhm 4 width 0.1 chi2 1.02" in page.text
    assert "background.fits" in page.text  # it is missing from the fabricated run
    assert "psf.psf" in page.text
    assert "../report.html#psf" in page.links


def test_page_of_a_failed_ccd_gives_the_reason(root):
    (path,) = write_ccd_pages(root, ["1000002-1"])
    page = Page(path)
    assert "CCD 1000002-1 data bad" in page.text
    assert "<b>no</b> data & 'such'" in page.text
    assert "No step is recorded." in page.text
    assert page.images == []


def test_report_links_the_pages_that_there_are(root, tmp_path):
    run = shutil.copytree(root, tmp_path / "run")
    shutil.rmtree(run / "report", ignore_errors=True)
    page = Page(write_report(run))
    assert "purepipe report RUN --ccd NAME" in page.text
    write_ccd_pages(run, ["1000002-1"])
    page = Page(write_report(run))
    assert [link for link in page.links if not link.startswith(("#", "data:"))] == [
        "report/1000002-1.html"
    ]
    assert "A name leads to the page of the CCD." in page.text


def test_unknown_ccd_is_an_error(root):
    with pytest.raises(DataError, match="no such CCD") as raised:
        write_ccd_pages(root, ["1000001-9"])
    assert "Did you mean '1000001-" in str(raised.value)
    with pytest.raises(DataError, match="`purepipe status` lists the units"):
        write_ccd_pages(root, ["x"])


def test_command_writes_page_and_report(root):
    from typer.testing import CliRunner

    from purepipe.cli import app

    result = CliRunner().invoke(app, ["report", str(root), "--ccd", "1000002-1"])
    assert result.exit_code == 0
    assert "1000002-1.html" in result.output.replace("\n", "")
    assert "report.html" in result.output


def test_pages_without_a_folder_are_a_clear_error(tmp_path):
    run = fabricated.write_run(tmp_path / "run")
    (run / "report").write_text("")
    with pytest.raises(StoreError, match=r"folder of the pages cannot be made.*File exists"):
        write_ccd_pages(run, ["1000001-0"])


def test_one_ccd_and_all_ccds_are_not_asked_for_together(root):
    from typer.testing import CliRunner

    from purepipe.cli import app
    from purepipe.errors import ConfigError

    result = CliRunner().invoke(app, ["report", str(root), "--ccd", "1000002-1", "--all-ccds"])
    assert isinstance(result.exception, ConfigError)
    assert "--ccd, --all-ccds" in str(result.exception)
