"""What the report reads of a run: its ledger, and bounded samples of its products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import InputFileError, NothingToDo, PurepipeError
from purepipe.io.images import list_ccds, read_header, read_image
from purepipe.io.ldac import read_ldac
from purepipe.io.tables import read_table
from purepipe.pipeline.store import LEDGER, Outcome, fact, open_store, outcomes
from purepipe.survey.numbering import split_unit_name
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from astropy.table import Table

# Limits on what the pictures are made of, so that a report of a whole survey takes no longer than
# a minute; the tables always hold everything.
MAX_EXPOSURES = 12
MAX_SOURCE_CCDS = 60
MAX_TILES = 3
MAX_CATALOGUE_BYTES = 400_000_000

PAGES = "report"  # folder of the pages about single CCDs and tiles

# Residuals are compared with the limits of the verdict of `purepipe.psf.psf_residuals`.
ELLIPTICITY_LIMIT = 0.01
SIZE_LIMIT = 0.03

T = TypeVar("T")


@dataclass(frozen=True)
class Record:
    """The ledger of a run.

    Attributes
    ----------
    root
        Folder of the run.
    config
        The configuration as used: nested plain values, empty when the run never started.
    code
        Version of the code that ran.
    changed
        When the ledger was last written.
    outcomes
        How each unit ended, by name.
    """

    root: Path
    config: dict[str, Any]
    code: str
    changed: datetime
    outcomes: tuple[Outcome, ...]

    def input(self, name: str) -> str:
        """One of the file patterns of the configuration; empty when not known."""
        return str(self.config.get("inputs", {}).get(name, ""))


@dataclass(frozen=True)
class CCDRecord:
    """One CCD as the ledger knows it: `facts` joins the counts and facts of its steps."""

    name: str
    exposure: str
    ccd: int
    status: str
    facts: dict[str, Any]

    @property
    def badness(self) -> float:
        """Largest mean residual of the PSF in units of its limit; NaN without validation."""
        values = [
            abs(number(self.facts.get("mean_de1"))) / ELLIPTICITY_LIMIT,
            abs(number(self.facts.get("mean_de2"))) / ELLIPTICITY_LIMIT,
            abs(number(self.facts.get("mean_dsize"))) / SIZE_LIMIT,
        ]
        finite = [value for value in values if np.isfinite(value)]
        return max(finite) if finite else float("nan")


@dataclass(frozen=True)
class TileRecord:
    """One tile as the ledger knows it: the units of its detections, shapes and catalogue."""

    name: str
    outcomes: tuple[Outcome, ...]

    @property
    def status(self) -> str:
        """``"done"``, or how the first of its units ended that is not."""
        return next((o.status for o in self.outcomes if not o.done), "done")

    def steps(self, name: str) -> tuple[int, int] | None:
        """Counts into and out of a step, over all units; None when it did not run."""
        found = [step for o in self.outcomes for step in o.steps if step.step == name]
        if not found:
            return None
        return sum(step.n_in for step in found), sum(step.n_out for step in found)


@dataclass(frozen=True)
class FieldStars:
    """Stars of several CCDs in the tangent plane of their exposures, on the axes of the sky.

    Attributes
    ----------
    u, v
        Offsets from the pointing towards west and north, arcmin.
    star, psf
        (n, 2) reduced shear of star and PSF model; g1 > 0 along west, g2 > 0 from there to north.
    dsize
        (T_star - T_psf) / T_star.
    ra, dec
        Position on the sky, degrees.
    reserved
        Whether the star was kept out of the fit.
    outlines
        Corners (4, 2) of every CCD, arcmin.
    """

    u: NDArray[np.float64]
    v: NDArray[np.float64]
    star: NDArray[np.float64]
    psf: NDArray[np.float64]
    dsize: NDArray[np.float64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    reserved: NDArray[np.bool_]
    outlines: tuple[NDArray[np.float64], ...]


def read_record(root: Path) -> Record:
    """The ledger of the run in a folder.

    Raises
    ------
    StoreError
        The folder holds no run, or its ledger is damaged.
    """
    store = open_store(root, create=False)
    try:
        changed = datetime.fromtimestamp((root / LEDGER).stat().st_mtime, tz=UTC)
        config, code = fact(store, "config", {}), fact(store, "code", "unknown")
        return Record(root, config, code, changed, tuple(outcomes(store)))
    finally:
        store.close()


def number(value: Any) -> float:
    """A number of the ledger; NaN for what is missing or no number."""
    return float(value) if isinstance(value, int | float) else float("nan")


def ccd_records(record: Record) -> list[CCDRecord]:
    """One record for each CCD of the ledger, failed ones too, by name."""
    found = []
    for outcome in record.outcomes:
        if outcome.kind != "ccd":
            continue
        name = outcome.name.split(maxsplit=1)[-1]
        try:
            exposure, ccd = split_unit_name(name)
        except PurepipeError:
            exposure, ccd = name, -1
        facts: dict[str, Any] = {}
        for step in outcome.steps:
            facts |= {f"{step.step} in": step.n_in, f"{step.step} out": step.n_out}
            facts |= step.facts if step.step != "mask" else {}
        found.append(CCDRecord(name, exposure, ccd, outcome.status, facts))
    return found


def tile_records(record: Record) -> list[TileRecord]:
    """One record for each tile of the ledger, failed ones too, by name."""
    kinds = ("tile", "shapes", "cells", "catalogue")
    parts: dict[str, list[Outcome]] = {name: [] for name in tiles(record)}
    for outcome in record.outcomes:
        if outcome.kind in kinds and (name := outcome.name.split()[1]) in parts:
            parts[name].append(outcome)
    return [TileRecord(name, tuple(found)) for name, found in parts.items()]


def ccd_page(root: Path, name: str) -> Path:
    """Where the page about a CCD is, or would be."""
    return root / PAGES / f"{name}.html"


def tile_page(root: Path, name: str) -> Path:
    """Where the page about a tile is, or would be."""
    return root / PAGES / f"tile-{name}.html"


def link_to(record: Record, page: Path) -> str:
    """The link from the report to a page; empty when there is none."""
    return page.relative_to(record.root).as_posix() if page.exists() else ""


def worst_and_typical(ccds: Sequence[CCDRecord]) -> list[tuple[str, CCDRecord]]:
    """The CCD with the median and the one with the largest PSF residuals; fewer if there are."""
    ranked = sorted(
        (ccd for ccd in ccds if np.isfinite(ccd.badness)), key=lambda ccd: (ccd.badness, ccd.name)
    )
    if not ranked:
        sources = [ccd for ccd in ccds if ccd.facts.get("detect out")]
        return [("first", sources[0])] if sources else []
    typical, worst = ranked[(len(ranked) - 1) // 2], ranked[-1]
    return [("typical", typical)] + ([("worst", worst)] if worst is not typical else [])


def evenly(items: Sequence[T], limit: int) -> list[T]:
    """At most `limit` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    rows = np.unique(np.linspace(0, len(items) - 1, limit).round().astype(int))
    return [items[row] for row in rows]


