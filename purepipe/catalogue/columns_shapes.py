"""Columns of the shapes step."""

from purepipe.catalogue.table import Column, register

COLUMNS: tuple[Column, ...] = ()

register(COLUMNS)
