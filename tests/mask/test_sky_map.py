"""Maps of the sky as flags, and the maps of what masks cover."""

import sys

import numpy as np
import pytest

from purepipe.commands import skymaps
from purepipe.config.mask import MaskConfig
from purepipe.errors import ConfigError, DataError, InputFileError, MissingPackageError
from purepipe.exposure import Exposure
from purepipe.io.images import write_image
from purepipe.io.mask_inputs import read_map_around, read_mask_inputs, read_sky_map
from purepipe.io.masks import mask_files, read_mask
from purepipe.io.sky_maps import write_sky_map
from purepipe.mask import build_mask, flag_objects, flag_pixels, map_masks, report_mask

from .fields import SCALE, header, wcs

healsparse = pytest.importorskip("healsparse", reason="the optional package is not installed")
hpgeom = pytest.importorskip("hpgeom", reason="the optional package is not installed")
NSIDE = 2**14  # 13 arcsec, 69 pixels


def numbers_of(field):
    y, x = np.mgrid[: field.shape[0], : field.shape[1]]
    return hpgeom.angle_to_pixel(NSIDE, *field.pixel_to_sky(x, y))


def integer_map(field):
    """A map with random bits, and without every third pixel of the field."""
    numbers = np.unique(numbers_of(field))
    values = np.random.default_rng(1).integers(0, 2**31, len(numbers)).astype(np.int32)
    sky_map = healsparse.HealSparseMap.make_empty(32, NSIDE, np.int32)
    known = np.arange(len(numbers)) % 3 > 0
    sky_map.update_values_pix(numbers[known], values[known])
    return sky_map, numbers[~known]


@pytest.mark.parametrize("place", [{}, {"angle": 40.0, "sip": 1e-6}, {"dec": 89.99}, {"ra": 0.0}])
def test_flags_of_pixels_are_those_of_the_map(place):
    field = wcs((150, 333), **place)
    sky_map, unknown = integer_map(field)
    numbers = numbers_of(field)
    expected = np.where(np.isin(numbers, unknown), 8, sky_map.get_values_pix(numbers.ravel())
                        .reshape(numbers.shape))  # fmt: skip
    flags = flag_pixels(sky_map, field, outside=8)
    assert flags.dtype == np.int32
    # Positions between the nodes are good to 1e-4 pixel: only ties of the border may differ.
    assert np.count_nonzero(flags != expected) <= 2


def test_truth_values_and_wide_masks():
    field = wcs((60, 70))
    numbers = np.unique(numbers_of(field))
    truth = healsparse.HealSparseMap.make_empty(32, NSIDE, bool)
    truth[numbers[::2]] = True
    wide = healsparse.HealSparseMap.make_empty(
        32, NSIDE, healsparse.WIDE_MASK, wide_mask_maxbits=20
    )
    wide.set_bits_pix(numbers[::2], [0, 17])
    inside = np.isin(numbers_of(field), numbers[::2])
    np.testing.assert_array_equal(flag_pixels(truth, field), inside)
    np.testing.assert_array_equal(flag_pixels(wide, field), inside * (1 + 2**17))


def test_flags_of_objects():
    field = wcs((60, 70))
    sky_map, unknown = integer_map(field)
    ra, dec = hpgeom.pixel_to_angle(NSIDE, unknown[:2])
    known_ra, known_dec = hpgeom.pixel_to_angle(NSIDE, sky_map.valid_pixels[:3])
    flags = flag_objects(
        sky_map, [*ra, *known_ra, np.nan, 10.0], [*dec, *known_dec, 0.0, -80.0], outside=1
    )
    expected = [1, 1, *sky_map.get_values_pix(sky_map.valid_pixels[:3]), 1, 1]
    assert flags.tolist() == expected
    assert flag_objects(sky_map, [], []).shape == (0,)


