"""The sections about masks, tiles, objects, shapes and flags."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import NothingToDo, PurepipeError
from purepipe.flags import (
    NOT_ATTEMPTED_BIT,
    DetectFlag,
    DocumentedFlag,
    EpochFlag,
    MaskFlag,
    ShapeFlag,
    StarFlag,
    table,
)
from purepipe.report import object_plots, plots
from purepipe.report.blocks import (
    Block,
    Cell,
    Gallery,
    Heading,
    Picture,
    Section,
    Text,
    cell,
    counted,
    grid,
    picture,
)
from purepipe.report.records import (
    MAX_SOURCE_CCDS,
    MAX_TILES,
    Catalogues,
    CCDRecord,
    Record,
    ccd_image,
    column,
    evenly,
    read_mask,
    read_sources,
    tile_image,
    tiles,
    worst_and_typical,
)

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes

_FLAG_COLUMNS: tuple[tuple[str, str, type[DocumentedFlag]], ...] = (
    ("FLAGS", "detection", DetectFlag),
    ("IMAFLAGS_ISO", "mask of the tile", MaskFlag),
    ("FLAGS_EPOCH", "epochs that were not used", EpochFlag),
    ("NGMIX_MCAL_FLAGS", "shape measurement", ShapeFlag),
)


def masks_section(record: Record, ccds: Sequence[CCDRecord]) -> Section:
    """Fraction of pixels in every plane, and previews."""
    blocks: list[Block] = [_plane_table(record)]
    shown = [ccd for _, ccd in worst_and_typical(ccds)[:1]]
    pictures = [mask_picture(f"CCD {ccd.name}", record, ccd) for ccd in shown]
    pictures += [
        mask_picture(f"Tile {tile}", record, tile) for tile in evenly(tiles(record), MAX_TILES)
    ]
    if pictures:
        blocks.append(Gallery(tuple(pictures), wide=True))
    return Section("masks", "Masks", tuple(blocks))


def mask_picture(title: str, record: Record, unit: CCDRecord | str) -> Picture:
    """The mask of a CCD, or of the tile of a number, over its image."""

    def make() -> Callable[[Axes], None]:
        if isinstance(unit, str):
            mask, image = read_mask(record, f"tile/{unit}"), tile_image(record, unit)
        else:
            mask, image = read_mask(record, f"ccd/{unit.name}"), ccd_image(record, unit)
        return object_plots.mask_preview(mask, image)

    return picture(title, "Image in grey, mask planes in colour.", make, size=(4.2, 5.2))


def _plane_table(record: Record) -> Block:
    """Fraction of the pixels of all CCDs and of all tiles in every plane."""
    pixels: dict[str, int] = defaultdict(int)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for outcome in record.outcomes:
        for step in outcome.steps:
            if step.step == "mask" and step.n_in:
                pixels[outcome.kind] += step.n_in
                for name, n in step.facts.items():
                    counts[outcome.kind, name] += int(n)
    if not pixels:
        return Text("No mask was made.")
    planes = [(value, name, text) for value, name, text in table(MaskFlag)]
    planes.append((0, "ANY", "Any of these."))
    rows = []
    for value, name, text in planes:
        if not any(counts[kind, name] for kind in ("ccd", "tile")):
            continue
        shares = [
            cell(100 * counts[kind, name] / pixels[kind], "{:.3g}") if pixels[kind] else cell(None)
            for kind in ("ccd", "tile")
        ]
        rows.append([Cell(name), Cell(str(value) if value else "", value), Cell(text), *shares])
    return grid(
        "Mask planes over all pixels.", ("plane", "value", "meaning", "CCDs (%)", "tiles (%)"),
        rows, text_columns=3,
    )  # fmt: skip


def objects_section(record: Record, ccds: Sequence[CCDRecord], catalogues: Catalogues) -> Section:
    """Distributions of the objects of the final catalogue, and their flags."""
    stars = _star_flags(record, ccds)
    if catalogues.table is None:
        lacking: list[Block] = [Text(catalogues.note), Heading("Flags"), *stars]
        return Section("objects", "Objects and shapes", tuple(lacking))
    text = f"{counted(len(catalogues.table), 'object')} in the final catalogues of "
    text += counted(catalogues.read, "tile")
    text += "." if catalogues.read == catalogues.total else f" (of {catalogues.total:,})."
    blocks = [Text(text), *catalogue_blocks(catalogues.table), *stars]
    return Section("objects", "Objects and shapes", tuple(blocks))


def catalogue_blocks(catalogue: Table) -> list[Block]:
    """Distributions of the objects of a final catalogue and of their shapes, and their flags."""
    flags = [
        _flag_table(catalogue, name, what, kind)
        for name, what, kind in _FLAG_COLUMNS
        if name in catalogue.colnames
    ]
    return [
        *_of_failed_blocks(catalogue), Gallery(_object_pictures(catalogue)), Heading("Shapes"),
        Gallery(_shape_pictures(catalogue)), Heading("Flags"), *flags,
    ]  # fmt: skip


def _of_failed_blocks(catalogue: Table) -> list[Block]:
    """A warning where objects lack shapes because the unit of their shapes failed."""
    if "FLAGS_UNIT" not in catalogue.colnames:
        return []
    failed = int(np.count_nonzero(np.asarray(catalogue["FLAGS_UNIT"])))
    text = f"{counted(failed, 'object')} without shapes, since the unit that was to measure failed."
    return [Text(text, "bad")] if failed else []


def _object_pictures(catalogue: Table) -> tuple[Picture, ...]:
    return (
        picture(
            "Spread model", "Near zero for point sources.",
            lambda: object_plots.spread_magnitude(catalogue), size=(3.8, 3.7),
        ),
        picture("Epochs", "", lambda: object_plots.epoch_counts(catalogue)),
        picture(
            "Signal-to-noise ratio", "SNR_WIN of the detection; NGMIX_SNR of the shape fit.",
            lambda: object_plots.log_histogram(_signal_to_noise(catalogue), label="S/N",
                                               what="signal-to-noise ratio"),
        ),
    )  # fmt: skip


def _signal_to_noise(catalogue: Table) -> dict[str, NDArray[np.float64]]:
    samples = {"detection": column(catalogue, "SNR_WIN")}
    if "NGMIX_SNR_NOSHEAR" in catalogue.colnames:
        samples["shape fit"] = column(catalogue, "NGMIX_SNR_NOSHEAR")
    return samples


def _shape_pictures(catalogue: Table) -> tuple[Picture, ...]:
    return (
        _distribution(
            "Components of the shape", "Unsheared, not calibrated; flagged objects left out.",
            lambda: dict(zip(("g1", "g2"), _shapes(catalogue).T, strict=True)),
            label="g1, g2", what="shape", limits=(-1.0, 1.0), zero=True,
        ),
        _distribution(
            "Modulus of the shape", "", lambda: {"|g|": np.hypot(*_shapes(catalogue).T)},
            label="|g|", what="shape", limits=(0.0, 1.0),
        ),
        _distribution(
            "Size ratio", "Square of the ratio of NGMIX_T to NGMIX_Tpsf, which are radii.",
            lambda: {"T": _size_ratio(catalogue)}, label="T / T of the reconvolution PSF",
            what="size ratio",
        ),
        _distribution(
            "Shear responses", "Of single objects; their mean calibrates the shear.",
            lambda: {name: _clean(catalogue, name) for name in ("R11", "R22", "R12", "R21")},
            label="response", what="shear response", zero=True,
        ),
    )  # fmt: skip


def _distribution(
    title: str, caption: str, samples: Callable[[], dict[str, NDArray[np.float64]]], **options: Any
) -> Picture:
    """Histograms of samples that may turn out to be missing."""
    return picture(title, caption, lambda: plots.histogram(samples(), **options))


def _good(catalogue: Table) -> NDArray[np.bool_]:
    """Objects with an unflagged shape."""
    return np.asarray(column(catalogue, "NGMIX_MCAL_FLAGS") == 0)


def _clean(catalogue: Table, name: str) -> NDArray[np.float64]:
    return column(catalogue, name)[_good(catalogue)]


def _shapes(catalogue: Table) -> NDArray[np.float64]:
    shapes = column(catalogue, "NGMIX_ELL_NOSHEAR")
    if shapes.ndim != 2 or shapes.shape[1] != 2:
        raise NothingToDo("The column NGMIX_ELL_NOSHEAR does not hold two components.")
    return shapes[_good(catalogue)]


def _size_ratio(catalogue: Table) -> NDArray[np.float64]:
    size, psf = _clean(catalogue, "NGMIX_T_NOSHEAR"), _clean(catalogue, "NGMIX_Tpsf_NOSHEAR")
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = size / psf
        return np.asarray(ratio * np.abs(ratio))


def _star_flags(record: Record, ccds: Sequence[CCDRecord]) -> list[Block]:
    """Flags of the star selection over all sampled CCDs."""
    from astropy.table import Table, vstack

    found = []
    for ccd in evenly(ccds, MAX_SOURCE_CCDS):
        try:
            sources = read_sources(record, ccd)
            found.append(Table({"FLAGS_STAR": sources["FLAGS_STAR"]}))
        except (PurepipeError, KeyError):
            continue
    if not found:
        return [Text("No CCD has a table of its sources.")]
    joined = vstack(found, metadata_conflicts="silent")
    what = f"star selection on {counted(len(found), 'CCD')}"
    return [_flag_table(joined, "FLAGS_STAR", what, StarFlag)]


def _flag_table(catalogue: Table, name: str, what: str, kind: type[DocumentedFlag]) -> Block:
    """Number of objects with each bit of a flag column."""
    values = np.ma.asarray(catalogue[name]).astype(np.int64)
    flags = np.asarray(np.ma.filled(values, NOT_ATTEMPTED_BIT))
    total = len(flags)
    rows = [("none", "", int(np.count_nonzero(flags == 0)))]
    rows += [(bit, text, int(np.count_nonzero(flags & value))) for value, bit, text in table(kind)]
    cells = [
        [Cell(bit), Cell(text), cell(n, "{:,}"), cell(100 * n / max(total, 1), "{:.2f}")]
        for bit, text, n in rows
        if n or bit == "none"
    ]
    return grid(f"{name}: {what}.", ("flag", "meaning", "number", "%"), cells, text_columns=2)
