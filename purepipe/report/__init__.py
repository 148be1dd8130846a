"""Plots and the HTML report of a run."""

from purepipe.report.pages import write_report

__all__ = ["write_report"]
