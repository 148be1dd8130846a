"""VOTables of SExtractor: the catalogue ASCII_VOTABLE and the report of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from purepipe.catalogue.table import Columns
from purepipe.io.atomic import atomic_write
from purepipe.io.sex_formats import comment_of, vo_unit_of
from purepipe.io.sex_text import table_cells

_TYPES = {"i2": "short", "i4": "int", "i8": "long", "f4": "float", "f8": "double"}
# Fields of the table of images: name, type, unit.
_IMAGE_FIELDS = (
    ("Extension", "int", ""),
    ("External_Header", "boolean", ""),
    ("Date", "char", ""),
    ("Time", "char", ""),
    ("Duration", "float", "s"),
    ("NDetect", "int", ""),
    ("NSextracted", "int", ""),
    ("Image_Ident", "char", ""),
    ("Background_Mean", "float", "ct"),
    ("Background_StDev", "float", "ct"),
    ("Threshold", "float", "ct"),
    ("Weight_Scaling", "float", ""),
    ("Pixel_Scale", "float", "arcsec"),
    ("Epoch", "float", "yr"),
    ("Gain", "float", ""),
    ("Satur_Level", "float", "ct"),
)


@dataclass(frozen=True, eq=False)
class RunReport:
    """What a VOTable says about a run.

    Attributes
    ----------
    image
        Name of the image file.
    software
        Name to value: Software, Version, Date, ...
    images
        One row per image; the fields of SExtractor's table Extension_Data.
    settings
        Keyword to value.
    style_sheet
        Address of an XSL style sheet, or empty.
    catalogue
        Name of a FITS catalogue that holds the objects, or empty.
    """

    image: str
    software: Mapping[str, str]
    images: Sequence[Mapping[str, Any]]
    settings: Mapping[str, str]
    style_sheet: str = ""
    catalogue: str = ""


def write_sex_votable(
    path: str | os.PathLike[str],
    report: RunReport,
    tables: Sequence[Columns],
    *,
    with_rows: bool,
) -> None:
    """Write a VOTable with the columns, the objects if asked for, the images and the settings.

    Parameters
    ----------
    path
        Final name.
    report
        What is known about the run.
    tables
        One per image, with the same columns.
    with_rows
        Write the objects, printed as in text catalogues.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    with (
        atomic_write(path, durable=False) as scratch,
        scratch.open("w", encoding="utf-8") as stream,
    ):
        stream.writelines(line + "\n" for line in _document(report, tables, with_rows))


def _document(report: RunReport, tables: Sequence[Columns], with_rows: bool) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    if report.style_sheet:
        yield f'<?xml-stylesheet type="text/xsl" href={quoteattr(report.style_sheet)}?>'
    yield '<VOTABLE version="1.1" xmlns="http://www.ivoa.net/xml/VOTable/v1.1">'
    yield f'<RESOURCE ID="Source_Extractor" name={quoteattr(report.image)}>'
    yield ' <INFO name="QUERY_STATUS" value="OK"/>'
    yield ' <COOSYS ID="J2000" equinox="J2000" epoch="J2000" system="ICRS"/>'
    yield f' <TABLE ID="Source_List" name={quoteattr(f"{report.image}/out")}>'
    for name, values in tables[0].items():
        yield _field(name, values)
    if with_rows:
        yield "  <DATA><TABLEDATA>"
        for table in tables:
            for cells in table_cells(table):
                yield f"   <TR><TD>{'</TD><TD>'.join(cells)}</TD></TR>"
        yield "  </TABLEDATA></DATA>"
    elif report.catalogue:
        address = quoteattr(f"file:{report.catalogue}")
        yield f'  <DATA><FITS extnum="2"><STREAM href={address}/></FITS></DATA>'
    yield " </TABLE>"
    yield ' <RESOURCE ID="MetaData" name="MetaData">'
    yield from (_parameter(name, value) for name, value in report.software.items())
    yield from _image_table(report.images)
    yield '  <RESOURCE ID="Config" name="Config">'
    yield from (_parameter(name, value) for name, value in report.settings.items())
    yield "  </RESOURCE>\n </RESOURCE>\n</RESOURCE>\n</VOTABLE>"


def _field(name: str, values: Any) -> str:
    size = values.shape[1:][::-1]
    array = f' arraysize="{"x".join(map(str, size))}"' if size else ""
    unit = f' unit="{vo_unit_of(name)}"' if vo_unit_of(name) else ""
    return (
        f'  <FIELD name="{name}" datatype="{_TYPES[values.dtype.str[1:]]}"{array}{unit}>'
        f"<DESCRIPTION>{escape(comment_of(name))}</DESCRIPTION></FIELD>"
    )


def _parameter(name: str, value: str) -> str:
    return f'  <PARAM name="{name}" datatype="char" arraysize="*" value={quoteattr(value)}/>'


def _image_table(images: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield '  <TABLE ID="Extension_Data" name="Extension_Data">'
    yield f'   <PARAM name="NExtensions" datatype="int" value="{len(images)}"/>'
    for name, kind, unit in _IMAGE_FIELDS:
        array = ' arraysize="*"' if kind == "char" else ""
        given = f' unit="{unit}"' if unit else ""
        yield f'   <FIELD name="{name}" datatype="{kind}"{array}{given}/>'
    yield "   <DATA><TABLEDATA>"
    for row in images:
        cells = [_text(row[name]) for name, _, _ in _IMAGE_FIELDS]
        yield f"    <TR><TD>{'</TD><TD>'.join(cells)}</TD></TR>"
    yield "   </TABLEDATA></DATA>"
    yield "  </TABLE>"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))
