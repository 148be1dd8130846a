"""`purepipe check`: every mistake of every file at once; `purepipe convert`."""

import os
import shutil
from pathlib import Path

import pytest

from purepipe.commands.ini import is_pipeline_file
from purepipe.config import SurveyConfig, from_mapping
from purepipe.errors import ConfigError
from purepipe.io.config_file import read_toml, write_toml
from purepipe.shapepipe.check import check, report_lines
from purepipe.shapepipe.convert import convert
from purepipe.shapepipe.settings import ENDINGS

from .shapepipe_files import write_ini

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "shapepipe"
INI = [Path(f"config_{name}.ini") for name in ("split", "exp", "tile")]


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """The tutorial's set, with the folders it needs, as the current folder."""
    shutil.copytree(EXAMPLES, tmp_path / "set")
    monkeypatch.chdir(tmp_path / "set")
    for name in ("output", "exposures", "tiles", "star_cat"):
        Path(name).mkdir()


def errors(*names):
    return [str(item) for item in check([Path(name) for name in names]) if item.level == "error"]


def starts(found, *beginnings):
    assert len(found) == len(beginnings), found
    for text, beginning in zip(found, beginnings, strict=True):
        assert text.startswith(beginning), text


def test_the_tutorial_has_no_mistake_and_references_are_followed(examples):
    findings = check(INI)
    assert [str(item) for item in findings if item.level == "error"] == []
    text = "\n".join(report_lines(findings))
    assert "config_exp.ini:89: ignored: [PSFEX_RUNNER] EXEC_PATH: no outside program" in text
    assert "example/test_all_exp/config.mask:3: ignored: WW_PATH" in text
    assert "LOG_WCS: output/log_exp_headers.npy does not exist yet" in text
    for name in ("default.sex", "default.psfex", "star_selection.setools", "default.param"):
        assert f"{name}: " in text
    # The file that DOT_PARAM_FILE names counts, not the one in the .sex file.
    assert "/home/guinot" not in text
    verbose = "\n".join(report_lines(findings, verbose=True))
    assert "honoured: DETECT_THRESH: Detection threshold." in verbose


def test_mistakes_of_sex_and_param_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("d.sex").write_text(
        "DETECT_TRESH 1.5\nDETECT_MINAREA ten\nCATALOG_TYP X\nFILTER Y\nFILTER_NAME no.conv\n"
        "PARAMETERS_NAME p.param\nCLEAN maybe\n"
    )
    Path("p.param").write_text("NUMBER\nMAG_AUT\nX_IMAGE\nVIGNET(0,3)\n")
    starts(
        errors("d.sex"),
        "d.sex:1: error: DETECT_TRESH: unknown keyword. Did you mean 'DETECT_THRESH'?",
        "d.sex:2: error: DETECT_MINAREA: the value is not understood (got 'ten'",
        "d.sex:3: error: CATALOG_TYP: unknown keyword. Did you mean 'CATALOG_TYPE'?",
        "d.sex:7: error: CLEAN: the value is not understood (got 'maybe'; allowed: Y or N)",
        "p.param:2: error: MAG_AUT: unknown column. Did you mean 'MAG_AUTO'?",
        "p.param:4: error: the size of an array is one or more positive numbers",
        "no.conv: error: the file does not exist",
    )


def test_mistakes_of_psfex_and_ww_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("d.psfex").write_text("BASIS_TYPE PIXELS\nPSF_SAMPLNG 1\nPSF_SIZE a,b\n")
    Path("d.ww").write_text("WEIGHT_MIN x\nWEIGT_MAX 1\n")
    starts(
        errors("d.psfex", "d.ww"),
        "d.psfex:1: error: BASIS_TYPE (basis): unknown word (got 'PIXELS'). Did you mean 'pixel'?",
        "d.psfex:2: error: PSF_SAMPLNG: unknown keyword. Did you mean 'PSF_SAMPLING'?",
        "d.psfex:3: error: PSF_SIZE: the value is not understood",
        "d.ww:1: error: WEIGHT_MIN: the value is not understood",
        "d.ww:2: error: WEIGT_MAX: unknown keyword. Did you mean 'WEIGHT_MAX'?",
    )


def test_mistakes_of_mask_files(examples):
    path = Path("example/test_all_exp/config.mask")
    text = path.read_text().replace("HALO_MAG_LIM = 13.", "HALO_MAG_LIM = abc")
    text = text.replace("SPIKE_FLAG_VALUE", "SPIKE_FLG_VALUE")
    path.write_text(text.replace("BORDER_WIDTH = 50", "BORDER_WIDTH = -3"))
    starts(
        errors(path),
        f"{path}:15: error: BORDER_WIDTH (border_width): out of range (got -3",
        f"{path}:24: error: HALO_MAG_LIM: the value is not understood (got 'abc'",
        f"{path}:39: error: SPIKE_FLG_VALUE: unknown keyword. Did you mean 'SPIKE_FLAG_VALUE'?",
    )


