"""Shape measurement: time per galaxy beside GalSim and ngmix, accuracy, and shear bias.

Times are processor seconds of one thread, best of `--repeat`. The galaxies are those of the shear
test: three epochs, 51 x 51 pixels, five metacalibration types. The GalSim column makes the five
images of every epoch by deconvolution, shear and reconvolution, as metacalibration codes do, and
does not fit them; ngmix is timed when it is importable. The bias follows the protocol of
`purepipe.shapes.selftest_shear`.

    python bench_shapes.py                      # times and accuracy
    python bench_shapes.py --memory 100000      # also the memory of so many objects
    python bench_shapes.py --pairs 20000        # also m and c at S/N 30 and 15
    python bench_shapes.py --calibration --shear-grid --galaxies 1000 --pairs 100000
"""

import argparse
import math
import os
import resource
import time
from pathlib import Path

import numpy as np
from astropy.table import Table
from rows import Row, add_json_option, cpu_of, take_turns, tiny, write_rows

from purepipe.config import ShapeConfig
from purepipe.shapes import (
    cell_transfer,
    draw_library,
    measure_shapes,
    metacal_fit,
    metadetect,
    selftest_shear,
)
from purepipe.shapes.library import PIXEL_SCALE, survey_jacobians
from purepipe.survey.stamps import EpochStamps

REFERENCE = Path(__file__).parents[1] / "tests" / "reference" / "shapes" / "ngmix_converged.npz"
SHEARS = ((0.0, 0.0), (0.01, 0.0), (-0.01, 0.0), (0.0, 0.01), (0.0, -0.01))


def best(function, repeat):
    """Least processor time of several runs, seconds; the first, uncounted one compiles."""
    function()
    times = []
    for _ in range(repeat):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def noisy_stamps(library, count, snr, seed=1):
    """Galaxies of the library, again and again, with fresh noise."""
    clean = library.images[:, 0, 0][np.arange(count) % len(library.images)]
    sigma = np.sqrt((clean.astype(float) ** 2).sum(axis=(1, 2, 3))) / snr
    noise = np.random.default_rng(seed).standard_normal(clean.shape, dtype=np.float32)
    images = clean + noise * sigma[:, None, None, None].astype(np.float32)
    psfs = np.ascontiguousarray(np.broadcast_to(library.psfs[0, 0], images.shape))
    frames = library.jacobians[0, 0]
    jacobians = np.ascontiguousarray(np.broadcast_to(frames, (count, 3, 2, 2)))
    return images, psfs, jacobians, np.repeat(sigma[:, None], 3, axis=1)


def as_epochs(images, psfs, jacobians):
    """The stamps as the step before delivers them, and the objects they belong to."""
    number, epochs, side = images.shape[:3]
    pairs = number * epochs
    shape = (pairs, side, side)
    stamps = EpochStamps(
        row=np.repeat(np.arange(number), epochs),
        exposure=np.tile(np.array([f"{2100001 + e}" for e in range(epochs)]), number),
        ccd=np.zeros(pairs, np.int32),
        x=np.full(pairs, 100.25),
        y=np.full(pairs, 200.0),
        flags=np.zeros(pairs, np.int32),
        jacobian=jacobians.reshape(-1, 2, 2),
        flux_scale=np.full(pairs, 1.02),
        images=images.reshape(shape),
        weights=np.ones(shape, np.float32),
        masks=np.zeros(shape, np.int32),
        psfs=psfs.reshape(shape),
        psf_sigma=np.full(pairs, 1.7),
    )
    place = np.arange(number) * 1e-4
    objects = Table({"NUMBER": np.arange(number), "X_WORLD": 150 + place, "Y_WORLD": 2 + place})
    return objects, stamps


def galsim_images(image, psf, jac, sigma):
    """The five images of one epoch by GalSim."""
    import galsim

    wcs = galsim.JacobianWCS(*jac.ravel())
    profile = galsim.InterpolatedImage(galsim.Image(image, wcs=wcs), x_interpolant="lanczos15")
    psf_profile = galsim.InterpolatedImage(galsim.Image(psf, wcs=wcs), x_interpolant="lanczos15")
    deconvolved = galsim.Convolve(profile, galsim.Deconvolve(psf_profile))
    target = galsim.Gaussian(sigma=sigma, flux=float(psf.sum()))
    side = len(image)
    return [
        galsim.Convolve(deconvolved.shear(g1=g1, g2=g2), target)
        .drawImage(nx=side, ny=side, wcs=wcs, method="no_pixel")
        .array
        for g1, g2 in SHEARS
    ]


