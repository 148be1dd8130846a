"""Configuration files and command lines of the original programs."""

import logging
import shutil
import subprocess

import pytest

from purepipe.config import PSFConfig
from purepipe.config.mask import CombineConfig
from purepipe.errors import ConfigError, InputFileError
from purepipe.legacy import astromatic
from purepipe.legacy.astromatic_keys import DEFAULTS, FILES, IGNORED

PSFEX = """# Default configuration file for PSFEx 3.17.1
BASIS_TYPE      PIXEL           # NONE, PIXEL, GAUSS-LAGUERRE or FILE
BASIS_NUMBER    20
psf_sampling    1.0
PSF_SIZE        51,51           # Image size of the PSF model
CENTER_KEYS     XWIN_IMAGE,YWIN_IMAGE
PHOTFLUX_KEY    FLUX_AUTO
PSFVAR_KEYS     XWIN_IMAGE, YWIN_IMAGE
PSFVAR_GROUPS   1,1
PSFVAR_DEGREES  2
SAMPLE_AUTOSELECT  N
SAMPLE_FLAGMASK 0x00f0
PSF_DIR                         # Where to write PSFs (empty=same as input)
CHECKPLOT_TYPE  FWHM
CHECKPLOT_TYPE  NONE
"""


def test_syntax():
    settings = astromatic.parse_settings(PSFEX, "psfex", file="default.psfex")
    assert list(settings.entries)[:3] == ["BASIS_TYPE", "BASIS_NUMBER", "PSF_SAMPLING"]
    assert settings["PSF_SIZE"].values == ("51", "51")
    assert settings["PSF_SIZE"].line == 5
    assert settings.texts("PSFVAR_KEYS") == ("XWIN_IMAGE", "YWIN_IMAGE")
    assert settings.text("CHECKPLOT_TYPE") == "NONE"  # the last one counts
    assert settings.text("PSF_DIR") == ""
    assert settings.number("PSF_ACCURACY") == 0.01  # built in
    assert settings["PSF_ACCURACY"].line == -1
    assert settings.flag("SAMPLE_AUTOSELECT") is False


@pytest.mark.parametrize(
    "line",
    [
        "WEIGHT_MIN 0.1,0.2",
        "weight_min=0.1;0.2",
        "WEIGHT_MIN '0.1' \"0.2\"\r",
        "WEIGHT_MIN\t0.1 0.2#x",
    ],
)
def test_separators(line):
    assert astromatic.parse_settings(line, "ww").texts("WEIGHT_MIN") == ("0.1", "0.2")


def test_environment_variables(monkeypatch):
    monkeypatch.setenv("PUREPIPE_TEST", "/data")
    text = "XML_NAME $PUREPIPE_TEST/a.xml\nXSL_URL ${PUREPIPE_TEST}b\n"
    settings = astromatic.parse_settings(text, "ww")
    assert settings.text("XML_NAME") == "/data/a.xml"
    assert settings.text("XSL_URL") == "/datab"
    with pytest.raises(ConfigError, match="line 1: the environment variable NOT_THERE_X"):
        astromatic.parse_settings("XML_NAME $NOT_THERE_X", "ww", file="a.ww")


def test_the_command_line_wins():
    settings = astromatic.parse_settings(PSFEX, "psfex", overrides={"PSF_SIZE": "25 27"})
    assert settings["PSF_SIZE"].values == ("25", "27")
    assert settings["PSF_SIZE"].line == 0
    assert settings["PSF_SIZE"].where == "PSF_SIZE (command line)"
    assert astromatic.read_psf_config(settings).size == (25, 27)


def test_arguments():
    found = astromatic.parse_arguments(
        ["a.fits,b.fits", "-c", "x.sex", "-BACK_VALUE", "-3", "-flag_image", ""]
    )
    assert found == (("a.fits,b.fits",), "x.sex", {"BACK_VALUE": "-3", "flag_image": ""})
    with pytest.raises(ConfigError, match="-GAIN: a value must follow"):
        astromatic.parse_arguments(["a.fits", "-GAIN"])


