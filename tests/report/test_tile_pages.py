"""Pages about single tiles, the table of all tiles, and how the report leads to them."""

import shutil

import pytest

from purepipe.errors import DataError
from purepipe.pipeline.store import Outcome, StepRecord
from purepipe.report import write_report, write_tile_pages

from . import fabricated
from .page import Page


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return fabricated.write_run(tmp_path_factory.mktemp("tiles") / "run")


def test_page_of_a_tile(root):
    (path,) = write_tile_pages(root, ["000-000"])
    assert path == root / "report" / "tile-000-000.html"
    page = Page(path)
    assert page.alts() == [
        "Tile 000-000: detections", "Mask over the image",
        "Spread model", "Epochs", "Signal-to-noise ratio",
        "Components of the shape", "Modulus of the shape", "Size ratio", "Shear responses",
    ]  # fmt: skip
    assert "detect objects 60 60 100.0 400 ms" in page.text
    assert "No mean shear: " in page.text  # the fabricated catalogue lacks its columns
    assert "60 objects in the final catalogue." in page.text
    assert "../report.html#tiles" in page.links


def test_page_of_a_tile_without_a_catalogue(tmp_path):
    tile = Outcome(
        "tile 000-000", "tile", "done", seconds=1.0,
        steps=(StepRecord("epochs", "objects", 5, 4, 0.1, {"missing exposures": ["7", "9"]}),),
    )  # fmt: skip
    shapes = Outcome("shapes 000-000 00000", "shapes", "failed", "no <b>luck</b>", seconds=2.0)
    fabricated.write_ledger(tmp_path, [tile, shapes])
    (path,) = write_tile_pages(tmp_path)
    page = Page(path)
    assert "Tile 000-000 failed" in page.text
    assert "no <b>luck</b>" in page.text
    assert "missing exposures 7, 9" in page.text
    assert "final_cat-000-000.fits" in page.text


def test_table_of_all_tiles_has_the_failed_first(tmp_path):
    outcomes = fabricated.tile_outcomes("000-000", 60)
    outcomes += [
        Outcome(
            f"shapes 000-000 0000{block}", "shapes", "done", seconds=1.0,
            steps=(StepRecord("shapes", "objects", 30, 20 + block, 0.5),),
        )
        for block in range(2)
    ]  # fmt: skip
    outcomes.append(Outcome("tile 000-001", "tile", "data bad", "not there"))
    fabricated.write_ledger(tmp_path, outcomes)
    page = Page(write_report(tmp_path))
    assert "000-001 data bad – – – – – – – < 1 ms" in page.text
    assert "000-000 done 0.3 60 60 – 41 68.3 60 2.7 s" in page.text
    assert page.text.index("000-001 data bad –") < page.text.index("000-000 done 0.3")
    assert "purepipe report RUN --tile NAME" in page.text


def test_report_links_the_pages_that_there_are(root, tmp_path):
    run = shutil.copytree(root, tmp_path / "run")
    write_tile_pages(run)
    page = Page(write_report(run))
    assert "report/tile-000-000.html" in page.links
    assert "A name leads to the page of the tile." in page.text


def test_unknown_tile_is_an_error(root):
    with pytest.raises(DataError, match="no such tile") as raised:
        write_tile_pages(root, ["000-001"])
    assert "Did you mean '000-000'?" in str(raised.value)


def test_command_writes_page_and_report(root):
    from typer.testing import CliRunner

    from purepipe.cli import app
    from purepipe.errors import ConfigError

    result = CliRunner().invoke(app, ["report", str(root), "--all-tiles"])
    assert result.exit_code == 0
    assert "tile-000-000.html" in result.output.replace("\n", "")
    both = CliRunner().invoke(app, ["report", str(root), "--all-tiles", "--tile", "000-000"])
    assert isinstance(both.exception, ConfigError)
    assert "--tile, --all-tiles" in str(both.exception)
