"""Backgrounds on disk: the meshes, from which the map at every pixel follows exactly."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from astropy.io import fits

from purepipe.errors import InputFileError
from purepipe.io.atomic import atomic_write
from purepipe.io.images import hdu_of, open_fits, pixels_of

if TYPE_CHECKING:
    from purepipe.detect import Background

PathName = str | os.PathLike[str]


def write_background(
    path: PathName,
    background: Background,
    *,
    provenance: Mapping[str, str | int] | None = None,
) -> None:
    """Write the level and rms meshes of a background as two image HDUs.

    `provenance` becomes cards of the primary header.
    """
    primary = fits.PrimaryHDU()
    primary.header["BKGLEVEL"] = (background.level, "global level (ADU)")
    primary.header["BKGRMS"] = (background.rms, "global rms (ADU)")
    primary.header["MESHX"] = (background.mesh[0], "width of a mesh (pixel)")
    primary.header["MESHY"] = (background.mesh[1], "height of a mesh (pixel)")
    primary.header["IMAGEX"] = (background.shape[1], "width of the image (pixel)")
    primary.header["IMAGEY"] = (background.shape[0], "height of the image (pixel)")
    if background.constant is not None:
        primary.header["BKGCONST"] = (background.constant, "level set by hand (ADU)")
    primary.header.update(provenance or {})
    hdus = [
        primary,
        fits.ImageHDU(background.level_map, name="LEVEL"),
        fits.ImageHDU(background.rms_map, name="RMS"),
    ]
    with atomic_write(path) as temporary:
        fits.HDUList(hdus).writeto(temporary, overwrite=True)


def read_background(path: PathName) -> Background:
    """The background that `write_background` wrote.

    Raises
    ------
    InputFileError
        The file is missing, truncated, or not of this layout.
    """
    from purepipe.detect import Background

    with open_fits(path) as file:
        with hdu_of(file, file.layout[0]) as primary:
            header = primary.header.copy()
        if "MESHX" not in header:
            raise InputFileError(
                "not a background file", file=path, remedy="Run the CCD again to write it anew."
            )
        level, rms = (pixels_of(file, name) for name in ("LEVEL", "RMS"))
    return Background(
        level_map=level,
        rms_map=rms,
        level=float(header["BKGLEVEL"]),
        rms=float(header["BKGRMS"]),
        mesh=(int(header["MESHX"]), int(header["MESHY"])),
        shape=(int(header["IMAGEY"]), int(header["IMAGEX"])),
        constant=float(header["BKGCONST"]) if "BKGCONST" in header else None,
    )
