"""What a mask is made of beside its image: tables of nebulae, and maps of the sky."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from purepipe.config.mask import MaskConfig
from purepipe.errors import InputFileError
from purepipe.io.layout import fits_layout
from purepipe.io.nebulae import read_configured_nebulae
from purepipe.mask.sky import field_cone
from purepipe.mask.sky_map import require_healsparse
from purepipe.wcs import WCS

PathName = str | os.PathLike[str]
_REMEDY = "Convert full-sky HEALPix files by healsparse.HealSparseMap."


def read_sky_map(path: PathName) -> Any:
    """A healsparse map, for `purepipe.mask.flag_pixels` and `flag_objects`.

    Raises
    ------
    InputFileError
        The file is missing or is no such map.
    MissingPackageError
        healsparse is not installed.
    """
    healsparse = require_healsparse()
    with _refused(path):
        return healsparse.HealSparseMap.read(os.fspath(path))


def read_map_around(path: PathName, wcs: WCS) -> Any:
    """A healsparse map, of which only the parts that an image may meet are read.

    Raises
    ------
    InputFileError, MissingPackageError
        As `read_sky_map`.
    """
    from hpgeom import query_circle

    healsparse = require_healsparse()
    with _refused(path):
        coverage = healsparse.HealSparseCoverage.read(os.fspath(path))
        near = query_circle(coverage.nside_coverage, *field_cone(wcs), inclusive=True)
        held = np.flatnonzero(coverage.coverage_mask)
        here = np.intersect1d(near, held)
        # A map cannot be read without any part of it.
        parts = here if len(here) else held[:1]
        return healsparse.HealSparseMap.read(
            os.fspath(path), pixels=parts.tolist() if len(parts) else None
        )


def read_mask_inputs(config: MaskConfig, wcs: WCS | None) -> dict[str, Any]:
    """The tables of nebulae and the map of the sky that a configuration names.

    They are passed as ``build_mask(exposure, stars, config, **read_mask_inputs(config, wcs))``.

    Parameters
    ----------
    wcs
        Of the image, of whose surroundings the map is read.

    Raises
    ------
    InputFileError, MissingPackageError
        As `purepipe.io.nebulae.read_nebulae` and `read_sky_map`.
    """
    found: dict[str, Any] = dict(read_configured_nebulae(config))
    if config.sky.map is not None:
        path = config.sky.map
        found["sky_map"] = read_sky_map(path) if wcs is None else read_map_around(path, wcs)
    return found


@contextmanager
def _refused(path: PathName) -> Iterator[None]:
    """What the package says of files that it cannot read becomes an error that names the file."""
    if not Path(path).is_file():
        raise InputFileError("the file does not exist", file=path, remedy="Check the path.")
    # The package leaves files open that it cannot read.
    if not {"COV", "SPARSE"} <= {item.name for item in fits_layout(path)}:
        raise InputFileError("this is no healsparse map", file=path, remedy=_REMEDY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, RuntimeError, LookupError, ValueError, TypeError) as error:
        raise InputFileError(
            f"this is no healsparse map: {str(error).splitlines()[0]}", file=path,
            remedy=_REMEDY,
        ) from error  # fmt: skip
