"""A page about one tile: its mask, detections, shapes and mean shear."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from purepipe.config import SurveyConfig, from_mapping
from purepipe.errors import PurepipeError
from purepipe.io.tables import read_table
from purepipe.pipeline.shear import mean_shear
from purepipe.report.blocks import Block, Gallery, Section, Text, counted, sentence
from purepipe.report.object_sections import catalogue_blocks, mask_picture
from purepipe.report.overview import shear_blocks
from purepipe.report.pages import REPORT, Header, render
from purepipe.report.records import Record, TileRecord, read_record, tile_page, tile_records
from purepipe.report.tile_section import detections_picture
from purepipe.report.unit_pages import step_blocks, write_pages


def write_tile_pages(root: Path, names: Iterable[str] | None = None) -> list[Path]:
    """Write a page about each of some tiles of a run, and give the paths.

    The report links the pages that there are when it is written.

    Parameters
    ----------
    root
        Folder of the run.
    names
        Such as ``"301-279"``; by default all, at about three seconds and a megabyte each.

    Raises
    ------
    DataError
        The run has no such tile.
    StoreError
        The folder holds no run, its ledger is damaged, or a page cannot be written.
    """
    record = read_record(Path(root))
    known = {tile.name: tile for tile in tile_records(record)}

    def page(name: str) -> tuple[Path, str]:
        return tile_page(record.root, name), _page(record, known[name])

    return write_pages(record, "tile", known, names, page)


def _page(record: Record, tile: TileRecord) -> str:
    tone = "good" if tile.status == "done" else "bad"
    facts = [("run", str(record.root.resolve()))]
    for name, words in (("detect", "objects"), ("epochs", "on an exposure"),
                        ("shapes", "with a shape")):  # fmt: skip
        counts = tile.steps(name)
        facts += [(words, f"{counts[1]:,}")] if counts else []
    missing = [
        exposure
        for outcome in tile.outcomes
        for step in outcome.steps
        for exposure in step.facts.get("missing exposures", ())
    ]
    facts += [("missing exposures", ", ".join(missing))] if missing else []
    top = Header(f"Tile {tile.name}", tile.status, tone, tuple(facts), back=f"../{REPORT}#tiles")
    return render(top, _sections(record, tile))


def _sections(record: Record, tile: TileRecord) -> list[Section]:
    mask = mask_picture("Mask over the image", record, tile.name)
    image = (detections_picture(record, tile.name), mask)
    sections = [
        Section("steps", "Steps", tuple(step_blocks(tile.outcomes))),
        Section("image", "Image", (Gallery(image, wide=True),)),
    ]
    path = record.root / "catalogue" / f"final_cat-{tile.name}.fits"
    try:
        catalogue = read_table(path)
    except PurepipeError as error:
        return [*sections, Section("objects", "Objects and shapes", (Text(sentence(error)),))]
    shear: list[Block]
    try:
        config = from_mapping(SurveyConfig, record.config).shear
        found = mean_shear(catalogue, config, seed=int(record.config.get("seed", 0)))
        caption = "Mean shear of this tile, calibrated by metacalibration; errors are 1 σ."
        shear = shear_blocks(found, config, caption)
    except PurepipeError as error:
        shear = [Text(f"No mean shear: {sentence(error)}")]
    except (KeyError, ValueError) as error:
        shear = [Text(f"No mean shear: {type(error).__name__}: {error}")]
    number = Text(f"{counted(len(catalogue), 'object')} in the final catalogue.")
    return [
        *sections,
        Section("shear", "Shear", tuple(shear)),
        Section("objects", "Objects and shapes", (number, *catalogue_blocks(catalogue))),
    ]
