"""Columns of the psf step."""

from purepipe.catalogue.table import Column, register

COLUMNS: tuple[Column, ...] = ()

register(COLUMNS)