def read_sources(record: Record, ccd: CCDRecord) -> Table:
    """The sources of a CCD with their star flags."""
    return read_ldac(record.root / "ccd" / ccd.name / "sources.fits")


def read_validation(record: Record, ccd: CCDRecord) -> Table:
    """The stars of a CCD beside its PSF model."""
    return read_table(record.root / "ccd" / ccd.name / "validation.fits")


def read_tile_objects(record: Record, tile: str) -> Table:
    """The detections of a tile."""
    return read_ldac(record.root / "tile" / tile / "objects.fits")


def read_mask(record: Record, folder: str) -> NDArray[np.int32]:
    """The mask of a unit."""
    mask, _ = read_image(record.root / folder / "mask.fits")
    return np.asarray(mask, dtype=np.int32)


def ccd_image(record: Record, ccd: CCDRecord) -> NDArray[np.float32] | None:
    """The image of a CCD, or None when the survey's files are not there any more."""
    path = Path(record.input("image").replace("{number}", ccd.exposure))
    try:
        hdu = list_ccds(path)[ccd.ccd][0]
        return np.asarray(read_image(path, hdu)[0], dtype=np.float32)
    except (PurepipeError, IndexError):
        return None


def tile_image(record: Record, tile: str) -> NDArray[np.float32] | None:
    """The image of a tile, or None when the survey's files are not there any more."""
    path = Path(record.input("tile_image").replace("{number}", tile))
    try:
        return np.asarray(read_image(path)[0], dtype=np.float32)
    except PurepipeError:
        return None


