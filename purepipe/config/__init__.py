"""Configuration of every step: one frozen dataclass each, checked when it is made."""

from purepipe.config.detect import DetectConfig
from purepipe.config.fields import describe, from_mapping, option, to_mapping
from purepipe.config.mask import MaskConfig
from purepipe.config.metadetect import MetadetectConfig
from purepipe.config.psf import PSFConfig, PSFInterpolationConfig
from purepipe.config.select import StarConfig
from purepipe.config.shapes import ShapeConfig, SpreadConfig
from purepipe.config.simulate import SimulateConfig
from purepipe.config.survey import EpochConfig, SurveyConfig

__all__ = [
    "DetectConfig",
    "EpochConfig",
    "MaskConfig",
    "MetadetectConfig",
    "PSFConfig",
    "PSFInterpolationConfig",
    "ShapeConfig",
    "SimulateConfig",
    "SpreadConfig",
    "StarConfig",
    "SurveyConfig",
    "describe",
    "from_mapping",
    "option",
    "to_mapping",
]
