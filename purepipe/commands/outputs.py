"""What the original programs' commands check about their output files before they begin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from purepipe.errors import ConfigError
from purepipe.io.atomic import is_stream
from purepipe.legacy.astromatic import Settings


def require_folder(settings: Settings, key: str, folder: Path) -> None:
    """Raise ConfigError where the folder of the output that `key` names does not exist."""
    if not folder.is_dir():
        raise ConfigError(
            "the output folder does not exist", file=settings.file or None,
            key=settings[key].where, got=folder, remedy="Make the folder, or name another one.",
        )  # fmt: skip


def require_other_files(
    settings: Settings, outputs: Iterable[tuple[str, Path]], inputs: Iterable[Path]
) -> None:
    """Raise ConfigError where an output, given with its keyword, is an input.

    The originals write over it without a word. Devices and pipes are not replaced.
    """
    read = {path.resolve() for path in (*inputs, Path(settings.file or "."))}
    for key, path in outputs:
        if path.resolve() in read and not is_stream(path):
            raise ConfigError(
                "an output would replace an input", file=settings.file or None,
                key=settings[key].where, got=path, remedy="Name another output.",
            )  # fmt: skip
