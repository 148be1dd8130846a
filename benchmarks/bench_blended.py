"""Shear bias among blended galaxies: metadetection beside metacalibration of detections.

Simulated cells of 288 x 288 pixels; a pair of cells of opposite shear takes about 0.05 s at 80
galaxies per arcmin^2 (0.1 s with --stamps or three epochs).

    python bench_blended.py --pairs 10000 --density 80 --stamps
    python bench_blended.py --pairs 15000 --density 20
    python bench_blended.py --pairs 10000 --density 80 --epochs 3 --stars 1 --masked 0.005

A long run prints the table every so many pairs, and goes on from its file of sums:

    python bench_blended.py --pairs 15000 --epochs 3 --stars 1 --masked 0.005 --sums sums.npz
"""

import argparse
import time
from pathlib import Path

import numpy as np
from rows import Row, add_json_option, write_rows

from purepipe.shapes.blended import FieldOptions, bias_of_sums, blended_sums

# The estimators in the table of all benchmarks.
ROWS = ("metadetection", "metacalibration of detections")


def main():
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=200, help="pairs of cells")
    parser.add_argument("--density", type=float, default=80.0, help="galaxies per arcmin^2")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of different PSFs")
    parser.add_argument("--stars", type=float, default=0.0, help="saturated stars per cell")
    parser.add_argument("--masked", type=float, default=0.0, help="fraction of bad pixels")
    parser.add_argument("--stamps", action="store_true", help="also fit stamps about detections")
    parser.add_argument("--seed", type=int, default=1, help="of scenes and noise")
    parser.add_argument("--every", type=int, default=1000, help="pairs from table to table")
    parser.add_argument("--sums", type=Path, default=None, help="file to go on from (.npz)")
    add_json_option(parser)
    arguments = parser.parse_args()
    options = FieldOptions(
        arguments.density, arguments.epochs, arguments.stars, arguments.masked
    )  # fmt: skip
    tests = {}
    start = time.process_time()
    for pairs, sums in growing_sums(options, arguments):
        seconds = time.process_time() - start
        tests = {name: bias_of_sums(of_estimator) for name, of_estimator in sums.items()}
        print(f"{options}, {pairs} pairs, {seconds:.0f} s")
        print_table(tests)
    wanted = [(name, tests[name]) for name in ROWS if name in tests]
    case = f"blended galaxies, {arguments.density:g} per arcmin^2, {arguments.pairs} pairs"
    rows = [
        Row(
            f"{name}, {case}", "truth",
            f"m = ({test.m * 1e3:+.1f} ± {test.m_err * 1e3:.1f})e-3",
            {"m": float(test.m), "m_err": float(test.m_err)},
        )
        for name, test in wanted
    ]  # fmt: skip
    write_rows(arguments.json, rows)


def growing_sums(options, arguments):
    """The sums of ever more pairs: (pairs, sums by estimator), which the file keeps."""
    sums, done = {}, 0
    if arguments.sums is not None and arguments.sums.exists():
        with np.load(arguments.sums) as stored:
            sums = {name: stored[name] for name in stored.files}
        done = min(map(len, sums.values()))
        yield done, sums
    while done < arguments.pairs:
        number = min(arguments.every, arguments.pairs - done)
        more = blended_sums(
            number, options, seed=arguments.seed, stamps=arguments.stamps, first=done
        )  # fmt: skip
        sums = {name: np.concatenate([sums.get(name, part[:0]), part])
                for name, part in more.items()}  # fmt: skip
        done += number
        if arguments.sums is not None:
            np.savez(arguments.sums, **sums)
        yield done, sums


def print_table(tests):
    """One line for each estimator."""
    print("| estimator | m (1e-3) | m1 | m2 | c1 (1e-3) | c2 (1e-3) | R |\n|" + "---|" * 7)
    for name, test in tests.items():
        m = [f"{v * 1e3:+.2f} ± {e * 1e3:.2f}" for v, e in (
            (test.m, test.m_err),
            *zip(test.m_by_component, test.m_by_component_err, strict=True),
        )]  # fmt: skip
        c = [f"{v * 1e3:+.2f} ± {e * 1e3:.2f}" for v, e in zip(test.c, test.c_err, strict=True)]
        print(f"| {name} | " + " | ".join((*m, *c)) + f" | {test.response:.3f} |")
    print(flush=True)


if __name__ == "__main__":
    main()
