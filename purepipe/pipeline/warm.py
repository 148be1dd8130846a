"""Compiling all kernels at once, side by side, instead of one by one when first needed.

Every function here runs one room on the smallest input that reaches its kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.config import DetectConfig, MetadetectConfig, PSFConfig, PSFInterpolationConfig
from purepipe.config.mask import MaskConfig
from purepipe.detect import extract
from purepipe.exposure import Exposure, WeightKind
from purepipe.mask import build_mask, mask_summary
from purepipe.psf import fit_psf, psf_at, spread_model, validate_psf
from purepipe.shapes import measure_shapes
from purepipe.shapes.cell_epochs import CellEpoch, gather_cell, tile_cells
from purepipe.shapes.detections import measure_cell
from purepipe.survey import EpochStamps, cut_stamps
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from astropy.table import Table

_STAMP = 51
_GRID = np.arange(40, 240, 60)  # pixel positions of the stars of the scene, in x and in y


def warm_up(executor: Executor | None = None, *, cells: bool = True) -> None:
    """Compile every kernel of the chain; machine code is kept on disk.

    Only the first call after an installation takes long. With an executor the rooms compile side
    by side. Those of metadetection can be left out with `cells`.
    """
    rooms = [room for room in ROOMS if cells or room is not warm_cells]
    if executor is None:
        for room in rooms:
            room()
        return
    for future in [executor.submit(room) for room in rooms]:
        future.result()


def warm_detection() -> None:
    """Compile mask, background, segmentation and measurement."""
    scene = _scene()
    mask = build_mask(scene, _bright_star(), MaskConfig(border_width=1))
    mask_summary(mask)
    extract(scene.with_flags(mask), DetectConfig.exposure())


def warm_psf() -> None:
    """Compile the PSF fit, its evaluation, adaptive moments and the spread model."""
    stars = _star_table(_scene())
    model = fit_psf(stars, PSFConfig(degrees=(1,)))
    validate_psf(model, stars)
    drawn = psf_at(model, [10.0], [10.0], PSFInterpolationConfig(min_stars=0))
    spread_model(drawn.images, np.ones_like(drawn.images), drawn.sigma)


def warm_shapes() -> None:
    """Compile the noise estimate, metacalibration and the fits."""
    from astropy.table import Table

    stamps = cut_stamps(_scene().image, _GRID[:2], _GRID[:2], _STAMP, fill=0.0)
    n = len(stamps)
    objects = Table({"NUMBER": [1, 2], "X_WORLD": [0.0, 0.1], "Y_WORLD": [0.0, 0.1]})
    weights = np.ones(stamps.shape, np.float32)
    weights[:, 20, 20] = 0  # bad pixels are filled
    epochs = EpochStamps(
        row=np.arange(n), exposure=np.full(n, "0000000"), ccd=np.zeros(n, np.int32),
        x=np.zeros(n), y=np.zeros(n), flags=np.zeros(n, np.int32),
        jacobian=np.tile(0.187 * np.eye(2), (n, 1, 1)), flux_scale=np.ones(n), images=stamps,
        weights=weights, masks=np.zeros(stamps.shape, np.int32),
        psfs=np.tile(_profile(), (n, 1, 1)), psf_sigma=np.full(n, 1.7),
    )  # fmt: skip
    measure_shapes(objects, epochs, seed=1)


def warm_cells() -> None:
    """Compile metadetection."""
    scene, config = _scene(), MetadetectConfig(side=200)
    assert scene.wcs is not None  # noqa: S101 - made with it
    area = tile_cells(scene.shape, config.side, config.margin)[0][0]
    x, y = area.nodes()
    jacobian = scene.wcs.jacobian(*area.centre)
    image = np.asarray(scene.image - 100, np.float32)
    epoch = CellEpoch(image, np.zeros(scene.shape, np.bool_), _profile(), jacobian, x, y)
    cell = gather_cell(area, [epoch], jacobian, max_masked=1.0)
    measure_cell(cell, area, scene.wcs, config, seed=1, key="warm")


ROOMS: tuple[Callable[[], None], ...] = (warm_detection, warm_shapes, warm_psf, warm_cells)


def _profile() -> NDArray[np.float32]:
    """A round Gaussian of unit sum on a stamp."""
    axis = np.arange(_STAMP) - _STAMP // 2
    gaussian = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / 1.7**2)
    return np.asarray(gaussian / gaussian.sum(), dtype=np.float32)


def _scene() -> Exposure:
    """A noisy image of 256 x 256 pixels with a grid of stars."""
    from astropy.io.fits import Header

    image = np.random.default_rng(1).normal(100.0, 5.0, (256, 256))
    half = _STAMP // 2
    for y in _GRID:
        for x in _GRID:
            image[y - half : y + half + 1, x - half : x + half + 1] += 2e4 * _profile()
    header = Header()
    cards = {
        "NAXIS": 2, "NAXIS1": 256, "NAXIS2": 256,
        "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP",
        "A_ORDER": 2, "A_2_0": 1e-7, "B_ORDER": 2, "B_0_2": 1e-7,
        "CRVAL1": 0.0, "CRVAL2": 0.0, "CRPIX1": 128.0, "CRPIX2": 128.0, "CD1_1": -5e-5,
        "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5e-5,
    }  # fmt: skip
    header.update(cards)
    return Exposure(
        image.astype(np.float32), weight=np.full(image.shape, 0.04, np.float32),
        weight_kind=WeightKind.INVERSE_VARIANCE, flags=np.zeros(image.shape, np.int32),
        wcs=WCS.from_header(header), gain=1.0,
    )  # fmt: skip


def _bright_star() -> Table:
    from astropy.table import Table

    return Table({"ra": [0.0], "dec": [0.0], "mag": [12.0]})


def _star_table(scene: Exposure) -> Table:
    """The stars of the scene as a detection would list them."""
    from astropy.table import Table

    y, x = (grid.ravel() for grid in np.meshgrid(_GRID, _GRID))
    n = len(x)
    table = Table(
        {
            "NUMBER": np.arange(1, n + 1),
            "VIGNET": cut_stamps(scene.image - 100, x, y, _STAMP, fill=0),
            "XWIN_IMAGE": x + 1.0, "YWIN_IMAGE": y + 1.0, "XWIN_WORLD": x + 0.0,
            "YWIN_WORLD": y + 0.0, "FLUX_RADIUS": np.full(n, 2.0, "f4"),
            "FLUX_AUTO": np.full(n, 2e4, "f4"), "FLUXERR_AUTO": np.full(n, 100, "f4"),
            "SNR_WIN": np.full(n, 200, "f4"), "ELONGATION": np.ones(n, "f4"),
            "FLAGS": np.zeros(n, "i2"), "MAG_AUTO": np.full(n, 20, "f4"),
        }
    )  # fmt: skip
    table.meta.update(SEXBKDEV=5.0, SEXGAIN=1.0)
    return table
