"""Measurements of catalogued objects: apertures, growth curves, windows and stamps."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._threads import in_threads
from purepipe.config.detect import DetectConfig
from purepipe.detect import aperture_nb, local_nb
from purepipe.detect.columns import Wanted, wanted_measurements
from purepipe.detect.footprints import Catalogued, line_buffer, masking_delay
from purepipe.detect.planes import PreparedImage
from purepipe.detect.records_nb import MEASURED, Mask

Records = NDArray[Any]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Measurements:
    """Records of the catalogue rows; see `records_nb` for their fields.

    Arrays of what was not asked for have no columns.

    Attributes
    ----------
    objects, measured
        Footprints, and apertures.
    fluxes, errors
        (rows, apertures) of the circles.
    radii
        (rows, fractions) of the flux.
    curves
        (rows, 64) cumulative flux up to the radius `growth_limit` of the record.
    vignets, shifted
        (rows, height, width) stamps.
    seconds
        Mean time that the measurement of an object took.
    """

    objects: Records
    measured: Records
    fluxes: Singles
    errors: Singles
    radii: Singles
    curves: NDArray[np.float64]
    vignets: Singles
    shifted: Singles
    seconds: float


def measure_objects(
    catalogued: Catalogued,
    sought: PreparedImage,
    measured: PreparedImage,
    config: DetectConfig,
    *,
    saturation: float = np.inf,
    threads: int = 1,
) -> Measurements:
    """All measurements of the catalogue rows that the columns of the configuration need.

    With local backgrounds the isophotal fields of the objects change, too; for the width of their
    cores `saturation` must be known.
    """
    start = time.perf_counter()
    rows = catalogued.source.size
    wanted = wanted_measurements(config)
    results = _blank(catalogued, wanted, config)
    mask = Mask(
        catalogued.labels, catalogued.returned, config.mask_type != "none",
        config.mask_type == "correct",
    )  # fmt: skip
    if config.back_photometry == "local":
        two_images = sought.plane.image is not measured.plane.image
        delays = (masking_delay(config, two_images), masking_delay(config, False))
        settings = (config.back_thickness, *delays, *line_buffer(config))
        _take_off_local(catalogued, measured, mask, results, settings, saturation, threads)
    apertures = _settings(wanted, config)
    arrays = (
        results.fluxes, results.errors, results.radii, results.curves, results.vignets,
        results.shifted,
    )  # fmt: skip

    def some(first: int, last: int) -> None:
        aperture_nb.measure_apertures(
            catalogued.footprints.objects, catalogued.source, catalogued.lines, sought.plane,
            measured.plane, mask, apertures, first, last, results.measured, arrays,
        )  # fmt: skip

    in_threads(some, rows, threads)
    return replace(
        results,
        objects=catalogued.footprints.objects[catalogued.source],
        seconds=(time.perf_counter() - start) / max(rows, 1),
    )


def _take_off_local(
    catalogued: Catalogued,
    measured: PreparedImage,
    mask: Mask,
    results: Measurements,
    settings: tuple[int, int, int, int, int],
    saturation: float,
    threads: int,
) -> None:
    """Measure the local backgrounds and take them off the isophotal quantities.

    See `local_nb.local_offsets` for the settings.
    """
    prints, survivor = catalogued.footprints, catalogued.survivor
    offsets = np.empty(prints.objects.size, np.float32)

    def find(first: int, last: int) -> None:
        local_nb.local_offsets(
            prints.objects, survivor, prints.starts, prints.pixels, measured.plane, mask, settings,
            first, last, offsets,
        )  # fmt: skip

    in_threads(find, offsets.size, threads)
    peaks = local_nb.take_off_fluxes(
        prints.objects, survivor, prints.starts, prints.pixels, measured.plane, offsets
    )

    def apply(first: int, last: int) -> None:
        local_nb.apply_offsets(
            prints.objects, catalogued.source, prints.starts, prints.pixels, measured.plane,
            float(saturation), offsets, peaks, first, last, results.measured,
        )  # fmt: skip

    in_threads(apply, catalogued.source.size, threads)


def _blank(catalogued: Catalogued, wanted: Wanted, config: DetectConfig) -> Measurements:
    """Room for the measurements."""
    rows = catalogued.source.size

    def singles(*shape: int) -> Singles:
        return np.empty((rows, *shape), np.float32)

    return Measurements(
        objects=catalogued.footprints.objects[catalogued.source],
        measured=np.zeros(rows, MEASURED),
        fluxes=singles(wanted.circles),
        errors=singles(wanted.circles),
        radii=singles(len(config.flux_fraction)),
        curves=np.empty((rows, 64 if wanted.curve else 0)),
        vignets=singles(wanted.vignet[1], wanted.vignet[0]),
        shifted=singles(wanted.shifted[1], wanted.shifted[0]),
        seconds=0.0,
    )


def _settings(wanted: Wanted, config: DetectConfig) -> tuple[Any, ...]:
    """What the kernel is told; see `aperture_nb.measure_apertures`."""
    kron = (config.kron_factor, config.kron_min_radius, *config.auto_apertures)
    petro = (config.petro_factor, config.petro_min_radius, *config.auto_apertures)
    return (
        np.array(config.apertures[: wanted.circles], np.float64), kron, petro,
        np.array(config.flux_fraction, np.float64),
        (wanted.auto, wanted.petro, wanted.growth, wanted.window),
    )  # fmt: skip
