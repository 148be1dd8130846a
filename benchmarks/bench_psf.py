"""The PSF fit beside psfex: same catalogue file in, same .psf file out, one core each.

Prints, for each number of stars, the CPU seconds of psfex with PSFVAR_NSNAP 1 (the fit and hardly
any diagnostics) and 9 (its default), those of purepipe (reading the catalogue, fitting, writing
the model; compiled code warm), the ratios, and the largest difference of the models in units of
the peak. Then the time to draw and to measure the PSF at many positions.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "reference" / "psf"))

from make_reference import SHAPEPIPE, star_catalogue, write_ldac

from purepipe.io.ldac import read_ldac
from purepipe.io.psf_file import read_psf, write_psf
from purepipe.psf import adaptive_moments, fit_psf, psf_at

QUIET = {
    "CHECKIMAGE_TYPE": "NONE", "CHECKPLOT_TYPE": "NONE", "OUTCAT_TYPE": "FITS_LDAC",
    "OUTCAT_NAME": "out.cat", "WRITE_XML": "N", "VERBOSE_TYPE": "QUIET", "NTHREADS": "1",
}  # fmt: skip


def child_seconds():
    """CPU time of finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_psfex(folder, snapshots):
    """CPU seconds of psfex on ``stars.cat``."""
    (folder / "empty.psfex").write_text("# built-in defaults\n")
    command = ["psfex", "stars.cat", "-c", "empty.psfex"]
    for key, value in (SHAPEPIPE | QUIET | {"PSFVAR_NSNAP": str(snapshots)}).items():
        command += [f"-{key}", value]
    start = child_seconds()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return child_seconds() - start


def run_purepipe(folder):
    """CPU seconds of the same work here."""
    start = time.process_time()
    model = fit_psf(read_ldac(folder / "stars.cat"))
    write_psf(folder / "purepipe.psf", model)
    return time.process_time() - start, model


def compare(folder, stars, seed, repeat, with_psfex):
    """One line of the table."""
    write_ldac([star_catalogue(stars, seed)], folder / "stars.cat")
    run_purepipe(folder)
    runs = [run_purepipe(folder) for _ in range(repeat)]
    own = min(seconds for seconds, _ in runs)
    model = runs[0][1]
    line = f"{stars:6d} {model.loaded:7d} {model.accepted:9d} {own:10.3f}"
    if with_psfex:
        full, short = run_psfex(folder, 9), run_psfex(folder, 1)
        other = read_psf(folder / "stars.psf")
        difference = np.abs(model.mask - other.mask).max() / other.mask[0].max()
        same = (model.loaded, model.accepted) == (other.loaded, other.accepted)
        line += f" {short:8.2f} {full:8.2f} {short / own:8.0f} {full / own:8.0f}"
        line += f" {difference:10.1e} {'same' if same else 'DIFFERENT'}"
    print(line, flush=True)
    return model


def time_drawing(model, count):
    """Microseconds per object of the evaluation at objects."""
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, 2048, count), rng.uniform(0, 4612, count)
    model.draw(x[:2], y[:2])
    psf_at(model, x[:2], y[:2])
    start = time.process_time()
    images = model.draw(x, y)
    drawn = time.process_time()
    adaptive_moments(images)
    measured = time.process_time()
    psf_at(model, x, y)
    end = time.process_time()
    steps = (drawn - start, measured - drawn, end - measured)
    draw, moments, everything = (1e6 * seconds / count for seconds in steps)
    print(
        f"per object: draw {draw:.1f} us, adaptive moments {moments:.1f} us,"
        f" psf_at in all {everything:.1f} us ({count} objects)"
    )


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stars", type=int, nargs="+", default=[20, 60, 240], help="rows")
    parser.add_argument("--seed", type=int, default=1, help="of the simulated catalogue")
    parser.add_argument("--repeat", type=int, default=3, help="runs of purepipe, the best counts")
    parser.add_argument("--objects", type=int, default=5000, help="positions to draw the PSF at")
    parser.add_argument("--no-psfex", action="store_true", help="time purepipe alone")
    options = parser.parse_args()
    with_psfex = not options.no_psfex and shutil.which("psfex") is not None
    if not with_psfex:
        print("psfex is not run")
    print(
        "  rows  loaded  accepted   purepipe  psfex-1  psfex-9  ratio-1  ratio-9 difference stars"
    )
    with threadpool_limits(1), tempfile.TemporaryDirectory() as name:
        for stars in options.stars:
            model = compare(Path(name), stars, options.seed, options.repeat, with_psfex)
    time_drawing(model, options.objects)


if __name__ == "__main__":
    main()
