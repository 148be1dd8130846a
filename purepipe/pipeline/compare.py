"""Two runs beside each other: configuration, columns in units of their errors, flags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config import to_mapping
from purepipe.errors import DataError
from purepipe.io.tables import known_flags
from purepipe.pipeline.results import Run, open_run

if TYPE_CHECKING:
    from astropy.table import Table

_RADIUS = 1.0  # arcsec within which two detections are the same object
# Column -> its error column.
_ERRORS = (
    (r"(FLUX|MAG)_(.+)", r"\1ERR_\2"),
    (r"SPREAD_MODEL", "SPREADERR_MODEL"),
    (r"NGMIX_(ELL|T|FLUX|MAG)_(\w+)", r"NGMIX_\1_ERR_\2"),
)
_NO_RESULT = re.compile(r"(?:^|\.)(out|block_size|run\.\w+)$")
_MANY = 30  # lines shown of one kind


@dataclass(frozen=True)
class ColumnChange:
    """How one column moved.

    Attributes
    ----------
    rows
        Objects whose value differs.
    median, largest
        Of |B - A| over those, in units of the column's own errors, or of its scatter.
    unit
        ``"error"`` or ``"scatter"``.
    lost, gained
        Objects whose value became, or no longer is, NaN.
    """

    name: str
    rows: int
    median: float
    largest: float
    unit: str
    lost: int = 0
    gained: int = 0


@dataclass(frozen=True)
class FlagChange:
    """Objects that gained or lost one bit of a flag column."""

    column: str
    bit: str
    gained: int
    lost: int


@dataclass(frozen=True)
class RunDifference:
    """What differs between run A and run B.

    Attributes
    ----------
    keys
        (configuration key, value of A, value of B).
    only_a, only_b
        Objects without a counterpart.
    common
        Objects in both.
    columns, flags
        Those that differ, the most moved first.
    other_columns
        Columns that one run alone has.
    versions
        Of the code that made the catalogues, where their headers tell it.
    """

    keys: tuple[tuple[str, Any, Any], ...]
    only_a: int
    only_b: int
    common: int
    columns: tuple[ColumnChange, ...]
    flags: tuple[FlagChange, ...]
    other_columns: tuple[str, ...]
    versions: tuple[str, str] = ("", "")

    @property
    def identical(self) -> bool:
        """True when no object, value or flag of the catalogues differs."""
        return not (
            self.only_a or self.only_b or self.columns or self.flags or self.other_columns
        )  # fmt: skip


def compare_runs(a: Path | str, b: Path | str) -> RunDifference:
    """What differs between two runs: configuration keys, objects, columns, flags.

    Objects are tied by tile and position on the sky.

    Raises
    ------
    StoreError
        A folder holds no run, or the run has no catalogue.
    """
    first, second = open_run(a), open_run(b)
    keys = differing_keys(_mapping(first), _mapping(second))
    return compare_catalogues(first.catalogue(), second.catalogue(), keys=tuple(keys))


def compare_catalogues(
    a: Table, b: Table, *, keys: tuple[tuple[str, Any, Any], ...] = ()
) -> RunDifference:
    """What differs between two final catalogues.

    Raises
    ------
    DataError
        A catalogue lacks the columns by which objects are tied.
    """
    rows_a, rows_b = match_objects(a, b)
    left, right = a[rows_a], b[rows_b]
    shared = [name for name in a.colnames if name in b.colnames]
    flag_columns = known_flags(a)
    columns, flags = [], []
    for name in shared:
        x, y = np.asarray(left[name]), np.asarray(right[name])
        if name in flag_columns:
            flags += _flag_changes(name, flag_columns[name], x, y)
        elif name != "NUMBER":
            change = _column_change(name, x, y, left)
            columns += [change] if change.rows else []
    return RunDifference(
        keys=keys,
        only_a=len(a) - len(rows_a), only_b=len(b) - len(rows_b), common=len(rows_a),
        columns=tuple(sorted(columns, key=_rank, reverse=True)),
        flags=tuple(sorted(flags, key=lambda change: -(change.gained + change.lost))),
        other_columns=tuple(sorted(set(a.colnames) ^ set(b.colnames))),
        versions=(str(a.meta.get("PIPEVERS", "")), str(b.meta.get("PIPEVERS", ""))),
    )  # fmt: skip


def differing_keys(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(dotted key, value in `a`, value in `b`) where two configurations differ in what counts.

    Folders of results and the size of blocks have no effect on results and are left out.
    """
    flat_a, flat_b = dict(_flat(a)), dict(_flat(b))
    return [
        (key, flat_a.get(key), flat_b.get(key))
        for key in sorted(flat_a.keys() | flat_b.keys())
        if flat_a.get(key) != flat_b.get(key) and not _NO_RESULT.search(key)
    ]


