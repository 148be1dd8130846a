"""The detection step: from an exposure to a catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe._threads import in_threads
from purepipe.catalogue.requests import SPREAD_COLUMNS, requested_columns
from purepipe.catalogue.table import Columns, build_table
from purepipe.config.detect import DetectConfig
from purepipe.detect import components_nb, footprint_nb
from purepipe.detect.associate import associate
from purepipe.detect.background import Background
from purepipe.detect.checks import Seen, check_images, require_known
from purepipe.detect.classify import StarNetwork, class_star
from purepipe.detect.columns import wanted_measurements
from purepipe.detect.exact_engine import Continuation, catalogue_objects, find_footprints
from purepipe.detect.footprints import (
    Catalogued,
    Footprints,
    Thresholded,
    threshold_image,
    threshold_level,
)
from purepipe.detect.photometry import measure_objects
from purepipe.detect.pixel_flags import pixel_flag_columns, usable_maps
from purepipe.detect.planes import PreparedImage, prepare_images
from purepipe.detect.segmentation import Segmentation
from purepipe.detect.sep_engine import find_objects_sep
from purepipe.detect.spread import TabulatedPSF, spread_columns
from purepipe.detect.tabulate import detection_columns, detection_metadata
from purepipe.display import brief, card
from purepipe.errors import DataError
from purepipe.exposure import Exposure

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Detection:
    """What the detection step found.

    Attributes
    ----------
    columns
        Arrays with one row per object by SExtractor's names, in its conventions (positions from 1).
    meta
        What SExtractor writes into headers: SEXBKGND, SEXNDET, ...
    background
        Sky of the measured image.
    segmentation
        Pixels of the objects.
    checks
        The check-images that were asked for, by SExtractor's names.
    """

    columns: Columns
    meta: Mapping[str, Any]
    background: Background
    segmentation: Segmentation
    checks: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @cached_property
    def table(self) -> Table:
        """The columns as a table with units and descriptions, and `meta`."""
        return build_table(self.columns, rows=self.meta["SEXNFIN"], meta=self.meta)

    __repr__ = brief

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the pixels of the objects into the axes, or into new ones."""
        return self.segmentation.plot(ax)

    def _repr_html_(self) -> str:
        facts = (
            ("objects", f"{self.meta['SEXNFIN']:,}"),
            ("columns", f"{len(self.columns)}"),
            ("background", f"{self.background.level:.6g} ADU"),
            ("rms", f"{self.background.rms:.6g} ADU"),
            ("check-images", ", ".join(self.checks)),
        )
        return card("Detection", facts, self.plot)


