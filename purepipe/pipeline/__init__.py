"""Running a survey: steps, plan, store, executors."""

from purepipe.pipeline.executors import make_executor
from purepipe.pipeline.plan import load_survey, make_plan
from purepipe.pipeline.progress import counting, make_progress
from purepipe.pipeline.results import Run, open_run
from purepipe.pipeline.run import RunSummary, run
from purepipe.pipeline.shear import ShearComparison, ShearRow, compare_shear, comparison_lines
from purepipe.pipeline.summary import summary_lines
from purepipe.pipeline.warm import warm_up

__all__ = [
    "Run",
    "RunSummary",
    "ShearComparison",
    "ShearRow",
    "compare_shear",
    "comparison_lines",
    "counting",
    "load_survey",
    "make_executor",
    "make_plan",
    "make_progress",
    "open_run",
    "run",
    "summary_lines",
    "warm_up",
]
