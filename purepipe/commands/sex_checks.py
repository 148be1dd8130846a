"""Check-images of ``purepipe sex``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from purepipe.commands.sex_job import Job
from purepipe.errors import ConfigError
from purepipe.io.sex_images import WriteCheck, mesh_cards

if TYPE_CHECKING:
    from purepipe.detect import Detection
    from purepipe.exposure import Exposure


def write_checks(
    job: Job,
    detection: Detection,
    measured: Exposure,
    cards: Sequence[str],
    writers: Mapping[str, WriteCheck],
) -> None:
    """Write the check-images of one image, with its header."""
    for kind, write in writers.items():
        mini = kind.startswith("MINI")
        header = mesh_cards(cards, detection.background.mesh) if mini else cards
        write(_array(kind, detection, measured), header)


def _array(kind: str, detection: Detection, measured: Exposure) -> Any:
    background = detection.background
    if kind == "IDENTICAL":
        return measured.image
    if kind == "BACKGROUND":
        return background.image()
    if kind == "BACKGROUND_RMS":
        return background.rms_image()
    if kind == "MINIBACKGROUND":
        return background.level_map
    if kind == "MINIBACK_RMS":
        return background.rms_map
    if kind == "SEGMENTATION":
        return detection.segmentation.data
    raise ConfigError("not available yet", key="CHECKIMAGE_TYPE", got=kind)
