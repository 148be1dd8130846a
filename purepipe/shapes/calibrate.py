"""Mean shear from metacalibrated shapes: response, selection response, errors, bias.

The estimator is that of Sheldon & Huff (2017, ApJ 841, 24):
``gamma = (R_gamma + R_S)^-1 <g>``, where the selection response R_S follows from the same cut
applied to the quantities that were measured on each sheared image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.display import axes_or_new, brief, card
from purepipe.errors import ConfigError, DataError, NothingToDo, did_you_mean
from purepipe.rng import generator
from purepipe.shapes.cuts import Cut, TypeView, cut_weights
from purepipe.shapes.measure import TYPE_NAMES, half_light_radius
from purepipe.shapes.metacal import R50_OF_SIGMA
from purepipe.shapes.metacal_result import MetacalResult

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

# Short name of a quantity: column of the table without prefix and type, and component.
_COLUMNS: dict[str, tuple[str, int | None]] = {
    "g1": ("ELL", 0), "g2": ("ELL", 1), "g1_err": ("ELL_ERR", 0), "g2_err": ("ELL_ERR", 1),
    "T": ("T", None), "T_err": ("T_ERR", None), "T_trace": ("T_TRACE", None),
    "Tpsf": ("Tpsf", None), "s2n": ("SNR", None), "flux": ("FLUX", None),
    "flux_err": ("FLUX_ERR", None), "mag": ("MAG", None), "mag_err": ("MAG_ERR", None),
    "flags": ("FLAGS", None), "g1_psfo": ("ELL_PSFo", 0), "g2_psfo": ("ELL_PSFo", 1),
    "T_psfo": ("T_PSFo", None),
}  # fmt: skip
_DEFAULT_STEP = 0.01


@dataclass(frozen=True, eq=False)
class ShearEstimate:
    """A calibrated mean shear.

    Attributes
    ----------
    g
        (2,) shear components g1, g2.
    cov
        (2, 2) covariance from resampling.
    response
        (2, 2) total response, R_gamma + R_S.
    shape_response, selection_response
        (2, 2) the two parts.
    mean_shape
        (2,) mean of the uncalibrated shapes.
    number
        Objects that pass the cut on the unsheared images.
    total
        Objects offered.
    measured
        Objects without a flag in any type.
    replicas
        (k, 2) shears of the resampled catalogues.
    """

    g: Floats
    cov: Floats
    response: Floats
    shape_response: Floats
    selection_response: Floats
    mean_shape: Floats
    number: int
    total: int
    measured: int
    replicas: Floats = field(repr=False)

    @property
    def errors(self) -> Floats:
        """(2,) standard errors of g1, g2."""
        return np.sqrt(np.diag(self.cov))

    __repr__ = brief

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the shear with its errors among the resampled ones, and give the axes.

        Parameters
        ----------
        ax
            Matplotlib axes to draw into; new ones when not given.
        """
        ax = axes_or_new(ax)
        ax.plot(*self.replicas.T, ".", markersize=2, color="#888888")
        (g1, g2), (e1, e2) = self.g, self.errors
        ax.errorbar([g1], [g2], xerr=[e1], yerr=[e2], fmt="o", capsize=2)
        ax.set(xlabel="shear g1", ylabel="shear g2")
        return ax

    def _repr_html_(self) -> str:
        facts = [
            (f"g{i + 1}", f"{self.g[i]:+.5f} \N{PLUS-MINUS SIGN} {self.errors[i]:.5f}")
            for i in range(2)
        ]
        facts += [
            ("objects", f"{self.number:,} of {self.total:,}"),
            ("R11, R22", f"{self.response[0, 0]:.4f}, {self.response[1, 1]:.4f}"),
        ]
        return card("Shear", facts, self.plot)


@dataclass(frozen=True, eq=False)
class ShearBias:
    """Multiplicative and additive bias of both components: g = (1 + m) gamma + c."""

    m: Floats
    m_err: Floats
    c: Floats
    c_err: Floats


