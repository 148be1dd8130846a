"""The only code that opens data files."""

from purepipe.io.atomic import atomic_write, write_text
from purepipe.io.ccd_files import (
    list_units,
    read_ccd_headers,
    read_ccds,
    write_ccd_files,
    write_ccd_headers,
)
from purepipe.io.config_file import format_toml, read_toml, write_toml
from purepipe.io.exposures import HeaderKeywords, check_ccd_files, read_exposure
from purepipe.io.images import (
    image_shape,
    list_ccds,
    read_header,
    read_image,
    read_section,
    write_image,
)
from purepipe.io.ldac import count_extensions, read_epochs, read_ldac, write_ldac
from purepipe.io.psf_file import count_models, read_psf, write_psf
from purepipe.io.stamp_store import StampStore, write_stamp_store
from purepipe.io.stars import read_star_catalogue
from purepipe.io.tables import read_table, write_table

__all__ = [
    "HeaderKeywords",
    "StampStore",
    "atomic_write",
    "check_ccd_files",
    "count_extensions",
    "count_models",
    "format_toml",
    "image_shape",
    "list_ccds",
    "list_units",
    "read_ccd_headers",
    "read_ccds",
    "read_epochs",
    "read_exposure",
    "read_header",
    "read_image",
    "read_ldac",
    "read_psf",
    "read_section",
    "read_star_catalogue",
    "read_table",
    "read_toml",
    "write_ccd_files",
    "write_ccd_headers",
    "write_image",
    "write_ldac",
    "write_psf",
    "write_stamp_store",
    "write_table",
    "write_text",
    "write_toml",
]