def ngmix_time(images, psfs, jacobians, sigmas):
    """Processor seconds per galaxy of ngmix's metacalibration and Gaussian fits, or None."""
    try:
        import ngmix
    except ImportError:
        return None
    rng = np.random.default_rng(3)
    prior = ngmix.joint_prior.PriorSimpleSep(
        ngmix.priors.CenPrior(0.0, 0.0, 0.187, 0.187, rng=rng),
        ngmix.priors.GPriorBA(0.4, rng=rng),
        ngmix.priors.FlatPrior(-10.0, 1e6, rng=rng),
        ngmix.priors.FlatPrior(-1e4, 1e9, rng=rng),
    )
    guesser = ngmix.guessers.TPSFFluxAndPriorGuesser(rng=rng, T=0.4, prior=prior)
    runner = ngmix.runners.Runner(ngmix.fitting.Fitter("gauss", prior=prior), guesser, ntry=5)
    psf_guesser = ngmix.guessers.SimplePSFGuesser(rng=rng)
    psf_runner = ngmix.runners.PSFRunner(ngmix.fitting.Fitter("gauss"), psf_guesser, ntry=5)
    boot = ngmix.metacal.MetacalBootstrapper(runner, psf_runner, rng=rng, psf="azgauss")
    start = time.process_time()
    for obj in range(len(images)):
        observations = ngmix.ObsList()
        for image, psf, jac, sigma in zip(
            images[obj], psfs[obj], jacobians[obj], sigmas[obj], strict=True
        ):
            centre = (len(image) - 1) / 2
            frame = ngmix.Jacobian(
                row=centre, col=centre, dudcol=jac[0, 0], dudrow=jac[0, 1], dvdcol=jac[1, 0],
                dvdrow=jac[1, 1],
            )  # fmt: skip
            weight = np.full(image.shape, sigma**-2)
            psf_obs = ngmix.Observation(psf.astype(float), jacobian=frame)
            observations.append(
                ngmix.Observation(image.astype(float), weight, jacobian=frame, psf=psf_obs)
            )
        boot.go(observations)
    return (time.process_time() - start) / len(images)


def print_times(library, count, repeat):
    """Table of the times."""
    images, psfs, jacobians, sigmas = noisy_stamps(library, count, 30.0)
    print(f"\nprocessor time per galaxy, {count} galaxies, 3 epochs of 51 x 51, five types")
    every = [{"noise": noise} for noise in ("none", "double", "min", "rot90")]
    every += [{"responses": "implicit"}, *({"profile": name} for name in ("exp", "dev", "bdf"))]
    for choice in every:

        def run(choice=choice):
            metacal_fit(images, psfs, jacobians, sigmas, seed=1, **choice)

        ((name, value),) = choice.items()
        print(f"  metacal_fit, {name + ' ' + value:18}{best(run, repeat) / count * 1e3:8.3f} ms")
    objects, stamps = as_epochs(images, psfs, jacobians)

    def step():
        measure_shapes(objects, stamps, ShapeConfig(), seed=1)

    print(f"  measure_shapes (whole step)    {best(step, repeat) / count * 1e3:8.3f} ms")
    few = min(count, 5)

    def by_galsim():
        for obj in range(few):
            for epoch in range(3):
                galsim_images(images[obj, epoch], psfs[obj, epoch], jacobians[obj, epoch], 0.35)

    print(f"  GalSim, images only            {best(by_galsim, 1) / few * 1e3:8.3f} ms")
    seconds = ngmix_time(images[:few], psfs[:few], jacobians[:few], sigmas[:few])
    if seconds is None:
        print("  ngmix                          not installed")
    else:
        print(f"  ngmix, metacal and fits        {seconds * 1e3:8.3f} ms")


