"""A whole survey on disk, or one CCD in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.simulate import CameraConfig, SimulateConfig
from purepipe.errors import DataError, StoreError
from purepipe.exposure import Exposure, WeightKind
from purepipe.io.images import read_image
from purepipe.rng import generator
from purepipe.simulate.detector import (
    CCDImage,
    background,
    background_noise,
    detect_light,
    read_out,
)
from purepipe.simulate.draw import add_halos, draw_objects, near_image
from purepipe.simulate.files import (
    SurveyPaths,
    survey_paths,
    tile_number,
    write_catalogues,
    write_exposure,
    write_tile,
)
from purepipe.simulate.optics import Pointing, ccd_wcs, flux_scale, pointings, tile_wcs
from purepipe.simulate.sky import OBJECT_DTYPE, Objects, make_objects
from purepipe.simulate.stack import Stack, StackInput, add_ccd
from purepipe.simulate.true_psf import TruePSF, psf_parameters
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from astropy.table import Table

Progress = Callable[[str, int, int], None]
FILE_PATTERNS = {
    "exposures": r"(image|weight|flag)-\d{7}\.fits",
    "tiles": r"CFIS_(image|weight)-\d{3}-000\.fits",
}
HALO_MARGIN = 600.0  # pixels; the light of bright stars off the CCD also enters


@dataclass(frozen=True, eq=False)
class SimulatedSurvey:
    """A survey that `simulate_survey` has written.

    Attributes
    ----------
    config
        Its configuration.
    paths
        Its files.
    truth
        Every star and galaxy.
    psf
        The true point-spread function.
    """

    config: SimulateConfig
    paths: SurveyPaths
    truth: Table
    psf: TruePSF


@dataclass(frozen=True, eq=False)
class CCDTask:
    """All that a worker needs to draw one CCD."""

    config: SimulateConfig
    pointing: Pointing
    ccd: int
    objects: Objects


@dataclass(frozen=True)
class TileTask:
    """All that a worker needs to stack one tile."""

    config: SimulateConfig
    root: Path
    field: int


def simulate_survey(
    out: str | Path,
    config: SimulateConfig | None = None,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> SimulatedSurvey:
    """Write a small survey with known shear, in the files that a telescope delivers.

    Under `out`: ``exposures/{image,weight,flag}-2100001.fits`` with one extension per CCD,
    ``tiles/CFIS_{image,weight}-000-000.fits``, ``stars.fits`` and ``truth.fits``. The files depend
    on the configuration alone, to the byte, whatever executes it.

    Parameters
    ----------
    out
        Folder of the survey; made when missing.
    config
        What to simulate; the demonstration survey when not given.
    executor
        Draws CCDs and stacks tiles side by side; in this process, in turn, when not given.
    progress
        Called after each CCD and tile with its name, the number done and the total.
    overwrite
        Replace the files of an earlier simulation; files of other names stay.

    Raises
    ------
    StoreError
        `out` holds a survey already, or cannot be written.
    ConfigError
        The objects cannot be placed with the configured minimum separation.
    """
    config = SimulateConfig() if config is None else config
    paths = survey_paths(out, config)
    _prepare(paths, overwrite=overwrite)
    fields = [make_objects(config, field) for field in range(config.fields)]
    objects = _renumber(fields)
    report = _Counter(progress, config.fields * (config.exposures * config.ccds + 1))
    _write_exposures(paths, config, fields, executor, report)
    tasks = [TileTask(config, paths.root, field) for field in range(config.fields)]
    for task, (image, weight) in zip(tasks, _map(stack_tile, tasks, executor), strict=True):
        names = (paths.tiles[task.field], paths.tile_weights[task.field])
        write_tile(names, config, task.field, image, weight)
        report(f"tile {tile_number(task.field)}")
    truth = write_catalogues(paths, config, objects)
    return SimulatedSurvey(config, paths, truth, TruePSF.from_config(config))


def simulate_ccd(
    config: SimulateConfig, exposure: int, ccd: int, *, objects: Objects | None = None
) -> Exposure:
    """One CCD of a simulated survey in memory, the same pixels as in its file.

    Parameters
    ----------
    config
        Configuration of the survey.
    exposure
        Seven-digit exposure number, the first is 2100001.
    ccd
        Number of the CCD, from 0.
    objects
        Stars and galaxies to draw instead of those of the survey.

    Raises
    ------
    DataError
        The survey has no such exposure or CCD.
    """
    known = {item.number: item for item in pointings(config)}
    if exposure not in known or not 0 <= ccd < config.ccds:
        raise DataError(
            "no such CCD in the simulated survey", got=f"exposure {exposure}, CCD {ccd}",
            allowed=f"exposures {min(known)} to {max(known)}, CCDs 0 to {config.ccds - 1}",
        )  # fmt: skip
    pointing = known[exposure]
    if objects is None:
        objects = make_objects(config, pointing.field)
    drawn = draw_ccd(CCDTask(config, pointing, ccd, objects))
    wcs = ccd_wcs(config, pointing, ccd)
    name = f"{pointing.number}-{ccd}"
    return _as_exposure(drawn, wcs, config.camera, pointing.zero_point, name=name)


def simulate_scene(
    objects: Objects,
    wcs: WCS,
    *,
    fwhm: float = 0.7,
    psf_shape: tuple[float, float] = (0.0, 0.0),
    beta: float = 3.5,
    camera: CameraConfig | None = None,
    seed: int = 1,
) -> Exposure:
    """Any stars and galaxies on one image of any geometry, for notebooks and tests.

    The point-spread function is the same everywhere, the background flat, the detector perfect:
    no bad pixels and no cosmic rays.

    Parameters
    ----------
    objects
        Structured array with the fields of `OBJECT_DTYPE`; make it with
        ``np.zeros(n, OBJECT_DTYPE)``, or take it from `make_objects`.
    wcs
        World coordinates, with the shape of the image.
    fwhm, psf_shape, beta
        Moffat profile: full width at half maximum (arcsec), ellipticity (g1, g2; west, north) and
        exponent; the pixel comes on top.
    camera
        Gain, noise, background, saturation and zero-point; `CameraConfig()` when not given.
    seed
        Of the noise.

    Raises
    ------
    DataError
        `wcs` does not know the size of the image, or `objects` is not such an array.
    """
    camera = CameraConfig() if camera is None else camera
    if 0 in wcs.shape:
        raise DataError(
            "the size of the image is not known", key="wcs.shape", got=wcs.shape,
            remedy="Give the shape to WCS.from_header.",
        )  # fmt: skip
    if getattr(objects, "dtype", None) != OBJECT_DTYPE:
        raise DataError(
            "the objects must be a structured array of OBJECT_DTYPE", key="objects",
            got=getattr(objects, "dtype", type(objects).__name__),
            remedy="Start from np.zeros(n, OBJECT_DTYPE), or from make_objects.",
        )  # fmt: skip
    near, x, y = near_image(wcs, objects)
    psf = tuple(np.full(len(near), value) for value in (fwhm, *psf_shape))
    noise = background_noise(camera, camera.sky)
    light = draw_objects(
        wcs.shape, wcs, near, (psf[0], psf[1], psf[2]), beta=beta,
        zero_point=camera.zero_point, noise=noise, positions=(x, y),
    )  # fmt: skip
    sky = np.full(wcs.shape, camera.sky, np.float32)
    drawn = read_out(light, sky, camera, generator(seed, "scene"))
    return _as_exposure(drawn, wcs, camera, camera.zero_point, name="scene")


def _as_exposure(
    drawn: CCDImage, wcs: WCS, camera: CameraConfig, zero_point: float, *, name: str
) -> Exposure:
    return Exposure(
        drawn.image,
        weight=drawn.weight,
        weight_kind=WeightKind.INVERSE_VARIANCE,
        flags=drawn.flags.astype(np.int32),
        wcs=wcs,
        gain=camera.gain,
        saturation=camera.saturation,
        zero_point=zero_point,
        flux_scale=flux_scale(zero_point),
        name=name,
    )


def draw_ccd(task: CCDTask) -> CCDImage:
    """The pixels of one CCD of one exposure."""
    light = expected_light(task.config, task.pointing, task.ccd, task.objects)
    return detect_light(task.config, task.pointing, task.ccd, light)


def expected_light(
    config: SimulateConfig, pointing: Pointing, ccd: int, objects: Objects
) -> NDArray[np.float32]:
    """(ny, nx) light of stars and galaxies on a CCD, ADU, without background and noise."""
    wcs = ccd_wcs(config, pointing, ccd)
    near, x, y = near_image(wcs, objects)
    light = draw_objects(
        wcs.shape,
        wcs,
        near,
        psf_parameters(config, pointing, ccd, x, y),
        beta=config.seeing.beta,
        zero_point=pointing.zero_point,
        noise=background_noise(config.camera, pointing.sky),
        positions=(x, y),
    )
    stars = objects[objects["type"] == "star"]
    stars, x, y = near_image(wcs, stars, margin=HALO_MARGIN)
    add_halos(light, x, y, stars["mag"], config.stars, zero_point=pointing.zero_point)
    return light


def stack_tile(task: TileTask) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Image and weight of a tile, made from the exposure files of its field."""
    config = task.config
    paths = survey_paths(task.root, config)
    stack = Stack.empty(tile_wcs(config, task.field))
    for order, pointing in enumerate(pointings(config)):
        if pointing.field != task.field:
            continue
        for ccd in range(config.ccds):
            image, _ = read_image(paths.images[order], ccd + 1)
            weight, _ = read_image(paths.weights[order], ccd + 1)
            image -= background(config, pointing, ccd)
            wcs = ccd_wcs(config, pointing, ccd)
            add_ccd(stack, StackInput(image, weight, wcs, pointing.flux_scale))
    return stack.image(), stack.weight


