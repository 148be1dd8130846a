"""SETools' files."""

from pathlib import Path

import pytest

from purepipe.errors import ConfigError, InputFileError
from purepipe.legacy.setools import read_setools

TUTORIAL = Path(__file__).parents[1] / "reference" / "select" / "star_selection.setools"


def test_the_tutorials_file():
    recipe = read_setools(TUTORIAL)
    assert [mask.name for mask in recipe.masks] == ["preselect", "star_selection", "fwhm_mag_cut"]
    assert len(recipe.plots) == 4
    assert len(recipe.stats) == 1


def test_mistakes_have_a_place(tmp_path):
    path = tmp_path / "my.setools"
    with pytest.raises(InputFileError, match=r"my\.setools"):
        read_setools(path)
    path.write_text("[MASK:stars]\nFWHM_IMAGE < medain(FWHM_IMAGE)\n")
    with pytest.raises(ConfigError, match=r"my\.setools line 2, column 14: .*Did you mean 'media"):
        read_setools(path)
    path.write_text("[MASKS:stars]\n")
    with pytest.raises(ConfigError, match="line 1, column 1: unknown type of section"):
        read_setools(path)
