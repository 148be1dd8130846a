"""Names that come out of files never lead out of the folder of the run."""

import os
from dataclasses import replace

import pytest

from purepipe.errors import ConfigError, InputFileError, StoreError
from purepipe.io.paths import inside, safe_name
from purepipe.pipeline import load_survey, make_plan
from purepipe.pipeline.store import Outcome, open_store, record
from purepipe.pipeline.tidy import forget_others


@pytest.mark.parametrize("name", ["2079614", "231-285", "a_b.c+1", "-3"])
def test_usual_numbers_are_names(name):
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "a b", "a\n", "a\0", ".hidden", "~x", "ä"]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(InputFileError, match=r"cannot be that of a product.*Rename"):
        safe_name(name, file="image.fits")


def test_products_stay_inside(tmp_path):
    assert inside(tmp_path, "ccd/1-0/psf.psf") == tmp_path / "ccd/1-0/psf.psf"
    os.symlink("/", tmp_path / "link")
    for name in ("../x", "/etc/passwd", "a/../../x", "link/etc/passwd"):
        with pytest.raises(StoreError, match=r"outside the folder of the run.*tampered"):
            inside(tmp_path, name)


@pytest.mark.parametrize(("kind", "unit"), [("tile_image", "tile .."), ("image", "exposure ..")])
def test_a_file_name_that_leads_elsewhere_is_a_problem(survey, tmp_path, kind, unit):
    config = load_survey(survey)
    (tmp_path / "x-...fits").write_bytes(b"")
    number = "tile_number" if kind == "tile_image" else "exposure_number"
    inputs = replace(
        config.inputs, **{kind: str(tmp_path / "x-{number}.fits"), number: r".+"}
    )  # fmt: skip
    plan = make_plan(replace(config, inputs=inputs))
    problem = next(p for p in plan.problems if p.name == unit)
    assert problem.status == "data bad"
    assert "cannot be that of a product (got '..'" in problem.message


def test_a_tampered_ledger_removes_nothing_outside(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    store = open_store(tmp_path / "run")
    record(store, Outcome("ccd 1-0", "ccd", "done", products={"../victim": 8}))
    with pytest.raises(StoreError, match="outside the folder of the run"):
        forget_others(store, [])
    store.close()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("SPREAD_MODEL", "SPREAD_MODEL.*has the spread model anyway"),
        ("CLASS_STAR", "CLASS_STAR.*`purepipe sex`"),
        ("FLUX_AUTOO", r"FLUX_AUTOO"),
    ],
)
@pytest.mark.parametrize("part", ["ccd", "tile"])
def test_columns_that_no_unit_could_measure_are_refused_at_once(survey, part, column, message):
    config = load_survey(survey)
    step = getattr(config, part)
    asked = replace(step, detect=replace(step.detect, columns=("NUMBER", column)))
    with pytest.raises(ConfigError, match=message) as raised:
        make_plan(replace(config, **{part: asked}))
    assert raised.value.key == f"{part}.detect.columns"
