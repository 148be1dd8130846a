"""Small VOTable reports of what a command did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from purepipe.io.atomic import atomic_write

if TYPE_CHECKING:
    from astropy.io.votable.tree import TableElement, VOTableFile
    from astropy.table import Table


def write_report_xml(
    path: str | os.PathLike[str],
    program: str,
    tables: Mapping[str, Table],
    *,
    settings: Mapping[str, str],
    facts: Mapping[str, str | int] | None = None,
) -> None:
    """Write a VOTable with tables of results and the configuration that led to them.

    Parameters
    ----------
    path
        Final name.
    program
        Name of the outer resource.
    tables
        Identifier to table: texts, whole numbers or numbers.
    settings
        Keyword to value, stored as parameters of the resource Config.
    facts
        What holds for all tables, stored as parameters beside them.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    from astropy.io.votable.tree import Info, Param, Resource, VOTableFile

    votable = VOTableFile()
    outer, meta, config = (Resource(name=name, ID=name) for name in (program, "MetaData", "Config"))
    outer.infos.append(Info(name="QUERY_STATUS", value="OK"))
    for key, fact in (facts or {}).items():
        kind = {"datatype": "char", "arraysize": "*"} if isinstance(fact, str) else {
            "datatype": "int"
        }  # fmt: skip
        meta.params.append(Param(votable, name=key, value=fact, **kind))
    for name, table in tables.items():
        meta.tables.append(_element(votable, table, name))
    for key, value in settings.items():
        config.params.append(Param(votable, name=key, datatype="char", arraysize="*", value=value))
    votable.resources.append(outer)
    outer.resources.append(meta)
    meta.resources.append(config)
    with atomic_write(path) as scratch:
        votable.to_xml(str(scratch))


def _element(votable: VOTableFile, table: Table, name: str) -> TableElement:
    from astropy.io.votable.tree import TableElement

    element = TableElement.from_table(votable, table)
    element.ID = element.name = name
    for field in element.fields:
        field.ID = None  # tables may have columns in common, and an ID is unique in its document
    return element
