"""The tile phase without detection, at full size: where the time, the memory and the bytes go.

Simulates a tile of 10,000 x 10,000 pixels seen by four exposures with every CCD that touches it
(about 6 GB of files), then finds the epochs, and runs the units of all blocks and of the catalogue
in one process, as a run does: stamps, PSF at every object, spread model, shapes, catalogue. Prints
processor seconds by part, peak memory, bytes read beside bytes needed, and how often each file of
a CCD was opened per block.

    python benchmarks/bench_epochs.py                       # 25,000 objects
    python benchmarks/bench_epochs.py --objects 5000 --side 4500 --exposures 3
    python benchmarks/bench_epochs.py --folder DIR --keep   # use the simulated files again
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from rows import Row, add_json_option, write_rows

from purepipe.catalogue import build_table
from purepipe.config import SurveyConfig
from purepipe.config.mask import MaskConfig
from purepipe.detect.background import Background
from purepipe.io import read_ldac, write_image, write_ldac
from purepipe.io.background import write_background
from purepipe.io.psf_file import write_psf
from purepipe.pipeline import make_plan, work
from purepipe.pipeline import objects as block
from purepipe.pipeline.units import WorkContext, object_units
from purepipe.pipeline.warm import warm_psf, warm_shapes
from purepipe.psf import PSFModel
from purepipe.survey import CCD, cut_stamps, epoch_tables, find_epochs
from purepipe.wcs import WCS

SCALE = 0.187 / 3600
CCD_SHAPE = (4644, 2112)
SIGMA_PSF = 1.65  # pixels
NOISE = 5.0
SIZE = 51
CENTRE = (150.0, 32.0)


def gaussians(x: Any, y: Any, flux: Any, sigma: Any, shear: Any, size: int) -> NDArray[np.float32]:
    """Elliptical Gaussians on stamps whose central pixel is the nearest one to each position."""
    grid = np.arange(size) - size // 2
    dx = grid[None, None, :] - (x - np.rint(x))[:, None, None]
    dy = grid[None, :, None] - (y - np.rint(y))[:, None, None]
    e = shear[:, None, None]
    radius2 = (dx * dx * (1 - e) ** 2 + dy * dy * (1 + e) ** 2) / (1 - e * e)
    height = flux / (2 * np.pi * sigma**2)
    profile = np.exp(-0.5 * radius2 / sigma[:, None, None] ** 2)
    return (height[:, None, None] * profile).astype(np.float32)


def add_objects(image: NDArray[np.float32], x: Any, y: Any, truth: dict[str, Any]) -> None:
    """Draw objects into an image, in place; those near the border are cut off."""
    size, radius = 31, 15
    for start in range(0, len(x), 2000):
        part = slice(start, start + 2000)
        shape = (truth["flux"][part], truth["sigma"][part], truth["shear"][part])
        stamps = gaussians(x[part], y[part], *shape, size)
        corners = zip(
            np.rint(x[part]).astype(int), np.rint(y[part]).astype(int), stamps, strict=True
        )
        for xc, yc, stamp in corners:
            x0, y0 = max(xc - radius, 0), max(yc - radius, 0)
            x1, y1 = min(xc + radius + 1, image.shape[1]), min(yc + radius + 1, image.shape[0])
            if x0 < x1 and y0 < y1:
                inner = stamp[y0 - yc + radius : y1 - yc + radius]
                image[y0:y1, x0:x1] += inner[:, x0 - xc + radius : x1 - xc + radius]


def tile_cards(side: int) -> fits.Header:
    """Header of the tile, without its HISTORY."""
    return fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": CENTRE[0], "CRVAL2": CENTRE[1],
        "CRPIX1": (side + 1) / 2, "CRPIX2": (side + 1) / 2,
        "CD1_1": -SCALE, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE,
    })  # fmt: skip


def camera(exposure: int, radius: float) -> list[fits.Header]:
    """The CCDs, of 40 in four rows, whose centre is within `radius` degrees of the tile's."""
    headers = []
    dither = np.random.default_rng(exposure).uniform(-0.03, 0.03, 2)
    for number in range(40):
        column, row = number % 10 - 4.5, number // 10 - 1.5
        cards = fits.Header({
            "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2,
            "A_2_0": 2e-8, "A_1_1": -1e-8, "B_0_2": 1e-8, "B_1_1": 2e-8,
            "CRVAL1": CENTRE[0] + dither[0], "CRVAL2": CENTRE[1] + dither[1],
            "CRPIX1": CCD_SHAPE[1] / 2 - 2120 * column, "CRPIX2": CCD_SHAPE[0] / 2 - 4700 * row,
            "CD1_1": -SCALE, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE,
            "DATASEC": "[33:2080,1:4612]", "GAIN": 1.6, "SATURATE": 65535.0, "FSCALE": 1.0,
            "EXTNAME": f"ccd{number:02d}",
        })  # fmt: skip
        ra, dec = WCS.from_header(cards, CCD_SHAPE).pixel_to_sky(CCD_SHAPE[1] / 2, CCD_SHAPE[0] / 2)
        away = np.abs([(ra - CENTRE[0]) * np.cos(np.radians(CENTRE[1])), dec - CENTRE[1]])
        if away[0] < radius + 0.06 and away[1] < radius + 0.13:
            headers.append(cards)
    return headers


