"""XML report of PSF fits: a VOTable with one table of catalogues and one of extensions."""

from __future__ import annotations

import os
from collections.abc import Mapping

from astropy.table import Table

from purepipe import __version__
from purepipe.io.votable import write_report_xml


def write_psf_report(
    path: str | os.PathLike[str],
    fields: Table,
    extensions: Table,
    *,
    settings: Mapping[str, str],
    snapshots: int,
    failures: Mapping[str, str] | None = None,
) -> None:
    """Write what was found about the PSF of catalogues and of their extensions.

    Parameters
    ----------
    path
        Final name.
    fields, extensions
        One row per catalogue, and per extension; stored as PSF_Fields and PSF_Extensions.
    settings
        Keyword to value, stored as parameters of the resource Config.
    snapshots
        Snapshots per context.
    failures
        Catalogue to message; stored as the table Warnings.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    warnings = failures or {}
    named = Table(
        {"Catalog_Name": list(warnings), "Message": list(warnings.values())}, dtype=[str, str]
    )
    write_report_xml(
        path,
        "PSFEx",
        {"PSF_Fields": fields, "PSF_Extensions": extensions, "Warnings": named},
        settings=settings,
        facts={
            "Software": "purepipe psfex", "Version": __version__, "NFields": len(fields),
            "NExtensions": len(extensions), "NSnapshots": snapshots,
        },
    )  # fmt: skip
