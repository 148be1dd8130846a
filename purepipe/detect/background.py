"""The sky background: level and rms on a mesh, interpolated to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe._threads import in_threads
from purepipe.config.detect import DetectConfig
from purepipe.detect import background_nb as nb
from purepipe.detect.records_nb import BIG
from purepipe.detect.weight_nb import NONE, VARIANCE
from purepipe.display import axes_or_new, brief, card
from purepipe.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Background:
    """Level and rms of the sky.

    Attributes
    ----------
    level_map, rms_map
        (meshes in y, meshes in x) float32, ADU, after the median filter.
    level, rms
        Global values, ADU: medians of the maps.
    mesh
        (width, height) of a mesh, pixels.
    shape
        (ny, nx) of the image.
    constant
        The level that is subtracted when it was set by hand, else None.
    variance_map
        Level of the variance from an external weight map on the same meshes, or None.
    """

    level_map: Map
    rms_map: Map
    level: float
    rms: float
    mesh: tuple[int, int]
    shape: tuple[int, int]
    constant: float | None = None
    variance_map: Map | None = None

    __repr__ = brief

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the level of the sky, one cell for each mesh, and give the axes.

        Parameters
        ----------
        ax
            Matplotlib axes to draw into; new ones when not given.
        """
        ax = axes_or_new(ax)
        (width, height), (ny, nx) = self.mesh, self.level_map.shape
        extent = (-0.5, nx * width - 0.5, -0.5, ny * height - 0.5)
        drawn = ax.imshow(self.level_map, origin="lower", extent=extent, interpolation="nearest")
        ax.figure.colorbar(drawn, ax=ax, label="level (ADU)")
        ax.set(xlabel="x (pixel, 0-based)", ylabel="y (pixel, 0-based)")
        ax.set(xlim=(-0.5, self.shape[1] - 0.5), ylim=(-0.5, self.shape[0] - 0.5))
        return ax

    def _repr_html_(self) -> str:
        facts = (
            ("level", f"{self.level:.6g} ADU"),
            ("rms", f"{self.rms:.6g} ADU"),
            ("mesh", f"{self.mesh[0]} x {self.mesh[1]} pixels"),
            ("subtracted", "the map" if self.constant is None else f"{self.constant:g} ADU"),
        )
        return card("Background", facts, self.plot)

    def image(self) -> Map:
        """(ny, nx) float32 level at every pixel: natural spline, or the constant."""
        return self.rows(0, self.shape[0])

    def rms_image(self) -> Map:
        """(ny, nx) float32 rms at every pixel, natural spline."""
        out = np.empty(self.shape, np.float32)
        bent = nb.spline_curvature(self.rms_map)
        nb.spline_rows(self.rms_map, bent, self.mesh, 0, self.shape[0], out)
        return out

    def rows(self, first: int, last: int) -> Map:
        """Level at the pixels of rows `first` to `last` (exclusive)."""
        out = np.empty((last - first, self.shape[1]), np.float32)
        if self.constant is None:
            bent = nb.spline_curvature(self.level_map)
            nb.spline_rows(self.level_map, bent, self.mesh, first, last, out)
        else:
            out[:] = self.constant
        return out

    @property
    def weight_factor(self) -> float:
        """Factor from the rms of the weight map to the measured one; 0 without a weight map."""
        if self.variance_map is None:
            return 0.0
        good = self.variance_map > 0
        with np.errstate(over="ignore"):
            ratio = self.rms_map[good] / np.sqrt(self.variance_map[good].astype(np.float64))
        positive: Map = ratio[ratio > 0].astype(np.float32)
        return _median(positive) if positive.size else 1.0


def estimate_background(
    image: Map,
    variance: Map | None = None,
    config: DetectConfig = DetectConfig(),  # noqa: B008 - frozen
    *,
    bad_level: float = float(BIG),
    threads: int = 1,
) -> Background:
    """Level and rms of the sky of an image.

    Parameters
    ----------
    image
        (ny, nx) float32, ADU.
    variance
        (ny, nx) float32, any scale; pixels at or above `bad_level` are left out.
    config
        Mesh size, filter size and threshold, type of background.
    bad_level
        Variance from which on a pixel is bad.
    threads
        Number of threads; the result does not depend on it.

    Raises
    ------
    ConfigError
        Image and variance differ in size.

    Notes
    -----
    Bertin & Arnouts (1996), A&AS 117, 393, section 3; details as in SExtractor 2.25.
    """
    if variance is not None and variance.shape != image.shape:
        raise ConfigError(
            "image and variance differ in size", got=variance.shape, allowed=image.shape
        )
    image = np.ascontiguousarray(image, np.float32)
    if variance is None:
        return background_of(image, no_weight(), NONE, float(BIG), config, threads)
    variance = np.ascontiguousarray(variance, np.float32)
    return background_of(image, variance, VARIANCE, bad_level, config, threads)


def background_of(
    image: Map, weight: Map, kind: int, bad_level: float, config: DetectConfig, threads: int
) -> Background:
    """As `estimate_background`, from a weight map of any `kind` (see `weight_nb`)."""
    image, weight = read_only(image), read_only(weight)
    height, width = image.shape
    mesh = (min(config.back_size[0], width), min(config.back_size[1], height))
    maps = np.empty((4, (height - 1) // mesh[1] + 1, (width - 1) // mesh[0] + 1), np.float32)

    def some_rows(first: int, last: int) -> None:
        nb.mesh_rows(image, weight, kind, np.float32(bad_level), mesh, first, last, maps)

    in_threads(some_rows, maps.shape[1], threads)
    return _smoothed(maps, mesh, (height, width), config, weighted=kind != NONE)


def no_weight() -> Map:
    """What kernels get where there is no weight map."""
    return np.zeros((1, 1), np.float32)


def read_only(array: Map) -> Map:
    """A view that cannot be written to: kernels are compiled for one kind of input only."""
    view = array.view()
    view.flags.writeable = False
    return view


def _median(values: Map) -> float:
    """Median in single precision, as the original forms it."""
    return float(np.median(values.ravel()))


def _smoothed(
    maps: Map,
    mesh: tuple[int, int],
    shape: tuple[int, int],
    config: DetectConfig,
    *,
    weighted: bool,
) -> Background:
    nb.fill_bad_meshes(maps)
    half_x, half_y = config.back_filter_size[0] // 2, config.back_filter_size[1] // 2
    threshold = np.float32(config.back_filter_threshold)
    level, rms = nb.filter_maps(maps[0], maps[1], half_x, half_y, threshold)
    variance_map = None
    if weighted:
        variance_map, _ = nb.filter_maps(maps[2], maps[3], half_x, half_y, threshold)
    noise = _median(rms)
    if noise <= 0:
        positive = rms[rms > 0]
        noise = _median(positive) if positive.size else 1.0
    return Background(
        level_map=level,
        rms_map=rms,
        level=_median(level),
        rms=noise,
        mesh=mesh,
        shape=shape,
        constant=config.back_value if config.back_type == "manual" else None,
        variance_map=variance_map,
    )