def tiles(record: Record) -> list[str]:
    """Numbers of the tiles of the ledger."""
    return [o.name.split(maxsplit=1)[-1] for o in record.outcomes if o.kind == "tile"]


@dataclass(frozen=True, eq=False)
class Catalogues:
    """Final catalogues of the tiles, joined.

    Attributes
    ----------
    table
        All rows; none when there is no catalogue.
    read, total
        Number of tiles that they are of, and of all tiles with a catalogue.
    note
        Why there are none.
    """

    table: Table | None
    read: int = 0
    total: int = 0
    note: str = ""

    def joined(self) -> Table:
        """The rows.

        Raises
        ------
        NothingToDo
            There is no catalogue.
        """
        if self.table is None:
            raise NothingToDo(self.note)
        return self.table


def read_catalogues(record: Record) -> Catalogues:
    """Final catalogues of tiles evenly spaced, as many as fit the limit on their size."""
    from astropy.table import vstack

    # By the ledger, since a tile that left the survey may have left its file.
    sizes: dict[str, int] = {}
    for outcome in record.outcomes:
        if outcome.kind == "catalogue" and outcome.done:
            sizes |= {k: v for k, v in outcome.products.items() if k.startswith("catalogue/")}
    if not sizes:
        return Catalogues(None, note="No tile has a final catalogue.")
    mean_size = sum(sizes.values()) / len(sizes)
    chosen = evenly(sorted(sizes), max(1, int(MAX_CATALOGUE_BYTES / max(mean_size, 1))))
    read = []
    for product in chosen:
        try:
            read.append(read_table(record.root / product))
        except InputFileError:
            continue
    if not read:
        return Catalogues(None, note="No final catalogue can be read.")
    joined = vstack(read, metadata_conflicts="silent")
    return Catalogues(joined, len(read), len(sizes))


def read_field(record: Record, ccds: Sequence[CCDRecord]) -> FieldStars:
    """The validation stars of some CCDs, each exposure about its own pointing.

    CCDs without a readable validation table or mask are left out.

    Raises
    ------
    NothingToDo
        No CCD has stars.
    """
    parts = []
    for exposure in sorted({ccd.exposure for ccd in ccds}):
        planes = []
        for ccd in ccds:
            if ccd.exposure != exposure:
                continue
            try:
                stars = read_validation(record, ccd)
                header = read_header(record.root / "ccd" / ccd.name / "mask.fits", 1)
                planes.append((stars, WCS.from_header(header), pointing_of(header)))
            except PurepipeError:
                continue
        if planes:
            # The reference point is common to the CCDs of most cameras; else this is near enough.
            pointing = np.median([plane[2] for plane in planes], axis=0)
            parts += [_ccd_stars(stars, wcs, pointing) for stars, wcs, _ in planes]
    if not parts:
        raise NothingToDo("No CCD has a validation table and a mask with world coordinates.")
    return FieldStars(
        u=np.concatenate([part.u for part in parts]),
        v=np.concatenate([part.v for part in parts]),
        star=np.concatenate([part.star for part in parts]),
        psf=np.concatenate([part.psf for part in parts]),
        dsize=np.concatenate([part.dsize for part in parts]),
        ra=np.concatenate([part.ra for part in parts]),
        dec=np.concatenate([part.dec for part in parts]),
        reserved=np.concatenate([part.reserved for part in parts]),
        outlines=tuple(outline for part in parts for outline in part.outlines),
    )


