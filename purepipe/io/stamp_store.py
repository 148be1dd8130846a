"""Stamps of all objects and epochs in one SQLite file, without pickles.

Two tables: `objects` lists every object, also those without any epoch; `stamps` holds one row per
object, epoch and quantity, with the type and the shape of the array beside its bytes (little
endian). A quantity inside another one has a path for a name: ``SHAPES/E1_PSF_HSM``.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import DataError, InputFileError, StoreError
from purepipe.io.atomic import atomic_write
from purepipe.io.layout import open_input

EMPTY = "empty"
Epochs = Mapping[str, Mapping[str, Any]]
_KINDS = "biufU"
_SCHEMA = (
    "CREATE TABLE objects (object TEXT PRIMARY KEY)",
    "CREATE TABLE stamps (object TEXT, epoch TEXT, name TEXT, dtype TEXT, shape TEXT, data BLOB,"
    " PRIMARY KEY (object, epoch, name))",
)


class StampStore(Mapping[str, dict[str, dict[str, Any]]]):
    """Stamps by object and epoch: ``store["1"]["2104127-35"]["VIGNET"]`` is an array.

    An object without epochs gives an empty dictionary. Objects and epochs come in the order in
    which they were written. Close the store after use, or open it in a ``with`` statement.

    Parameters
    ----------
    path
        File written by `write_stamp_store`.

    Raises
    ------
    InputFileError
        The file is missing, no stamp store, damaged, or holds Python pickles.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        _refuse_other_files(self.path)
        # Read-only, and free for any thread: nothing but SELECT is ever sent.
        address = f"file:{quote(str(self.path.resolve()))}?mode=ro&immutable=1"
        self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        try:
            self._check_tables()
        except BaseException:
            self.close()
            raise

    def __getitem__(self, key: str) -> dict[str, dict[str, Any]]:
        rows = self._select(
            "SELECT epoch, name, dtype, shape, data FROM stamps WHERE object = ? ORDER BY rowid",
            (str(key),),
        )
        epochs: dict[str, dict[str, Any]] = {}
        for epoch, name, dtype, shape, data in rows:
            *folders, last = name.split("/")
            place = epochs.setdefault(epoch, {})
            for folder in folders:
                place = place.setdefault(folder, {})
            place[last] = _decode(data, dtype, shape, self.path)
        if not epochs and key not in self:
            raise KeyError(key)
        return epochs

    def __contains__(self, key: object) -> bool:
        query = "SELECT 1 FROM objects WHERE object = ?"
        return bool(self._select(query, (str(key),)))

    def __iter__(self) -> Iterator[str]:
        rows = self._select("SELECT object FROM objects ORDER BY rowid")
        return iter([row[0] for row in rows])

    def __len__(self) -> int:
        return int(self._select("SELECT COUNT(*) FROM objects")[0][0])

    def __enter__(self) -> StampStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def _select(self, query: str, values: tuple[str, ...] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise _damaged(self.path, str(error)) from error

    def _check_tables(self) -> None:
        rows = self._select("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        tables = {row[0] for row in rows}
        if "unnamed" in tables:
            raise InputFileError(
                "this store holds Python pickles, which can run any program when they are read",
                file=self.path,
                remedy="Make the stamps again with purepipe; it does not read pickles.",
            )
        if not {"objects", "stamps"} <= tables:
            raise InputFileError(
                "this SQLite file is no stamp store", file=self.path,
                got=f"tables {', '.join(sorted(tables)) or 'none'}", allowed="objects, stamps",
            )  # fmt: skip


def write_stamp_store(
    path: str | os.PathLike[str],
    objects: Mapping[str, Epochs | str] | Iterable[tuple[str, Epochs | str]],
) -> None:
    """Write the stamps of all objects in one transaction; the file is complete or absent.

    Parameters
    ----------
    path
        Final name; an earlier file is replaced.
    objects
        Object name and its epochs: ``{"2104127-35": {"VIGNET": array, "SHAPES": {...}}}``. An
        empty dictionary, or the word ``"empty"``, for an object that no exposure saw. May be a
        generator, so that not all stamps need to be in memory.

    Raises
    ------
    DataError
        A value is neither a number, a text, an array of such nor a dictionary of them, or a name
        contains a slash or occurs twice.
    StoreError
        The folder is missing or cannot be written.
    """
    with stamp_writer(path) as add:
        for key, epochs in objects.items() if isinstance(objects, Mapping) else objects:
            add(key, epochs)


@contextmanager
def stamp_writer(
    path: str | os.PathLike[str],
) -> Iterator[Callable[[str, Epochs | str], None]]:
    """A function that adds one object to a new store; the file is complete or absent.

    Parameters
    ----------
    path
        Final name; an earlier file is replaced at the end.

    Raises
    ------
    DataError, StoreError
        As `write_stamp_store`.
    """
    with atomic_write(path) as scratch:
        try:
            with closing(sqlite3.connect(scratch, isolation_level=None)) as connection:
                # The scratch file is thrown away after a failure, so it needs no journal.
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("BEGIN")
                for statement in _SCHEMA:
                    connection.execute(statement)
                yield lambda key, epochs: _add(connection, str(key), epochs)
                connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            raise DataError(f"an object or epoch occurs twice: {error}", file=path) from error
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"the stamps cannot be written: {error}", file=path,
                remedy="Check the free space of the disk and the permissions of the folder.",
            ) from error  # fmt: skip


def _add(connection: sqlite3.Connection, key: str, epochs: Epochs | str) -> None:
    connection.execute("INSERT INTO objects VALUES (?)", (key,))
    if isinstance(epochs, str):
        if epochs != EMPTY:
            raise DataError("a word other than 'empty'", key=key, got=repr(epochs))
        return
    for epoch, content in epochs.items():
        rows = [
            (key, str(epoch), name, *_encode(value, f"{key}/{epoch}/{name}"))
            for name, value in _flat(content)
        ]
        connection.executemany("INSERT INTO stamps VALUES (?, ?, ?, ?, ?, ?)", rows)


def _flat(content: Mapping[str, Any], folder: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if "/" in name:
            raise DataError("a name must not contain a slash", key=name)
        if isinstance(value, Mapping):
            yield from _flat(value, f"{folder}{name}/")
        else:
            yield folder + name, value


def _encode(value: Any, key: str) -> tuple[str, str, bytes]:
    array = np.asarray(value)
    if array.dtype.kind not in _KINDS:
        raise DataError(
            "only numbers, texts and arrays of them can be stored", key=key, got=array.dtype
        )
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.dtype.str, json.dumps(array.shape), array.tobytes()


def _decode(data: bytes, dtype: str, shape: str, path: Path) -> Any:
    """An array in native byte order, or a plain number or text."""
    try:
        kind = np.dtype(dtype)
        if kind.kind not in _KINDS:
            raise ValueError(f"type {dtype}")
        array: NDArray[Any] = np.frombuffer(data, kind).reshape(json.loads(shape))
    except (TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if array.ndim == 0:
        return array.item()
    return array.astype(kind.newbyteorder("="))


def _refuse_other_files(path: Path) -> None:
    with open_input(path) as stream:
        start = stream.read(100)
    if not start.startswith(b"SQLite format 3\0"):
        raise InputFileError(
            "this is no stamp store", file=path, got=f"{start[:8]!r} at its start",
            allowed="an SQLite file",
        )  # fmt: skip
    # The header of an SQLite file tells the size of a page (1 stands for 65536) and their number.
    page = int.from_bytes(start[16:18], "big")
    promised = (65536 if page == 1 else page) * int.from_bytes(start[28:32], "big")
    if len(start) < 100 or path.stat().st_size < promised:
        raise _damaged(path, f"it is shorter than the {promised} bytes that it promises")


def _damaged(path: Path, reason: str) -> InputFileError:
    return InputFileError(
        f"the stamp store is damaged: {reason}", file=path, remedy="Make the stamps again."
    )
