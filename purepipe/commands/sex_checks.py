"""Check-images of ``purepipe sex``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from purepipe.io.sex_images import WriteCheck, mesh_cards

if TYPE_CHECKING:
    from purepipe.detect import Detection
    from purepipe.exposure import Exposure

IDENTICAL = "IDENTICAL"


def extracted_checks(writers: Mapping[str, WriteCheck]) -> tuple[str, ...]:
    """The check-images that the detection has to make: all but the image itself."""
    return tuple(kind for kind in writers if kind != IDENTICAL)


def write_checks(
    detection: Detection,
    measured: Exposure,
    cards: Sequence[str],
    writers: Mapping[str, WriteCheck],
) -> None:
    """Write the check-images of one image, with its header."""
    for kind, write in writers.items():
        mesh = kind.startswith("MINI")
        header = mesh_cards(cards, detection.background.mesh) if mesh else cards
        write(measured.image if kind == IDENTICAL else detection.checks[kind], header)
