"""What `status --verify` compares beside the products of units."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from purepipe.pipeline import make_plan, run, verify_run
from purepipe.pipeline.capsule import read_capsule
from purepipe.pipeline.run import _inputs
from purepipe.pipeline.store import open_store, transaction


@pytest.fixture
def copy(finished, tmp_path):
    config = replace(finished[0], out=tmp_path / "copy")
    shutil.copytree(finished[0].out, config.out)
    return config


@pytest.mark.parametrize("name", ["catalogue/final_cat.fits", "capsule.json"])
def test_what_all_units_made_is_compared(copy, name):
    assert verify_run(copy.out).differing == ()
    product = copy.out / name
    content = bytearray(product.read_bytes())
    content[-100] ^= 1
    product.write_bytes(content)
    assert verify_run(copy.out).differing == (f"merged: {name} has another content",)
    product.unlink()
    assert verify_run(copy.out).differing == (f"merged: {name} is missing",)
    run(copy, workers=1)
    assert verify_run(copy.out).differing == ()


def test_inputs_that_no_unit_reads_are_forgotten(copy):
    store = open_store(copy.out, create=False)
    with transaction(store) as ledger:
        ledger.execute("INSERT INTO input VALUES ('/gone.fits', '[]', 'abc')")
    store.close()
    assert verify_run(copy.out).differing == ("input /gone.fits is missing",)
    run(copy, workers=1)
    assert verify_run(copy.out).differing == ()
    assert "/gone.fits" not in read_capsule(copy.out / "capsule.json").inputs


def test_files_of_the_masks_are_inputs(copy):
    mask = copy.ccd.mask
    ngc = replace(mask.ngc, catalogue=Path("/ngc.txt"))
    sky = replace(copy.tile.mask.sky, map=Path("/sky.hsp"))
    changed = replace(
        copy,
        ccd=replace(copy.ccd, mask=replace(mask, ngc=ngc)),
        tile=replace(copy.tile, mask=replace(copy.tile.mask, sky=sky)),
    )
    plan = make_plan(copy)
    assert set(_inputs(plan, changed)) - set(_inputs(plan, copy)) == {
        Path("/ngc.txt"), Path("/sky.hsp")
    }  # fmt: skip
