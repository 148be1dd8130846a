"""Star selection on simulated CCDs: purity and completeness beside ShapePipe's tutorial recipe.

Simulates one CCD per combination of seeing, star density, galaxy density and depth, detects with
SExtractor's binary, and prints for both selections: number of stars, purity (share of true
stars), completeness of the clean stars (S/N above 50, unsaturated, unflagged, and less than 3 %
of foreign light within two FWHM), and of all unsaturated stars with S/N above 50. Times conditions
on a table beside NumPy, too. With --psf, shows what crowded and deblended stars do to a PSF model.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from rows import Row, add_json_option, write_rows
from scipy.spatial import cKDTree

from purepipe.config.select import StarConfig
from purepipe.config.simulate import (
    CameraConfig,
    GalaxyConfig,
    SeeingConfig,
    SimulateConfig,
    StarFieldConfig,
)
from purepipe.config.survey import CCDConfig
from purepipe.detect import extract
from purepipe.errors import AlgorithmError
from purepipe.psf import adaptive_moments, fit_psf, psf_at
from purepipe.select.evaluate import select
from purepipe.select.mode import mode
from purepipe.select.stars import find_stars
from purepipe.simulate import TruePSF
from purepipe.simulate.sky import make_objects
from purepipe.simulate.survey import simulate_ccd

COLUMNS = (
    "X_IMAGE", "Y_IMAGE", "MAG_AUTO", "FLUX_AUTO", "FLUXERR_AUTO", "FLUX_RADIUS", "FWHM_IMAGE",
    "FLUX_MAX", "ELLIPTICITY", "FLAGS", "IMAFLAGS_ISO",
)  # fmt: skip
SATURATION = 60000.0
SKY = 600.0
# (median half-light radius at magnitude 23, its scatter in dex, brightest magnitude)
GALAXIES = {"normal": (0.4, 0.12, 19.0), "compact": (0.15, 0.2, 18.0)}


def simulate_catalogue(
    seeing: float, stars: float, galaxies: float, zero_point: float, *, kind: str, seed: int
) -> Table:
    """Detections of one CCD with the columns TRUE_STAR (1, 0; -1 nothing there) and FOREIGN."""
    config = field_config(seeing, stars, galaxies, zero_point, kind=kind, seed=seed)
    objects = make_objects(config, 0)
    exposure = simulate_ccd(config, 2100001, 0, objects=objects)
    flags = np.where(exposure.flags & ~512, exposure.flags, 0).astype(np.int32)
    with tempfile.TemporaryDirectory() as folder:
        table = detect(Path(folder), np.asarray(exposure.image), flags, zero_point)
    x, y = exposure.wcs.sky_to_pixel(objects["ra"], objects["dec"])
    return add_truth(table, objects, np.nan_to_num(np.column_stack([x, y]), nan=-1e6), seeing)


def field_config(
    seeing: float, stars: float, galaxies: float, zero_point: float, *, kind: str, seed: int
) -> SimulateConfig:
    """A survey of one CCD."""
    radius, scatter, brightest = GALAXIES[kind]
    return SimulateConfig(
        seed=seed, fields=1, exposures=1, ccds=1, dither=0, minimum_separation=0,
        galaxies=GalaxyConfig(
            density=galaxies, half_light_radius=radius, size_scatter=scatter,
            magnitudes=(brightest, 24.5),
        ),
        stars=StarFieldConfig(density=stars),
        seeing=SeeingConfig(fwhm=seeing, scatter=0),
        camera=CameraConfig(zero_point=zero_point, zero_point_scatter=0),
    )  # fmt: skip


def detect(folder: Path, image: np.ndarray, flags: np.ndarray, zero_point: float) -> Table:
    """Run SExtractor's binary."""
    fits.writeto(folder / "image.fits", image)
    fits.writeto(folder / "weight.fits", (flags == 0).astype(np.float32))
    fits.writeto(folder / "flag.fits", flags)
    (folder / "names.param").write_text("\n".join(COLUMNS))
    options = {
        "c": "/dev/null", "CATALOG_NAME": "cat.fits", "CATALOG_TYPE": "FITS_LDAC",
        "PARAMETERS_NAME": "names.param", "FILTER": "N", "DETECT_THRESH": 1.5,
        "ANALYSIS_THRESH": 1.5, "WEIGHT_TYPE": "MAP_WEIGHT", "WEIGHT_IMAGE": "weight.fits",
        "FLAG_IMAGE": "flag.fits", "SATUR_LEVEL": SATURATION, "GAIN": 1.6,
        "MAG_ZEROPOINT": zero_point, "VERBOSE_TYPE": "QUIET",
    }  # fmt: skip
    words = [word for key, value in options.items() for word in (f"-{key}", str(value))]
    subprocess.run(["source-extractor", "image.fits", *words], cwd=folder, check=True)
    table = Table.read(folder / "cat.fits", hdu=2)
    table.meta = {"SEXSATLV": SATURATION, "SEXBKGND": SKY}
    return table


