"""Detection: background, segmentation and measurement of the sources of an image."""

from purepipe.detect.background import Background, estimate_background
from purepipe.detect.extract import Detection, extract
from purepipe.detect.forced import detect_sources, measure
from purepipe.detect.segmentation import Segmentation

__all__ = [
    "Background",
    "Detection",
    "Segmentation",
    "detect_sources",
    "estimate_background",
    "extract",
    "measure",
]
