"""A small run folder written by hand: no simulation, no processing."""

import numpy as np
from astropy.io.fits import Header
from astropy.table import Table

from purepipe.io import write_ldac, write_table
from purepipe.io.images import write_image
from purepipe.pipeline.store import Outcome, StepRecord, open_store, record, set_fact

SHAPE = (48, 64)
CONFIG = {
    "seed": 7,
    "inputs": {"image": "image-{number}.fits", "tile_image": "tile-{number}.fits", "stars": ""},
    "ccd": {"detect": {"threshold": 1.5, "unset": None}},
}


def write_ledger(root, outcomes, config=CONFIG):
    store = open_store(root)
    set_fact(store, "config", config)
    set_fact(store, "code", "0.0+test")
    for outcome in outcomes:
        record(store, outcome)
    store.close()


def ccd_outcome(name, *, status="done", message="", mean=0.001):
    facts = {
        "mean_de1": mean, "mean_de2": -mean, "rms_de1": 0.004, "rms_de2": 0.003,
        "mean_dsize": mean, "rms_dsize": 0.01, "n": 6, "stars": "reserved", "verdict": "good",
    }  # fmt: skip
    pixels = SHAPE[0] * SHAPE[1]
    steps = (
        StepRecord("mask", "pixels", pixels, pixels - 20, 0.1, {"BORDER": 20, "ANY": 20}),
        StepRecord("detect", "sources", 40, 40, 0.2, {"background": 100.0, "rms": 3.0}),
        StepRecord("stars", "stars", 40, 20, 0.1, {"fwhm": 4.0, "width": 0.1}),
        StepRecord("psf", "stars", 16, 15, 0.3, {"chi2": 1.02}),
        StepRecord("validate", "stars", 20, 20, 0.1, facts),
    )
    return Outcome(
        f"ccd {name}", "ccd", status, message, steps=steps if status == "done" else (),
        seconds=0.8, peak_mb=100.0,
    )  # fmt: skip


def tile_outcomes(tile, objects):
    pixels = SHAPE[0] * SHAPE[1]
    steps = (
        StepRecord("mask", "pixels", pixels, pixels - 9, 0.1, {"SPIKE": 9, "ANY": 9}),
        StepRecord("detect", "objects", objects, objects, 0.4),
        StepRecord("epochs", "objects", objects, objects, 0.1),
    )
    joined = (StepRecord("catalogue", "objects", objects, objects, 0.1),)
    return [
        Outcome(f"tile {tile}", "tile", "done", steps=steps, seconds=0.6),
        Outcome(
            f"catalogue {tile}", "catalogue", "done", steps=joined, seconds=0.1,
            products={f"catalogue/final_cat-{tile}.fits": 20000},
        ),
    ]  # fmt: skip


def header(ccd):
    cards = Header()
    cards["CTYPE1"], cards["CTYPE2"] = "RA---TAN", "DEC--TAN"
    cards["CRVAL1"], cards["CRVAL2"] = 150.0, 32.0
    cards["CRPIX1"], cards["CRPIX2"] = 32.5 - 70 * ccd, 24.5
    cards["CD1_1"], cards["CD1_2"] = -5.2e-5, 0.0
    cards["CD2_1"], cards["CD2_2"] = 0.0, 5.2e-5
    return cards


def mask():
    values = np.zeros(SHAPE, np.int32)
    values[:4] = 4
    values[20:30, 30:40] = 128
    return values


