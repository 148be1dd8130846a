"""XML report of PSF fits: a VOTable with one table of catalogues and one of extensions."""

from __future__ import annotations

import os
from collections.abc import Mapping

from astropy.table import Table

from purepipe import __version__
from purepipe.io.atomic import atomic_write


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
    from astropy.io.votable.tree import Info, Param, Resource, VOTableFile

    votable = VOTableFile()
    outer, meta, config = (Resource(name=name, ID=name) for name in ("PSFEx", "MetaData", "Config"))
    outer.infos.append(Info(name="QUERY_STATUS", value="OK"))
    texts = {"Software": "purepipe psfex", "Version": __version__}
    numbers = {"NFields": len(fields), "NExtensions": len(extensions), "NSnapshots": snapshots}
    for key, text in texts.items():
        meta.params.append(Param(votable, name=key, datatype="char", arraysize="*", value=text))
    for key, number in numbers.items():
        meta.params.append(Param(votable, name=key, datatype="int", value=number))
    warnings = failures or {}
    named = Table(
        {"Catalog_Name": list(warnings), "Message": list(warnings.values())}, dtype=[str, str]
    )
    for name, table in (
        ("PSF_Fields", fields), ("PSF_Extensions", extensions), ("Warnings", named),
    ):  # fmt: skip
        meta.tables.append(_element(votable, table, name))
    for key, value in settings.items():
        config.params.append(Param(votable, name=key, datatype="char", arraysize="*", value=value))
    votable.resources.append(outer)
    outer.resources.append(meta)
    meta.resources.append(config)
    with atomic_write(path) as scratch:
        votable.to_xml(str(scratch))


def _element(votable: object, table: Table, name: str) -> object:
    from astropy.io.votable.tree import TableElement

    element = TableElement.from_table(votable, table)
    element.ID = element.name = name
    for field in element.fields:
        field.ID = None  # the tables have columns in common, and an ID is unique in its document
    return element
