"""From the expected light to what a detector delivers: noise, defects, weight and flag map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from purepipe.config.simulate import CameraConfig, SimulateConfig
from purepipe.flags import MaskFlag
from purepipe.rng import generator
from purepipe.simulate.detector_nb import add_tracks, bleed
from purepipe.simulate.optics import Pointing, ccd_origin, focal_radius

# Ends and typical charge of cosmic rays.
TRACK_LENGTH = 6.0  # pixels, mean of an exponential distribution
TRACK_CHARGE = 3000.0  # electrons, median of a log-normal distribution
FLAGGED_CHARGE = 5.0  # electrons; pixels with less are not worth a flag
BAD_COLUMN_GAIN = 0.6  # a bad column keeps this part of its light


@dataclass(frozen=True, eq=False)
class CCDImage:
    """One CCD as a telescope delivers it.

    Attributes
    ----------
    image
        (ny, nx) float32, ADU, background included.
    weight
        (ny, nx) float32, inverse variance of the background noise in ADU^-2; 0 for pixels hit by
        cosmic rays and for dead pixels and columns.
    flags
        (ny, nx) int16 of `purepipe.flags.MaskFlag`: BAD_WEIGHT, COSMIC_RAY, SATURATED.
    """

    image: NDArray[np.float32]
    weight: NDArray[np.float32]
    flags: NDArray[np.int16]


def background(config: SimulateConfig, pointing: Pointing, ccd: int) -> NDArray[np.float32]:
    """(ny, nx) sky background of a CCD, ADU: a plane over the whole field of view."""
    nx, ny = config.ccd_size
    x0, y0 = ccd_origin(config, ccd)
    radius = focal_radius(config)
    along_x = pointing.slope[0] * (np.arange(nx) + x0) / radius
    along_y = pointing.slope[1] * (np.arange(ny) + y0) / radius
    plane = pointing.sky * (1 + along_x + along_y[:, None])
    return np.asarray(plane, dtype=np.float32)


def background_noise(camera: CameraConfig, level: float) -> float:
    """Dispersion of a pixel at background `level` (ADU), ADU."""
    return float(np.sqrt(level / camera.gain + (camera.read_noise / camera.gain) ** 2))


def detector_defects(config: SimulateConfig, ccd: int) -> NDArray[np.float32]:
    """(ny, nx) sensitivity of the pixels of a CCD: 1 is normal, less is bad, 0 is dead."""
    nx, ny = config.ccd_size
    rng = generator(config.seed, "defects", ccd)
    sensitivity = np.ones((ny, nx), np.float32)
    for column in rng.integers(0, nx, config.camera.bad_columns):
        start = int(rng.integers(0, max(ny // 2, 1)))
        sensitivity[start:, column] = BAD_COLUMN_GAIN
    dead = rng.integers(0, nx * ny, int(rng.poisson(config.camera.dead_pixels * nx * ny)))
    sensitivity.ravel()[dead] = 0.0
    return sensitivity


def cosmic_rays(config: SimulateConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """(ny, nx) charge left by the cosmic rays of one exposure, electrons."""
    nx, ny = config.ccd_size
    n = int(rng.poisson(config.camera.cosmic_rays * nx * ny / 1e6))
    charge = np.zeros((ny, nx), np.float32)
    add_tracks(
        charge,
        rng.uniform(-0.5, nx - 0.5, n),
        rng.uniform(-0.5, ny - 0.5, n),
        1.0 + rng.exponential(TRACK_LENGTH, n),
        rng.uniform(0, 2 * np.pi, n),
        TRACK_CHARGE * np.exp(0.8 * rng.standard_normal(n)),
    )
    return charge


def detect_light(
    config: SimulateConfig, pointing: Pointing, ccd: int, light: NDArray[np.float32]
) -> CCDImage:
    """One CCD with background, noise and defects.

    Parameters
    ----------
    config, pointing, ccd
        Which CCD of which exposure.
    light
        (ny, nx) expected image of the sources, ADU.
    """
    rng = generator(config.seed, "detector", pointing.sky_key, pointing.index, ccd)
    sky = background(config, pointing, ccd)
    sensitivity = detector_defects(config, ccd)
    rays = cosmic_rays(config, rng)
    return read_out(light, sky, config.camera, rng, sensitivity=sensitivity, rays=rays)


def read_out(
    light: NDArray[np.float32],
    sky: NDArray[np.float32],
    camera: CameraConfig,
    rng: np.random.Generator,
    *,
    sensitivity: NDArray[np.float32] | None = None,
    rays: NDArray[np.float32] | None = None,
) -> CCDImage:
    """Image, weight and flags of a detector that is exposed to `light`.

    Parameters
    ----------
    light, sky
        (ny, nx) expected light of the sources and of the background, ADU.
    camera
        Gain, read noise, saturation.
    rng
        Source of the photon and read noise.
    sensitivity
        (ny, nx), 1 for a normal pixel; pixels below are bad.
    rays
        (ny, nx) charge left by cosmic rays, electrons.
    """
    sensitivity = np.ones_like(light) if sensitivity is None else sensitivity
    rays = np.zeros_like(light) if rays is None else rays
    factor = sensitivity * np.float32(camera.gain)
    electrons = _expose(light * factor, sky * factor, camera, rng) + rays
    image = electrons / np.float32(camera.gain)
    if camera.bleeding:
        bleed(image, camera.saturation)
    saturated = image >= camera.saturation
    np.minimum(image, np.float32(camera.saturation), out=image)
    bad, hit = sensitivity < 1, rays > FLAGGED_CHARGE
    flags = np.zeros(image.shape, np.int16)
    flags[bad] |= MaskFlag.BAD_WEIGHT
    flags[hit] |= MaskFlag.COSMIC_RAY
    flags[saturated] |= MaskFlag.SATURATED
    weight = 1 / np.maximum(sky / camera.gain + (camera.read_noise / camera.gain) ** 2, 1e-12)
    weight[bad | hit] = 0
    return CCDImage(image, np.asarray(weight, dtype=np.float32), flags)


def _expose(
    light: NDArray[np.float32],
    sky: NDArray[np.float32],
    camera: CameraConfig,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Electrons of an exposure, with photon and read noise.

    The photons of the sources fluctuate as a normal deviate, so that the random numbers used do
    not depend on them: surveys that differ only in their shear share the noise.
    """
    if not camera.noise:
        return light + sky
    electrons = light + rng.poisson(sky).astype(np.float32)
    photons = rng.standard_normal(light.shape, dtype=np.float32)
    electrons += photons * np.sqrt(np.maximum(light, 0))
    noise = rng.standard_normal(light.shape, dtype=np.float32)
    electrons += noise * np.float32(camera.read_noise)
    return electrons
