"""The self-test of the shear: simulated galaxies of known shear, m and c, a verdict."""

from __future__ import annotations

import math
import sys
import time
from functools import partial

from purepipe.errors import ExitCode
from purepipe.pipeline import counting
from purepipe.pipeline.executors import cpu_count
from purepipe.shapes import EXPECTED_M, ShearTest, draw_library, selftest_shear

LIMIT_M, LIMIT_C = 1e-3, 2e-4  # a part in a thousand; a thousandth of a strong PSF ellipticity
CASES = ((math.inf, 1), (30.0, 60))  # signal-to-noise ratio, noise realisations


def shear_selftest(*, galaxies: int = 400, seed: int = 1) -> ExitCode:
    """Print m and c of simulated galaxies without and with noise; OK when within limits.

    The pixel grid follows the shear of the galaxies, which takes most of the scatter from m, and
    the verdict allows for the bias of second order in the test's own shear.
    """
    start = time.monotonic()
    sys.stderr.write(f"drawing {galaxies} galaxies\n")
    library = draw_library(galaxies, seed=seed, shear_grid=True)
    fine = True
    for snr, repeats in CASES:
        with counting("no noise" if math.isinf(snr) else f"S/N {snr:g}") as show:
            result = selftest_shear(
                library=library, repeats=repeats, snr=snr, seed=seed, threads=cpu_count(),
                progress=partial(show, ""),
            )  # fmt: skip
        good = passes(result)
        fine = fine and good
        sys.stdout.write(line(result) + ("" if good else "   FAILED") + "\n")
    sys.stdout.write(
        f"the shear is {'' if fine else 'NOT '}calibrated ({time.monotonic() - start:.0f} s);"
        f" limits: |m - {EXPECTED_M:.4f}| 0.001, |c| 0.0002, each + 3 sigma\n"
    )
    return ExitCode.OK if fine else ExitCode.SOME_FAILED


def passes(result: ShearTest) -> bool:
    """Whether m and c are within their limits, as far as 3 sigma of statistics can tell.

    Of m, what any estimator of first order in the shear shows at the test's shear is expected.
    """
    m_is_small = abs(result.m - EXPECTED_M) < LIMIT_M + 3 * result.m_err
    c_is_small = (abs(result.c) < LIMIT_C + 3 * result.c_err).all()
    return bool(m_is_small and c_is_small)


def line(result: ShearTest) -> str:
    """One case in one line of at most 80 characters."""
    snr = "no noise" if math.isinf(result.snr) else f"S/N {result.snr:g}"
    c = "  ".join(
        f"c{i + 1} {c:+.1e}+-{error:.0e}"
        for i, (c, error) in enumerate(zip(result.c, result.c_err, strict=True))
    )
    return f"{snr:<9}{result.pairs:>7,} pairs  m {result.m:+.1e}+-{result.m_err:.0e}  {c}"
