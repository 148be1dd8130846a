"""Measurements of catalogued objects: apertures, growth curves, windows and stamps."""

from __future__ import annotations

import numpy as np

from purepipe.config.detect import DetectConfig
from purepipe.detect import aperture_nb
from purepipe.detect.background import in_threads
from purepipe.detect.footprints import Catalogued
from purepipe.detect.planes import PreparedImage
from purepipe.detect.records_nb import MEASURED, Mask
from purepipe.detect.tabulate import Measurements


def measure_objects(
    catalogued: Catalogued,
    sought: PreparedImage,
    measured: PreparedImage,
    config: DetectConfig,
    *,
    threads: int = 1,
) -> Measurements:
    """All aperture measurements of the catalogue rows."""
    rows = catalogued.source.size
    circles, fractions = len(config.apertures), len(config.flux_fraction)
    out = np.zeros(rows, MEASURED)
    fluxes, errors = (np.empty((rows, circles), np.float32) for _ in range(2))
    radii = np.empty((rows, fractions), np.float32)
    vignets = np.empty((rows, config.vignet[1], config.vignet[0]), np.float32)
    mask = Mask(
        catalogued.labels, catalogued.visible, config.mask_type != "none",
        config.mask_type == "correct",
    )  # fmt: skip
    kron = (config.kron_factor, config.kron_min_radius, *config.auto_apertures)
    # The original measures, and flags, the Petrosian aperture only if a column needs it.
    wanted = any("PETRO" in name for name in config.columns)
    petro = (config.petro_factor if wanted else 0.0, config.petro_min_radius)
    settings = (
        np.array(config.apertures), kron, (*petro, *config.auto_apertures),
        np.array(config.flux_fraction, np.float64),
    )  # fmt: skip

    def some(first: int, last: int) -> None:
        aperture_nb.measure_apertures(
            catalogued.footprints.objects, catalogued.source, catalogued.lines, sought.plane,
            measured.plane, mask, settings, first, last, out, (fluxes, errors, radii, vignets),
        )  # fmt: skip

    in_threads(some, rows, threads)
    objects = catalogued.footprints.objects[catalogued.source]
    return Measurements(objects, out, fluxes, errors, radii, vignets)
