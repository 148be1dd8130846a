"""Values of expressions and rows of conditions, on a table and its masks."""

from __future__ import annotations

import functools
import logging
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.errors import ConfigError, DataError, did_you_mean
from purepipe.select.language import (
    Call,
    Chain,
    Column,
    Comparison,
    Condition,
    Expression,
    Logical,
    Negative,
    Number,
    Place,
    parse,
    parse_condition,
)
from purepipe.select.mode import half_sample_mode, mode

if TYPE_CHECKING:
    from astropy.table import Table
    from numpy.typing import ArrayLike, NDArray

    Bools = NDArray[np.bool_]

log = logging.getLogger(__name__)

_OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scope:
    """What names mean: columns, masks, and the inherited rows.

    Attributes
    ----------
    columns
        Values by name, one per row.
    size
        Number of rows.
    masks
        Name to rows of the whole table, boolean.
    rows
        Rows to which a column without a mask is restricted; None for all.
    unknown
        What to say of a name that is no column.
    """

    columns: Mapping[str, Any]
    size: int
    masks: Mapping[str, Bools] = field(default_factory=dict)
    rows: Bools | None = None
    unknown: str = "unknown column"

    @property
    def length(self) -> int:
        """Number of rows of a column without a mask."""
        return self.size if self.rows is None else int(np.count_nonzero(self.rows))


def table_scope(
    table: Table, masks: Mapping[str, Bools] | None = None, rows: Bools | None = None
) -> Scope:
    """The scope of a table's columns."""
    return Scope(table.columns, len(table), masks or {}, rows)


def select(table: Table, condition: str, *, masks: Mapping[str, ArrayLike] | None = None) -> Bools:
    """The rows of a table that meet a condition.

    Parameters
    ----------
    table
        Catalogue.
    condition
        In the selection language, for instance
        ``"FWHM_IMAGE < mode(FWHM_IMAGE{preselect}) + 0.2 and FLAGS == 0"``.
    masks
        Boolean rows that the condition may name in braces.

    Returns
    -------
    Boolean array, one per row. Comparisons are made in the column's own precision; NaN meets
    none but ``!=``.

    Raises
    ------
    ConfigError
        Syntax, or an unknown column, mask or function, with its place and the nearest name.
    DataError
        A mask of another length than the table.

    Examples
    --------
    >>> from astropy.table import Table
    >>> table = Table({"FWHM_IMAGE": [3.0, 3.1, 6.0], "FLAGS": [0, 4, 0]})
    >>> select(table, "FWHM_IMAGE < median(FWHM_IMAGE) + 1 and FLAGS == 0")
    array([ True, False, False])
    """
    rows = {name: np.asarray(mask, dtype=np.bool_) for name, mask in (masks or {}).items()}
    for name, mask in rows.items():
        if mask.shape != (len(table),):
            raise DataError("a mask must have one value per row", key=name, got=mask.shape,
                            allowed=f"({len(table)},)")  # fmt: skip
    return rows_where(_parsed_condition(condition), table_scope(table, rows))


# The same condition is often asked of one CCD, or one metacalibration type, after the other.
_parsed = functools.lru_cache(maxsize=256)(parse)
_parsed_condition = functools.lru_cache(maxsize=256)(parse_condition)


def values_of(text: str, scope: Scope, *, source: str | None = None) -> Any:
    """What `text` is in each row: true or false for a condition, else a number.

    `source` says in errors where the text comes from.

    Raises
    ------
    ConfigError
        Syntax, or an unknown column, mask or function, with its place and the nearest name.
    """
    node = _parsed(text, place=Place(file=source))
    if isinstance(node, Comparison | Logical):
        return rows_where(node, scope)
    return np.broadcast_to(value_of(node, scope), (scope.length,))


def rows_where(condition: Condition, scope: Scope) -> Bools:
    """Whether each row in scope meets a parsed condition; a scalar holds for all rows."""
    with np.errstate(all="ignore"):
        result = np.asarray(_condition(condition, scope))
    if result.shape not in ((), (scope.length,)):
        raise _error(
            condition, "the comparison has not one value per row", got=len(result),
            allowed=scope.length,
            remedy="Reduce a masked column to one number, for instance by mean(...).",
        )  # fmt: skip
    rows: Bools = np.array(np.broadcast_to(result, (scope.length,)), dtype=np.bool_)
    return rows


