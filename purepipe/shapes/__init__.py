"""Shapes by metacalibration, and their calibration."""

from purepipe.shapes.calibrate import ShearBias, ShearEstimate, bias, calibrate
from purepipe.shapes.cell_epochs import Cell, CellArea, CellEpoch, gather_cell, tile_cells
from purepipe.shapes.cells import CellTransfer, cell_images, cell_transfer
from purepipe.shapes.detections import (
    CellDetections,
    calibrate_detections,
    cells_table,
    detections_table,
    measure_cell,
)
from purepipe.shapes.images import metacal_images
from purepipe.shapes.library import GalaxyLibrary, draw_library
from purepipe.shapes.measure import half_light_radius, measure_shapes, shapes_hdus
from purepipe.shapes.metacal import TYPES, FitOptions, metacal_fit
from purepipe.shapes.metacal_result import MetacalResult
from purepipe.shapes.metadetect import (
    CellCatalogue,
    cell_sums,
    metadetect,
    metadetect_shear,
)
from purepipe.shapes.selftest import EXPECTED_M, ShearTest, selftest_shear

__all__ = [
    "EXPECTED_M",
    "TYPES",
    "Cell",
    "CellArea",
    "CellCatalogue",
    "CellDetections",
    "CellEpoch",
    "CellTransfer",
    "FitOptions",
    "GalaxyLibrary",
    "MetacalResult",
    "ShearBias",
    "ShearEstimate",
    "ShearTest",
    "bias",
    "calibrate",
    "calibrate_detections",
    "cell_images",
    "cell_sums",
    "cell_transfer",
    "cells_table",
    "detections_table",
    "draw_library",
    "gather_cell",
    "half_light_radius",
    "measure_cell",
    "measure_shapes",
    "metacal_fit",
    "metacal_images",
    "metadetect",
    "metadetect_shear",
    "selftest_shear",
    "shapes_hdus",
    "tile_cells",
]
