"""The whole mask of an image."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from numpy.testing import assert_array_equal

from purepipe.config import MaskConfig, from_mapping, to_mapping
from purepipe.errors import ConfigError, DataError, NothingToDo
from purepipe.exposure import Exposure
from purepipe.flags import MaskFlag
from purepipe.mask import (
    build_mask,
    mask_summary,
    regions_from_ds9,
    report_mask,
    star_regions,
    storage_dtype,
)
from purepipe.mask import regions as shapes

from .fields import exposure, stars_at
from .weightwatcher import needs_weightwatcher, run_weightwatcher

NOTHING = {
    "border_make": False,
    "halo": {"make": False},
    "spike": {"make": False},
    "messier": {"make": False},
}


def config(**values):
    return from_mapping(MaskConfig, NOTHING | values)


def test_nothing_to_mask():
    mask = build_mask(exposure(), None, config())
    assert mask.dtype == np.int32
    assert not mask.any()


def test_defaults_mask_stars_and_border():
    image = exposure((900, 900))
    stars = stars_at(image.wcs, [300, 100], [280, 500], [12.0, 17.0])
    mask = build_mask(image, stars)
    assert mask[280, 300] == MaskFlag.HALO | MaskFlag.SPIKE
    assert mask[500, 100] == MaskFlag.SPIKE
    assert mask[10, 10] & MaskFlag.BORDER
    assert not mask[700, 700]


def test_everything_at_once_is_or_ed():
    weight = np.ones((256, 300), np.float32)
    weight[20] = 0
    image = np.ones((256, 300), np.float32)
    image[:, 60] = np.nan
    image[30] = 70_000
    flags = np.zeros((256, 300), np.int32)
    flags[20] = 4 | 64
    field = exposure(image=image, weight=weight, flags=flags).replace(saturation=65_000)
    mask = build_mask(
        field, None, config(border_make=True, saturated=True), regions=[shapes.circle(150, 128, 5)]
    )
    assert mask[20, 100] == 1 | 4 | 64
    assert mask[100, 60] == MaskFlag.MISSING
    assert mask[30, 100] == MaskFlag.BORDER | MaskFlag.SATURATED
    assert mask[128, 150] == MaskFlag.EXTERNAL


def test_a_star_without_magnitude_keeps_its_mask(caplog):
    image = exposure()
    stars = stars_at(image.wcs, [150], [128], [np.nan])
    with caplog.at_level(logging.WARNING):
        mask = build_mask(image, stars, config(halo={"make": True}))
    assert "1 star(s) have no magnitude; masked as if of magnitude 12" in caplog.text
    assert_array_equal(
        mask,
        build_mask(image, stars_at(image.wcs, [150], [128], [12]), config(halo={"make": True})),
    )
    assert mask.any()
    masked = stars.copy()
    masked["mag"] = np.ma.masked_invalid(stars["mag"])
    assert_array_equal(mask, build_mask(image, masked, config(halo={"make": True})))


@pytest.mark.parametrize("mag", [99.0, -99.0, np.inf])
def test_placeholders_of_magnitudes_are_not_magnitudes(mag):
    image = exposure()
    assert_array_equal(
        build_mask(image, stars_at(image.wcs, [150], [128], [mag]), config(halo={})),
        build_mask(image, stars_at(image.wcs, [150], [128], [12]), config(halo={})),
    )


def test_presets():
    assert MaskConfig.exposure() == MaskConfig()
    tile = MaskConfig.tile(halo={"mag_limit": 12.0})
    assert (tile.border_make, tile.halo.mag_limit) == (False, 12.0)
    with pytest.raises(ConfigError, match="Did you mean 'spike'"):
        MaskConfig.tile(spikes={})


def test_a_star_without_position_is_counted(caplog):
    image = exposure()
    stars = Table({"ra": [np.nan], "dec": [np.nan], "mag": [5.0]})
    with caplog.at_level(logging.WARNING):
        assert not build_mask(image, stars, config(halo={"make": True})).any()
    assert "1 star(s) have no position" in caplog.text


def test_galaxies_of_the_catalogue_are_left_alone():
    image = exposure()
    stars = stars_at(image.wcs, [150], [128], [10.0])
    stars["class"] = [3]
    assert not build_mask(image, stars, config(halo={"make": True})).any()


def test_star_outside_reaches_in_and_far_stars_cost_nothing():
    image = exposure(sip=1e-5)
    near = stars_at(exposure().wcs, [-250.0], [128.0], [5.0])
    assert build_mask(image, near, config(halo={"make": True})).any()
    rng = np.random.default_rng(1)
    far = Table(
        {"ra": rng.uniform(0, 360, 5000), "dec": rng.uniform(-90, 20, 5000), "mag": np.zeros(5000)}
    )
    assert not build_mask(image, far, config(halo={"make": True})).any()


def test_an_empty_star_list_masks_no_star():
    image = exposure()
    nothing = Table({"ra": [], "dec": [], "mag": []}, dtype=[float, float, float])
    assert not build_mask(image, nothing, config(halo={}, spike={})).any()
    masked = build_mask(image, nothing, config(border_make=True, halo={}))
    assert_array_equal(masked, build_mask(image, None, config(border_make=True)))


def test_a_flag_map_larger_than_the_image_is_refused():
    with pytest.raises(DataError, match=r"flags has another size .*got 301 x 256.*300 x 256"):
        exposure(flags=np.zeros((256, 301), np.int32))


def test_polygons_of_the_configuration_are_used():
    image = exposure()
    stars = stars_at(image.wcs, [150], [128], [13.8])
    square = ((-2.5, -2.5), (2.5, -2.5), (2.5, 2.5), (-2.5, 2.5))
    asked = config(spike={"polygon": square, "flag": 1024})
    mask = build_mask(image, stars, asked)
    assert np.count_nonzero(mask == 1024) == 25
    assert from_mapping(MaskConfig, to_mapping(asked)) == asked


def reference_map(folder, image, stars, weight):
    """What ShapePipe makes with the original program: polygons written out, the rest added."""
    lines = {"halo": [], "spike": []}
    x, y = image.wcs.sky_to_pixel(stars["ra"], stars["dec"])
    from purepipe.mask.rules import builtin_model

    for name, scale, limit in (("halo", 0.05, 13.0), ("spike", 0.3, 18.0)):
        model = builtin_model(name)
        for k in np.flatnonzero(np.asarray(stars["mag"]) < limit):
            s = 1 - scale * (float(stars["mag"][k]) - 13.8)
            vertices = np.stack([x[k] + s * model[:, 0] + 0.5, y[k] + s * model[:, 1] + 0.5], 1)
            lines[name].append(f"polygon({' '.join(map(repr, vertices.ravel().tolist()))})")
    flags, _, _ = run_weightwatcher(
        folder, [weight], regions=["\n".join(lines["halo"]), "\n".join(lines["spike"])],
        WEIGHT_MIN=0, WEIGHT_MAX=1000, WEIGHT_OUTFLAGS=1, POLY_OUTFLAGS="2,128",
        POLY_OUTWEIGHTS="0.0", OUTWEIGHT_NAME="",
    )  # fmt: skip
    total = flags.astype(np.int32)
    edge = np.ones(image.shape, bool)
    edge[50:-50, 50:-50] = False
    return (total + 4 * edge).astype(np.int16)


@pytest.mark.binaries
@needs_weightwatcher
def test_compat_equals_the_original(tmp_path):
    rng = np.random.default_rng(3)
    shape = (800, 900)
    weight = rng.choice(np.array([1, 1, 1, 0, -1, np.nan, 2000], np.float32), shape)
    flags = rng.choice(np.array([0, 0, 1, 4, 64, 128], np.int32), shape)
    image = exposure(shape, weight=weight, flags=flags, sip=2e-6, angle=15.0)
    mag = np.concatenate([rng.uniform(4, 19, 30), [17.4, 17.9, 17.95]])
    stars = stars_at(
        image.wcs, rng.uniform(-100, 1000, mag.size), rng.uniform(-100, 900, mag.size), mag
    )
    asked = from_mapping(
        MaskConfig,
        {"compat": "shapepipe", "messier": {"make": False}, "weight": {"maximum": 1000}},
    )
    expected = (reference_map(tmp_path, image, stars, weight) + flags).astype(np.int16)
    assert_array_equal(build_mask(image, stars, asked), expected)


def test_compat_repeats_the_known_faults():
    image = exposure((40, 50), flags=np.full((40, 50), 4, np.int32))
    everything = config(compat="shapepipe", border_make=True, border_width=0, border_flag=64)
    assert (build_mask(image, None, everything) == 8).all()
    stars = stars_at(image.wcs, [25], [20], [13.8])
    square = ((-2.5, -2.5), (2.5, -2.5), (2.5, 2.5), (-2.5, 2.5))
    lost = config(compat="shapepipe", spike={"polygon": square, "flag": 256})
    assert (build_mask(image, stars, lost) == 4).all()
    kept = build_mask(image, stars, config(spike={"polygon": square, "flag": 256}))
    assert kept.max() == 260


def test_the_faults_are_repaired_by_default():
    zero_border = exposure((40, 50))
    assert not build_mask(zero_border, None, config(border_make=True, border_width=0)).any()
    assert build_mask(zero_border, None, config(border_make=True, border_flag=64)).max() == 64
    weight = np.zeros((40, 50), np.float32)
    assert (build_mask(exposure((40, 50), weight=weight), None, config()) == 1).all()


def test_missing_data_is_refused_above_the_limit():
    image = np.zeros((20, 30), np.float32)
    image[:5] = 1  # three quarters missing
    asked = config(missing={"make": True, "remove": True, "remove_fraction": 0.75})
    with pytest.raises(NothingToDo, match=r"too much .*got 0\.750; allowed: less than 0\.75"):
        build_mask(exposure((20, 30), image=image), None, asked)
    image[5, 0] = 1
    assert not build_mask(exposure((20, 30), image=image), None, asked).any()
    cards = {
        key: value
        for key, value, _ in report_mask(image.astype(np.int32), asked, image=image).cards()
    }
    assert cards["MRATIO"] == pytest.approx(449 / 600)
    assert cards["MFLAG"] is True


def test_summary_and_cards():
    mask = np.zeros((10, 10), np.int32)
    mask[0] = 4
    mask[:, 0] |= 128
    mask[5, 5] = -(2**31)
    rows = mask_summary(mask)
    assert rows[0] == (4, "BORDER", 10, 0.1)
    assert rows[1] == (128, "SPIKE", 10, 0.1)
    assert rows[2] == (2**31, "BIT_31", 1, 0.01)
    assert rows[-1] == (0, "ANY", 20, 0.2)
    cards = {key: value for key, value, _ in report_mask(mask, MaskConfig()).cards()}
    assert (cards["MASKRUL1"], cards["MASKVAL1"], cards["MASKPIX1"]) == ("border", 4, 10)
    assert cards["MASKFRAC"] == 0.2
    assert all(len(key) <= 8 for key in cards)


def test_errors_say_what_is_missing(tmp_path):
    image = exposure()
    with pytest.raises(ConfigError, match="halos and spikes are to be masked"):
        build_mask(image, None)
    with pytest.raises(ConfigError, match=r"messier\.catalogue: .* messier=table"):
        build_mask(image, None, config(messier={"catalogue": "m.fits"}))
    with pytest.raises(DataError, match="no world coordinates"):
        build_mask(Exposure(image.image), None, config(messier={"make": True}))
    with pytest.raises(DataError, match=r"mag: .*Did you mean 'magn'"):
        build_mask(image, Table({"ra": [1.0], "dec": [1.0], "magn": [1.0]}), config(halo={}))
    with pytest.raises(ConfigError, match="at least three vertices"):
        build_mask(
            image, stars_at(image.wcs, [1], [1], [5]), config(halo={"polygon": ((1, 1), (2, 2))})
        )


def test_polygons_of_stars_can_be_written():
    image = exposure()
    stars = stars_at(image.wcs, [150, 20], [128, 20], [12.0, 15.0])
    found = star_regions(image, stars)
    assert {name: len(polygons) for name, polygons in found.items()} == {"halo": 1, "spike": 2}
    text = shapes.format_ds9(found["halo"])
    drawn = shapes.draw_regions(regions_from_ds9(text), image.shape)
    assert_array_equal(drawn, build_mask(image, stars, config(halo={})) > 0)
    assert star_regions(image, None, config()) == {}


def test_type_of_the_stored_mask():
    assert storage_dtype(np.array([[0, 32767]], np.int32)) is np.int16
    assert storage_dtype(np.array([[0, 32768]], np.int32)) is np.int32
    assert storage_dtype(np.array([[0, -1]], np.int32)) is np.int32


def test_threads_give_the_same_masks():
    from concurrent.futures import ThreadPoolExecutor

    image = exposure((500, 400), weight=np.ones((500, 400), np.float32))
    rng = np.random.default_rng(8)
    stars = stars_at(image.wcs, *rng.uniform(0, 400, (2, 40)), rng.uniform(8, 17, 40))
    alone = build_mask(image, stars)
    with ThreadPoolExecutor(4) as pool:
        for mask in pool.map(lambda _: build_mask(image, stars), range(8)):
            assert_array_equal(mask, alone)


def test_the_guide_lists_every_bit():
    guide = (Path(__file__).parents[2] / "docs" / "masks.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", guide, re.MULTILINE))
    assert listed == {str(int(member)): member.name for member in MaskFlag}
