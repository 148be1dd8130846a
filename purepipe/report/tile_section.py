"""The section about tiles: detections over the images, and the table of all tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from purepipe.report import object_plots
from purepipe.report.blocks import (
    Block,
    Cell,
    Gallery,
    Picture,
    Section,
    Text,
    cell,
    duration,
    grid,
    picture,
)
from purepipe.report.records import (
    MAX_TILES,
    Record,
    TileRecord,
    evenly,
    link_to,
    read_tile_objects,
    tile_image,
    tile_page,
    tile_records,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def tiles_section(record: Record) -> Section:
    """Detections over the image of some tiles, and what became of all of them."""
    found = tile_records(record)
    if not found:
        return Section("tiles", "Tiles", (Text("The run has no tile."),))
    chosen = evenly(found, MAX_TILES)
    gallery = Gallery(tuple(detections_picture(record, tile.name) for tile in chosen), wide=True)
    blocks: list[Block] = [gallery, _table(record, found)]
    if len(chosen) < len(found):
        blocks.insert(0, Text(f"{len(chosen)} of {len(found):,} tiles are shown."))
    return Section("tiles", "Tiles", tuple(blocks))


def detections_picture(record: Record, tile: str) -> Picture:
    """The detections of a tile over its image."""

    def make() -> Callable[[Axes], None]:
        return object_plots.detections(read_tile_objects(record, tile), tile_image(record, tile))

    caption = "Coloured by the number of epochs that cover the object."
    return picture(f"Tile {tile}: detections", caption, make, size=(4.2, 3.9))


def _table(record: Record, found: Sequence[TileRecord]) -> Block:
    """All tiles, those that are not done on top."""
    caption = "Tiles that are not done first. Covered: objects on at least one exposure."
    if any(tile_page(record.root, tile.name).exists() for tile in found):
        caption += " A name leads to the page of the tile."
    else:
        caption += " `purepipe report RUN --tile NAME` writes a page about a tile."
    head = ("tile", "status", "masked (%)", "objects", "covered", "with spread model",
            "with shape", "with shape (%)", "in the catalogue", "time")  # fmt: skip
    ranked = sorted(found, key=lambda tile: (tile.status == "done", tile.name))
    rows = [_row(record, tile) for tile in ranked]
    return grid(caption, head, rows, text_columns=2, sortable=True)


def _row(record: Record, tile: TileRecord) -> list[Cell]:
    pixels, objects = tile.steps("mask"), (tile.steps("detect") or (None, None))[1]
    masked = 100 * (1 - pixels[1] / pixels[0]) if pixels and pixels[0] else None
    counts = [(tile.steps(name) or (None, None))[1] for name in
              ("epochs", "spread", "shapes", "catalogue")]  # fmt: skip
    share = 100 * counts[2] / objects if objects and counts[2] is not None else None
    seconds = sum(outcome.seconds for outcome in tile.outcomes)
    tone = "good" if tile.status == "done" else "bad"
    return [
        Cell(tile.name, tile.name, link=link_to(record, tile_page(record.root, tile.name))),
        Cell(tile.status, tile.status, tone), cell(masked, "{:.1f}"), cell(objects, "{:,}"),
        *(cell(count, "{:,}") for count in counts[:3]), cell(share, "{:.1f}"),
        cell(counts[3], "{:,}"), Cell(duration(seconds), seconds),
    ]  # fmt: skip