def test_mistakes_of_setools_conv_and_nnw_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("d.setools").write_text("[MASK:a]\nMAG_AUTO < < 3\n[MSK:b]\nX > 3\n[MASK:c]\nY = 3\n")
    Path("d.conv").write_text("CONV NORM\n1 2 1\n2 x\n1 2\n")
    Path("d.nnw").write_text("NNW\n3 1 2\n")
    starts(
        errors("d.setools", "d.conv", "d.nnw"),
        "d.setools:2: error: column 12: a number, a column or a function is needed",
        "d.setools:3: error: column 1: unknown type of section (got MSK). Did you mean 'MASK'?",
        "d.setools:6: error: column 3: a single = compares nothing",
        "d.conv:3: error: only numbers are expected here",
        "d.conv:4: error: all rows of a filter have the same length",
        "d.nnw: error: ",
    )


def test_mistakes_of_surveys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("d.toml").write_text(
        'seed = "a"\n[inputs]\nimge = "x"\nzero_point = "b"\n[tile.psf]\nmin_stars = -4\n'
        "[ccd.detect]\nthreshold = 2\n"
    )
    Path("e.toml").write_text("seed = \n")
    starts(
        errors("d.toml", "e.toml"),
        "d.toml:1: error: seed: a value of type int is needed",
        "d.toml:3: error: inputs.imge: unknown key. Did you mean 'image'?",
        "d.toml:4: error: inputs.zero_point: a value of type float is needed",
        "d.toml:6: error: tile.psf.min_stars: out of range (got -4",
        "e.toml",
    )


def test_pipeline_files_with_mistakes_are_followed_as_far_as_they_are_understood(tmp_path):
    (tmp_path / "a.psfex").write_text("PSF_SIZ 3\n")
    path = write_ini(
        tmp_path,
        f"[PSFEX_RUNNER]\nDOT_PSFEX_FILE = {tmp_path / 'a.psfex'}\n[SETOOLS_RUNNER]\n",
        modules="psfex_runner, setools_runner", input=f"{tmp_path / 'nowhere'}, last:mask_runner",
    )  # fmt: skip
    text = "\n".join(errors(path))
    assert "[SETOOLS_RUNNER] SETOOLS_CONFIG_PATH: a key is missing" in text
    assert f"[FILE] INPUT_DIR: the folder does not exist (got {tmp_path / 'nowhere'})" in text
    assert "a.psfex:1: error: PSF_SIZ: unknown keyword. Did you mean 'PSF_SIZE'?" in text


def test_unknown_kinds_and_missing_files_are_findings_beside_the_others(tmp_path):
    found = errors(tmp_path / "a.setool", tmp_path / "b", tmp_path / "a.ini")
    starts(
        found,
        f"{tmp_path / 'a.setool'}: error: the kind of the file is not known (got .setool)."
        " Did you mean '.setools'?",
        f"{tmp_path / 'b'}: error: the kind of the file is not known (got no ending). Valid names:",
        f"{tmp_path / 'a.ini'}: error: the file does not exist",
    )
    assert found[1].count(".setools") == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_can_be_run_can_be_checked(tmp_path, ending):
    path = write_ini(tmp_path).rename(tmp_path / f"run{ending}")
    assert is_pipeline_file(path)
    assert errors(path) == []
    assert check([path])[0].key == "[DEFAULT] RUN_NAME"


def test_the_set_becomes_one_survey(examples, tmp_path):
    for name in ("image", "weight", "flag"):
        Path(f"exposures/{name}-2100001.fits").touch()
    content, notes = convert(INI, Path())
    write_toml("survey.toml", content)
    assert read_toml("survey.toml") == content
    config = from_mapping(SurveyConfig, content)
    assert config.inputs.image == "exposures/image-{number}.fits"
    assert config.inputs.tile_weight == "tiles/CFIS_weight-{number}.fits"
    assert config.tile.epochs.ccd_size == (33, 2080, 1, 4612)
    assert config.tile.mask.border_make is False
    assert config.ccd.mask.border_width == 50
    assert config.ccd.detect.threshold == 2.0
    assert config.tile.detect.back_type == "manual"
    assert config.tile.psf.min_stars == 20
    assert str(config.out) == os.path.join("output", "purepipe")
    text = "\n".join(notes)
    for piece in ("setools_runner: stars are found by the stellar locus", "inputs.stars",
                  "SMP_BATCH_SIZE = 48", "check-images are not written"):  # fmt: skip
        assert piece in text
    assert check([Path("survey.toml")])[0].level == "honoured"


def test_files_without_any_step_of_a_survey(tmp_path):
    with pytest.raises(ConfigError, match="none of the modules has an equivalent"):
        convert([write_ini(tmp_path)], tmp_path)
