"""What decided about an object, and the configuration behind it."""

from functools import reduce

import numpy as np
import pytest
from astropy.table import Table

from purepipe.config import SurveyConfig
from purepipe.flags import DetectFlag, MaskFlag, ShapeFlag
from purepipe.report import decisions as room
from purepipe.report.decisions import decisions

CONFIG = SurveyConfig()
NONE = np.zeros((1, 5, 5), np.int32)
FINE = {
    "FLAGS": [0], "IMAFLAGS_ISO": [0], "NGMIX_FLAGS_EPOCH": [0], "NGMIX_MCAL_FLAGS": [0],
    "SPREAD_CLASS": [1], "SPREAD_MODEL": [0.02], "SPREADERR_MODEL": [0.001],
    "NGMIX_SNR_NOSHEAR": [40.0], "NGMIX_T_NOSHEAR": [0.4], "NGMIX_Tpsf_NOSHEAR": [0.5],
    "PRIMARY": [1],
}  # fmt: skip


def decided(masks=NONE, **changes):
    found = decisions(Table({**FINE, **{k: [v] for k, v in changes.items()}}), masks, CONFIG)
    return {item.subject: item for item in found}


def test_every_key_is_in_the_configuration_and_every_bit_in_its_family():
    for family, entries in room._KEYS.items():
        for bit, keys in entries.items():
            assert isinstance(bit, family)
            for key in keys:
                for start in ("tile.", "ccd.") if family is MaskFlag else ("",):
                    reduce(getattr, (start + key).split("."), CONFIG)


def test_an_object_that_is_used():
    found = decided()
    assert set(found) == {"SPREAD_CLASS", "mean shear"}
    assert found["SPREAD_CLASS"].verdict.startswith("galaxy: SPREAD_MODEL + 2 SPREADERR_MODEL is 0")
    assert found["mean shear"].verdict == "used: S/N 40.0, T/Tpsf 0.80."
    assert found["mean shear"].keys == ("shear.min_s2n = 10", "shear.min_size_ratio = 0.5")


@pytest.mark.parametrize(
    ("changes", "verdict", "keys"),
    [
        ({"PRIMARY": 0}, "it belongs to another tile", ()),
        ({"NGMIX_MCAL_FLAGS": 2}, "its shape has flags", ()),
        ({"IMAFLAGS_ISO": 128}, "it touches a masked pixel", ("shear.unmasked = True",)),
        ({"NGMIX_SNR_NOSHEAR": 9.96}, "S/N 10.0 is too low", ("shear.min_s2n = 10",)),
        ({"NGMIX_SNR_NOSHEAR": np.nan}, "S/N nan is too low", ("shear.min_s2n = 10",)),
        ({"NGMIX_T_NOSHEAR": 0.1}, "T/Tpsf 0.20 is too small", ("shear.min_size_ratio = 0.5",)),
        ({"NGMIX_Tpsf_NOSHEAR": 0.0}, "T/Tpsf nan is too small", ("shear.min_size_ratio = 0.5",)),
    ],
)
def test_why_an_object_is_not_used(changes, verdict, keys):
    found = decided(**changes)["mean shear"]
    assert found.verdict == f"not used: {verdict}."
    assert found.keys == keys


def test_equal_bits_of_different_flags_have_different_keys():
    assert int(DetectFlag.BLENDED) == int(ShapeFlag.MAX_ITERATIONS)
    found = decided(FLAGS=2, NGMIX_MCAL_FLAGS=2)
    assert found["FLAGS"].keys[0] == "tile.detect.deblend_contrast = 0.0005"
    assert found["NGMIX_MCAL_FLAGS"].keys == ("tile.shapes.max_iterations = 60",)


def test_masks_of_tile_and_epochs_name_their_own_keys():
    found = decided(NONE | 4, IMAFLAGS_ISO=4)
    assert found["IMAFLAGS_ISO"].keys == ("tile.mask.border_width = 0",)
    assert found["masks of the epochs"].keys == ("ccd.mask.border_width = 50",)


def test_unknown_bits_missing_columns_and_no_epoch():
    assert decided(FLAGS=4096)["FLAGS"].verdict == "BIT_12: unknown."
    assert decided(SPREAD_CLASS=-1)["SPREAD_CLASS"].verdict == "not known: no spread model."
    assert decisions(Table({"NUMBER": [1]}), NONE[:0], CONFIG) == []
