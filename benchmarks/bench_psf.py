"""The PSF fit beside psfex: same catalogue file in, same .psf file out, one core each.

Prints, for each number of stars, the CPU seconds of psfex with PSFVAR_NSNAP 1 (the fit and hardly
any diagnostics) and 9 (its default), those of purepipe (reading the catalogue, fitting, writing
the model; compiled code warm), the ratios, and the largest difference of the models in units of
the peak: medians of runs that take turns. Then the time to draw and to measure the PSF at many
positions.
"""

import argparse
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
from rows import Row, add_json_option, cpu_of, program_version, take_turns, tiny, write_rows

from purepipe.io.ldac import read_ldac
from purepipe.io.psf_file import read_psf, write_psf
from purepipe.psf import adaptive_moments, fit_psf, psf_at

QUIET = {
    "CHECKIMAGE_TYPE": "NONE", "CHECKPLOT_TYPE": "NONE", "OUTCAT_TYPE": "FITS_LDAC",
    "OUTCAT_NAME": "out.cat", "WRITE_XML": "N", "VERBOSE_TYPE": "QUIET", "NTHREADS": "1",
}  # fmt: skip


def run_psfex(folder, snapshots):
    """Run psfex on ``stars.cat``."""
    (folder / "empty.psfex").write_text("# built-in defaults\n")
    command = ["psfex", "stars.cat", "-c", "empty.psfex"]
    for key, value in (SHAPEPIPE | QUIET | {"PSFVAR_NSNAP": str(snapshots)}).items():
        command += [f"-{key}", value]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def run_purepipe(folder):
    """Do the same work here."""
    write_psf(folder / "purepipe.psf", fit_psf(read_ldac(folder / "stars.cat")))


def compare(folder, stars, seed, repeat, with_psfex):
    """The model of one catalogue, and the rows of the table of all benchmarks."""
    write_ldac([star_catalogue(stars, seed)], folder / "stars.cat")
    jobs = {"purepipe": lambda: run_purepipe(folder)}
    if with_psfex:
        jobs |= {"psfex-9": lambda: run_psfex(folder, 9), "psfex-1": lambda: run_psfex(folder, 1)}
    turns = take_turns(jobs, repeat, warm=["purepipe"])
    spent = {name: cpu_of(runs) for name, runs in turns.items()}
    model, own = read_psf(folder / "purepipe.psf"), np.median(spent["purepipe"])
    line = f"{stars:6d} {model.loaded:7d} {model.accepted:9d} {own:10.3f}"
    rows = []
    if with_psfex:
        other = read_psf(folder / "stars.psf")
        difference = np.abs(model.mask - other.mask).max() / other.mask[0].max()
        same = (model.loaded, model.accepted) == (other.loaded, other.accepted)
        short, full = np.median(spent["psfex-1"]), np.median(spent["psfex-9"])
        line += f" {short:8.2f} {full:8.2f} {short / own:8.0f} {full / own:8.0f}"
        line += f" {difference:10.1e} {'same' if same else 'DIFFERENT'}"
        agreement = f"model to {tiny(difference)} of the peak"
        agreement += ", same stars" if same else ", DIFFERENT stars"
        figures = {"difference": float(difference), "same_stars": float(same)}
        version = program_version("psfex")
        for name, what in (("psfex-1", ", hardly any diagnostics"), ("psfex-9", "")):
            rows.append(Row(f"PSF of {stars} rows, files included", f"PSFEx {version}{what}",
                            agreement, figures, spent["purepipe"], spent[name]))  # fmt: skip
    print(line, flush=True)
    return model, rows


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
    parser.add_argument("--repeat", type=int, default=3, help="turns of all programs")
    parser.add_argument("--objects", type=int, default=5000, help="positions to draw the PSF at")
    parser.add_argument("--no-psfex", action="store_true", help="time purepipe alone")
    add_json_option(parser)
    options = parser.parse_args()
    with_psfex = not options.no_psfex and shutil.which("psfex") is not None
    if not with_psfex:
        print("psfex is not run")
    print(
        "  rows  loaded  accepted   purepipe  psfex-1  psfex-9  ratio-1  ratio-9 difference stars"
    )
    rows = []
    with threadpool_limits(1), tempfile.TemporaryDirectory() as name:
        for stars in options.stars:
            model, more = compare(Path(name), stars, options.seed, options.repeat, with_psfex)
            rows += more
    time_drawing(model, options.objects)
    write_rows(options.json, rows)


if __name__ == "__main__":
    main()
