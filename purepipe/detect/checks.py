"""Check-images: what detection saw and did, as images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._threads import in_threads
from purepipe.config.detect import DetectConfig
from purepipe.detect import components_nb, draw_nb
from purepipe.detect.columns import wanted_measurements
from purepipe.detect.footprints import Catalogued, filtered_image
from purepipe.detect.photometry import Measurements
from purepipe.detect.planes import PreparedImage
from purepipe.errors import ConfigError, did_you_mean
from purepipe.flags import DetectFlag

Image = NDArray[Any]
OUTLINE = 30  # brightness of drawn apertures, in units of the noise


@dataclass(frozen=True, eq=False)
class Seen:
    """All that the check-images are made from."""

    sought: PreparedImage
    measured: PreparedImage
    catalogued: Catalogued
    results: Measurements
    numbers: NDArray[np.int32]
    config: DetectConfig
    threads: int


def check_images(names: Iterable[str], seen: Seen) -> dict[str, Image]:
    """The check-images of the given names (`CHECKS`)."""
    return {name: CHECKS[name](seen) for name in names}


def require_known(names: Iterable[str]) -> None:
    """Raise ConfigError for a name that is not in `CHECKS`."""
    for name in names:
        if name not in CHECKS:
            raise ConfigError(
                "unknown check-image", key="checks", got=repr(name),
                remedy=did_you_mean(name, CHECKS),
            )  # fmt: skip


def _background(seen: Seen) -> Image:
    return seen.measured.background.image()


def _background_rms(seen: Seen) -> Image:
    return seen.sought.background.rms_image()


def _mesh_background(seen: Seen) -> Image:
    return seen.measured.background.level_map


def _mesh_rms(seen: Seen) -> Image:
    return seen.measured.background.rms_map


def _subtracted(seen: Seen) -> Image:
    return seen.measured.plane.image


def _filtered(seen: Seen) -> Image:
    return filtered_image(seen.sought, seen.config, threads=seen.threads)


def _segmentation(seen: Seen) -> Image:
    """The map of the original, in which siblings may have exchanged pixels by renumbering."""
    catalogued = seen.catalogued
    labels, objects = catalogued.labels.copy(), catalogued.footprints.objects
    places = np.zeros(objects.size + 2, np.int32)
    places[2:] = np.where(seen.numbers[2:] > 0, catalogued.survivor + 1, 0)

    def some_rows(first: int, last: int) -> None:
        components_nb.number_pixels(labels, places, first, last)

    in_threads(some_rows, labels.shape[0], seen.threads)
    components_nb.renumber_in_place(labels, objects, catalogued.source)
    return labels


def _objects(seen: Seen) -> Image:
    """The image within the objects, zero elsewhere; as in the original also of rejected entries.

    An association may leave objects out of the catalogue, but not out of this image.
    """
    shown = np.zeros(seen.numbers.size, np.bool_)
    shown[2:] = seen.catalogued.survivor >= 0
    return np.where(shown[seen.catalogued.labels], seen.measured.plane.image, np.float32(0))


def _sky(seen: Seen) -> Image:
    """The image with zeros where the masking of neighbours hides pixels."""
    labels, returned = seen.catalogued.labels, seen.catalogued.returned
    lines = np.arange(labels.shape[0])[:, None]
    masked = (labels > 0) & (lines > returned[labels, 0])
    if seen.config.mask_type == "none":
        masked[:] = False
    return np.where(masked, np.float32(0), seen.measured.plane.image)


def _apertures(seen: Seen) -> Image:
    """The image with the outlines of the apertures that were measured, dashed if crowded."""
    image = seen.measured.plane.image.copy()
    value = np.float32(OUTLINE * float(seen.measured.plane.noise))
    wanted = wanted_measurements(seen.config)
    for obj, row in zip(seen.results.objects, seen.results.measured, strict=True):
        x, y = float(obj["x"]), float(obj["y"])
        for diameter in seen.config.apertures[: wanted.circles]:
            radius = float(np.float32(diameter / 2))
            draw_nb.draw_ellipse(image, x, y, radius, radius, 0.0, False, value)
        crowded = bool(row["flags"] & DetectFlag.CROWDED)
        factors = [row["kron_radius"]] * wanted.auto + [row["petro_radius"]] * wanted.petro
        for factor in factors:
            a, b = float(factor) * float(obj["a"]), float(factor) * float(obj["b"])
            draw_nb.draw_ellipse(image, x, y, a, b, float(obj["theta"]), crowded, value)
    return image


CHECKS: dict[str, Callable[[Seen], Image]] = {
    "BACKGROUND": _background,
    "BACKGROUND_RMS": _background_rms,
    "MINIBACKGROUND": _mesh_background,
    "MINIBACK_RMS": _mesh_rms,
    "-BACKGROUND": _subtracted,
    "FILTERED": _filtered,
    "OBJECTS": _objects,
    "-OBJECTS": _sky,
    "SEGMENTATION": _segmentation,
    "APERTURES": _apertures,
}
