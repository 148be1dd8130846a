"""Shapes by metacalibration, and their calibration."""

from purepipe.shapes.calibrate import ShearBias, ShearEstimate, bias, calibrate
from purepipe.shapes.images import metacal_images
from purepipe.shapes.measure import half_light_radius, measure_shapes, shapes_hdus
from purepipe.shapes.metacal import TYPES, FitOptions, MetacalResult, metacal_fit
from purepipe.shapes.selftest import ShearTest, draw_library, selftest_shear

__all__ = [
    "TYPES",
    "FitOptions",
    "MetacalResult",
    "ShearBias",
    "ShearEstimate",
    "ShearTest",
    "bias",
    "calibrate",
    "draw_library",
    "half_light_radius",
    "measure_shapes",
    "metacal_fit",
    "metacal_images",
    "selftest_shear",
    "shapes_hdus",
]
