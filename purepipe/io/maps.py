"""Images written one after the other into one file, which is either complete or absent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from astropy.io import fits
from numpy.typing import NDArray

from purepipe.io.atomic import atomic_write
from purepipe.io.images import clean_header, quiet

WriteImage = Callable[[NDArray[Any], fits.Header], None]


@contextmanager
def image_writer(
    path: str | os.PathLike[str] | None, *, extensions: int = 0
) -> Iterator[WriteImage]:
    """A function ``write(array, header)`` for the images of one FITS file, in their order.

    Only one image is held in memory at a time.

    Parameters
    ----------
    path
        Final name; None for images that are not wanted.
    extensions
        Number of images to come as extensions; 0 for one image in the primary HDU.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written, or no image was written.
    """
    if path is None:
        yield lambda array, header: None
        return
    with atomic_write(path) as scratch:

        def write(array: NDArray[Any], header: fits.Header) -> None:
            kept = clean_header(header)
            with quiet():
                if not extensions:
                    fits.PrimaryHDU(array, kept).writeto(scratch)
                    return
                if not scratch.exists():
                    first = fits.PrimaryHDU()
                    first.header["NEXTEND"] = (extensions, "number of extensions")
                    first.writeto(scratch)
                with fits.open(scratch, mode="append", memmap=False) as hdus:
                    hdus.append(fits.ImageHDU(array, kept))

        yield write
