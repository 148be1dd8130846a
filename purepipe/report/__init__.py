"""Plots and the HTML report of a run, pages about its CCDs, tiles and objects."""

from purepipe.report.ccd_pages import write_ccd_pages
from purepipe.report.explain import Explanation, explain, write_explanation
from purepipe.report.pages import write_report
from purepipe.report.tile_pages import write_tile_pages

__all__ = [
    "Explanation", "explain", "write_ccd_pages", "write_explanation", "write_report",
    "write_tile_pages",
]  # fmt: skip