def test_maps_of_masks_count_pixels():
    field = wcs((800, 900), angle=20.0)
    mask = np.zeros(field.shape, np.int32)
    mask[:, :450] = 4
    mask[:10] |= 128
    maps = map_masks([(mask, field)] * 3, nside=4096, bits=4)
    covered = maps.coverage.get_values_pix(maps.coverage.valid_pixels)
    area = covered.sum() * hpgeom.nside_to_pixel_area(4096, degrees=True) * 3600**2
    assert area == pytest.approx(3 * mask.size * SCALE**2, rel=1e-4)
    assert covered.max() == pytest.approx(3, rel=0.03)
    fraction = maps.masked.get_values_pix(maps.coverage.valid_pixels)
    assert np.average(fraction, weights=covered) == pytest.approx(0.5, abs=2e-3)
    nothing = map_masks([])
    assert len(nothing.coverage.valid_pixels) == len(nothing.masked.valid_pixels) == 0


def test_from_the_masks_of_a_run(tmp_path, capsys):
    mask = np.zeros((200, 300), np.int16)
    mask[:50] = 2
    for name in ("1-0", "1-1"):
        (tmp_path / "ccd" / name).mkdir(parents=True)
        write_image(tmp_path / "ccd" / name / "mask.fits", mask, header((200, 300)), compress=True)
    assert skymaps.main([str(tmp_path), "--out", str(tmp_path / "maps")]) == 0
    assert "2 images" in (said := capsys.readouterr().out)
    assert "25.0% masked" in said
    coverage = read_sky_map(tmp_path / "maps" / "coverage.hsp.fits")
    assert (coverage.nside_sparse, len(coverage.valid_pixels)) == (4096, 5)
    assert skymaps.main([str(tmp_path), "--out", str(tmp_path / "maps"), "--tiles"]) == 1
    assert "no mask of a tile in this folder" in capsys.readouterr().err
    assert skymaps.main([str(tmp_path), "--out", str(tmp_path), "--nside", "100"]) == 2
    assert "not a resolution of HEALPix" in capsys.readouterr().err


def test_maps_come_back_from_files(tmp_path):
    sky_map, _ = integer_map(wcs((60, 70)))
    write_sky_map(tmp_path / "map.fits", sky_map)
    back = read_sky_map(tmp_path / "map.fits")
    np.testing.assert_array_equal(back.valid_pixels, sky_map.valid_pixels)
    assert [path.name for path in tmp_path.iterdir()] == ["map.fits"]


def sky_config(path, **changes):
    off = {"make": False}
    return MaskConfig.exposure(
        border_make=False, halo=off, spike=off, messier=off, sky={"map": path, **changes}
    )


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("bits", [-1, 5])
def test_a_map_masks_pixels_as_configured(tmp_path, outside, bits):
    field = wcs((600, 333))
    sky_map, _ = integer_map(field)
    # A second patch of the sky, which need not be read.
    sky_map[hpgeom.angle_to_pixel(NSIDE, 10.0, -20.0)] = np.int32(3)
    write_sky_map(tmp_path / "map.fits", sky_map)
    config = sky_config(tmp_path / "map.fits", bits=bits, outside=outside, flag=2048)
    exposure = Exposure(np.ones(field.shape, np.float32), wcs=field)
    mask = build_mask(exposure, None, config, **read_mask_inputs(config, field))
    flags = flag_pixels(sky_map, field, outside=0)
    known = flag_pixels(sky_map, field, outside=0) != flag_pixels(sky_map, field, outside=1)
    expected = np.where(known, outside, (flags & bits) != 0)
    np.testing.assert_array_equal(mask, 2048 * expected)
    assert 0.1 < expected.mean() <= 1
    (rule,) = [rule for rule in report_mask(mask, config).rules if rule.name == "sky map"]
    assert (rule.value, rule.pixels) == (2048, np.count_nonzero(expected))
    write_image(tmp_path / "image.fits", exposure.image, header(field.shape))
    mask_files(tmp_path / "mask.fits", tmp_path / "image.fits", config=config)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.fits"), mask)


