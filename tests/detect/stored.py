"""Configurations and fields whose catalogues by the original program are stored, in few columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import astropy
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from purepipe.exposure import Exposure
from purepipe.wcs import WCS

from .cases import GAIN, SATURATION, VARIANTS, ZERO_POINT
from .fields import header, make_field
from .test_engine import FIELD, OTHER, PAIRS, SINGLE

COLUMNS = (
    "NUMBER", "X_IMAGE", "FLUX_ISO", "FLUX_AUTO", "FLUXERR_AUTO", "FLUX_APER", "BACKGROUND",
    "FLAGS", "FWHM_WORLD",
)  # fmt: skip
REAL = Path(astropy.__file__).parent / "io/fits/hdu/compressed/tests/data/m13.fits"


class Stored(NamedTuple):
    """Images by the names of their files, the original's keys and purepipe's beyond a preset."""

    images: dict[str, NDArray[Any]]
    keys: dict[str, Any]
    changes: dict[str, Any]
    exposure: Exposure
    detection: Exposure | None = None

    @property
    def command(self) -> str:
        """The images on the command line of the original."""
        dual = self.detection is not None and self.detection.image is not self.exposure.image
        return "other.fits,image.fits" if dual else "image.fits"

    @property
    def digest(self) -> str:
        """Of the images, to see whether a machine draws the same."""
        return hashlib.sha1(b"".join(a.tobytes() for a in self.images.values())).hexdigest()


def exposure(image: NDArray[Any], weight: NDArray[Any] | None, flags: NDArray[Any]) -> Exposure:
    """An exposure with the usual calibration."""
    return Exposure(
        image, weight, None if weight is None else "relative", flags,
        wcs=WCS.from_header(header(image.shape)), gain=GAIN, saturation=SATURATION,
        zero_point=ZERO_POINT,
    )  # fmt: skip


def configurations(base: dict[str, NDArray[Any]]) -> Iterator[tuple[str, Stored]]:
    """All configurations that are compared live, on a smaller field.

    `base` holds image, weight (in units of 1/4096) and flags; the second image and weights follow
    from them in whole numbers, so that every machine makes the same.
    """
    y, x = np.indices(base["image"].shape)
    image = base["image"].astype(np.float32)
    weight = (base["weight"] / 4096).astype(np.float32)
    other = image + ((x * 7919 + y * 104_729) % 41 - 20).astype(np.float32)
    uneven = base["weight"] + np.where(base["weight"] > 0, (x // 16 + y // 16) % 5 * 8, 0)
    weight2 = (uneven / 4096).astype(np.float32)
    flags = base["flags"].astype(np.int32)
    images = {"image": image, "weight": weight, "flag": flags, "other": other, "weight2": weight2}

    def same(like: Exposure | None) -> Exposure | None:
        """The exposure that has the part of a larger one."""
        if like is None:
            return None
        pixels = other if np.array_equal(like.image, OTHER.image) else image
        if like.weight is None:
            return exposure(pixels, None, flags)
        first = np.array_equal(like.weight, FIELD.weight)
        return exposure(pixels, weight if first else weight2, flags)

    for name, (keys, changes) in VARIANTS.items():
        yield name, Stored(images, keys, changes, exposure(image, weight, flags))
    for name, (keys, changes, one) in SINGLE.items():
        yield name, Stored(images, keys, changes, same(one))
    for name, (keys, changes, one, two) in PAIRS.items():
        measured, sought = same(one), same(two)
        if one.weight is not None and two is not None and two.weight is one.weight:
            sought = measured.replace(image=sought.image)  # they share one map
        elif two is not None and two.image is one.image:
            sought = sought.replace(image=measured.image)
        yield name, Stored(images, keys, changes, measured, sought)


# seeing (width of the stars), sources per 10 000 pixels, sky, noise, holes, size
FIELDS = {
    "sharp and sparse": (1.3, 10, 600.0, 12.0, False, (151, 142)),
    "blurred and sparse": (5.2, 10, 600.0, 12.0, True, (142, 151)),
    "sharp and crowded": (1.3, 40, 600.0, 12.0, True, (130, 111)),
    "blurred and crowded": (5.2, 40, 50.0, 4.0, True, (111, 130)),
    "bright sky": (2.6, 25, 9000.0, 80.0, True, (141, 121)),
    "no sky": (2.6, 25, 0.0, 1.5, False, (121, 141)),
    "wide strip": (2.6, 20, 600.0, 12.0, True, (41, 601)),
    "tall strip": (2.6, 20, 600.0, 12.0, True, (603, 63)),
    "one column": (2.6, 20, 600.0, 12.0, False, (900, 1)),
    "smaller than a mesh": (2.6, 40, 600.0, 12.0, False, (37, 51)),
    "one more than a mesh": (2.6, 40, 600.0, 12.0, False, (65, 65)),
    "smaller than the filter": (2.6, 40, 600.0, 12.0, False, (2, 2)),
}


def fields() -> Iterator[tuple[str, Stored]]:
    """Fields that differ in seeing, density, sky, noise, weights and shape, in round numbers."""
    for name, (width, density, sky, noise, holes, shape) in FIELDS.items():
        drawn = (max(shape[0], 8), max(shape[1], 8))
        field = make_field(
            drawn, max(4, drawn[0] * drawn[1] * density // 10_000), seed=17, sky=sky, noise=noise,
            holes=holes, width=width,
        )  # fmt: skip
        cut = np.s_[: shape[0], : shape[1]]
        image = np.round(field.image[cut]).astype(np.float32)
        weight = (np.round(field.weight[cut] * 4096) / 4096).astype(np.float32)
        flags = field.flags[cut].copy()
        images = {"image": image, "weight": weight, "flag": flags}
        keys, changes = {"DETECT_MINAREA": 4}, {"min_area": 4}
        case = Stored(images, keys, changes, exposure(image, weight, flags))
        yield name, case
        if name == "blurred and crowded":
            tiny = {**keys, "BACK_SIZE": 1}, {**changes, "back_size": (1, 1)}
            yield "meshes of one pixel", case._replace(keys=tiny[0], changes=tiny[1])


def real() -> Stored:
    """A part of a photographic survey, the globular cluster M 13, which comes with astropy."""
    image = fits.getdata(REAL).astype(np.float32)
    images = {"image": image, "flag": np.zeros(image.shape, np.int32)}
    keys = {"WEIGHT_TYPE": "NONE", "DEBLEND_NTHRESH": 64}
    return Stored(images, keys, {"deblend_levels": 64}, exposure(image, None, images["flag"]))
