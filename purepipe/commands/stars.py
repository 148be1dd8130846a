"""``purepipe stars``: one star catalogue for each image, as the mask step of ShapePipe wants it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from purepipe.commands.console import guarded, say
from purepipe.config.mask import MaskConfig
from purepipe.errors import ConfigError, DataError, InputFileError, StoreError
from purepipe.io.images import image_shape, list_ccds, read_header
from purepipe.io.star_files import query_stars, read_star_cells, write_cds, write_star_cells
from purepipe.io.stars import read_star_catalogue
from purepipe.legacy.mask import read_mask_config
from purepipe.mask.cones import star_cone, stars_in_cone
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from astropy.table import Table

# The stars of a cone: ra, dec, radius in degrees.
Source = Callable[[float, float, float], "Table"]
_IMAGE_SUFFIXES = (".fits", ".fit", ".fts", ".fits.fz", ".fits.gz")


@dataclass(frozen=True)
class Field:
    """One image that needs a star catalogue, and the number in the catalogue's name."""

    path: Path
    hdu: int
    number: str


def main(arguments: list[str]) -> int:
    """Write the stars of each image, or divide a large star catalogue into cells of the sky.

    Parameters
    ----------
    arguments
        ``IMAGE... --out DIR --catalogue FILE [--exposures]`` or
        ``--split CATALOGUE... --out DIR``; ``--help`` says more.

    Returns
    -------
    Exit status: 0 fine, 1 an image or the catalogue cannot be used, 2 wrong configuration.
    """
    return guarded("stars", _run, arguments)


def _run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.split:
        totals = write_star_cells(
            options.out, map(read_star_catalogue, options.inputs), nside=options.nside
        )
        say(f"{sum(totals.values())} stars in {len(totals)} cells in {options.out}")
        return 0
    source = _source(options)
    config = MaskConfig() if options.mask is None else read_mask_config(options.mask)
    fields = find_fields(options.inputs, exposures=options.exposures)
    _make_folder(options.out)
    status = 0

    def work(field: Field) -> int:
        return _write_field(field, source, config, options)

    for field in fields:
        # One image that cannot be used does not stop the others.
        status = max(status, guarded("stars", work, field))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "purepipe stars",
        description="Write star_cat<number>.cat for each image: the stars whose halo or spikes may"
        " reach it. In place of ShapePipe's create_star_cat.",
    )
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="IMAGE",
        help="images, or folders of files with 'image' in their name")  # fmt: skip
    add("--out", type=Path, required=True, help="folder of the catalogues")
    add("--catalogue", type=Path, help="stars with ra, dec, mag: FITS, Parquet, ECSV, CSV, CDS"
        " text, or a folder made by --split")  # fmt: skip
    add("--online", metavar="NAME", help="VizieR's name of a catalogue, e.g. I/355/gaiadr3;"
        " needs the package astroquery")  # fmt: skip
    add("--exposures", action="store_true", help="one catalogue for each HDU of an image")
    add("--mask", type=Path, metavar="FILE", help=".mask file with the polygons of stars")
    add("--allow-empty", action="store_true", help="write catalogues without any star, too")
    add(
        "--split", action="store_true", help="divide the star catalogues IMAGE... by HEALPix pixels"
    )
    add("--nside", type=int, default=32, help="with --split: resolution of the HEALPix pixels, up"
        " to 256; default: 32, 1.8 degrees")  # fmt: skip
    return parser


def _source(options: argparse.Namespace) -> Source:
    if (options.catalogue is None) == (options.online is None):
        raise ConfigError(
            "one source of stars is needed", key="--catalogue, --online",
            got="none" if options.online is None else "both",
            remedy="Give a file by --catalogue, or the name of an on-line catalogue by --online.",
        )  # fmt: skip
    if options.online is not None:
        return lambda *cone: query_stars(*cone, catalogue=options.online)
    if options.catalogue.is_dir():
        return lambda *cone: read_star_cells(options.catalogue, *cone)
    stars = read_star_catalogue(options.catalogue)
    return lambda *cone: stars


def find_fields(inputs: Sequence[Path], *, exposures: bool = False) -> list[Field]:
    """The images in files and folders, with the numbers that the names of their files end in.

    Parameters
    ----------
    inputs
        Images; of a folder, the files with ``image`` in their name.
    exposures
        Every HDU with an image counts; number ``-2079614-0`` is HDU 1 of exposure 2079614.

    Raises
    ------
    InputFileError
        A folder has no image, or a file is missing or damaged.
    ConfigError
        Two images have the same number.
    """
    fields: list[Field] = []
    for path in _files(inputs):
        number = _number(path)
        images = [hdu for hdu, _ in list_ccds(path)]
        if exposures:
            found = [Field(path, hdu, f"{number}-{hdu - 1}") for hdu in images if hdu > 0]
        else:
            found = [Field(path, hdu, number) for hdu in images[:1]]
        if not found:
            where = "extension" if exposures else "file"
            raise InputFileError(
                f"no {where} holds an image", file=path, remedy="Give images, not catalogues."
            )
        fields += found
    seen: dict[str, Field] = {}
    for field in fields:
        other = seen.setdefault(field.number, field)
        if other is not field:
            raise ConfigError(
                "two images have the same number, and their catalogues would have one name",
                got=f"{other.path}, {field.path}", remedy="Give them in two runs.",
            )  # fmt: skip
    return fields


def _files(inputs: Sequence[Path]) -> Iterator[Path]:
    for item in inputs:
        if not item.is_dir():
            yield item
            continue
        found = sorted(
            path
            for path in item.iterdir()
            if "image" in path.name and path.name.endswith(_IMAGE_SUFFIXES)
        )
        if not found:
            raise InputFileError(
                "the folder has no FITS file with 'image' in its name", file=item,
                remedy="Name the images one by one.",
            )  # fmt: skip
        yield from found


def _number(path: Path) -> str:
    """What follows ``image`` in the name, as in the original; else the number that ends it."""
    stem = path.name.split(".")[0]
    if "image" in stem:
        return stem.rpartition("image")[2]
    match = re.search(r"(?:-\d+)+$", stem)
    return match.group() if match else f"-{stem}"


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder cannot be made: {error.strerror}", file=path,
            remedy="Choose another output folder.",
        ) from error  # fmt: skip


def _write_field(
    field: Field, source: Source, config: MaskConfig, options: argparse.Namespace
) -> int:
    shape = image_shape(field.path, field.hdu)
    try:
        wcs = WCS.from_header(read_header(field.path, field.hdu), shape)
    except DataError as error:
        error.file, error.hdu = str(field.path), str(field.hdu)
        raise
    ra, dec, radius = star_cone(wcs, config)
    stars = stars_in_cone(source(ra, dec, radius), wcs, config)
    if not len(stars) and not options.allow_empty:
        raise DataError(
            "no star of the catalogue is near the image", file=field.path, hdu=field.hdu,
            got=f"0 stars within {radius * 60:.1f} arcmin of ra {ra:.4f}, dec {dec:.4f}",
            remedy="Does the catalogue cover the field? Give --allow-empty if it has no star.",
        )  # fmt: skip
    path = options.out / f"star_cat{field.number}.cat"
    origin = options.online or options.catalogue.name
    write_cds(path, stars, comment=f"stars of {origin} for {field.path.name} HDU {field.hdu}")
    say(f"{path}: {len(stars)} stars")
    return 0
