"""The targets of the whole chain, measured on the demo survey.

For each seed: simulate and run the demo survey, then print wall-clock time, peak memory of a
worker, the recovered shear beside the true one, and the residuals of the PSF at the stars that
took no part in its fit: raw, and of the model against the true PSF of the simulation.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack
from rows import Row, add_json_option, write_rows

from purepipe.config import SimulateConfig
from purepipe.demo import demo_shear, write_survey
from purepipe.io import read_psf, read_table
from purepipe.pipeline import comparison_lines, load_survey, make_executor, open_run, run, warm_up
from purepipe.psf import adaptive_moments, psf_at
from purepipe.simulate import TruePSF


def main() -> None:
    """Parse the options and run every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--identical", action="store_true", help="compare 1 with 2 workers too")
    add_json_option(parser)
    arguments = parser.parse_args()
    agreement = "not compared"
    with tempfile.TemporaryDirectory() as folder:
        found = [
            one_seed(Path(folder) / str(seed), seed, arguments.workers) for seed in arguments.seeds
        ]
        if arguments.identical:
            agreement = compare_workers(Path(folder) / str(arguments.seeds[0]))
    write_rows(arguments.json, table_rows(found, arguments.workers, agreement))


def table_rows(
    found: list[tuple[float, np.ndarray, np.ndarray]], workers: int | None, identical: str
) -> list[Row]:
    """Rows for the table of all benchmarks."""
    walls = [seconds for seconds, _, _ in found]
    sigmas = np.abs(np.concatenate([values for _, values, _ in found]))
    psf = np.concatenate([residuals for _, _, residuals in found], axis=1)
    size, shape = float(psf[0].mean()), float(np.sqrt((psf[1:] ** 2).mean()))
    worst = float(sigmas.max())
    agreement = f"both components of all {len(sigmas)} tiles within {worst:.1f} sigma;"
    agreement += f" PSF size to {100 * abs(size):.2f} % in the mean, ellipticity to {shape:.4f} rms"
    figures = {"shear_sigma": worst, "psf_size": size, "psf_ellipticity": shape}
    threads = workers or os.cpu_count() or 1
    name = f"the demo, {len(found)} seeds: 16 exposures of 4 CCDs, 4 tiles"
    rows = [Row(name, "truth", agreement, figures, walls, threads=threads, clock="wall")]
    if identical != "not compared":
        rows.append(Row("the demo with 2 workers", "itself with 1 worker", identical))
    return rows


def one_seed(out: Path, seed: int, workers: int | None) -> tuple[float, np.ndarray, np.ndarray]:
    """Simulate, run and print everything for one seed.

    Returns wall seconds of simulation and chain, the deviations of the shears (tile, component) in
    units of their errors, and the (3, n) residuals of the PSF.
    """
    simulation = SimulateConfig(seed=seed)
    start = time.perf_counter()
    with make_executor(workers) as pool:
        survey = write_survey(out, simulation, executor=pool)
        simulated = time.perf_counter()
        warm_up(pool)
        warmed = time.perf_counter()
        summary = run(load_survey(survey), executor=pool)
    ended = time.perf_counter()
    print(f"seed {seed}")
    print(
        f"  wall: simulate {simulated - start:.1f} s, load or compile kernels"
        f" {warmed - simulated:.1f} s, chain {ended - warmed:.1f} s, all {ended - start:.1f} s"
    )
    peak = max(outcome.peak_mb for outcome in summary.outcomes)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"  peak memory: {peak:.0f} MB in a worker, {own:.0f} MB in the main process")
    print(f"  units: {len(summary.outcomes)}, not done: {len(summary.failures)}")
    finished = open_run(summary.root)
    compared = demo_shear(finished, simulation)
    for line in comparison_lines(compared):
        print(f"  {line}")
    recovered, true, error = (
        np.array([getattr(row, name) for row in compared.rows])
        for name in ("recovered", "true", "error")
    )
    seconds = ended - warmed + simulated - start
    return seconds, (recovered - true) / error, psf_lines(summary.root, simulation)


def psf_lines(root: Path, simulation: SimulateConfig) -> np.ndarray:
    """Residuals at reserved stars of all CCDs, printed; those of the model against the truth."""
    truth = TruePSF.from_config(simulation)
    tables, models = [], []
    for path in sorted(root.glob("ccd/*/validation.fits")):
        table = read_table(path)
        table = table[np.asarray(table["RESERVED"]) == 1]
        tables.append(table)
        models.append(model_against_truth(path.parent, table, truth))
    stars = vstack(tables, metadata_conflicts="silent")
    good = (np.asarray(stars["FLAG_PSF_HSM"]) == 0) & (np.asarray(stars["FLAG_STAR_HSM"]) == 0)
    stars = stars[good]
    snr = np.asarray(stars["SNR"])
    size2 = np.asarray(stars["SIGMA_STAR_HSM"]) ** 2
    raw = np.array(
        [
            (size2 - np.asarray(stars["SIGMA_PSF_HSM"]) ** 2) / size2,
            np.asarray(stars["E1_STAR_HSM"] - stars["E1_PSF_HSM"]),
            np.asarray(stars["E2_STAR_HSM"] - stars["E2_PSF_HSM"]),
        ]
    )
    print("  PSF at reserved stars       n    dT/T mean +- error     rms e1    rms e2")
    for label, rows in (("star - model", snr > 0), ("  S/N > 200", snr > 200)):
        print_residuals(label, raw[:, rows])
    against_truth = np.concatenate(models, axis=1)
    print_residuals("true PSF - model", against_truth)
    return against_truth


def model_against_truth(folder: Path, table: Table, truth: TruePSF) -> np.ndarray:
    """(3, n) residuals of the model against the true PSF at the stars of a table."""
    if len(table) == 0:
        return np.zeros((3, 0))
    exposure, ccd = folder.name.rsplit("-", 1)
    x, y = np.asarray(table["X"]) - 1.0, np.asarray(table["Y"]) - 1.0
    model = psf_at(read_psf(folder / "psf.psf"), x, y)
    true = adaptive_moments(
        np.stack([truth.draw(exposure, int(ccd), *p) for p in zip(x, y, strict=True)])
    )
    size = (true.sigma**2 - model.sigma**2) / true.sigma**2
    return np.array([size, true.g1 - model.e1, true.g2 - model.e2])


def print_residuals(label: str, residuals: np.ndarray) -> None:
    """One line of the table."""
    n = residuals.shape[1]
    mean, rms = residuals.mean(axis=1), np.sqrt((residuals**2).mean(axis=1))
    error = residuals[0].std() / np.sqrt(n)
    print(f"  {label:<24}{n:>6}{mean[0]:>+11.4f} +- {error:.4f}{rms[1]:>13.4f}{rms[2]:>10.4f}")


def compare_workers(out: Path) -> str:
    """Whether the number of workers changes the merged catalogue."""
    config = load_survey(out / "survey.toml")
    for workers in (1, 2):
        run(replace(config, out=out / f"workers-{workers}"), workers=workers)
    one, two = (out / f"workers-{n}" / "catalogue" / "final_cat.fits" for n in (1, 2))
    same = filecmp.cmp(one, two, shallow=False)
    print(f"1 and 2 workers give {'identical' if same else 'DIFFERENT'} catalogues")
    return "same bytes" if same else "DIFFERENT catalogues"


if __name__ == "__main__":
    main()
