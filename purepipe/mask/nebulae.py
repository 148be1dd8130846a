"""Messier, NGC and IC objects: their tables, and the discs or ellipses that mask them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import DataError, MissingPackageError, did_you_mean
from purepipe.mask.sky import field_cone, project, separation

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.wcs import WCS

_NOT_NEBULAE = (
    "Star",
    "Double star",
    "Association of stars",
    "Duplicated record",
    "Nonexistent object",
    "Object of other/unknown type",
)


def messier() -> Table:
    """The Messier objects that are masked: name, ra, dec (degrees), major, minor (arcmin).

    81 galaxies, globular clusters and nebulae; most open clusters are left out on purpose. The
    extents are full ones. From ShapePipe (MIT licence), in single precision there.
    """
    return _messier().copy()


@cache
def _messier() -> Table:
    from astropy.table import Table

    text = (files("purepipe.mask") / "data" / "messier.csv").read_text(encoding="ascii")
    table = Table.read(text.splitlines(), format="ascii.csv")
    for name in table.colnames[1:]:
        table[name] = np.asarray(table[name]).astype(np.float32)
        table.rename_column(name, name.split("_")[0])
    return table


def ngc() -> Table:
    """The NGC and IC objects with a known extent: name, ra, dec, major, minor, angle.

    Positions in degrees, full extents in arcmin, position angle in degrees from north to east
    (NaN where unknown). Positions without object, duplicates and stars are left out.

    Raises
    ------
    MissingPackageError
        The package pyongc, which brings the OpenNGC data base, is not installed.
    """
    return _ngc().copy()


@cache
def _ngc() -> Table:
    from astropy.table import Table

    # Reading the data base takes seconds, and every CCD of a survey needs it.
    try:
        ongc = import_module("pyongc.ongc")
    except ImportError:
        raise MissingPackageError(
            "the positions of NGC and IC objects are not installed", key="mask.ngc",
            remedy="Run `pip install pyongc`, give a table of your own, or set mask.ngc.make to"
            " false.",
        ) from None  # fmt: skip
    rows = []
    for item in ongc.listObjects(catalog="NGC") + ongc.listObjects(catalog="IC"):
        major, minor, angle = item.dimensions
        if major is None or item.rad_coords is None or item.type in _NOT_NEBULAE:
            continue
        ra, dec = np.degrees(item.rad_coords)
        row = (float(ra), float(dec), float(major), float(minor or major))
        rows.append((str(item.name), *row, np.nan if angle is None else float(angle)))
    return Table(rows=rows, names=("name", "ra", "dec", "major", "minor", "angle"))


def nebula_mask(
    table: Table,
    wcs: WCS,
    *,
    size_plus: float = 0.0,
    compat: bool = False,
    name: str = "objects",
) -> NDArray[np.bool_]:
    """True inside the objects of a table.

    An object is an ellipse when its position angle is known, else a disc of its major axis.
    With `compat` it is as ShapePipe draws it: the full extent is taken for the radius, the pixel
    scale is the first element of the CD matrix, and only objects that contain a corner of the
    image are drawn.

    Parameters
    ----------
    table
        ra, dec in degrees; major and minor, full extents in arcmin; angle in degrees from north to
        east. Column units are honoured; minor and angle may be missing. ShapePipe's size_X and
        size_Y are known too.
    wcs
        World coordinates of the image, with its shape.
    size_plus
        Relative enlargement.
    name
        Shown in messages.

    Raises
    ------
    DataError
        A missing column, or a value that is not finite where one is needed.
    """
    ellipses = place_nebulae(table, wcs, size_plus=size_plus, compat=compat, name=name)
    plane = np.zeros(wcs.shape, bool)
    fill_nebulae(ellipses, plane)
    return plane


@dataclass(frozen=True, eq=False)
class Ellipses:
    """Ellipses on an image: centres, quadratic forms, and the value of the form at the rim."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    forms: NDArray[np.float64]
    limits: NDArray[np.float64]


def place_nebulae(table: Table, wcs: WCS, *, size_plus: float, compat: bool, name: str) -> Ellipses:
    """The objects of a table that may reach an image; parameters and errors of `nebula_mask`."""
    ra, dec, major, minor, angle = _columns(table, name)
    if compat:
        radius = np.maximum(major, minor)
        rows = _covers_a_corner(wcs, ra, dec, radius)
    else:
        ra0, dec0, reach = field_cone(wcs)
        rows = separation(ra0, dec0, ra, dec) < reach + major / 2 * (1 + size_plus)
    if not rows.any():
        return Ellipses(np.empty(0), np.empty(0), np.empty((0, 3)), np.empty(0))
    x, y = project(wcs, ra[rows], dec[rows])
    here = np.isfinite(x)
    x, y = x[here], y[here]
    if compat:
        scaled = radius[rows][here] * (1 + size_plus) / _first_matrix_element(wcs)
        forms, limits = np.tile((1.0, 0.0, 1.0), (len(x), 1)), scaled**2
    else:
        axes = np.stack([major, minor], axis=1)[rows][here] / 2 * (1 + size_plus)
        forms, limits = _forms(wcs, x, y, axes * 3600, angle[rows][here]), np.ones(len(x))
    return Ellipses(x, y, np.ascontiguousarray(forms), limits)


