"""Input whose memory takes the results, and flag maps that are taken one by one."""

from __future__ import annotations

import gzip
import weakref

import numpy as np
import pytest
from astropy.io import fits

from purepipe.config import DetectConfig
from purepipe.detect import extract
from purepipe.errors import DataError, InputFileError
from purepipe.exposure import Exposure
from purepipe.io.sex_images import image_name, images_of, read_flag_image, read_float_image

from .cases import ALL_COLUMNS, exposure_of
from .fields import make_field

COLUMNS = tuple(name for name in ALL_COLUMNS if name != "VIGNET")
CONFIG = DetectConfig.exposure(columns=COLUMNS)
FIELD = make_field((240, 200), 40, seed=5)
OTHER = make_field((240, 200), 40, seed=5, noise=9.0, sky=100.0)
WEIGHT2 = make_field((240, 200), 40, seed=99).weight
HOLES = np.where(np.hypot(*np.indices((240, 200)) - 90) < 9, np.nan, FIELD.image)


FLAGS = DetectConfig.exposure(columns=("NUMBER", "IMAFLAGS_ISO", "NIMAFLAGS_ISO"))


class Counted(np.ndarray):
    """An array that is known by what it is, not by its values."""

    __hash__ = object.__hash__


def exposure(image=FIELD.image, weight=FIELD.weight, **changes) -> Exposure:
    """An exposure with memory of its own."""
    kind = None if weight is None else changes.pop("weight_kind", "relative")
    weight = None if weight is None else np.array(weight, np.float32)
    base = exposure_of(FIELD)
    return base.replace(
        image=np.array(image, np.float32), weight=weight, weight_kind=kind, **changes
    )


def same_image():
    """One image that is sought on with other weights."""
    one = exposure()
    return one, one.replace(weight=WEIGHT2.copy())


def same_weight():
    one = exposure()
    return one, one.replace(image=OTHER.image.copy())


