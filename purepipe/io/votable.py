"""Small VOTable reports of what a command did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from purepipe.io.atomic import atomic_write


def write_report_xml(
    path: str | os.PathLike[str],
    program: str,
    *,
    table: str,
    columns: Mapping[str, list[Any]],
    settings: Mapping[str, str],
) -> None:
    """Write a VOTable with one table of results and the configuration that led to them.

    Parameters
    ----------
    path
        Final name.
    program
        Name of the outer resource.
    table, columns
        Identifier of the table, and its columns: texts, whole numbers or numbers.
    settings
        Keyword to value, stored as parameters of the resource Config.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    from astropy.io.votable.tree import Info, Param, Resource, TableElement, VOTableFile
    from astropy.table import Table

    votable = VOTableFile()
    outer = Resource(name=program, ID=program)
    outer.infos.append(Info(name="QUERY_STATUS", value="OK"))
    meta = Resource(name="MetaData", ID="MetaData")
    element = TableElement.from_table(votable, Table(dict(columns)))
    element.ID = element.name = table
    meta.tables.append(element)
    config = Resource(name="Config", ID="Config")
    for key, value in settings.items():
        config.params.append(Param(votable, name=key, datatype="char", arraysize="*", value=value))
    votable.resources.append(outer)
    outer.resources.append(meta)
    meta.resources.append(config)
    with atomic_write(path) as scratch:
        votable.to_xml(str(scratch))
