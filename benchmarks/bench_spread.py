"""Spread model of 51 x 51 stamps: purepipe beside galsim drawings and the sums in NumPy.

Prints microseconds of processor time per object, the ratio, and the largest differences of value
and error.
"""

from __future__ import annotations

import argparse
import time

import galsim
import numpy as np

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
    spread_model(stamps[:1], weights[:1], sigma[:1])
    spent = []
    for _ in range(3):
        start = time.process_time()
        spread, error, flags = spread_model(stamps, weights, sigma)
        spent.append(time.process_time() - start)
    ours = min(spent)
    start = time.process_time()
    theirs = np.array([with_galsim(*item) for item in zip(stamps, weights, sigma, strict=True)])
    galsim_seconds = time.process_time() - start
    print(f"purepipe {ours / args.n * 1e6:8.1f} us per object, {np.count_nonzero(flags)} failed")
    print(f"galsim   {galsim_seconds / args.n * 1e6:8.1f} us per object: "
          f"{galsim_seconds / ours:.0f} x slower")  # fmt: skip
    print(f"largest difference of the value {np.abs(spread - theirs[:, 0]).max():.1e}")
    print(
        f"largest difference of the error {np.abs(error / theirs[:, 1] - 1).max():.1e} (relative)"
    )


if __name__ == "__main__":
    main()
