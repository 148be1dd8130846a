"""Files appear under their final name only when they are complete."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir

from purepipe.errors import StoreError

# A scratch file never matches the patterns by which images and catalogues are found.
SCRATCH_SUFFIX = ".part"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# The array library and the FITS library report a disk that filled up in words alone.
_SHORT = re.compile(r"\d+ requested and \d+ written|[Nn]ot enough space on disk")
_STREAMS = {Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd")}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """A scratch path beside `path` that takes its place when the block ends without an error.

    The scratch file lies in the same folder, is synchronised to the disk, then renamed. An error
    inside the block removes it and leaves an earlier file of the final name as it was. Devices
    and pipes (``/dev/null``, ``/dev/stdout``) are never replaced: the complete file is copied into
    them.

    Parameters
    ----------
    path
        Final name; its folder must exist.
    durable
        Wait until the disk has it. Without, the file is still complete or absent when this program
        is killed, but not when the machine loses its power: for products that are quickly remade.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written, the disk is full, or the block wrote nothing.
    """
    final = Path(path)
    if not final.parent.is_dir():
        raise StoreError(
            "the folder of the output does not exist", file=final, remedy="Make the folder first."
        )
    if final.is_dir():
        raise StoreError("a folder has the name of the output", file=final)
    stream = is_stream(final)
    folder = Path(gettempdir()) if stream else final.parent
    scratch = folder / f".{final.name}.{os.getpid()}-{token_hex(4)}{SCRATCH_SUFFIX}"
    try:
        yield scratch
        if not scratch.exists():
            raise StoreError("nothing was written", file=final)
        if stream:
            with scratch.open("rb") as whole, final.open("wb") as open_stream:
                shutil.copyfileobj(whole, open_stream)
            return
        if durable:
            _synchronise(scratch)
        scratch.replace(final)
        if durable:
            with suppress(OSError):  # not every file system can synchronise a folder
                _synchronise(final.parent)
    except OSError as error:
        if error.errno in _NO_ROOM or (error.errno is None and _SHORT.search(str(error))):
            remedy = "Free space on the disk, or choose another output folder."
        elif error.errno in _REFUSED:
            remedy = "Check the permissions of the output folder."
        else:
            raise
        raise StoreError(
            f"cannot be written: {error.strerror or 'the disk is full'}", file=final, remedy=remedy
        ) from error
    finally:
        with suppress(OSError):
            scratch.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8, line ends kept) so that the file is complete or absent."""
    with atomic_write(path) as scratch:
        scratch.write_text(text, encoding="utf-8", newline="")


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe or a stream of this program, which no file may replace."""
    if path.parent.absolute() in _STREAMS:
        return path.exists()
    return path.exists() and not path.is_file() and not path.is_dir()


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
