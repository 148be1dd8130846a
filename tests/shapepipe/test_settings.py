"""What a pipeline file asks for, and every mistake in it at once."""

import re

import pytest

from purepipe.errors import ConfigError
from purepipe.shapepipe.config import seconds
from purepipe.shapepipe.modules import MODULES, find_module, work_of
from purepipe.shapepipe.settings import examine_pipeline, load_pipeline

from .shapepipe_files import write_ini


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("mask_runner", "mask"),
        ("psfexinterp_runner", "psfex_interp"),
        ("psfinterp_runner", "psfex_interp"),
        ("PSFEX_INTERP_RUNNER", "psfex_interp"),
        ("vignetmaker_runner2", "vignetmaker"),
        ("make_catalog_runner", "make_cat"),
        ("merge_starcat_runner", "merge_starcat"),
    ],
)
def test_current_and_earlier_names_of_modules(name, module):
    assert find_module(name).name == module


def test_every_module_has_its_work():
    for module in MODULES.values():
        assert callable(work_of(module))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sextracter_runner", "unknown module .*Did you mean 'sextractor_runner'"),
        ("mccd_fit_runner", "MCCD is not a part of purepipe"),
        ("python_example_runner", "demonstration"),
    ],
)
def test_modules_that_cannot_be_run(name, message):
    with pytest.raises(ConfigError, match=message):
        find_module(name)


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("None", None), ("90", 90.0), ("10:00:00", 36000.0), ("00:01:30", 90.0)],
)
def test_time_limits(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["ten", "10:00", "-3", "1:2:3:4", "0"])
def test_time_limits_that_are_not_understood(text):
    with pytest.raises(ConfigError, match=r"the time limit is not understood.*HH:MM:SS"):
        seconds(text)


def test_all_mistakes_at_once(tmp_path):
    path = write_ini(
        tmp_path,
        """TIMEOUT = 10:00
TIMEUOT = 3
[MASK_RUNNER]
USE_EXT_FLAG = maybe
SUFFIX = a
PREFIX = b
[SETOOLS_RUNER]
[PSFEX_RUNNER]
""",
        modules="mask_runner, sextracter_runner",
    )
    pipeline, findings = examine_pipeline(path)
    assert pipeline is None
    errors = "\n".join(str(item) for item in findings if item.level == "error")
    for message in (
        r"run.ini:5: error: \[EXECUTION\] MODULE: unknown module",
        r"run.ini:12: error: \[JOB\] TIMEOUT: the time limit",
        r"run.ini:13: error: \[JOB\] TIMEUOT: unknown key. Did you mean 'TIMEOUT'",
        r"run.ini:14: error: \[MASK_RUNNER\] MASK_CONFIG_PATH: a key is missing",
        r"run.ini:16: error: \[MASK_RUNNER\] SUFFIX: given twice, also as PREFIX",
        r"run.ini:18: error: \[SETOOLS_RUNER\]: unknown section. Did you mean 'SETOOLS_RUNNER'",
    ):
        assert re.search(message, errors), f"{message}\n{errors}"
    with pytest.raises(ConfigError, match=r"mistakes:\n.*unknown module"):
        load_pipeline(path)


def test_mistakes_of_the_inputs_are_found_before_the_run(tmp_path):
    path = write_ini(
        tmp_path,
        """[FIND_EXPOSURES_RUNNER]
INPUT_DIR = last:get_images_runer, all:mask_runner_run_2, in
ADD_INPUT_MODULE = mask_runer
FILE_EXT = .fits.fz
[UNCOMPRESS_FITS_RUNNER]
FILE_PATTERN = image, weight
FILE_EXT = .fz, .fz, .fz
""",
        modules="find_exposures_runner, uncompress_fits_runner", scheme="RE:[",
    )  # fmt: skip
    (tmp_path / "in:dex").mkdir()
    _, findings = examine_pipeline(path)
    errors = [str(item).partition("run.ini:")[2] for item in findings if item.level == "error"]
    for place, message in (
        ("9: error: [FILE] NUMBERING_SCHEME", "not a regular expression: unterminated"),
        ("13: error: [FIND_EXPOSURES_RUNNER] INPUT_DIR",
         "unknown module (got get_images_runer). Did you mean 'get_images_runner'?"),
        ("14: error: [FIND_EXPOSURES_RUNNER] ADD_INPUT_MODULE", "Did you mean 'mask_runner'?"),
        ("15: error: [FIND_EXPOSURES_RUNNER] FILE_EXT", "an extension has one dot"),
        ("18: error: [UNCOMPRESS_FITS_RUNNER] FILE_EXT", "one for each FILE_PATTERN (got 3"),
    ):  # fmt: skip
        assert any(e.startswith(place) and message in e for e in errors), (place, errors)
    assert len(errors) == 5, errors


def test_values_that_are_not_understood(tmp_path):
    sections = "[MASK_RUNNER]\nMASK_CONFIG_PATH = a\nUSE_EXT_FLAG = maybe\nHDU = x\n"
    path = write_ini(tmp_path, sections, modules="mask_runner")
    _, findings = examine_pipeline(path)
    errors = [str(item) for item in findings if item.level == "error"]
    assert len(errors) == 2
    assert "[MASK_RUNNER] USE_EXT_FLAG: the value is not understood (got 'maybe'" in errors[0]
    assert "[MASK_RUNNER] HDU: the value is not understood (got 'x'" in errors[1]


