"""Cuts and weights of a calibration: the same rule applied to each type by its own quantities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import ConfigError
from purepipe.select.evaluate import Scope, values_of

Floats = NDArray[np.float64]

_UNKNOWN = "a cut can only use quantities measured for all five types"


class TypeView(Mapping[str, Any]):
    """The quantities of one metacalibration type, by name: ``view["s2n"]`` or ``view.s2n``.

    Names: g1, g2, g1_err, g2_err, T, T_err (half-light radii, arcsec), T_trace, Tpsf, s2n, flux,
    flux_err, mag, mag_err, flags, g1_psfo, g2_psfo, T_psfo, and every X for which the table has the
    five columns X_1M, X_1P, X_2M, X_2P, X_NOSHEAR.
    """

    def __init__(self, columns: Mapping[str, Any], name: str) -> None:
        self._columns = dict(columns)
        self.type = name

    def __getitem__(self, key: str) -> Any:
        if key not in self._columns:
            raise ConfigError(
                _UNKNOWN, key="cut",
                got=repr(key), allowed=", ".join(sorted(self._columns)),
                remedy="Select on columns that do not depend on shear before calibrating.",
            )  # fmt: skip
        return self._columns[key]

    def __contains__(self, key: object) -> bool:
        return key in self._columns

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        return self[key]

    def __iter__(self) -> Any:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


Cut = str | Callable[[TypeView], Any] | None


def cut_weights(view: TypeView, cut: Cut, weights: Cut, good: NDArray[np.bool_]) -> Floats:
    """Weight of every object in one type; zero for those that the cut leaves out.

    Raises
    ------
    ConfigError
        The cut, or the weights, cannot be applied to this type.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        passed = _evaluate(cut, view, good, "cut")
        weight = _evaluate(weights, view, good, "weights").astype(np.float64)
    if passed.dtype != np.bool_:
        raise ConfigError(
            "a cut must be true or false", key="cut", got=f"{passed.dtype} values",
            remedy="Compare the quantity with a number.",
        )  # fmt: skip
    weight = np.where(good & passed, weight, 0.0)
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise ConfigError(
            "weights must be finite and not negative", key="weights", got=f"type {view.type}"
        )
    return weight


def _evaluate(expression: Cut, view: TypeView, good: NDArray[np.bool_], key: str) -> NDArray[Any]:
    """A value for each object; what is measured alone counts in means and medians of a text."""
    if expression is None:
        return np.ones(len(good), np.bool_)
    if isinstance(expression, str):
        scope = Scope(view, len(good), rows=good, unknown=_UNKNOWN)
        measured = np.asarray(values_of(expression, scope, source=key))
        array = np.zeros(len(good), measured.dtype)
        array[good] = measured
        return array
    array = np.asarray(expression(view))
    if array.shape != good.shape:
        raise ConfigError(
            "a cut must give one value per object, for each of the five types", key=key,
            got=f"shape {array.shape} for type {view.type}", allowed=f"shape {good.shape}",
        )  # fmt: skip
    return array
