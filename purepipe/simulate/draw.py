"""Stars and galaxies on pixels, without noise.

Every object is drawn with the point-spread function and the local Jacobian at its own position.
The pixel is part of the drawing (GalSim convolves with it). A stamp holds all but a thousandth of
the flux of a star, and more for bright ones: it ends where the profile falls below
`EDGE_LEVEL` of the noise. With GalSim's default accuracy the pixels are good to 2e-4 of the
peak, and adaptive moments of sheared galaxies to 2e-5 in g (measured against much finer drawings,
seeing 0.4 to 1.1 arcsec).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.simulate import StarFieldConfig
from purepipe.simulate.sky import Objects
from purepipe.simulate.true_psf import moffat, moffat_radius
from purepipe.wcs import WCS

EDGE_LEVEL = 0.01
FLUX_OUTSIDE = 1e-3
LARGEST_HALF_STAMP = 200
# Half-light radii from the centre to the edge of the stamp; outside lie less than a thousandth of
# an exponential galaxy, and two to four hundredths of a de Vaucouleurs one.
GALAXY_REACH = {"exp": 5.5, "dev": 9.0, "star": 0.0}

# Reflection halo and spikes of a star of magnitude 13.8, pixels; the extents follow the scaling of
# the polygons with which such stars are masked.
PIVOT = 13.8
HALO_RADIUS, HALO_CENTRE, HALO_SCALING = 260.0, (5.5, -1.3), 0.05
SPIKE_LENGTH, SPIKE_WIDTH, SPIKE_SCALING = 180.0, 1.6, 0.3


def draw_objects(
    shape: tuple[int, int],
    wcs: WCS,
    objects: Objects,
    psf: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    *,
    beta: float,
    zero_point: float,
    noise: float,
    positions: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> NDArray[np.float32]:
    """The expected image of stars and galaxies, background excluded.

    Parameters
    ----------
    shape
        (ny, nx) of the image.
    wcs
        Its world coordinates.
    objects
        Structured array with the fields of `purepipe.simulate.sky.OBJECT_DTYPE`.
    psf
        FWHM (arcsec), g1 and g2 of the point-spread function at each object.
    beta
        Exponent of the Moffat profile.
    zero_point
        Magnitude of one ADU.
    noise
        Dispersion of the background noise, ADU; it sets the size of the stamps.
    positions
        0-based x and y of the objects, when known already.

    Returns
    -------
    (ny, nx) array, ADU.
    """
    image = np.zeros(shape, np.float32)
    x, y = wcs.sky_to_pixel(objects["ra"], objects["dec"]) if positions is None else positions
    here = np.isfinite(x) & np.isfinite(y)  # not on the other side of the sky
    objects, x, y = objects[here], x[here], y[here]
    psf = (psf[0][here], psf[1][here], psf[2][here])
    jacobians = wcs.jacobian(x, y)
    flux = 10 ** (0.4 * (zero_point - objects["mag"]))
    half = half_stamps(objects, flux, psf[0], jacobians, beta=beta, noise=noise)
    for i in range(len(objects)):
        column, row = round(float(x[i])), round(float(y[i]))
        stamp = _stamp(
            objects[i], (float(psf[0][i]), float(psf[1][i]), float(psf[2][i])), beta,
            float(flux[i]), jacobians[i], (x[i] - column, y[i] - row), int(half[i]),
        )  # fmt: skip
        _add(image, stamp, column, row)
    return image


def near_image(
    wcs: WCS, objects: Objects, *, margin: float = 64.0
) -> tuple[Objects, NDArray[np.float64], NDArray[np.float64]]:
    """The objects within `margin` pixels of an image, and their 0-based positions x, y."""
    ny, nx = wcs.shape
    ra, dec = wcs.pixel_to_sky((nx - 1) / 2, (ny - 1) / 2)
    reach = wcs.pixel_scale / 3600.0 * (math.hypot(nx, ny) / 2 + margin) * 1.1
    dra = (objects["ra"] - ra + 180) % 360 - 180
    close = np.hypot(dra * math.cos(math.radians(float(dec))), objects["dec"] - dec) < reach
    objects = objects[close]
    x, y = wcs.sky_to_pixel(objects["ra"], objects["dec"])
    inside = (x > -margin) & (x < nx - 1 + margin) & (y > -margin) & (y < ny - 1 + margin)
    return objects[inside], x[inside], y[inside]


def half_stamps(
    objects: Objects,
    flux: NDArray[np.float64],
    fwhm: NDArray[np.float64],
    jacobians: NDArray[np.float64],
    *,
    beta: float,
    noise: float,
) -> NDArray[np.int64]:
    """Half the width of each object's stamp, pixels; the stamp is 2 half + 1 wide."""
    scale = np.sqrt(np.abs(np.linalg.det(jacobians)))
    core = moffat_radius(fwhm, beta) / scale
    # Radii (in units of the core) beyond which the Moffat profile is fainter than the edge level,
    # and beyond which a fixed part of its flux lies.
    peak = flux * (beta - 1) / (np.pi * core**2)
    faint = np.maximum(peak / (EDGE_LEVEL * max(noise, 1e-3)), 1.0) ** (1 / beta) - 1
    outside = FLUX_OUTSIDE ** (-1 / (beta - 1)) - 1
    star = core * np.sqrt(np.maximum(faint, outside))
    reach = np.array([GALAXY_REACH[str(kind)] for kind in objects["type"]])
    galaxy = reach * objects["half_light_radius"] / scale
    half: NDArray[np.int64] = np.ceil(1.1 * np.hypot(star, galaxy)).astype(np.int64)
    return np.minimum(half, LARGEST_HALF_STAMP)