def test_unknown_keywords(caplog):
    text = "DETECT_TRESH 1.5\nGAIN 2\n\nBACKSIZE 64\n"
    with pytest.raises(ConfigError) as error:
        astromatic.parse_settings(text, "sex", file="my.sex")
    assert "2 unknown keywords" in str(error.value)
    assert "line 1 DETECT_TRESH: Did you mean 'DETECT_THRESH'?" in str(error.value)
    assert "line 4 BACKSIZE: Did you mean 'BACK_SIZE'?" in str(error.value)
    with pytest.raises(ConfigError, match=r"DETECT_TRESH \(command line\): unknown keyword"):
        astromatic.parse_settings("", "sex", overrides={"DETECT_TRESH": "1"})
    with caplog.at_level(logging.WARNING):
        settings = astromatic.parse_settings(text, "sex", lenient=True)
    assert list(settings.entries) == ["GAIN"]
    assert "line 1 DETECT_TRESH: unknown keyword" in caplog.text
    with pytest.raises(ConfigError, match="Did you mean 'GAIN'"):
        settings["GAINN"]
    with pytest.raises(ConfigError, match="unknown program"):
        astromatic.parse_settings("", "scamp")


def test_psf_config():
    config = astromatic.read_psf_config(astromatic.parse_settings(PSFEX, "psfex"))
    assert config.basis == "pixel"
    assert config.size == (51, 51)
    assert config.flag_mask == 0xF0
    assert config.autoselect is False
    assert config.context_keys == ("XWIN_IMAGE", "YWIN_IMAGE")


def test_absent_keywords_have_the_programs_values():
    config = astromatic.read_psf_config(astromatic.parse_settings("", "psfex"))
    assert config.basis == "pixel_auto"
    assert config.size == (25, 25)
    assert config.flux_key == "FLUX_APER(1)"
    assert config.sampling == 0
    assert astromatic.read_combine_config(astromatic.parse_settings("", "ww")) == CombineConfig()


def test_combine_config():
    text = "WEIGHT_MIN 0,0\nWEIGHT_MAX 1000,900\nPOLY_INTERSECT n\nFLAG_MASKS 0x0c\nGETAREA Y\n"
    config = astromatic.read_combine_config(astromatic.parse_settings(text, "ww"))
    assert config.weight_max == (1000, 900)
    assert config.region_union is False
    assert config.flag_masks == (12,)
    assert config.areas is True


@pytest.mark.parametrize(
    ("program", "line", "message"),
    [
        ("psfex", "PSF_SAMPLING one", r"line 2 PSF_SAMPLING: .* not understood .*a number"),
        ("psfex", "BASIS_NUMBER 2.5", "line 2 BASIS_NUMBER: .*an integer"),
        ("psfex", "PSF_RECENTER maybe", "line 2 PSF_RECENTER: .*Y or N"),
        ("psfex", "PSF_ACCURACY 7", r"line 2 PSF_ACCURACY \(accuracy\): out of range"),
        ("psfex", "BASIS_TYPE PIXELS", r"line 2 BASIS_TYPE \(basis\): .*Did you mean 'pixel'"),
        ("psfex", "PSF_ACCURACY", "line 2 PSF_ACCURACY: a value is missing"),
        ("ww", "FLAG_MASKS 0x80000000", r"line 2 FLAG_MASKS \(flag_masks\): out of range"),
    ],
)  # fmt: skip
def test_values_that_are_not_allowed(program, line, message):
    settings = astromatic.parse_settings("\n" + line, program, file="f")
    read = astromatic.read_psf_config if program == "psfex" else astromatic.read_combine_config
    with pytest.raises(ConfigError, match=message):
        read(settings)