def test_only_the_surroundings_of_an_image_are_read(tmp_path):
    field = wcs((60, 70))
    sky_map, _ = integer_map(field)
    far = [hpgeom.angle_to_pixel(NSIDE, ra, -20.0) for ra in (10.0, 60.0, 210.0)]
    sky_map[np.array(far)] = np.int32(3)
    write_sky_map(tmp_path / "map.fits", sky_map)
    here = read_map_around(tmp_path / "map.fits", field)
    assert np.count_nonzero(here.coverage_mask) < np.count_nonzero(sky_map.coverage_mask)
    np.testing.assert_array_equal(flag_pixels(here, field), flag_pixels(sky_map, field))
    elsewhere = wcs((60, 70), dec=-60.0)
    away = read_map_around(tmp_path / "map.fits", elsewhere)
    assert (flag_pixels(away, elsewhere, outside=4) == 4).all()
    empty = healsparse.HealSparseMap.make_empty(32, NSIDE, np.int32)
    write_sky_map(tmp_path / "empty.fits", empty)
    nothing = read_map_around(tmp_path / "empty.fits", field)
    assert (flag_pixels(nothing, field, outside=4) == 4).all()


def test_configured_maps_that_cannot_be_used(tmp_path):
    field = wcs((10, 10))
    config = sky_config(tmp_path / "none.fits")
    exposure = Exposure(np.ones((10, 10), np.float32), wcs=field)
    with pytest.raises(
        ConfigError, match=r"mask\.sky\.map: the map of the sky is named but was not"
    ):
        build_mask(exposure, None, config)
    with pytest.raises(InputFileError, match="does not exist"):
        read_mask_inputs(config, field)
    write_image(tmp_path / "none.fits", np.ones((3, 3)))
    with pytest.raises(InputFileError, match="this is no healsparse map"):
        read_mask_inputs(config, field)
    bare = Exposure(np.ones((10, 10), np.float32))
    truth = healsparse.HealSparseMap.make_empty(32, NSIDE, bool)
    with pytest.raises(DataError, match="the map of the sky cannot be placed"):
        build_mask(bare, None, config, sky_map=truth)
    floats = healsparse.HealSparseMap.make_empty(32, 64, np.float32)
    with pytest.raises(DataError, match="must hold integers or truth values"):
        build_mask(exposure, None, config, sky_map=floats)


def test_errors(tmp_path):
    field = wcs((10, 10))
    floats = healsparse.HealSparseMap.make_empty(32, 64, np.float32)
    with pytest.raises(DataError, match=r"must hold integers or truth values \(got float32"):
        flag_pixels(floats, field)
    wide = healsparse.HealSparseMap.make_empty(32, 64, healsparse.WIDE_MASK, wide_mask_maxbits=40)
    with pytest.raises(DataError, match=r"more bits than a mask can hold \(got 40"):
        flag_objects(wide, [1.0], [1.0])
    large = healsparse.HealSparseMap.make_empty(32, 64, np.int64)
    large[0] = 2**31
    with pytest.raises(DataError, match="a bit that a mask cannot hold"):
        flag_objects(large, *hpgeom.pixel_to_angle(64, [0]))
    with pytest.raises(ConfigError, match=r"outside: not a set of flags \(got -1"):
        flag_objects(large, [1.0], [1.0], outside=-1)
    with pytest.raises(ConfigError, match=r"nside: not a resolution of HEALPix \(got 100"):
        map_masks([], nside=100)
    with pytest.raises(ConfigError, match=r"nside_coverage: .*cannot be smaller"):
        map_masks([], nside=16)
    with pytest.raises(ConfigError, match="block: the block needs a pixel"):
        map_masks([], block=0)
    with pytest.raises(InputFileError, match="does not exist"):
        read_sky_map(tmp_path / "none.fits")
    write_image(tmp_path / "image.fits", np.ones((3, 3)))
    with pytest.raises(InputFileError, match="this is no healsparse map"):
        read_sky_map(tmp_path / "image.fits")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "healsparse", None)
    with pytest.raises(MissingPackageError, match=r"pip install purepipe\[skymaps\]"):
        map_masks([])
