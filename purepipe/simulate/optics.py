"""Where the camera looks: pointings, the layout of the CCDs, and their FITS headers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.config.simulate import SimulateConfig
from purepipe.rng import generator
from purepipe.shapes.images import shear_matrix
from purepipe.wcs import ARCSEC, WCS

if TYPE_CHECKING:
    from astropy.io.fits import Header

FIRST_NUMBER = 2100001
TILE_ZERO_POINT = 30.0
FIRST_MJD = 59000.25


@dataclass(frozen=True)
class Pointing:
    """One exposure before anything is drawn.

    Attributes
    ----------
    number
        Seven-digit exposure number.
    field, index
        Field, and position of the exposure within it.
    sky_key
        Names the random streams of the field; shared by fields with `repeat_sky`.
    ra, dec
        Direction of the optical axis, degrees.
    rotation
        Angle of the detector's y axis from north towards east, degrees.
    distortion
        ``"sip"``, ``"tpv"`` or ``"none"``.
    zero_point
        Magnitude of one ADU.
    sky, slope
        Background on the axis (ADU), and its relative change to the edge along x and y.
    """

    number: int
    field: int
    index: int
    sky_key: int
    ra: float
    dec: float
    rotation: float
    distortion: str
    zero_point: float
    sky: float
    slope: tuple[float, float]

    @property
    def flux_scale(self) -> float:
        """Factor from the ADU of the exposure to those of the tile (FSCALE)."""
        return flux_scale(self.zero_point)


def flux_scale(zero_point: float) -> float:
    """Factor from ADU of an image with this zero-point to ADU of a tile."""
    return float(10 ** (0.4 * (TILE_ZERO_POINT - zero_point)))


def field_centre(config: SimulateConfig, field: int) -> tuple[float, float]:
    """Right ascension and declination (degrees) of the centre of a field."""
    ra, dec = config.centre
    return (ra + field * config.spacing / math.cos(math.radians(dec))) % 360.0, dec


def field_key(config: SimulateConfig, field: int) -> int:
    """The number that names the random streams of a field."""
    return field // len(config.shears) if config.repeat_sky else field


def grid_shear(config: SimulateConfig, field: int) -> NDArray[np.float64]:
    """(2, 2) matrix by which the pixel grids of a field are sheared, axes east and north."""
    if not config.shear_grid:
        return np.eye(2)
    matrix = shear_matrix(*config.shears[field % len(config.shears)])
    flip = np.diag([-1.0, 1.0])  # shears refer to the west
    return flip @ matrix @ flip


def pointings(config: SimulateConfig) -> tuple[Pointing, ...]:
    """All exposures of the survey, by field and order within it."""
    return tuple(
        _pointing(config, field, index)
        for field in range(config.fields)
        for index in range(config.exposures)
    )


def _pointing(config: SimulateConfig, field: int, index: int) -> Pointing:
    key = field_key(config, field)
    rng = generator(config.seed, "pointing", key, index)
    # Around a circle, so that no gap between CCDs stays uncovered; the radius is random.
    angle = 2 * math.pi * (index / config.exposures + 0.125)
    radius, turn = rng.uniform((0.8, -1), 1)
    offset, level = rng.standard_normal(2)
    slope = rng.uniform(-1, 1, 2) * config.camera.sky_slope / math.sqrt(2)
    ra, dec = field_centre(config, field)
    east, north = grid_shear(config, field) @ (math.cos(angle), math.sin(angle))
    dec += north * radius * config.dither / ARCSEC
    ra += east * radius * config.dither / ARCSEC / math.cos(math.radians(dec))
    order = field * config.exposures + index
    kind = config.camera.distortion
    if kind == "alternate":
        kind = ("sip", "tpv")[index % 2]
    return Pointing(
        number=FIRST_NUMBER + order,
        field=field,
        index=index,
        sky_key=key,
        ra=ra % 360.0,
        dec=dec,
        rotation=turn * config.rotation + 180.0 * (config.half_turns and index % 2),
        distortion=kind,
        zero_point=config.camera.zero_point + config.camera.zero_point_scatter * offset,
        sky=config.camera.sky * math.exp(0.1 * level),
        slope=(float(slope[0]), float(slope[1])),
    )


def ccd_origin(config: SimulateConfig, ccd: int) -> tuple[float, float]:
    """Position of the first pixel of a CCD on the focal plane, pixels from the optical axis."""
    columns, rows = _grid(config)
    pitch = np.array(config.ccd_size) + config.camera.gap
    place = np.array([ccd % columns, ccd // columns])
    total = pitch * (columns, rows) - config.camera.gap
    x0, y0 = place * pitch - (total - 1) / 2
    return float(x0), float(y0)


def focal_radius(config: SimulateConfig) -> float:
    """Distance from the optical axis to the corner of the mosaic, pixels."""
    return math.hypot(*focal_half_size(config))


def focal_half_size(config: SimulateConfig) -> tuple[float, float]:
    """Half the width and half the height of the mosaic, pixels."""
    columns, rows = _grid(config)
    gap = config.camera.gap
    width = columns * (config.ccd_size[0] + gap) - gap
    height = rows * (config.ccd_size[1] + gap) - gap
    return width / 2, height / 2


def _grid(config: SimulateConfig) -> tuple[int, int]:
    columns = math.ceil(math.sqrt(config.ccds))
    return columns, math.ceil(config.ccds / columns)


def ccd_header(config: SimulateConfig, pointing: Pointing, ccd: int) -> Header:
    """The FITS header of one CCD: instrument, photometry and world coordinates."""
    from astropy.io.fits import Header
    from astropy.time import Time

    camera = config.camera
    nx, ny = config.ccd_size
    header = Header()
    header["EXTNAME"] = (f"ccd{ccd:02d}", "detector")
    header["EXPNUM"] = (pointing.number, "exposure number")
    header["INSTRUME"] = ("SIMCAM", "simulated camera")
    header["FILTER"] = ("r", "filter")
    header["EXPTIME"] = (200.0, "[s] exposure time")
    start = Time(FIRST_MJD + 0.0035 * (pointing.number - FIRST_NUMBER), format="mjd")
    header["DATE-OBS"] = (start.isot, "start of exposure, UTC")
    header["MJD-OBS"] = (start.mjd, "[d] start of exposure")
    header["DATASEC"] = (f"[1:{nx},1:{ny}]", "illuminated pixels")
    header["GAIN"] = (camera.gain, "[e-/ADU] gain")
    header["RDNOISE"] = (camera.read_noise, "[e-] read noise")
    header["SATURATE"] = (camera.saturation, "[ADU] saturation level")
    header["PHOTZP"] = (pointing.zero_point, "[mag] magnitude of one ADU")
    header["FSCALE"] = (pointing.flux_scale, "factor to the flux scale of the tile")
    _add_wcs(header, config, pointing, ccd)
    return header


def _add_wcs(header: Header, config: SimulateConfig, pointing: Pointing, ccd: int) -> None:
    """Gnomonic projection about the optical axis with a cubic radial distortion."""
    x0, y0 = ccd_origin(config, ccd)
    scale = config.camera.pixel_scale / ARCSEC
    angle = math.radians(pointing.rotation)
    suffix = {"sip": "TAN-SIP", "tpv": "TPV", "none": "TAN"}[pointing.distortion]
    header["CTYPE1"], header["CTYPE2"] = f"RA---{suffix}", f"DEC--{suffix}"
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["CRVAL1"], header["CRVAL2"] = pointing.ra, pointing.dec
    header["CRPIX1"], header["CRPIX2"] = 1.0 - x0, 1.0 - y0
    cd = np.array([[-math.cos(angle), math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    _add_cd(header, grid_shear(config, pointing.field) @ (scale * cd))
    header["RADESYS"] = "ICRS"
    cubic = config.camera.distortion_size / focal_radius(config) ** 3
    if pointing.distortion == "sip":
        for letter, powers in (("A", ("3_0", "1_2")), ("B", ("0_3", "2_1"))):
            header[f"{letter}_ORDER"] = 3
            for power in powers:
                header[f"{letter}_{power}"] = cubic
    elif pointing.distortion == "tpv":
        for axis in (1, 2):
            header[f"PV{axis}_1"] = 1.0
            header[f"PV{axis}_7"] = header[f"PV{axis}_9"] = cubic / scale**2


def _add_cd(header: Header, cd: NDArray[np.float64]) -> None:
    for row in range(2):
        for column in range(2):
            header[f"CD{row + 1}_{column + 1}"] = float(cd[row, column])


def ccd_wcs(config: SimulateConfig, pointing: Pointing, ccd: int) -> WCS:
    """The world coordinates of one CCD."""
    nx, ny = config.ccd_size
    return WCS.from_header(ccd_header(config, pointing, ccd), (ny, nx))


def tile_header(config: SimulateConfig, field: int) -> Header:
    """World coordinates of the tile of a field: gnomonic, north up, east to the left."""
    from astropy.io.fits import Header

    nx, ny = config.tile_size
    ra, dec = field_centre(config, field)
    scale = config.camera.pixel_scale / ARCSEC
    header = Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["CRPIX1"], header["CRPIX2"] = (nx + 1) / 2, (ny + 1) / 2
    _add_cd(header, grid_shear(config, field) @ np.diag([-scale, scale]))
    header["RADESYS"] = "ICRS"
    return header


def tile_wcs(config: SimulateConfig, field: int) -> WCS:
    """The world coordinates of the tile of a field."""
    nx, ny = config.tile_size
    return WCS.from_header(tile_header(config, field), (ny, nx))