def calibrate(
    shapes: Table | MetacalResult,
    *,
    cut: Cut = None,
    weights: Cut = None,
    resampling: str = "jackknife",
    groups: ArrayLike | int | None = None,
    samples: int = 400,
    step: float | None = None,
    seed: int = 0,
) -> ShearEstimate:
    """The mean shear of a catalogue, corrected for the responses of shapes and selection.

    Parameters
    ----------
    shapes
        Table of `measure_shapes`, or result of `metacal_fit`. Objects with a flag in any of the
        five types are left out. Or the detections of metadetection, with rows of each type
        (`calibrate_detections`).
    cut
        Condition on per-type quantities (``"s2n > 10 and T/Tpsf > 0.5"``) in the language of
        `select`, or a function of a `TypeView` that returns booleans. It is applied to every type
        with that type's quantities.
    weights
        Like `cut`, returning non-negative weights.
    resampling
        "jackknife" (leave out one group at a time) or "bootstrap" (draw groups with replacement).
    groups
        Label of every object (tile, patch of sky), or a number of random groups; default: 100, or
        the cells of metadetection.
    samples
        Number of bootstrap catalogues.
    step
        Shear applied by the metacalibration; default: from the table.
    seed
        Seed of the random groups and bootstrap draws.

    Raises
    ------
    ConfigError
        The cut cannot be applied to all five types, or a choice is unknown.
    NothingToDo
        No object passes the cut.
    """
    if not isinstance(shapes, MetacalResult) and "MDET_TYPE" in shapes.colnames:
        from purepipe.shapes.detections import calibrate_detections

        return calibrate_detections(
            shapes, cut=cut, weights=weights, resampling=resampling, groups=groups,
            samples=samples, step=step, seed=seed,
        )  # fmt: skip
    views, good, step = _views(shapes, step)
    chosen = [cut_weights(view, cut, weights, good) for view in views]
    number = int(np.count_nonzero(chosen[0]))
    if number == 0:
        raise NothingToDo(
            "no object passes the cut", key="cut", got=f"{int(good.sum())} measured objects",
            remedy="Loosen the cut, or look at the flags of the shape catalogue.",
        )  # fmt: skip
    parts = _contributions(views, chosen, step)
    labels = group_labels(100 if groups is None else groups, len(good), seed)
    sums = np.stack([np.bincount(labels, column) for column in parts.T], axis=1).astype(float)
    sums = sums[np.bincount(labels, good) > 0]
    shear, shape_response, selection_response, mean = _estimate(sums.sum(axis=0), step)
    replicas, cov = resample(
        sums, lambda total: _estimate(total, step)[0], resampling, samples=samples, seed=seed
    )
    return ShearEstimate(
        g=shear,
        cov=cov,
        response=shape_response + selection_response,
        shape_response=shape_response,
        selection_response=selection_response,
        mean_shape=mean,
        number=number,
        total=len(good),
        measured=int(good.sum()),
        replicas=replicas,
    )


def bias(
    estimates: Sequence[ShearEstimate], truths: ArrayLike, *, cov: ArrayLike | None = None
) -> ShearBias:
    """Multiplicative and additive bias, from estimates of known shears.

    Parameters
    ----------
    estimates
        At least two, with different true shears in both components.
    truths
        (k, 2) true shears.
    cov
        (k, 2, 2) covariances instead of those of the estimates.

    Notes
    -----
    Weighted straight-line fit per component, with errors from the covariances.

    Raises
    ------
    DataError
        Too few estimates, or truths that do not vary.
    """
    gamma = np.asarray(truths, np.float64)
    if (
        gamma.shape != (len(estimates), 2)
        or len(estimates) < 2
        or (np.ptp(gamma, axis=0) == 0).any()
    ):
        raise DataError(
            "at least two different true shears per component are needed", key="truths",
            got=gamma.shape, allowed=f"({len(estimates)}, 2)",
        )  # fmt: skip
    covs = np.stack([e.cov for e in estimates]) if cov is None else np.asarray(cov, np.float64)
    out = np.empty((4, 2))
    for i in range(2):
        weight = 1.0 / covs[:, i, i]
        design = np.stack([gamma[:, i], np.ones(len(gamma))], axis=1)
        inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
        line = inverse @ (design.T @ (weight * np.array([e.g[i] for e in estimates])))
        out[:, i] = line[0] - 1.0, np.sqrt(inverse[0, 0]), line[1], np.sqrt(inverse[1, 1])
    return ShearBias(m=out[0], m_err=out[1], c=out[2], c_err=out[3])


def _views(
    shapes: Table | MetacalResult, step: float | None
) -> tuple[list[TypeView], NDArray[np.bool_], float]:
    """The five views in the order of the types, who is measured, and the step."""
    if isinstance(shapes, MetacalResult):
        if shapes.responses == "implicit":
            raise ConfigError(
                "a calibrated shear needs the shapes of all five types", key="responses",
                got="'implicit'", allowed="'types' or 'both'",
            )  # fmt: skip
        views = [_view_of_result(shapes, kind) for kind in range(5)]
        return views, shapes.good, shapes.step if step is None else step
    views = [TypeView(_columns_of_table(shapes, name), name) for name in TYPE_NAMES]
    good = np.ones(len(shapes), np.bool_)
    for view in views:
        good &= np.asarray(view["flags"]) == 0
    known = shapes.meta.get("SHPSTEP", _DEFAULT_STEP)
    return views, good, float(known) if step is None else step


