"""Products in the forms of the original pipeline, for scripts that look for them.

They are written on request, with the catalogue of a tile: ``products/<tile>/`` then holds

- vignets: ``image_vignet``, ``weight_vignet``, ``flag_vignet`` and ``background_vignet``, stamps of
  every object on every exposure by object and epoch (`StampStore`), and the stamps of the tile's
  weight as FITS;
- psf: ``galaxy_psf``, the PSF of every usable epoch with its shape (`StampStore`);
- ngmix: one table for each metacalibration type;
- spread: the spread model with NUMBER and magnitude;
- v1: the final catalogue with ShapePipe's names, types and sentinels; with psf, also the PSF of
  every epoch in columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.io.ldac import write_ldac
from purepipe.io.stamp_store import EMPTY, StampStore, stamp_writer
from purepipe.io.tables import write_table, write_tables
from purepipe.pipeline import objects as block
from purepipe.pipeline.units import CatalogueTask, WorkContext
from purepipe.psf import attach_psfs, psf_at
from purepipe.psf.columns import epoch_psf_columns
from purepipe.shapes import shapes_hdus
from purepipe.survey import Epochs, EpochStamps, named, unit_name, with_sentinels

if TYPE_CHECKING:
    from astropy.table import Table

MakePath = Callable[[str], Path]
_STORES = ("image_vignet", "weight_vignet", "flag_vignet", "background_vignet")


def write_products(
    task: CatalogueTask, final: Table, context: WorkContext, product: MakePath
) -> list[Path]:
    """Write what ``config.products`` asks for; `product` registers a name and gives its path."""
    wanted, tile = context.config.products, task.tile.tile
    paths: list[Path] = []

    def make(name: str) -> Path:
        paths.append(product(f"products/{tile}/{name}"))
        return paths[-1]

    if "ngmix" in wanted:
        tables = shapes_hdus(final)
        for table in tables.values():
            table.meta.update(context.provenance)
        write_tables(make(f"ngmix-{tile}.fits"), tables)
    if "spread" in wanted:
        path = make(f"sexcat_sm-{tile}.fits")
        write_ldac(path, _spread_table(final), provenance=context.provenance)
    if "vignets" in wanted:
        _write_vignets(task, context, make)
    psfs: Path | None = None
    if "psf" in wanted:
        psfs = make(f"galaxy_psf-{tile}.sqlite")
        _write_psfs(task, context, psfs)
    if "v1" in wanted:
        write_table(make(f"final_cat-{tile}.fits"), _original_catalogue(final, psfs))
    return paths


def _original_catalogue(final: Table, psfs: Path | None) -> Table:
    """The catalogue of make_cat; with the PSFs of all epochs (SAVE_PSF_DATA) where they are."""
    table = with_sentinels(named(final, "v1"))
    if psfs is not None:
        with StampStore(psfs) as store:
            columns = epoch_psf_columns(
                table["NUMBER"], table["N_EPOCH"], lambda name: store.get(name, {})
            )
        # Before purepipe's own columns.
        table.add_columns(columns, [table.colnames.index("NGMIX_MCAL_FLAGS") + 1] * len(columns))
    return table


def _spread_table(final: Table) -> Table:
    table = final["NUMBER", "MAG_AUTO", "SPREAD_MODEL", "SPREADERR_MODEL"]
    table.rename_column("MAG_AUTO", "MAG")
    table["MAG"] = np.asarray(table["MAG"], dtype=np.float64)
    table.meta.clear()
    return table


def _write_vignets(task: CatalogueTask, context: WorkContext, make: MakePath) -> None:
    """The stamps of all objects, a block at a time; the background stays in the images."""
    tile = task.tile.tile
    tile_weights = []
    with ExitStack() as stack:
        stores = {
            kind: stack.enter_context(stamp_writer(make(f"{kind}-{tile}.sqlite")))
            for kind in _STORES
        }
        for item in task.blocks:
            objects = block.read_objects(item, context.root)
            epochs, stamps = block.gather(objects, task.tile, context)
            _, raw = block.gather(objects, task.tile, context, raw=True)
            kinds = dict(
                zip(_STORES, (raw.images, raw.weights, raw.masks, raw.images - stamps.images),
                    strict=True)
            )  # fmt: skip
            for kind, add in stores.items():
                for number, pairs in _by_object(objects, stamps):
                    content = {_epoch(epochs, p): {"VIGNET": kinds[kind][p]} for p in pairs}
                    add(number, content or EMPTY)
            tile_weights.append(block.tile_weights(objects, task.tile, context.config.inputs))
    _write_tile_weights(make(f"weight_vignet-{tile}.fits"), tile_weights)


def _write_tile_weights(path: Path, stamps: list[NDArray[np.float32]]) -> None:
    from astropy.table import Table as AstropyTable

    table = AstropyTable()
    table["VIGNET"] = np.concatenate(stamps).astype(np.float64) if stamps else np.zeros((0, 1, 1))
    write_ldac(path, table)


def _write_psfs(task: CatalogueTask, context: WorkContext, path: Path) -> None:
    with stamp_writer(path) as add:
        for item in task.blocks:
            objects = block.read_objects(item, context.root)
            epochs, stamps = block.gather(objects, task.tile, context)
            models = block.model_reader(task.tile, context.root)
            stamps = attach_psfs(stamps, epochs, models, context.config.tile.psf)
            shapes = _psf_shapes(stamps, epochs, models, context)
            assert stamps.psfs is not None  # noqa: S101 - just attached
            for number, pairs in _by_object(objects, stamps):
                content = {
                    _epoch(epochs, p): {"VIGNET": stamps.psfs[p], "SHAPES": shapes[p]}
                    for p in pairs
                    if p in shapes
                }
                add(number, content or EMPTY)


def _psf_shapes(
    stamps: EpochStamps, epochs: Epochs, models: Callable[[int], Any], context: WorkContext
) -> dict[int, dict[str, float]]:
    """The adaptive moments of the PSF of every usable pair."""
    shapes: dict[int, dict[str, float]] = {}
    usable = stamps.flags == 0
    size = context.config.tile.shapes.stamp_size
    for index in np.unique(epochs.ccd_index[usable]):
        pairs = np.flatnonzero(usable & (epochs.ccd_index == index))
        drawn = psf_at(
            models(int(index)), stamps.x[pairs], stamps.y[pairs], context.config.tile.psf,
            shape=(size, size),
        )  # fmt: skip
        failed = ~np.isfinite(drawn.sigma)
        for k, pair in enumerate(pairs):
            shapes[int(pair)] = {
                "E1_PSF_HSM": 0.0 if failed[k] else float(drawn.e1[k]),
                "E2_PSF_HSM": 0.0 if failed[k] else float(drawn.e2[k]),
                "SIGMA_PSF_HSM": -1.0 if failed[k] else float(drawn.sigma[k]),
                "FLAG_PSF_HSM": int(failed[k]),
            }
    return shapes


def _by_object(objects: Table, stamps: EpochStamps) -> Iterator[tuple[str, range]]:
    """NUMBER as text and the pairs of every object."""
    edges = np.searchsorted(stamps.row, np.arange(len(objects) + 1))
    for row, number in enumerate(np.asarray(objects["NUMBER"])):
        yield str(int(number)), range(int(edges[row]), int(edges[row + 1]))


def _epoch(epochs: Epochs, pair: int) -> str:
    return unit_name(*epochs.units[int(epochs.ccd_index[pair])])
