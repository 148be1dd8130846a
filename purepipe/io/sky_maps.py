"""The coverage and the masked fraction of a survey, as maps in healsparse's FITS files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from purepipe.io.atomic import atomic_write
from purepipe.io.images import read_header
from purepipe.io.masks import read_mask
from purepipe.mask.sky_map import SurveyMaps, map_masks
from purepipe.wcs import WCS

PathName = str | os.PathLike[str]


def write_sky_map(path: PathName, sky_map: Any) -> None:
    """Write a healsparse map; the file is complete or absent.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    with atomic_write(path) as scratch:
        sky_map.write(os.fspath(scratch), clobber=True)


def read_masks(paths: Sequence[PathName]) -> Iterator[tuple[NDArray[Any], WCS]]:
    """Masks with their world coordinates, one at a time.

    Raises
    ------
    InputFileError
        A file is missing or damaged, or holds no mask.
    DataError
        A mask has no world coordinates.
    """
    for path in paths:
        mask = read_mask(path)
        yield mask, WCS.from_header(read_header(path, None), mask.shape)


def write_survey_maps(
    folder: PathName, masks: Sequence[PathName], *, nside: int = 4096, bits: int = -1
) -> SurveyMaps:
    """Write ``coverage.hsp.fits`` and ``masked.hsp.fits`` of the masks of a survey.

    Parameters
    ----------
    folder
        Where to; it must exist.
    masks
        Mask files, for instance all ``ccd/*/mask.fits`` of a run.
    nside, bits
        As for `purepipe.mask.map_masks`.

    Raises
    ------
    InputFileError, DataError
        A mask cannot be used.
    ConfigError
        `nside` is no power of two.
    MissingPackageError
        healsparse is not installed.
    StoreError
        The folder is missing or cannot be written.
    """
    maps = map_masks(read_masks(masks), nside=nside, nside_coverage=min(nside, 32), bits=bits)
    write_sky_map(Path(folder) / "coverage.hsp.fits", maps.coverage)
    write_sky_map(Path(folder) / "masked.hsp.fits", maps.masked)
    return maps