def local_wcs(jacobian: NDArray[np.float64]) -> Any:
    """A Jacobian d(u, v)/d(x, y) as a GalSim coordinate system."""
    import galsim

    (dudx, dudy), (dvdx, dvdy) = np.asarray(jacobian, dtype=float).tolist()
    return galsim.JacobianWCS(dudx, dudy, dvdx, dvdy)


def _stamp(
    item: Any,
    psf: tuple[float, float, float],
    beta: float,
    flux: float,
    jacobian: NDArray[np.float64],
    offset: tuple[float, float],
    half: int,
) -> NDArray[np.float32]:
    import galsim

    profile = moffat(*psf, beta)
    if item["type"] != "star":
        radius = float(item["half_light_radius"])
        if item["type"] == "dev":
            galaxy = galsim.DeVaucouleurs(half_light_radius=radius)
        else:
            galaxy = galsim.Exponential(half_light_radius=radius)
        galaxy = galaxy.shear(g1=float(item["g1_intrinsic"]), g2=float(item["g2_intrinsic"]))
        galaxy = galaxy.shear(g1=float(item["g1_shear"]), g2=float(item["g2_shear"]))
        profile = galsim.Convolve(galaxy, profile)
    size = 2 * half + 1
    image = profile.withFlux(flux).drawImage(
        nx=size, ny=size, wcs=local_wcs(jacobian), offset=offset, dtype=np.float32
    )
    return np.asarray(image.array)


def _add(image: NDArray[Any], stamp: NDArray[Any], column: int, row: int) -> None:
    """Add a stamp, centred on a pixel, to the part of the image that it meets."""
    ny, nx = image.shape
    half_y, half_x = stamp.shape[0] // 2, stamp.shape[1] // 2
    top, left = row - half_y, column - half_x
    y0, y1 = max(top, 0), min(top + stamp.shape[0], ny)
    x0, x1 = max(left, 0), min(left + stamp.shape[1], nx)
    if y0 < y1 and x0 < x1:
        image[y0:y1, x0:x1] += stamp[y0 - top : y1 - top, x0 - left : x1 - left]


def add_halos(
    image: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    magnitudes: NDArray[np.float64],
    config: StarFieldConfig,
    *,
    zero_point: float,
) -> None:
    """Add reflection halos and diffraction spikes of bright stars to `image`, in place.

    Parameters
    ----------
    image
        (ny, nx), ADU.
    x, y, magnitudes
        0-based positions and magnitudes of the stars.
    config
        Which stars have them, and how much light goes there.
    zero_point
        Magnitude of one ADU.
    """
    for xi, yi, magnitude in zip(x, y, magnitudes, strict=True):
        flux = float(10 ** (0.4 * (zero_point - magnitude)))
        if magnitude < config.halo_magnitude:
            scale = 1 - HALO_SCALING * (magnitude - PIVOT)
            _add_halo(image, xi, yi, scale, flux * config.halo_fraction)
        scale = 1 - SPIKE_SCALING * (magnitude - PIVOT)
        if magnitude < config.spike_magnitude and scale > 0:
            _add_spikes(image, xi, yi, scale, flux * config.spike_fraction)


def _add_halo(image: NDArray[np.float32], x: float, y: float, scale: float, flux: float) -> None:
    """A disc with a soft edge, darker in the middle: the image of a pupil out of focus."""
    radius = HALO_RADIUS * scale
    size = math.ceil(radius) + 2
    row, column = round(y), round(x)
    offsets = np.arange(-size, size + 1, dtype=np.float64)
    dx = offsets - (x - column + HALO_CENTRE[0] * scale)
    dy = offsets - (y - row + HALO_CENTRE[1] * scale)
    r = np.hypot(dx, dy[:, None]) / radius
    profile = 0.7 + 0.3 * r**2
    profile *= np.clip((1 - r) * 20, 0, 1)  # the last twentieth of the radius fades out
    profile *= np.clip((r - 0.05) * 20, 0.3, 1)
    _add(image, (profile * (flux / profile.sum())).astype(np.float32), column, row)


def _add_spikes(image: NDArray[np.float32], x: float, y: float, scale: float, flux: float) -> None:
    """Four arms along rows and columns, fading linearly to their ends."""
    length = SPIKE_LENGTH * scale
    size = math.ceil(length) + 2
    row, column = round(y), round(x)
    offsets = np.arange(-size, size + 1, dtype=np.float64)
    dx, dy = offsets - (x - column), offsets - (y - row)
    arms = _fade(dx, length) * _cross(dy)[:, None] + _fade(dy, length)[:, None] * _cross(dx)
    _add(image, (arms * (flux / arms.sum())).astype(np.float32), column, row)


def _fade(along: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    distance = np.abs(along)
    return np.asarray(np.clip(1 - distance / length, 0, 1) / (1 + distance / (0.1 * length)))


def _cross(across: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * (across / SPIKE_WIDTH) ** 2))
