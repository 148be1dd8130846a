"""Detections of metadetection as a table, and their mean shear.

The rows of the five types are not tied to each other: each sheared image has its own detections.
The response follows from the mean shapes of the five types, so that it holds that of detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.catalogue import build_table
from purepipe.catalogue.table import column
from purepipe.config.metadetect import MetadetectConfig
from purepipe.display import brief
from purepipe.errors import DataError, NothingToDo
from purepipe.flags import MetadetectFlag
from purepipe.shapes.calibrate import ShearEstimate, group_labels, resample
from purepipe.shapes.cell_epochs import Cell, CellArea
from purepipe.shapes.cells import FWHM_OF_SIGMA, cell_images, cell_transfer
from purepipe.shapes.cuts import Cut, TypeView, cut_weights
from purepipe.shapes.measure import TYPE_NAMES
from purepipe.shapes.metadetect import CellCatalogue, catalogues_of, shear_of_sums, usable_area

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.wcs import WCS

Floats = NDArray[np.float64]

# Name in a cut: column, component.
_QUANTITIES: dict[str, tuple[str, int | None]] = {
    "g1": ("MDET_E", 0), "g2": ("MDET_E", 1), "s2n": ("MDET_SNR", None),
    "flux": ("MDET_FLUX", None), "size_ratio": ("MDET_SIZE_RATIO", None),
    "sharpness": ("MDET_SHARPNESS", None), "prominence": ("MDET_PROMINENCE", None),
    "weight": ("MDET_WEIGHT", None),
}  # fmt: skip
_CELL_COLUMNS = (
    "MDET_N_EPOCH", "MDET_OFFERED", "MDET_DETECTIONS", "MDET_MASKED", "MDET_FLUX_NOISE",
    "MDET_TARGET_FWHM", "MDET_FLAGS",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CellDetections:
    """What was found in a cell.

    Attributes
    ----------
    detections
        Columns of its detections, one row for each detection and type.
    summary
        Values of its row in the table of cells.
    """

    detections: dict[str, NDArray[Any]]
    summary: dict[str, Any]

    __repr__ = brief


def measure_cell(
    cell: Cell, area: CellArea, wcs: WCS, config: MetadetectConfig, *, seed: int, key: object
) -> CellDetections:
    """The detections of a cell on each of its five images, in its own area of the tile.

    Parameters
    ----------
    cell, area
        From `gather_cell` and `tile_cells`.
    wcs
        World coordinates of the tile.
    config
        How to detect and measure.
    seed, key
        Name the streams of the added noise.

    Returns
    -------
    Detections belong to a cell and have their RA and DEC by their position before the shear, so
    that the borders of cells and tiles are the same for all types.
    """
    summary = lost_cell(area, wcs).summary
    summary |= {"MDET_N_EPOCH": len(cell.names), "MDET_OFFERED": cell.offered}
    if not cell.names:
        summary |= {"MDET_FLAGS": int(MetadetectFlag.NO_EPOCH), "MDET_DETECTIONS": 0,
                    "MDET_MASKED": 1.0}  # fmt: skip
        return CellDetections({}, summary)
    transfer = cell_transfer(
        cell.psfs, cell.jacobian, cell.sigmas, (area.side, area.side), step=config.step,
        weight_fwhm=config.weight_fwhm, detect_fwhm=config.detect_fwhm,
    )  # fmt: skip
    measurement, detection = cell_images(
        cell.images, transfer, seed=seed, cell=key, masks=cell.masks
    )
    everywhere = np.ones(transfer.shape, np.bool_)
    catalogues = catalogues_of(
        measurement, detection, transfer, everywhere, threshold=config.threshold
    )
    clear = usable_area(transfer.shape, cell.masks, 0, config.guard)
    parts = [_rows_of_type(found, area, clear) for found in catalogues]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["MDET_TYPE"] = np.repeat(TYPE_NAMES, [len(part["MDET_X"]) for part in parts])
    columns["RA"], columns["DEC"] = wcs.pixel_to_sky(columns["MDET_X"] - 1, columns["MDET_Y"] - 1)
    number = len(columns["MDET_X"])
    columns["CELL_ID"] = np.full(number, area.number)
    columns["MDET_N_EPOCH"] = np.full(number, len(cell.names))
    summary |= {
        "MDET_FLAGS": 0, "MDET_DETECTIONS": len(parts[0]["MDET_X"]),
        "MDET_MASKED": float(cell.masks.all(axis=0).mean()),
        "MDET_FLUX_NOISE": transfer.rms_flux,
        "MDET_TARGET_FWHM": transfer.sigma_target * FWHM_OF_SIGMA,
    }  # fmt: skip
    return CellDetections(columns, summary)


def lost_cell(area: CellArea, wcs: WCS) -> CellDetections:
    """A cell of a tile that was not looked at."""
    x, y = area.centre
    ra, dec = (float(value) for value in wcs.pixel_to_sky(x, y))
    summary: dict[str, Any] = dict.fromkeys(_CELL_COLUMNS)
    summary |= {"CELL_ID": area.number, "RA": ra, "DEC": dec, "MDET_X": x + 1, "MDET_Y": y + 1}
    return CellDetections({}, summary)


def detections_table(cells: Sequence[CellDetections], *, tile: str, step: float) -> Table:
    """The detections of some cells of a tile, one row for each detection and type."""
    names = [
        "CELL_ID", "MDET_TYPE", "RA", "DEC", "MDET_X", "MDET_Y", "MDET_E", "MDET_FLUX", "MDET_SNR",
        "MDET_SIZE_RATIO", "MDET_SHARPNESS", "MDET_PROMINENCE", "MDET_WEIGHT", "MDET_FLAGS",
        "MDET_N_EPOCH",
    ]  # fmt: skip
    parts = [cell.detections for cell in cells if cell.detections]
    values: dict[str, Any] = {"TILE_ID": tile}
    for name in names:
        shape = (0, 2) if name == "MDET_E" else (0,)
        values[name] = np.concatenate([part[name] for part in parts]) if parts else np.zeros(shape)
    return build_table(values, rows=len(values["MDET_X"]), meta={"MDTSTEP": step})


def cells_table(cells: Sequence[CellDetections], *, tile: str) -> Table:
    """One row for each cell: its place, epochs, masked fraction, noise and flags."""
    rows = [cell.summary for cell in cells]
    names = ("CELL_ID", "RA", "DEC", "MDET_X", "MDET_Y", *_CELL_COLUMNS)
    values: dict[str, Any] = {"TILE_ID": tile}
    for name in names:
        missing = column(name).missing
        values[name] = np.array([missing if row[name] is None else row[name] for row in rows])
    return build_table(values, rows=len(rows))


def calibrate_detections(
    detections: Table,
    *,
    cut: Cut = None,
    weights: Cut = "weight",
    resampling: str = "jackknife",
    groups: ArrayLike | int | None = None,
    samples: int = 400,
    step: float | None = None,
    seed: int = 0,
) -> ShearEstimate:
    """The mean shear of metadetections, corrected for the response of detection and measurement.

    Parameters
    ----------
    detections
        One row for each detection and type, as `detections_table` makes it. Flagged rows are left
        out.
    cut
        Condition on the quantities of a detection (``"s2n > 10 and size_ratio > 1.2"``), or a
        function of a `TypeView`; the rows of each type are cut by their own quantities: s2n, flux,
        size_ratio, sharpness, prominence, weight, g1, g2.
    weights
        Like `cut`, returning non-negative weights; default: the smooth weights of the catalogue.
    resampling, samples, seed
        As for `calibrate`.
    groups
        Label of every row, or a number of random groups of cells; default: the cells.
    step
        Size of the shears; default: from the table.

    Returns
    -------
    The response of detection cannot be told from that of the shapes; all of it is
    `shape_response`. Counts are those of the unsheared images.

    Raises
    ------
    ConfigError
        The cut uses something else, or a choice is unknown.
    DataError
        The table is of another kind.
    NothingToDo
        A type has no detection that passes.
    """
    view, kinds, good, step = _view(detections, step)
    passed = cut_weights(view, cut, "weight" if weights is None else weights, good)
    sums = _sums(view, kinds, passed, _cell_labels(detections, groups, seed))
    total = sums.sum(axis=0)
    if not (total[:, 0] > 0).all():
        raise NothingToDo(
            "a type has no detection that passes the cut", key="cut",
            got=f"{int(good.sum())} detections without a flag",
            remedy="Loosen the cut, or look at MDET_FLAGS and MDET_WEIGHT.",
        )  # fmt: skip
    shear, response, mean = shear_of_sums(total, step)
    replicas, cov = resample(
        sums, lambda part: shear_of_sums(part, step)[0], resampling, samples=samples, seed=seed
    )
    unsheared = kinds == 0
    return ShearEstimate(
        g=shear,
        cov=cov,
        response=response,
        shape_response=response,
        selection_response=np.zeros((2, 2)),
        mean_shape=mean,
        number=int(np.count_nonzero(passed[unsheared])),
        total=int(np.count_nonzero(unsheared)),
        measured=int(np.count_nonzero(good & unsheared)),
        replicas=replicas,
    )


def _rows_of_type(
    found: CellCatalogue, area: CellArea, clear: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """Columns of the detections of one image that lie in the own area of the cell."""
    x, y = found.x + area.x0, found.y + area.y0
    x0, x1, y0, y1 = area.unique
    own = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    column, row = np.rint(found.x[own]).astype(int), np.rint(found.y[own]).astype(int)
    flags = np.where(clear[row, column], 0, int(MetadetectFlag.MASKED))
    flags |= np.where(found.usable[own], 0, int(MetadetectFlag.NO_SHAPE))
    return {
        "MDET_X": x[own] + 1,
        "MDET_Y": y[own] + 1,
        "MDET_E": np.stack([found.e1[own], found.e2[own]], axis=1),
        "MDET_FLUX": found.flux[own],
        "MDET_SNR": found.s2n[own],
        "MDET_SIZE_RATIO": found.size_ratio[own],
        "MDET_SHARPNESS": found.sharpness[own],
        "MDET_PROMINENCE": found.prominence[own],
        "MDET_WEIGHT": np.where(flags == 0, found.weight[own], 0.0),
        "MDET_FLAGS": flags,
    }


def _view(
    table: Table, step: float | None
) -> tuple[TypeView, NDArray[np.int64], NDArray[np.bool_], float]:
    """The quantities of all rows, the type of each, which have no flag, and the step."""
    needed = {"MDET_TYPE", "MDET_FLAGS", *(column for column, _ in _QUANTITIES.values())}
    missing = sorted(needed - set(table.colnames))
    if missing:
        raise DataError(
            "the table holds no metadetections", key="detections", got=f"no {', '.join(missing)}",
            allowed="a table of detections_table, or metadetect_cat of a run",
        )  # fmt: skip
    names = np.asarray(table["MDET_TYPE"]).astype(str)
    unknown = sorted(set(names) - set(TYPE_NAMES))
    if unknown:
        raise DataError(
            "unknown type of sheared image", key="MDET_TYPE", got=", ".join(unknown[:5]),
            allowed=", ".join(TYPE_NAMES),
        )  # fmt: skip
    kinds = np.zeros(len(table), np.int64)
    for kind, name in enumerate(TYPE_NAMES):
        kinds[names == name] = kind
    values = {}
    for short, (name, component) in _QUANTITIES.items():
        array = np.asarray(table[name], np.float64)
        values[short] = array if component is None else array[:, component]
    good = np.asarray(table["MDET_FLAGS"]) == 0
    known = float(table.meta.get("MDTSTEP", MetadetectConfig.step))
    return TypeView(values, "all"), kinds, good, known if step is None else step


def _cell_labels(
    table: Table, groups: ArrayLike | int | None, seed: int
) -> NDArray[np.int64]:  # fmt: skip
    """The group of every row: its cell, a random group of cells, or what the caller says."""
    if groups is not None and np.ndim(groups) > 0:
        return group_labels(groups, len(table), seed)
    missing = [name for name in ("TILE_ID", "CELL_ID") if name not in table.colnames]
    if missing:
        raise DataError(
            "the detections do not name their cells", key="groups", got=f"no {missing[0]}",
            remedy="Give the labels of the groups.",
        )  # fmt: skip
    tiles = np.unique(np.asarray(table["TILE_ID"]), return_inverse=True)[1].astype(np.int64)
    numbers = np.asarray(table["CELL_ID"], np.int64)
    whole = tiles * (numbers.max(initial=0) + 1) + numbers
    cells = np.unique(whole, return_inverse=True)[1].astype(np.int64)
    if groups is None:
        return cells
    return group_labels(groups, int(cells.max(initial=-1)) + 1, seed)[cells]


def _sums(
    view: TypeView, kinds: NDArray[np.int64], weights: Floats, labels: NDArray[np.int64]
) -> Floats:
    """(groups, 5, 3) sums of w, w e1, w e2; groups without any weight are left out."""
    number = int(labels.max(initial=-1)) + 1
    place = labels * len(TYPE_NAMES) + kinds
    columns = []
    for term in (1.0, view["g1"], view["g2"]):
        product = np.where(weights > 0, weights * term, 0.0)
        columns.append(np.bincount(place, product, minlength=number * len(TYPE_NAMES)))
    sums = np.stack(columns, axis=1).reshape(number, len(TYPE_NAMES), 3)
    return np.asarray(sums[sums[:, :, 0].any(axis=1)], np.float64)
