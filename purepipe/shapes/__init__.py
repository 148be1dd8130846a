"""Shapes by metacalibration, and their calibration."""

from purepipe.shapes.calibrate import ShearBias, ShearEstimate, bias, calibrate
from purepipe.shapes.images import metacal_images
from purepipe.shapes.measure import half_light_radius, measure_shapes, shapes_hdus
from purepipe.shapes.metacal import TYPES, FitOptions, MetacalResult, metacal_fit

__all__ = [
    "TYPES",
    "FitOptions",
    "MetacalResult",
    "ShearBias",
    "ShearEstimate",
    "bias",
    "calibrate",
    "half_light_radius",
    "measure_shapes",
    "metacal_fit",
    "metacal_images",
    "shapes_hdus",
]
