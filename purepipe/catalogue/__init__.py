"""The column table: every catalogue column with unit, type and definition; building tables."""

from purepipe.catalogue.table import Column, build_table, column, register

__all__ = ["Column", "build_table", "column", "register"]