def match_objects(a: Table, b: Table) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the objects that both catalogues hold: nearest to each other, within 1 arcsec.

    Objects without a windowed position in either are tied by NUMBER, where both have that column.
    """
    for table in (a, b):
        for name in ("TILE_ID", "XWIN_WORLD", "YWIN_WORLD"):
            if name not in table.colnames:
                raise DataError("the catalogue lacks a column", key=name)
    rows_a, rows_b = [], []
    tiles_a, tiles_b = (np.asarray(table["TILE_ID"]).astype(str) for table in (a, b))
    for tile in np.intersect1d(tiles_a, tiles_b):
        in_a, in_b = np.flatnonzero(tiles_a == tile), np.flatnonzero(tiles_b == tile)
        i, j = _tied(a[in_a], b[in_b])
        rows_a.append(in_a[i])
        rows_b.append(in_b[j])
    nothing = np.zeros(0, dtype=np.intp)
    return (
        np.concatenate(rows_a) if rows_a else nothing,
        np.concatenate(rows_b) if rows_b else nothing,
    )


def difference_lines(difference: RunDifference) -> list[str]:
    """The difference as lines of text."""
    d = difference
    lines = [f"configuration: {len(d.keys)} keys differ"]
    lines += [f"  {key}: {a!r} -> {b!r}" for key, a, b in d.keys]
    if d.versions[0] != d.versions[1]:
        lines.append(f"purepipe: {' -> '.join(text or 'unknown' for text in d.versions)}")
    lines.append(f"objects: {d.common:,} in both, {d.only_a:,} only in A, {d.only_b:,} only in B")
    if d.other_columns:
        lines.append(f"columns of one run alone: {', '.join(d.other_columns)}")
    lines.append(f"columns: {len(d.columns)} moved")
    if d.columns:
        lines.append(
            f"  {'column':<24}{'objects':>9}{'median':>11}{'largest':>11}  {'in units of':<12}"
            f"{'-> NaN':>7}{'NaN ->':>7}"
        )
    for c in d.columns[:_MANY]:
        lines.append(
            f"  {c.name:<24}{c.rows:>9,}{c.median:>11.3g}{c.largest:>11.3g}  {c.unit:<12}"
            f"{c.lost:>7,}{c.gained:>7,}"
        )
    if len(d.columns) > _MANY:
        lines.append(f"  ... and {len(d.columns) - _MANY} more")
    lines.append(f"flags: {len(d.flags)} changed")
    lines += [
        f"  {f.column} {f.bit}: {f.gained:,} gained, {f.lost:,} lost" for f in d.flags[:_MANY]
    ]
    return [*lines, "the catalogues are identical"] if d.identical else lines


def _mapping(run: Run) -> dict[str, Any]:
    return to_mapping(run.config)


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        rows += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return rows


def _directions(table: Table) -> NDArray[np.float64]:
    """Unit vectors; NaN for objects without a windowed position."""
    ra = np.radians(np.asarray(table["XWIN_WORLD"], dtype=np.float64))
    dec = np.radians(np.asarray(table["YWIN_WORLD"], dtype=np.float64))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _tied(a: Table, b: Table) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the same objects in two catalogues of one tile."""
    at_a, at_b = _directions(a), _directions(b)
    i, j = _mutual(at_a, at_b)
    if "NUMBER" not in a.colnames or "NUMBER" not in b.colnames:
        return i, j
    lost_a, lost_b = (np.flatnonzero(~np.isfinite(v).all(axis=1)) for v in (at_a, at_b))
    _, k, m = np.intersect1d(
        np.asarray(a["NUMBER"])[lost_a], np.asarray(b["NUMBER"])[lost_b], return_indices=True
    )
    return np.concatenate([i, lost_a[k]]), np.concatenate([j, lost_b[m]])


