"""``purepipe skymaps``: what the images of a run cover, and how much of it is masked."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from purepipe.commands.console import guarded, say
from purepipe.errors import InputFileError
from purepipe.io.sky_maps import write_survey_maps


def main(arguments: list[str]) -> int:
    """Write HEALPix maps of coverage and masked fraction.

    Parameters
    ----------
    arguments
        ``RUN|MASK... --out DIR [--tiles] [--nside N] [--bits N]``.

    Returns
    -------
    Exit status: 0 fine, 1 a mask cannot be used, 2 wrong configuration.
    """
    return guarded("skymaps", _run, arguments)


def _run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    masks = _masks(options.masks, "tile" if options.tiles else "ccd")
    options.out.mkdir(parents=True, exist_ok=True)
    maps = write_survey_maps(options.out, masks, nside=options.nside, bits=options.bits)
    numbers = maps.coverage.valid_pixels
    coverage = maps.coverage.get_values_pix(numbers)
    masked = np.average(maps.masked.get_values_pix(numbers), weights=coverage)
    area = 4 * np.pi * np.degrees(1) ** 2 / (12 * options.nside**2) * len(numbers)
    say(
        f"{len(masks)} images, {len(numbers)} pixels of {area:.4g} square degrees, on the average"
        f" {coverage.mean():.2f} images deep, {masked:.1%} masked: {options.out}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "purepipe skymaps", description="HEALPix maps of what masks cover; needs healsparse."
    )
    add = parser.add_argument
    add("masks", nargs="+", type=Path, help="folders of runs, or masks")
    add("--out", type=Path, required=True, help="folder of coverage.hsp.fits, masked.hsp.fits")
    add("--tiles", action="store_true", help="of a run the masks of tiles, not those of CCDs")
    add("--nside", type=int, default=4096, help="resolution; default: 4096, 0.86 arcmin")
    add("--bits", type=int, default=-1, help="mask bits that count; default: all")
    return parser


def _masks(paths: list[Path], kind: str) -> list[Path]:
    found = []
    for path in paths:
        inside = sorted((path / kind).glob("*/mask.fits")) if path.is_dir() else [path]
        if not inside:
            raise InputFileError(
                f"no mask of a {kind} in this folder", file=path,
                remedy="Name a run's folder, or the masks; --tiles takes those of tiles.",
            )  # fmt: skip
        found += inside
    return found
