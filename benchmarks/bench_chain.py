"""Shear bias of the whole chain: simulated exposures to detected objects with fitted PSFs.

Each seed is a survey of two fields, one sheared by +gamma and the other by -gamma. Both show the
same stars, galaxies (in pairs turned by 90 degrees), seeing and noise, and their pixel grids follow
the shear: what differs is the PSF, fixed on the sky. The chain runs as on any survey: masks,
background, detection, stars, PSF models, epochs, metacalibration; and metadetection. Errors are
from leaving out the same patch of both fields, combined over the seeds, and from the scatter of
the seeds. An estimator that is right to first order has m = 0.34e-3 (gamma / 0.02)^2, which the
last column takes off.

    python bench_chain.py --seeds 10 --side 0      # without metadetection
    python bench_chain.py --seeds 10               # a tenth of the noise of the demo
    python bench_chain.py --seeds 10 --sky 600     # the noise of the demo
    python bench_chain.py --seeds 10 --separation 0 --density 40
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from rows import Row, add_json_option, write_rows

from purepipe.config import MetadetectConfig, SimulateConfig
from purepipe.config.simulate import CameraConfig, GalaxyConfig, StarFieldConfig
from purepipe.config.survey import ShearConfig
from purepipe.demo import demo_shear, write_survey
from purepipe.pipeline import (
    ShearComparison,
    compare_metadetections,
    compare_shear,
    load_survey,
    make_executor,
    open_run,
    run,
)
from purepipe.simulate import tile_number

SECOND_ORDER = 0.34e-3 / 0.02**2  # docs/shapes.md
# Weights that fall smoothly where the cuts of a run are: an object that a cut takes under one shear
# alone is most of the noise.
SMOOTH = "1 / (1 + (12 / s2n)**4) / (1 + (0.6 * Tpsf / T)**4)"
LOOSE = ShearConfig(min_s2n=3.0, min_size_ratio=0.2)


def main() -> None:
    """Parse the options, run every seed, print what the seeds give together."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=4, help="surveys")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--gamma", type=float, default=0.03, help="shear, both components")
    parser.add_argument("--sky", type=float, default=6.0, help="background, ADU; the demo has 600")
    parser.add_argument("--density", type=float, default=20.0, help="galaxies per arcmin^2")
    parser.add_argument("--separation", type=float, default=3.0, help="of objects, arcsec")
    parser.add_argument("--side", type=int, default=216, help="of the cells, pixels; 0 for none")
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--keep", type=Path, default=None, help="folder to keep the surveys in")
    add_json_option(parser)
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp())
    found: dict[str, list[ShearComparison]] = defaultdict(list)
    start = time.process_time()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for name, comparison in one_seed(folder / str(seed), seed, arguments).items():
            found[name].append(comparison)
        if arguments.keep is None:
            shutil.rmtree(folder / str(seed))
        print_table(found, arguments.gamma)
    print(f"{time.process_time() - start:.0f} s of this process")
    write_rows(arguments.json, rows(found, arguments))


def one_seed(out: Path, seed: int, arguments: argparse.Namespace) -> dict[str, ShearComparison]:
    """Simulate and run one survey; the comparison of each estimator with the truth."""
    simulation = survey_config(seed, arguments)
    with make_executor(arguments.workers) as pool:
        survey = load_survey(write_survey(out, simulation, executor=pool, quiet=True))
        if arguments.side:
            metadetect = MetadetectConfig(enabled=True, side=arguments.side)
            survey = replace(survey, tile=replace(survey.tile, metadetect=metadetect))
        finished = open_run(run(survey, executor=pool).root)
    found = {
        "metacalibration": demo_shear(finished, simulation),
        "metacalibration, smooth weights": compare_shear(
            finished.catalogue(), truth_of(simulation), LOOSE, weights=SMOOTH, seed=seed
        ),
    }
    if arguments.side:
        found["metadetection"] = compare_metadetections(
            finished.metadetections(), truth_of(simulation)
        )
    return found


def truth_of(simulation: SimulateConfig) -> dict[str, tuple[float, float]]:
    """The shear of each tile."""
    return {tile_number(i): simulation.shears[i] for i in range(2)}


def survey_config(seed: int, arguments: argparse.Namespace) -> SimulateConfig:
    """A field and its counterpart of opposite shear; as the demo but for noise and grids."""
    gamma = arguments.gamma
    noise = np.sqrt(arguments.sky / CameraConfig().sky)
    camera = CameraConfig(
        distortion="sip", sky=arguments.sky, read_noise=float(noise * CameraConfig().read_noise)
    )
    # stars saturate as in the demo; faint ones would be measured as galaxies only
    return SimulateConfig(
        seed=seed, fields=2, shears=((gamma, -gamma), (-gamma, gamma)), shear_grid=True,
        minimum_separation=arguments.separation, camera=camera,
        galaxies=GalaxyConfig(density=arguments.density), stars=StarFieldConfig(),
    )  # fmt: skip


def combine(comparisons: list[ShearComparison]) -> dict[str, tuple[float, float, float]]:
    """Biases of both components, and m of both together: value, error, scatter of the mean."""
    values: dict[str, tuple[float, float, float]] = {}
    for quantity in ("m", "c"):
        each = np.array([getattr(item, quantity) for item in comparisons])
        errors = np.array([getattr(item, f"{quantity}_error") for item in comparisons])
        for i in range(2):
            values[f"{quantity}{i + 1}"] = _mean(each[:, i], errors[:, i])
    each = np.array([item.m for item in comparisons]).ravel()
    errors = np.array([item.m_error for item in comparisons]).ravel()
    return {"m": _mean(each, errors), **values}


def _mean(values: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """Mean by inverse variance, its error, and that error from the scatter of the seeds."""
    weights = 1 / errors**2
    mean = (weights * values).sum() / weights.sum()
    error = weights.sum() ** -0.5
    freedom = len(values) - 1
    chi2 = (weights * (values - mean) ** 2).sum() / freedom if freedom else np.nan
    return float(mean), float(error), float(error * np.sqrt(chi2))


def print_table(found: dict[str, list[ShearComparison]], gamma: float) -> None:
    """What the seeds so far give."""
    number = len(next(iter(found.values())))
    print(f"{number} seeds; value ± error (scatter), 1e-3\n")
    print("| estimator | objects | m | m1 | m2 | c1 | c2 | m less second order |\n|" + "---|" * 8)
    second = SECOND_ORDER * 2 * gamma**2
    for name, comparisons in found.items():
        result = combine(comparisons)
        objects = sum(row.objects for item in comparisons for row in item.rows)
        cells = [f"{1e3 * v:+.2f} ± {1e3 * e:.2f} ({1e3 * s:.2f})" for v, e, s in result.values()]
        print(f"| {name} | {objects:,} | " + " | ".join(cells), end=" | ")
        print(f"{1e3 * (result['m'][0] - second):+.2f} |")
    print(flush=True)


def rows(found: dict[str, list[ShearComparison]], arguments: argparse.Namespace) -> list[Row]:
    """The results for the table of all benchmarks."""
    made = []
    for name, comparisons in found.items():
        m, error, _ = combine(comparisons)["m"]
        made.append(
            Row(
                f"{name}, whole chain, sky {arguments.sky:g} ADU, {arguments.seeds} surveys",
                "truth",
                f"m = ({m * 1e3:+.1f} ± {error * 1e3:.1f})e-3",
                {"m": m, "m_err": error},
            )
        )
    return made


if __name__ == "__main__":
    main()
