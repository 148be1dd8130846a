"""The report of fabricated runs: complete, partly missing, damaged, failed, empty."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table

from purepipe.errors import StoreError
from purepipe.io import write_table
from purepipe.io.ldac import write_ldac
from purepipe.pipeline.shear import ShearComparison, ShearRow
from purepipe.report import overview, write_report

from . import fabricated
from .page import Page

NAN = float("nan")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return fabricated.write_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def page(root):
    path = write_report(root)
    assert path == root / "report.html"
    return Page(path)


def test_everything_that_exists_has_a_picture(page):
    assert page.alts() == [
        "Footprint", "Epochs over the sky", "Objects lost over the sky",
        "Pixels lost over the focal plane", "Seeing by exposure", "PSF residuals by exposure",
        "Stars by exposure",
        "CCD 1000001-1 (typical)", "CCD 1000002-0 (worst)", "3 CCDs together",
        "Stars", "PSF model", "Residual", "Stars", "PSF model", "Residual",
        "Mean residual over the focal plane", "Ellipticity residuals", "Size residuals",
        "CCD 1000001-1", "Tile 000-000", "Tile 000-000: detections",
        "Spread model", "Epochs", "Signal-to-noise ratio",
        "Components of the shape", "Modulus of the shape", "Size ratio", "Shear responses",
    ]  # fmt: skip
    for picture in page.pictures():
        colours = picture.convert("RGB").getcolors(1 << 20)
        assert len(colours) > 5
        assert min(picture.size) > 100


def test_page_holds_everything_itself(page):
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"https?://|@import|url\(", page.source)
    anchors = set(re.findall(r'id="(\w+)"', page.source))
    assert {link[1:] for link in page.links if link.startswith("#")} == anchors
    assert len(page.source) < 1_500_000


def test_failures_come_first_and_are_escaped(page):
    assert "1 of 6 units not done" in page.text
    assert "<b>" not in page.source
    assert "<b>no</b> data & 'such'" in page.text
    assert page.source.index("ccd 1000002-1") < page.source.index('<section id="shear">')


def test_tables_of_steps_planes_and_flags(page):
    assert "validate stars 3 60 60 100.0 300 ms 100 ms compare the model" in page.text
    planes = "BORDER</td>.*?>0.651</td>.*?>0</td>"
    assert re.search(planes, page.source, re.DOTALL)
    assert "NO_EPOCH No usable epoch. 6 10.00" in page.text
    assert "RESERVED A star kept out of the PSF fit for validation. 15 12.50" in page.text


def test_table_of_ccds_starts_with_what_to_look_at(page):
    table = page.text[page.text.index("All CCDs") :]
    order = [table.index(name) for name in ("1000002-1", "1000002-0", "1000001-1", "1000001-0")]
    assert order == sorted(order)
    assert 'class="sortable"' in page.source
    assert 'data-order="0.006"' in page.source


def test_configuration_is_shown_as_toml(page):
    assert "[ccd.detect] threshold = 1.5" in page.text
    assert "unset" not in page.text[page.text.index("[ccd.detect]") :]
    assert "seed 7" in page.text


def test_residuals_in_words(page):
    assert re.search(
        r"at 15 reserved stars: g1 mean [+−]0\.\d{5} ± 0\.\d{5}, rms 0\.\d{5}; g2", page.text
    )


def test_equal_runs_give_equal_reports(root, page):
    assert write_report(root).read_text(encoding="utf-8") == page.source


def test_shear_beside_the_truth(tmp_path):
    fabricated.write_ledger(tmp_path, [])
    rows = (
        ShearRow("000-000", 1200, (0.02, 0.0), (0.0212, -0.001), (0.004, 0.0041)),
        ShearRow("001-000", 1300, (-0.02, 0.0), (-0.0352, 0.001), (0.004, NAN)),
    )
    comparison = ShearComparison(
        rows, "s2n > 10 & more", (0.41, NAN), (0.14, NAN), (-0.007, 0.0), (0.003, 0.002)
    )
    page = Page(write_report(tmp_path, comparison=comparison))
    assert "000-000 1,200 +0.0200 +0.0212 ± 0.0040 +0.3 +0.0000 −0.0010 ± 0.0041 −0.2" in page.text
    assert "001-000 1,300 −0.0200 −0.0352 ± 0.0040 −3.8 +0.0000 +0.0010 –" in page.text
    assert "g1 +0.41 ± 0.14 −0.0070 ± 0.0030 g2 not determined" in page.text
    assert "Cuts: s2n > 10 & more." in page.text
    assert page.alts() == ["Recovered and true shear"]


def test_shear_comparison_without_results(tmp_path):
    fabricated.write_ledger(tmp_path, [])
    nothing = (NAN, NAN)
    rows = (ShearRow("000-000", 0, (0.02, 0.0), nothing, nothing),)
    page = Page(
        write_report(
            tmp_path, comparison=ShearComparison(rows, "", nothing, nothing, nothing, nothing)
        )
    )
    assert "No tile has a recovered shear." in page.text
    empty = ShearComparison((), "", nothing, nothing, nothing, nothing)
    assert "holds no tile" in Page(write_report(tmp_path, comparison=empty)).text


def test_mean_shear_of_the_run(tmp_path, monkeypatch):
    fabricated.write_ledger(tmp_path, [])
    assert "No mean shear: " in Page(write_report(tmp_path)).text
    from purepipe.config import SurveyConfig

    estimate = SimpleNamespace(
        g=np.array([0.0123, -0.02]), errors=np.array([0.004, 0.005]), response=0.7 * np.eye(2),
        selection_response=-0.03 * np.eye(2), number=900, total=2000, measured=1800,
    )  # fmt: skip
    run = SimpleNamespace(config=SurveyConfig(), shear=lambda: estimate)
    monkeypatch.setattr(overview, "open_run", lambda _: run)
    page = Page(write_report(tmp_path))
    assert "g1 +0.0123 ± 0.0040 0.7000 −0.0300" in page.text
    assert "900 of 2,000 objects enter, 1,800 have an unflagged shape." in page.text
    assert "S/N > 10, T/T(PSF) > 0.5" in page.text


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="no run here"):
        write_report(tmp_path)


def test_empty_ledger_gives_sentences(tmp_path):
    fabricated.write_ledger(tmp_path, [], config={})
    page = Page(write_report(tmp_path))
    for sentence in (
        "nothing ran", "The ledger holds no unit", "No step ran.", "The run has no CCD.",
        "No mask was made.", "The run has no tile.", "No tile has a final catalogue.",
        "The ledger holds none.",
    ):  # fmt: skip
        assert sentence in page.text
    assert page.images == []


def test_run_of_which_everything_failed(tmp_path):
    failed = [
        fabricated.ccd_outcome(f"1000001-{i}", status="failed", message="<script>alert(1)</script>")
        for i in range(3)
    ]
    fabricated.write_ledger(tmp_path, failed)
    page = Page(write_report(tmp_path))
    assert "3 of 3 units not done" in page.text
    assert "<script>alert" not in page.source
    assert page.text.count("<script>alert(1)</script>") == 3
    assert page.images == []


def test_missing_and_damaged_products_become_sentences(tmp_path):
    fabricated.write_run(tmp_path)
    (tmp_path / "ccd/1000001-1/sources.fits").unlink()
    (tmp_path / "ccd/1000002-0/validation.fits").write_bytes(b"not FITS at all")
    (tmp_path / "tile/000-000/mask.fits").write_bytes(b"SIMPLE  = ")
    (tmp_path / "tile/000-000/objects.fits").unlink()
    (tmp_path / "catalogue/final_cat-000-000.fits").write_bytes(b"")
    page = Page(write_report(tmp_path))
    missing = {"CCD 1000001-1 (typical)", "Tile 000-000", "Tile 000-000: detections", "Epochs"}
    assert not missing & set(page.alts())
    assert "2 CCDs together" in page.alts() or "3 CCDs together" in page.alts()
    assert "sources.fits" in page.text
    assert "No final catalogue can be read." in page.text


def test_empty_and_useless_columns_become_sentences(tmp_path):
    fabricated.write_run(tmp_path)
    for ccd in tmp_path.glob("ccd/*"):
        write_table(ccd / "validation.fits", Table.read(ccd / "validation.fits")[:0])
        sources = fabricated_sources(ccd)
        sources["FWHM_IMAGE"] = np.float32(np.nan)
        write_ldac(ccd / "sources.fits", sources)
    rng = np.random.default_rng(2)
    write_ldac(tmp_path / "tile/000-000/objects.fits", fabricated.objects(5, rng)[:0])
    useless = fabricated.catalogue(20, rng)
    for name in ("SPREAD_MODEL", "SNR_WIN", "NGMIX_SNR_NOSHEAR", "NGMIX_ELL_NOSHEAR", "R11",
                 "R12", "R21", "R22", "NGMIX_T_NOSHEAR"):  # fmt: skip
        useless[name] = np.full(useless[name].shape, np.nan)
    write_table(tmp_path / "catalogue/final_cat-000-000.fits", useless)
    page = Page(write_report(tmp_path))
    assert page.alts() == [
        "Footprint", "Epochs over the sky", "Objects lost over the sky",
        "Pixels lost over the focal plane", "Seeing by exposure", "PSF residuals by exposure",
        "Stars by exposure", "CCD 1000001-1", "Tile 000-000", "Epochs",
    ]  # fmt: skip
    for sentence in (
        "No source has a size and a magnitude.", "No star has good moments.",
        "The tile has no detections.", "No spread model is known.", "No shape is known.",
        "No size ratio is known.", "No shear response is known.",
    ):  # fmt: skip
        assert sentence in page.text


def fabricated_sources(folder):
    from purepipe.io import read_ldac

    return read_ldac(folder / "sources.fits")


def test_table_grows_but_pictures_do_not(tmp_path):
    names = [f"{1000000 + i}-{j}" for i in range(60) for j in range(4)]
    fabricated.write_ledger(tmp_path, [fabricated.ccd_outcome(name) for name in names])
    rng = np.random.default_rng(3)
    for name in names[:2]:
        fabricated.write_ccd(tmp_path, name, rng)
    page = Page(write_report(tmp_path))
    assert page.source.count('<td class=" good">good</td>') == len(names)
    assert len(page.images) <= 12
    assert "of 12 of 60 exposures" in page.text


def test_sections_say_of_how_many_tiles_their_objects_are(tmp_path, monkeypatch):
    tiles = ("000-000", "000-001", "000-002")
    outcomes = [each for tile in tiles for each in fabricated.tile_outcomes(tile, 60)]
    fabricated.write_ledger(tmp_path, outcomes)
    for tile in tiles:
        fabricated.write_tile(tmp_path, tile, np.random.default_rng(2))
    text = Page(write_report(tmp_path)).text
    assert "180 objects in the final catalogues of 3 tiles." in text
    assert "The maps of objects" not in text
    monkeypatch.setattr("purepipe.report.records.MAX_CATALOGUE_BYTES", 40_000)
    text = Page(write_report(tmp_path)).text
    assert "120 objects in the final catalogues of 2 tiles (of 3)." in text
    assert "The maps of objects show those of 2 of 3 tiles." in text


def test_objects_of_failed_blocks_are_counted(tmp_path):
    fabricated.write_ledger(tmp_path, fabricated.tile_outcomes("000-000", 30))
    (tmp_path / "catalogue").mkdir()
    table = fabricated.objects(30, np.random.default_rng(4))
    table["FLAGS_UNIT"] = (np.arange(30) < 12).astype(np.int32)
    write_table(tmp_path / "catalogue/final_cat-000-000.fits", table)
    page = Page(write_report(tmp_path))
    assert "12 objects without shapes" in page.text
    assert "The column NGMIX_ELL_NOSHEAR is missing." in page.text
    assert page.alts() == ["Epochs", "Signal-to-noise ratio"]
