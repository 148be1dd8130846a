"""Configuration of the mask step."""

from __future__ import annotations

from dataclasses import dataclass

from purepipe.config.fields import check, option


@dataclass(frozen=True)
class MaskConfig:
    """Which pixels are masked, and with which bit."""

    border_width: int = option(
        50, "Width of the masked border.", unit="pixel", minimum=0, original="mask:BORDER_WIDTH"
    )

    def __post_init__(self) -> None:
        check(self)
