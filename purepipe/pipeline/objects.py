"""The steps on a block of a tile's objects: epochs, stamps, PSF, spread model, shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.catalogue import build_table
from purepipe.catalogue.columns_shapes import COLUMNS as SHAPES
from purepipe.config import EpochConfig, SpreadConfig
from purepipe.config.survey import InputConfig
from purepipe.exposure import inverse_variance
from purepipe.flags import EpochFlag, ShapeFlag
from purepipe.io.background import read_background
from purepipe.io.images import (
    FitsFile,
    open_fits,
    read_header,
    read_section,
    section_of,
    shape_of,
)
from purepipe.io.ldac import read_ldac
from purepipe.io.psf_file import read_psf
from purepipe.pipeline.units import ShapesTask, TileTask, WorkContext
from purepipe.psf import PSFModel, sky_positions, spread_class, spread_model
from purepipe.survey import (
    CCD,
    CCDPlanes,
    Epochs,
    EpochStamps,
    cut_stamps,
    find_epochs,
    gather_stamps,
    part_needed,
)
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from astropy.table import Table


def tile_ccds(task: TileTask) -> list[CCD]:
    """The CCDs of a tile's exposures, in the order of the exposures."""
    return [
        CCD.from_header(ref.task.exposure, ref.task.ccd, ref.cards, ref.shape) for ref in task.ccds
    ]


def objects_epochs(objects: Table, task: TileTask, config: EpochConfig) -> Epochs:
    """Which CCDs saw each object of a tile."""
    ra, dec = sky_positions(objects)
    return find_epochs(ra, dec, tile_ccds(task), config)


def silent_headers(task: TileTask, config: EpochConfig) -> list[str]:
    """What the headers of a tile's CCDs do not say, and what is taken for granted then."""
    wanted = [("FSCALE", "their flux scale counts as 1")]
    if config.ccd_size is None:
        wanted.append(("DATASEC", "all their pixels count as exposed"))
    sentences = []
    for key, meaning in wanted:
        # Cards have 80 characters; a keyword stands at the start of one.
        silent = [
            ref.task
            for ref in task.ccds
            if not any(ref.cards.startswith(key, i) for i in range(0, len(ref.cards), 80))
        ]
        if silent:
            some = ", ".join(f"{ccd.exposure}-{ccd.ccd}" for ccd in silent[:3])
            more = f" and {len(silent) - 3} more" if len(silent) > 3 else ""
            sentences.append(f"no {key} in the headers of {some}{more}: {meaning}.")
    return sentences


def read_objects(task: ShapesTask, root: Path) -> Table:
    """The detections of a block."""
    return read_ldac(root / task.tile.folder / "objects.fits", rows=(task.start, task.stop))


def gather(
    objects: Table, tile: TileTask, context: WorkContext, *, raw: bool = False
) -> tuple[Epochs, EpochStamps]:
    """The epochs of a block's objects, and their stamps without PSFs.

    `raw` leaves the background in the images.
    """
    config = context.config.tile
    ccds = tile_ccds(tile)
    epochs = find_epochs(*sky_positions(objects), ccds, config.epochs)
    size = config.shapes.stamp_size
    with plane_reader(tile, context.root, context.config.inputs, epochs, size) as planes:

        def chosen(index: int) -> CCDPlanes | None:
            pixels = planes(index)
            return replace(pixels, background=0.0) if raw and pixels is not None else pixels

        return epochs, gather_stamps(epochs, ccds, chosen, size=size)


@contextmanager
def plane_reader(
    task: TileTask, root: Path, inputs: InputConfig, epochs: Epochs, size: int
) -> Iterator[Callable[[int], CCDPlanes | None]]:
    """A function that reads the part of one CCD that the stamps need.

    It gives None when the unit of the CCD failed. Every file of an exposure is opened once, and
    closed at the end of the block.
    """
    with ExitStack() as stack:
        held: dict[Path, FitsFile] = {}

        def part_of(path: Path, hdu: int | None, part: tuple[int, int, int, int]) -> NDArray[Any]:
            if path not in held:
                held[path] = stack.enter_context(open_fits(path))
            return section_of(held[path], hdu, *part)

        def read(index: int) -> CCDPlanes | None:
            ccd = task.ccds[index].task
            folder = root / ccd.folder
            if not (folder / "psf.psf").is_file():
                return None
            part = part_needed(epochs, index, task.ccds[index].shape, size)
            y0, y1, x0, x1 = part
            image = part_of(ccd.image, ccd.hdu, part)
            weight = part_of(ccd.weight, ccd.weight_hdu, part)
            mask = read_section(folder / "mask.fits", None, *part)
            background = read_background(folder / "background.fits").rows(y0, y1)[:, x0:x1]
            good = inverse_variance(weight, inputs.weight_kind)
            return CCDPlanes(image, background, good, mask, first_row=y0, first_column=x0)

        yield read


