"""Columns of epochs."""

from purepipe.catalogue.table import Column, register

COLUMNS: tuple[Column, ...] = (
    Column("EXP_NAME", "U16", "", "Number of the exposure."),
    Column("CCD_N", "i4", "", "CCD of the exposure that holds the object, from 0; -1 for none."),
    Column("x", "f8", "pix", "Random position in x, from 1."),
    Column("y", "f8", "pix", "Random position in y, from 1."),
)

register(COLUMNS)
