"""The pages as a browser shows them; skipped where there is no Chromium."""

import re

import pytest

from purepipe.report import write_ccd_pages, write_report, write_tile_pages

from . import fabricated
from .browser import CHROMIUM, look, run

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")

# Links to anchors of the page itself that are missing, and all others, as they are resolved.
LINKS = """({
  lost: [...document.querySelectorAll('a[href^="#"]')]
    .filter((a) => !document.querySelector(a.getAttribute("href"))).length,
  files: [...document.querySelectorAll('a:not([href^="#"])')].map((a) => a.href),
  broken: [...document.images].filter((i) => !i.complete || i.naturalWidth === 0).length,
  pictures: document.images.length,
  wide: document.documentElement.scrollWidth - window.innerWidth,
  width: window.innerWidth,
})"""
SORT = """(() => {
  const table = document.querySelector("table.sortable");
  const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
  const click = (column) => {
    table.tHead.rows[0].cells[column].querySelector("button").click();
    return [table.tHead.rows[0].cells[column].getAttribute("aria-sort"), names()];
  };
  const before = names();
  return {before, name: click(0), again: click(0), residual: click(9), down: click(9)};
})()"""
NARROW = """(() => {
  const field = document.querySelector("input[type=search]");
  const shown = () => [...document.querySelector("table.sortable").tBodies[0].rows]
    .filter((row) => row.offsetHeight > 0).length;
  const write = (text) => {
    field.value = text;
    field.dispatchEvent(new Event("input"));
    return [shown(), field.nextSibling.textContent];
  };
  return [write("1000003-"), write("-2 GOOD"), write("nothing"), write("")];
})()"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = fabricated.write_run(tmp_path_factory.mktemp("browser") / "run")
    write_ccd_pages(root, ["1000001-0", "1000002-1"])
    write_tile_pages(root)
    write_report(root)
    return root


@pytest.mark.parametrize("name", [
    "report.html", "report/1000001-0.html", "report/1000002-1.html", "report/tile-000-000.html",
])  # fmt: skip
# Chromium makes no window narrower than 500.
@pytest.mark.parametrize("width", [1200, 500])
def test_pages_load_without_a_complaint(root, tmp_path, name, width):
    page = root / name
    found, console = look(page, tmp_path, script=LINKS, width=width)
    assert console == []
    assert (found["lost"], found["broken"]) == (0, 0)
    assert found["width"] == width
    assert found["wide"] <= 0
    assert (found["pictures"] > 0) == (name != "report/1000002-1.html")
    for link in found["files"]:
        target = link.removeprefix("file://").split("#")[0]
        assert (root / target).is_file(), link


def test_report_and_pages_lead_to_each_other(root, tmp_path):
    found, _ = look(root / "report.html", tmp_path, script=LINKS)
    assert sorted(link.rsplit("/", 1)[1] for link in found["files"]) == [
        "1000001-0.html", "1000002-1.html", "tile-000-000.html",
    ]  # fmt: skip
    found, _ = look(root / "report/1000001-0.html", tmp_path, script=LINKS)
    assert [link.rsplit("/", 1)[1] for link in found["files"]] == ["report.html#psf"]


def test_tables_sort_both_ways_with_missing_values_last(root, tmp_path):
    found, console = look(root / "report.html", tmp_path, script=SORT)
    assert console == []
    assert found["before"] == ["1000002-1", "1000002-0", "1000001-1", "1000001-0"]
    assert found["name"] == ["ascending", sorted(found["before"])]
    assert found["again"] == ["descending", sorted(found["before"], reverse=True)]
    assert found["residual"][1] == ["1000001-0", "1000001-1", "1000002-0", "1000002-1"]
    assert found["down"] == ["descending", ["1000002-0", "1000001-1", "1000001-0", "1000002-1"]]


def test_a_thousand_ccds_can_be_narrowed_down(tmp_path):
    names = [f"{1000000 + i}-{j}" for i in range(100) for j in range(10)]
    outcomes = [fabricated.ccd_outcome(name) for name in names]
    fabricated.write_ledger(tmp_path / "run", outcomes)
    path = write_report(tmp_path / "run")
    assert path.stat().st_size < 900_000
    found, console = look(path, tmp_path, script=NARROW)
    assert console == []
    assert found == [[10, "10 of 1000"], [100, "100 of 1000"], [0, "0 of 1000"], [1000, ""]]


def test_report_prints(root, tmp_path):
    out = tmp_path / "report.pdf"
    run(f"--print-to-pdf={out}", (root / "report.html").as_uri(), scratch=tmp_path)
    pages = len(re.findall(rb"/Type\s*/Page\b", out.read_bytes()))
    assert 1 < pages < 15