def simulate(folder: Path, objects: int, exposures: int, side: int) -> None:
    """Write the survey: tile, exposures and what the units of the CCDs would have written."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(30, side - 30, objects), np.sort(rng.uniform(30, side - 30, objects))
    sigma = np.hypot(SIGMA_PSF, rng.uniform(0, 2.5, objects))
    truth = {
        "flux": 150.0 * rng.power(1.5, objects) ** -2 * 4, "sigma": sigma,
        "shear": rng.uniform(-0.3, 0.3, objects),
    }  # fmt: skip
    truth["flux"] = np.minimum(truth["flux"], 1e5) * sigma
    header = tile_cards(side)
    tile = WCS.from_header(header, (side, side))
    ra, dec = tile.pixel_to_sky(x, y)
    for name in ("exposures", "tiles", "run"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for exposure in range(2100001, 2100001 + exposures):
        _exposure(folder, exposure, ra, dec, truth, side, rng)
        header.add_history(f"  input image {exposure}p.fits 40 extension(s)")
    image = rng.normal(0, NOISE / np.sqrt(exposures), (side, side)).astype(np.float32)
    add_objects(image, x, y, truth)
    weight = np.full((side, side), exposures / NOISE**2, np.float32)
    write_image(folder / "tiles/CFIS_image-000-000.fits", image, header)
    write_image(folder / "tiles/CFIS_weight-000-000.fits", weight, header)
    table = build_table({
        "NUMBER": np.arange(1, objects + 1), "X_IMAGE": x + 1, "Y_IMAGE": y + 1,
        "XWIN_IMAGE": x + 1, "YWIN_IMAGE": y + 1, "XWIN_WORLD": ra, "YWIN_WORLD": dec,
        "MAG_AUTO": 30 - 2.5 * np.log10(truth["flux"]), "FLAGS": 0, "SNR_WIN": 20.0,
    }, rows=objects)  # fmt: skip
    vignets = np.empty((objects, SIZE, SIZE), np.float32)
    nearest = np.trunc(x + 0.49999), np.trunc(y + 0.49999)
    vignets[:] = cut_stamps(image, *nearest, SIZE, fill=-1e30)
    table["VIGNET"] = vignets
    write_ldac(folder / "detected.fits", table, header.tostring(sep="", endcard=False))


def _exposure(
    folder: Path, exposure: int, ra: Any, dec: Any, truth: dict[str, Any], side: int, rng: Any
) -> None:
    headers = camera(exposure, side * SCALE / 2)
    images, weights = [fits.PrimaryHDU()], [fits.PrimaryHDU()]
    noise = rng.normal(0, NOISE, CCD_SHAPE).astype(np.float32)
    for number, cards in enumerate(headers):
        ccd = CCD.from_header(str(exposure), number, cards, CCD_SHAPE)
        epochs = find_epochs(ra, dec, [ccd])
        image = np.roll(noise, rng.integers(0, 2000, 2), (0, 1)) + np.float32(1000.0)
        chosen = {name: values[epochs.row] for name, values in truth.items()}
        add_objects(image, epochs.x, epochs.y, chosen)
        weight = np.full(CCD_SHAPE, 1 / NOISE**2, np.float32)
        weight[:, :32] = weight[:, 2080:] = weight[4612:] = 0
        images.append(fits.ImageHDU(image, cards))
        weights.append(fits.ImageHDU(weight, cards))
        _ccd_products(folder / f"run/ccd/{exposure}-{number}", rng)
    for kind, hdus in (("image", images), ("weight", weights)):
        path = folder / f"exposures/{kind}-{exposure}.fits"
        fits.HDUList(hdus).writeto(path, overwrite=True)


def _ccd_products(folder: Path, rng: Any) -> None:
    """Mask, background and PSF model of one CCD."""
    folder.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(CCD_SHAPE, np.int16)
    for xc, yc in zip(rng.integers(0, 2112, 20), rng.integers(0, 4644, 20), strict=True):
        mask[max(yc - 20, 0) : yc + 20, max(xc - 20, 0) : xc + 20] = 2
    write_image(folder / "mask.fits", mask, compress=True)
    meshes = (-(-CCD_SHAPE[0] // 128), -(-CCD_SHAPE[1] // 128))
    level = np.full(meshes, 1000.0, np.float32)
    rms = np.full(meshes, NOISE, np.float32)
    write_background(
        folder / "background.fits", Background(level, rms, 1000.0, NOISE, (128, 128), CCD_SHAPE)
    )
    write_psf(folder / "psf.psf", gaussian_psf())


def gaussian_psf(size: int = SIZE) -> PSFModel:
    """A quadratic model of a Gaussian whose width changes a little over the CCD."""
    grid = np.arange(size) - size // 2
    r2 = grid[:, None] ** 2 + grid**2
    constant = np.exp(-0.5 * r2 / SIGMA_PSF**2)
    planes = np.zeros((6, size, size), np.float32)
    planes[0] = constant / constant.sum()
    planes[1] = 0.01 * planes[0] * (r2 / SIGMA_PSF**2 - 2)
    return PSFModel(
        mask=planes, coeffs=None, contexts=("X_IMAGE", "Y_IMAGE"), offsets=(1056.0, 2322.0),
        scales=(2000.0, 4500.0), groups=(1, 1), degrees=(2,), loaded=80, accepted=70, chi2=1.0,
        fwhm=2.355 * SIGMA_PSF, sampling=1.0,
    )  # fmt: skip


def survey(folder: Path, block_size: int) -> SurveyConfig:
    """The configuration of the simulated survey."""
    bare = MaskConfig()
    bare = replace(bare, halo=replace(bare.halo, make=False), spike=replace(bare.spike, make=False))
    config = SurveyConfig(out=folder / "run", block_size=block_size, seed=1)
    inputs = replace(
        config.inputs, stars="", flag="",
        **{name: str(folder / getattr(config.inputs, name))
           for name in ("image", "weight", "tile_image", "tile_weight")},
    )  # fmt: skip
    return replace(
        config, inputs=inputs, ccd=replace(config.ccd, mask=bare),
        tile=replace(config.tile, mask=bare),
    )  # fmt: skip


def bytes_read() -> int:
    """Bytes that this process has asked the system for so far; 0 where it does not tell."""
    try:
        line = Path("/proc/self/io").read_text().splitlines()[0]
    except OSError:
        return 0
    return int(line.split()[1])


def measure(folder: Path, block_size: int, limit: int | None) -> Row:
    """Run the tile phase and print the profile; in a process of its own."""
    config = survey(folder, block_size)
    context = WorkContext(config.out, config)
    opened: Counter[str] = Counter()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        name = str(arguments[0]) if event == "open" else ""
        if "/exposures/" in name or "/run/ccd/" in name:
            opened[name] += 1

    sys.addaudithook(watch)
    start = time.process_time()
    task = next(u.task for u in make_plan(config).units if u.kind == "tile")
    planned = time.process_time() - start
    # The clock of the steps shall count processor seconds, as everything else here.
    work.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[assignment]
    warm_psf()  # compile, or load, the kernels before the clock starts
    warm_shapes()
    parts: defaultdict[str, float] = defaultdict(float)
    begin, start, read = time.perf_counter(), time.process_time(), bytes_read()
    objects = read_ldac(folder / "detected.fits")
    last = time.process_time()
    epochs = block.objects_epochs(objects, task, config.tile.epochs)
    parts["epochs: find"] = time.process_time() - last
    objects["N_EPOCH"] = epochs.n_epoch
    product = config.out / task.folder / "objects.fits"
    product.parent.mkdir(parents=True, exist_ok=True)
    write_ldac(product, objects, epochs=epoch_tables(epochs))
    rows, pairs = len(objects), len(epochs.row)
    parts["epochs: read and write the detections"] = (
        time.process_time() - last - parts["epochs: find"]
    )
    del objects
    read_detections = bytes_read() - read
    worst, used = 0, 0
    for unit in object_units(task, rows, config)[:limit]:
        opened.clear()
        before = time.process_time()
        outcome = work.execute(unit, context)
        if not outcome.complete:
            raise SystemExit(f"{unit.name}: {outcome.message}")
        spent = time.process_time() - before
        for step in outcome.steps:
            parts[f"{unit.kind}: {step.step}"] += step.seconds
            spent -= step.seconds
        parts[f"{unit.kind}: read the detections, write the result"] += spent
        worst = max(worst, max(opened.values(), default=0))
        used += sum(step.n_out for step in outcome.steps if step.step == "psf")
    total, wall = time.process_time() - start, time.perf_counter() - begin
    needed = pairs * SIZE * SIZE * (4 + 4 + 2)  # image, weight, mask of every stamp
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(
        f"{rows} objects, {pairs / rows:.2f} epochs each, {len(task.ccds)} CCDs, {used} stamps used"
    )
    print(f"plan (headers of all files)                        {planned:8.2f} s")
    for name, seconds in parts.items():
        print(f"  {name:48s} {seconds:8.2f} s")
    print(
        f"tile phase without detection                       {total:8.2f} s CPU, {wall:.1f} s wall"
    )
    print(f"peak memory                                        {peak:8.2f} GB")
    got = bytes_read() - read - read_detections
    print(f"read {got / 1e9:.2f} GB in the blocks; the pixels of the stamps: {needed / 1e9:.2f} GB")
    print(f"most often opened file of a CCD in one block: {worst} times")
    name = f"tile of {rows} objects and {pairs / rows:.1f} epochs, all after the detection"
    figures = {"memory_gb": peak, "stamps": used}
    return Row(name, "", f"{peak:.1f} GB of memory", figures, [total])


def main() -> None:
    """Simulate, then measure in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=25000)
    parser.add_argument("--exposures", type=int, default=4)
    parser.add_argument("--side", type=int, default=10000, help="of the tile, pixels")
    parser.add_argument("--block", type=int, default=500, help="objects per unit")
    parser.add_argument("--limit", type=int, help="measure the first blocks only")
    parser.add_argument("--folder", type=Path, help="of the simulated files")
    parser.add_argument("--keep", action="store_true", help="keep the files; use them when there")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    add_json_option(parser)
    options = parser.parse_args()
    if options.measure:
        row = measure(options.folder, options.block, options.limit)
        write_rows(options.json, [row])
        return
    folder = options.folder or Path(tempfile.mkdtemp(prefix="bench-epochs-"))
    try:
        if not (folder / "detected.fits").exists():
            start = time.perf_counter()
            simulate(folder, options.objects, options.exposures, options.side)
            print(f"simulated in {time.perf_counter() - start:.0f} s: {folder}")
        again = [sys.executable, __file__, "--measure", "--folder", str(folder)]
        again += ["--block", str(options.block)]
        again += ["--limit", str(options.limit)] if options.limit else []
        again += ["--json", str(options.json)] if options.json else []
        subprocess.run(again, check=True)
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