def _columns_of_table(table: Table, name: str) -> dict[str, Any]:
    names = set(table.colnames)
    columns: dict[str, Any] = {}
    for column in table.colnames:
        base, _, kind = column.rpartition("_")
        if kind == name and all(f"{base}_{other}" in names for other in TYPE_NAMES):
            columns[base] = np.asarray(table[column])
    for short, (base, component) in _COLUMNS.items():
        if f"NGMIX_{base}" in columns:
            values = columns[f"NGMIX_{base}"]
            columns[short] = values if component is None else values[:, component]
    missing = {"g1", "g2", "flags"} - set(columns)
    if missing:
        raise DataError(
            "the table is no shape catalogue", key="shapes", got=f"no {', '.join(sorted(missing))}",
            allowed="a table of measure_shapes, with NGMIX_ELL_1P and so on",
        )  # fmt: skip
    return columns


def _view_of_result(result: MetacalResult, kind: int) -> TypeView:
    pars, errors = result.pars[:, kind], result.errors[:, kind]
    radius, radius_error = half_light_radius(pars, result.cov[:, kind])
    columns = {
        "g1": pars[:, 2], "g2": pars[:, 3], "g1_err": errors[:, 2], "g2_err": errors[:, 3],
        "T": radius, "T_err": radius_error, "T_trace": pars[:, 4], "s2n": result.s2n[:, kind],
        "Tpsf": R50_OF_SIGMA * np.sqrt(0.5 * result.target_size),
        "flux": pars[:, 5], "flux_err": errors[:, 5], "flags": result.flags[:, kind],
    }  # fmt: skip
    return TypeView(columns, TYPE_NAMES[kind])


def _contributions(views: list[TypeView], chosen: list[Floats], step: float) -> Floats:
    """(n, 19) terms of the sums: w times 1, g1, g2, R11, R12, R21, R22; per type 1, g1, g2."""
    shapes = [np.stack([view["g1"], view["g2"]], axis=1) for view in views]
    shapes = [np.where(np.isfinite(shape), shape, 0.0) for shape in shapes]
    by1 = (shapes[1] - shapes[2]) / (2 * step)
    by2 = (shapes[3] - shapes[4]) / (2 * step)
    one = np.ones(len(shapes[0]))
    terms = [one, *shapes[0].T, by1[:, 0], by2[:, 0], by1[:, 1], by2[:, 1]]
    columns = [chosen[0] * term for term in terms]
    for weight in chosen[1:]:
        columns += [weight * term for term in (one, *shapes[0].T)]
    return np.stack(columns, axis=1)


def _estimate(sums: Floats, step: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Shear, response of the shapes, response of the selection, mean shape; from (19,) sums."""
    mean = sums[1:3] / sums[0]
    shape_response = sums[3:7].reshape(2, 2) / sums[0]
    by_type = sums[7:].reshape(4, 3)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = by_type[:, 1:] / by_type[:, :1]
    selection = np.stack([means[0] - means[1], means[2] - means[3]], axis=1) / (2 * step)
    try:
        shear = np.linalg.solve(shape_response + selection, mean)
    except np.linalg.LinAlgError:
        shear = np.full(2, np.nan)
    return shear, shape_response, selection, mean


def group_labels(groups: ArrayLike | int, number: int, seed: int) -> NDArray[np.int64]:
    """The group of every object, from 0; labels of any kind, or a number of random groups."""
    if np.ndim(groups) > 0:
        labels = np.asarray(groups)
        if labels.shape != (number,):
            raise DataError(
                "one label per object is needed", key="groups", got=labels.shape,
                allowed=(number,),
            )  # fmt: skip
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)
    wanted = int(groups)  # type: ignore[arg-type]
    if wanted < 2:
        raise ConfigError("out of range", key="groups", got=wanted, allowed="from 2")
    labels = np.arange(number, dtype=np.int64) % wanted
    return generator(seed, "calibration groups").permutation(labels)


def resample(
    sums: Floats, estimate: Callable[[Floats], Floats], resampling: str, *, samples: int, seed: int
) -> tuple[Floats, Floats]:
    """Shears of resampled catalogues and their covariance; NaN with fewer than two groups.

    Parameters
    ----------
    sums
        (groups, ...) what `estimate` turns into a shear when summed over groups.
    """
    if resampling not in ("jackknife", "bootstrap"):
        raise ConfigError(
            "unknown word", key="resampling", got=repr(resampling),
            remedy=did_you_mean(resampling, ("jackknife", "bootstrap")),
        )  # fmt: skip
    number = len(sums)
    if number < 2:
        return np.empty((0, 2)), np.full((2, 2), np.nan)
    total = sums.sum(axis=0)
    if resampling == "jackknife":
        replicas = np.stack([estimate(total - part) for part in sums])
        scale = (number - 1) ** 2 / number
    else:
        rng = generator(seed, "calibration bootstrap")
        counts = rng.multinomial(number, np.full(number, 1 / number), size=samples)
        drawn = counts @ sums.reshape(number, -1)
        replicas = np.stack([estimate(row.reshape(total.shape)) for row in drawn])
        scale = 1.0
    return replicas, scale * np.cov(replicas, rowvar=False)