def test_unknown_keys_pass_when_lenient(tmp_path):
    path = write_ini(tmp_path, "[FIND_EXPOSURES_RUNNER]\nCOLNMU = 3\n[MY_OWN]\nX = 1\n")
    with pytest.raises(ConfigError, match=r"COLNMU: unknown key. Did you mean 'COLNUM'"):
        load_pipeline(path)
    assert load_pipeline(path, lenient=True).steps[0].config.column == 3


def test_repeated_modules_have_sections_of_their_own(tmp_path):
    sections = "".join(
        f"[FIND_EXPOSURES_RUNNER_RUN_{i}]\nCOLNUM = {i}\n" for i in (1, 2)
    )  # fmt: skip
    path = write_ini(
        tmp_path, sections + "[FIND_EXPOSURES_RUNNER]\nCOLNUM = 9\n",
        modules="find_exposures_runner, split_exp_runner, find_exposures_runner",
    )  # fmt: skip
    pipeline = load_pipeline(path)
    assert [step.folder for step in pipeline.steps] == [
        "find_exposures_runner_run_1", "split_exp_runner", "find_exposures_runner_run_2",
    ]  # fmt: skip
    assert [step.config.column for step in pipeline.steps[::2]] == [1, 2]
    notes = [item for item in pipeline.findings if item.level == "note"]
    assert [item.key for item in notes] == ["[FIND_EXPOSURES_RUNNER]"]


def test_ignored_and_renamed_keys_are_told(tmp_path):
    sections = "[PSFEX_RUNNER]\nEXEC_PATH = psfex\nDOT_PSFEX_FILE = a\n"
    sections += "[MAKE_CATALOG_RUNNER]\nSM_STAR_STRESH = 0.004\n"
    path = write_ini(tmp_path, sections, modules="psfex_runner, make_catalog_runner")
    pipeline = load_pipeline(path)
    assert pipeline.steps[1].config.star_limit == 0.004
    told = {item.key: (item.level, item.text) for item in pipeline.findings}
    assert told["[PSFEX_RUNNER] EXEC_PATH"] == ("ignored", "no outside program is started")
    assert "earlier name of SM_STAR_THRESH" in told["[MAKE_CATALOG_RUNNER] SM_STAR_STRESH"][1]


@pytest.mark.parametrize(
    ("sections", "modules", "message"),
    [
        ("MODE = MPI\n", "find_exposures_runner", "unknown key"),
        (
            "[PSFEX_INTERP_RUNNER]\nMODE = MULTI-EPOCH\n", "psfex_interp_runner",
            "MULTI-EPOCH needs ME_DOT_PSF_DIR",
        ),
        (
            "[PSFEX_INTERP_RUNNER]\nMODE = SOMETHING\n", "psfex_interp_runner",
            "unknown word .*classic",
        ),
        (
            "[VIGNETMAKER_RUNNER]\nMODE = CLASSIC\nSTAMP_SIZE = 50\n", "vignetmaker_runner",
            "the side of a stamp must be odd",
        ),
        (
            "[GET_IMAGES_RUNNER]\nRETRIEVE = vos\nINPUT_PATH = a\nINPUT_FILE_PATTERN = a\n"
            "INPUT_FILE_EXT = a\nOUTPUT_FILE_PATTERN = a\nINPUT_NUMBERING = a\n",
            "get_images_runner", "nothing is fetched from the network",
        ),
        ("[RANDOM_CAT_RUNNER]\nSAVE_MASK_AS_HEALPIX = True\n", "random_cat_runner", "HEALPix"),
        (
            "[SEXTRACTOR_RUNNER]\nDOT_SEX_FILE = a\nDOT_PARAM_FILE = b\nMAKE_POST_PROCESS = True\n",
            "sextractor_runner", "a key is missing",
        ),
    ],
)  # fmt: skip
def test_bad_sections(tmp_path, sections, modules, message):
    path = write_ini(tmp_path, sections, modules=modules)
    with pytest.raises(ConfigError, match=message):
        load_pipeline(path)


def test_mpi_and_a_missing_output_folder_are_refused(tmp_path):
    path = write_ini(tmp_path, output=str(tmp_path / "none"))
    path.write_text(path.read_text().replace("[FILE]", "MODE = mpi\n[FILE]"))
    with pytest.raises(ConfigError, match=r"MPI is not used(.|\n)*the folder does not exist"):
        load_pipeline(path)


@pytest.mark.parametrize("key", ["RUN_NAME", "LOG_NAME", "RUN_LOG_NAME"])
@pytest.mark.parametrize("name", ["../../escape", "/elsewhere", ".hidden"])
def test_names_do_not_lead_out_of_the_output(tmp_path, key, name):
    path = write_ini(tmp_path)
    text = path.read_text().replace("RUN_NAME = run\n", "")
    section = "[DEFAULT]\n" if key == "RUN_NAME" else "[FILE]\n"
    path.write_text(text.replace(section, f"{section}{key} = {name}\n"))
    with pytest.raises(ConfigError, match=rf"{key}: the name must be one of a file \(got '{name}'"):
        load_pipeline(path)


def test_a_number_of_processes_below_one_is_refused(tmp_path):
    path = write_ini(tmp_path)
    path.write_text(path.read_text().replace("SMP_BATCH_SIZE = 1", "SMP_BATCH_SIZE = 0"))
    with pytest.raises(ConfigError, match=r"SMP_BATCH_SIZE.*allowed: 1 or more\)"):
        load_pipeline(path)