def value_of(expression: Expression, scope: Scope) -> Any:
    """The value of a parsed expression: a number, or one number per row."""
    with np.errstate(all="ignore"):
        return _value(expression, scope)


def _condition(node: Condition, scope: Scope) -> Any:
    if isinstance(node, Logical):
        terms = [_condition(term, scope) for term in node.terms]
        if node.operator == "not":
            return np.logical_not(terms[0])
        join = np.logical_and if node.operator == "and" else np.logical_or
        return functools.reduce(lambda a, b: _apply(node, join, a, b), terms)
    left, right = _value(node.left, scope), _value(node.right, scope)
    left, right = _like(left, right), _like(right, left)
    return _apply(node, _OPERATIONS[node.operator], left, right)


def _like(value: Any, other: Any) -> Any:
    """A whole number beside a column of integers as an integer: NumPy compares these quickly."""
    kind = getattr(other, "dtype", np.dtype(object)).kind
    whole = isinstance(value, float) and kind == "i" and value.is_integer()
    if whole and np.iinfo(other.dtype).min <= value <= np.iinfo(other.dtype).max:
        return int(value)
    return value


def _value(node: Expression, scope: Scope) -> Any:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Column):
        return _column(node, scope)
    if isinstance(node, Negative):
        operand = _value(node.operand, scope)
        return -operand
    if isinstance(node, Call):
        return _call(node, scope)
    result = _value(node.first, scope)
    for symbol, operand in node.rest:
        result = _apply(node, _OPERATIONS[symbol], result, _value(operand, scope))
    return result


def _apply(
    node: Chain | Comparison | Logical, operation: Callable[[Any, Any], Any], left: Any, right: Any
) -> Any:
    lengths = [len(side) for side in (left, right) if np.ndim(side) > 0]
    if len(set(lengths)) > 1:
        raise _error(node, "the two sides have different numbers of rows",
                     got=f"{lengths[0]} and {lengths[1]}")  # fmt: skip
    if operation is operator.truediv and np.ndim(left) == np.ndim(right) == 0:
        operation = np.divide  # 1/0 is infinite, as for columns
    return operation(left, right)


def _column(node: Column, scope: Scope) -> Any:
    if node.name not in scope.columns:
        if node.mask is None and node.name.lower() in ("nan", "inf", "infinity"):
            return float(node.name)
        raise _error(node, scope.unknown, got=node.name,
                     remedy=did_you_mean(node.name, scope.columns))  # fmt: skip
    values = _plain(scope.columns[node.name])
    if values.ndim != 1 or values.dtype.kind not in "fiub":
        raise _error(node, "a column of one number per row is needed", got=node.name)
    if node.mask is not None:
        if node.mask not in scope.masks:
            raise unknown_mask(node.mask, scope.masks, node.place)
        return values[scope.masks[node.mask]]
    return values if scope.rows is None else values[scope.rows]


def unknown_mask(name: str, masks: Mapping[str, Bools], place: Place) -> ConfigError:
    """The error of a name that no mask has so far; this also ends masks that name each other."""
    known = did_you_mean(name, masks) if masks else "There is none yet."
    return ConfigError(
        "unknown mask", file=place.file, key=str(place), got=name,
        remedy=f"{known} A mask must be defined before it is used.",
    )  # fmt: skip


def _plain(column: Any) -> NDArray[Any]:
    """The column as a native array, missing values as NaN."""
    array = np.asarray(column)
    if array.dtype.kind in "bu":  # a difference may be negative
        array = array.astype(np.int64)
    if np.ma.is_masked(column):
        array = array.astype(np.result_type(array.dtype, np.float32))
        array[np.ma.getmaskarray(column)] = np.nan
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _call(node: Call, scope: Scope) -> Any:
    arguments = [_value(argument, scope) for argument in node.arguments]
    if node.function == "homogen":
        return _homogeneity(node, arguments)
    if node.function in _ELEMENTWISE:
        lengths = {len(item) for item in arguments if np.ndim(item) > 0}
        if len(lengths) > 1:
            raise _error(node, "the arguments have different numbers of rows",
                         got=" and ".join(map(str, sorted(lengths))))  # fmt: skip
        return _ELEMENTWISE[node.function](*arguments)
    values = arguments[0]
    if np.ndim(values) == 0:
        if node.function == "len":
            raise _error(node, "len needs a column", got=values)
        values = np.asarray([values])
    if len(values) == 0 and node.function not in _DEFINED_FOR_NOTHING:
        log.warning("%s: %s of no value is NaN", node.place, node.function)
        return np.nan
    return _REDUCTIONS[node.function](values)