def add_truth(table: Table, objects: np.ndarray, position: np.ndarray, seeing: float) -> Table:
    """Match by position and add what was drawn there."""
    tree = cKDTree(position)
    flux = 10 ** (-0.4 * objects["mag"])
    near = tree.query_ball_point(position, 2 * seeing / 0.187)
    foreign = np.array([flux[rows].sum() for rows in near]) / flux - 1
    found = np.column_stack([table["X_IMAGE"] - 1, table["Y_IMAGE"] - 1])
    distance, row = tree.query(found, distance_upper_bound=3)
    matched = np.isfinite(distance)
    row = np.where(matched, row, 0)
    star = (objects["type"] == "star")[row].astype(np.int16)
    table["TRUE_STAR"] = np.where(matched, star, -1).astype(np.int16)
    table["FOREIGN"] = np.where(matched, foreign[row], np.inf).astype(np.float32)
    return table


def tutorial_selection(table: Table) -> np.ndarray:
    """The stars of ShapePipe's star_selection.setools."""
    good = (table["FLAGS"] == 0) & (table["IMAFLAGS_ISO"] == 0)
    fwhm, mag = np.asarray(table["FWHM_IMAGE"]), np.asarray(table["MAG_AUTO"])
    preselect = good & (mag > 0) & (mag < 20) & (fwhm > 0.3 / 0.186) & (fwhm < 1.5 / 0.186)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        centre = mode(fwhm[preselect])
    return np.asarray(good & (mag > 17) & (mag < 21.5) & (np.abs(fwhm - centre) <= 0.2))