def _write_exposures(
    paths: SurveyPaths,
    config: SimulateConfig,
    fields: list[Objects],
    executor: Executor | None,
    report: _Counter,
) -> None:
    """Draw the CCDs of all exposures; write each exposure as soon as its CCDs are there."""
    every = pointings(config)
    tasks = [
        CCDTask(config, pointing, ccd, fields[pointing.field])
        for pointing in every
        for ccd in range(config.ccds)
    ]
    drawn = iter(_map(draw_ccd, tasks, executor))
    for order, pointing in enumerate(every):
        ccds = []
        for ccd in range(config.ccds):
            ccds.append(next(drawn))
            report(f"{pointing.number}-{ccd}")
        names = (paths.images[order], paths.weights[order], paths.flags[order])
        write_exposure(names, config, pointing, ccds)


def _map(
    function: Callable[[Any], Any], tasks: list[Any], executor: Executor | None
) -> Iterator[Any] | Iterable[Any]:
    return map(function, tasks) if executor is None else executor.map(function, tasks)


def _renumber(fields: list[Objects]) -> Objects:
    """The objects of all fields in one array, with ids that are unique in the survey."""
    start = 0
    for objects in fields:
        objects["id"] += start
        objects["pair"][objects["pair"] >= 0] += start
        start += len(objects)
    return np.concatenate(fields)


def _prepare(paths: SurveyPaths, *, overwrite: bool) -> None:
    """Make the folders; refuse to mix with a survey that is there already, or clear it away."""
    for folder, pattern in FILE_PATTERNS.items():
        target = paths.root / folder
        if target.is_dir() and any(target.iterdir()) and not overwrite:
            raise StoreError(
                "the folder holds a survey already", file=target,
                remedy="Choose another folder, or allow its files to be replaced (overwrite).",
            )  # fmt: skip
        try:
            target.mkdir(parents=True, exist_ok=True)
            # An earlier survey may have had more files; a mixture would pass for one survey.
            for file in target.glob("*.fits"):
                if re.fullmatch(pattern, file.name):
                    file.unlink()
        except OSError as error:
            raise StoreError(
                f"the folder cannot be made: {error.strerror}", file=target,
                remedy="Choose a folder that you may write to.",
            ) from error  # fmt: skip


class _Counter:
    """Counts finished units for the caller's progress function."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, name: str) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(name, self.done, self.total)