def model_reader(task: TileTask, root: Path) -> Callable[[int], PSFModel]:
    """A function that reads the PSF model of one CCD."""
    return lambda index: read_psf(root / task.ccds[index].task.folder / "psf.psf")


def measure_spread(
    objects: Table,
    stamps: EpochStamps,
    task: TileTask,
    inputs: InputConfig,
    config: SpreadConfig,
) -> dict[str, NDArray[Any]]:
    """Spread model of the objects on the tile, with the mean PSF width of their epochs."""
    vignets = np.asarray(objects["VIGNET"])
    wcs = WCS.from_header(read_header(task.image, None))
    weights = tile_weights(objects, task, inputs)
    sigma = mean_psf_sigma(stamps, len(objects)) / wcs.pixel_scale
    spread, error, _ = spread_model(vignets, weights, sigma)
    return {
        "SPREAD_MODEL": spread,
        "SPREADERR_MODEL": error,
        "SPREAD_CLASS": spread_class(spread, error, config),
    }


def tile_weights(objects: Table, task: TileTask, inputs: InputConfig) -> NDArray[np.float32]:
    """Inverse variances of the tile on the pixels of VIGNET; only the rows needed are read."""
    size = np.asarray(objects["VIGNET"]).shape[-1]
    if len(objects) == 0:
        return np.zeros((0, size, size), dtype=np.float32)
    # The isophotal centre is that of the VIGNET.
    x = np.trunc(np.asarray(objects["X_IMAGE"], dtype=np.float64) - 1 + 0.49999)
    y = np.trunc(np.asarray(objects["Y_IMAGE"], dtype=np.float64) - 1 + 0.49999)
    with open_fits(task.weight) as file:
        ny, nx = shape_of(file)
        y0 = max(int(y.min()) - size, 0)
        y1 = min(int(y.max()) + size + 1, ny)
        section = section_of(file, None, y0, y1, 0, nx)
    weight = inverse_variance(section, inputs.tile_weight_kind)
    return cut_stamps(weight, x, y - y0, size, fill=0)


def mean_psf_sigma(stamps: EpochStamps, objects: int) -> NDArray[np.float64]:
    """Mean width (arcsec) of the PSF over the epochs of each object; NaN without any."""
    if stamps.psf_sigma is None:
        return np.full(objects, np.nan)
    scale = np.sqrt(np.abs(np.linalg.det(stamps.jacobian)))
    sigma = np.asarray(stamps.psf_sigma) * scale
    good = np.isfinite(sigma)
    count = np.bincount(stamps.row[good], minlength=objects)
    total = np.bincount(stamps.row[good], weights=sigma[good], minlength=objects)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(count > 0, total / count, np.nan))


def flag_counts(flags: NDArray[Any]) -> dict[str, int]:
    """Number of objects with each bit of the shape flags."""
    flags = np.asarray(flags)
    return {
        str(member.name): int(np.count_nonzero(flags & member.value))
        for member in ShapeFlag
        if np.any(flags & member.value)
    }


def block_table(
    objects: Table,
    epochs: Epochs,
    stamps: EpochStamps,
    task: TileTask,
    spread: dict[str, NDArray[Any]],
    shapes: Table,
) -> Table:
    """All measured columns of a block, one row per object."""
    n = len(objects)
    flags = np.where(epochs.n_epoch > 0, 0, int(EpochFlag.NOT_ATTEMPTED)).astype(np.int32)
    np.bitwise_or.at(flags, stamps.row, stamps.flags)
    left_out = np.asarray(shapes["NGMIX_FLAGS_EPOCH"])
    flags |= np.where(epochs.n_epoch > 0, left_out, 0).astype(np.int32)
    if task.missing:
        flags |= np.int32(EpochFlag.MISSING_FILE)
    names = np.array([f"{ref.task.exposure}-{ref.task.ccd}" for ref in task.ccds], dtype=str)
    seen = [" ".join(names[epochs.ccd_index[epochs.row == row]]) for row in range(n)]
    table = build_table(
        {
            "NUMBER": np.asarray(objects["NUMBER"]),
            "EPOCHS": np.array(seen, dtype=str),
            "FLAGS_EPOCH": flags,
            **spread,
        },
        rows=n,
    )
    for name in shapes.colnames:
        if name not in table.colnames:
            table[name] = shapes[name]
    return table


def block_columns() -> list[str]:
    """Names of the measured columns, in the order of the final catalogue."""
    own = ["EPOCHS", "FLAGS_EPOCH", "SPREAD_MODEL", "SPREADERR_MODEL", "SPREAD_CLASS"]
    return own + [item.name for item in SHAPES]