def test_what_is_done_with_each_keyword():
    text = "PSF_SIZE 25,25\nPSF_SUFFIX .psf\nCHECKPLOT_DEV PNG\n"
    rows = astromatic.support(astromatic.parse_settings(text, "psfex"), PSFConfig)
    assert [(setting.key, status) for setting, status, _ in rows] == [
        ("PSF_SIZE", "honoured"), ("PSF_SUFFIX", "honoured"), ("CHECKPLOT_DEV", "ignored"),
    ]  # fmt: skip
    rows = astromatic.support(
        astromatic.parse_settings("DGEO_TYPE NONE\nDETECT_TYPE PHOTO", "sex"), CombineConfig
    )
    assert rows[0][1:] == ("unsupported", "as built in")
    assert rows[1][1:] == ("unsupported", "purepipe acts as if CCD")


def test_tables_of_keywords_agree():
    for program, known in DEFAULTS.items():
        assert FILES[program] <= set(known)
        assert set(IGNORED[program]) <= set(known)
        assert not FILES[program] & set(IGNORED[program])


def test_encodings_and_line_ends(tmp_path):
    for content in (b"# \xe9t\xe9\r\nGAIN 3\r\n", b"\xef\xbb\xbfGAIN 3\r", b"# \xc3\xa9\nGAIN 3"):
        (tmp_path / "a.sex").write_bytes(content)
        assert astromatic.read_settings(tmp_path / "a.sex", "sex").number("GAIN") == 3


def test_keywords_without_a_value():
    text = "WEIGHT_THRESH\nCHECKIMAGE_TYPE # none\nPSF_NAME\n"
    empty = astromatic.parse_settings(text, "sex")
    assert empty.texts("WEIGHT_THRESH") == ()
    for key, built_in in (("PHOT_APERTURES", "5"), ("MASK_TYPE", "CORRECT"), ("GAIN", "0.0")):
        message = rf"line 2 {key}: a value is missing\. Give one, or .* line away for {built_in}"
        with pytest.raises(ConfigError, match=message):
            astromatic.parse_settings(f"DETECT_THRESH 3\n{key}\n", "sex")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputFileError, match=r"no\.sex: the file cannot be read: No such file"):
        astromatic.read_settings(tmp_path / "no.sex", "sex")
    (tmp_path / "b.sex").write_bytes(b"\xff\xfe\x00GAIN")
    with pytest.raises(InputFileError, match="not a text file"):
        astromatic.read_settings(tmp_path / "b.sex", "sex")
    assert astromatic.read_settings(None, "sex").number("GAIN") == 0


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my.conv").write_text("CONV NONORM\n# smooth\n1 2 1\n2 4 2\n1 2 1\n")
    (tmp_path / "my.param").write_text("NUMBER\nFLUX_APER(2)\nVIGNET(21,23)\n")
    (tmp_path / "my.sex").write_text(
        "PARAMETERS_NAME my.param\nFILTER_NAME my.conv\nDETECT_MINAREA 7\nBACK_SIZE 128\n"
        "PHOT_AUTOPARAMS 2.0,3.0\nINTERP_TYPE NONE\nTHRESH_TYPE ABSOLUTE\nWEIGHT_TYPE MAP_WEIGHT\n"
    )
    return tmp_path


def test_detect_config(folder):
    settings = astromatic.read_settings(folder / "my.sex", "sex")
    config = astromatic.read_detect_config(settings)
    assert config.filter == ((1, 2, 1), (2, 4, 2), (1, 2, 1))
    assert config.filter_normalised is False
    assert config.columns == ("NUMBER", "FLUX_APER(2)", "VIGNET(21,23)")
    assert config.vignet == (21, 23)
    assert config.min_area == 7
    assert config.back_size == (128, 128)
    assert (config.kron_factor, config.kron_min_radius) == (2.0, 3.0)
    assert config.interpolate is False
    assert config.threshold_type == "absolute"
    assert config.weight_type == "map"
    assert config.deblend_contrast == 0.005  # SExtractor's own, not purepipe's
    off = astromatic.read_settings(folder / "my.sex", "sex", overrides={"FILTER": "N"})
    assert astromatic.read_detect_config(off).filter is None


def detect_config(folder, **overrides):
    return astromatic.read_detect_config(
        astromatic.read_settings(folder / "my.sex", "sex", overrides=overrides)
    )


