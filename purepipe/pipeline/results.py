"""What a run left: its catalogues, its ledger, the mean shear; for users and for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.config import SurveyConfig, from_mapping
from purepipe.display import axes_or_new, card
from purepipe.errors import StoreError
from purepipe.io.table_parts import table_outline
from purepipe.io.tables import read_table
from purepipe.pipeline.merging import merge_files
from purepipe.pipeline.shear import mean_shear
from purepipe.pipeline.store import Outcome, fact, open_store, outcomes
from purepipe.pipeline.summary import step_totals
from purepipe.shapes import ShearEstimate, calibrate

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes

MERGED = "catalogue/final_cat.fits"
DETECTIONS = "metadetect/metadetect_cat.fits"


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run.

    Attributes
    ----------
    root
        Folder of the run.
    config
        The configuration as used.
    outcomes
        How each unit ended, by name.
    """

    root: Path
    config: SurveyConfig
    outcomes: tuple[Outcome, ...]

    def __repr__(self) -> str:
        done = sum(outcome.done for outcome in self.outcomes)
        return f"Run({str(self.root)!r}, {done} of {len(self.outcomes)} units done)"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the time that each step took, summed over all units, and give the axes.

        Parameters
        ----------
        ax
            Matplotlib axes to draw into; new ones when not given.
        """
        ax = axes_or_new(ax)
        totals = step_totals(self.outcomes)
        names = [f"{kind}: {total.step}" for kind, total, _ in totals]
        ax.barh(names, [total.seconds for _, total, _ in totals])
        ax.invert_yaxis()
        ax.set(xlabel="seconds, all units together")
        return ax

    def _repr_html_(self) -> str:
        fates = Counter((outcome.kind, outcome.status) for outcome in self.outcomes)
        facts = [("folder", str(self.root.resolve()))]
        facts += [(kind, f"{n:,} {status}") for (kind, status), n in sorted(fates.items())]
        return card("Run", facts, self.plot if step_totals(self.outcomes) else None)

    def catalogue(self) -> Table:
        """The merged catalogue.

        Raises
        ------
        StoreError
            The run has no catalogue yet.
        """
        path = self.root / MERGED
        if not path.exists():
            raise StoreError(
                "the run has no merged catalogue",
                file=self.root,
                remedy="Run it to the end; beyond run.max_merged_objects, read the tiles'"
                " catalogue/final_cat-*.fits.",
            )
        return read_table(path)

    def metadetections(self) -> Table:
        """The merged detections of metadetection, one row for each detection and type.

        Raises
        ------
        StoreError
            The run has none.
        """
        path = self.root / DETECTIONS
        if not path.exists():
            raise StoreError(
                "the run has no merged metadetections", file=self.root,
                key="tile.metadetect.enabled", got=self.config.tile.metadetect.enabled,
                remedy="Set it to true and run to the end; beyond run.max_merged_objects, read the"
                " tiles' metadetect/metadetect_cat-*.fits.",
            )  # fmt: skip
        return read_table(path)

    def metadetect_shear(self, *, tiles: Sequence[str] | None = None) -> ShearEstimate:
        """Mean shear by metadetection, of all tiles or of some; errors from leaving out cells."""
        table = self.metadetections()
        if tiles is not None:
            table = table[np.isin(np.asarray(table["TILE_ID"]), list(tiles))]
        return calibrate(table[np.asarray(table["PRIMARY"]) == 1], seed=self.config.seed)

    def shear(self, *, tiles: Sequence[str] | None = None) -> ShearEstimate:
        """Calibrated mean shear of the selected objects, of all tiles or of some."""
        table = self.catalogue()
        if tiles is not None:
            table = table[np.isin(np.asarray(table["TILE_ID"]), list(tiles))]
        return mean_shear(table, self.config.shear, seed=self.config.seed)


def open_run(root: Path | str) -> Run:
    """The run in a folder.

    Raises
    ------
    StoreError
        The folder holds no run, or its ledger is damaged.
    """
    root = Path(root)
    store = open_store(root, create=False)
    try:
        config = from_mapping(SurveyConfig, fact(store, "config", {}))
        return Run(root, config, tuple(outcomes(store)))
    finally:
        store.close()


def merge_catalogues(
    root: Path, ended: Iterable[Outcome], *, meta: Mapping[str, Any] | None = None
) -> int:
    """Write the merged catalogue of all tiles that have one, and give its number of rows.

    `meta` goes into its header.
    """
    paths = _products(root, ended, "catalogue/")
    if not paths:
        (root / MERGED).unlink(missing_ok=True)  # of an earlier run; it must not pass for this one
        return 0
    return merge_files(paths, root / MERGED, meta=meta).written


def merge_detections(
    root: Path, ended: Iterable[Outcome], *, meta: Mapping[str, Any] | None = None, most: int
) -> int:
    """Write the merged metadetections and cells of all tiles, and give the number of rows.

    Where there are none, or more than `most`, none are written; those of an earlier run go.
    """
    paths = _products(root, ended, "metadetect/")
    (root / DETECTIONS).unlink(missing_ok=True)
    outlines = [table_outline(path) for path in paths]
    if not paths or sum(outline.rows for outline in outlines) > most:
        return 0
    meta = {**(meta or {}), "MDTSTEP": outlines[0].meta["MDTSTEP"]}
    return merge_files(paths, root / DETECTIONS, meta=meta, beside=("CELLS",)).written


def _products(root: Path, ended: Iterable[Outcome], folder: str) -> list[Path]:
    """The files of one kind that the units of the tiles' catalogues made."""
    return sorted(
        root / product
        for outcome in ended
        if outcome.kind == "catalogue" and outcome.done
        for product in outcome.products
        if product.startswith(folder)
    )
