"""Catalogues of the stars of a PSF fit, in the forms in which PSFEx writes them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from astropy.table import Table, vstack

from purepipe.errors import ConfigError, did_you_mean
from purepipe.io.atomic import atomic_write, write_text
from purepipe.io.ldac import write_ldac

CATALOGUE_TYPES = ("NONE", "ASCII_HEAD", "ASCII", "ASCII_VOTABLE", "FITS_LDAC")

# Column: display format, unit, definition.
_COLUMNS = {
    "SOURCE_NUMBER": ("I10", "", "Row of the star in its catalogue"),
    "EXTENSION": ("I4", "", "Number of the image extension"),
    "CATALOG_NUMBER": ("I7", "", "Number of the catalogue"),
    "FLAGS_PSF": ("I7", "", "Why the star is not in the fit"),
    "VECTOR_CONTEXT": ("G12.6", "", "Contexts of the PSF model"),
    "X_IMAGE": ("F11.4", "pixel", "Position along x"),
    "Y_IMAGE": ("F11.4", "pixel", "Position along y"),
    "DELTAX_IMAGE": ("F11.4", "pixel", "Offset from the central pixel along x"),
    "DELTAY_IMAGE": ("F11.4", "pixel", "Offset from the central pixel along y"),
    "NORM_PSF": ("G12.6", "count", "Flux that normalises the star"),
    "FWHM_PSF": ("F8.2", "pixel", "Twice the half-light radius"),
    "ELLIP_PSF": ("F7.5", "", "Ellipticity (E-1)/(E+1), E = elongation"),
    "SNR_PSF": ("G10.4", "", "Signal-to-noise ratio"),
    "CHI2_PSF": ("G12.6", "", "Reduced chi-square of the star"),
    "RESI_PSF": ("G12.6", "", "Normalised residuals of the star"),
}


def write_psf_catalogue(
    path: str | os.PathLike[str], samples: Sequence[Table], kind: str = "FITS_LDAC"
) -> None:
    """Write the stars of one or more PSF models as one catalogue.

    Parameters
    ----------
    path
        Final name.
    samples
        ``samples`` of the models, in the order of catalogues and extensions.
    kind
        One of `CATALOGUE_TYPES`; NONE writes nothing.

    Raises
    ------
    ConfigError
        There is no such type of catalogue.
    StoreError
        The folder is missing or cannot be written.
    """
    if kind not in CATALOGUE_TYPES:
        raise ConfigError(
            "unknown type of catalogue", key="OUTCAT_TYPE", got=repr(kind),
            remedy=did_you_mean(kind, CATALOGUE_TYPES),
        )  # fmt: skip
    if kind == "NONE":
        return
    table = _dressed(samples)
    if kind == "FITS_LDAC":
        write_ldac(path, table)
    elif kind == "ASCII_VOTABLE":
        from astropy.io.votable import from_table

        if table.colnames and _width(table) == 0:
            table.remove_column("VECTOR_CONTEXT")  # no vector of length 0 in this format
        with atomic_write(path) as scratch:
            from_table(table, "Output_List").to_xml(str(scratch))
    else:
        lines = _header(table) if kind == "ASCII_HEAD" else []
        write_text(path, "".join(f"{line}\n" for line in [*lines, *_rows(table)]))


def _dressed(samples: Sequence[Table]) -> Table:
    """All stars in one table, with PSFEx's units and display formats."""
    parts = [part.copy() for part in samples]
    contexts = max((_width(part) for part in parts), default=0)
    for part in parts:
        part.meta.clear()
        # A model of lowered degree has fewer contexts than its neighbours in the catalogue, and a
        # constant one none.
        if _width(part) < contexts or "VECTOR_CONTEXT" not in part.colnames:
            _widen(part, contexts)
    table = vstack(parts, metadata_conflicts="silent") if parts else Table()
    table = table[[name for name in _COLUMNS if name in table.colnames]]
    for name in table.colnames:
        form, unit, definition = _COLUMNS[name]
        table[name].unit = unit or None
        table[name].description = definition
        table[name].meta.update({"TDISP": form} | ({"TUNIT": unit} if unit else {}))
    return table


def _width(part: Table) -> int:
    return part["VECTOR_CONTEXT"].shape[1] if "VECTOR_CONTEXT" in part.colnames else 0


def _widen(part: Table, contexts: int) -> None:
    values = np.full((len(part), contexts), np.nan)
    if "VECTOR_CONTEXT" in part.colnames:
        values[:, : _width(part)] = part["VECTOR_CONTEXT"]
    part["VECTOR_CONTEXT"] = values


def _header(table: Table) -> list[str]:
    """One line a column: number of its first element, name, definition, unit."""
    lines, number = [], 1
    for name in table.colnames:
        _, unit, definition = _COLUMNS[name]
        line = f"# {number:3d} {name:22} {definition:58}" + (f" [{unit}]" if unit else "")
        lines.append(line.rstrip())
        number += int(np.prod(table[name].shape[1:]))
    return lines


def _rows(table: Table) -> list[str]:
    columns = []
    for name in table.colnames:
        form = _COLUMNS[name][0]
        width = form[1:] + {"I": "d", "F": "f", "G": "g"}[form[0]]
        values = np.asarray(table[name]).reshape(len(table), -1)
        columns += [[format(value, width) for value in column] for column in values.T.tolist()]
    return [" ".join(fields) for fields in zip(*columns, strict=True)]