def print_threads(library, count, repeat):
    """Wall time of the step with two threads beside one, in turn; and what the threads leave over.

    On a busy machine only the second line says something: the share of the processor time that is
    spent outside the threads, and the ratio of wall times that follows for two free cores.
    """
    objects, stamps = as_epochs(*noisy_stamps(library, count, 30.0)[:3])
    measure_shapes(objects, stamps, ShapeConfig(), seed=1)
    walls, processor, alone = {1: [], 2: []}, {1: [], 2: []}, []
    for _ in range(repeat):
        for threads, seconds in walls.items():
            start = time.perf_counter(), time.process_time(), time.thread_time()
            measure_shapes(objects, stamps, ShapeConfig(), seed=1, threads=threads)
            seconds.append(time.perf_counter() - start[0])
            processor[threads].append(time.process_time() - start[1])
        alone.append(time.thread_time() - start[2])
    one, two, main_thread = min(processor[1]), min(processor[2]), min(alone)
    ratio = (main_thread + 0.5 * (two - main_thread)) / one
    print(f"\nwall time of two threads beside one: {min(walls[2]) / min(walls[1]):.2f}")
    print(f"  outside the threads {main_thread / one:.1%}: {ratio:.2f} on two free cores")


def print_memory(library, number, block=1000):
    """Resident memory while many objects are measured in blocks."""
    status = Path("/proc/self/statm")
    if not status.exists():
        print("\nmemory: only known on Linux")
        return
    objects, stamps = as_epochs(*noisy_stamps(library, block, 30.0)[:3])
    measure_shapes(objects, stamps, ShapeConfig(), seed=1)

    def resident():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20

    start = resident()
    print(f"\nmemory after 1 block of {block} objects: {start:.0f} MiB")
    largest = start
    for done in range(block, number, block):
        measure_shapes(objects, stamps, ShapeConfig(), seed=done)
        largest = max(largest, resident())
        if (done + block) % (number // 5) == 0:
            print(f"  after {done + block:7,} objects: {resident():.0f} MiB", flush=True)
    print(f"  largest: {largest:.0f} MiB, {largest - start:+.0f} MiB")


def step_rows(library, count, repeat):
    """Rows of the whole step: beside GalSim, and with one thread per core beside one thread."""
    import galsim

    stamps = noisy_stamps(library, count, 30.0)
    objects, epochs = as_epochs(*stamps[:3])
    cores, few = os.cpu_count() or 1, 2

    def step(threads):
        return measure_shapes(objects, epochs, ShapeConfig(), seed=1, threads=threads)

    def images():
        for obj in range(few):
            for image, psf, jac in zip(*(array[obj] for array in stamps[:3]), strict=True):
                galsim_images(image, psf, jac, 0.35)

    jobs = {"one": lambda: step(1), "all": lambda: step(cores), "galsim": images}
    spent = take_turns(jobs, repeat)
    what = "shapes, 3 epochs of 51 x 51, five types"
    one, other = (table.as_array().tobytes() for table in (step(1), step(cores)))
    same = "same bits" if one == other else "DIFFERENT"
    walls = {name: [seconds.wall / count for seconds in spent[name]] for name in ("one", "all")}
    return [
        Row(what, f"GalSim {galsim.__version__}, making the images alone", "",
            {}, cpu_of(spent["one"], count), cpu_of(spent["galsim"], few), "galaxy"),
        Row(what, "itself, one thread", same, {}, walls["all"], walls["one"], "galaxy",
            cores, "wall"),
    ]  # fmt: skip


def print_cells(library, repeat):
    """Time of metadetection on cells of random noise with faint sources."""
    rng = np.random.default_rng(2)
    print("\nprocessor time of metadetection, five types")
    for side in (288, 512):
        jac = library.jacobians[0, 0, 1]
        transfer = cell_transfer(library.psfs[0, 0, 1], jac, 1.0, (side, side))
        image = rng.standard_normal((side, side))
        for _ in range(side * side // 1500):
            x, y = rng.integers(10, side - 70, 2)
            image[y : y + 51, x : x + 51] += 150.0 * library.images[0, 0, 0, 1]

        def run(image=image, transfer=transfer):
            return metadetect(image, transfer, seed=1)

        number = len(run()[0])
        print(f"  cell of {side} x {side}: {best(run, repeat) * 1e3:7.2f} ms, {number} detections")


def print_accuracy(path):
    """Table of the differences from the stored fits."""
    reference = dict(np.load(path))
    plain = int(reference["n_plain"])
    cov = reference["cov"]
    errors = np.sqrt(np.einsum("otii->oti", cov) if cov.ndim == 4 else cov)
    print(f"\ndifference from converged ngmix fits ({path.name})")
    print("  noise  objects  parameters/error: rms, max      R: rms, max")
    found = []
    for noise, rows in (("none", slice(0, plain)), ("rot90", slice(plain, None))):
        given = {name: reference[name][rows] for name in ("images", "psfs", "jacobians")}
        stamps = reference["noise"]
        if noise == "rot90":
            given["noise_images"] = stamps[rows] if len(stamps) > plain else stamps
        result = metacal_fit(
            **given, sigmas=reference["sigma"][rows, None], seed=1, noise=noise,
            sigma_target=reference["sigma_target"][rows], centre_prior=0.187,
        )  # fmt: skip
        difference = (result.pars - reference["pars"][rows]) / errors[rows]
        g = reference["pars"][rows][:, :, 2:4]
        response = np.stack([g[:, 1] - g[:, 2], g[:, 3] - g[:, 4]], axis=-1) / 0.02
        change = result.response - response
        print(
            f"  {noise:6} {len(g):7}  {difference.std():19.1e}, {np.abs(difference).max():.1e}"
            f"  {change.std():11.1e}, {np.abs(change).max():.1e}"
        )
        worst, response = float(np.abs(difference).max()), float(np.abs(change).max())
        name = f"shapes of {len(g)} galaxies" + (", rotated noise" if noise == "rot90" else "")
        found.append(Row(
            name, "converged ngmix fits",
            f"parameters to {tiny(worst)} of their errors, responses to {tiny(response)}",
            {"parameters": worst, "response": response},
        ))  # fmt: skip
    return found


def bias_row(name, test):
    """One row of the table of biases."""
    m, m_err = test.m_by_component * 1e3, test.m_by_component_err * 1e3
    c, c_err = test.c * 1e4, test.c_err * 1e4
    values = [f"{m[i]:+.2f} ± {m_err[i]:.2f}" for i in range(2)]
    values += [f"{test.m * 1e3:+.2f} ± {test.m_err * 1e3:.2f}"]
    values += [f"{c[i]:+.2f} ± {c_err[i]:.2f}" for i in range(2)]
    snr = "none" if math.isinf(test.snr) else f"{test.snr:g}"
    numbers = [f"{test.pairs:,}", *values, f"{test.response:.3f}", str(test.failures)]
    return f"| {name} | {snr} | " + " | ".join(numbers) + " |"


HEAD = (
    "| case | S/N | pairs | m1 (1e-3) | m2 (1e-3) | m (1e-3) | c1 (1e-4) | c2 (1e-4) | R | failed |"
)


def print_bias(library, pairs, threads, noise, seed, snrs=(math.inf, 30.0, 15.0), name="standard"):
    """Prints rows of m and c; the same for the table of all benchmarks."""
    rows = []
    repeats = max(1, round(pairs / (4 * len(library))))
    for snr in snrs:
        test = selftest_shear(
            library=library, snr=snr, repeats=repeats, threads=threads, noise=noise, seed=seed
        )
        print(bias_row(name, test), flush=True)
        c = [f"{test.c[i] * 1e4:+.1f} ± {test.c_err[i] * 1e4:.1f}" for i in range(2)]
        case = "no noise" if math.isinf(snr) else f"S/N {snr:g}"
        rows.append(Row(
            f"shear, isolated galaxies, {case}, {test.pairs} pairs", "truth",
            f"m = ({test.m * 1e3:+.2f} ± {test.m_err * 1e3:.2f})e-3, c = ({', '.join(c)})e-4",
            {"m": float(test.m), "m_err": float(test.m_err)},
        ))  # fmt: skip
    return rows


def calibration_cases():
    """Name: (choices of the library, S/N and number of pairs in units of the argument)."""
    turned = [
        PIXEL_SCALE * np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
        for a in (math.pi / 2, 0.65, math.pi)
    ]
    flipped = [PIXEL_SCALE * np.diag(signs) for signs in ((-1.0, 1.0), (1.0, -1.0), (-1.0, 1.0))]
    coarse = [0.3 / PIXEL_SCALE * jac for jac in survey_jacobians(3)]
    usual, both = ((math.inf, 1), (30.0, 1)), ((30.0, 1), (15.0, 10))
    cases = {"standard": ({}, ((math.inf, 1), *both))}
    cases |= {
        f"seeing {fwhm}": ({"seeing": (fwhm,) * 3}, usual) for fwhm in (0.5, 0.6, 0.7, 0.8, 1)
    }
    cases |= {
        "seeing 0.5, 0.7, 1": ({"seeing": (0.5, 0.7, 1.0)}, usual),
        "turned by 90, 37, 180 degrees": ({"jacobians": turned}, usual),
        "mirrored": ({"jacobians": flipped}, usual),
        "0.3 arcsec pixels, seeing 0.6": ({"seeing": (0.6,) * 3, "jacobians": coarse}, usual),
        "PSF e 0.1": ({"psf_shape": (0.1, 0.0)}, usual),
        "PSF e 0.2": ({"psf_shape": (0.2, 0.0)}, usual),
        "r50 0.5 to 0.75 of the PSF": ({"radii": (0.21, 0.31)}, usual),
        "r50 0.25 to 0.5 of the PSF": ({"radii": (0.1, 0.21)}, usual),
        "faint": ({}, ((10.0, 2), (7.0, 2), (5.0, 2))),
    }
    return cases


def print_calibration(arguments):
    """The tables of docs/shapes.md: every case, or those named."""
    cases = calibration_cases()
    print(HEAD + "\n|" + "---|" * 10, flush=True)
    rows = []
    for name in arguments.calibration or cases:
        choices, runs = cases[name]
        library = draw_library(
            arguments.galaxies, seed=arguments.seed, gamma=arguments.gamma,
            shear_grid=arguments.shear_grid, **choices,
        )  # fmt: skip
        for snr, factor in runs:
            rows += print_bias(
                library, factor * arguments.pairs, arguments.threads, arguments.noise,
                arguments.seed, snrs=(snr,), name=name,
            )  # fmt: skip
    return rows


def main():
    """Read the arguments and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=200, help="galaxies that are timed")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the best counts")
    parser.add_argument("--reference", type=Path, default=REFERENCE, help="ngmix fits (.npz)")
    parser.add_argument("--pairs", type=int, default=0, help="pairs of the bias at each S/N")
    parser.add_argument("--galaxies", type=int, default=200, help="different galaxies")
    parser.add_argument("--gamma", type=float, default=0.01, help="shear of the bias")
    parser.add_argument("--threads", type=int, default=1, help="of the bias")
    parser.add_argument("--noise", default="min", help="noise mode of the bias")
    parser.add_argument("--seed", type=int, default=5, help="of galaxies and noise of the bias")
    parser.add_argument("--memory", type=int, default=0, help="objects whose memory is watched")
    parser.add_argument("--only-bias", action="store_true", help="neither times nor accuracy")
    parser.add_argument(
        "--calibration", nargs="*", metavar="CASE", choices=calibration_cases(),
        help="m and c of all cases, or of those named",
    )  # fmt: skip
    parser.add_argument(
        "--shear-grid", action="store_true", help="shear the pixels with the galaxies: less scatter"
    )
    parser.add_argument("--rows", action="store_true", help="only what run_all.py shows")
    add_json_option(parser)
    arguments = parser.parse_args()
    if arguments.calibration is not None:
        arguments.pairs = arguments.pairs or 100_000
        write_rows(arguments.json, print_calibration(arguments))
        return
    if arguments.rows:
        rows = step_rows(draw_library(100, turns=1), arguments.objects, arguments.repeat)
        write_rows(arguments.json, rows + print_accuracy(arguments.reference))
        return
    library = draw_library(
        arguments.galaxies, turns=2 if arguments.pairs else 1, gamma=arguments.gamma,
        shear_grid=arguments.shear_grid,
    )  # fmt: skip
    if not arguments.only_bias:
        print_times(library, arguments.objects, arguments.repeat)
        print_threads(library, max(arguments.objects, 600), arguments.repeat)
        print_cells(library, arguments.repeat)
        print_accuracy(arguments.reference)
    if arguments.memory:
        print_memory(library, arguments.memory)
    if arguments.pairs:
        print(f"\nshear bias, gamma = {arguments.gamma:g}\n" + HEAD)
        print_bias(library, arguments.pairs, arguments.threads, arguments.noise, arguments.seed)


if __name__ == "__main__":
    main()