def test_one_limit_of_weights_is_for_the_detection(folder):
    one, two = (detect_config(folder, WEIGHT_THRESH=words) for words in ("0.5", "0.5,1"))
    assert (one.detection_weight_threshold, one.weight_threshold) == (0.5, None)
    assert (two.detection_weight_threshold, two.weight_threshold) == (0.5, 1)


@pytest.mark.parametrize("words", ["MAP_RMSS", "NONE,MAP_RMSS", "none,map_rmss"])
def test_unknown_kinds_of_weights(words, folder):
    message = "WEIGHT_TYPE .*unknown word .*'MAP_RMSS'.*Did you mean 'MAP_RMS'"
    with pytest.raises(ConfigError, match=message):
        detect_config(folder, WEIGHT_TYPE=words)
    message = "Valid names: BACKGROUND, MAP_RMS, MAP_VAR, MAP_WEIGHT, NONE"
    with pytest.raises(ConfigError, match=message):
        detect_config(folder, WEIGHT_TYPE="NONE,FOO")


def test_thresholds_of_surface_brightness(folder):
    config = detect_config(folder, DETECT_THRESH="24,30")
    assert (config.threshold, config.threshold_zero_point) == (24, 30)
    assert config.analysis_zero_point is None
    with pytest.raises(ConfigError, match=r"DETECT_THRESH \(command line\): one or two numbers"):
        detect_config(folder, DETECT_THRESH="1,2,3")


def test_two_words_are_for_detection_and_measurement(folder):
    config = detect_config(
        folder, WEIGHT_TYPE="BACKGROUND,MAP_RMS", THRESH_TYPE="ABSOLUTE,RELATIVE",
        INTERP_TYPE="VAR_ONLY", FLAG_TYPE="Or,MOST",
    )  # fmt: skip
    assert (config.detection_weight_type, config.weight_type) == ("background", "map")
    assert config.threshold_type == "absolute"
    assert config.analysis_threshold_type == "relative"
    assert config.interpolate
    assert not config.interpolate_image
    assert config.flag_type == ("or", "most")
    with pytest.raises(ConfigError, match=r"INTERP_TYPE .*unknown word .*Did you mean 'ALL'"):
        detect_config(folder, INTERP_TYPE="AL")


PROGRAMS = {"sex": "source-extractor", "psfex": "psfex", "ww": "weightwatcher"}


def test_two_maps_keep_the_weights_of_two_images_apart(folder):
    one = detect_config(folder, WEIGHT_TYPE="BACKGROUND", WEIGHT_IMAGE="a.fits")
    two = detect_config(folder, WEIGHT_TYPE="BACKGROUND", WEIGHT_IMAGE="a.fits,b.fits")
    assert (one.detection_weight_type, one.weight_type) == (None, "background")
    assert (two.detection_weight_type, two.weight_type) == ("background", "background")


@pytest.mark.binaries
@pytest.mark.parametrize("program", PROGRAMS)
def test_built_in_values_are_the_programs(program, tmp_path):
    binary = shutil.which(PROGRAMS[program])
    if binary is None:
        pytest.skip(f"{PROGRAMS[program]} is not installed")
    done = subprocess.run([binary, "-dd"], capture_output=True, text=True, cwd=tmp_path, check=True)
    settings = astromatic.parse_settings(done.stdout, program)
    assert set(settings.entries) == set(DEFAULTS[program])
    for key, setting in settings.entries.items():
        if key != "XSL_URL":
            assert setting.values == astromatic._words(DEFAULTS[program][key]), key


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("FILTER N", r"\(PARAMETERS_NAME\).*purepipe sex -dp > default\.param"),
     ("FILTER Y", r"\(FILTER_NAME\).*-FILTER N")],
)  # fmt: skip
def test_a_missing_file_of_the_built_in_values_says_what_to_do(text, remedy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputFileError, match=remedy):
        astromatic.read_detect_config(astromatic.parse_settings(text, "sex"))
