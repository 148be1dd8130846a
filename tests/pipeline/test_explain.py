"""One object of a finished run, explained."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from purepipe.errors import DataError
from purepipe.io.tables import read_table
from purepipe.pipeline import open_run
from purepipe.report.explain import explain, model_image, write_explanation


@pytest.fixture(scope="module")
def bright(finished):
    """The run, and the tile and number of a bright object of several epochs."""
    config, _ = finished
    path = sorted((config.out / "catalogue").glob("final_cat-*.fits"))[0]
    table = read_table(path)
    usable = (table["NGMIX_MCAL_FLAGS"] == 0) & (table["N_EPOCH"] > 1) & (table["FLAGS"] == 0)
    usable &= (table["SNR_WIN"] > 20) & (table["SNR_WIN"] < 500)
    number = int(table["NUMBER"][usable][np.argmax(table["SNR_WIN"][usable])])
    return config.out, path.stem.removeprefix("final_cat-"), number


def test_text_and_page(bright, tmp_path):
    root, tile, number = bright
    found = explain(open_run(root), number, tile=tile)
    text = str(found)
    assert f"Object {number}\n" in text
    assert "NGMIX_MCAL_FLAGS = 0: no flag" in text
    assert text.count("PSF sigma") == len(found.epochs.row) > 1
    for i in range(len(found.epochs.row)):
        assert found.epochs.exposure[i] in text
    assert "\n  mean shear: " in text
    assert "\n      tile.spread.star_limit = 0.003\n" in text
    assert max(map(len, text.splitlines())) <= 80
    path = tmp_path / "object.html"
    write_explanation(found, path)
    page = path.read_text()
    assert page.count("<img ") == len(found.epochs.row)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert found._repr_html_() == page


def test_the_model_is_that_of_the_object(bright):
    root, tile, number = bright
    found = explain(open_run(root), number, tile=tile)
    for i in np.flatnonzero(found.epochs.flags == 0):
        image = found.epochs.images[i].astype(float)
        model = model_image(found.epochs, i, found.row)
        n = image.shape[0] // 2
        core = np.s_[n - 5 : n + 6, n - 5 : n + 6]
        left = ((image - model)[core] ** 2).sum() / (image[core] ** 2).sum()
        assert left < 0.1


def test_an_object_or_a_tile_that_is_not_there(bright):
    root, tile, _ = bright
    with pytest.raises(DataError, match="no such object"):
        explain(open_run(root), 10**6, tile=tile)
    with pytest.raises(DataError, match="no such tile"):
        explain(open_run(root), 1, tile="999-999")


def test_the_command(bright, tmp_path):
    root, tile, number = bright
    command = [sys.executable, "-P", "-m", "purepipe", "explain", str(root), "--tile", tile]
    done = subprocess.run(
        [*command, "--id", str(number)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"Object {number}\n")
