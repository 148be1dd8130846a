"""The column table: every catalogue column with unit, type and definition; building tables."""

from purepipe.catalogue.assemble import assemble_catalogue
from purepipe.catalogue.table import Column, all_columns, build_table, column, register

__all__ = ["Column", "all_columns", "assemble_catalogue", "build_table", "column", "register"]