def _ccd_stars(stars: Table, wcs: WCS, pointing: NDArray[np.float64]) -> FieldStars:
    """The stars of one CCD whose moments are good."""
    names = ("E1_STAR_HSM", "E2_STAR_HSM", "E1_PSF_HSM", "E2_PSF_HSM", "SIGMA_STAR_HSM",
             "SIGMA_PSF_HSM", "X", "Y", "RA", "DEC")  # fmt: skip
    values = {name: column(stars, name) for name in names}
    good = np.all([np.isfinite(value) for value in values.values()], axis=0)
    for name in ("FLAG_STAR_HSM", "FLAG_PSF_HSM"):
        good &= column(stars, name) == 0
    values = {name: value[good] for name, value in values.items()}
    jacobian = wcs.jacobian(values["X"] - 1, values["Y"] - 1)
    u, v = tangent_plane(values["RA"], values["DEC"], pointing)
    corners = wcs.footprint()
    star_size = values["SIGMA_STAR_HSM"] ** 2
    return FieldStars(
        u=u, v=v,
        star=shear_on_sky(values["E1_STAR_HSM"], values["E2_STAR_HSM"], jacobian),
        psf=shear_on_sky(values["E1_PSF_HSM"], values["E2_PSF_HSM"], jacobian),
        dsize=(star_size - values["SIGMA_PSF_HSM"] ** 2) / star_size,
        ra=values["RA"], dec=values["DEC"],
        reserved=column(stars, "RESERVED")[good] == 1,
        outlines=(np.stack(tangent_plane(corners[:, 0], corners[:, 1], pointing), axis=-1),),
    )  # fmt: skip


def column(table: Table, name: str) -> NDArray[np.float64]:
    """A column as float64, masked values as NaN.

    Raises
    ------
    NothingToDo
        The table has no such column.
    """
    if name not in table.colnames:
        raise NothingToDo(f"The column {name} is missing.")
    values = table[name]
    filled = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
    return np.asarray(filled, dtype=np.float64)


def tangent_plane(
    ra: NDArray[np.float64], dec: NDArray[np.float64], pointing: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gnomonic offsets (west, north) in arcmin of sky positions (degrees) from a pointing."""
    dra, d = np.radians(ra - pointing[0]), np.radians(dec)
    d0 = np.radians(pointing[1])
    depth = np.sin(d) * np.sin(d0) + np.cos(d) * np.cos(d0) * np.cos(dra)
    west = -np.cos(d) * np.sin(dra) / depth
    north = (np.sin(d) * np.cos(d0) - np.cos(d) * np.sin(d0) * np.cos(dra)) / depth
    return np.degrees(west) * 60, np.degrees(north) * 60


def shear_on_sky(
    g1: NDArray[np.float64], g2: NDArray[np.float64], jacobian: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, 2) reduced shear on the axes of (u, v), from that on the axes of the pixels.

    The second moments go through the Jacobian d(u, v)/d(x, y), (n, 2, 2).
    """
    size = 1 + g1**2 + g2**2
    e1, e2 = 2 * g1 / size, 2 * g2 / size
    moments = np.stack([np.stack([1 + e1, e2], -1), np.stack([e2, 1 - e1], -1)], -2)
    sky = jacobian @ moments @ np.swapaxes(jacobian, -1, -2)
    trace = sky[..., 0, 0] + sky[..., 1, 1]
    e = np.stack([sky[..., 0, 0] - sky[..., 1, 1], 2 * sky[..., 0, 1]], -1) / trace[..., None]
    root = np.sqrt(np.clip(1 - (e**2).sum(axis=-1), 0, None))
    return np.asarray(e / (1 + root[..., None]))


def pointing_of(header: Any) -> tuple[float, float]:
    """The reference point of a header, degrees, which stands for the pointing of its exposure.

    Raises
    ------
    InputFileError
        The header has none.
    """
    try:
        return float(header["CRVAL1"]), float(header["CRVAL2"])
    except KeyError as error:
        raise InputFileError("the header has no reference point", key=str(error)) from error
