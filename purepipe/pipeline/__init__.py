"""Running a survey: steps, plan, store, executors."""

from purepipe.pipeline.capsule import Repetition, rerun
from purepipe.pipeline.compare import (
    RunDifference,
    compare_catalogues,
    compare_runs,
    difference_lines,
)
from purepipe.pipeline.executors import dask_executor, make_executor, mpi_executor
from purepipe.pipeline.locks import Shard, parse_shard
from purepipe.pipeline.plan import load_survey, make_plan
from purepipe.pipeline.progress import counting, make_progress
from purepipe.pipeline.results import Run, open_run
from purepipe.pipeline.run import RunSummary, run
from purepipe.pipeline.shear import (
    ShearComparison,
    ShearRow,
    compare_metadetections,
    compare_shear,
    comparison_lines,
)
from purepipe.pipeline.single import measure_one, stamps_of
from purepipe.pipeline.status import (
    Estimate,
    RunStatus,
    estimate_lines,
    estimate_run,
    run_status,
    status_lines,
)
from purepipe.pipeline.summary import guard_text, nothing_text, summary_lines
from purepipe.pipeline.verify import Verification, verification_lines, verify_run
from purepipe.pipeline.warm import warm_up

__all__ = [
    "Estimate",
    "Repetition",
    "Run",
    "RunDifference",
    "RunStatus",
    "RunSummary",
    "Shard",
    "ShearComparison",
    "ShearRow",
    "Verification",
    "compare_catalogues",
    "compare_metadetections",
    "compare_runs",
    "compare_shear",
    "comparison_lines",
    "counting",
    "dask_executor",
    "difference_lines",
    "estimate_lines",
    "estimate_run",
    "guard_text",
    "load_survey",
    "make_executor",
    "make_plan",
    "make_progress",
    "measure_one",
    "mpi_executor",
    "nothing_text",
    "open_run",
    "parse_shard",
    "rerun",
    "run",
    "run_status",
    "stamps_of",
    "status_lines",
    "summary_lines",
    "verification_lines",
    "verify_run",
    "warm_up",
]
