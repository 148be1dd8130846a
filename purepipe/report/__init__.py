"""Plots and the HTML report of a run, pages about its CCDs and objects."""

from purepipe.report.ccd_pages import write_ccd_pages
from purepipe.report.explain import Explanation, explain, write_explanation
from purepipe.report.pages import write_report

__all__ = ["Explanation", "explain", "write_ccd_pages", "write_explanation", "write_report"]
