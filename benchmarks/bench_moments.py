"""Adaptive moments of 51 x 51 stamps: purepipe beside galsim.hsm, in one process.

Prints CPU microseconds per stamp, the ratio, and the largest differences of the two.
"""

from __future__ import annotations

import argparse

import galsim
import numpy as np
from rows import Row, add_json_option, cpu_of, duration, faster, take_turns, tiny, write_rows

from purepipe.psf.moments import adaptive_moments


def make_stamps(n: int, size: int, noise: float, seed: int) -> np.ndarray:
    """Discs of many sizes and shears behind a Moffat PSF, float32."""
    rng = np.random.default_rng(seed)
    stack = np.empty((n, size, size), np.float32)
    for stamp in stack:
        g1, g2 = rng.normal(0, 0.15, 2).clip(-0.5, 0.5)
        galaxy = galsim.Exponential(half_light_radius=rng.uniform(0.1, 0.8), flux=1000)
        psf = galsim.Moffat(beta=3.5, fwhm=0.7)
        image = galsim.Convolve(galaxy.shear(g1=g1, g2=g2), psf).drawImage(
            nx=size, ny=size, scale=0.187, dtype=np.float64
        )
        stamp[:] = image.array + noise * rng.normal(size=image.array.shape)
    return stack


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=500, help="number of stamps")
    parser.add_argument("--size", type=int, default=51, help="pixels on a side")
    parser.add_argument("--noise", type=float, default=0.5, help="noise per pixel; flux is 1000")
    parser.add_argument("--repeat", type=int, default=5, help="runs, in turn; the median counts")
    add_json_option(parser)
    args = parser.parse_args()
    stack = make_stamps(args.n, args.size, args.noise, seed=1)
    images = [galsim.Image(stamp, xmin=0, ymin=0) for stamp in stack]
    jobs = {
        "ours": lambda: adaptive_moments(stack),
        "theirs": lambda: [image.FindAdaptiveMom(strict=False) for image in images],
    }
    spent = take_turns(jobs, args.repeat)
    ours, theirs = adaptive_moments(stack), jobs["theirs"]()
    ok = np.array([shape.error_message == "" for shape in theirs])
    g1 = np.array([shape.observed_shape.g1 for shape in theirs])
    sigma = np.array([shape.moments_sigma for shape in theirs])
    both = ok & (ours.flags == 0)
    shape = float(np.abs(ours.g1 - g1)[both].max())
    size = float(np.abs(ours.sigma / sigma - 1)[both].max())
    row = Row(
        f"adaptive moments, {args.size} x {args.size}", f"galsim.hsm {galsim.__version__}",
        f"g to {tiny(shape)}, size to {tiny(size)}", {"g": shape, "size": size},
        cpu_of(spent["ours"], args.n), cpu_of(spent["theirs"], args.n), "stamp",
    )  # fmt: skip
    print(f"purepipe {duration(np.median(row.seconds))} per stamp")
    print(f"galsim   {duration(np.median(row.rival_seconds))} per stamp: "
          f"{faster(row)[0]:.1f} x slower")  # fmt: skip
    print(f"same verdict on {np.mean(ok == (ours.flags == 0)):.4f} of {args.n} stamps")
    print(f"largest difference of g1 {shape:.1e}")
    print(f"largest difference of sigma {size:.1e} (relative)")
    write_rows(args.json, [row])


if __name__ == "__main__":
    main()
