"""Columns of the detect step."""

from purepipe.catalogue.table import Column, register

COLUMNS: tuple[Column, ...] = ()

register(COLUMNS)