def fill_nebulae(ellipses: Ellipses, plane: NDArray[np.bool_], first_row: int = 0) -> None:
    """Set the pixels inside, in `plane`: the rows of an image from `first_row` on."""
    from purepipe.mask.raster_nb import fill_ellipses

    fill_ellipses(ellipses.x, ellipses.y, ellipses.forms, ellipses.limits, first_row, plane)


def _columns(table: Table, name: str) -> tuple[NDArray[np.float64], ...]:
    """ra, dec, major, minor and angle in degrees; the missing ones filled."""
    from astropy.units import arcmin, deg

    def column(key: str, default_unit: Any) -> NDArray[np.float64]:
        item = table[key]
        values = np.ma.filled(np.ma.asarray(item, dtype=np.float64), np.nan)
        unit = getattr(item, "unit", None) or default_unit
        return np.asarray(values * unit.to(deg), dtype=np.float64)

    if "major" not in table.colnames and {"size_X", "size_Y"} <= set(table.colnames):
        # ShapePipe's tables do not say along which axis an object is long.
        table = table.copy(copy_data=False)
        table["major"] = np.maximum(table["size_X"], table["size_Y"])
    for key in ("ra", "dec", "major"):
        if key not in table.colnames:
            raise DataError(
                "a column is missing", file=name, key=key,
                allowed="ra, dec, major; minor and angle are optional",
                remedy=did_you_mean(key, table.colnames) if table.colnames else None,
            )  # fmt: skip
    ra, dec, major = column("ra", deg), column("dec", deg), column("major", arcmin)
    minor = column("minor", arcmin) if "minor" in table.colnames else major.copy()
    angle = column("angle", deg) if "angle" in table.colnames else np.full(len(ra), np.nan)
    # Without a direction, or a second axis, the whole disc is masked.
    minor = np.where(np.isfinite(minor) & (minor > 0) & np.isfinite(angle), minor, major)
    usable = np.isfinite(ra) & np.isfinite(dec) & (major > 0)
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        raise DataError(
            f"row {row}: position and extent must be finite and the extent positive", file=name,
            got=f"ra {ra[row]}, dec {dec[row]}, major {major[row] * 60} arcmin",
            remedy="Take the row out of the table or complete it.",
        )  # fmt: skip
    return ra, dec, major, minor, angle


def _covers_a_corner(
    wcs: WCS, ra: NDArray[Any], dec: NDArray[Any], radius: NDArray[Any]
) -> NDArray[np.bool_]:
    ny, nx = wcs.shape
    corners = wcs.pixel_to_sky(
        np.array([0.0, nx - 1.0, 0.0, nx - 1.0]), np.array([0.0, 0.0, ny - 1.0, ny - 1.0])
    )
    covers = np.zeros(len(ra), bool)
    for ra0, dec0 in zip(*corners, strict=True):
        covers |= separation(float(ra0), float(dec0), ra, dec) < radius
    return covers


def _first_matrix_element(wcs: WCS) -> float:
    """|CD1_1|, degrees per pixel."""
    from astropy.io.fits import Header

    header = Header.fromstring(wcs.cards)
    if "CD1_1" in header:
        return abs(float(header["CD1_1"]))
    return abs(float(header.get("CDELT1", 1.0)) * float(header.get("PC1_1", 1.0)))


def _forms(
    wcs: WCS, x: NDArray[Any], y: NDArray[Any], axes: NDArray[Any], angle: NDArray[Any]
) -> NDArray[np.float64]:
    """Quadratic forms (xx, xy, yy) that are 1 on ellipses of semi-axes given in arcsec."""
    ny, nx = wcs.shape
    # Outside the image the distortion terms mean nothing: take the nearest pixel's scale.
    jacobian = wcs.jacobian(np.clip(x, 0, nx - 1), np.clip(y, 0, ny - 1))
    theta = np.radians(np.where(np.isfinite(angle), angle, 0.0))
    along = np.stack([-np.sin(theta), np.cos(theta)], axis=-1)
    across = np.stack([np.cos(theta), np.sin(theta)], axis=-1)
    forms = np.zeros((len(x), 2, 2))
    for axis, size in ((along, axes[:, 0]), (across, axes[:, 1])):
        row = np.einsum("kc,kcp->kp", axis, jacobian) / size[:, None]
        forms += row[:, :, None] * row[:, None, :]
    return np.stack([forms[:, 0, 0], forms[:, 0, 1], forms[:, 1, 1]], axis=1)