def true_samples(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the clean true stars, and of all unsaturated ones, with S/N above 50."""
    bright = np.asarray(table["FLUX_AUTO"] > 50 * table["FLUXERR_AUTO"])
    peak = np.asarray(table["FLUX_MAX"]) + SKY
    unsaturated = (peak <= 0.9 * SATURATION) & (np.asarray(table["FLAGS"]) & 4 == 0)
    everything = (np.asarray(table["TRUE_STAR"]) == 1) & bright & unsaturated
    unflagged = (np.asarray(table["FLAGS"]) == 0) & (np.asarray(table["IMAFLAGS_ISO"]) == 0)
    return everything & unflagged & (np.asarray(table["FOREIGN"]) < 0.03), everything


def score(table: Table, chosen: np.ndarray) -> tuple[int, float, float, float]:
    """Number, purity, completeness of the clean and of all true stars."""
    clean, everything = true_samples(table)
    star = np.asarray(table["TRUE_STAR"]) == 1
    return (
        int(chosen.sum()),
        float(star[chosen].mean()) if chosen.any() else float("nan"),
        float(chosen[clean].mean()) if clean.any() else float("nan"),
        float(chosen[everything].mean()) if everything.any() else float("nan"),
    )


EXPRESSIONS = {
    "FWHM_IMAGE < 4 and FLAGS == 0 and MAG_AUTO > 18": lambda t: (
        (t["FWHM_IMAGE"] < 4) & (t["FLAGS"] == 0) & (t["MAG_AUTO"] > 18)
    ),
    "FWHM_IMAGE * 0.186 + 2 * MAG_AUTO / 3 - 1 > 12": lambda t: (
        t["FWHM_IMAGE"] * 0.186 + 2 * t["MAG_AUTO"] / 3 - 1 > 12
    ),
    "log10(FLUX_AUTO) > mean(log10(FLUX_AUTO)) + std(MAG_AUTO)": lambda t: (
        np.log10(t["FLUX_AUTO"]) > np.mean(np.log10(t["FLUX_AUTO"])) + np.std(t["MAG_AUTO"])
    ),
}


def time_expressions(rows: int = 100_000, repeat: int = 30) -> None:
    """Print how long conditions take beside the same written in NumPy."""
    rng = np.random.default_rng(0)
    columns = {
        "FWHM_IMAGE": rng.uniform(2, 8, rows).astype(np.float32),
        "MAG_AUTO": rng.uniform(15, 25, rows).astype(np.float32),
        "FLUX_AUTO": rng.lognormal(3, 2, rows).astype(np.float32),
        "FLAGS": rng.integers(0, 4, rows).astype(np.int16),
    }
    table = Table(columns)
    print(f"conditions on {rows} rows: ms, ms in NumPy, ratio")
    for text, plain in EXPRESSIONS.items():
        np.testing.assert_array_equal(select(table, text), plain(columns))
        times = np.full((2, repeat), np.inf)
        for k in range(repeat):
            start = time.perf_counter()
            select(table, text)
            middle = time.perf_counter()
            plain(columns)
            times[:, k] = middle - start, time.perf_counter() - middle
        ours, numpy = times.min(axis=1) * 1e3
        print(f"{text:60s}{ours:7.3f}{numpy:7.3f}{ours / numpy:6.2f}")


PSF_FIELDS = ((1.0, 6), (0.7, 6), (0.7, 30), (0.7, 100), (1.3, 30), (1.3, 100))


def compare_psfs(ccds: int, positions: int = 60) -> None:
    """Print the errors of PSF models of the stars without and with crowded and deblended ones."""
    logging.disable(logging.WARNING)
    steps, limits = CCDConfig(), (0.0, StarConfig().neighbour_light)
    print("seeing stars/arcmin2 | n, rms error of e, mean and rms of T (0.001):", *limits)
    total = np.zeros((2, 2))
    for seeing, stars in PSF_FIELDS:
        found = np.zeros((2, 4))
        for seed in range(1, ccds + 1):
            config = field_config(seeing, stars, 20, 31.5, kind="normal", seed=seed)
            exposure = simulate_ccd(config, 2100001, 0, objects=make_objects(config, 0))
            table = extract(exposure, steps.detect).table
            table.meta |= {"SEXSATLV": SATURATION, "SEXBKGND": SKY}
            rng = np.random.default_rng(seed)
            x, y = rng.uniform(50, np.array(exposure.shape[::-1]) - 50, (positions, 2)).T
            true = TruePSF.from_config(config)
            pairs = zip(x, y, strict=True)
            truth = adaptive_moments(np.array([true.draw(2100001, 0, *pair) for pair in pairs]))
            for row, limit in enumerate(limits):
                chosen = find_stars(table, StarConfig(neighbour_light=limit)).fit
                psf = psf_at(fit_psf(table[chosen], steps.psf), x, y)
                shape = np.hypot(psf.e1 - truth.g1, psf.e2 - truth.g2) / np.sqrt(2)
                size = (psf.sigma / truth.sigma) ** 2 - 1
                found[row] += chosen.sum(), np.mean(shape**2), size.mean(), np.mean(size**2)
        found /= ccds
        total += found[:, [1, 3]] / len(PSF_FIELDS)
        cells = [f"{n:5.0f} {1e3 * e2**0.5:6.2f} {1e3 * mean:7.2f} {1e3 * t2**0.5:6.2f}"
                 for n, e2, mean, t2 in found]  # fmt: skip
        print(f"{seeing:6.1f} {stars:13g} | " + " | ".join(cells), flush=True)
    print("all: rms error of e, rms of T:", *(1e3 * np.sqrt(total)).round(2).tolist())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeing", type=float, nargs="+", default=[0.4, 0.7, 1.0, 1.3])
    parser.add_argument("--stars", type=float, nargs="+", default=[1, 6, 30, 100],
                        help="per square arcminute, magnitudes 17 to 21.5")  # fmt: skip
    parser.add_argument("--galaxies", type=float, nargs="+", default=[20, 50])
    parser.add_argument("--zero-points", type=float, nargs="+", default=[31.5, 30.3])
    parser.add_argument("--kind", choices=sorted(GALAXIES), default="normal")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--method", choices=("locus", "mixture"), default="locus")
    parser.add_argument("--neighbour-light", type=float, default=StarConfig().neighbour_light,
                        help="0: no star that FLAGS call crowded or deblended")  # fmt: skip
    parser.add_argument("--expressions", action="store_true", help="time expressions only")
    add_json_option(parser)
    parser.add_argument("--psf", type=int, metavar="CCDS", default=0,
                        help="compare PSF models instead, with so many CCDs per field")  # fmt: skip
    args = parser.parse_args()
    if args.psf:
        compare_psfs(args.psf)
        return
    time_expressions()
    if args.expressions:
        return
    print(
        "seeing stars  gal   zp |    n purity  clean    all   ms | tutorial: n purity  clean    all"
    )
    totals, spent = {seeing: np.zeros((2, 6)) for seeing in args.seeing}, []
    grid = itertools.product(args.seeing, args.stars, args.galaxies, args.zero_points)
    for k, (seeing, stars, galaxies, zero_point) in enumerate(grid):
        table = simulate_catalogue(
            seeing, stars, galaxies, zero_point, kind=args.kind, seed=args.seed + k
        )
        start = time.process_time()
        try:
            config = StarConfig(method=args.method, neighbour_light=args.neighbour_light)
            chosen = find_stars(table, config).stars
        except AlgorithmError:
            chosen = np.zeros(len(table), dtype=bool)
        seconds = time.process_time() - start
        spent.append(seconds)
        cells = []
        for row, selected in enumerate((chosen, tutorial_selection(table))):
            n, purity, clean, everything = score(table, selected)
            totals[seeing][row] += (n, np.nan_to_num(purity) * n, *(
                count for sample in true_samples(table)
                for count in (sample.sum(), selected[sample].sum())
            ))  # fmt: skip
            cells.append(f"{n:4d} {purity:6.3f} {clean:6.3f} {everything:6.3f}")
        print(f"{seeing:6.1f} {stars:5g} {galaxies:4g} {zero_point:4.1f} | {cells[0]} "
              f"{seconds * 1e3:4.0f} |     {cells[1]}", flush=True)  # fmt: skip
    shares = {}
    for seeing, total in totals.items():
        cells = [f"{n:4.0f} {pure / n:6.4f} {found / clean:6.4f} {found_all / every:6.4f}"
                 for n, pure, clean, found, every, found_all in total]  # fmt: skip
        print(f"{seeing:6.1f} all           | {cells[0]}      |     {cells[1]}")
    everywhere = sum(totals.values())
    for name, (n, pure, clean, found, every, found_all) in zip(
        ("purepipe", "tutorial"), everywhere, strict=True
    ):
        shares[name] = pure / n, found / clean
        print(f"{name}: purity {pure / n:.4f} of {n:.0f}, completeness {found / clean:.4f} of clean"
              f" stars, {found_all / every:.4f} of all")  # fmt: skip
    (purity, complete), (other_purity, other_complete) = shares["purepipe"], shares["tutorial"]
    agreement = f"purity {purity:.3f}, completeness of clean stars {complete:.2f}"
    agreement += f" (ShapePipe's recipe: {other_purity:.3f}, {other_complete:.2f})"
    figures = {"purity": purity, "completeness": complete, "recipe_purity": other_purity,
               "recipe_completeness": other_complete}  # fmt: skip
    name = f"star selection, {len(spent)} simulated CCDs"
    write_rows(args.json, [Row(name, "truth", agreement, figures, spent[1:], item="CCD")])


if __name__ == "__main__":
    main()