def _mutual(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from scipy.spatial import cKDTree

    good_a, good_b = (np.flatnonzero(np.isfinite(v).all(axis=1)) for v in (a, b))
    if len(good_a) == 0 or len(good_b) == 0:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    radius = np.radians(_RADIUS / 3600)
    tree_a, tree_b = cKDTree(a[good_a]), cKDTree(b[good_b])
    distance, to_b = tree_b.query(a[good_a])
    _, to_a = tree_a.query(b[good_b])
    i = np.flatnonzero((distance < radius) & (to_a[to_b] == np.arange(len(good_a))))
    return good_a[i], good_b[to_b[i]]


def _column_change(name: str, x: NDArray[Any], y: NDArray[Any], table: Table) -> ColumnChange:
    if x.dtype.kind not in "fiu" or y.dtype.kind not in "fiu" or x.shape != y.shape:
        rows = int(np.count_nonzero(x != y)) if x.shape == y.shape else len(x)
        return ColumnChange(name, rows, np.nan, np.nan, "")
    x, y = x.astype(np.float64), y.astype(np.float64)
    gone, come = np.isnan(y) & ~np.isnan(x), np.isnan(x) & ~np.isnan(y)
    moved = (x != y) & ~(np.isnan(x) & np.isnan(y))
    scale, unit = _scale(name, x, table)
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma = np.abs(y - x) / scale
    known = moved & np.isfinite(sigma)
    values = sigma[known]
    return ColumnChange(
        name, int(_rows(moved)),
        float(np.median(values)) if len(values) else np.nan,
        float(values.max()) if len(values) else np.nan,
        unit, int(_rows(gone)), int(_rows(come)),
    )  # fmt: skip


def _rows(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask.reshape(len(mask), -1).any(axis=1)))


def _scale(name: str, x: NDArray[np.float64], table: Table) -> tuple[NDArray[np.float64], str]:
    """What a change of the column is measured in: its own errors, else the scatter of A."""
    for pattern, error in _ERRORS:
        if re.fullmatch(pattern, name):
            column = re.sub(pattern, error, name)
            if column in table.colnames and np.shape(table[column]) == x.shape:
                return np.asarray(table[column], dtype=np.float64), "its error"
    finite = x[np.isfinite(x)]
    if len(finite) == 0:
        return np.full(x.shape, np.nan), "scatter"
    low, high = np.percentile(finite, [16, 84])
    return np.full(x.shape, (high - low) / 2 or np.nan), "scatter"


def _rank(change: ColumnChange) -> tuple[int, float]:
    """Values that came or went count most, then changes that nothing measures, such as of texts."""
    largest = change.largest if np.isfinite(change.largest) else np.inf
    return change.lost + change.gained, largest


def _flag_changes(name: str, flags: Any, x: NDArray[Any], y: NDArray[Any]) -> list[FlagChange]:
    found = []
    x, y = x.astype(np.int64), y.astype(np.int64)
    for member in flags:
        before, after = (values & member.value != 0 for values in (x, y))
        gained = int(np.count_nonzero(after & ~before))
        lost = int(np.count_nonzero(before & ~after))
        if gained or lost:
            found.append(FlagChange(name, str(member.name), gained, lost))
    changed = int(np.count_nonzero(x != y))
    if changed and not found:
        found.append(FlagChange(name, "unknown bits", changed, changed))
    return found
