"""Columns of epochs and of the final catalogue."""

from purepipe.catalogue.table import Column, register

COLUMNS: tuple[Column, ...] = ()

register(COLUMNS)
