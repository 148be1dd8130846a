"""Who works on a store: one run, or shards beside each other. The system frees a dead one's locks.

No clock and no process number is compared, so that a wrong clock or a reused number cannot fool a
run. The file system must honour `flock`: local disks, NFS from version 4, GPFS, CephFS, and Lustre
mounted with ``flock`` do.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from purepipe.errors import ConfigError, StoreError

LOCK = ".lock"
_WHOLE = "run"
_PATIENCE = 1.0  # seconds; another process may hold a lock for a moment, to see who lives
_PREPARING = 900.0  # seconds; the first shard checks the whole ledger before it lets others in


@dataclass(frozen=True)
class Shard:
    """One of several processes that share a store: number `index` (from 1) of `count`."""

    index: int
    count: int

    @property
    def name(self) -> str:
        """As in messages and in the ledger: ``"shard 3"``."""
        return f"shard {self.index}"


@dataclass(frozen=True)
class Hold:
    """The right to work on a store, kept until it is closed.

    Attributes
    ----------
    owner
        Name in the ledger: ``"run"`` or ``"shard 3"``.
    alone
        True when nobody else worked on the store at the start.
    """

    owner: str
    alone: bool
    files: tuple[IO[str], ...]

    def share(self) -> None:
        """Let other shards in, once the ledger is prepared.

        Raises
        ------
        StoreError
            Another process took the store in between; systems may free a lock to change its kind.
        """
        if self.owner == _WHOLE or not self.alone:
            return
        if not _patiently(self.files[0], shared=True):
            root = Path(self.files[0].name).parent
            raise _busy(root, "another run took this folder", self.files[0])

    def close(self) -> None:
        """Give the store free."""
        for file in self.files:
            file.close()


def parse_shard(text: str) -> Shard:
    """A shard from ``"3/16"``: the third of 16.

    Raises
    ------
    ConfigError
        Not two numbers, or the first is not between 1 and the second.
    """
    index, _, count = text.partition("/")
    if not (index.isascii() and index.isdigit() and count.isascii() and count.isdigit()):
        raise ConfigError(
            "a shard is two numbers", key="--shard", got=text, allowed="i/n, as in 3/16"
        )
    shard = Shard(int(index), int(count))
    if not 1 <= shard.index <= shard.count:
        raise ConfigError(
            "out of range", key="--shard", got=text, allowed=f"1/{count} to {count}/{count}",
            remedy="Shards are counted from 1.",
        )  # fmt: skip
    return shard


def hold_store(root: Path, shard: Shard | None = None) -> Hold:
    """Take the store in the folder `root` for one run, or for a shard beside other shards.

    Raises
    ------
    StoreError
        Another run, or the same shard, works there; or the file system has no locks.
    """
    whole = (root / LOCK).open("a+")
    taken = [whole]
    try:
        if shard is None:
            if not _patiently(whole):
                raise _busy(root, "another run works in this folder", whole)
            _sign(whole, _WHOLE)
            return Hold(_WHOLE, True, (whole,))
        own = (root / _shard_file(shard.name)).open("a+")
        taken.append(own)
        if not _patiently(own):
            raise _busy(root, f"{shard.name} works in this folder already", own)
        _sign(own, shard.name)
        alone = _enter(root, whole)
        if alone:
            _sign(whole, shard.name)
        return Hold(shard.name, alone, (whole, own))
    except BaseException:
        for file in taken:
            file.close()
        raise


def lives(root: Path, owner: str) -> bool:
    """True when the process that took the store as `owner`, not this one, is still there."""
    path = root / (LOCK if owner == _WHOLE else _shard_file(owner))
    if not path.exists():
        return False
    # Another user's run can be looked at, too.
    with path.open("a+" if os.access(path, os.W_OK) else "r") as file:
        return not _flock(file, shared=True)  # who looks does not keep out who else looks


def at_work(root: Path) -> list[str]:
    """One line for each process that works on the store now: what, where, since when."""
    found = []
    for path in sorted(root.glob(".shard-*")):
        owner = path.name[1:].replace("-", " ", 1)
        if lives(root, owner):
            found.append(_signature(path))
    if not found and lives(root, _WHOLE):
        found.append(_signature(root / LOCK))
    return found


def _enter(root: Path, whole: IO[str]) -> bool:
    """Let a shard in: True when nobody else works on the store, so that it prepares the ledger."""
    if _patiently(whole):
        return True
    start = time.monotonic()
    # Alone first, so that of one that died preparing somebody takes the place.
    while not (alone := _flock(whole)) and not _flock(whole, shared=True):
        waited = time.monotonic() - start
        owner = _note(Path(whole.name)).get("owner", _WHOLE)
        if owner == _WHOLE and waited > _PATIENCE:
            raise _busy(root, "a run without --shard works in this folder", whole)
        if waited > _PREPARING:
            raise _busy(root, f"{owner} still prepares the ledger", whole)
        time.sleep(0.05)
    return alone


def _shard_file(owner: str) -> str:
    return f".{owner.replace(' ', '-')}"


def _flock(file: IO[str], *, shared: bool = False) -> bool:
    """Try to lock a file; False when somebody else holds it."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return True
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(
            f"the file system has no locks: {error.strerror}", file=file.name,
            remedy="Choose a local disk with --out, or mount the file system with flock.",
        ) from error  # fmt: skip
    return True


def _patiently(file: IO[str], *, shared: bool = False) -> bool:
    end = time.monotonic() + _PATIENCE
    while not _flock(file, shared=shared):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _sign(file: IO[str], owner: str) -> None:
    """Leave a note of who holds the lock; for messages only."""
    note = {
        "owner": owner, "host": socket.gethostname(), "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }  # fmt: skip
    file.truncate(0)
    file.write(json.dumps(note))
    file.flush()


def _note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _signature(path: Path) -> str:
    note = _note(path)
    try:
        return f"{note['owner']}: process {note['pid']} on {note['host']} since {note['since']}"
    except KeyError:
        return path.name


def _busy(root: Path, message: str, file: IO[str]) -> StoreError:
    return StoreError(
        message, file=root, got=_signature(Path(file.name)),
        remedy="Wait for it to end, or choose another folder with --out.",
    )  # fmt: skip
