"""How well the PSF is known between the stars: number of stars x degree x seeing.

Stars of a PSF whose size and ellipticity vary over a CCD beyond the second order are simulated
with noise; the model is fitted with each degree and compared with the true PSF at random
positions. Printed are the rms of the ellipticity residual (mean of the two components) and mean
and rms of the relative residual of T, in units of 0.001. PSFEx lowers a degree that the stars do
not carry; such entries are marked.
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "reference" / "psf"))

import make_reference as reference
from rows import Row, add_json_option, write_rows

from purepipe.config.psf import PSFConfig
from purepipe.psf import adaptive_moments, fit_psf, psf_at
from tests.psf.test_fit_science import star_table, true_psf


def residuals(stars, degree, scale, seed, positions):
    """Errors (e1, e2, T) at random positions, and the degree of the model."""
    rng = np.random.default_rng(seed)
    table = star_table(reference, stars, rng, seeing=scale)
    model = fit_psf(table, PSFConfig(degrees=(degree,)))
    x, y = rng.uniform(100, 1948, positions), rng.uniform(100, 4512, positions)
    stamps = psf_at(model, x, y)
    pairs = zip(x, y, strict=True)
    truth = adaptive_moments(np.array([true_psf(reference, *p, seeing=scale) for p in pairs]))
    size = (stamps.sigma / truth.sigma) ** 2 - 1
    return np.array([stamps.e1 - truth.g1, stamps.e2 - truth.g2, size]), model.degrees


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stars", type=int, nargs="+", default=[25, 50, 100, 200, 400])
    parser.add_argument("--degrees", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--seeing", type=float, nargs="+", default=[0.5, 0.7, 1.0],
                        help="FWHM, arcsec of 0.187 arcsec per pixel")  # fmt: skip
    parser.add_argument("--ccds", type=int, default=4, help="simulated CCDs per entry")
    parser.add_argument("--positions", type=int, default=100, help="per CCD")
    add_json_option(parser)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print("seeing  stars degree | rms e  mean T   rms T   (0.001)")
    rows = []
    for seeing in options.seeing:
        for stars in options.stars:
            for degree in options.degrees:
                runs = [
                    residuals(stars, degree, seeing / 0.187 / 3.8, seed, options.positions)
                    for seed in range(options.ccds)
                ]
                errors = 1e3 * np.concatenate([run[0] for run in runs], axis=1)
                e = float(np.sqrt((errors[:2] ** 2).mean()))
                mean, rms = float(errors[2].mean()), float(np.sqrt((errors[2] ** 2).mean()))
                lowered = "" if runs[0][1] == (degree,) else f"  degree {runs[0][1]}"
                print(
                    f'{seeing:5.2f}" {stars:6d} {degree:6d} | {e:5.2f} {mean:+7.2f} {rms:7.2f}'
                    f"{lowered}",
                    flush=True,
                )
                agreement = f"ellipticity to {1e-3 * e:.4f} rms, size to {0.1 * rms:.1f} % rms,"
                agreement += f" {0.1 * mean:+.1f} % mean"
                figures = {"e_rms": e / 1e3, "size_mean": mean / 1e3, "size_rms": rms / 1e3}
                name = f'PSF between {stars} stars, degree {degree}, {seeing}"'
                rows.append(Row(name, "truth", agreement, figures))
    write_rows(options.json, rows)


if __name__ == "__main__":
    main()
