"""The combination of maps, alone and beside the original program."""

import numpy as np
import pytest

from purepipe.config.mask import CombineConfig
from purepipe.errors import ConfigError, DataError
from purepipe.mask import polygons_from_weightwatcher
from purepipe.mask.combine import area_cards, combine, flag_dtype
from purepipe.mask.regions import box, circle

from .weightwatcher import needs_weightwatcher, run_weightwatcher

P = "polygon(5,5,20,5,20,20,5,20)\n"
Q = "polygon(10,10,30.3,10,30.7,30,10,30)\n"


def maps(seed=0):
    rng = np.random.default_rng(seed)
    weights = [rng.uniform(0, 2, (50, 40)).astype(np.float32) for _ in range(2)]
    weights[0][0, :5] = [np.nan, np.inf, -np.inf, 0, -1]
    flags = [rng.integers(0, 512, (50, 40)).astype(np.int16) for _ in range(2)]
    return weights, flags


CASES = {
    "one weight": (1, 0, [], {}),
    "two weights": (2, 0, [], {"weight_min": (0.5, 1.0), "weight_max": (1.5, 1.2),
                               "weight_out_flags": (1, 2)}),
    "two flag maps": (1, 2, [], {"weight_min": (0.0,), "flag_weight_masks": (0x0F, 0x10),
                                 "flag_masks": (0x05, 0x102), "flag_out_flags": (8, 16, 32, 64)}),
    "flags alone": (0, 1, [], {"flag_weight_masks": (0x0F,), "flag_masks": (0x05,),
                               "flag_out_flags": (8, 16)}),
    "two region files": (1, 0, [P, Q], {"region_out_flags": (4, 6),
                                        "region_out_weights": (0.5,)}),
    "overlap cancels": (1, 0, [P + Q], {"region_out_flags": (2,), "region_union": False}),
    "large values": (1, 0, [P, Q], {"region_out_flags": (256, 65536)}),
    "lost values": (1, 0, [P, Q], {"region_out_flags": (256, 1030),
                                   "compat": "weightwatcher"}),
    "all": (2, 2, [P, Q], {"weight_min": (0.1, 0.2), "weight_max": (1.9, 1.8),
                           "weight_out_flags": (1, 1), "flag_weight_masks": (0x03, 0),
                           "flag_masks": (0x80, 0x101), "flag_out_flags": (2, 4, 4),
                           "region_out_flags": (8, 16), "region_out_weights": (0.5, 0.25)}),
}  # fmt: skip

KEYS = {
    "weight_min": "WEIGHT_MIN", "weight_max": "WEIGHT_MAX", "weight_out_flags": "WEIGHT_OUTFLAGS",
    "flag_weight_masks": "FLAG_WMASKS", "flag_masks": "FLAG_MASKS",
    "flag_out_flags": "FLAG_OUTFLAGS", "region_out_flags": "POLY_OUTFLAGS",
    "region_out_weights": "POLY_OUTWEIGHTS",
}  # fmt: skip


@pytest.mark.binaries
@needs_weightwatcher
@pytest.mark.parametrize("name", CASES)
def test_same_maps_as_weightwatcher(name, tmp_path):
    n_weights, n_flags, texts, values = CASES[name]
    weights, flags = maps()
    weights, flags = weights[:n_weights], flags[:n_flags]
    config = CombineConfig(**values)
    keys = {KEYS[k]: ",".join(map(str, v)) for k, v in values.items() if k in KEYS}
    keys["POLY_INTERSECT"] = "Y" if config.region_union else "N"
    flag_map, weight_map, _ = run_weightwatcher(tmp_path, weights, flags, texts, **keys)
    polygons = [polygons_from_weightwatcher(text) for text in texts]
    result = combine(weights, flags, polygons, config, origin=1)
    np.testing.assert_array_equal(result.flag_map, flag_map)
    np.testing.assert_array_equal(result.weight_map, weight_map)
    assert flag_map.dtype.newbyteorder("=") == flag_dtype(config)


@pytest.mark.binaries
@needs_weightwatcher
def test_same_areas_as_weightwatcher(tmp_path):
    from astropy.io import fits

    (weight, _), _ = maps()
    run_weightwatcher(
        tmp_path, [weight], regions=[P], POLY_OUTFLAGS=6, GETAREA="Y", GETAREA_FLAGS="1,2",
        GETAREA_WEIGHT=1.0,
    )  # fmt: skip
    config = CombineConfig(areas=True, area_flags=(1, 2), area_weight=1.0, region_out_flags=(6,))
    result = combine([weight], regions=[polygons_from_weightwatcher(P)], config=config, origin=1)
    cards = area_cards(result.areas, config)
    for name, path in (("flag", "f.fits"), ("weight", "w.fits")):
        header = fits.getheader(tmp_path / path)
        for key, value, _ in cards[name]:
            assert header[key] == pytest.approx(value, rel=1e-6), key


def test_values_from_256_on_are_kept():
    result = combine(
        [np.ones((50, 40))], regions=[[box(20, 20, 5, 5)]],
        config=CombineConfig(region_out_flags=(1024,)), rule="centre",
    )  # fmt: skip
    assert np.count_nonzero(result.flag_map == 1024) == 25
    assert np.count_nonzero(result.weight_map == 0) == 25
    assert result.areas is None
    assert area_cards(result.areas, CombineConfig()) == {"flag": [], "weight": []}


def test_highest_bit_of_a_flag_map():
    flags = np.array([[-1, 1], [-(2**31), 0]], np.int32)
    config = CombineConfig(flag_weight_masks=(0x80000000,), flag_out_flags=(4,))
    result = combine(flags=[flags], config=config)
    assert result.flag_map.tolist() == [[4, 4], [0, 0]]
    assert result.weight_map.tolist() == [[0, 1], [0, 1]]


def test_errors_say_what_is_missing():
    ones = np.ones((5, 5), np.float32)
    with pytest.raises(DataError, match="no map to combine"):
        combine()
    with pytest.raises(DataError, match="of one size"):
        combine([ones, ones[1:]])
    with pytest.raises(DataError, match="flag map 0 is not of integers"):
        combine(flags=[ones])
    with pytest.raises(ConfigError, match=r"combine\.weight_min: too few values \(got 1; .* 2\)"):
        combine([ones, ones])
    with pytest.raises(ConfigError, match="region_out_flags"):
        combine([ones], regions=[[circle(1, 1, 1)]])
    with pytest.raises(ConfigError, match="flag_out_flags"):
        combine(flags=[ones.astype(int)], config=CombineConfig(flag_masks=(3,)))
    with pytest.raises(DataError, match="cannot be mixed"):
        combine(
            [ones], regions=[[circle(1, 1, 1), np.zeros((3, 2))]],
            config=CombineConfig(region_out_flags=(1,)),
        )  # fmt: skip
