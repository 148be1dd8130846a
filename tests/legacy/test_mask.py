"""ShapePipe's .mask files."""

import logging

import pytest

from purepipe.config import MaskConfig
from purepipe.errors import ConfigError, InputFileError
from purepipe.legacy.mask import read_mask_config

# The exposure configuration of ShapePipe's tutorial.
TUTORIAL = """[PROGRAM_PATH]

WW_PATH = ww
WW_CONFIG_FILE = ./example/test_mask/mask_default/default.ww

# If external star catalogs are provided comment the parameter bellow
#CDSCLIENT_PATH = findgsc2.2

[BORDER_PARAMETERS]
BORDER_MAKE = True
BORDER_WIDTH = 50
BORDER_FLAG_VALUE = 4

[HALO_PARAMETERS]
HALO_MAKE = True
HALO_MASKMODEL_PATH = ./example/test_mask/mask_default/halo_mask.reg
HALO_MAG_LIM = 13.
HALO_SCALE_FACTOR = 0.05
HALO_MAG_PIVOT = 13.8
HALO_FLAG_VALUE = 2
HALO_REG_FILE = halo.reg

[SPIKE_PARAMETERS]
SPIKE_MAKE = True
SPIKE_MASKMODEL_PATH = ./example/test_mask/mask_default/MEGAPRIME_star_i_13.8.reg
SPIKE_MAG_LIM = 18.
SPIKE_SCALE_FACTOR = 0.3
SPIKE_MAG_PIVOT = 13.8
SPIKE_FLAG_VALUE = 128
SPIKE_REG_FILE = spike.reg

[MESSIER_PARAMETERS]
MESSIER_MAKE = True
MESSIER_CAT_PATH = ./example/test_mask/mask_default/Messier_catalog_updated.npy
MESSIER_PIXEL_SCALE = 0.186
MESSIER_SIZE_PLUS = 0.
MESSIER_FLAG_VALUE = 16

[EXTERNAL_FLAG]
EF_MAKE = True

[MD_PARAMETERS]
MD_MAKE = False
MD_THRESH_FLAG = 0.3
MD_THRESH_REMOVE = 0.75
MD_REMOVE = False

[OTHER]
KEEP_REG_FILE = False
KEEP_INDIVIDUAL_MASK = False
TEMP_DIRECTORY = ./.temp2
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="config.mask"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_the_tutorial_is_the_default(write):
    config = read_mask_config(write(TUTORIAL))
    # Only the range of the weights comes from the .ww file that ShapePipe ships.
    assert config == MaskConfig(weight=type(config.weight)(maximum=1000.0))
    assert read_mask_config(write(TUTORIAL), compat="shapepipe").compat == "shapepipe"


def test_values_are_taken(write):
    write("WEIGHT_MIN 0.5\nWEIGHT_MAX 2\nWEIGHT_OUTFLAGS 0x40\n", "my.ww")
    write("0 0\n 10 0\n10.5 1e1\n", "my.reg")
    text = TUTORIAL.replace("./example/test_mask/mask_default/default.ww", "my.ww")
    text = text.replace("./example/test_mask/mask_default/halo_mask.reg", "my.reg")
    text = text.replace("BORDER_WIDTH = 50", "border_width : 20").replace("= 18.", "= 17.5")
    text = text.replace("[EXTERNAL", "[NGC_PARAMETERS]\nNGC_MAKE=yes\nNGC_CAT_PATH=other.fits\n"
                        "NGC_SIZE_PLUS=0.5\nNGC_FLAG_VALUE=64\n[EXTERNAL")  # fmt: skip
    config = read_mask_config(write(text))
    assert (config.weight.minimum, config.weight.maximum, config.weight.flag) == (0.5, 2, 64)
    assert config.halo.polygon == ((0, 0), (10, 0), (10.5, 10))
    assert config.border_width == 20
    assert config.spike.mag_limit == 17.5
    assert (config.ngc.make, config.ngc.flag, config.ngc.size_plus) == (True, 64, 0.5)
    assert str(config.ngc.catalogue) == "other.fits"


def test_sections_that_are_off_are_not_read(write):
    text = TUTORIAL.replace("HALO_MAKE = True", "HALO_MAKE = False")
    text = text.replace("HALO_MAG_LIM = 13.", "HALO_MAG_LIM = bright")
    assert read_mask_config(write(text)).halo.make is False
    on = text.replace("HALO_MAKE = False", "HALO_MAKE = True")
    with pytest.raises(ConfigError, match="line 17 HALO_MAG_LIM: the value is not understood"):
        read_mask_config(write(on))


def test_unknown_keys(write, caplog):
    path = write(TUTORIAL.replace("BORDER_WIDTH", "BORDER_WITH"))
    with pytest.raises(ConfigError, match="line 11 BORDER_WITH: Did you mean 'BORDER_WIDTH'"):
        read_mask_config(path)
    path = write(TUTORIAL.replace("TEMP_DIRECTORY", "TEMP_DIRECTOR"))
    with caplog.at_level(logging.WARNING):
        read_mask_config(path, lenient=True)
    assert "TEMP_DIRECTOR" in caplog.text


def test_missing_keys(write):
    with pytest.raises(ConfigError, match=r"\[SPIKE_PARAMETERS\]: keys are missing: SPIKE_MAG_LIM"):
        read_mask_config(write(TUTORIAL.replace("SPIKE_MAG_LIM", "#SPIKE_MAG_LIM")))
    with pytest.raises(ConfigError, match=r"\[MD_PARAMETERS\] MD_MAKE: a key is missing"):
        read_mask_config(write(TUTORIAL.replace("MD_MAKE", "#MD_MAKE")))


def test_values_out_of_range(write):
    path = write(TUTORIAL.replace("MESSIER_SIZE_PLUS = 0.", "MESSIER_SIZE_PLUS = -1"))
    with pytest.raises(
        ConfigError, match=r"line \d+ MESSIER_SIZE_PLUS \(messier\.size_plus\): out"
    ):
        read_mask_config(path)


def test_files_that_cannot_be_used(write):
    with pytest.raises(InputFileError, match=r"other\.reg: the file cannot be read"):
        read_mask_config(write(TUTORIAL.replace("halo_mask.reg", "other.reg")))
    with pytest.raises(ConfigError, match="NumPy files of objects are not read"):
        read_mask_config(write(TUTORIAL.replace("Messier_catalog_updated.npy", "mine.npy")))
    with pytest.raises(InputFileError, match=r"this is not a \.mask file"):
        read_mask_config(write("BORDER_MAKE = True\n"))
