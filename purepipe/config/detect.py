"""Configuration of the detection step."""

from __future__ import annotations

from dataclasses import dataclass

from purepipe.config.fields import check, option


@dataclass(frozen=True)
class DetectConfig:
    """How sources are found and measured; the keys stand for SExtractor's."""

    threshold: float = option(
        1.5, "Detection threshold above the filtered background noise.", unit="sigma", minimum=0,
        original="sex:DETECT_THRESH",
    )  # fmt: skip
    engine: str = option(
        "sep", "Engine of background and extraction.", choices=("exact", "sep")
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
