"""Spread model of 51 x 51 stamps: purepipe beside galsim drawings and the sums in NumPy.

Prints microseconds of processor time per object, the ratio, and the largest differences of value
and error.
"""

from __future__ import annotations

import argparse

import galsim
import numpy as np
from rows import Row, add_json_option, cpu_of, duration, faster, take_turns, tiny, write_rows

from purepipe.psf.spread import FWHM_OVER_SIGMA, spread_model

SCALE = 0.187


def with_galsim(stamp: np.ndarray, weight: np.ndarray, sigma: float) -> tuple[float, float]:
    """The definition, with templates drawn by galsim."""
    size = stamp.shape[0]
    psf = galsim.Gaussian(sigma=sigma * SCALE)
    disc = galsim.Exponential(scale_radius=FWHM_OVER_SIGMA * sigma * SCALE / 16)
    p = psf.drawImage(nx=size, ny=size, scale=SCALE).array
    t = galsim.Convolve(disc, psf).drawImage(nx=size, ny=size, scale=SCALE).array
    good = (stamp > -1e29) & (weight > 0)
    o, p, t, n = stamp[good], p[good], t[good], 1 / weight[good]
    tg, pg, tp, pp = (np.sum(a * b, dtype=float) for a, b in ((t, o), (p, o), (t, p), (p, p)))
    variance = np.sum(n * t * t) * pg**2 + np.sum(n * p * p) * tg**2
    variance -= 2 * np.sum(n * t * p) * pg * tg
    return tg / pg - tp / pp, np.sqrt(variance) / pg**2


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=1000, help="number of objects")
    parser.add_argument("--size", type=int, default=51, help="pixels on a side")
    parser.add_argument("--repeat", type=int, default=3, help="runs, in turn; the median counts")
    add_json_option(parser)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    sigma = rng.uniform(1.4, 2.2, args.n)
    grid = np.arange(args.size) - (args.size - 1) / 2
    radius2 = grid[:, None] ** 2 + grid**2
    stamps = np.exp(
        -0.5 * radius2 / rng.uniform(1, 1.5, (args.n, 1, 1)) / sigma[:, None, None] ** 2
    )
    stamps = (500 * stamps + rng.normal(0, 5, stamps.shape)).astype(np.float32)
    weights = np.full_like(stamps, 0.04)
    jobs = {
        "ours": lambda: spread_model(stamps, weights, sigma),
        "theirs": lambda: [with_galsim(*i) for i in zip(stamps, weights, sigma, strict=True)],
    }
    spent = take_turns(jobs, args.repeat)
    spread, error, flags = spread_model(stamps, weights, sigma)
    theirs = np.array(jobs["theirs"]())
    value = float(np.abs(spread - theirs[:, 0]).max())
    relative = float(np.abs(error / theirs[:, 1] - 1).max())
    row = Row(
        f"spread model, {args.size} x {args.size}", f"drawings by GalSim {galsim.__version__}",
        f"value to {tiny(value)}, error to {tiny(relative)}", {"value": value, "error": relative},
        cpu_of(spent["ours"], args.n), cpu_of(spent["theirs"], args.n), "object",
    )  # fmt: skip
    print(f"purepipe {duration(np.median(row.seconds))} per object, "
          f"{np.count_nonzero(flags)} failed")  # fmt: skip
    print(f"galsim   {duration(np.median(row.rival_seconds))} per object: "
          f"{faster(row)[0]:.0f} x slower")  # fmt: skip
    print(f"largest difference of the value {value:.1e}")
    print(f"largest difference of the error {relative:.1e} (relative)")
    write_rows(args.json, [row])


if __name__ == "__main__":
    main()