def extract(
    exposure: Exposure,
    config: DetectConfig = DetectConfig(),  # noqa: B008 - frozen
    *,
    detection: Exposure | None = None,
    psf: TabulatedPSF | None = None,
    network: StarNetwork | None = None,
    catalogue: ArrayLike | None = None,
    flag_maps: Iterable[ArrayLike] = (),
    checks: Iterable[str] = (),
    after: Continuation | None = None,
    overwrite_input: bool = False,
    threads: int = 1,
) -> Detection:
    """Catalogue of the sources of an exposure, with the sky background and the segmentation.

    Parameters
    ----------
    exposure
        Image to measure. Pixels that are not finite count as bad: as if their weight were zero.
    config
        Thresholds, deblending, apertures; `DetectConfig.exposure()` and `DetectConfig.tile()`
        are the settings of a survey's single exposures and stacks.
    detection
        Another image of the same size on which the objects are found and their shapes measured.
    psf
        Needed for SPREAD_MODEL: a PSF on a grid, such as `purepipe.psf.PSFModel`.
    network
        Needed for CLASS_STAR; `purepipe.legacy.astromatic_files.read_neural_network` reads one.
    catalogue
        Rows of numbers (entries, columns) to which the objects are associated, for VECTOR_ASSOC.
    flag_maps
        (ny, nx) maps of whole numbers, at most 31 bits, for IMAFLAGS_ISO, in this order. Those of
        an iterator are taken, one by one, if that is a column. Default: the flags of the exposure.
    checks
        Check-images to make, by SExtractor's names: ``"-BACKGROUND"``, ``"APERTURES"``, ...
    after
        Where the images before in the same file have left off, as SExtractor counts; it is moved
        on. Default: a file of its own.
    overwrite_input
        Use the memory of image and weight (of `detection`, too) for the background-subtracted
        image and its variance: the exposures are worthless afterwards. It halves the memory.
        Arrays that were read-only when the exposure was made, and mapped files, stay as they are;
        the result is the same.
    threads
        Number of threads; the result does not depend on it.

    Returns
    -------
    Detection
        ``table`` has one row per object, in SExtractor's order; none if nothing was found.

    Raises
    ------
    DataError
        No exposure; no usable pixel; two images or a flag map of different sizes; a flag map of
        other numbers.
    ConfigError
        A column lacks what it needs (a PSF, a network), or a check-image is unknown.

    Notes
    -----
    Bertin & Arnouts (1996), A&AS 117, 393; details as in SExtractor 2.25.
    """
    checks = tuple(checks)
    _require_usable(exposure, detection, checks)
    maps = usable_maps(flag_maps, exposure)
    sought, measured = prepare_images(
        exposure, detection, config, overwrite_input=overwrite_input, threads=threads
    )
    found = threshold_image(sought, config, threads=threads)
    catalogued = find_objects(sought, measured, found, exposure, config, after, threads)
    catalogued, extra = _associated(catalogued, catalogue, exposure, config)
    names = [item.name for item in requested_columns(config)]
    extra |= pixel_flag_columns(names, catalogued, maps, sought, measured, config)
    results = measure_objects(
        catalogued, sought, measured, config, saturation=exposure.saturation, threads=threads
    )
    extra |= classifiers(
        catalogued, results.objects, measured, config, network=network, psf=psf,
        saturation=exposure.saturation, threads=threads,
    )  # fmt: skip
    columns = detection_columns(results, exposure, config, extra)
    meta = detection_metadata(results, exposure, measured, sought, config)
    meta["SEXNDET"] = int(catalogued.footprints.objects.size)
    numbers = catalogue_numbers(catalogued)
    images = check_images(
        checks, Seen(sought, measured, catalogued, results, numbers, config, threads)
    )
    return Detection(
        columns, meta, measured.background,
        numbered_segmentation(catalogued, numbers, threads), images,
    )  # fmt: skip


def _require_usable(
    exposure: Exposure,
    detection: Exposure | None,
    checks: Iterable[str],
) -> None:
    """Refuse what cannot be extracted; see `extract` for the errors."""
    if not isinstance(exposure, Exposure):
        raise DataError(
            "the image must be an Exposure", got=type(exposure).__name__,
            remedy="Of an array: purepipe.Exposure(image).",
        )  # fmt: skip
    if detection is not None and detection.shape != exposure.shape:
        raise DataError(
            "detection and measurement image differ in size", file=detection.name,
            got=detection.shape, allowed=exposure.shape,
        )  # fmt: skip
    require_known(checks)


def _associated(
    catalogued: Catalogued,
    catalogue: ArrayLike | None,
    exposure: Exposure,
    config: DetectConfig,
) -> tuple[Catalogued, dict[str, NDArray[Any]]]:
    """The objects to keep after association with a catalogue, and the columns that it gives.

    All of them, and no column, if no column of an association is asked for.
    """
    if not wanted_measurements(config).assoc:
        return catalogued, {}
    objects = catalogued.footprints.objects[catalogued.source]
    found = associate(
        objects["x"], objects["y"], catalogue, config, wcs=exposure.wcs, height=exposure.shape[0]
    )
    keep = found.selected(config.assoc_select)
    columns: dict[str, NDArray[Any]] = {
        "NUMBER_ASSOC": found.counts[keep], "VECTOR_ASSOC": found.vectors[keep],
    }  # fmt: skip
    kept = replace(catalogued, source=catalogued.source[keep], lines=catalogued.lines[keep])
    return kept, columns


