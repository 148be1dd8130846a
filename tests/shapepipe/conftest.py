"""Files that several tests use."""

import pytest

from .shapepipe_files import write_tile


@pytest.fixture
def tiles(tmp_path):
    """Two tiles that can be used, and one that names no exposure."""
    write_tile(tmp_path / "in" / "image-000-000.fits", "2100002", "2100001", "2100002")
    write_tile(tmp_path / "in" / "image-000-001.fits", "2100003")
    write_tile(tmp_path / "in" / "image-000-002.fits")
    return tmp_path
