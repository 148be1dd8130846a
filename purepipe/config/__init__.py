"""Configuration of every step: one frozen dataclass each, checked when it is made.

Names are imported on first use: a command needs the configuration of its own step only.
"""

from typing import TYPE_CHECKING

from purepipe._lazy import lazy_names

if TYPE_CHECKING:
    from purepipe.config.detect import DetectConfig as DetectConfig
    from purepipe.config.fields import describe as describe
    from purepipe.config.fields import from_mapping as from_mapping
    from purepipe.config.fields import option as option
    from purepipe.config.fields import to_mapping as to_mapping
    from purepipe.config.mask import MaskConfig as MaskConfig
    from purepipe.config.metadetect import MetadetectConfig as MetadetectConfig
    from purepipe.config.psf import PSFConfig as PSFConfig
    from purepipe.config.psf import PSFInterpolationConfig as PSFInterpolationConfig
    from purepipe.config.select import StarConfig as StarConfig
    from purepipe.config.shapes import ShapeConfig as ShapeConfig
    from purepipe.config.shapes import SpreadConfig as SpreadConfig
    from purepipe.config.simulate import SimulateConfig as SimulateConfig
    from purepipe.config.survey import EpochConfig as EpochConfig
    from purepipe.config.survey import SurveyConfig as SurveyConfig

# Public name -> module of this folder that holds it.
_HOMES = {
    "DetectConfig": "detect",
    "EpochConfig": "survey",
    "MaskConfig": "mask",
    "MetadetectConfig": "metadetect",
    "PSFConfig": "psf",
    "PSFInterpolationConfig": "psf",
    "ShapeConfig": "shapes",
    "SimulateConfig": "simulate",
    "SpreadConfig": "shapes",
    "StarConfig": "select",
    "SurveyConfig": "survey",
    "describe": "fields",
    "from_mapping": "fields",
    "option": "fields",
    "to_mapping": "fields",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - the names are strings

if not TYPE_CHECKING:  # type checkers know the names from above
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
