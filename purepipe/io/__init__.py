"""The only code that opens data files; names are imported on first use, for quick commands."""

from typing import TYPE_CHECKING

from purepipe._lazy import lazy_names

if TYPE_CHECKING:
    from purepipe.io.atomic import atomic_write as atomic_write
    from purepipe.io.atomic import write_text as write_text
    from purepipe.io.ccd_files import list_units as list_units
    from purepipe.io.ccd_files import read_ccd_headers as read_ccd_headers
    from purepipe.io.ccd_files import read_ccds as read_ccds
    from purepipe.io.ccd_files import write_ccd_files as write_ccd_files
    from purepipe.io.ccd_files import write_ccd_headers as write_ccd_headers
    from purepipe.io.config_file import format_toml as format_toml
    from purepipe.io.config_file import read_toml as read_toml
    from purepipe.io.config_file import write_toml as write_toml
    from purepipe.io.exposures import HeaderKeywords as HeaderKeywords
    from purepipe.io.exposures import check_ccd_files as check_ccd_files
    from purepipe.io.exposures import read_exposure as read_exposure
    from purepipe.io.images import image_shape as image_shape
    from purepipe.io.images import list_ccds as list_ccds
    from purepipe.io.images import read_header as read_header
    from purepipe.io.images import read_image as read_image
    from purepipe.io.images import read_section as read_section
    from purepipe.io.images import write_image as write_image
    from purepipe.io.ldac import count_extensions as count_extensions
    from purepipe.io.ldac import read_epochs as read_epochs
    from purepipe.io.ldac import read_ldac as read_ldac
    from purepipe.io.ldac import write_ldac as write_ldac
    from purepipe.io.original_headers import read_original_headers as read_original_headers
    from purepipe.io.psf_file import count_models as count_models
    from purepipe.io.psf_file import read_psf as read_psf
    from purepipe.io.psf_file import write_psf as write_psf
    from purepipe.io.stamp_store import StampStore as StampStore
    from purepipe.io.stamp_store import write_stamp_store as write_stamp_store
    from purepipe.io.stars import read_star_catalogue as read_star_catalogue
    from purepipe.io.tables import read_table as read_table
    from purepipe.io.tables import write_table as write_table

# Public name -> module of this folder that holds it.
_HOMES = {
    "HeaderKeywords": "exposures",
    "StampStore": "stamp_store",
    "atomic_write": "atomic",
    "check_ccd_files": "exposures",
    "count_extensions": "ldac",
    "count_models": "psf_file",
    "format_toml": "config_file",
    "image_shape": "images",
    "list_ccds": "images",
    "list_units": "ccd_files",
    "read_ccd_headers": "ccd_files",
    "read_ccds": "ccd_files",
    "read_epochs": "ldac",
    "read_exposure": "exposures",
    "read_header": "images",
    "read_image": "images",
    "read_ldac": "ldac",
    "read_original_headers": "original_headers",
    "read_psf": "psf_file",
    "read_section": "images",
    "read_star_catalogue": "stars",
    "read_table": "tables",
    "read_toml": "config_file",
    "write_ccd_files": "ccd_files",
    "write_ccd_headers": "ccd_files",
    "write_image": "images",
    "write_ldac": "ldac",
    "write_psf": "psf_file",
    "write_stamp_store": "stamp_store",
    "write_table": "tables",
    "write_text": "atomic",
    "write_toml": "config_file",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - the names are strings

if not TYPE_CHECKING:  # type checkers know the names from above
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
