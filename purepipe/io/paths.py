"""Names and paths that come out of files: refused when they could lead elsewhere."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from purepipe.errors import InputFileError, StoreError

_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*")


def safe_name(name: str, *, file: object = None, key: str | None = None) -> str:
    """`name`, when it can be the name of a file or folder and nothing else.

    Raises
    ------
    InputFileError
        The name is empty, starts with a dot, or holds a separator, a blank or a control character.
    """
    if not _NAME.fullmatch(name):
        raise InputFileError(
            "the name cannot be that of a product", file=file, key=key, got=repr(name),
            allowed="letters, digits and . _ + -, without a dot in front",
            remedy="Rename the file, or correct the expression that finds the number.",
        )  # fmt: skip
    return name


def inside(root: Path, name: str) -> Path:
    """The path of a product inside the folder `root`.

    Raises
    ------
    StoreError
        `name` is absolute, holds ``..``, or leads out of the folder through a link.
    """
    relative = PurePosixPath(name)
    path = root / name
    if relative.is_absolute() or ".." in relative.parts or not _stays(root, path):
        raise StoreError(
            "a product lies outside the folder of the run", file=root, got=repr(name),
            remedy="The ledger was tampered with or damaged; move it away and run again.",
        )  # fmt: skip
    return path


def _stays(root: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())