def classifiers(
    catalogued: Catalogued,
    objects: NDArray[Any],
    measured: PreparedImage,
    config: DetectConfig,
    *,
    network: StarNetwork | None,
    psf: TabulatedPSF | None,
    saturation: float,
    threads: int,
) -> dict[str, NDArray[Any]]:
    """CLASS_STAR and the SPREAD columns, as far as they are asked for."""
    names = [item.name for item in requested_columns(config)]
    columns: dict[str, NDArray[Any]] = {}
    if "CLASS_STAR" in names:
        columns["CLASS_STAR"] = class_star(
            objects, network, seeing=config.seeing, pixel_scale=measured.pixel_scale,
            threshold=_analysis_threshold(measured, config),
        )  # fmt: skip
    if any(name in SPREAD_COLUMNS for name in names):
        columns |= spread_columns(
            catalogued, measured, psf, config, saturation=saturation, threads=threads
        )
    return columns


def find_objects(
    sought: PreparedImage,
    measured: PreparedImage,
    found: Thresholded,
    exposure: Exposure,
    config: DetectConfig,
    after: Continuation | None,
    threads: int,
) -> Catalogued:
    """Objects found, cleaned and in output order, by the engine that is configured."""
    if config.engine == "sep":
        catalogued = find_objects_sep(sought, found, config)
        measure_isophotes(catalogued.footprints, sought, measured, exposure, config, threads)
        return catalogued
    prints = find_footprints(sought, found, config, after=after, threads=threads)
    measure_isophotes(prints, sought, measured, exposure, config, threads)
    two_images = sought.plane.image is not measured.plane.image
    return catalogue_objects(prints, found, config, two_images=two_images, threads=threads)


def measure_isophotes(
    prints: Footprints,
    sought: PreparedImage,
    measured: PreparedImage,
    exposure: Exposure,
    config: DetectConfig,
    threads: int,
) -> None:
    """Fill the isophotal fields of the objects."""
    plane, background = measured.plane, measured.background
    threshold = _analysis_threshold(measured, config)
    settings = (
        np.float32(threshold), float(exposure.saturation), background.level_map, background.mesh,
        config.min_area, sought.plane.noise2,
    )  # fmt: skip

    def some(first: int, last: int) -> None:
        footprint_nb.measure_objects(
            prints.objects, prints.starts, prints.pixels, prints.values, prints.thresholds, plane,
            settings, first, last,
        )  # fmt: skip

    in_threads(some, prints.objects.size, threads)


def catalogue_numbers(catalogued: Catalogued) -> NDArray[np.int32]:
    """Catalogue number of each label; 0 for those of no row."""
    count = catalogued.footprints.objects.size
    numbers = np.zeros(count + 2, np.int32)
    row_of = np.full(count + 1, -1, np.int64)
    row_of[catalogued.source] = np.arange(catalogued.source.size)
    numbers[2:] = row_of[catalogued.survivor] + 1
    return numbers


def _analysis_threshold(measured: PreparedImage, config: DetectConfig) -> float:
    kind = config.analysis_threshold_type or config.threshold_type
    return threshold_level(config.analysis_threshold, config.analysis_zero_point, kind, measured)


def numbered_segmentation(
    catalogued: Catalogued, numbers: NDArray[np.int32], threads: int
) -> Segmentation:
    """The map of catalogue numbers; it takes the place of the map of labels."""
    data = catalogued.labels

    def some_rows(first: int, last: int) -> None:
        components_nb.number_pixels(data, numbers, first, last)

    in_threads(some_rows, data.shape[0], threads)
    return Segmentation(data)