def write_ccd(root, name, rng):
    folder = root / "ccd" / name
    folder.mkdir(parents=True)
    write_image(folder / "mask.fits", mask(), header(int(name[-1])), compress=True)
    n = 40
    sources = Table(
        {
            "NUMBER": np.arange(1, n + 1, dtype=np.int32),
            "MAG_AUTO": rng.uniform(17, 24, n).astype(np.float32),
            "FWHM_IMAGE": rng.normal(4.2, 0.4, n).astype(np.float32),
            "FLAGS_STAR": np.tile([0, 128, 1, 4, 8, 16, 32, 1 << 30], n // 8).astype(np.int32),
        }
    )
    write_ldac(folder / "sources.fits", sources)
    n = 20
    x, y = rng.uniform(1, SHAPE[1], n), rng.uniform(1, SHAPE[0], n)
    psf = rng.normal(0, 0.02, (2, n))
    star = psf + rng.normal(0, 0.004, (2, n))
    stars = Table(
        {
            "E1_PSF_HSM": psf[0], "E2_PSF_HSM": psf[1], "SIGMA_PSF_HSM": np.full(n, 1.7),
            "FLAG_PSF_HSM": np.zeros(n, np.int32),
            "E1_STAR_HSM": star[0], "E2_STAR_HSM": star[1],
            "SIGMA_STAR_HSM": rng.normal(1.7, 0.01, n),
            "FLAG_STAR_HSM": (np.arange(n) == 3).astype(np.int32),
            "X": x, "Y": y, "RA": 150 - (x - 32) * 6e-5, "DEC": 32 + (y - 24) * 5.2e-5,
            "RESERVED": (np.arange(n) % 4 == 0).astype(np.int16),
        }
    )  # fmt: skip
    write_table(folder / "validation.fits", stars)


def objects(n, rng):
    return Table(
        {
            "NUMBER": np.arange(1, n + 1, dtype=np.int32),
            "X_IMAGE": rng.uniform(1, SHAPE[1], n), "Y_IMAGE": rng.uniform(1, SHAPE[0], n),
            "MAG_AUTO": rng.uniform(18, 25, n), "SNR_WIN": rng.uniform(3, 300, n),
            "N_EPOCH": rng.integers(0, 4, n).astype(np.int32),
            "FLAGS": rng.integers(0, 4, n).astype(np.int32),
        }
    )  # fmt: skip


def catalogue(n, rng):
    table = objects(n, rng)
    table["XWIN_WORLD"] = 150 - (np.asarray(table["X_IMAGE"]) - 32) * 6e-5
    table["YWIN_WORLD"] = 32 + (np.asarray(table["Y_IMAGE"]) - 24) * 5.2e-5
    table["SPREAD_MODEL"] = rng.normal(0.005, 0.004, n)
    table["SPREAD_CLASS"] = rng.integers(-1, 3, n).astype(np.int16)
    table["NGMIX_MCAL_FLAGS"] = np.where(np.arange(n) % 10 == 0, 16, 0).astype(np.int32)
    table["NGMIX_ELL_NOSHEAR"] = rng.normal(0, 0.2, (n, 2))
    table["NGMIX_T_NOSHEAR"] = rng.uniform(0.2, 0.8, n)
    table["NGMIX_Tpsf_NOSHEAR"] = np.full(n, 0.35)
    table["NGMIX_SNR_NOSHEAR"] = rng.uniform(3, 300, n)
    for name in ("R11", "R12", "R21", "R22"):
        table[name] = rng.normal(0.6, 0.2, n)
    return table


def write_tile(root, tile, rng, n=60):
    folder = root / "tile" / tile
    folder.mkdir(parents=True)
    write_image(folder / "mask.fits", mask(), header(0), compress=True)
    write_ldac(folder / "objects.fits", objects(n, rng))
    (root / "catalogue").mkdir(exist_ok=True)
    write_table(root / "catalogue" / f"final_cat-{tile}.fits", catalogue(n, rng))


def write_run(root):
    """Two exposures of two CCDs, of which one failed, and one tile."""
    rng = np.random.default_rng(1)
    names = ["1000001-0", "1000001-1", "1000002-0"]
    outcomes = [ccd_outcome(name, mean=0.002 * (i + 1)) for i, name in enumerate(names)]
    outcomes.append(ccd_outcome("1000002-1", status="data bad", message="<b>no</b>\ndata & 'such'"))
    write_ledger(root, outcomes + tile_outcomes("000-000", 60))
    for name in names:
        write_ccd(root, name, rng)
    write_tile(root, "000-000", rng)
    return root