# what is measured and what is sought on, changes of the configuration
CASES = {
    "one image": (lambda: (exposure(), None), {}),
    "no weight": (lambda: (exposure(weight=None), None), {}),
    "holes": (lambda: (exposure(HOLES, None), None), {}),
    "mask": (lambda: (exposure(weight=FIELD.weight > 0, weight_kind="mask"), None), {}),
    "mended": (lambda: (exposure(HOLES), None), {"interpolate": True}),
    "constant": (lambda: (exposure(), None), {"back_type": "manual", "back_value": 3.0}),
    "background rms": (lambda: (exposure(), None), {"weight_type": "background"}),
    "detection without weights": (lambda: (exposure(), None), {"detection_weight_type": "none"}),
    "two weights": (same_image, {}),
    "two weights, rms": (same_image, {"weight_type": "background", "detection_weight_type": "map"}),
    "two images": (lambda: (exposure(), exposure(OTHER.image, WEIGHT2)), {}),
    "two images, one weight": (same_weight, {}),
    "two images, holes": (lambda: (exposure(HOLES, None), exposure(OTHER.image)), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_results_in_the_place_of_the_input_are_the_same(name):
    make, changes = CASES[name]
    config = DetectConfig.exposure(columns=COLUMNS, **changes)
    measured, sought = make()
    checks = ("-BACKGROUND", "BACKGROUND_RMS")
    kept = extract(measured, config, detection=sought, checks=checks)
    for threads in (1, 3):
        measured, sought = make()
        found = extract(
            measured, config, detection=sought, checks=checks, overwrite_input=True,
            threads=threads,
        )  # fmt: skip
        for column in kept.columns:
            assert found.columns[column].tobytes() == kept.columns[column].tobytes(), column
        for check in checks:
            assert np.array_equal(found.checks[check], kept.checks[check])
        assert np.array_equal(found.segmentation.data, kept.segmentation.data)
    assert len(kept.table) > 10


def test_input_stays_unless_it_may_be_overwritten():
    given = exposure()
    image, weight = given.image.copy(), given.weight.copy()
    extract(given, CONFIG)
    assert np.array_equal(given.image, image)
    assert np.array_equal(given.weight, weight)
    subtracted = extract(given, CONFIG, checks=["-BACKGROUND"], overwrite_input=True).checks
    assert np.shares_memory(given.image, subtracted["-BACKGROUND"])
    assert not np.array_equal(given.weight, weight)


def test_input_that_cannot_be_written_or_is_needed_twice_stays():
    image, weight = FIELD.image.astype(np.float32), FIELD.weight.astype(np.float32)
    before = image.copy(), weight.copy()
    image.flags.writeable = weight.flags.writeable = False
    given = exposure_of(FIELD).replace(image=image, weight=weight)
    expected = extract(given, CONFIG)
    found = extract(given, CONFIG, overwrite_input=True)
    assert np.array_equal(given.image, before[0])
    assert np.array_equal(given.weight, before[1])
    assert np.array_equal(found.segmentation.data, expected.segmentation.data)
    twin = exposure(np.abs(FIELD.image))
    twin = twin.replace(weight=twin.image)
    expected = extract(twin, CONFIG).columns
    found = extract(twin, CONFIG, overwrite_input=True).columns
    assert found["FLUX_AUTO"].tobytes() == expected["FLUX_AUTO"].tobytes()


def test_what_was_given_read_only_or_mapped_stays(tmp_path):
    """Also if the memory behind it can be written to."""
    memory = FIELD.image.astype(np.float32)
    seen = memory.view()
    seen.flags.writeable = False
    np.save(tmp_path / "weight.npy", FIELD.weight.astype(np.float32))
    mapped = np.load(tmp_path / "weight.npy", mmap_mode="r+")
    given = exposure_of(FIELD).replace(image=seen, weight=mapped)
    assert not given.overwritable("image")
    assert not given.overwritable("weight")
    found = extract(given, CONFIG, overwrite_input=True)
    assert np.array_equal(memory, FIELD.image.astype(np.float32))
    assert np.array_equal(np.load(tmp_path / "weight.npy"), FIELD.weight.astype(np.float32))
    expected = extract(exposure(), CONFIG)
    assert np.array_equal(found.segmentation.data, expected.segmentation.data)


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32"])
@pytest.mark.parametrize("zipped", [False, True])
def test_flag_maps_from_files(tmp_path, kind, zipped):
    flags = (FIELD.flags % 100).astype(kind)
    path = tmp_path / "flag.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(flags)]).writeto(path)
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    name = image_name(f"{path}[1]")
    read = read_flag_image(name, images_of(name)[0])
    assert read.dtype == np.dtype(kind)
    assert read.dtype.isnative
    assert np.array_equal(read, flags)
    given = exposure()
    found = extract(given, FLAGS, flag_maps=iter([read])).columns
    expected = extract(given, FLAGS, flag_maps=[flags.astype(np.int32)]).columns
    assert found["NIMAFLAGS_ISO"].any()
    for column in expected:
        assert np.array_equal(found[column], expected[column])


def test_flag_maps_of_large_numbers(tmp_path):
    path = tmp_path / "flag.fits"
    name = image_name(str(path))
    fits.writeto(path, FIELD.flags.astype(np.float64))
    assert np.array_equal(read_flag_image(name, images_of(name)[0]), FIELD.flags)
    fits.writeto(path, FIELD.flags.astype(np.int64) << 40, overwrite=True)
    with pytest.raises(InputFileError, match="31 bits"):
        read_flag_image(name, images_of(name)[0])


def test_flag_maps_must_hold_whole_numbers():
    with pytest.raises(DataError, match=r"whole numbers.*got float32.*astype"):
        extract(exposure(), CONFIG, flag_maps=[FIELD.weight.astype(np.float32)])
    with pytest.raises(DataError, match=r"sequence of maps .got NoneType.*flag_maps=.flags"):
        extract(exposure(), CONFIG, flag_maps=None)
    with pytest.raises(DataError, match=r"map differ in size .got \(200,\)"):
        extract(exposure(), CONFIG, flag_maps=FIELD.flags)
    for large in (FIELD.flags.astype(np.int64) << 40, FIELD.flags.astype(np.uint32) << 29):
        for maps in ([large], iter([large])):
            with pytest.raises(DataError, match=r"at most 31 bits .got u?int.*to 2147483647"):
                extract(exposure(), FLAGS, flag_maps=maps)


def test_flag_maps_may_be_lists_and_are_let_go_one_by_one():
    given = exposure()
    expected = extract(given, FLAGS, flag_maps=[FIELD.flags, 2 * FIELD.flags]).columns
    lists = [FIELD.flags.tolist(), (2 * FIELD.flags.astype(np.int64)).tolist()]
    held, most = weakref.WeakSet(), []

    def one(factor):
        flags = (factor * FIELD.flags).view(Counted)
        held.add(flags)
        most.append(len(held))
        return flags

    for maps in (lists, map(one, (1, 2))):
        found = extract(given, FLAGS, flag_maps=maps).columns
        assert found["IMAFLAGS_ISO"].shape[1] == 2
        for column in expected:
            assert np.array_equal(found[column], expected[column])
    assert most == [1, 1]
    assert not held
    extract(given, DetectConfig(columns=("NUMBER",)), flag_maps=iter([None]))  # not taken


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("zipped", [False, True])
def test_pixels_of_all_types_in_any_number_of_threads(tmp_path, kind, zipped, monkeypatch):
    monkeypatch.setattr("purepipe.io.sex_images.PIECE", 1000)
    pixels = np.arange(97 * 61).reshape(97, 61).astype(kind)
    path = tmp_path / "image.fits"
    fits.writeto(path, pixels)
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    name = image_name(str(path))
    for threads in (1, 3):
        read = read_float_image(name, images_of(name)[0], threads=threads)
        assert read.dtype == np.float32
        assert read.dtype.isnative
        assert np.array_equal(read, pixels.astype(np.float32))