def _power(base: Any, exponent: Any) -> Any:
    """Power, in floating point when both are integers, so that exponents may be negative."""
    if np.asarray(base).dtype.kind == "i" and np.asarray(exponent).dtype.kind == "i":
        base = np.asarray(base, dtype=np.float64)
    return np.power(base, exponent)


def _sigma_mad(values: NDArray[Any]) -> Any:
    """Normalised median absolute deviation, -1 of nothing."""
    if len(values) == 0:
        return -1.0
    return 1.4826 * np.median(np.abs(values - np.median(values)))


def _nan_or(reduction: Callable[[NDArray[Any]], Any]) -> Callable[[NDArray[Any]], Any]:
    """A reduction over the values that are not NaN; NaN when there is none."""

    def reduce(values: NDArray[Any]) -> Any:
        kept = values[~np.isnan(values)]
        return reduction(kept) if len(kept) else np.nan

    return reduce


_ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    "sqrt": np.sqrt, "log": np.log, "log10": np.log10, "exp": np.exp, "abs": np.abs,
    "pow": _power, "hypot": np.hypot,
}  # fmt: skip
_REDUCTIONS: Mapping[str, Callable[[NDArray[Any]], Any]] = {
    "mean": np.mean, "median": np.median, "std": np.std, "var": np.var, "mode": mode,
    "mode_hsm": half_sample_mode, "sigma_mad": _sigma_mad, "len": len,
    "min": _nan_or(np.min), "max": _nan_or(np.max),
}  # fmt: skip
_DEFINED_FOR_NOTHING = ("len", "mode", "mode_hsm", "sigma_mad")


def _homogeneity(node: Call, arguments: list[Any]) -> float:
    """Scatter of the counts in n equal cells, percent of that of all objects in one cell."""
    *parameters, cells = arguments
    n = int(cells) if np.ndim(cells) == 0 and np.isfinite(cells) else 0
    if n != cells or n < 1 or n > _MAX_CELLS or round(np.sqrt(n)) ** 2 != n:
        raise _error(node, "the number of cells must be a perfect square", got=cells,
                     allowed=f"1, 4, 9, ... up to {_MAX_CELLS}")  # fmt: skip
    if any(np.ndim(values) == 0 for values in parameters):
        raise _error(node, "homogen needs columns and the number of cells")
    if len({len(values) for values in parameters}) > 1:
        raise _error(node, "the arguments have different numbers of rows")
    total = len(parameters[0])
    if total == 0 or n == 1:
        log.warning("%s: homogen of no value, or of one cell, is NaN", node.place)
        return float("nan")
    per_axis = n if len(parameters) == 1 else round(np.sqrt(n))
    # A value on an inner border belongs to both cells, as in the original.
    member = [_cell_members(np.asarray(values), per_axis) for values in parameters]
    counts = member[0].sum(axis=1) if len(member) == 1 else (member[0] @ member[1].T).ravel()
    expected = total / n
    worst = np.zeros(n)
    worst[0] = total / expected
    return float(100 * np.std(counts / expected) / np.std(worst))


_MAX_CELLS = 10_000


def _cell_members(values: NDArray[Any], cells: int) -> NDArray[np.float64]:
    """1 where a value (column) lies in a cell (row), both ends included."""
    low, high = values.min(), values.max()
    step = (high - low) / cells
    left = low + np.arange(cells) * step
    right = low + (np.arange(cells) + 1) * step
    inside: NDArray[np.bool_] = (values >= left[:, None]) & (values <= right[:, None])
    return inside.astype(np.float64)


def _error(node: Any, message: str, **details: Any) -> ConfigError:
    return ConfigError(message, file=node.place.file, key=str(node.place), **details)
